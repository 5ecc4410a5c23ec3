"""Where a URL leads: its origin, and whether that is this machine; no I/O."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ._errors import ConfigError


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
