"""How many columns and rows text takes in a terminal, or that this is not sure; no I/O."""

from __future__ import annotations

import unicodedata

_TAB = 8
_JOINER, _AS_EMOJI = "\u200d", "\ufe0f"


def width_of(text: str) -> int:
    """Give the columns of a line, as most terminals count them."""
    return sum(_width(character, before)[0] for before, character in zip(f" {text}", text, strict=False))


def rows_down(text: str, columns: int) -> int | None:
    """Give how many rows below its first one a text ends that begins in column 0.

    Returns:
        None where terminals differ: about characters that are one or two columns wide, in a line that just fits.
    """
    least, most = (_walk(text, columns, which) for which in (0, 1))
    return least if least == most else None


def _walk(text: str, columns: int, which: int) -> int:
    """Walk through a text as a terminal does: what does not fit goes to the next row, and not before."""
    row = column = 0
    before = " "
    for character in text:
        if character == "\n":
            row, column = row + 1, 0
        elif character == "\t":
            column = min(columns - 1, (column // _TAB + 1) * _TAB)
        elif width := _width(character, before)[which]:
            if column + width > columns:
                row, column = row + 1, 0
            column += width
        before = character
    return row


def _width(character: str, before: str) -> tuple[int, int]:  # noqa: PLR0911 - one for each kind
    """Give the least and the most columns that a character takes."""
    if " " <= character < "\x7f":
        return 1, 1
    wide = unicodedata.east_asian_width(character)
    category = unicodedata.category(character)
    if before == _JOINER or "\U0001f3fb" <= character <= "\U0001f3ff":  # the rest of an emoji, or one more
        return 0, 2
    if character == _AS_EMOJI:
        return 0, 1
    if category in {"Mn", "Me", "Cf"}:
        return 0, 0
    if category == "Mc" or "\u1160" <= character <= "\u11ff":
        return 0, 1
    if wide in {"W", "F"}:
        return 2, 2
    return (1, 2) if wide == "A" or category in {"Cn", "Co"} or "\U0001f1e6" <= character <= "\U0001f1ff" else (1, 1)
