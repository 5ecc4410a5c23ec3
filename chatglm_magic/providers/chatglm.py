"""The chatglm.cn web dialect (`ChatGLM.create_async_generator`).

The site's guest endpoint needs no key, was never documented, and refuses most plain clients by now. It
is asked as what this is, a plain client: no signature is forged, no browser imitated, no refusal worked
around; each refusal names the official API. The dialect still serves recorded streams, mocks, and
endpoints that their user is entitled to.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from .._errors import ConfigError
from .._events import Event, Finished, FinishReason, Reason, Replace, TextDelta
from .._loops import ticking
from .._messages import Message, Request, Role
from .._transport.call import Call
from .._urls import origin
from . import Settings
from ._platform_errors import Asked
from ._stream import run
from ._web_decoder import WebDecoder
from ._web_refusals import Refusals

_SITE = "https://chatglm.cn"
_TIMEOUT = 120.0
_PATH = "/chatglm/mainchat-api/guest/stream"
_ASSISTANT = "65940acff94777010aa6b796"
"""The site's own main chat."""

_HEADERS: Mapping[str, str] = {
    "Accept": "text/event-stream",
    "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8",
    "App-Name": "chatglm",
    "Authorization": "undefined",  # that very word is what the page sends for a guest; a key takes its place
    "Content-Type": "application/json",
    "Origin": _SITE,
    "X-App-Platform": "pc",
    "X-App-Version": "0.0.1",
}
_META = {
    "if_plus_model": False,
    "is_test": False,
    "input_question_type": "xxxx",
    "channel": "",
    "draft_id": "",
    "quote_log_id": "",
    "platform": "pc",
}
_SPEAKERS: Mapping[Role, str] = {"user": "User", "assistant": "Assistant", "system": "Instruction"}
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_REMEMBERED = 32
"""By how many characters at its end the place is found again where a corrected text was left off."""

_log = logging.getLogger("chatglm_magic")


class ChatGLMProvider:
    """chatglm.cn as its web page asks it, without an account.

    The wire knows no model names and no parameters, and reads one message: a conversation is folded
    into one.

    Args:
        settings: `base_url` replaces the site's scheme and host. A key is sent only if there is one.
        endpoint: The whole URL to be asked, in place of the site's path under the base URL.
        assistant_id: Which of the site's assistants answers.
        conversation_id: A conversation that the server keeps and that is to be continued; then only
            the newest message is sent.

    Attributes:
        name: The provider's name.
        model: Empty: the site decides which model answers, and says so in the reply.
        unnamed: That, in words.
        host: Host and port that is asked.
        caption: What a user should know.

    Raises:
        ConfigError: The URL is none.
    """

    name = "chatglm"
    model = ""
    unnamed = "the site's own choice"
    caption = "chatglm.cn's unofficial web dialect: the site refuses most plain clients"

    def __init__(
        self,
        settings: Settings,
        *,
        endpoint: str = "",
        assistant_id: str = _ASSISTANT,
        conversation_id: str = "",
    ) -> None:
        self._url = endpoint or _endpoint(settings.base_url or _SITE)
        self.base_url = settings.base_url
        origin(self._url)
        self._key = settings.api_key
        self._proxy = settings.proxy
        self._assistant_id = assistant_id
        self._conversation_id = conversation_id
        self.host = urlsplit(self._url).netloc.rpartition("@")[2]

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer a request: deltas, corrections, parts, and one `Finished`, last.

        Options and the thinking switch do not exist on this wire; a warning in `Finished` names them.

        Raises:
            ProviderError: The site refused, or the reply failed.
        """
        refusals = Refusals(Asked(self.name, request.model, self.host))
        ignored = [*request.options, *(["think"] if request.think is not None else [])]
        warnings = [f"ignored:{name}" for name in ignored]
        call = Call(
            url=self._url,
            body=self._body(request),
            provider=self.name,
            model=request.model,
            explain=refusals.explain,
            headers=self._headers(),
            key=self._key,
            proxy=self._proxy,
            notify=request.notify,
            timeout=_TIMEOUT if request.timeout is None else request.timeout,
        )
        async with aclosing(run(call, lambda: WebDecoder(refusals, warnings))) as events:
            async for event in events:
                yield event

    def _headers(self) -> dict[str, str]:
        """Give the page's headers; a device id is made per call, never to get around a refusal."""
        return {**_HEADERS, "X-Device-Id": uuid.uuid4().hex}

    def _body(self, request: Request) -> bytes:
        messages = request.messages[-1:] if self._conversation_id else request.messages
        body = {
            "assistant_id": self._assistant_id,
            "conversation_id": self._conversation_id,
            "meta_data": _META,
            "messages": [{"role": "user", "content": [{"type": "text", "text": fold(messages)}]}],
        }
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


