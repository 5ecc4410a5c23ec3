"""A conversation as it stands: what is shown where no widget can be."""

from __future__ import annotations

from .._compose import thinking_block
from .._markdown.links import literal, visible
from .._markdown.safe import safe
from .._said import Said
from .shown import note_of

_WHO = {"user": "You", "assistant": "GLM"}
_NOTHING = "Nothing has been said in conversation {name} yet."


def still(name: str, said: list[Said]) -> dict[str, str]:
    """Write a conversation as Markdown that is safe to show, and as plain text."""
    if not said:
        words = _NOTHING.format(name=name)
        return {"text/markdown": f"*{literal(words)}*", "text/plain": words}
    return {
        "text/markdown": "\n\n".join(_markdown(one) for one in said),
        "text/plain": visible("\n\n".join(_plain(one) for one in said)),
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
