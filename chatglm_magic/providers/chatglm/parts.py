"""The parts of a chatglm.cn reply: what each holds so far, and what of it the reader has not been told; no I/O.

A frame repeats a part's whole text so far (a *snapshot*: recorded from 2024 to June 2026) or carries only the new piece
(a *delta*: recorded in September 2026), and nothing on the wire says which. Strategy:

- A part is known by its key and the type of its items, because thinking and text may share a key. Parts stand in the
  order of their first arrival; keys do not sort (`p10` < `p9`). Texts are joined by a blank line.
- A part whose status is `finish`, and every part of the frame that ends the reply, is complete: it replaces what was
  gathered, unless it is empty. All else is read in the stream's mode.
- The mode shows by itself. A longer payload that starts with what is there: snapshot. One that does not: delta. An
  equal one proves nothing, so nothing is shown.
- Two pieces of a delta stream may look like snapshots ("好", "好的"). So, while that is possible, the lengths of the
  pieces are remembered: each is a beginning of what is there. A payload that does not fit turns the stream to delta,
  and what is there is made anew from the pieces.
- After `_SETTLED` payloads that fit, or one that corrects what is there and keeps its long beginning, the mode is
  settled: from then on, what does not fit is a correction.
- Whatever is not simply more text at the end becomes a `Replace`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..._events import Event, Part, PartKind, Replace, TextDelta, ThinkingDelta
from .frames import GROWING, READERS, Frame, read_items

_SETTLED = 64
_LONG_BEGINNING = 16
"""Characters that two pieces of a delta stream do not share by chance."""
_BETWEEN = "\n\n"


class GrowingPart(msgspec.Struct):
    """One growing string of one part: text, thinking or code.

    Attributes:
        kind: Which of them.
        position: The part's number in order of arrival.
        complete: Whether it was said to be complete.
        lengths: The length of each payload, while they may yet turn out to be pieces.
        pieces: The string so far, in pieces.
        half: Half a surrogate pair that came at its end.
    """

    kind: PartKind
    position: int
    complete: bool = False
    lengths: list[int] = []
    pieces: list[str] = []
    half: str = ""

    @property
    def text(self) -> str:
        """The string so far."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def join_payloads(self) -> None:
        """Make the string anew from payloads that were taken for snapshots and were pieces."""
        whole = self.text
        self.pieces = [whole[:length] for length in self.lengths]

    def join_halves(self, payload: str) -> str:
        """Return a payload without half a surrogate pair, or half a character, at its end: the rest is yet to come."""
        if self.half and "\udc00" <= payload[:1] <= "\udfff":
            payload = self.half + payload
        self.half = payload[-1:] if "\ud800" <= payload[-1:] <= "\udbff" else ""
        payload = payload.removesuffix(self.half)
        return payload.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").rstrip("\ufffd")


