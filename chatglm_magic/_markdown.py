"""A growing Markdown text: what is settled, what is safe to show; no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced code block.

    Attributes:
        language: The first word after the fence; empty if there is none.
        source: The code, without the fence.
    """

    language: str
    source: str


def code_blocks(text: str) -> list[CodeBlock]:
    """Give the fenced code blocks of a text, in order; one that is still open counts as far as it has come."""
    raise NotImplementedError
