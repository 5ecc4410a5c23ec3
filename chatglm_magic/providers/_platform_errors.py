"""What a service complains of → one of our errors: codes first, then HTTP status, then words; no I/O.

The platforms' codes are from the error page of docs.bigmodel.cn and docs.z.ai. A 429 of theirs does not
mean "try again": only the inner code tells a rate limit from an empty balance.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

from .._errors import ErrorKind, ProtocolError, ProviderError, StatusError, shorten, status_error
from .._transport.call import Refusal
from .._values import dataclass
from ._openai_json import json_text

_BY_CODE: Mapping[str, ErrorKind] = MappingProxyType(
    {
        **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1005"), "auth"),
        **dict.fromkeys(("1113", "1309", "1314"), "billing"),
        **dict.fromkeys(("1220", "1311", "1313", "1315"), "permission"),
        **dict.fromkeys(("1210", "1212", "1213", "1214", "1215", "1221", "1222"), "invalid_request"),
        "1211": "model_not_found",
        "1261": "context_length",
        "1301": "content_filter",
        **dict.fromkeys(("1302", "1305"), "rate_limit"),
        **dict.fromkeys(("1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"), "quota"),
        **dict.fromkeys(("500", "1200", "1230", "1234"), "server"),
        # Codes and types of OpenAI's own errors, which local servers imitate.
        "content_filter": "content_filter",
        **dict.fromkeys(("context_length_exceeded", "exceed_context_size_error"), "context_length"),
        **dict.fromkeys(("invalid_api_key", "authentication_error"), "auth"),
        "permission_error": "permission",
        "insufficient_quota": "billing",
        "model_not_found": "model_not_found",
        **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error"), "rate_limit"),
    }
)

_BY_STATUS: Mapping[int, ErrorKind] = MappingProxyType(
    {
        **dict.fromkeys((401, 407), "auth"),
        402: "billing",
        **dict.fromkeys((403, 434), "permission"),
        **dict.fromkeys((408, 409, 425), "server"),
        429: "rate_limit",
    }
)
_SERVER_STATUS = 500
_BAD_STATUS = 400

_RESET = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")
_BEIJING = timezone(timedelta(hours=8))
_TOO_LONG = re.compile(
    r"context (?:length|size|window)|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_GATES = frozenset({403, 405})
_OTHER_KEY = MappingProxyType({"zai": "bigmodel", "bigmodel": "zai"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a service said was wrong.

    Attributes:
        message: Its words.
        code: Its own code, or None.
        type: Its own name for the kind of error; empty if it gave none.
    """

    message: str
    code: str | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to name in an error: the provider, its model, its host."""

    provider: str
    model: str = ""
    host: str = ""


def read_complaint(value: object) -> Complaint | None:
    """Find the complaint in a JSON value, in any of the shapes that servers use; None if there is none.

    `{"error": {…}}` with a code of text or a number, `{"error": "words"}`, the object alone, SGLang's flat
    `{"object": "error", …}`, the platforms' `{"code", "msg"}`, Spring's `{"status", "error", "path"}` and
    FastAPI's `{"detail": …}`.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, dict) and error:
        return _from_object(error)
    if isinstance(error, str) and error:
        path = value.get("path")
        return Complaint(f"{error}: {path}" if isinstance(path, str) else error, _code(value.get("code")))
    if error:
        return Complaint(_words(error))
    said = value.get("message") or value.get("msg") or value.get("detail") or value.get("errors")
    code = _code(value.get("code"))
    if said and "choices" not in value and (value.get("object") == "error" or code not in {"0", "200"}):
        return _from_object(value)
    return None