class Parts:
    """All parts of one reply.

    Attributes:
        mode: How payloads are read; empty until it shows.
        model: The model that answers, as the wire names it.
        warnings: Short names of oddities.
    """

    def __init__(self) -> None:
        self.mode: Literal["", "snapshot", "delta"] = ""
        self.model = ""
        self.warnings: list[str] = []
        # By the part's key and the items' type, in order of arrival; items that do not grow are sent whole.
        self._parts: dict[tuple[str, str], GrowingPart | tuple[Part, ...]] = {}
        self._reported: dict[tuple[str, str], tuple[Part, ...]] = {}
        self._last: dict[PartKind, GrowingPart] = {}  # of each kind, the last part that is not empty
        self._fits = 0
        self._redraw = False

    @property
    def settled(self) -> bool:
        """Whether these are snapshots beyond doubt."""
        return self.mode == "snapshot" and self._fits >= _SETTLED

    def take(self, frame: Frame, *, final: bool, clean: bool) -> list[Event]:
        """Take in the parts of a frame, and return what is new in them.

        Args:
            frame: The frame.
            final: Whether this is the frame that ends the reply: its parts are complete.
            clean: Whether it was well-formed JSON: no half characters in it.
        """
        events: list[Event] = []
        self._redraw = False
        for key, wire in frame.keyed_parts():
            if isinstance(wire.model, str) and wire.model:
                self.model = wire.model
            complete = final or wire.status == "finish"
            for kind, items in wire.by_type().items():
                if kind in GROWING:
                    part = self._growing(key, kind)
                    payload = "".join(text for item in items if isinstance(text := item.get(kind), str))
                    self._grow(part, payload if clean else part.join_halves(payload), events, complete=complete)
                else:
                    if kind not in READERS:
                        self.warn(f"unknown-part:{kind}")
                    self._parts[key, kind] = read_items(kind, key, items, wire.meta_data) or self._held(key, kind)
                if complete:
                    events += self._news(key, kind)
        if self._redraw:
            events = [event for event in events if not isinstance(event, (TextDelta, ThinkingDelta))]
            events.append(Replace(self.whole("text"), self.whole("thinking")))
        return events

    def extend(self, delta: TextDelta | ThinkingDelta) -> None:
        """Add a delta to the part to which the last one of its kind went; for a mode that is settled."""
        self._last["text" if isinstance(delta, TextDelta) else "thinking"].pieces.append(delta.text)

    def close(self) -> list[Event]:
        """Return the parts that were never said to be complete."""
        return [event for place in self._parts for event in self._news(*place)]

    def all(self) -> tuple[Part, ...]:
        """Return all parts that hold something, in order of arrival."""
        return tuple(part for place in self._parts for part in self._held(*place))

    def whole(self, kind: Literal["text", "thinking"]) -> str:
        """Return all text, or all thinking, so far."""
        parts = (part for part in self._parts.values() if isinstance(part, GrowingPart) and part.kind == kind)
        return _BETWEEN.join(part.text for part in parts if part.pieces)

    def warn(self, warning: str) -> None:
        """Note an oddity, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _held(self, key: str, kind: str) -> tuple[Part, ...]:
        """Return what there is of one type in one part."""
        part = self._parts.get((key, kind), ())
        if isinstance(part, GrowingPart):
            return (Part(part.kind, part.text, key),) if part.pieces else ()
        return part

    def _news(self, key: str, kind: str) -> list[Part]:
        """Return what is complete and was not reported yet; text and thinking are reported as they grow."""
        if GROWING.get(kind) in {"text", "thinking"}:
            return []
        reported, held = self._reported.get((key, kind), ()), self._held(key, kind)
        self._reported[key, kind] = held
        return [part for part in held if part not in reported]

    def _growing(self, key: str, kind: str) -> GrowingPart:
        part = self._parts.get((key, kind))
        if not isinstance(part, GrowingPart):
            part = self._parts[key, kind] = GrowingPart(GROWING[kind], len(self._parts))
        return part

    def _grow(self, part: GrowingPart, payload: str, events: list[Event], *, complete: bool) -> None:
        """Read one payload in the stream's mode; an empty one, and the same one of a complete part, say nothing."""
        if not payload or (part.complete and payload == part.text):
            return
        if self.mode == "delta" and not complete and not part.complete:
            self._report(part, payload, events)
            part.pieces.append(payload)
            return
        old = part.text
        fits = payload.startswith(old)
        if complete or (part.complete and fits):
            part.complete = True
            part.lengths = [len(payload)]
            self._replace(part, payload, events)
        elif self.mode == "delta":
            self._replace(part, old + payload, events)
        elif fits:
            if old and len(payload) > len(old):
                self.mode = "snapshot"
                self._fits += 1
            if not self.settled:
                part.lengths.append(len(payload))
            self._replace(part, payload, events)
        elif self.settled or (self.mode == "snapshot" and _corrects(old, payload)):
            self._fits = _SETTLED
            self._replace(part, payload, events)
        else:
            self._turn_to_delta(part, payload, events)

    def _replace(self, part: GrowingPart, payload: str, events: list[Event]) -> None:
        """Put a payload in place of what a part holds."""
        old = part.text
        if payload.startswith(old):
            self._report(part, payload[len(old) :], events)
        else:
            self._redraw = self._redraw or part.kind != "code"
        part.pieces = [payload]

    def _report(self, part: GrowingPart, more: str, events: list[Event]) -> None:
        """Report that a part is about to grow at its end: as a delta, if it is the last part of its kind."""
        if not more or part.kind == "code":
            return
        last = self._last.get(part.kind)
        if last is not None and part.position < last.position:
            self._redraw = True
            return
        self._last[part.kind] = part
        text = more if last is None or last is part else _BETWEEN + more
        events.append(TextDelta(text) if part.kind == "text" else ThinkingDelta(text))

    def _turn_to_delta(self, part: GrowingPart, payload: str, events: list[Event]) -> None:
        """Read all that has come once more, as pieces."""
        text, thinking = self.whole("text"), self.whole("thinking")
        self.mode = "delta"
        for other in self._parts.values():
            if isinstance(other, GrowingPart):
                other.join_payloads()
        part.pieces.append(payload)
        new_text, new_thinking = self.whole("text"), self.whole("thinking")
        if not new_text.startswith(text) or not new_thinking.startswith(thinking):
            self._redraw = True
            return
        if more := new_thinking[len(thinking) :]:
            events.append(ThinkingDelta(more))
        if more := new_text[len(text) :]:
            events.append(TextDelta(more))


def _corrects(old: str, payload: str) -> bool:
    """Return whether a payload that does not start with the old one is a new version of it."""
    shared = max(_LONG_BEGINNING, (len(old) + 1) // 2)
    return len(old) >= _LONG_BEGINNING and payload[:shared] == old[:shared]
