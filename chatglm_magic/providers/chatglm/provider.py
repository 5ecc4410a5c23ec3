"""The chatglm.cn web dialect (`ChatGLM.create_async_generator`).

The site's guest endpoint needs no key, is undocumented, and has refused most plain clients since 2025: its requests
are to be signed now. It is asked as what this is, a plain client: no signature is forged, no browser imitated, no
refusal worked around; each refusal names the official API. The dialect still serves recorded streams, mocks, and
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

from ..._credentials import NeverPickled, origin
from ..._errors import ConfigError
from ..._event_loops import ticking
from ..._events import Event, Finished, FinishReason, Reason, Replace, TextDelta
from ..._language import tr
from ..._markdown.reply_markdown import end_words
from ..._messages import Message, Request, Role
from ..._transport.call import Call
from .. import Settings, refuse_pictures, refuse_search, refuse_tools
from ..openai.errors import RequestInfo
from ..stream import run
from .decoder import WebDecoder
from .errors import explain
from .frames import whole_answer

_SITE = "https://chatglm.cn"
_TIMEOUT = 120.0
_PATH = "/chatglm/mainchat-api/guest/stream"
_ASSISTANT = "65940acff94777010aa6b796"
"""The site's own main chat; without a known id the site answers `{"result": null}`."""

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
_SPEAKERS: Mapping[Role, str] = {"user": "User", "assistant": "Assistant", "system": "Instruction", "tool": "Tool"}
_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_OVERLAP = 32
"""How many characters at the end of a text find the same place in its corrected version."""

_log = logging.getLogger("chatglm_magic")


