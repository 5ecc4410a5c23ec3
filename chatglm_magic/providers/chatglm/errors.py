"""chatglm.cn's refusals as our errors; no I/O.

Its codes are a space of their own, undocumented and reused for unrelated things: the words count first, then the
code, then the HTTP status. The platforms' table of codes does not hold here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..._errors import BrokenStreamError, ErrorKind, ProtocolError, ProviderError, StatusError, status_error
from ..._language import join_sentences, marked, tr
from ..._transport.call import Refusal
from ..openai.errors import RequestInfo, seconds_to_wait
from ..openai.wire import json_text

_INSTEAD = marked("use the official API with a key (-m zai or -m bigmodel), or -m local, which needs none.")
_REMEDY: Mapping[ErrorKind, str] = {
    "rate_limit": marked("Wait for other replies to end and run the cell again; or {instead}"),
    "server": marked("Run the cell again in a moment; or {instead}"),
    "content_filter": marked("Put the question differently; or {instead}"),
    "quota": marked("chatglm.cn lets a guest ask only a few questions: {instead}"),
    "blocked": marked("chatglm.cn is closed to plain clients, and this is not worked around: {instead}"),
}
_USUAL_REMEDY = marked("chatglm.cn is no official API: {instead}")

# Each value: the kind, and whether the same request may succeed later.
_BY_WORDS: tuple[tuple[str, ErrorKind, bool], ...] = (
    ("多次体验|登录后|次数已|额度|quota", "quota", False),
    ("敏感|违规|违反|不合规|sensitive", "content_filter", False),
    ("人数过多|繁忙|频繁|请等待|too (?:many|frequent)|busy|rate.?limit|requests? frequency", "rate_limit", True),
    ("token.*(?:expired|invalid)|令牌|过期|未登录|请先登录|鉴权|unauthorized", "auth", False),
    ("稍后|稍候|try again", "server", True),
)
_BY_CODE: Mapping[str, tuple[ErrorKind, bool]] = {
    "10061": ("rate_limit", True),  # one reply at a time for an account
    "40012": ("invalid_request", False),  # a guest's too many requests, or a field that guests may not use
    "40102": ("auth", False),  # the token has expired
    "401": ("auth", False),
}
_BY_STATUS: Mapping[int, tuple[ErrorKind, bool]] = {
    **dict.fromkeys((400, 422), ("invalid_request", False)),
    401: ("auth", False),
    **dict.fromkeys((403, 404, 405, 410, 418), ("blocked", False)),  # the firewall, or a path that is gone
    429: ("rate_limit", True),
}
_SERVER_FAULT = 500


def explain(refusal: Refusal, info: RequestInfo) -> ProviderError:
    """Return the error for an answer that is no event stream."""
    retry_after = seconds_to_wait(refusal.headers)
    with suppress(ValueError, RecursionError):
        envelope = json.loads(refusal.body.decode("utf-8", "replace"), strict=False)
        if isinstance(envelope, dict):
            return envelope_error(envelope, info, refusal.status, retry_after)
    fault: tuple[ErrorKind, bool] = ("server", True) if refusal.status >= _SERVER_FAULT else ("blocked", False)
    kind, retryable = _BY_STATUS.get(refusal.status, fault)
    detail = tr("non-JSON response (HTML or empty)")
    return _error(info, kind, detail=detail, retryable=retryable, status=refusal.status, retry_after=retry_after)


def envelope_error(
    envelope: Mapping[str, Any], info: RequestInfo, status: int | None = None, retry_after: float | None = None
) -> StatusError:
    """Return the error for the JSON object that stands in place of a stream, or of a frame.

    Args:
        envelope: `{status|code, message, result, …}` or `{validation_error}`.
        info: What to name.
        status: HTTP status; None inside a stream.
        retry_after: Seconds to wait, where the service said so.
    """
    facts: dict[str, Any] = {"status": status, "retry_after": retry_after}
    if invalid := envelope.get("validation_error"):
        return _error(info, "invalid_request", detail=_text(invalid), **facts)
    code, message = _code(envelope, "status", "code"), _message(envelope)
    if code is None and not message and "result" in envelope:
        return _error(
            info, "invalid_request", detail=tr("no result: chatglm.cn does not know this assistant_id"), **facts
        )
    kind, retryable = _classify(code, status, message)
    return _error(info, kind, code=code, detail=message, retryable=retryable, **facts)


def last_error(error: object, info: RequestInfo) -> StatusError:
    """Return the error for a frame's `last_error`."""
    if not isinstance(error, dict):
        error = {"message": error}
    if error.get("intervene_text"):
        return intervened_error(error, info)
    code, message = _code(error, "error_code", "code"), _message(error)
    kind, retryable = _classify(code, None, message)
    return _error(info, kind, code=code, detail=message, retryable=retryable)


def intervened_error(error: object, info: RequestInfo) -> StatusError:
    """Return the error for a reply that moderation cut, with the notice in its `last_error`."""
    notice = error.get("intervene_text") if isinstance(error, dict) else None
    return _error(info, "content_filter", detail=_text(notice))


def ending_error(info: RequestInfo, *, empty: bool, again: bool) -> ProviderError:
    """Return the error for a stream that ended without a finish frame.

    Args:
        info: What to name.
        empty: Whether it held nothing.
        again: Whether asking again may help if it did.
    """
    instead = tr(_INSTEAD)
    if empty:
        message = join_sentences(
            tr("The stream ended without content ({origin}).", origin=info),
            "" if again else tr("Perhaps the conversation is too long: start over with --new."),
            tr("Run the cell again; or {instead}", instead=instead),
        )
        return ProtocolError(message, kind="empty", retryable=again, **info.facts())
    message = tr(
        "The stream ended before a finish frame ({origin}). "
        "What had arrived is kept; %chatglm continue goes on, or run the cell again; or {instead}",
        origin=info,
        instead=instead,
    )
    return BrokenStreamError(message, retryable=True, **info.facts())


def _error(info: RequestInfo, kind: ErrorKind, **facts: Any) -> StatusError:  # noqa: ANN401 - those of `status_error`
    remedy = tr(_REMEDY.get(kind, _USUAL_REMEDY), instead=tr(_INSTEAD))
    return status_error(kind, remedy=remedy, **info.facts(), **facts)


def _classify(code: str | None, status: int | None, message: str) -> tuple[ErrorKind, bool]:
    for pattern, kind, retryable in _BY_WORDS:
        if re.search(pattern, message, re.IGNORECASE):
            return kind, retryable
    known = _BY_CODE.get(code or "") or _BY_STATUS.get(status or 0)
    return known or ("server", (status or 0) >= _SERVER_FAULT)


def _message(value: Mapping[str, Any]) -> str:
    for name in ("err_msg", "message", "msg", "detail", "error"):
        words = value.get(name)
        if isinstance(words, dict):
            words = words.get("message") or words
        if words:
            return _text(words)
    return ""


def _code(value: Mapping[str, Any], *names: str) -> str | None:
    """Return the first code under these names, as text; zero is none."""
    for name in names:
        code = value.get(name)
        if isinstance(code, (int, str)) and not isinstance(code, bool) and code not in {0, "", "0"}:
            return str(code)
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value) if value else ""
