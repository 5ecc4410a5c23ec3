"""Which way a request goes, and where the key goes with it: proxies, redirects, TLS."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from asking import call_to, fail, lookup, read, run
from fake_proxy import FakeProxy
from glm_server import FakeGLM

from chatglm_magic._errors import ConfigError, ConnectError, ProtocolError
from chatglm_magic._transport import get_json

KEY = "sk-0123456789.secret"
CERTIFICATE = Path(__file__).parents[1] / "tls" / "glm_invalid.pem"
"""Made for these tests: signed by itself for glm.invalid, a name that cannot exist."""
ELSEWHERE = "http://glm.invalid/v1"


@pytest.fixture
def proxy(glm):
    """Start a proxy that leads to the fake server."""
    glm.say()
    with FakeProxy(glm.port) as running:
        yield running


@pytest.fixture
def tls():
    """Start a fake server that speaks TLS with a certificate of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    with FakeGLM(context) as server:
        server.say()
        yield server


# Proxies


def test_a_named_proxy_is_used(proxy, glm):
    """A request elsewhere goes through the proxy that was named."""
    assert run(read(call_to(ELSEWHERE, proxy=proxy.url))).endswith(b"[DONE]\n\n")

    assert proxy.requests[0].startswith("POST http://glm.invalid/v1/chat/completions HTTP/1.1")
    assert glm.requests[0].headers["host"] == "glm.invalid"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_environments_proxy_is_used(proxy, glm, monkeypatch, name):
    """Without a named proxy the environment's is asked, written with or without its scheme."""
    if name.isupper():
        monkeypatch.delenv("REQUEST_METHOD", raising=False)  # with it, CGI would forbid the upper-case name
    monkeypatch.setenv(name, proxy.url.removeprefix("http://"))

    run(read(call_to(ELSEWHERE)))

    assert len(proxy.requests) == len(glm.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_goes_direct(proxy, glm, monkeypatch, host):
    """A server on this machine is asked directly, whatever environment and caller say."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = f"http://{host}:{glm.port}/v1"

    run(read(call_to(url, key=KEY)))
    run(read(call_to(url, key=KEY, proxy=proxy.url)))
    run(get_json(lookup(url, proxy="socks5://127.0.0.1:9")))

    assert len(glm.requests) == 2
    assert proxy.requests == []


def test_the_proxys_own_credentials_are_sent_to_it(proxy, glm, monkeypatch):
    """User and password in the proxy's URL go to the proxy, and the service's key to the service."""
    monkeypatch.setenv("CHATGLM_ALLOW_HTTP", "glm.invalid")
    proxy.password = base64.b64encode(b"user:hunter2").decode()
    url = proxy.url.replace("//", "//user:hunter2@")

    run(read(call_to(ELSEWHERE, proxy=url, key=KEY)))

    assert len(glm.requests) == 1
    assert glm.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("user", "words"),
    [("", "wants a user and a password"), ("user:hunter2@", "did not accept that user and password")],
    ids=["none", "wrong"],
)
def test_a_proxy_that_wants_a_password(proxy, glm, scheme, user, words):
    """HTTP 407 is the proxy's own word: it names the proxy, and says whether there was a password, not which."""
    proxy.password = "eA=="  # noqa: S105 - nobody knows it
    url = proxy.url.replace("//", f"//{user}")

    error = run(fail(call_to(f"{scheme}://glm.invalid/v1", proxy=url), ConnectError))[1]

    assert words in str(error)
    assert proxy.url.removeprefix("http://") in str(error)
    assert "hunter2" not in str(error)
    assert not error.retryable
    assert glm.requests == []


def test_a_proxy_that_leads_nowhere(proxy, glm):
    """A proxy that refuses to connect, or is not there, is named as what failed; one that forbids it is final."""
    for status, retryable in ((502, True), (403, False)):
        proxy.status = status
        error = run(fail(call_to("https://glm.invalid/v1", proxy=proxy.url), ConnectError))[1]
        assert f"HTTP {status}" in str(error)
        assert error.retryable is retryable
    dead = glm.refused_url.removesuffix("/v1")
    error = run(fail(call_to(ELSEWHERE, proxy=dead), ConnectError))[1]

    assert f"proxy {dead.removeprefix('http://')}" in str(error)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:9", "socks5h://u:hunter2@127.0.0.1:9", "ftp://127.0.0.1"])
@pytest.mark.parametrize("by", ["caller", "environment"])
def test_proxies_of_another_kind_are_a_config_error(glm, monkeypatch, url, by):
    """A socks proxy is never silently passed over: that could be the one way out that hides a user."""
    if by == "environment":
        monkeypatch.setenv("http_proxy", url)

    error = run(fail(call_to(ELSEWHERE, proxy=url if by == "caller" else ""), ConfigError))[1]

    assert "not supported" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port", "http://u:hunter2@:80", "http://[::1"])
def test_proxies_that_are_no_url(url):
    """A proxy that cannot be read is a ConfigError that shows nothing of it."""
    error = run(fail(call_to(ELSEWHERE, proxy=url), ConfigError))[1]

    assert "is no URL" in str(error)
    assert "hunter2" not in str(error)


# TLS


def test_tls_through_a_proxy_hides_the_key(tls):
    """Through CONNECT the proxy learns the host, and neither key nor prompt; an unknown certificate stops it."""
    with FakeProxy(tls.port) as proxy:
        error = run(fail(call_to("https://glm.invalid/v1", proxy=proxy.url, key=KEY), ConnectError))[1]

    assert "not trusted" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert proxy.requests[0].startswith("CONNECT glm.invalid:443 HTTP/1.1")
    assert KEY not in proxy.requests[0]
    assert "uthorization" not in proxy.requests[0]
    assert tls.requests == []


def test_an_untrusted_certificate_stops_the_request(tls):
    """Certificates are always checked, on this machine too; nothing is sent before."""
    error = run(fail(call_to(f"https://127.0.0.1:{tls.port}/v1", key=KEY), ConnectError))[1]

    assert "not trusted" in str(error)
    assert not error.retryable
    assert tls.requests == []


def test_plain_http_asked_by_https(glm):
    """A server that speaks no TLS is a ConnectError that says which scheme to write."""
    error = run(fail(call_to(glm.url.replace("http:", "https:"), key=KEY), ConnectError))[1]

    assert "http://, not https://" in str(error)


def test_a_trusted_certificate_is_accepted(tls):
    """With its CA named in SSL_CERT_FILE a server is asked over TLS, here through a proxy's CONNECT."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "helpers")!r})
from asking import call_to, read, run
print(run(read(call_to("https://glm.invalid/v1", proxy=sys.argv[1], key={KEY!r})))[-14:])
"""
    with FakeProxy(tls.port) as proxy:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, proxy.url],
            env={**os.environ, "SSL_CERT_FILE": str(CERTIFICATE)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    assert done.returncode == 0, done.stderr
    assert "[DONE]" in done.stdout
    assert tls.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in proxy.requests[0]


def test_a_key_is_not_sent_in_the_clear(proxy, glm):
    """Over plain http a key goes to this machine only, unless the user allows the host; nothing is sent."""
    error = run(fail(call_to(ELSEWHERE, proxy=proxy.url, key=KEY), ConfigError))[1]

    assert "CHATGLM_ALLOW_HTTP=glm.invalid" in str(error)
    assert KEY not in str(error)
    assert proxy.requests == glm.requests == []


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_within_the_origin_are_followed(glm, status):
    """A redirect within the same origin gets the same POST, key and body."""
    glm.redirect("/v2/chat/completions?a=1", status)
    glm.say()

    run(read(call_to(glm.url, key=KEY)))

    first, second = glm.requests
    assert second.path == "/v2/chat/completions?a=1"
    assert (second.method, second.body) == ("POST", first.body)
    assert second.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_elsewhere_are_not_followed(glm, status):
    """Neither key nor prompt leaves the origin; the message names the address, without its secrets."""
    with FakeGLM() as other:
        other.say()
        glm.redirect(f"{other.origin.replace('//', '//user:hunter2@')}/v1?token=hunter2", status)
        error = run(fail(call_to(glm.url, key=KEY), ProtocolError))[1]

        assert other.requests == []
    assert f"{other.origin}/v1 (HTTP {status})" in str(error)
    assert "hunter2" not in str(error)
    assert KEY not in str(error)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:0/", "https://[::1", "javascript:alert(1)", "//evil.invalid/", "http:", "x" * 5000]
)
def test_redirects_to_anything(glm, location):
    """Whatever a Location says, the request stays within its origin."""
    glm.redirect(location)

    error = run(fail(call_to(glm.url, key=KEY), ProtocolError))[1]

    assert len(str(error)) < 400
    assert {request.headers["host"] for request in glm.requests} == {glm.origin.removeprefix("http://")}


def test_redirects_in_circles_end(glm):
    """A server that redirects to itself is given up after a few hops, each connection closed."""
    glm.redirect("/v1/chat/completions")

    async def main():
        error = (await fail(call_to(glm.url), ProtocolError))[1]
        await asyncio.sleep(0)
        return error

    assert "sends the request on" in str(run(main()))
    assert 2 <= len(glm.requests) <= 10


def test_see_other_is_not_followed(glm):
    """303 would turn the POST into a GET, which answers no chat."""
    glm.redirect("/v2", 303)

    assert "HTTP 303" in str(run(fail(call_to(glm.url), ProtocolError))[1])
    assert len(glm.requests) == 1
