"""Where keys come from, and where they may go.

A key comes from the environment, or from `%chatglm login`, which keeps it in the system's keyring or in a file that
only the user can read. Each key belongs to one origin (scheme, host and port) and is sent to no other.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, SupportsIndex, cast
from urllib.parse import urlsplit

from ._errors import ConfigError
from ._language import tr

KEY_NAMES: Mapping[str, str] = MappingProxyType(
    {"zai": "ZAI_API_KEY", "bigmodel": "ZHIPUAI_API_KEY", "openai": "CHATGLM_API_KEY"}
)
"""The environment variable that may hold each provider's key."""

HOSTS: Mapping[str, str] = MappingProxyType({"zai": "https://api.z.ai", "bigmodel": "https://open.bigmodel.cn"})
"""The platforms' own hosts."""

USUAL_PORTS: Mapping[str, int] = MappingProxyType({"http": 80, "https": 443})

MASK = "[key]"
"""What is shown in a key's place."""

_SHORT, LONG_KEY = 8, 16
"""Characters from which a key with a digit, and any key, cannot be taken for a word."""

_HEAD = 4
"""Characters of a key's beginning that are searched for first: most texts hold none of them."""

_SERVICE = "chatglm-magic"
"""The name under which the keyring holds the keys."""

_AROUND = " \t\r\n\f\v\u00a0\u3000\u200b\u200c\u200d\u2060\ufeff\"'`\u201c\u201d\u2018\u2019"
"""What stands around a key that was copied out of a page, a file or a command."""
_BEFORE = re.compile(
    r"(?:(?:export|set)\s+|\$env:)?(?:[\w-]*(?:key|authorization)['\"]?\s*[=:\uff1a]\s*)?['\"]?(?:bearer\s+)?",
    re.IGNORECASE,
)
"""What stands before it: the name of a variable or a header, and the header's scheme."""

_seen: set[str] = set()
"""Keys themselves, not plain texts: where this module is pickled by value, they are refused too."""


class NeverPickled:
    """Base of what holds, or may hold, a key: neither pickled nor copied, as a key would travel in clear."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Raise TypeError: what `pickle` and `copy` call.

        Raises:
            TypeError: Always.
        """
        name = type(self).__name__
        raise TypeError(
            tr(
                "{name} is neither pickled nor copied, as a key would travel with it. Make a new one where it is "
                "needed; a key is found there in the environment, or by %chatglm login.",
                name=name,
            )
        )


def bare_key(text: str) -> str:
    """Return a key without what was copied with it: blanks, quotes, `Bearer`, the name of its variable or header."""
    return _BEFORE.sub("", text.strip(_AROUND), count=1).strip(_AROUND)


class Key(str):
    """A key: a string whose repr hides it, so that tracebacks that show local variables do not.

    Each key made in this process is recorded (`seen_keys`), so that it can be kept out of what is written.
    """

    __slots__ = ()

    def __new__(cls, value: str = "") -> Self:
        made = super().__new__(cls, bare_key(value))
        if made:
            _seen.add(made)
        return made

    def __repr__(self) -> str:
        return MASK if self else "''"

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Raise TypeError, as `NeverPickled` does; an empty key is no secret."""
        return NeverPickled.__reduce_ex__(cast("Any", self), protocol) if self else str.__reduce_ex__(self, protocol)


class Mask(NeverPickled):
    """Replaces keys in texts. It holds them, so neither a pickle nor `vars` has what it holds.

    Args:
        keys: The keys; those that may be ordinary words (`x`, `null`, `password`) are left alone.
    """

    __slots__ = ("_heads", "_keys", "pattern")

    def __init__(self, keys: Iterable[str]) -> None:
        secrets = {key for key in keys if _is_secret(key)}
        secrets |= {json.dumps(key)[1:-1] for key in secrets}  # as they are written inside JSON
        self._keys = sorted(secrets, key=len, reverse=True)
        self._heads = {key[:_HEAD] for key in self._keys}
        self.pattern = re.compile("|".join(map(re.escape, self._keys)) or r"(?!)")

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __call__(self, text: str) -> str:
        """Return a text without keys."""
        return self.pattern.sub(MASK, text) if self.may_be_in(text) else text

    def may_be_in(self, text: str) -> bool:
        """Return False where a text holds no key, as a quick check tells."""
        return any(head in text for head in self._heads)

    def beginning(self, text: str) -> int:
        """Return how many characters at a text's end may begin a key."""
        most = 0
        for key in self._keys:
            at = text.find(key[0], max(0, len(text) - len(key) + 1))
            while 0 <= at < len(text) - most:
                if key.startswith(text[at:]):
                    most = len(text) - at
                at = text.find(key[0], at + 1)
        return most

    def take(self, text: str) -> tuple[str, str]:
        """Split a growing text: what is certain, without keys, and its end, which may begin a key."""
        masked = self(text)
        sure = len(masked) - self.beginning(masked)
        return masked[:sure], masked[sure:]

    def shortened(self, text: str) -> str:
        """Return a text without keys, nor the beginning of one where the text was cut (`…`)."""
        *cut, last = self(text).split("…")
        return "…".join([*(part[: len(part) - self.beginning(part)] for part in cut), last])


def _is_secret(key: str) -> bool:
    return len(key) >= LONG_KEY or (len(key) >= _SHORT and any(letter.isdigit() for letter in key))


@cache
def mask_of(keys: frozenset[str]) -> Mask:
    """Return the mask of these keys; the same object for the same keys."""
    return Mask(keys)


def seen_keys() -> frozenset[str]:
    """Return every key that this process has used."""
    return frozenset(_seen)


