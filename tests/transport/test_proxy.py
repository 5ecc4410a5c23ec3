"""Which way a request leaves this machine."""

from __future__ import annotations

import pytest

from chatglm_magic._errors import ConfigError
from chatglm_magic._transport.call import proxy_for

PROXY = "http://127.0.0.1:3128"
HOST = "https://api.invalid/v1"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "https://[::1]/v1"])
def test_loopback_is_direct(url, monkeypatch):
    """This machine is asked directly, even where a proxy was named, even where it could not be used."""
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("https_proxy", PROXY)

    assert proxy_for(url) == ""
    assert proxy_for(url, PROXY) == ""
    assert proxy_for(url, "socks5://127.0.0.1:9") == ""


def test_without_settings_all_is_direct():
    """No proxy is guessed."""
    assert proxy_for(HOST) == ""


def test_the_environment_is_asked_by_scheme(monkeypatch):
    """`https_proxy` is for https, `http_proxy` for http, and `all_proxy` for neither, as aiohttp has it."""
    monkeypatch.setenv("https_proxy", PROXY)
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")

    assert proxy_for(HOST) == PROXY
    assert proxy_for("http://api.invalid") == ""


@pytest.mark.parametrize(
    ("names", "expected"), [("api.invalid", ""), ("*", ""), (".invalid", ""), ("b.invalid", PROXY)]
)
def test_no_proxy_names_exceptions(names, expected, monkeypatch):
    """Hosts named in `no_proxy` are asked directly; a named proxy is used for them too."""
    monkeypatch.setenv("https_proxy", PROXY)
    monkeypatch.setenv("no_proxy", names)

    assert proxy_for(HOST) == expected
    assert proxy_for(HOST, "http://127.0.0.1:9") == "http://127.0.0.1:9"


def test_credentials_are_kept():
    """User and password of a proxy are what it needs."""
    assert proxy_for(HOST, "http://user:hunter2@proxy.invalid") == "http://user:hunter2@proxy.invalid"
    assert proxy_for(HOST, "proxy.invalid:3128") == "http://proxy.invalid:3128"


@pytest.mark.parametrize(
    "proxy", ["socks5://u:hunter2@127.0.0.1:9", "http://u:hunter2@", "http://u:hunter2@h:p", "://"]
)
def test_what_cannot_be_used_is_said(proxy):
    """A proxy that cannot be used is a ConfigError that names the place and shows no password."""
    with pytest.raises(ConfigError, match="proxy=") as caught:
        proxy_for(HOST, proxy)

    assert "hunter2" not in str(caught.value)
