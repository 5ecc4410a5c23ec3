"""The embedded model: llama.cpp in a child process, with a demo model or any GGUF file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ..._errors import BrokenStreamError, ConfigError, TransportError
from ..._events import Event
from ..._messages import OptionValue, Request
from .. import Settings
from ..openai_compatible import OpenAICompatibleProvider
from . import server, weights
from .errand import Errand, run_errand
from .progress import Announcer

T = TypeVar("T")

DEMO_NAME = f"{weights.DEMO.name} (demo)"
DEMO_CAPTION = "a small demo model: English only, unreliable on facts, maths and tables"
DEMO_OPTIONS: Mapping[str, OptionValue] = MappingProxyType(
    {"temperature": 0.2, "top_p": 0.9, "min_p": 0.05, "repeat_penalty": 1.08, "max_tokens": 400}
)
"""What makes the demo model presentable; at temperature 0 it repeats itself."""
FILE_OPTIONS: Mapping[str, OptionValue] = MappingProxyType({"max_tokens": 2048})
"""For a user's own file: llama.cpp knows the rest; half of the context is left for the conversation."""
FILE_TIMEOUT = 600.0
"""Seconds: a big model on a small machine reads a long prompt for minutes, and says nothing meanwhile."""
_ATTEMPTS = 4  # starts count too: one start and one question, and the same again where the child has just died
_DEATH_CHECKS, _DEATH_PERIOD = 20, 0.05
_DEMO_SPECS = frozenset({"", "demo", weights.DEMO.name.lower(), DEMO_NAME.lower()})


class LocalProvider:
    """A model on this computer; it needs no key and no server.

    Nothing is fetched, started or imported before the first question.

    Args:
        settings: `model` names a GGUF file (`~` and relative paths are fine); empty for the demo model.

    Attributes:
        name: `local`.
        model: The model's name as it is shown.
        host: Where requests go, for people to read.
        caption: What a user should know about the model; empty for a file of their own.
        history_tokens: How much of a conversation is sent: the machine reads some 250 tokens a second.

    Raises:
        ConfigError: A base URL was given: this provider has none.
    """

    name = "local"
    host = "this computer"
    history_tokens = 1500

    def __init__(self, settings: Settings) -> None:
        if settings.base_url:
            msg = "Provider 'local' runs on this computer and has no base URL. For a server take provider 'openai'."
            raise ConfigError(msg)
        self._asked = settings.model
        self._file = _file(settings.model)
        self.model = DEMO_NAME if self._file is None else self._file.stem
        self.caption = DEMO_CAPTION if self._file is None else ""

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer a request, fetching the weights and starting the child where that is still to be done.

        Raises:
            ConfigError: The engine, pip or the file is missing or will not do; the message says what helps.
            BrokenStreamError: The child died while it answered; the next question starts another.
            ChatGLMError: As every provider of this dialect.
        """
        # A relative path means what it meant when the conversation began, wherever the notebook has gone since.
        file = self._file if request.model in {"", self._asked} else _file(request.model)
        said = False
        for attempts_left in reversed(range(_ATTEMPTS)):
            model = await self._model(file, request)
            with server.claim(model) as child:
                if child is None:
                    await _at_leisure(partial(server.start, model), request)
                    continue
                if child.users > 1 and request.notify is not None:
                    request.notify("waiting for the local model's other reply")
                try:
                    async with aclosing(_ask(child, _tamed(request, model, file))) as events:
                        async for event in events:
                            said = True
                            yield event
                except BrokenStreamError:
                    if said or child.alive or not attempts_left:
                        raise
                else:
                    return
        msg = f"The local engine ends as soon as {model.path} is loaded. Try again, or take another model."
        raise ConfigError(msg)

    async def models(self) -> list[str]:
        """List what can be named after `local:`: the demo model, and the GGUF files in the working folder."""
        return [weights.DEMO.name, *sorted(path.name for path in Path.cwd().glob("*.gguf"))]

    async def _model(self, file: Path | None, request: Request) -> server.Model:
        """Look at the file; for the demo model, fetch it if need be."""
        if find_spec("xllamacpp") is None:
            raise server.engine_missing()  # before a hundred megabytes are fetched for nothing
        if file is not None:
            return server.Model.at(file, file.stem)
        path = weights.find()
        if path is None:
            path = await _at_leisure(weights.fetch, request)
        return server.Model.at(path, DEMO_NAME)


class _Child(OpenAICompatibleProvider):
    """The child's own dialect, in which errors speak of this computer and not of a port."""

    name = LocalProvider.name

    def __init__(self, child: server.LocalServer) -> None:
        super().__init__(Settings(base_url=f"{child.url}/v1", api_key=child.key))
        self.host = LocalProvider.host


async def _ask(child: server.LocalServer, request: Request) -> AsyncGenerator[Event]:
    """Ask the child; where it died of the question, say how."""
    try:
        async with aclosing(_Child(child).stream(request)) as events:
            async for event in events:
                yield event
    except TransportError as error:
        for _ in range(_DEATH_CHECKS):  # its connections end some milliseconds before it does
            if not child.alive:
                break
            await asyncio.sleep(_DEATH_PERIOD)
        if not (why := child.epitaph()):
            raise
        msg = f"The local engine died while it answered ({request.model}): {why}. Run the cell again: it starts anew."
        raise BrokenStreamError(msg, provider=LocalProvider.name, model=request.model) from error


def _tamed(request: Request, model: server.Model, file: Path | None) -> Request:
    """Fill what the user left open."""
    if file is None:
        return replace(request, model=model.name, options={**DEMO_OPTIONS, **request.options})
    timeout = FILE_TIMEOUT if request.timeout is None else request.timeout
    return replace(request, model=model.name, options={**FILE_OPTIONS, **request.options}, timeout=timeout)


async def _at_leisure(work: Callable[[Errand], T], request: Request) -> T:
    """Do blocking work beside the loop, telling the user how far it is."""
    announcer = Announcer(request.notify)
    try:
        return await run_errand(work, announcer)
    finally:
        announcer.close()


def _file(spec: str) -> Path | None:
    """Read what stands after `local:`: None for the demo model, else a path, made absolute now."""
    if spec.strip().lower() in _DEMO_SPECS:
        return None
    path = Path(spec.strip())
    with suppress(RuntimeError):  # there is no such user
        path = path.expanduser()
    return path.absolute()
