"""Pictures and files that a question brings with it: what a person names becomes parts of a message and fenced data."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import msgspec

from .._events import Event, Finished, Part
from .._messages import ImagePart, Request, Stage


class Attachments(msgspec.Struct, frozen=True):
    """What a question brings with it, as it is sent.

    Attributes:
        pictures: The pictures.
        blocks: Files of text, each with its name and in a fence that marks it as data.
        notes: What was changed, in sentences.
    """

    pictures: tuple[ImagePart, ...] = ()
    blocks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def added_to(self, prompt: str) -> str:
        """Return a prompt with the files of text below it."""
        return "\n\n".join((prompt, *self.blocks))

    def pictures_alone(self) -> Attachments | None:
        """Return the pictures, for a question whose text and notes are shown already; None where there are none."""
        return Attachments(self.pictures) if self.pictures else None

    def around(self, stage: Stage) -> Stage:
        """Return a stage that also says what was changed: in notices, before the last event."""
        return partial(_with_notices, stage, self.notes) if self.notes else stage


async def _with_notices(stage: Stage, notes: tuple[str, ...], request: Request) -> AsyncGenerator[Event]:
    """Yield a stage's events, and notices before the last one: the first one stays the service's own."""
    async with aclosing(stage(request)) as events:
        async for event in events:
            if isinstance(event, Finished):
                for note in notes:
                    yield Part("notice", note)
            yield event