class ChatGLMProvider(NeverPickled):
    """chatglm.cn as its web page asks it, without an account.

    The site knows no model names and no parameters, and reads one message: a conversation is folded into one.

    Args:
        settings: `base_url` replaces the site's scheme and host. A key is sent only if there is one.
        endpoint: The complete URL to ask, in place of the site's path under the base URL.
        assistant_id: The site's assistant that answers.
        conversation_id: A conversation that the server keeps and that is to be continued; then only the newest message
            is sent.

    Attributes:
        name, model, unnamed, base_url, host, caption: See `Provider`. `model` is empty because the site decides which
            model answers; the reply names it.

    Raises:
        ConfigError: The base URL or endpoint is no URL.
    """

    name = "chatglm"
    model = ""

    def __init__(
        self, settings: Settings, *, endpoint: str = "", assistant_id: str = _ASSISTANT, conversation_id: str = ""
    ) -> None:
        self._url = endpoint or _endpoint(settings.base_url or _SITE)
        origin(self._url)
        self.base_url = settings.base_url
        self.host = urlsplit(self._url).netloc.rpartition("@")[2]
        self._settings = settings
        self._assistant_id = assistant_id
        self._conversation_id = conversation_id

    @property
    def unnamed(self) -> str:
        """A description of the model."""
        return tr("the site's own choice")

    @property
    def caption(self) -> str:
        """What a user should know about it."""
        return tr("chatglm.cn's unofficial web dialect: the site refuses most plain clients")

    def check(self, request: Request) -> Request:
        """Return a request without the pictures of earlier questions.

        Raises:
            ConfigError: It asks for tools or a search, or the question itself has pictures.
        """
        refuse_tools(request, self.host)
        refuse_search(request, self.host)
        return refuse_pictures(request, self.host)

    def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer a request: deltas, corrections and parts, and one `Finished`, last.

        Options and the thinking switch do not exist on this wire; a warning in `Finished` names those it ignored.

        Raises:
            ConfigError: The request asks for tools or a search, or the question has pictures.
            ProviderError: The site refused, or the reply failed.
        """
        request = self.check(request)
        info = RequestInfo(self.name, request.model, self.host)
        ignored = [*request.options, *(["think"] if request.think is not None else [])]
        warnings = [f"ignored:{name}" for name in ignored]
        call = Call(
            url=self._url,
            body=self._body(request),
            provider=self.name,
            model=request.model,
            explain=lambda refusal: explain(refusal, info),
            whole=whole_answer,
            headers={**_HEADERS, "X-Device-Id": uuid.uuid4().hex},  # one per call, and never to get around a refusal
            key=self._settings.api_key,
            proxy=self._settings.proxy,
            notify=request.notify,
            timeout=_TIMEOUT if request.timeout is None else request.timeout,
        )
        return run(call, lambda: WebDecoder(info, warnings))

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
    """The dialect in the form of g4f's providers; subclass it to ask another endpoint."""

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

        A piece always extends the text before it. A correction of text that was yielded earlier is logged, and the
        answer goes on behind it; so is an end that does not say that the answer is whole.

        Args:
            model: A name for messages; the site decides which model answers.
            messages: The conversation: `{"role", "content"}` with content as text or as a list of
                `{"type": "text", "text"}`, or `Message` objects.
            proxy: An http or https proxy.
            kwargs: `timeout` (seconds without an event), `assistant_id`, `conversation_id`, `api_key`, `base_url` (in
                place of the site's scheme and host). All others are ignored.

        Raises:
            ChatGLMError: The request cannot be made, was refused, or the reply failed.
        """
        provider, request = cls._prepare(model, messages, proxy, kwargs)
        yielded: list[str] = []
        reason: Reason = "stop"
        with ticking():
            async with aclosing(provider.stream(request)) as events:
                async for event in events:
                    piece = ""
                    if isinstance(event, TextDelta):
                        piece = event.text
                    elif isinstance(event, Replace):
                        piece = _beyond("".join(yielded), event.text)
                    elif isinstance(event, Finished):
                        reason = event.reason
                        if reason == "stop" and (words := end_words(reason, event.warnings)):
                            _log.warning("chatglm.cn: the answer is not whole: %s", words)
                    if piece:
                        yielded.append(piece)
                        yield piece
        yield FinishReason(reason)

    @classmethod
    def _prepare(
        cls, model: str, messages: Iterable[Mapping[str, Any] | Message], proxy: str | None, kwargs: dict[str, Any]
    ) -> tuple[ChatGLMProvider, Request]:
        timeout, base_url, key = (kwargs.pop(name, None) for name in ("timeout", "base_url", "api_key"))
        ids = {name: value for name in ("assistant_id", "conversation_id") if (value := kwargs.pop(name, None))}
        if kwargs:
            _log.debug("ChatGLM ignores %s", ", ".join(sorted(kwargs)))
        settings = Settings(base_url=base_url or "", api_key=key or "", proxy=proxy or "")
        provider = ChatGLMProvider(settings, endpoint="" if base_url else cls.api_endpoint, **ids)
        request = Request(tuple(map(_message, messages)), model=model or "", timeout=timeout)
        if not request.messages:
            raise ConfigError(tr("There is nothing to ask: messages is empty."))
        return provider, request


def fold(messages: Iterable[Message]) -> str:
    """Return a conversation as the one message that the site reads.

    A single question is left as it is. The system prompt comes first, then the earlier messages under the speakers'
    names, then the question.
    """
    messages = list(messages)
    instructions = [message.text for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system" and message.text]
    if len(turns) < 2:  # noqa: PLR2004 - no history
        return "\n\n".join([*instructions, *(message.text for message in turns)])
    history = [f"{_SPEAKERS[message.role]}: {message.text}" for message in turns[:-1]]
    lead = "Now answer this:" if turns[-1].role == "user" else "Go on from this:"
    return "\n\n".join([*instructions, "What was said so far:", *history, lead, turns[-1].text])


def _endpoint(base_url: str) -> str:
    """Return the URL to ask; a base URL that already ends with the path is understood."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix(_PATH)
    return urlunsplit((parts.scheme, parts.netloc, path + _PATH, parts.query, ""))


def _message(value: Mapping[str, Any] | Message) -> Message:
    if isinstance(value, Message):
        return value
    content = value.get("content")
    if not isinstance(content, str):
        content = "\n\n".join(map(_text, content or ()))
    return Message(_ROLES.get(str(value.get("role")), "user"), content)


def _text(item: object) -> str:
    if isinstance(item, Mapping) and isinstance(text := item.get("text"), str):
        return text
    raise ConfigError(
        tr("chatglm.cn is asked with text only: content is a string, or a list of {'type': 'text', 'text': …}.")
    )


def _beyond(yielded: str, whole: str) -> str:
    """Return what a corrected text has beyond the text that was yielded, as far as that can be told."""
    if whole.startswith(yielded):
        return whole[len(yielded) :]
    warning = "chatglm.cn corrected text that was yielded and cannot be taken back: %d characters, %d in the correction"
    _log.warning(warning, len(yielded), len(whole))
    end = yielded[-_OVERLAP:]
    at = whole.rfind(end)
    return whole[at + len(end) :] if at >= 0 else ""
