"""What is asked for over HTTP, and what comes back instead of a stream: values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType

from .._errors import ProviderError
from .._values import dataclass
from .._version import __version__
from .answers import EVENT_STREAM


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no event stream.

    Attributes:
        status: HTTP status.
        content_type: Media type in lower case, without parameters.
        body: The first 64 KiB of the body.
        headers: The answer's headers, names in lower case.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Call:
    """One POST, and whom to name when it fails.

    Attributes:
        url: Where to.
        body: JSON.
        provider: The provider's name, for messages.
        model: The model's name, for messages.
        explain: Turns an answer that is no event stream into the error to raise.
        headers: Further headers, over the usual ones; never the key.
        key: Sent as `Authorization: Bearer`, to this URL's own host only.
        proxy: An http or https proxy; empty for what the environment says. Loopback always goes direct.
        timeout: Seconds without an event (pings do not count) after which the stream is given up.
        connect_timeout: Seconds to reach the host.
        one_at_a_time: Whether only one request per key may be in flight (the platforms).
        notify: Told in one sentence why nothing has come yet.
    """

    url: str
    body: bytes
    provider: str
    model: str
    explain: Callable[[Refusal], ProviderError]
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    key: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    timeout: float = 120.0
    connect_timeout: float = 15.0
    one_at_a_time: bool = False
    notify: Callable[[str], None] | None = field(default=None, compare=False, repr=False)


def headers_of(call: Call, method: str) -> dict[str, str]:
    """Give the headers of a call. The key cannot be read from their repr: tracebacks show locals.

    Args:
        call: What is asked for.
        method: `POST`, answered by a stream, or `GET`, answered by JSON.
    """
    headers = {
        "Accept": EVENT_STREAM if method == "POST" else "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"chatglm-magic/{__version__} (+aiohttp)",
    }
    if method == "POST":
        headers["Content-Type"] = "application/json"
    if call.key:
        headers["Authorization"] = _Hidden(f"Bearer {call.key}")
    names = {name.lower(): name for name in headers}
    for name, value in call.headers.items():
        if name.lower() != "authorization" or not call.key:
            headers[names.get(name.lower(), name)] = value
    return headers


class _Hidden(str):
    """Text that is sent as it is, and shown as stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