class ChatGLM:
    """The dialect in the form that g4f's providers have; subclass it to ask another endpoint."""

    url: ClassVar[str] = _SITE
    api_endpoint: ClassVar[str] = f"{_SITE}{_PATH}"

    @classmethod
    async def create_async_generator(
        cls,
        model: str,
        messages: Iterable[Mapping[str, Any] | Message],
        proxy: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - g4f passes whatever its callers said
    ) -> AsyncGenerator[str | FinishReason]:
        """Ask, and yield the answer's text in pieces, then the reason why it ended.

        Text is yielded only as it extends what was yielded. A correction of earlier text cannot be
        unsaid here: it is logged, and the answer goes on behind it.

        Args:
            model: A name for messages; the site decides which model answers.
            messages: What was said: `{"role", "content"}` with content as text or as a list of
                `{"type": "text", "text"}`, or `Message` objects.
            proxy: An http or https proxy.
            kwargs: `timeout` (seconds without an event), `assistant_id`, `conversation_id`, `api_key`,
                `base_url` (in place of the site's scheme and host). All others are ignored.

        Raises:
            ChatGLMError: The request cannot be made, was refused, or the reply failed.
        """
        provider, request = cls._prepare(model, messages, proxy, kwargs)
        said: list[str] = []
        reason: Reason = "stop"
        with ticking():
            async with aclosing(provider.stream(request)) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            said.append(text)
                            yield text
                        case Replace(text):
                            if more := _beyond("".join(said), text):
                                said.append(more)
                                yield more
                        case Finished(reason):
                            pass
                        case _:
                            pass
        yield FinishReason(reason)

    @classmethod
    def _prepare(
        cls, model: str, messages: Iterable[Mapping[str, Any] | Message], proxy: str | None, kwargs: dict[str, Any]
    ) -> tuple[ChatGLMProvider, Request]:
        timeout = kwargs.pop("timeout", None)
        key = kwargs.pop("api_key", None) or ""
        base_url = kwargs.pop("base_url", None) or ""
        about = {name: value for name in ("assistant_id", "conversation_id") if (value := kwargs.pop(name, None))}
        if kwargs:
            _log.debug("ChatGLM ignores %s", ", ".join(sorted(kwargs)))
        endpoint = "" if base_url else cls.api_endpoint
        settings = Settings(base_url=base_url, api_key=key, proxy=proxy or "")
        provider = ChatGLMProvider(settings, endpoint=endpoint, **about)
        said = tuple(_message(message) for message in messages)
        if not said:
            msg = "There is nothing to ask: messages is empty."
            raise ConfigError(msg)
        return provider, Request(said, model=model or "", timeout=timeout)


def fold(messages: Iterable[Message]) -> str:
    """Fold a conversation into the one message that the site reads.

    A question that stands alone is left as it is. The system prompt comes first, then what was said
    before under the speakers' names, then the question.
    """
    messages = list(messages)
    instructions = [message.content for message in messages if message.role == "system"]
    said = [message for message in messages if message.role != "system"]
    if len(said) < 2:  # noqa: PLR2004 - no history
        return "\n\n".join([*instructions, *(message.content for message in said)])
    history = [f"{_SPEAKERS[message.role]}: {message.content}" for message in said[:-1]]
    lead = "Now answer this:" if said[-1].role == "user" else "Go on from this:"
    return "\n\n".join([*instructions, "What was said so far:", *history, lead, said[-1].content])


def _endpoint(base_url: str) -> str:
    """Give the URL that is asked; a base URL that already has the path at its end is forgiven."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix(_PATH)
    return urlunsplit((parts.scheme, parts.netloc, path + _PATH, parts.query, ""))


def _message(value: Mapping[str, Any] | Message) -> Message:
    if isinstance(value, Message):
        return value
    content = value.get("content")
    if not isinstance(content, str):
        content = "\n\n".join(_text(item) for item in content or ())
    return Message(_ROLES.get(str(value.get("role")), "user"), content)


def _text(item: object) -> str:
    if isinstance(item, Mapping) and isinstance(text := item.get("text"), str):
        return text
    msg = "chatglm.cn is asked with text only: content is a string, or a list of {'type': 'text', 'text': …}."
    raise ConfigError(msg)


def _beyond(said: str, whole: str) -> str:
    """Give what the whole text has beyond what was said, as far as that can still be told."""
    if whole.startswith(said):
        return whole[len(said) :]
    _log.warning(
        "chatglm.cn corrected text that was already yielded and cannot be taken back: "
        "%d characters said, %d in the corrected answer",
        len(said),
        len(whole),
    )
    end = said[-_REMEMBERED:]
    at = whole.rfind(end)
    return whole[at + len(end) :] if at >= 0 else ""
