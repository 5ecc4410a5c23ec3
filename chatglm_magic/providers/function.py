"""A provider made of any async generator function."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from typing import Any, cast, get_args

import msgspec

from .._credentials import NeverPickled
from .._errors import ChatGLMError, ProviderError, StalledError, shorten
from .._events import Event, Finished, Reason, TextDelta, ThinkingDelta
from .._language import tr
from .._messages import Request
from . import refuse_search, refuse_tools
from .openai.request import message_body, tool_bodies

_EVENTS = get_args(Event)
_REASONS = frozenset(get_args(Reason))
_END = object()

_log = logging.getLogger("chatglm_magic")


class FunctionProvider(NeverPickled):
    """A provider made of a function of the g4f kind, or of any generator of our events.

    The function is called as `gen(model, messages, proxy=…, **options)` for each question, with messages as
    `{"role", "content"}` dicts: as the OpenAI API has them, so pictures are parts of the content (`data:` URLs), and
    calls of tools are `tool_calls` and `tool_call_id`. Tools, if there are any, come as the option `tools`. A `str`
    that it yields is a piece of the answer; our own events are passed on; an object with a `reason`, like g4f's last
    one, says why the answer ended. Anything else is ignored with a warning in the log. The generator is closed when
    the reader hangs up.

        async def parrot(model, messages, proxy=None, **kwargs):
            yield messages[-1]["content"]

        chat = Chat(FunctionProvider(parrot))

    Args:
        gen: The async generator function. If it takes no `**kwargs`, it gets only the options that it names.
        name: The provider's name; empty for the function's.
        model: The model passed to the function when a request names none.
        proxy: The proxy passed to the function.

    Attributes:
        name: The provider's name.
        model: As given.
    """

    def __init__(
        self, gen: Callable[..., AsyncIterator[Any]], *, name: str = "", model: str = "", proxy: str | None = None
    ) -> None:
        own_name = getattr(gen, "__qualname__", type(gen).__qualname__)
        self.name = name or own_name.rpartition(".")[2]
        self.model = model
        self._gen = gen
        self._proxy = proxy
        self._function = f"{getattr(gen, '__module__', '')}.{own_name}()".lstrip(".")

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Yield what the function yields, as events, and one `Finished`, last.

        Raises:
            ConfigError: The request asks for a search, or for tools that the function does not take.
            StalledError: The function yielded nothing for as long as the request allows.
            ProviderError: The function failed; its own exception is the cause.
        """
        refuse_search(request, self._function)
        model = request.model or self.model
        finished: Finished | None = None
        failure: ChatGLMError | None = None
        streamed = False
        items = self._call(request, model)
        try:
            while True:
                try:
                    item = await self._next(items, request.timeout, model)
                except ChatGLMError as error:
                    failure = error
                    break
                if item is _END:
                    break
                event = self._event(item)
                if isinstance(event, Finished):
                    finished = event
                elif event is not None:
                    streamed = True
                    yield event
        finally:
            await self._close(items, model)
        if failure is None:
            yield finished or Finished("stop")
            return
        if finished is not None or streamed:
            end = finished or Finished("error")
            yield msgspec.structs.replace(end, reason="error") if end.reason == "stop" else end
        raise failure

    def _call(self, request: Request, model: str) -> AsyncIterator[Any]:
        """Call the function with the options that it takes."""
        messages = [message_body(message) for message in request.messages]
        general = {"timeout": request.timeout, "think": request.think, "tools": tool_bodies(request.tools) or None}
        options: dict[str, Any] = {
            "proxy": self._proxy,
            **{name: value for name, value in general.items() if value is not None},
            **request.options,
        }
        with self._translating(model):
            accepted = _accepted(self._gen, options)
            if "tools" not in accepted:
                refuse_tools(request, self._function)
            if ignored := options.keys() - accepted.keys() - {"proxy"}:
                _log.warning("%s takes no %s", self._function, ", ".join(sorted(ignored)))
            return aiter(self._gen(model, messages, **accepted))

    async def _next(self, items: AsyncIterator[Any], timeout: float | None, model: str) -> Any:  # noqa: ANN401, ASYNC109 - anything may be yielded; seconds without an item, not of the whole
        try:
            async with asyncio.timeout(timeout) as scope:
                with self._translating(model):
                    return await anext(items, _END)
        except TimeoutError:
            if not scope.expired():
                raise
            msg = tr(
                "{function} yielded nothing for {seconds:g} s. Allow more with --timeout, or look into it.",
                function=self._function,
                seconds=timeout,
            )
            raise StalledError(msg, provider=self.name, model=model) from None

    def _event(self, item: object) -> Event | None:
        """Return the event for what the function yielded; None for an empty delta or anything else."""
        if isinstance(item, str):
            return TextDelta(str(item)) if item else None
        if isinstance(item, _EVENTS):
            empty = isinstance(item, (TextDelta, ThinkingDelta)) and not item.text
            return None if empty else cast("Event", item)
        reason = getattr(item, "reason", None)
        if isinstance(reason, str):
            return Finished(cast("Reason", reason) if reason in _REASONS else "stop", raw=reason)
        _log.warning("%s yielded a %s, which is neither text nor an event", self._function, type(item).__name__)
        return None

    async def _close(self, items: AsyncIterator[Any], model: str) -> None:
        if close := getattr(items, "aclose", None):
            with self._translating(model):
                await close()

    @contextmanager
    def _translating(self, model: str) -> Generator[None]:
        """Replace an exception of the function by a `ProviderError` that names the function."""
        try:
            yield
        except ChatGLMError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            msg = tr(
                "{function} failed: {reason}. Its own traceback is the cause of this error.",
                function=self._function,
                reason=shorten(reason),
            )
            raise ProviderError(msg, kind="server", provider=self.name, model=model) from error


def _accepted(gen: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a function can be called with."""
    try:
        parameters = inspect.signature(gen).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return options
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return options
    return {name: value for name, value in options.items() if name in parameters}
