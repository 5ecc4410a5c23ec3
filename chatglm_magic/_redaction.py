"""Keys are kept out of prompts, replies, errors and the store; no I/O but reading where keys are kept.

Which strings are hidden: the keys of this process, of the environment and those kept by `login`, if they are too long
to be ordinary words (`Mask`). What is sent to a provider is checked for long ones only: local servers are given
"keys" such as `password1`, and a question may hold that word.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import cache
from typing import assert_never

from msgspec.structs import replace

from ._credentials import HOSTS, LONG_KEY, MASK, Mask, environment_keys, kept_keys, mask_of, seen_keys
from ._errors import ConfigError
from ._events import (
    Event,
    Finished,
    Part,
    PartialValue,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolResult,
    ToolStarted,
    Usage,
)
from ._language import marked, tr
from ._messages import Message, Request, Stage, TextPart

WARNING = marked(
    "This cell holds what looks like a key, and cells are saved with the notebook. "
    "Take it out, make a new key if others can read the notebook, and type %chatglm login instead."
)

_GLM_KEY = re.compile(r"(?<![\w.])[0-9a-f]{32}\.[A-Za-z0-9]{16}(?!\w)")
"""An id and a secret, the form of Z.ai's and BigModel's keys."""

_SK_KEY = re.compile(r"(?<!\w)sk-[A-Za-z0-9_-]{20,}")
"""The form of OpenAI's and many servers' keys; other libraries take such keys too, so they count only in our cells."""

_OUR_CELL = re.compile(r"chatglm|ZAI_API_KEY|ZHIPUAI_API_KEY", re.IGNORECASE)


class StreamRedactor:
    """Replaces keys in a reply's events while they come: a server may repeat what it was sent.

    A key that comes in pieces is masked too, with two exceptions: what of it was shown before another kind of event
    came between, and one in pieces of a tool call's arguments.

    Args:
        mask: Replaces whole keys.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._kind: type[TextDelta | ThinkingDelta] = TextDelta
        self._held = ""  # the end of the text so far, not shown yet: it may begin a key
        self._shown = {TextDelta: "", ThinkingDelta: ""}  # the beginning of a key that was shown at the end of a text

    def follow(self, text: str) -> None:
        """Continue a text that was shown before."""
        self._shown = {TextDelta: self._key_beginning(text), ThinkingDelta: ""}

    def feed(self, event: Event) -> list[Event]:
        """Return the events that can be shown after one more event of the reply."""
        match event:
            case TextDelta(text) | ThinkingDelta(text):
                other = [] if type(event) is self._kind else self.close()
                self._kind = kind = type(event)
                shown = self._next_text(text)
                return [*other, event if shown == text else kind(shown)] if shown else other
            case Replace(text, thinking):
                self._held = ""
                self.follow("")
                return [Replace(self._mask(text), self._mask(thinking))]
            case ToolCallDelta() | ToolStarted() | ToolResult() | Part() | Finished():
                return [*self.close(), self._masked(event)]
            case Usage() | PartialValue():  # whose stage gets no keys, see `redacted`
                return [event]
            case _:
                assert_never(event)

    def messages(self, messages: Iterable[Message]) -> list[Message]:
        """Return messages that passed between the events, without keys: calls of tools and their results."""
        return [_masked_message(one, self._mask) for one in messages]

    def close(self) -> list[Event]:
        """Return what is held back, once it is certain that no key comes of it."""
        held, self._held = self._held, ""
        self._shown[self._kind] = self._key_beginning(self._shown[self._kind] + held)
        return [self._kind(held)] if held else []

    def _next_text(self, text: str) -> str:
        """Return what can be shown after more text: nearly always all of it."""
        before = self._shown[self._kind]
        if not (before or self._held or self._mask.may_be_in(text) or self._mask.beginning(text)):
            return text
        window = before + self._held + text
        shown = ""
        at, end = len(before), 0
        for found in self._mask.pattern.finditer(window):
            end = found.end()
            if end > len(before):
                shown += window[at : max(at, found.start())] + MASK
                at = end
        sure = max(at, len(window) - self._mask.beginning(window[end:]))
        shown += window[at:sure]
        self._held = window[sure:]
        self._shown[self._kind] = self._key_beginning(before + shown)
        return shown

    def _key_beginning(self, text: str) -> str:
        """Return what at a text's end may begin a key."""
        return text[len(text) - self._mask.beginning(text) :]

    def _masked(
        self, event: ToolCallDelta | ToolStarted | ToolResult | Part | Finished
    ) -> ToolCallDelta | ToolStarted | ToolResult | Part | Finished:
        """Return an event that is whole, without keys."""
        match event:
            case ToolCallDelta(arguments=arguments):
                return replace(event, arguments=self._mask(arguments))
            case ToolStarted(call):
                return ToolStarted(replace(call, arguments=self._mask(call.arguments)))
            case ToolResult(call):
                texts = {name: self._mask(getattr(event, name)) for name in ("result", "error", "traceback")}
                return replace(event, call=replace(call, arguments=self._mask(call.arguments)), **texts)
            case Part():
                return self._masked_part(event)
            case Finished(parts=parts):
                return replace(event, parts=tuple(map(self._masked_part, parts)))
            case _:
                assert_never(event)

    def _masked_part(self, part: Part) -> Part:
        return replace(part, content=self._mask(part.content), arguments=self._mask(part.arguments))


