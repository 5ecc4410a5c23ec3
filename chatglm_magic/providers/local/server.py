"""The child process that serves a model: started at first use, kept, and never outliving us.

llama.cpp is not used in this process: loading holds the GIL for half a second, and an interrupt while it reads a long
prompt would take effect seconds later.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from ..._credentials import Key
from ..._errors import ConfigError, shorten
from ..._language import tr
from .background_task import BackgroundTask, Progress

CONTEXT_TOKENS = 4096
INSTALL = 'pip install "chatglm-magic[local]"'
_ILLEGAL_INSTRUCTION = frozenset({-int(signal.SIGILL), 0xC000001D, 0xC000001D - (1 << 32)})  # POSIX, Windows
_LOG_LINE = re.compile(r"^[\d.]+ E (?:\S+ +)?\S+: (?P<words>.*)$", re.MULTILINE)
_SECONDS_TO_END = 1


class Model(msgspec.Struct, frozen=True):
    """One model file, as it is on disk now: another file under the same name is another model.

    Attributes:
        path: The GGUF file.
        name: The name shown.
        changed: When the file was last written, in nanoseconds.
    """

    path: Path
    name: str
    changed: int

    @classmethod
    def at(cls, path: Path, name: str) -> Model:
        """Return the model of a file.

        Raises:
            ConfigError: There is no such file.
        """
        with suppress(OSError):
            changed = path.stat().st_mtime_ns
            if path.is_file():
                return cls(path, name, changed)
        raise ConfigError(
            tr(
                "There is no model file {path}. Give the path to a GGUF file (-m local:PATH.gguf), "
                "or take the demo model with -m local.",
                path=path,
            )
        )


class LocalServer:
    """A child process that serves one model.

    Attributes:
        model: The model.
        url: Where it answers, without a path; empty until it is loaded.
        key: The key that it asks for; random, so that no web page and no other user can use it.
        users: How many blocks of `claim` use it.
        process: The process.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.url = ""
        self.key = Key(secrets.token_urlsafe(32))
        self.users = 0
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self.process = _popen(self._log)
        self._stdin = cast("IO[bytes]", self.process.stdin)
        self._stdout = cast("IO[bytes]", self.process.stdout)
        _living.add(self)

    def load(self, task: BackgroundTask) -> None:
        """Have the child load the model. Blocks.

        Raises:
            ConfigError: The engine is missing, or the file is no model that it can load.
        """
        order = {"path": str(self.model.path), "name": self.model.name, "key": self.key}
        with task.supervise(self.process):
            with suppress(BrokenPipeError):  # it has died already: its log says why
                self._stdin.write(json.dumps({**order, "context_tokens": CONTEXT_TOKENS}).encode() + b"\n")
            line = self._stdout.readline()
            task.check()
            answer = json.loads(line) if line else {}
            if "url" not in answer:
                self.process.wait()
                raise self._load_error(answer)
            self.url = answer["url"]
            self._stdout.close()

    @property
    def alive(self) -> bool:
        """Whether the child runs. Does not block."""
        return self.process.poll() is None

    def exit_reason(self) -> str:
        """Return how a dead child ended; an empty string while it lives."""
        code = self.process.poll()
        if code is None:
            return ""
        if sys.platform != "win32" and code == -signal.SIGKILL:
            return tr("it was killed, perhaps for want of memory")
        return self._last_words() or tr("exit status {code}", code=code)

    def stop(self) -> None:
        """End the child."""
        _living.discard(self)
        self._stdin.close()
        self._stdout.close()
        try:
            self.process.wait(timeout=_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def abandon(self) -> None:
        """Drop the child in a process that was forked from its parent."""
        self.process.returncode = 0  # never to be waited for or killed from here
        self._stdin.close()  # held open here, it would keep the child alive after its parent
        self._stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        """Return llama.cpp's first complaint, which names the cause; without one, the last line of the log."""
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")
        if found := _LOG_LINE.search(log):
            return shorten(found["words"])
        return shorten((log.strip().splitlines() or [""])[-1])

    def _load_error(self, answer: dict[str, Any]) -> ConfigError:
        if answer.get("step") == "find":
            return engine_missing()
        if answer.get("step") == "import":
            return ConfigError(
                tr(
                    "The local engine cannot be started: {reason}. Reinstall it: {command}",
                    reason=answer["error"],
                    command=INSTALL,
                )
            )
        code = self.process.returncode
        if code in _ILLEGAL_INSTRUCTION:
            return ConfigError(
                tr(
                    "The local engine needs a processor with AVX2, which this one lacks. "
                    "Use another server instead (-m openai:MODEL --base-url URL) or a platform (-m zai)."
                )
            )
        reason = self.exit_reason() if code else self._last_words() or str(answer.get("error", ""))
        return ConfigError(
            tr(
                "The local engine cannot load {path}: {reason}. "
                "The file must be a whole GGUF file of a kind that llama.cpp knows; download it again or take another.",
                path=self.model.path,
                reason=shorten(reason).rstrip("."),
            )
        )


def engine_missing() -> ConfigError:
    """Return the error for an environment without the engine."""
    return ConfigError(tr("The local model's engine (xllamacpp) is not installed. Run: {command}", command=INSTALL))


def _popen(log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the child: out of reach of Ctrl-C, its threads polite to busy neighbours."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("process.py"))]
    # Read before the OpenMP library is loaded: without it, 85–113 tokens a second beside a busy core become 13–35.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(  # noqa: S603 - this Python and our own script
        command,
        bufsize=0,  # closing must not wait for a lock that another thread held when this process was forked
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        start_new_session=True,  # means nothing on Windows, where the flags do the same
        creationflags=flags,
    )


_living: set[LocalServer] = set()
_servers: dict[Model, LocalServer] = {}
_table = threading.Lock()  # held for moments
_starting = threading.Lock()  # held while a model is loaded


@contextmanager
def claim(model: Model) -> Generator[LocalServer | None]:
    """Use the running child of a model for the length of a block; None if there is none."""
    with _table:
        server = _servers.get(model)
        if server is not None and not server.alive:
            server = None
        if server is not None:
            server.users += 1
    try:
        yield server
    finally:
        if server is not None:
            with _table:
                server.users -= 1


def start(model: Model, task: BackgroundTask) -> None:
    """Start a model's child if it does not run. Blocks until it is loaded.

    Only one model is kept: others that nobody is using are ended first, for their memory.

    Raises:
        ConfigError: It cannot be loaded.
    """
    while not _starting.acquire(timeout=0.05):
        task.check()
    try:
        with claim(model) as server:
            if server is not None:
                return
        with _table:
            idle = [other for other, server in _servers.items() if not (server.users and server.alive)]
            unused = [_servers.pop(other) for other in idle]
        for server in unused:
            server.stop()
        task.report(Progress(tr("loading {model}", model=model.name)))
        server = LocalServer(model)
        try:
            server.load(task)
        except BaseException:
            server.stop()
            raise
        with _table:
            _servers[model] = server
    finally:
        _starting.release()


@atexit.register
def stop_all() -> None:
    """End every child. Should this not be reached, the end of their stdin does the same."""
    with _table:
        _servers.clear()
    for server in list(_living):
        server.stop()


def _forked() -> None:
    """Start afresh in a forked process: the children belong to its parent, and a lock may have been held."""
    global _table, _starting
    _table, _starting = threading.Lock(), threading.Lock()
    _servers.clear()
    for server in _living:
        server.abandon()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
