"""Keys that the user left with us: in the system's keyring where there is one, else in a file of mode 0600."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from ._errors import ConfigError
from ._urls import Key, origin

_SERVICE = "chatglm-magic"
_FILE = "keys.json"


def save_key(url: str, key: str) -> str:
    """Keep a key for a host, in place of an earlier one.

    Args:
        url: Any URL at that host; scheme, host and port count.
        key: The key.

    Returns:
        Where it is kept, for people to read.

    Raises:
        ConfigError: It cannot be kept anywhere.
    """
    host, key = _name(url), Key(key)
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(Exception):  # a locked or broken keyring: the file serves
            keyring.set_password(_SERVICE, host, key)
            _write({name: kept for name, kept in _read().items() if name != host})
            return "the system's keyring"
    _write({**_read(), host: key})
    return str(_path())


def load_key(url: str) -> str:
    """Give the key kept for a URL's host, or an empty string."""
    host = _name(url)
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(Exception):  # as if it were not there
            if kept := keyring.get_password(_SERVICE, host):
                return Key(kept)
    return Key(_read().get(host, ""))


def kept_keys(urls: Iterable[str]) -> set[str]:
    """Give all keys that are kept: those in the file, and the keyring's for these URLs, which cannot list its own."""
    return {key for key in (*_read().values(), *map(load_key, urls)) if key}


def forget_key(url: str) -> bool:
    """Remove the key kept for a URL's host; tell whether there was one."""
    host = _name(url)
    had = bool(load_key(url))
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(Exception):  # it had none
            keyring.delete_password(_SERVICE, host)
    kept = _read()
    if kept.pop(host, None) is not None:
        _write(kept)
    return had


def _name(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


def _keyring() -> Any:  # noqa: ANN401 - an optional library
    """Give the keyring module if it is installed and has a real backend."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        usable = keyring.get_keyring().priority > 0
    except Exception:  # noqa: BLE001 - a backend that cannot even say is none
        return None
    return keyring if usable else None


def _path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("chatglm_magic", appauthor=False) / _FILE


def _read() -> dict[str, str]:
    """Give what the file holds; a file that cannot be read holds nothing."""
    try:
        kept = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, str]", kept) if isinstance(kept, dict) else {}


def _write(keys: dict[str, str]) -> None:
    """Replace the file in one step; it is never readable by others, not even for a moment."""
    path = _path()
    if not keys:
        path.unlink(missing_ok=True)
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".keys-")  # 0600 from the beginning
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(keys, file)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"The key could not be kept in {path.parent}: {error.strerror}. Set it in the environment instead."
        raise ConfigError(msg) from None