def known_mask() -> Mask:
    """Return the mask of all keys that can be listed: of the environment, kept in the file, used in this process."""
    return mask_of(frozenset({*environment_keys(), *kept_keys(), *seen_keys()}))


def reply_redactor() -> StreamRedactor | None:
    """Return what keeps this process's keys out of one reply; None where there are none."""
    mask = mask_of(seen_keys())
    return StreamRedactor(mask) if mask else None


def redacted(stage: Stage) -> Stage:
    """Return a stage without this process's keys, for one around it that makes values of what it reads."""

    async def stream(request: Request) -> AsyncGenerator[Event]:
        redactor = reply_redactor()
        async with aclosing(stage(request)) as events:
            async for sent in events:
                for event in (sent,) if redactor is None else redactor.feed(sent):
                    yield event

    return stream


def without_keys(messages: list[Message]) -> list[Message]:
    """Return messages without keys: an earlier answer may hold one, and another provider may be asked next."""
    mask = _long_mask({*environment_keys(), *seen_keys()})
    return [_masked_message(one, mask) for one in messages]


def _masked_message(message: Message, mask: Mask) -> Message:
    content = message.content
    if isinstance(content, str):
        content = mask(content)
    else:
        content = tuple(TextPart(mask(part.text)) if isinstance(part, TextPart) else part for part in content)
    calls = tuple(replace(call, arguments=mask(call.arguments)) for call in message.calls)
    return replace(message, content=content, thinking=mask(message.thinking), calls=calls)


def refuse_keys(*texts: str) -> None:
    """Check that texts hold none of the user's keys.

    Args:
        texts: What would be sent.

    Raises:
        ConfigError: One holds a key that is in the environment (`…_API_KEY`) or was kept by `login`.
    """
    key_guard()(*texts)


def key_guard() -> Callable[..., None]:
    """Return what does as `refuse_keys` for thousands of texts: it reads once where keys are kept."""
    long_keys = cache(lambda: _long_mask({*environment_keys(), *kept_keys(HOSTS.values())}))

    def refuse(*texts: str) -> None:
        # Where keys are kept is read only for texts that may hold one: a long word with a digit in it.
        long = [part for text in texts for part in text.split() if len(part) >= LONG_KEY]
        words = (word for part in long for word in re.findall(rf"[\w.-]{{{LONG_KEY},}}", part))
        if any(re.search(r"\d", word) for word in words) and any(long_keys()(text) != text for text in texts):
            raise ConfigError(tr("The prompt holds one of your keys, so nothing was sent. Take it out."))

    return refuse


def holds_key(source: str) -> bool:
    """Return whether a cell's source holds what looks like a key for a provider of ours."""
    return bool(_GLM_KEY.search(source) or (_SK_KEY.search(source) and _OUR_CELL.search(source)))


def _long_mask(keys: Iterable[str]) -> Mask:
    return mask_of(frozenset(key for key in keys if len(key) >= LONG_KEY))
