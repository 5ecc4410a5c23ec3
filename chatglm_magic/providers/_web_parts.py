"""The parts of a chatglm.cn reply: what each holds so far, and what of that is news.

A frame repeats a part's whole text so far (a *snapshot*) or carries only the new piece (a *delta*),
and nothing on the wire says which: both have been recorded. Strategy:

- A part is known by its key and the type of its items (thoughts and text may share a key), and
  stands where it first arrived.
- What a finished part holds, or a part of the finish frame, is the truth and replaces what was
  gathered. All else is read in the stream's mode.
- The mode shows by itself. A longer payload that starts with what is there: snapshot. One that does
  not: delta. An equal one proves nothing, so nothing is shown.
- Two pieces of a delta stream may look like snapshots ("好", "好的"). So, while that can be, the
  pieces are remembered: in snapshot mode each is a beginning of what is there, its length is enough.
  A payload that does not fit turns the stream to delta, and what is there is made anew from pieces.
- After `_BELIEVED` payloads that fit, or one that corrects what is there and keeps its long
  beginning, that is no longer thinkable: from then on, what does not fit is a correction.
- Whatever is not simply more text at the end becomes a `Replace`.
"""

from __future__ import annotations

from typing import Any, Literal

from .._events import Event, Part, Replace, TextDelta, ThinkingDelta
from ._web_frames import GROWING, Frame, WirePart
from ._web_items import is_known, read_items

Mode = Literal["", "snapshot", "delta"]

_BELIEVED = 64
_LONG_BEGINNING = 16
"""Characters that two pieces of a delta stream do not share by chance."""
_BETWEEN = "\n\n"
_NAMES: dict[str, Literal["text", "thinking", "code"]] = {"text": "text", "think": "thinking", "code": "code"}


class Growing:
    """One string of one part: text, thoughts or code."""

    __slots__ = ("_half", "_pieces", "_told", "complete", "key", "kind", "lengths", "place")

    def __init__(self, kind: str, key: str, place: int) -> None:
        self.kind = _NAMES[kind]
        self.key = key
        self.place = place
        self.lengths: list[int] = []
        self.complete = False
        self._pieces: list[str] = []
        self._half = ""
        self._told: Part | None = None

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @text.setter
    def text(self, text: str) -> None:
        self._pieces = [text]

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def append(self, text: str) -> None:
        self._pieces.append(text)

    def rebuild(self) -> None:
        """Join what were taken for snapshots, for they were pieces."""
        whole = self.text
        self._pieces = [whole[:length] for length in self.lengths]

    def join_halves(self, payload: str) -> str:
        """Hold a half surrogate pair, or a cut character, back at the end until its other half comes."""
        if self._half and "\udc00" <= payload[:1] <= "\udfff":
            payload = self._half + payload
        self._half = payload[-1:] if "\ud800" <= payload[-1:] <= "\udbff" else ""
        payload = payload.removesuffix(self._half)
        return payload.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").rstrip("\ufffd")

    def parts(self) -> tuple[Part, ...]:
        return (Part(self.kind, self.text, self.key),) if self else ()

    def news(self) -> list[Event]:
        """Give the part if it is code that was not yet told so."""
        if self.kind != "code" or not self:
            return []
        told, self._told = self._told, Part("code", self.text, self.key)
        return [] if told == self._told else [self._told]


class Fixed:
    """All items of one other type in one part; the newest that are not empty."""

    __slots__ = ("_told", "_values")

    def __init__(self) -> None:
        self._values: tuple[Part, ...] = ()
        self._told: tuple[Part, ...] = ()

    def take(self, parts: tuple[Part, ...]) -> None:
        self._values = parts or self._values

    def parts(self) -> tuple[Part, ...]:
        return self._values

    def news(self) -> list[Event]:
        told, self._told = self._told, self._values
        return [part for part in self._values if part not in told]