def refusal_error(
    complaint: Complaint, asked: Asked, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Build the error for a complaint.

    Args:
        complaint: What the service said.
        asked: Whom to name.
        status: HTTP status, None inside a stream.
        headers: The answer's headers, names in lower case: `Retry-After` is honoured.
    """
    kind = _classify(complaint, status)
    found = _RESET.search(complaint.message) if kind in {"quota", "billing", "rate_limit"} else None
    remedy = None
    if kind == "auth" and (other := _OTHER_KEY.get(asked.provider)):
        remedy = f"A key looks like id.secret and belongs to one host: try it with -m {other}, or make a new one."
    elif kind == "invalid_request" and status == 404:  # noqa: PLR2004 - HTTP's own number
        remedy = "Check the base URL: it ends where /chat/completions follows."
    return status_error(
        kind,
        provider=asked.provider,
        model=asked.model,
        host=asked.host,
        status=status,
        code=complaint.code,
        detail=complaint.message,
        retryable=kind in {"rate_limit", "server"},
        retry_after=seconds_to_wait(headers or {}),
        reset_at=_beijing(found) if found else None,
        remedy=remedy,
    )


def explain(refusal: Refusal, asked: Asked) -> ProviderError:
    """Turn an answer that is no event stream into the error to raise."""
    text = refusal.body.decode("utf-8", "replace").strip()
    marks = f"HTTP {refusal.status}"
    at = f"{asked.provider} at {asked.host}"
    about: dict[str, Any] = {"provider": asked.provider, "model": asked.model, "host": asked.host}
    if "html" in refusal.content_type or text.startswith("<"):
        return _explain_page(refusal, asked, text)
    value = _json(text)
    if complaint := read_complaint(value):
        return refusal_error(complaint, asked, status=refusal.status, headers=refusal.headers)
    if refusal.status >= _BAD_STATUS:
        return refusal_error(Complaint(shorten(text)), asked, status=refusal.status, headers=refusal.headers)
    if not text:
        msg = f"{at} gave an empty answer ({marks}). Run the cell again; if it stays empty, check the base URL."
        return ProtocolError(msg, kind="empty", retryable=True, **about)
    if isinstance(value, dict) and "choices" in value:
        what, next_step = "answered in one piece, not as a stream", "Use a server that can stream"
    else:
        what, next_step = "gave an answer that is no chat stream", "Check the base URL"
    kind = refusal.content_type or "no content type"
    return ProtocolError(f"{at} {what} ({marks}, {kind}): {shorten(text, 160)!r}. {next_step}.", **about)


def _explain_page(refusal: Refusal, asked: Asked, text: str) -> ProviderError:
    """Explain a page made for browsers: a gate, a proxy's error, or simply the wrong address."""
    title = _TITLE.search(text)
    words = shorten(title[1] if title else re.sub(r"<[^>]*>", " ", text[:4000]), 160)
    if refusal.status in _GATES:
        return status_error(
            "blocked",
            provider=asked.provider,
            model=asked.model,
            host=asked.host,
            status=refusal.status,
            detail=f"an HTML page: {words}",
        )
    if refusal.status >= _SERVER_STATUS or refusal.status in _BY_STATUS:
        return refusal_error(Complaint(words), asked, status=refusal.status, headers=refusal.headers)
    msg = (
        f"{asked.provider} at {asked.host} answered with an HTML page, not a chat stream "
        f"(HTTP {refusal.status}): {words!r}. Check the base URL."
    )
    return ProtocolError(msg, provider=asked.provider, model=asked.model, host=asked.host)


def _classify(complaint: Complaint, status: int | None) -> ErrorKind:
    for name in (complaint.code, complaint.type):
        if name in _BY_CODE and name is not None:
            return _BY_CODE[name]
    if status is None or status < _BAD_STATUS:  # inside a stream, some servers put the HTTP status into the code
        status = int(complaint.code) if complaint.code and re.fullmatch(r"[45]\d\d", complaint.code) else None
    if status in _BY_STATUS and status is not None:
        return _BY_STATUS[status]
    words = f"{complaint.message} {complaint.type}"
    if _TOO_LONG.search(words):
        return "context_length"
    if status is None or status >= _SERVER_STATUS:
        return "server"
    if status == 404 and "model" in words.lower():  # noqa: PLR2004 - HTTP's own number
        return "model_not_found"
    return "invalid_request"


def _from_object(error: dict[str, Any]) -> Complaint:
    while isinstance(inner := error.get("error"), dict) and inner and not error.get("message"):
        error = inner  # a gateway that wraps the service's own error
    kind = error.get("type")
    said = next((error[name] for name in ("message", "msg", "detail", "errors", "type") if error.get(name)), "")
    return Complaint(_words(said), _code(error.get("code")), kind if isinstance(kind, str) else "")


def _code(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def _words(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _json(text: str) -> object:
    try:
        value: object = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value


def _beijing(found: re.Match[str]) -> str | None:
    """Give a platform's time of day, which it means in UTC+8, as ISO text."""
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=_BEIJING).isoformat()
    except ValueError:
        return None


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` or `Retry-After` (seconds or a date), in seconds from now."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None
