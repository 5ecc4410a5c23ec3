"""What can go wrong between us and a server: aiohttp's failures become ours here, and nowhere else; no I/O."""

from __future__ import annotations

import errno
import os
import socket
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from .._credentials import is_loopback, mask_of
from .._errors import (
    BrokenStreamError,
    ChatGLMError,
    ConfigError,
    ConnectError,
    ProtocolError,
    ProviderError,
    StalledError,
    shorten,
)
from .._language import join_sentences, tr
from .call import Call
from .watchdog import Watchdog


class Failures:
    """The errors of one call; each says what happened, to what, and what to do next.

    As a context manager it replaces the failures of aiohttp and of the system by these errors. What it raises has no
    context: a reader is helped by our sentence, not by aiohttp's frames.

    Args:
        call: The call that failed.
        proxy: The proxy in between; empty for none. Its credentials are never shown.
        watchdog: Knows whether a failure is one that it brought about.

    Attributes:
        host: Host and port that are asked.
        streaming: Whether the answer has begun.
    """

    def __init__(self, call: Call, proxy: str = "", watchdog: Watchdog | None = None) -> None:
        self._call = call
        self._proxy = _host(proxy)
        self._proxy_user = "@" in urlsplit(proxy).netloc
        self._watchdog = watchdog
        self.host = _host(call.url)
        self.streaming = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, ChatGLMError) or not isinstance(error, Exception):
            return
        failure = self._translate(error)
        if failure is not None:
            try:
                raise failure
            finally:
                failure.__context__ = None

    def _translate(self, error: Exception) -> ChatGLMError | None:
        """Return our error for one of aiohttp's or the system's; None for any other."""
        import aiohttp
        from aiohttp.http_exceptions import HttpProcessingError

        failure: ChatGLMError | None = None
        match error:
            case _ if self._watchdog is not None and self._watchdog.bitten:
                failure = self.stalled()
            case aiohttp.ConnectionTimeoutError():
                failure = self.late()
            case aiohttp.ServerTimeoutError():
                failure = self.stalled()
            case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
                failure = self.proxy_failed(getattr(error, "status", None))
            case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
                failure = self.untrusted(getattr(error, "certificate_error", error))
            case aiohttp.ClientConnectorDNSError():
                failure = self.unknown_name(error.os_error)
            case aiohttp.ClientConnectorError():
                failure = self.unreachable(error.os_error)
            case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | UnicodeError():
                failure = self.malformed()
            case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
                failure = self.broken() if self.streaming else self.no_answer()
            case aiohttp.ClientError() | aiohttp.WSMessageTypeError() | HttpProcessingError():
                failure = self.no_http(str(error))
        return failure

    def stalled(self) -> ProviderError:
        """No event came for too long."""
        return self._make(
            StalledError,
            tr(
                "No event from {host} for {seconds:g} s. Run the cell again, or wait longer with --timeout S.",
                host=self.host,
                seconds=self._call.timeout,
            ),
        )

    def broken(self) -> ProviderError:
        """The connection ended in the middle of the stream."""
        message = tr(
            "The connection to {host} broke before the reply was complete. "
            "What had arrived is kept; %chatglm continue goes on, or run the cell again.",
            host=self.host,
        )
        return self._make(BrokenStreamError, message, retryable=True)

    def no_answer(self) -> ProviderError:
        """The connection ended before a status came."""
        message = tr("{host} closed the connection without an answer. Try again in a moment.", host=self.host)
        return self._make(ConnectError, message, retryable=True)

    def late(self) -> ProviderError:
        """There was no connection in time."""
        reason = tr("no connection within {seconds:g} s", seconds=self._call.connect_timeout)
        return self._nobody(reason, retryable=True)

    def unknown_name(self, error: OSError) -> ProviderError:
        """The host has no address; final, unless the resolver says that it could not ask."""
        return self._nobody(tr("the name is not known"), retryable=error.errno == socket.EAI_AGAIN)

    def unreachable(self, error: OSError) -> ProviderError:
        """The system could not connect.

        A refusal on this machine is final: there is no network to recover, only a server to start.
        """
        final = error.errno == errno.ECONNREFUSED and is_loopback(self._call.url)
        return self._nobody(os.strerror(error.errno) if error.errno else tr("no connection"), retryable=not final)

    def untrusted(self, error: Exception) -> ProviderError:
        """TLS failed: because of the certificate, or because the server speaks none."""
        reason = getattr(error, "verify_message", "")
        if not reason:
            message = tr(
                "No TLS connection to {host}, so nothing was sent. "
                "Does it speak plain http? Then write http://, not https://.",
                host=self.host,
            )
            return self._make(ConnectError, message)
        message = tr(
            "The certificate of {host} is not trusted ({reason}), so nothing was sent. Check the "
            "address; where a company's proxy signs anew, name its CA file in SSL_CERT_FILE before Jupyter starts.",
            host=self.host,
            reason=shorten(reason, 100),
        )
        return self._make(ConnectError, message)

    def proxy_failed(self, status: int | None) -> ProviderError:
        """The proxy did not let us through; status None: it did not answer at all."""
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            if self._proxy_user:
                what = tr("The proxy {proxy} did not accept that user and password.", proxy=self._proxy)
            else:
                what = tr("The proxy {proxy} wants a user and a password.", proxy=self._proxy)
            remedy = tr("Write them like http://user:password@host:port, with %40 for an @ in them.")
            return self._make(ConnectError, join_sentences(what, remedy))
        message = tr(
            "The proxy {proxy} does not lead to {host} ({reason}). "
            "Check proxy=, or http_proxy and https_proxy in the environment.",
            proxy=self._proxy,
            host=self.host,
            reason=tr("it answered HTTP {status}", status=status) if status else tr("no connection to it"),
        )
        again = not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return self._make(ConnectError, message, retryable=again)

    def malformed(self) -> ConfigError:
        """The URL cannot be asked."""
        return ConfigError(tr("{host!r} cannot be asked: the base URL is malformed.", host=self.host))

    def no_http(self, reason: str) -> ProviderError:
        """What came is no HTTP."""
        message = tr(
            "{host} answered with what is no HTTP ({reason}). Check the base URL: http or https, and the port.",
            host=self.host,
            reason=shorten(reason, 160),
        )
        return self._make(ProtocolError, message)

    def redirected(self, location: str, status: int) -> ProviderError:
        """The server sends the request elsewhere, or in circles."""
        message = tr(
            "{host} sends the request on to {address} (HTTP {status}). Key and prompt stay here; "
            "if you trust that address, use it as the base URL.",
            host=self.host,
            address=_bare(location),
            status=status,
        )
        return self._make(ProtocolError, message)

    def compressed(self, encoding: str, reason: str) -> ProviderError:
        """The stream is compressed in a way that cannot be read, or a few bytes would grow to gigabytes."""
        message = tr(
            "{host} compresses its stream ({encoding}), though it was asked not to, and this cannot "
            "be read: {reason}. Switch compression off there, or in the proxy in between.",
            host=self.host,
            encoding=shorten(encoding, 20),
            reason=shorten(reason, 80),
        )
        return self._make(ProtocolError, message)

    def no_json(self, body: bytes) -> ProviderError:
        """The answer should have been JSON, of reasonable length."""
        message = tr("{host} answered with what is no JSON: {body}.", host=self.host, body=_quote(body))
        return self._make(ProtocolError, message)

    def no_events(self, reason: str, head: bytes) -> ProviderError:
        """The stream cannot be cut into events."""
        message = tr(
            "{host} sends what is no chat stream: {reason}, beginning {head}.",
            host=self.host,
            reason=reason,
            head=_quote(head),
        )
        return self._make(ProtocolError, message)

    def _nobody(self, reason: str, *, retryable: bool) -> ProviderError:
        what = tr("Nothing answers at {host} ({reason}).", host=self.host, reason=reason)
        if is_loopback(self._call.url):
            remedy = tr("Is the server running, and on this port?")
        else:
            remedy = tr("Check the address and the network.")
        return self._make(ConnectError, join_sentences(what, remedy), retryable=retryable)

    def _make(self, kind: type[ProviderError], message: str, *, retryable: bool = False) -> ProviderError:
        call = self._call
        return kind(message, provider=call.provider, model=call.model, host=self.host, retryable=retryable)


def hide_key(error: ProviderError, key: str) -> ProviderError:
    """Return an error, the key that was sent masked in its words: some services repeat the one that they refuse.

    Last of all, as a mask in a body that is still to be read could change what it says.
    """
    if mask := mask_of(frozenset({key})):
        error.args = tuple(mask.shortened(arg) if isinstance(arg, str) else arg for arg in error.args)
        vars(error).update({name: mask(value) for name, value in vars(error).items() if isinstance(value, str)})
    return error


@lru_cache(64)
def _host(url: str) -> str:
    """Return host and port of a URL as they are written there, without credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _bare(url: str) -> str:
    """Return a URL without credentials, query and fragment, short enough for a message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return tr("what is no URL")
    return shorten(parts._replace(netloc=_host(url), query="", fragment="").geturl(), 120)


def _quote(data: bytes) -> str:
    return repr(shorten(data[:200].decode("utf-8", "replace"), 80))
