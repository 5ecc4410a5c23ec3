"""What can go wrong between us and a server, in words; no I/O."""

from __future__ import annotations

import errno
import os
import socket
from urllib.parse import urlsplit

from .._errors import (
    BrokenStreamError,
    ConfigError,
    ConnectError,
    ProtocolError,
    ProviderError,
    StalledError,
    shorten,
)
from .._urls import is_loopback
from .call import Call

_PROXY_PASSWORD = 407


class Failures:
    """Makes the errors of one call; each says what happened, to what, and what to do next.

    Args:
        call: Whom it is about.
        proxy: The proxy in between; empty for none. Its credentials are never shown.

    Attributes:
        host: Host and port that are asked.
    """

    def __init__(self, call: Call, proxy: str = "") -> None:
        self._call = call
        self._proxy = _host(proxy)
        self.host = _host(call.url)

    def stalled(self, seconds: float) -> ProviderError:
        """No event came for so long."""
        what = f"No event from {self.host} for {seconds:g} s"
        return self._make(StalledError, f"{what}. Run the cell again, or wait longer with --timeout S.")

    def broken(self) -> ProviderError:
        """The connection ended in the middle of the stream."""
        what = f"The connection to {self.host} broke before the reply was complete"
        return self._make(BrokenStreamError, f"{what}. What had arrived is kept; ask again.", retryable=True)

    def no_answer(self) -> ProviderError:
        """The connection ended before a status came."""
        what = f"{self.host} closed the connection without an answer"
        return self._make(ConnectError, f"{what}. Try again in a moment.", retryable=True)

    def late(self) -> ProviderError:
        """There was no connection in time."""
        return self._nobody(f"no connection within {self._call.connect_timeout:g} s", retryable=True)

    def unknown_name(self, error: OSError) -> ProviderError:
        """The host has no address; final, unless the resolver says that it could not ask."""
        return self._nobody("the name is not known", retryable=error.errno == socket.EAI_AGAIN)

    def unreachable(self, error: OSError) -> ProviderError:
        """The system could not connect.

        A refusal on this machine is final: there is no network to recover, only a server to start.
        """
        final = error.errno == errno.ECONNREFUSED and is_loopback(self._call.url)
        return self._nobody(os.strerror(error.errno) if error.errno else "no connection", retryable=not final)

    def untrusted(self, error: Exception) -> ProviderError:
        """TLS failed: because of the certificate, or because the server speaks none."""
        why = getattr(error, "verify_message", "")
        if not why:
            what = f"No TLS connection to {self.host}, so nothing was sent"
            return self._make(ConnectError, f"{what}. Does it speak plain http? Then write http://, not https://.")
        return self._make(
            ConnectError,
            f"The certificate of {self.host} is not trusted ({shorten(why, 100)}), so nothing was sent. Check the "
            "address; where a company's proxy signs anew, name its CA file in SSL_CERT_FILE before Jupyter starts.",
        )

    def proxy_failed(self, status: int | None) -> ProviderError:
        """The proxy did not let us through; status None: it did not answer at all."""
        if status == _PROXY_PASSWORD:
            remedy = "Write it like http://user:password@host:port."
            return self._make(ConnectError, f"The proxy {self._proxy} wants a user and a password. {remedy}")
        why = f"it answered HTTP {status}" if status else "no connection to it"
        return self._make(
            ConnectError,
            f"The proxy {self._proxy} does not lead to {self.host} ({why}). "
            "Check proxy=, or http_proxy and https_proxy in the environment.",
            retryable=True,
        )

    def malformed(self) -> ConfigError:
        """The URL cannot be asked."""
        return ConfigError(f"{self.host!r} cannot be asked: the base URL is malformed.")

    def no_http(self, why: str) -> ProviderError:
        """What came is no HTTP."""
        what = f"{self.host} answered with what is no HTTP ({shorten(why, 160)})"
        return self._make(ProtocolError, f"{what}. Check the base URL: http or https, and the port.")

    def redirected(self, location: str, status: int) -> ProviderError:
        """The server sends the request elsewhere, or in circles."""
        return self._make(
            ProtocolError,
            f"{self.host} sends the request on to {_bare(location)} (HTTP {status}). Key and prompt stay here; "
            "if you trust that address, use it as the base URL.",
        )

    def compressed(self, encoding: str) -> ProviderError:
        """The stream is compressed; decoding it would let a few bytes grow to gigabytes."""
        return self._make(
            ProtocolError,
            f"{self.host} compresses its stream ({shorten(encoding, 20)}), though it was asked not to. "
            "Switch compression off there, or in the proxy in between.",
        )

    def no_json(self, body: bytes) -> ProviderError:
        """The answer should have been JSON, of reasonable length."""
        return self._make(ProtocolError, f"{self.host} answered with what is no JSON: {_quote(body)}.")

    def no_events(self, why: str, head: bytes) -> ProviderError:
        """The stream cannot be cut into events."""
        return self._make(ProtocolError, f"{self.host} sends what is no chat stream: {why}, beginning {_quote(head)}.")

    def _nobody(self, why: str, *, retryable: bool) -> ProviderError:
        local = is_loopback(self._call.url)
        remedy = "Is the server running, and on this port?" if local else "Check the address and the network."
        return self._make(ConnectError, f"Nothing answers at {self.host} ({why}). {remedy}", retryable=retryable)

    def _make(self, kind: type[ProviderError], message: str, *, retryable: bool = False) -> ProviderError:
        call = self._call
        return kind(message, provider=call.provider, model=call.model, host=self.host, retryable=retryable)


def _host(url: str) -> str:
    """Give host and port of a URL as they are written there, without credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _bare(url: str) -> str:
    """Give a URL without credentials, query and fragment, short enough for a message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what is no URL"
    return shorten(parts._replace(netloc=_host(url), query="", fragment="").geturl(), 120)


def _quote(data: bytes) -> str:
    return repr(shorten(data[:200].decode("utf-8", "replace"), 80))
