"""Refusals: codes before words before HTTP status, in every shape that servers write them in."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_frames import ASKED, many

from chatglm_magic._errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ErrorKind,
    ProtocolError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
    StatusError,
    status_error,
)
from chatglm_magic._transport.call import Refusal
from chatglm_magic.providers.openai.errors import RequestInfo, explain, read_complaint


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
        (413, "no", "context_length"),
        (422, "no", "invalid_request"),
        (429, "no", "rate_limit"),
        (434, "no beta", "permission"),
        (435, "too big", "invalid_request"),
        (500, "no", "server"),
        (501, "no", "invalid_request"),
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
        ({"base_resp": {"status_code": 1008, "status_msg": "m"}}, "billing", "m"),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "m"}}, "rate_limit", "m"),
        ({"error": {"code": "1002", "message": "Too many requests"}}, "rate_limit", "Too many"),
        ({"Response": {"Error": {"Code": "AuthFailure", "Message": "m"}}}, "auth", "m"),
        ({"header": {"code": 10013, "message": "input sensitive"}}, "content_filter", "input sensitive"),
        ({"error_code": 17, "error_msg": "daily request limit reached"}, "quota", "daily"),
        ({"detail": {"error": {"code": "model_not_found", "message": "m"}}}, "model_not_found", "m"),
        ({"detail": {"message": "Insufficient Balance"}}, "billing", "Insufficient Balance"),
        ({"error": {"message": '{"error": {"code": "1113", "message": "m"}}'}}, "billing", "m"),
        ({"error": '{"code": "1261", "msg": "m"}'}, "context_length", "m"),
        ({"error": {"message": "odd", "metadata": {"raw": "prompt is too long"}}}, "context_length", "too long"),
        ({"code": "Client error", "error": "Incorrect API key provided: x***"}, "auth", "x***"),
        ({"errors": [{"message": "Model not found"}]}, "model_not_found", "Model not found"),
        ({"error": {"message": "Unsupported parameter", "param": "stop"}}, "invalid_request", "(stop)"),
        ("Invalid token", "auth", "Invalid token"),
        (b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"1113","message":"m"}\n\n', "billing", "m"),
        (
            b'data: {"error": {"message": "\xe4\xbd\x99\xe9\xa2\x9d\xe4\xb8\x8d\xe8\xb6\xb3"}}\n\n',
            "billing",
            "余额不足",
        ),
        (b"data: no JSON at all\n\n", "invalid_request", "no JSON at all"),
        (
            {"detail": [{"loc": ["body", "stop"], "msg": "too odd", "input": "余额不足"}]},
            "invalid_request",
            "body.stop: too",
        ),
    ],
)
def test_shapes_of_bodies(body: object, kind: str, words: str) -> None:
    """Every known shape of an error body is understood, and an unknown one is quoted."""
    error = refused(400, body)

    assert kind == error.kind
    assert words in error.detail


WORDINGS = [line.split(" ", 2) for line in Path(__file__).with_name("wordings.txt").read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("kind", "status", "words"), WORDINGS)
def test_words_of_services(kind: str, status: str, words: str) -> None:
    """What services say in English and Chinese counts more than their status and codes of their own."""
    for body in ({"error": {"message": words}}, {"code": 20012, "message": words}, {"detail": words}, {"error": words}):
        error = refused(int(status), body)
        assert (kind, error.kind in {"rate_limit", "server"}) == (error.kind, error.retryable), body


@pytest.mark.parametrize(
    ("status", "body", "headers", "keyless", "words"),
    [
        (401, {"error": "no"}, {}, "http://h:1", ("No key was sent", "%chatglm login http://h:1")),
        (400, {"error": "API key is missing"}, {}, "http://h:1", ("No key was sent",)),
        (401, {"error": "no"}, {}, "", ("not accepted",)),
        (
            401,
            {"error": "no"},
            {"www-authenticate": 'Basic realm="x"'},
            "",
            ("a user and a password (Basic)", "tunnel"),
        ),
        (401, {"error": "no"}, {"www-authenticate": "Basic, Bearer"}, "http://h:1", ("No key was sent",)),
        (405, {"detail": "Method Not Allowed"}, {}, "", ("takes no questions", "base URL")),
        (405, b"<html><title>405 Not Allowed</title></html>", {}, "", ("takes no questions", "base URL")),
        (407, b"<html><title>no</title></html>", {}, "", ("proxy", "user and a password", "proxy=")),
        (413, b"<html><title>413 Too Large</title></html>", {}, "", ("too large for h:1, or for a proxy", "--new")),
        (500, {"error": "Jinja Exception: roles must alternate"}, {}, "", ("chat template", "--new")),
        (400, {"error": "Unknown parameter: 'chat_template_kwargs'"}, {}, "", ("Thinking", "without --think")),
        (404, {"error": "Not Found"}, {}, "", ("base URL",)),
        (403, b"<html><title>Sign in</title></html>", {}, "", ("base URL",)),
        (402, {"error": "no"}, {}, "", ("balance",)),
    ],
)
def test_advice_fits(status: int, body: object, headers: dict[str, str], keyless: str, words: tuple[str, ...]) -> None:
    """What to do next is what helps in this case; on one's own server there is no word of Z.ai."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = explain(Refusal(status, "text/html", raw, headers), RequestInfo("openai", "m", "h:1", keyless))

    assert [one for one in words if one not in str(error)] == []
    assert not [word for word in ("Z.ai", "zai", "BigModel", "bigmodel", "glm-4") if word in str(error)]


def test_own_servers_hear_no_word_of_a_platform() -> None:
    """No usual advice names the platforms: it may stand under the error of one's own server."""
    for kind in get_args(ErrorKind):
        if kind not in {"truncated", "empty", "connect", "stalled", "protocol", "config", "tool_call"}:
            assert not re.search("z.?ai|bigmodel|glm-", str(status_error(kind)), re.IGNORECASE)


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


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 20s.", 20),
        ("Too many requests, retry after 1.5 seconds", 1.5),
        ("try again in 7m12s", 432),
        ("try again in 1h2m", 3720),
        ("Rate limited: try again in 350ms", 0.35),
        ("Rate limited: try again later", None),
    ],
)
def test_a_wait_named_in_words(words: str, seconds: float | None) -> None:
    """How long to wait is read from the words where no header says it."""
    assert refused(429, {"error": words}).retry_after == seconds
    assert refused(429, {"error": words}, retry_after="3").retry_after == 3


def test_a_server_that_knows_that_a_retry_is_in_vain() -> None:
    """`x-should-retry: false` is believed."""
    assert not refused(500, {"error": "no"}, x_should_retry="false").retryable


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
    """An answer without a body says so, and what it may mean; asking again would bring no other."""
    error = refused(200, b"", "text/plain")

    assert (error.kind, error.retryable) == ("empty", False)
    assert "too long" in str(error)


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
        error = explain(Refusal(401, "application/json", body), RequestInfo(name, "glm-4.7", "h"))
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
