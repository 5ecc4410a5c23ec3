"""What chatglm.cn says when it refuses, as errors of ours.

Its codes are a space of their own, undocumented and reused for unrelated things: words come first.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from .._errors import BrokenStreamError, ErrorKind, ProtocolError, ProviderError, StatusError, status_error
from .._transport.call import Refusal
from ._platform_errors import Asked, seconds_to_wait

_INSTEAD = "use the official API with a key (-m zai or -m bigmodel), or -m local, which needs none."
_REMEDY: dict[ErrorKind, str] = {
    "rate_limit": "Wait for other replies to end and run the cell again; or",
    "server": "Run the cell again in a moment; or",
    "content_filter": "Put the question differently; or",
    "quota": "chatglm.cn lets a guest ask only a few questions:",
    "blocked": "chatglm.cn is closed to plain clients, and this is not worked around:",
}
_NO_JSON = "non-JSON response (HTML or empty)"
_NO_RESULT = "no result: chatglm.cn does not know this assistant_id"

_WORDS: tuple[tuple[re.Pattern[str], ErrorKind, bool], ...] = (
    (re.compile("多次体验|登录后|次数已|额度|quota", re.IGNORECASE), "quota", False),
    (re.compile("敏感|违规|违反|不合规|sensitive", re.IGNORECASE), "content_filter", False),
    (
        re.compile(
            "人数过多|繁忙|频繁|请等待|too (?:many|frequent)|busy|rate.?limit|requests? frequency", re.IGNORECASE
        ),
        "rate_limit",
        True,
    ),
    (
        re.compile("token.*(?:expired|invalid)|令牌|过期|未登录|请先登录|鉴权|unauthorized", re.IGNORECASE),
        "auth",
        False,
    ),
    (re.compile("稍后|稍候|try again", re.IGNORECASE), "server", True),
)
_CODES: dict[str, tuple[ErrorKind, bool]] = {
    "10061": ("rate_limit", True),
    "40012": ("invalid_request", False),
    "40102": ("auth", False),
    "401": ("auth", False),
}
_STATUSES: dict[int, tuple[ErrorKind, bool]] = {
    400: ("invalid_request", False),
    401: ("auth", False),
    403: ("blocked", False),
    404: ("blocked", False),
    405: ("blocked", False),
    410: ("blocked", False),
    418: ("blocked", False),
    422: ("invalid_request", False),
    429: ("rate_limit", True),
}
_SERVER_FAULT = 500


class Refusals:
    """Builds the errors of one provider.

    Args:
        asked: Whom to name.
    """

    def __init__(self, asked: Asked | None = None) -> None:
        asked = asked or Asked("chatglm")
        self._about: dict[str, Any] = {"provider": asked.provider, "model": asked.model, "host": asked.host}
        self._where = f"{asked.provider} at {asked.host or 'chatglm.cn'}"

    def explain(self, refusal: Refusal) -> ProviderError:
        """Give the error for an answer that is no event stream."""
        retry_after = seconds_to_wait(refusal.headers)
        with suppress(ValueError, RecursionError):
            envelope = json.loads(refusal.body.decode("utf-8", "replace"), strict=False)
            if isinstance(envelope, dict):
                return self.envelope(envelope, refusal.status, retry_after)
        fault: tuple[ErrorKind, bool] = ("server", True) if refusal.status >= _SERVER_FAULT else ("blocked", False)
        kind, retryable = _STATUSES.get(refusal.status, fault)
        return self._error(kind, None, _NO_JSON, retryable, refusal.status, retry_after)

    def envelope(
        self, envelope: dict[str, Any], status: int | None = None, retry_after: float | None = None
    ) -> StatusError:
        """Give the error for a JSON object that stands where a stream should.

        Args:
            envelope: `{status|code, message, …}` or `{validation_error}`.
            status: HTTP status; None inside a stream.
            retry_after: Seconds to wait, where the service said so.
        """
        invalid = envelope.get("validation_error")
        if invalid:
            return self._error("invalid_request", None, json.dumps(invalid, ensure_ascii=False), False, status)
        code = next((_code(envelope[name]) for name in ("status", "code") if _code(envelope.get(name))), None)
        message = _message(envelope)
        if code is None and not message and "result" in envelope:
            return self._error("invalid_request", None, _NO_RESULT, False, status)
        kind, retryable = _classify(code, status, message)
        return self._error(kind, code, message, retryable, status, retry_after)

    def last_error(self, error: object) -> StatusError:
        """Give the error for a frame's `last_error`."""
        if not isinstance(error, dict):
            error = {"message": error}
        notice = error.get("intervene_text")
        if notice:
            return self.intervened(notice)
        code = next((_code(error[name]) for name in ("error_code", "code") if _code(error.get(name))), None)
        message = _message(error)
        kind, retryable = _classify(code, None, message)
        return self._error(kind, code, message, retryable, None)

    def intervened(self, notice: object) -> StatusError:
        """Give the error for a reply that moderation cut."""
        return self._error("content_filter", None, _string(notice), False, None)

    def truncated(self) -> BrokenStreamError:
        """Give the error for a stream that ended before its finish frame."""
        return BrokenStreamError(
            f"The stream ended before a finish frame ({self._where}). "
            f"What had arrived is kept. Run the cell again; or {_INSTEAD}",
            **self._about,
            retryable=True,
        )

    def empty(self) -> ProtocolError:
        """Give the error for a stream that ended without having said anything."""
        return ProtocolError(
            f"The stream ended without content ({self._where}). Run the cell again; or {_INSTEAD}",
            kind="empty",
            **self._about,
            retryable=True,
        )

    def _error(
        self,
        kind: ErrorKind,
        code: str | None,
        detail: str,
        retryable: bool,  # noqa: FBT001 - beside its kind, as in the tables
        status: int | None,
        retry_after: float | None = None,
    ) -> StatusError:
        first = _REMEDY.get(kind, "chatglm.cn is no official API:")
        return status_error(
            kind,
            **self._about,
            status=status,
            code=code,
            detail=detail,
            retryable=retryable,
            retry_after=retry_after,
            remedy=f"{first} {_INSTEAD}",
        )


def _classify(code: str | None, status: int | None, message: str) -> tuple[ErrorKind, bool]:
    """Find kind and whether trying again may help, from words, then code, then HTTP status."""
    for pattern, kind, retryable in _WORDS:
        if pattern.search(message):
            return kind, retryable
    if code in _CODES:
        return _CODES[code]
    if status in _STATUSES:
        return _STATUSES[status]
    return "server", status is not None and status >= _SERVER_FAULT


def _message(value: dict[str, Any]) -> str:
    for name in ("err_msg", "message", "msg", "detail", "error"):
        said = value.get(name)
        if isinstance(said, dict):
            said = said.get("message") or said
        if said:
            return _string(said)
    return ""


def _code(value: object) -> str | None:
    """Give a code as text; zero and nothing are none."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return str(value) if value and value != "0" else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value else ""
