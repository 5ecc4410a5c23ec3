"""Defaults and keys from the environment, and to which host a key may go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from ._keys import load_key
from ._urls import Key, origin
from ._values import dataclass

KEY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "zai": "ZAI_API_KEY",
        "bigmodel": "ZHIPUAI_API_KEY",
        "openai": "CHATGLM_API_KEY",
    }
)
"""Where each provider's key is looked for in the environment."""

HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "zai": "https://api.z.ai",
        "bigmodel": "https://open.bigmodel.cn",
    }
)
"""The platforms' own hosts."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is configured before anything is said in a call.

    Attributes:
        provider: Name of a provider, or empty.
        model: A model, perhaps with its provider (`zai:glm-4.7`), or empty.
        base_url: An OpenAI-compatible server, or empty.
    """

    provider: str = ""
    model: str = ""
    base_url: str = ""

    @classmethod
    def from_environment(cls) -> Defaults:
        """Read `CHATGLM_PROVIDER`, `CHATGLM_MODEL` and `CHATGLM_BASE_URL`."""
        return cls(
            provider=os.environ.get("CHATGLM_PROVIDER", "").strip(),
            model=os.environ.get("CHATGLM_MODEL", "").strip(),
            base_url=os.environ.get("CHATGLM_BASE_URL", "").strip(),
        )

    def over(self, lower: Defaults) -> Defaults:
        """Fill what is empty here from `lower`."""
        return Defaults(self.provider or lower.provider, self.model or lower.model, self.base_url or lower.base_url)


def find_key(provider: str, base_url: str, configured: Defaults) -> str:
    """Give the key for a provider at a host, or an empty string: from the environment, else one kept by `login`.

    A platform's key in the environment goes to the platform's own host only. `CHATGLM_API_KEY` goes only to
    the host that the user configured (environment or `%config`), never to one that a notebook names by
    itself with `--base-url`. A kept key goes to the host that it was given for.

    Args:
        provider: The provider's name.
        base_url: Where the request will go; empty for the provider's own host.
        configured: What the user configured outside the call.
    """
    return Key(_find(provider, base_url, configured)[0])


def key_place(provider: str, base_url: str, configured: Defaults) -> str:
    """Tell where the key that `find_key` gives comes from, in words that hold nothing of it."""
    return _find(provider, base_url, configured)[1] or "none"


def _find(provider: str, base_url: str, configured: Defaults) -> tuple[str, str]:
    """Give a key and where it comes from; two empty strings where there is none."""
    name = KEY_NAMES.get(provider, "")
    if not name:
        return "", ""
    own = HOSTS.get(provider, configured.base_url)
    target = base_url or own
    if not target:
        return "", ""
    key = os.environ.get(name, "").strip()
    if key and own and origin(own) == origin(target):
        return key, f"{name} in the environment"
    kept = load_key(target)
    return (kept, "kept by %chatglm login") if kept else ("", "")
