"""The embedded model: llama.cpp in a child process, with a demo model or any GGUF file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, closing, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from msgspec.structs import replace

from ..._credentials import NeverPickled
from ..._errors import BrokenStreamError, ConfigError, TransportError
from ..._events import Event
from ..._language import marked, tr
from ..._messages import FormatMode, OptionValue, Request
from .. import Settings, refuse_pictures, refuse_search
from ..openai.provider import OpenAICompatibleProvider
from . import server, weights
from .background_task import BackgroundTask, ProgressDisplay, run_background_task

T = TypeVar("T")

DEMO_NAME = f"{weights.DEMO.name} (demo)"
DEMO_CAPTION = marked("a small demo model: English only, unreliable on facts, maths and tables")
_HERE = marked("this computer")
DEMO_OPTIONS: Mapping[str, OptionValue] = MappingProxyType(
    {"temperature": 0.2, "top_p": 0.9, "min_p": 0.05, "repeat_penalty": 1.08, "max_tokens": 400}
)
"""With these the demo model is presentable; at temperature 0 it repeats itself."""
_ENGINE_NAMES = {"max_completion_tokens": "max_tokens"}
FILE_OPTIONS: Mapping[str, OptionValue] = MappingProxyType({"max_tokens": 2048})
"""For a user's own file: llama.cpp knows the rest; half of the context is left for the conversation."""
FILE_TIMEOUT = 600.0
"""Seconds: a big model on a small machine reads a long prompt for minutes, and sends nothing meanwhile."""
_ATTEMPTS = 4  # starts count too: one start and one question, and the same again where the child has just died
_DEATH_CHECKS, _DEATH_PERIOD = 20, 0.05
_DEMO_SPECS = frozenset({"", "demo", weights.DEMO.name.lower(), DEMO_NAME.lower()})


class LocalProvider(NeverPickled):
    """A model on this computer; it needs no key and no server.

    Nothing is fetched, started or imported before the first question.

    Args:
        settings: `model` names a GGUF file (`~` and relative paths are fine); empty for the demo model.

    Attributes:
        name: `local`.
        model: The model's name as it is shown.
        english_only: Whether it knows no other language.
        history_tokens: How much of a conversation is sent: the machine reads some 250 tokens a second.
        schema_modes: How it is held to a JSON Schema.

    Raises:
        ConfigError: A base URL was given: this provider has none.
    """

    name = "local"
    history_tokens = 1500
    schema_modes: tuple[FormatMode, ...] = ("grammar",)

    def __init__(self, settings: Settings) -> None:
        if settings.base_url:
            raise ConfigError(
                tr("Provider 'local' runs on this computer and has no base URL. For a server take provider 'openai'.")
            )
        self._spec = settings.model
        self._file = _model_file(settings.model)
        self.model = DEMO_NAME if self._file is None else self._file.stem
        self.english_only = self._file is None

    @property
    def host(self) -> str:
        """Where requests go, for people to read."""
        return tr(_HERE)

    @property
    def caption(self) -> str:
        """What a user should know about the model; empty for a file of their own."""
        return tr(DEMO_CAPTION) if self.english_only else ""

    def check(self, request: Request) -> Request:
        """Return a request without the pictures of earlier questions.

        Raises:
            ConfigError: It asks for a search, or the question itself has pictures.
        """
        refuse_search(request, tr("The local model"))
        return refuse_pictures(request, tr("The local model"))

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield the reply, after fetching the weights and starting the child where that is still to be done.

        Raises:
            ConfigError: The engine, pip or the file is missing or unsuitable, or the question has pictures.
            BrokenStreamError: The child died while it answered; the next question starts another.
            ChatGLMError: Any error of `OpenAICompatibleProvider`.
        """
        request = self.check(request)
        # A relative path means what it meant when the conversation began, wherever the notebook has gone since.
        file = self._file if request.model in {"", self._spec} else _model_file(request.model)
        streamed = False
        for attempts_left in reversed(range(_ATTEMPTS)):
            model = await self._model(file, request)
            with server.claim(model) as child:
                if child is None:
                    await _in_background(partial(server.start, model), request)
                    continue
                if child.users > 1 and request.notify is not None:
                    request.notify(tr("waiting for the local model's other reply"))
                prepared = _with_defaults(request, model, file)
                try:
                    async with aclosing(_ChildProvider(child).stream(prepared)) as events:
                        async for event in events:
                            streamed = True
                            yield event
                except TransportError as error:
                    reason = await _exit_reason(child)
                    if reason and not streamed and attempts_left:
                        continue
                    if not reason:
                        raise
                    msg = tr(
                        "The local engine died while it answered ({model}): {reason}. "
                        "Run the cell again: it starts anew.",
                        model=model.name,
                        reason=reason,
                    )
                    raise BrokenStreamError(msg, provider=self.name, model=model.name) from error
                return
        raise ConfigError(
            tr("The local engine ends as soon as {path} is loaded. Try again, or take another model.", path=model.path)
        )

    async def models(self) -> list[str]:
        """Return what can be named after `local:`: the demo model, and the GGUF files in the working folder."""
        return [weights.DEMO.name, *sorted(path.name for path in Path.cwd().glob("*.gguf"))]

    async def _model(self, file: Path | None, request: Request) -> server.Model:
        """Return the model of a file; for the demo model, fetch it if need be."""
        if find_spec("xllamacpp") is None:
            raise server.engine_missing()  # before a hundred megabytes are fetched for nothing
        if file is not None:
            return server.Model.at(file, file.stem)
        path = weights.find()
        if path is None:
            path = await _in_background(weights.fetch, request)
        return server.Model.at(path, DEMO_NAME)


class _ChildProvider(OpenAICompatibleProvider):
    """The child's own dialect, in which errors speak of this computer and not of a port."""

    name = LocalProvider.name
    shares_connections = False  # it closes each after its reply, though it says that it keeps them

    def __init__(self, child: server.LocalServer) -> None:
        super().__init__(Settings(base_url=f"{child.url}/v1", api_key=child.key))
        self.host = tr(_HERE)


async def _exit_reason(child: server.LocalServer) -> str:
    """Return how a child ended whose connection broke; an empty string if it lives."""
    for _ in range(_DEATH_CHECKS):  # its connections end some milliseconds before it does
        if not child.alive:
            break
        await asyncio.sleep(_DEATH_PERIOD)
    return child.exit_reason()


def _with_defaults(request: Request, model: server.Model, file: Path | None) -> Request:
    """Return the request with the parameters that suit the model where the user set none."""
    options = DEMO_OPTIONS if file is None else FILE_OPTIONS
    asked = {_ENGINE_NAMES.get(name, name): value for name, value in request.options.items()}
    timeout = FILE_TIMEOUT if file is not None and request.timeout is None else request.timeout
    return replace(request, model=model.name, options={**options, **asked}, timeout=timeout)


async def _in_background(work: Callable[[BackgroundTask], T], request: Request) -> T:
    """Do blocking work beside the loop, and show the user its progress."""
    with closing(ProgressDisplay(request.notify)) as display:
        return await run_background_task(work, display)


def _model_file(spec: str) -> Path | None:
    """Return the file that a spec after `local:` names, as an absolute path; None for the demo model."""
    if spec.strip().lower() in _DEMO_SPECS:
        return None
    path = Path(spec.strip())
    with suppress(RuntimeError):  # there is no such user
        path = path.expanduser()
    return path.absolute()
