"""What chatglm.cn says when it refuses: words first, then its own codes, then HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from web_frames import INFO

from chatglm_magic._errors import ProviderError, StatusError
from chatglm_magic._transport.call import Refusal
from chatglm_magic.providers.chatglm.errors import explain, last_error


def explained(status: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return explain(Refusal(status, "application/json", raw, headers or {}), INFO)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "retryable"),
    [
        (200, {"status": 500, "message": "您已多次体验过对话, 请登录后继续使用"}, "quota", "500", False),
        (200, {"status": 1, "message": "当前访问人数过多，请稍后重试"}, "rate_limit", "1", True),
        (429, {"status": 10061, "message": ""}, "rate_limit", "10061", True),
        (429, {"status": 10061, "message": "请求过于频繁"}, "rate_limit", "10061", True),
        (200, {"code": 40012, "message": "bad request"}, "invalid_request", "40012", False),
        (401, {"status": 40102, "message": "token expired"}, "auth", "40102", False),
        (401, {}, "auth", None, False),
        (403, {"message": "no"}, "blocked", None, False),
        (200, {"status": 7, "message": "内容涉及敏感信息"}, "content_filter", "7", False),
        (200, {"status": 0, "result": None}, "invalid_request", None, False),
        (500, {"status": 1, "message": "oops"}, "server", "1", True),
        (200, {"status": 1, "message": "系统异常，请稍后再试"}, "server", "1", True),
        (200, {"status": 1301, "message": "服务异常"}, "server", "1301", False),
        (422, {"validation_error": {"body_params": []}}, "invalid_request", None, False),
        (200, {"detail": "no such thing"}, "server", None, False),
        (405, b"<html>blocked</html>", "blocked", None, False),
        (200, b"", "blocked", None, False),
        (502, b"<html>bad gateway</html>", "server", None, True),
        (429, b"slow down", "rate_limit", None, True),
        (200, b"[1]", "blocked", None, False),
        (200, b"[" * 100_000, "blocked", None, False),
        (200, b'{"error":' * 900 + b"1" + b"}" * 900, "server", None, False),
    ],
)
def test_refusals(status: int, body: Any, kind: str, code: str | None, retryable: bool) -> None:  # noqa: FBT001 - a table
    """Each way to refuse has its kind; the platforms' codes are never read into it."""
    error = explained(status, body)

    assert isinstance(error, StatusError)
    assert (error.kind, error.code, error.retryable, error.status) == (kind, code, retryable, status)
    assert "chatglm.cn" in str(error)
    assert "official API" in str(error)
    assert "-m local" in str(error)


def test_how_long_to_wait() -> None:
    """`Retry-After` is passed on."""
    error = explained(429, {"status": 10061, "message": "busy"}, {"retry-after": "7"})

    assert isinstance(error, StatusError)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("wire", "kind", "code", "detail"),
    [
        ({"error_code": 10024, "err_msg": "服务异常"}, "server", "10024", "服务异常"),
        ({"code": "1301", "message": "当前访问人数过多"}, "rate_limit", "1301", "当前访问人数过多"),
        ({"intervene_text": "No."}, "content_filter", None, "No."),
        ({"message": {"a": 1}}, "server", None, '{"a": 1}'),
        ("plain words", "server", None, "plain words"),
        (["odd"], "server", None, '["odd"]'),
    ],
)
def test_last_errors(wire: object, kind: str, code: str | None, detail: str) -> None:
    """A frame's `last_error` is read in any of the shapes that were seen."""
    error = last_error(wire, INFO)

    assert (error.kind, error.code, error.detail) == (kind, code, detail)
