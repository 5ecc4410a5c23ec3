"""Keys where they do not belong: in a cell's source, in a prompt."""

from __future__ import annotations

import os
import re

from ._config import HOSTS
from ._errors import ConfigError
from ._keys import kept_keys
from ._masks import MASK, ReplyMask, mask_of
from ._messages import Message
from ._urls import seen_keys

WARNING = (
    "This cell holds what looks like a key, and cells are saved with the notebook. "
    "Take it out, make a new key if others can read the notebook, and type %chatglm login instead."
)

_GLM_KEY = re.compile(r"(?<![\w.])[0-9a-f]{32}\.[A-Za-z0-9]{16}(?!\w)")
"""An id and a secret, as Z.ai and BigModel give them out."""
_OTHER_KEY = re.compile(r"(?<!\w)sk-[A-Za-z0-9_-]{20,}")
"""As OpenAI and many servers do; others' libraries take such keys too, so they count only in cells of ours."""
_OURS = re.compile(r"chatglm|ZAI_API_KEY|ZHIPUAI_API_KEY", re.IGNORECASE)
_SHORTEST = 16
"""Characters from which a key is looked for in prompts: a shorter one may be any word."""
_CANDIDATE = re.compile(rf"[\w.-]{{{_SHORTEST},}}")


def holds_key(source: str) -> bool:
    """Tell whether a cell's source holds what looks like a key for us."""
    return bool(_GLM_KEY.search(source) or (_OTHER_KEY.search(source) and _OURS.search(source)))


def without_keys(messages: list[Message]) -> list[Message]:
    """Take the user's keys out of what was said: a server may have said one, and another may be asked next."""
    own = {key for key in (*_environment(), *seen_keys()) if len(key) >= _SHORTEST}
    found = {key for key in own if any(key in message.content or key in message.thinking for message in messages)}
    for key in found:
        messages = [
            Message(one.role, one.content.replace(key, MASK), thinking=one.thinking.replace(key, MASK))
            for one in messages
        ]
    return messages


def reply_mask() -> ReplyMask | None:
    """Give what takes the keys of this process out of a reply that repeats them; None where there are none."""
    mask = mask_of(seen_keys())
    return ReplyMask(mask) if mask else None


def _environment() -> set[str]:
    return {value.strip() for name, value in os.environ.items() if name.upper().endswith("_API_KEY")}


def refuse_keys(*texts: str) -> None:
    """Refuse to send a text that holds one of the user's keys.

    Args:
        texts: What would be sent.

    Raises:
        ConfigError: It holds one that is in the environment (`…_API_KEY`) or was kept by `login`.
    """
    if not any(re.search(r"\d", found) for text in texts for found in _CANDIDATE.findall(text)):
        return
    if any(
        key in text for key in {*_environment(), *kept_keys(HOSTS.values())} if len(key) >= _SHORTEST for text in texts
    ):
        msg = "The prompt holds one of your keys, so nothing was sent. Take it out."
        raise ConfigError(msg)