@lru_cache(64)
def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL; the port is the scheme's usual one where the URL names none.

    Raises:
        ConfigError: The URL is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    readable = url.strip().isprintable()  # a letter that nobody sees would be part of the path
    if parts is None or parts.scheme not in USUAL_PORTS or not parts.hostname or not readable:
        raise ConfigError(tr("{url!r} is no base URL. Write it like http://127.0.0.1:8000/v1.", url=url))
    return parts.scheme, parts.hostname, port or USUAL_PORTS[parts.scheme]


@lru_cache(64)
def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    host = origin(url)[1]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, however much it looks like an address
        return False


def check_key_travel(url: str, key: str) -> None:
    """Check that a key would not be sent unencrypted to another machine; an empty one may go anywhere.

    Raises:
        ConfigError: It would, and the host is not named in `CHATGLM_ALLOW_HTTP` (hosts, separated by commas).
    """
    scheme, host, _ = origin(url)
    if not key or scheme != "http":
        return
    allowed = {name.strip() for name in os.environ.get("CHATGLM_ALLOW_HTTP", "").split(",")}
    if not is_loopback(url) and host not in allowed:
        raise ConfigError(
            tr(
                "A key would travel unencrypted to {host}. Use https, or allow this host by "
                "setting CHATGLM_ALLOW_HTTP={host}; without a key, plain http works.",
                host=host,
            )
        )


def find_key(provider: str, base_url: str = "", configured_base_url: str = "") -> str:
    """Return the key for a provider at a host: from the environment, else one kept by `login`, else an empty string.

    A platform's key in the environment goes to the platform's own host only. `CHATGLM_API_KEY` goes only to
    the host that the user configured (environment or `%config`), never to one that a notebook names by
    itself with `--base-url`. A kept key goes to the host that it was given for.

    Args:
        provider: The provider's name.
        base_url: Where the request will go; empty for the provider's own host.
        configured_base_url: The server that the user configured outside the call.
    """
    return Key(_find(provider, base_url, configured_base_url)[0])


def key_place(provider: str, base_url: str = "", configured_base_url: str = "") -> str:
    """Return where the key that `find_key` returns comes from, in words for the user: "none" where there is none."""
    key, variable = _find(provider, base_url, configured_base_url)
    if variable:
        return tr("{variable} in the environment", variable=variable)
    return tr("kept by %chatglm login") if key else tr("none")


def _find(provider: str, base_url: str, configured_base_url: str) -> tuple[str, str]:
    """Return a key, and the environment variable that holds it; empty strings where there is none."""
    name = KEY_NAMES.get(provider, "")
    own = HOSTS.get(provider, configured_base_url)
    target = base_url or own
    if not name or not target:
        return "", ""
    key = Key(os.environ.get(name, ""))
    if key and own and origin(own) == origin(target):
        return key, name
    return load_key(target), ""


def environment_keys() -> set[str]:
    """Return every key in the environment, other services' too: the values of all variables named `…_API_KEY`."""
    return {bare_key(value) for name, value in os.environ.items() if name.upper().endswith("_API_KEY")} - {""}


def save_key(url: str, key: str) -> str:
    """Keep a key for a URL's scheme, host and port, in place of an earlier one; return where, in words for the user.

    Raises:
        ConfigError: It cannot be kept anywhere.
    """
    host, key = _host(url), Key(key)
    if (keyring := _keyring()) is not None:
        with contextlib.suppress(Exception):  # a locked or broken keyring: the file serves
            keyring.set_password(_SERVICE, host, key)
            _write({name: kept for name, kept in _read().items() if name != host})
            return tr("the system's keyring")
    _write({**_read(), host: key})
    return str(_path())


def load_key(url: str) -> str:
    """Return the key kept for a URL's host, or an empty string."""
    host = _host(url)
    if (keyring := _keyring()) is not None:
        with contextlib.suppress(Exception):  # a broken keyring holds nothing
            if kept := keyring.get_password(_SERVICE, host):
                return Key(kept)
    return Key(_read().get(host, ""))


def kept_keys(urls: Iterable[str] = ()) -> set[str]:
    """Return the keys that are kept: all of the file's, and the keyring's for these URLs (it cannot list its own)."""
    return {*_read().values(), *map(load_key, urls)} - {""}


def forget_key(url: str) -> bool:
    """Remove the key kept for a URL's host; return whether there was one."""
    host, had = _host(url), bool(load_key(url))
    if (keyring := _keyring()) is not None:
        with contextlib.suppress(Exception):  # it held none
            keyring.delete_password(_SERVICE, host)
    kept = _read()
    if kept.pop(host, None) is not None:
        _write(kept)
    return had


def _host(url: str) -> str:
    """Return the name under which the key for a URL's host is kept."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


def _keyring() -> Any:  # noqa: ANN401 - an optional library
    """Return the keyring module if it is installed and has a real backend, else None."""
    try:
        import keyring

        return keyring if keyring.get_keyring().priority > 0 else None
    except Exception:  # noqa: BLE001 - a backend whose state cannot be read cannot be used
        return None


def _path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("chatglm_magic", appauthor=False) / "keys.json"


def _read() -> dict[str, str]:
    """Return the keys in the file by host; a file that cannot be read holds none."""
    try:
        kept = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(keys: dict[str, str]) -> None:
    """Replace the file in one step; no other user can read it at any moment."""
    path = _path()
    if not keys:
        path.unlink(missing_ok=True)
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".keys-")  # created with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(keys, file)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(
            tr(
                "The key could not be kept in {folder}: {reason}. Set it in the environment instead.",
                folder=path.parent,
                reason=error.strerror,
            )
        ) from None
