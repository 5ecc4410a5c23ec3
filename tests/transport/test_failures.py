"""aiohttp's failures become ours, and none of them shows the key."""

from __future__ import annotations

import asyncio
import errno
import inspect
import socket
import ssl
import traceback
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey
from asking import call_to, fail, lookup, read, run

from chatglm_magic._errors import ChatGLMError, ConfigError, ConnectError, ProtocolError, TransportError
from chatglm_magic._transport import get_json
from chatglm_magic._transport.failures import Failures

KEY = "sk-0123456789.secret"
URL = "http://192.0.2.1:8000/v1"
CONNECTION = ConnectionKey("192.0.2.1", 8000, False, True, None, None, None)
REQUEST = aiohttp.RequestInfo(URL, "POST", {"Authorization": KEY}, URL)
ARGUMENTS = {
    client_exceptions.UnixClientConnectorError: ("/socket", CONNECTION, OSError(2, "gone")),
    client_exceptions.ServerFingerprintMismatch: (b"a", b"b", "host", 1),
    client_exceptions.ClientConnectorError: (CONNECTION, OSError(errno.ECONNREFUSED, "refused")),
    client_exceptions.ClientConnectorCertificateError: (CONNECTION, ssl.SSLCertVerificationError(1, "self-signed")),
    client_exceptions.ClientResponseError: (REQUEST, ()),
    client_exceptions.InvalidURL: ("http://x",),
    client_exceptions.ServerDisconnectedError: (),
    http_exceptions.LineTooLong: ("line", "8190", "9000"),
    http_exceptions.HttpProcessingError: (),
    http_exceptions.BadHttpMessage: ("bad",),
}


def every_class(module):
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


def an_instance(kind):
    """Make one, with the arguments of the nearest class that has some."""
    arguments = next((ARGUMENTS[base] for base in kind.__mro__ if base in ARGUMENTS), ("what happened",))
    return kind(*arguments)


def mapped(error, *, streaming, bitten=False):
    """Return what the mapping makes of an error."""
    mapping = Failures(call_to(URL, key=KEY), watchdog=SimpleNamespace(bitten=bitten))
    mapping.streaming = streaming
    with pytest.raises(BaseException) as caught, mapping:
        raise error
    return caught.value


def test_the_walk_sees_all_that_aiohttp_names():
    """The classes below are all of `client_exceptions.__all__`, and more."""
    names = {kind.__name__ for kind in every_class(client_exceptions)}

    assert set(client_exceptions.__all__) <= names


@pytest.mark.parametrize("streaming", [False, True], ids=["before", "within"])
@pytest.mark.parametrize("kind", [*every_class(client_exceptions), *every_class(http_exceptions)])
def test_every_failure_of_aiohttps_is_one_of_ours(kind, streaming):
    """No exception class of aiohttp's client passes unmapped, before or within a stream."""
    ours = mapped(an_instance(kind), streaming=streaming)

    assert isinstance(ours, (ConfigError, TransportError, ProtocolError))
    assert type(ours) is not TransportError
    assert ours.__context__ is None
    assert ours.__cause__ is None
    assert "192.0.2.1:8000" in str(ours)
    assert KEY not in str(ours)


@pytest.mark.parametrize("error", [OSError(5, "io"), TimeoutError(), ConnectionResetError(), UnicodeError("idna")])
def test_failures_of_the_system_are_ours_too(error):
    """What sockets and resolvers raise past aiohttp is mapped as well."""
    assert isinstance(mapped(error, streaming=True), ChatGLMError)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyError(1), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()]
)
def test_what_is_nobodys_failure_passes(error):
    """Our own mistakes and every kind of interruption pass unchanged."""
    assert mapped(error, streaming=True) is error


def test_our_own_errors_pass():
    """An error that is ours already is not wrapped."""
    error = ConfigError("as it is")

    assert mapped(error, streaming=False) is error


def test_a_bite_outranks_what_it_caused():
    """When the watchdog has closed the connection, the stall is the failure, not the closed connection."""
    ours = mapped(client_exceptions.ClientConnectionError("Connection closed"), streaming=True, bitten=True)

    assert ours.kind == "stalled"


