"""Refusals: codes before HTTP status before words, in every shape that servers write them in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_frames import ASKED, many

from chatglm_magic._errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ProtocolError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
    StatusError,
)
from chatglm_magic._transport.call import Refusal
from chatglm_magic.providers._platform_errors import Asked, explain, read_complaint


def refused(status: int, body: object, content_type: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return explain(Refusal(status, content_type, raw, {k.replace("_", "-"): v for k, v in headers.items()}), ASKED)


def coded(status: int, code: object, message: str = "words") -> Any:
    return refused(status, {"error": {"code": code, "message": message}})


@pytest.mark.parametrize(
    ("codes", "status", "kind", "retryable"),
    [
        ("1000 1001 1002 1003 1004 1005", 401, "auth", False),
        ("1113 1309 1314", 429, "billing", False),
        ("1220", 403, "permission", False),
        ("1311 1313 1315", 429, "permission", False),
        ("1210 1212 1213 1214 1215 1221 1222", 400, "invalid_request", False),
        ("1211", 400, "model_not_found", False),
        ("1261", 400, "context_length", False),
        ("1301", 400, "content_filter", False),
        ("1302 1305", 429, "rate_limit", True),
        ("1308 1310 1316 1317 1318 1319 1320 1321", 429, "quota", False),
        ("500 1200 1230 1234", 500, "server", True),
    ],
)
def test_platform_codes(codes: str, status: int, kind: str, retryable: bool) -> None:  # noqa: FBT001 - a table
    """The platforms' own codes decide, as text or as numbers: a 429 alone does not mean trying again."""
    for code in codes.split():
        for error in (coded(status, code), coded(status, int(code)), refused(status, {"code": int(code), "msg": "w"})):
            assert (kind, code, status, retryable) == (error.kind, error.code, error.status, error.retryable)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "no", "invalid_request"),
        (400, "This model's maximum context length is 4096 tokens", "context_length"),
        (401, "no", "auth"),
        (402, "no", "billing"),
        (403, "no", "permission"),
        (404, "The model `x` does not exist.", "model_not_found"),
        (404, "Not Found", "invalid_request"),
        (408, "no", "server"),
        (413, "no", "invalid_request"),
        (422, "no", "invalid_request"),
        (429, "no", "rate_limit"),
        (434, "no beta", "permission"),
        (435, "too big", "invalid_request"),
        (500, "no", "server"),
        (503, "Loading model", "server"),
    ],
)
def test_status_where_there_is_no_code(status: int, words: str, kind: str) -> None:
    """Without a known code the HTTP status decides, and its words where it is vague."""
    for body in ({"error": {"message": words, "code": None}}, {"error": words}, {"detail": words}):
        error = refused(status, body)
        assert (kind, None, words) == (error.kind, error.code, error.detail)
        assert error.retryable == (kind in {"rate_limit", "server"})


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
            "invalid_request",
            "too long",
        ),
        ({"error": {"message": "m", "type": "exceed_context_size_error", "code": 400}}, "context_length", "m"),
        ({"error": {"message": "m", "code": "context_length_exceeded"}}, "context_length", "m"),
        ({"error": {"message": "m", "type": "insufficient_quota"}}, "billing", "m"),
        ({"error": {"code": "1234"}}, "server", ""),
        ([{"error": {"message": "m"}}], "invalid_request", "m"),
        ({"error": {"error": {"message": "m"}}}, "invalid_request", "m"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "invalid_request", "field required"),
        ({"error": ["odd"]}, "invalid_request", "odd"),
        ({"error": {}}, "invalid_request", '{"error": {}}'),
    ],
)
def test_shapes_of_bodies(body: object, kind: str, words: str) -> None:
    """Every known shape of an error body is understood, and an unknown one is quoted."""
    error = refused(400, body)

    assert kind == error.kind
    assert words in error.detail


def test_wrong_path() -> None:
    """Spring's answer to a wrong path names the path and sends the reader to the base URL."""
    body = {"timestamp": "2026-10-01", "status": 404, "error": "Not Found", "path": "/v4/v4/chat/completions"}

    error = refused(404, body)

    assert (error.kind, error.code, error.detail) == ("invalid_request", None, "Not Found: /v4/v4/chat/completions")
    assert "base URL" in str(error)


