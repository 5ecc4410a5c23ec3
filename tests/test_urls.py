"""Where a URL leads."""

from __future__ import annotations

import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._urls import check_key_travel, is_loopback, origin


@pytest.mark.parametrize("url", ["", "ftp://a/b", "127.0.0.1:8000", "http://", "http://[::1", "http://a:x/"])
def test_what_is_no_base_url_is_said(url):
    """A base URL that is none is answered with an example of one."""
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:8000/v1"):
        origin(url)


def test_origin_fills_the_port_in():
    """Two URLs are of one origin if scheme, host and port agree."""
    assert origin("https://A.invalid/v1") == origin("https://a.invalid:443")
    assert origin("http://a.invalid") != origin("https://a.invalid")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.9.9.9/", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.evil.invalid", False),
        ("http://127.evil.invalid", False),
    ],
)
def test_loopback_is_told_from_names_that_look_like_it(url, expected):
    """Only this machine is loopback."""
    assert is_loopback(url) is expected


def test_a_host_may_be_allowed_plain_http(monkeypatch):
    """The user may allow a host in so many words."""
    monkeypatch.setenv("CHATGLM_ALLOW_HTTP", "lab, other")

    check_key_travel("http://lab:8000", "sk-1")
    check_key_travel("http://127.0.0.1:8000", "sk-1")
    with pytest.raises(ConfigError, match="CHATGLM_ALLOW_HTTP=elsewhere"):
        check_key_travel("http://elsewhere:8000", "sk-1")