class Parts:
    """All parts of one reply, and which of it is news.

    Attributes:
        mode: How payloads are read; empty until it shows.
        model: The model that answers, as the wire names it.
        warnings: Short names of what was odd.
    """

    def __init__(self) -> None:
        self.mode: Mode = ""
        self.model = ""
        self.warnings: list[str] = []
        self._parts: dict[tuple[str, str], Growing | Fixed] = {}
        self._last: dict[str, Growing] = {}  # of each kind, the last part that is not empty
        self._fits = 0
        self._redraw = False

    @property
    def settled(self) -> bool:
        """Whether these are snapshots beyond doubt."""
        return self.mode == "snapshot" and self._fits >= _BELIEVED

    def take(self, frame: Frame, *, final: bool, clean: bool) -> list[Event]:
        """Take a frame's parts in and give the news.

        Args:
            frame: The frame.
            final: Whether this is the frame that ends the reply, with parts that are whole.
            clean: Whether it was well-formed JSON: no half characters in it.
        """
        events: list[Event] = []
        self._redraw = False
        for key, wire in keyed(frame):
            if isinstance(wire.model, str) and wire.model:
                self.model = wire.model
            complete = final or wire.status == "finish"
            for kind, items in _by_type(wire).items():
                if kind in GROWING:
                    growing = self.growing(key, kind)
                    payload = "".join(text for item in items if isinstance(text := item.get(kind), str))
                    self._grow(growing, payload if clean else growing.join_halves(payload), events, complete=complete)
                    part: Growing | Fixed = growing
                else:
                    part = self._fix(key, kind, items, wire.meta_data)
                if complete:
                    events += part.news()
        if self._redraw:
            events = [event for event in events if not isinstance(event, (TextDelta, ThinkingDelta))]
            events.append(Replace(self.whole("text"), self.whole("thinking")))
        return events

    def extend(self, part: Growing, text: str) -> list[Event]:
        """Take in that a part grew by this text, in a stream that is settled."""
        events: list[Event] = []
        self._redraw = False
        self._say(part, text, events)
        part.append(text)
        return [Replace(self.whole("text"), self.whole("thinking"))] if self._redraw else events

    def growing(self, key: str, kind: str) -> Growing:
        """Give the part of this key and type, a new one at its first arrival."""
        part = self._parts.get((key, kind))
        if not isinstance(part, Growing):
            part = self._parts[key, kind] = Growing(kind, key, len(self._parts))
        return part

    def close(self) -> list[Event]:
        """Give the parts that were never said to be complete."""
        return [event for part in self._parts.values() for event in part.news()]

    def all(self) -> tuple[Part, ...]:
        """Give all parts that hold something, in order of arrival."""
        return tuple(one for part in self._parts.values() for one in part.parts())

    def whole(self, kind: Literal["text", "thinking"]) -> str:
        """Give the whole text, or thoughts, so far."""
        strings = (part.text for part in self._parts.values() if isinstance(part, Growing) and part.kind == kind)
        return _BETWEEN.join(filter(None, strings))

    def warn(self, warning: str) -> None:
        """Note something odd, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _fix(self, key: str, kind: str, items: list[dict[str, Any]], meta: object) -> Fixed:
        if not is_known(kind):
            self.warn(f"unknown-part:{kind}")
        part = self._parts.get((key, kind))
        if not isinstance(part, Fixed):
            part = self._parts[key, kind] = Fixed()
        part.take(read_items(kind, key, items, meta))
        return part

    def _grow(self, part: Growing, payload: str, events: list[Event], *, complete: bool) -> None:
        """Read one payload in the stream's mode; an empty one says nothing."""
        if not payload:
            return
        if self.mode == "delta" and not complete and not part.complete:
            self._say(part, payload, events)
            part.append(payload)
            return
        old = part.text
        fits = payload.startswith(old)
        if complete or (part.complete and fits):
            part.complete = True
            part.lengths = [len(payload)]
            self._become(part, payload, events)
        elif self.mode == "delta":
            self._become(part, old + payload, events)
        elif fits:
            if old and len(payload) > len(old):
                self.mode = "snapshot"
                self._fits += 1
            if not self.settled:
                part.lengths.append(len(payload))
            self._become(part, payload, events)
        elif self.settled or (self.mode == "snapshot" and _corrects(old, payload)):
            self._fits = _BELIEVED
            self._become(part, payload, events)
        else:
            self._turn_to_delta(part, payload, events)

    def _become(self, part: Growing, payload: str, events: list[Event]) -> None:
        """Put a payload in the place of what a part holds."""
        old = part.text
        if payload.startswith(old):
            self._say(part, payload[len(old) :], events)
        else:
            self._redraw = self._redraw or part.kind != "code"
        part.text = payload

    def _say(self, part: Growing, more: str, events: list[Event]) -> None:
        """Tell that a part is about to grow at its end: simply more text, if it is the last of its kind."""
        if not more or part.kind == "code":
            return
        last = self._last.get(part.kind)
        if last is not None and part.place < last.place:
            self._redraw = True
            return
        self._last[part.kind] = part
        text = more if last is None or part else _BETWEEN + more
        events.append(TextDelta(text) if part.kind == "text" else ThinkingDelta(text))

    def _turn_to_delta(self, part: Growing, payload: str, events: list[Event]) -> None:
        """Read all that has come once more, as pieces."""
        text, thinking = self.whole("text"), self.whole("thinking")
        self.mode = "delta"
        for other in self._parts.values():
            if isinstance(other, Growing):
                other.rebuild()
        part.append(payload)
        new_text, new_thinking = self.whole("text"), self.whole("thinking")
        if not new_text.startswith(text) or not new_thinking.startswith(thinking):
            self._redraw = True
            return
        if more := new_thinking[len(thinking) :]:
            events.append(ThinkingDelta(more))
        if more := new_text[len(text) :]:
            events.append(TextDelta(more))


def keyed(frame: Frame) -> list[tuple[str, WirePart]]:
    """Give a frame's parts with their keys: the logic id, else the id, else the position.

    Several parts without a logic id may all bear the message's id: then the second is `id#2`.
    """
    pairs: list[tuple[str, WirePart]] = []
    bearers: dict[str, int] = {}
    for position, wire in enumerate(frame.parts or ()):
        logic_id = _name(wire.logic_id)
        key = logic_id or _name(wire.id) or str(position)
        if not logic_id:
            bearers[key] = count = bearers.get(key, 0) + 1
            key = f"{key}#{count}" if count > 1 else key
        pairs.append((key, wire))
    return pairs


def _name(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) else ""


def _by_type(wire: WirePart) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in wire.content or ():
        kind = item.get("type")
        groups.setdefault(kind if isinstance(kind, str) else "", []).append(item)
    return groups


def _corrects(old: str, payload: str) -> bool:
    """Tell whether a payload that does not start with the old one is a new version of it."""
    shared = max(_LONG_BEGINNING, (len(old) + 1) // 2)
    return len(old) >= _LONG_BEGINNING and payload[:shared] == old[:shared]
