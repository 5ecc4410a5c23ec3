"""A conversation as it stands: what is shown where no widget can be."""

from __future__ import annotations

from .._compose import thinking_block
from .._markdown.links import literal, visible
from .._markdown.safe import safe
from .._said import Said
from .shown import note_of

_WHO = {"user": "You", "assistant": "GLM"}
_NOTHING = "Nothing has been said in conversation {name} yet."
_MOST = 100
"""How many messages are written, the newest: they are saved with the notebook wherever a panel is shown."""


def still(name: str, said: list[Said]) -> dict[str, str]:
    """Write a conversation as Markdown that is safe to show, and as plain text."""
    if not said:
        words = _NOTHING.format(name=name)
        return {"text/markdown": f"*{literal(words)}*", "text/plain": words}
    newest = said[-_MOST:]
    left_out = [f"[{len(said) - len(newest)} earlier messages]"] if len(said) > len(newest) else []
    return {
        "text/markdown": "\n\n".join((*(f"*{literal(one)}*" for one in left_out), *map(_markdown, newest))),
        "text/plain": visible("\n\n".join((*left_out, *map(_plain, newest)))),
    }


def _markdown(said: Said) -> str:
    parts = [
        f"**{_WHO[said.role]}**",
        thinking_block(said.thinking, said.thinking_seconds),
        safe(said.content),
        f"*{literal(note_of(said))}*" if note_of(said) else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _plain(said: Said) -> str:
    return "\n\n".join(part for part in (f"{_WHO[said.role]}: {said.content}", note_of(said)) if part)
