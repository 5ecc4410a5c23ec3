"""Where a URL leads: its origin, whether that is this machine, whether a key may go there; no I/O."""

from __future__ import annotations

import ipaddress
import os
from typing import Self
from urllib.parse import urlsplit

from ._errors import ConfigError


class Key(str):
    """A key: a string that does not show itself, so that no traceback with its frames' values does.

    Each is taken note of, so that it can be kept out of what is written.
    """

    __slots__ = ()

    def __new__(cls, value: str = "") -> Self:
        """Make a key of a string."""
        if value:
            _seen.add(str(value))
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return "[key]" if self else "''"


_seen: set[str] = set()


def seen_keys() -> frozenset[str]:
    """Give every key that this process has had in its hands."""
    return frozenset(_seen)


def origin(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port of a URL, the port filled in.

    Raises:
        ConfigError: This is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{url!r} is no base URL. Write it like http://127.0.0.1:8000/v1."
        raise ConfigError(msg)
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme]


def is_loopback(url: str) -> bool:
    """Tell whether a URL stays on this machine."""
    host = origin(url)[1]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, however much it looks like an address
        return False


def check_key_travel(url: str, key: str) -> None:
    """Refuse to send a key in the clear.

    Raises:
        ConfigError: The key would go over plain http to another machine and its host is not named in
            `CHATGLM_ALLOW_HTTP` (hosts, separated by commas).
    """
    scheme, host, _ = origin(url)
    allowed = {name.strip() for name in os.environ.get("CHATGLM_ALLOW_HTTP", "").split(",")}
    if key and scheme == "http" and not is_loopback(url) and host not in allowed:
        msg = (
            f"A key would travel unencrypted to {host}. Use https, or allow this host by "
            f"setting CHATGLM_ALLOW_HTTP={host}; without a key, plain http works."
        )
        raise ConfigError(msg)