@pytest.mark.parametrize(
    ("url", "number", "retryable"),
    [
        (URL, errno.ECONNREFUSED, True),
        (URL, errno.ENETUNREACH, True),
        ("http://127.0.0.1:8000", errno.ECONNREFUSED, False),
        ("http://[::1]:8000", errno.ECONNREFUSED, False),
        ("http://127.0.0.1:8000", errno.ETIMEDOUT, True),
    ],
)
def test_only_a_refusal_on_this_machine_is_final(url, number, retryable):
    """A network may recover in a moment; a server that is not started does not start by itself."""
    error = Failures(call_to(url)).unreachable(OSError(number, "x"))

    assert error.retryable is retryable
    assert ("Is the server running" in str(error)) is not url.startswith(URL[:9])


@pytest.mark.parametrize(("number", "retryable"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)])
def test_an_unknown_name_is_final(number, retryable):
    """A name that does not exist is not asked again; a resolver that is not there is."""
    error = Failures(call_to("https://api.invalid")).unknown_name(OSError(number, "x"))

    assert error.retryable is retryable
    assert "api.invalid" in str(error)


def rendered(error):
    """Render a traceback as verbose modes do: with every frame's locals."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


SCENES = {
    "refusal": lambda glm: glm.refuse(401, "1000", "bad key"),
    "page": lambda glm: glm.html_error_page(),
    "stall": lambda glm: glm.stall_after(1),
    "reset": lambda glm: glm.reset_after(1),
    "redirect": lambda glm: glm.redirect("http://evil.invalid/"),
    "bomb": lambda glm: glm.gzip_bomb(1),
}


@pytest.mark.parametrize("scene", SCENES)
def test_no_traceback_shows_the_key(glm, scene):
    """However a request fails, message, repr and traceback with locals are free of the key."""
    SCENES[scene](glm)

    error = run(fail(call_to(glm.url, key=KEY, timeout=0.2)))[1]

    assert glm.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in rendered(error)
    assert KEY not in repr(error) + str(error.args) + repr(vars(error))


def test_no_traceback_of_a_cancellation_shows_the_key(glm):
    """A cancelled request's traceback goes through aiohttp's frames, and shows stars there."""
    glm.never_answers()

    async def main():
        task = asyncio.create_task(read(call_to(glm.url, key=KEY)))
        await glm.until(lambda: glm.open == 1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return rendered(error)

    text = run(main())

    assert "'Authorization': '***'" in text
    assert KEY not in text


def test_no_repr_shows_the_key():
    """A call's repr has neither key nor proxy, whose URL may hold a password."""
    text = repr(call_to(URL, key=KEY, proxy="http://user:hunter2@127.0.0.1:9"))

    assert KEY not in text
    assert "hunter2" not in text


def test_a_failing_lookup_does_not_show_the_key(glm):
    """The same for `get_json`."""
    glm.on_get.html_error_page(200)

    async def main():
        try:
            await get_json(lookup(glm.url, key=KEY))
        except ChatGLMError as error:
            return rendered(error)

    assert KEY not in run(main())


def test_messages_say_what_where_and_what_next():
    """Each failure names the host and ends with what to do; none is longer than a few lines."""
    make = Failures(call_to(URL), "http://user:hunter2@proxy.invalid:3128")
    errors = [
        make.stalled(),
        make.broken(),
        make.no_answer(),
        make.late(),
        make.untrusted(ssl.SSLError("x")),
        make.proxy_failed(None),
        make.proxy_failed(407),
        make.no_http("x" * 1000),
        make.redirected("http://a.invalid/" + "x" * 1000, 302),
        make.compressed("br" * 1000, "not supported"),
        make.no_json(b"\xff" * 1000),
        make.no_events("too long", b"data: " + b"x" * 1000),
    ]

    for error in errors:
        assert len(str(error)) < 400
        assert "hunter2" not in str(error)
        assert str(error).endswith((".", "S.", "host:port."))
        assert (error.provider, error.model, error.host) == ("test", "glm-4.7", "192.0.2.1:8000")
    assert all(isinstance(error, ConnectError) for error in errors[2:7])
