"""A provider made of any async generator function."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast, get_args

from .._errors import ChatGLMError, ProviderError, StalledError, shorten
from .._events import Event, Finished, Reason, TextDelta, ThinkingDelta
from .._messages import Request

_EVENTS = get_args(Event)
_REASONS = frozenset(get_args(Reason))
_END = object()

_log = logging.getLogger("chatglm_magic")


class FunctionProvider:
    """A provider made of a function of the g4f kind, or of any generator of our events.

    The function is called `gen(model, messages, proxy=…, **options)` for each question, with messages
    as `{"role", "content"}` dicts. It yields `str` pieces of the answer; our own events are passed on; an
    object with a `reason`, as g4f's last one, says why the answer ended. All else is ignored, and a
    warning says so. It is closed when the reader hangs up.

        async def parrot(model, messages, proxy=None, **kwargs):
            yield messages[-1]["content"]

        chat = Chat(FunctionProvider(parrot))

    Args:
        gen: The async generator function. Where it takes no `**kwargs`, it is given the options it names.
        name: The provider's name; by default the function's.
        model: What the function is told when no model is named.
        proxy: What the function is told as its proxy.

    Attributes:
        name: The provider's name.
        model: What is asked when no model is named.
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
        """Answer a request: what the function yields, as events, and one `Finished`, last.

        Raises:
            StalledError: The function yielded nothing for as long as the request allows.
            ProviderError: The function failed; its own exception is the cause.
        """
        model = request.model or self.model
        finished: Finished | None = None
        failure: ChatGLMError | None = None
        said = False
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
                    said = True
                    yield event
        finally:
            await self._close(items, model)
        if failure is None:
            yield finished or Finished("stop")
            return
        if finished is not None or said:
            ended = finished or Finished("error")
            yield replace(ended, reason="error") if ended.reason == "stop" else ended
        raise failure

    def _call(self, request: Request, model: str) -> AsyncIterator[Any]:
        """Call the function, with what it can take of the options."""
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        known = {"timeout": request.timeout, "think": request.think}
        options: dict[str, Any] = {
            "proxy": self._proxy,
            **{name: value for name, value in known.items() if value is not None},
            **request.options,
        }
        with self._mapped(model):
            taken = _taken(self._gen, options)
            if ignored := options.keys() - taken.keys() - {"proxy"}:
                _log.warning("%s takes no %s", self._function, ", ".join(sorted(ignored)))
            return aiter(self._gen(model, messages, **taken))

    async def _next(self, items: AsyncIterator[Any], timeout: float | None, model: str) -> Any:  # noqa: ANN401, ASYNC109 - anything may be yielded; seconds without an item, not of the whole
        try:
            async with asyncio.timeout(timeout) as scope:
                with self._mapped(model):
                    return await anext(items, _END)
        except TimeoutError:
            if not scope.expired():
                raise
            msg = f"{self._function} yielded nothing for {timeout:g} s. Allow more with --timeout, or look into it."
            raise StalledError(msg, provider=self.name, model=model) from None

    def _event(self, item: object) -> Event | None:
        """Read what the function yielded; None for what is empty or no event."""
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
        close = getattr(items, "aclose", None)
        if close is not None:
            with self._mapped(model):
                await close()

    @contextmanager
    def _mapped(self, model: str) -> Generator[None]:
        """Turn the function's failures into one of ours that names it."""
        try:
            yield
        except ChatGLMError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            msg = f"{self._function} failed: {shorten(said)}. Its own traceback is the cause of this error."
            raise ProviderError(msg, kind="server", provider=self.name, model=model) from error


def _taken(gen: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Give the options that a function can be called with."""
    try:
        parameters = inspect.signature(gen).parameters
    except (TypeError, ValueError):  # some callables do not tell
        return options
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return options
    return {name: value for name, value in options.items() if name in parameters}
