"""What the next question of a panel brings along: files that a page sends in pieces, and what they turn out to be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from .._attachments import Attachments
from .._attachments.pictures import pixels_of, thumbnail
from .._attachments.sources import attach, attach_file
from .._errors import ConfigError
from .._language import tr
from .._prompting.prompt import size_in_words
from .protocol import MAX_FILES, MAX_PIECE, Attach, Attached


class _Coming(msgspec.Struct):
    """A file of which pieces have come."""

    size: int
    data: bytearray


class Files:
    """The files of one panel that were attached and not sent yet. For one thread."""

    def __init__(self) -> None:
        self._coming: dict[str, _Coming] = {}
        self._found: dict[str, tuple[Attached, Attachments]] = {}

    def shown(self) -> list[Attached]:
        """Return what the page shows of them."""
        return [shown for shown, _ in self._found.values()]

    async def take(self, request: Attach, piece: bytes) -> None:
        """Take a piece of a file; the last one makes it known what it is.

        Raises:
            ConfigError: There are too many files, a piece is missing, or this one cannot be sent.
        """
        if request.at == 0:
            if len({*self._found, *self._coming, request.id}) > MAX_FILES:
                raise ConfigError(tr("A message brings along at most {most} files.", most=MAX_FILES))
            self._coming[request.id] = _Coming(request.size, bytearray())
        coming = self._coming.get(request.id)
        if coming is None:
            return  # it was refused, or taken back
        if request.at != len(coming.data) or len(piece) > MAX_PIECE or request.at + len(piece) > coming.size:
            del self._coming[request.id]
            raise ConfigError(tr("{name} did not come whole. Attach it again.", name=request.name))
        coming.data += piece
        if len(coming.data) < coming.size:
            return
        try:
            found = await asyncio.to_thread(_look_at, request.id, request.name, bytes(coming.data))
        finally:
            was_wanted = self._coming.pop(request.id, None) is not None
        if was_wanted:
            self._found[request.id] = found

    def of(self, names: Sequence[str]) -> Attachments:
        """Return files as a question brings them along, by their ids."""
        found = [self._found[name][1] for name in names if name in self._found]
        pictures = attach([one for each in found for one in each.pictures])
        blocks = tuple(one for each in found for one in each.blocks)
        notes = tuple(one for each in found for one in each.notes)
        return Attachments(pictures.pictures, blocks, (*notes, *pictures.notes))

    def remove(self, names: Sequence[str]) -> None:
        """Forget files: they were sent, or taken back."""
        for name in names:
            self._found.pop(name, None)
            self._coming.pop(name, None)


def _look_at(name: str, file: str, data: bytes) -> tuple[Attached, Attachments]:
    """Return what a file is: for the page, and for the question."""
    found = attach_file(data, file)
    if not found.pictures:
        return Attached(name, file, size_in_words(len(data)), ""), found
    picture = found.pictures[0]
    return Attached(name, file, pixels_of(picture), thumbnail(picture)), found
