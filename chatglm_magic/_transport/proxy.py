"""Which way a request leaves this machine: directly, or through which proxy; no I/O."""

from __future__ import annotations

from urllib.parse import urlsplit

from .._errors import ConfigError
from .._urls import is_loopback


def proxy_for(url: str, proxy: str = "") -> str:
    """Give the proxy for a URL, or an empty string for the direct way.

    A URL on this machine is always asked directly, whatever is set: the local model's key and the
    conversation with it must not reach a proxy, and a proxy elsewhere could not find it. Otherwise a
    named proxy is used, else what the environment says (`http_proxy`, `https_proxy`, `no_proxy`; the
    system's settings on macOS and Windows). Credentials in the proxy's URL are kept.

    Args:
        url: What will be asked.
        proxy: An http or https proxy that the user named; empty for the environment's.

    Raises:
        ConfigError: The proxy is of another kind (socks) or its URL cannot be read. The message shows
            no credentials.
    """
    if is_loopback(url):
        return ""
    if proxy:
        return _checked(proxy, "proxy=")
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    found = getproxies().get(parts.scheme, "")
    if not found or proxy_bypass(parts.hostname or ""):
        return ""
    return _checked(found, f"{parts.scheme}_proxy")


def _checked(proxy: str, named_by: str) -> str:
    whole = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(whole)
        readable = parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number
        readable = False
    if not readable:
        raise ConfigError(f"The proxy in {named_by} is no URL. Write it like http://127.0.0.1:7890.")
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(
            f"The proxy in {named_by} is a {parts.scheme} proxy, which is not supported. Use the http port of the "
            "same proxy, like http://127.0.0.1:7890, or name none to go directly."
        )
    return whole