def test_quota_with_its_renewal() -> None:
    """The time a quota is renewed at is read as the platforms mean it, and told."""
    error = coded(429, "1308", "已达到 5 小时的使用上限。您的限额将在 2026-10-01 18:30:00 重置。")

    assert isinstance(error, QuotaError)
    assert error.reset_at == "2026-10-01T18:30:00+08:00"
    assert "2026-10-01T18:30:00+08:00" in str(error)
    assert coded(429, "1308", "at 2026-13-41 99:00:00").reset_at is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "-3"}, 0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after_ms": "inf", "retry_after": "2"}, 2),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """How long to wait is read from either header, in either form."""
    error = refused(429, {"error": {"code": "1302", "message": "w"}}, **headers)

    assert isinstance(error, RateLimitError)
    assert seconds == error.retry_after


def test_retry_after_a_date() -> None:
    """A date to wait for is turned into seconds from now."""
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)

    assert 500 < refused(429, {"error": "w"}, retry_after=date).retry_after <= 600


PAGE = b"<!DOCTYPE html><html><head><title>Request\n blocked</title></head><body>x</body></html>"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (403, "blocked", BlockedError),
        (405, "blocked", BlockedError),
        (401, "auth", AuthenticationError),
        (502, "server", ServerError),
        (404, "protocol", ProtocolError),
        (200, "protocol", ProtocolError),
    ],
)
@pytest.mark.parametrize("content_type", ["text/html", ""])
def test_pages(status: int, kind: str, error: type[ProviderError], content_type: str) -> None:
    """A page made for browsers is a gate, a proxy's error or the wrong address; its title is quoted, not its markup."""
    found = refused(status, PAGE, content_type)

    assert (kind, error) == (found.kind, type(found))
    assert "Request blocked" in str(found)
    assert "<" not in str(found)


def test_no_stream() -> None:
    """A whole completion is no stream, and an answer of another kind is quoted; both in one line."""
    whole = refused(200, {"object": "chat.completion", "choices": [{"message": {"content": "x" * 9_000}}]})
    other = refused(200, {"hello": "world"})

    assert (ProtocolError, ProtocolError) == (type(whole), type(other))
    assert "in one piece" in str(whole)
    assert '"hello": "world"' in str(other)
    assert all(len(str(error)) < 500 and "\n" not in str(error) for error in (whole, other))


def test_empty_answer() -> None:
    """An answer without a body says so, and may be tried again."""
    error = refused(200, b"", "text/plain")

    assert (error.kind, error.retryable) == ("empty", True)


def test_error_with_status_200() -> None:
    """An error that comes with HTTP 200 is one; an envelope that reports success is none."""
    assert isinstance(refused(200, {"code": 401, "msg": "token expired"}), AuthenticationError)
    assert isinstance(refused(200, {"error": {"message": "no such option", "code": 400}}), BadRequestError)
    assert isinstance(refused(200, {"code": 200, "msg": "ok"}), ProtocolError)


def test_plain_text() -> None:
    """A refusal in plain words is passed on, shortened and on one line."""
    error = refused(500, b"upstream\n\nconnect error " + b"x" * 5_000, "text/plain")

    assert isinstance(error, ServerError)
    assert error.detail.startswith("upstream connect error")
    assert len(str(error)) < 600


def test_keys_of_the_other_platform() -> None:
    """Where a platform does not accept a key, the error names the other one, whose keys look the same."""
    body = b'{"error":{"code":"1000","message":"token expired or incorrect"}}'

    for name, other in (("zai", "bigmodel"), ("bigmodel", "zai")):
        error = explain(Refusal(401, "application/json", body), Asked(name, "glm-4.7", "h"))
        assert f"-m {other}" in str(error)


def test_names_who_was_asked() -> None:
    """An error names the provider, the model and the host."""
    error = coded(429, "1302")

    assert (error.provider, error.model, error.host) == ("openai", "glm-demo", "127.0.0.1:8000")
    assert "glm-demo at 127.0.0.1:8000" in str(error)


@many
@given(st.integers(200, 599), st.sampled_from(["application/json", "text/html", ""]), st.binary(max_size=200))
def test_any_body(status: int, content_type: str, body: bytes) -> None:
    """Any body at all is explained by one of our errors, in one line."""
    error = refused(status, body, content_type)

    assert isinstance(error, ProviderError)
    assert "\n" not in str(error)


@many
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "code", "message", "msg", "detail", "type", "object", "path", "choices"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_body(body: object) -> None:
    """JSON of any shape is either no complaint or an error with words."""
    complaint = read_complaint(body)

    assert complaint is None or isinstance(complaint.message, str)
    assert isinstance(refused(429, body), (StatusError, ProtocolError))
