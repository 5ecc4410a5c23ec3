"""Bytes of an OpenAI-compatible chat stream → typed events; no I/O.

Almost every frame holds a piece of text or of thinking, and the last ones `stop` and usage: see `frames`. Whatever is
rare is read as plain JSON by the tolerant path. The text of one network read becomes one delta.

What servers do:

- Thinking is `reasoning_content` (the platforms, SGLang, llama.cpp) or `reasoning` (vLLM, Ollama), never both; Z.ai's
  service also sends the whole answer as thinking and then `stop`, with no text at all.
- Usage comes before, with or after the finish reason; vLLM and SGLang send it in a last chunk with `choices: []`.
- Where inference breaks off, the platforms send no error: the cause is in `finish_reason`. Other servers send
  `data: {"error": …}`, with an object or a string, an event named `error`, or (llama.cpp of 2025) a field `error:`.
- The platforms' search results are a list `web_search` beside `choices`, once, in the last chunk.
- Shell chunks with `choices: null` and an empty id come from the live service.
- A finish reason may come early, on a piece of thinking or on every chunk: words after it withdraw it.
- A choice's index may count the chunks. Of several answers (`n`) the first is read, and the reader is told.
- The last frame may hold the whole message once more, in `message` or as a delta.
- An error has words in a field `error` (of the frame, a choice, or an object of the vendor's), or is an event of that
  name. Status messages, and error objects full of nulls, are none.

A field of a delta that holds something and is not understood is named in the warnings, and its value kept as a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..._errors import BrokenStreamError, ProtocolError, ProviderError, status_error
from ..._events import Event, Finished, Part, Reason, Replace, Source, TextDelta, ThinkingDelta, ToolCallDelta
from ..._language import join_sentences, tr
from ..._transport.sse import ServerSentEvent, SSEDecoder
from ..stream import SURE
from .errors import Complaint, RequestInfo, complaint_in, foreign_error, read_complaint, refusal_error
from .frames import UsualFrame, piece_in, usual_frame
from .think_tags import BoxMarks, ThinkSplitter, split_whole
from .tool_calls import ToolCalls
from .wire import (
    DONE,
    Choices,
    HalfJoiner,
    Piece,
    end_of,
    finish_in,
    is_metadata,
    json_text,
    objects_in,
    read_pieces,
    sources_in,
    text_of,
    thinks,
    unwrapped,
    usage_in,
    words_in,
)

GRACE = SURE
"""Seconds of silence after a finish reason before the reply counts as ended: usage and `[DONE]` come at once."""
LONG_GRACE = 30.0
"""The same where the reason came with words, before any word, or without usage: it may be withdrawn."""

_HEAD_FRAMES = 4
"""How many frames are read in full for the reply's id and the model's name."""
_FEW, _SHORT = 2, 12
"""More pieces, and a longer last one, are not said twice by chance."""
_MAX_UNKNOWN = 8
"""How many fields that are not understood are named."""

_STOP = end_of("stop")
_DONE = DONE.encode()

_SOURCES = ("web_search", "search_results", "citations", "annotations", "references", "sources")
_ANSWERS = ("delta", "response", "text", "content", "token", "output", "completion", "answer", "candidates")
"""Where other protocols than this one have the answer."""
_UNDERSTOOD = frozenset(
    {"content", "role", "refusal", "function_call", "tool_calls", "usage", *_SOURCES}
    | {"object", "name", "metadata", "provider_specific_fields", "logprobs", "token_ids"}
)
"""Fields of a delta that are read elsewhere, or hold nothing for a reader."""


class OpenAIDecoder:
    """Decodes one reply, as the protocol `Decoder` describes.

    Args:
        info: The request, for errors.
        think_tags: Whether raw model text is to be expected: think tags in the content are taken apart
            and leaked control tokens trimmed (on for users' own servers, off for the platforms).
        warnings: Oddities of the request, for `Finished`.
    """

    def __init__(self, info: RequestInfo, *, think_tags: bool, warnings: tuple[str, ...] = ()) -> None:
        self.error: ProviderError | None = None
        self.done = False
        self.grace: float | None = None
        self._info = info
        self._sse = SSEDecoder()
        self._boxes = BoxMarks()
        self._splitter = ThinkSplitter() if think_tags else None
        self._tools = ToolCalls()
        self._warnings = dict.fromkeys(warnings)
        self._out: list[Event] = []
        self._texts: list[str] = []
        self._thinking: list[str] = []
        self._halves: tuple[HalfJoiner, HalfJoiner] | None = None  # of thinking and text, once there was one
        self._said: list[str] = []  # the text that was handed over
        self._least = 0  # how long that is at least, without the blanks at its ends
        self._thoughts: list[str] = []  # and the thinking
        self._pieces = 0  # how many pieces of both came
        self._last = ""  # the last of them
        self._in_messages = False  # whether they came as messages, not as deltas
        self._frames = 0
        self._fast = False  # whether frames may be of the common kind
        self._choices = Choices()
        self._id = ""
        self._model = ""
        self._finish = ""
        self._abrupt = False  # whether the finish reason came with words, or before any
        self._suspect: Complaint | None = None  # what may have been an error, should no answer follow
        self._foreign: str | None = ""  # the first frame that is no chunk; None once there was a chunk
        self._usage: Mapping[str, Any] = MappingProxyType({})
        self._sources: dict[str, Source] = {}
        self._has_text = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the deltas of one network read, consecutive ones merged.

        Raises:
            EventTooLongError: No other bytes make it fail.
        """
        if not self.done:
            self._read(self._sse.feed(chunk))
        return self._take()

    def close(self) -> list[Event]:
        """Return the remaining deltas, usage, and `Finished`, and set `error`."""
        if not self.done:
            self._read(self._sse.close())
        finish = self._finish
        for choice in self._choices.close():
            self._read_choice(choice)
        self._flush()
        self._finish = self._finish or finish
        for number, joiner in enumerate(self._halves or ()):
            if half := joiner.close():
                self._push_text(half) if number else self._emit([ThinkingDelta(half)])
        self._end_text()
        if self._usage:
            self._out.append(usage_in(self._usage))
        self._out.append(self._finished())
        return self._take()

    def _read(self, events: list[ServerSentEvent]) -> None:
        texts, thinking = self._texts, self._thinking  # texts follow thinking: thinking after a text flushes first
        for event in events:
            data, is_message = event.data, event.event == "message"
            if is_message and self._fast and (delta := piece_in(data)) is not None:
                if thought := delta.reasoning_content or delta.reasoning:
                    if texts:
                        self._flush()
                    thinking.append(thought)
                if delta.content:
                    texts.append(delta.content)
            elif is_message and data == _DONE:
                self._frames += 1
                self.done = True
                return
            elif is_message and self._choices.settled and (frame := usual_frame(data)) is not None:
                self._read_usual(frame)
            else:
                self._read_any(event)
                if self.done:
                    return

    def _read_usual(self, frame: UsualFrame) -> None:
        """Read a frame of which every field is known."""
        self._frames += 1
        self._id = self._id or frame.id
        self._model = self._model or frame.model
        self._usage = frame.usage or self._usage
        self._foreign = None
        for choice in frame.choices:
            delta, content = choice.delta, choice.delta.content or ""
            before = self._count
            self._choices.begin()
            self._add_thinking(delta.reasoning_content or delta.reasoning or "")
            if not (choice.finish_reason and content and self._repeats(content)):
                self._add_text(content)
            if choice.finish_reason:
                self._end_with(choice.finish_reason, before)
        self._end_frame()

    # The tolerant path

    def _read_any(self, event: ServerSentEvent) -> None:
        """Read one event of any kind; never fails."""
        self._frames += 1
        pieces = read_pieces(event.data)
        if event.event.lower().endswith(("error", "exception", "failed", "failure")):
            value = next((piece.value for piece in pieces if not piece.cut), None)
            words = value if isinstance(value, str) else event.data.decode("utf-8", "replace")
            self._fail(read_complaint(value) or read_complaint({"error": value}) or Complaint(words))
            return
        own = event.event != "message"
        if own and any(piece.cut for piece in pieces):
            return  # an event of the server's own kind
        whole = next((piece.value for piece in pieces if not piece.cut and isinstance(piece.value, dict)), {})
        reply_id = self._id or text_of(whole.get("id"))
        for piece in pieces:
            self._read_piece(piece, reply_id, own=own)
            if self.done:
                return
        self._end_frame()

    def _end_frame(self) -> None:
        self._fast = self._frames >= _HEAD_FRAMES and self._choices.settled
        self.grace = None if not self._finish else GRACE if self._usage and not self._abrupt else LONG_GRACE

    def _read_piece(self, piece: Piece, reply_id: str, *, own: bool) -> None:
        frame = piece.value
        if frame == DONE:
            self.done = True
        if frame is None or frame in (DONE, ""):
            return
        if piece.cut or not isinstance(frame, dict):
            self._warn("bad-frame")
        if not isinstance(frame, dict) or (piece.cut and text_of(frame.get("id")) not in {"", reply_id}):
            return  # the latter is a left-over of another reply
        around, frame = frame, unwrapped(frame)
        self._id = self._id or text_of(frame.get("id"))
        self._model = self._model or text_of(frame.get("model"))
        choices = frame.get("choices")
        if isinstance(choices, list):
            alike = piece.raw is not None and len(piece.raw) == len(around)  # names may be the same without halves
            self._read_choices(choices, unwrapped(piece.raw)["choices"] if alike else None)
        elif isinstance(choices, dict) and choices:
            self._read_choices([choices], None)
        elif "choices" in frame:
            self._warn("bad-frame" if choices else "null-choices")
        if finish := finish_in([frame]):  # of gateways that put it beside the choices
            self._end_with(finish, self._count)
        self._read_sources(frame)
        ours = objects_in([choices] if isinstance(choices, dict) else choices)
        inner = objects_in(choice.get(name) for choice in ours for name in ("delta", "message"))
        holders = (around, *objects_in(around.values()), *ours, *inner)
        found = (value for holder in holders for name, value in holder.items() if "usage" in name.lower())
        self._usage = next((usage for usage in found if isinstance(usage, dict) and usage), self._usage)
        complaints = (complaint_in(holder, flat=holder is around and not own) for holder in holders)
        if complaint := next(filter(None, complaints), None):
            self._fail(complaint)
        elif "choices" in frame:
            self._foreign = None
        else:
            told = isinstance(frame.get("message"), dict) or any(words_in(frame.get(name)) for name in _ANSWERS)
            if told and self._foreign == "":
                self._foreign = json_text(frame)
            if not (own or isinstance(frame.get("message"), dict)):
                self._suspect = read_complaint(frame) or self._suspect

    def _read_choices(self, choices: list[Any], raw: list[Any] | None) -> None:
        several = len({str(choice.get("index")) for choice in objects_in(choices)}) > 1
        for number, choice in enumerate(choices):
            if not isinstance(choice, dict):
                self._warn("null-choices" if choice is None else "bad-frame")
                continue
            if raw is not None:
                self._keep_halves(choice, raw[number])
            before = self._choices.index
            ours = self._choices.pick(choice, certain=several or bool(self._finish) or self._count > 1)
            if before is not None and self._choices.index != before:
                self._begin_anew()
            if self._choices.several:
                self._warn("odd-choice")
            for one in ours:
                self._read_choice(one)

    def _begin_anew(self) -> None:
        """Forget what was said: another answer is read from now on."""
        self._flush()
        if self._said or self._thoughts:
            self._emit([Replace("")])
        self._splitter = self._splitter and ThinkSplitter()
        self._tools = ToolCalls()
        self._finish = ""

    def _read_choice(self, choice: dict[str, Any]) -> None:
        delta, message = choice.get("delta"), choice.get("message")
        before = self._count
        self._read_sources(choice)
        if isinstance(delta, str):
            delta = {"content": delta}
        finish = finish_in(objects_in([choice, delta]))
        for one in objects_in(delta if isinstance(delta, list) else [delta]):
            self._read_delta(one, last=bool(finish))
        if isinstance(text := choice.get("text"), str) and self._count == before:  # of completions that are no chat
            self._add_text(text)
        if isinstance(message, dict) and self._count and self._is_whole(message, last=bool(finish)):
            self._read_whole(message)
        elif isinstance(message, dict) and not delta:
            self._read_delta(message)
            self._in_messages = True
            if finish and self._frames == 1:
                self._warn("not-streamed")
        if finish:
            self._end_with(finish, before)

    def _end_with(self, finish: str, before: int) -> None:
        """Note a finish reason, after `before` pieces; a bare `stop` behind another reason only repeats the end."""
        self._flush()
        if not (self._finish and end_of(finish) == _STOP):
            self._finish = finish
        self._abrupt = self._pieces > before or not (self._has_text or self._tools)

    def _read_delta(self, delta: dict[str, Any], *, last: bool = False) -> None:
        """Read the fields of a delta, or of a message that stands in its place; the last one may repeat all."""
        self._add_thinking(next((words for name in delta if thinks(name) and (words := words_in(delta[name]))), ""))
        content = next((delta[name] for name in ("content", "text", "output_text") if delta.get(name)), None)
        if not (last and isinstance(content, str) and self._repeats(content)):
            self._read_content(content)
        if refusal := words_in(delta.get("refusal")):
            self._add_text(refusal)
            self._warn("refusal")
        self._add_text(words_in(delta.get("audio")))
        call = delta.get("function_call")
        self._read_tool_calls(delta.get("tool_calls") or ([{"index": 0, "function": call}] if call else None))
        self._read_sources(delta)
        for name, value in delta.items():
            if (
                value
                and isinstance(value, (str, list, dict))
                and not (name in _UNDERSTOOD or value == content or thinks(name) or is_metadata(name))
            ):
                self._read_unknown(name, value)

    def _read_unknown(self, name: str, value: object) -> None:
        """Keep the value of a field that is not understood, once for each."""
        warning = f"unknown-field:{name[:40]}"
        unknown = [known for known in self._warnings if known.startswith("unknown-field:")]
        if warning not in unknown and len(unknown) < _MAX_UNKNOWN:
            self._add(Part("unknown", raw={name: value}))
            self._warn(warning)

    def _read_whole(self, message: dict[str, Any]) -> None:
        """Read a message that holds the whole reply once more: only what it adds, or corrects, is news."""
        self._flush()
        self._end_text()
        thinking, text = split_whole(words_in(message.get("content")), tags=self._splitter is not None)
        thinking = next((words for name in message if thinks(name) and (words := words_in(message[name]))), thinking)
        said, thoughts = "".join(self._said), "".join(self._thoughts)
        text = said if said.startswith(text) or said.strip() == text.strip() else text
        if thinking and not thoughts:
            self._emit([Replace(text, thinking)])
        elif text.startswith(said):
            self._emit([TextDelta(text[len(said) :])] if text != said else [])
        else:
            self._emit([Replace(text, thoughts)])
        rest = message.keys() - {"content", "text", "refusal"}
        self._read_delta({name: message[name] for name in message if name in rest and not thinks(name)})

    def _is_whole(self, message: dict[str, Any], *, last: bool) -> bool:
        """Return whether a message holds all that was said, which came in pieces; the last one does, behind deltas."""
        self._flush()
        content = words_in(message.get("content"))
        repeats = len(content) >= self._least and content.startswith("".join(self._said))
        return (repeats and (last or self._pieces > 1)) or (last and not self._in_messages)

    def _repeats(self, content: str) -> bool:
        """Return whether a delta is the whole text so far, which came in pieces, once more."""
        self._flush()
        few = self._pieces < _FEW and len(content) <= _SHORT
        text = split_whole(content, tags=self._splitter is not None)[1].strip()
        return bool(text) and not few and len(text) >= self._least and text == "".join(self._said).strip()

    def _keep_halves(self, choice: dict[str, Any], raw: dict[str, Any]) -> None:
        """Put half characters back into what is text: their other halves may come."""
        for name in ("delta", "message"):
            clean, whole = choice.get(name), raw.get(name)
            if not (isinstance(clean, dict) and isinstance(whole, dict)):
                continue
            for field, value in whole.items():
                if isinstance(value, str) and (field == "content" or thinks(field)) and clean.get(field) != value:
                    clean[field] = value
                    self._halves = self._halves or (HalfJoiner(), HalfJoiner())
            calls = zip(objects_in(clean.get("tool_calls")), objects_in(whole.get("tool_calls")), strict=True)
            for call, uncut in calls:
                if isinstance(call.get("function"), dict):
                    call["function"]["arguments"] = uncut["function"].get("arguments")

    def _read_content(self, content: object) -> None:
        for item in content if isinstance(content, list) else [content]:
            if isinstance(item, dict):
                kind = text_of(item.get("type", "text"))
                text = words_in(item.get("text"))
                if thinks(kind):
                    self._add_thinking(words_in(item))
                elif kind in {"text", "output_text"} and (text or item.get("text") == ""):
                    self._add_text(text)
                    self._read_sources(item)
                elif kind == "refusal":
                    self._read_delta({"refusal": item.get(kind) or text})
                else:
                    self._add(Part("unknown", raw=item))
                    self._warn("unknown-content")
            elif isinstance(item, str):
                self._add_text(item)
            elif item is not None:
                self._warn("unknown-content")

    def _read_tool_calls(self, pieces: object) -> None:
        for piece in pieces if isinstance(pieces, list) else [pieces] if pieces else ():
            if not isinstance(piece, dict) or (piece.get("type") or "function") != "function":
                self._add(Part("unknown", raw=piece))
                self._warn("unknown-tool-call")
            elif delta := self._tools.add(piece):
                self._add(delta)

    def _read_sources(self, holder: dict[str, Any]) -> None:
        """Report the pages that are named in a frame or a delta and were not named before."""
        found = {page.url or page.title: page for name in _SOURCES for page in sources_in(holder.get(name))}
        if new := {key: page for key, page in found.items() if key not in self._sources}:
            self._sources |= new
            self._add(Part("search", sources=tuple(new.values())))

    # Deltas

    @property
    def _count(self) -> int:
        """How many pieces of text and thinking have come."""
        return self._pieces + len(self._texts) + len(self._thinking)

    def _add_text(self, text: str) -> None:
        if text:
            self._texts.append(text)

    def _add_thinking(self, text: str) -> None:
        if text:
            if self._texts:
                self._flush()
            self._thinking.append(text)

    def _add(self, event: Part | ToolCallDelta) -> None:
        self._flush()
        if isinstance(event, ToolCallDelta):
            self._finish = ""
        self._out.append(event)

    def _flush(self) -> None:
        """Emit deltas of what was gathered: thinking, and the texts that came after it."""
        if not (self._thinking or self._texts):
            return
        if thinking := self._joined(self._thinking, 0):
            if self._splitter is not None:
                self._splitter.thinking_came()
            self._emit([ThinkingDelta(thinking)])
        if text := self._joined(self._texts, 1):
            self._push_text(self._boxes.push(text))

    def _push_text(self, text: str) -> None:
        if text:
            self._emit([TextDelta(text)] if self._splitter is None else self._splitter.push(text))

    def _joined(self, pieces: list[str], kind: int) -> str:
        """Take the pieces, of thinking (0) or text (1), as one string. Words after a finish reason withdraw it."""
        if not pieces:
            return ""
        joined = "".join(pieces)
        self._pieces += len(pieces)
        self._last = pieces[-1]
        pieces.clear()
        if self._finish and joined.strip():
            self._finish = ""
        return joined if self._halves is None else self._halves[kind].join(joined)

    def _end_text(self) -> None:
        """Emit what was held back of the text."""
        self._push_text(self._boxes.close())
        said = "".join(self._said)
        if self._pieces > 1 and len(self._last) > _SHORT and said == 2 * self._last:
            self._emit([Replace(self._last, "".join(self._thoughts))])  # the last piece was all of it, once more
        if self._splitter is not None:
            self._emit(self._splitter.close())

    def _emit(self, events: Sequence[TextDelta | ThinkingDelta | Replace]) -> None:
        for event in events:
            last = self._out[-1] if self._out else None
            match event:
                case TextDelta(text):
                    self._has_text = self._has_text or not text.isspace()
                    self._said.append(text)
                    self._least += len(text.strip())
                    if isinstance(last, TextDelta):
                        self._out[-1] = TextDelta(last.text + text)
                        continue
                case ThinkingDelta(text):
                    self._thoughts.append(text)
                case Replace(text, thinking):
                    self._has_text = bool(text)
                    self._said, self._thoughts, self._least = [text], [thinking], len(text.strip())
            self._out.append(event)

    def _take(self) -> list[Event]:
        self._flush()
        if self.grace is not None and not self._finish:
            self.grace = None
        events, self._out = self._out, []
        return events

    # The end

    def _finished(self) -> Finished:
        reason: Reason = "error"
        if self.error is None:
            reason, self.error = self._verdict()
        thought = any(self._thoughts)
        if thought and not self._has_text and not self._tools and reason in {"stop", "length"}:
            self._warn("reasoning-only")
        return Finished(
            reason,
            raw=self._finish,
            model=self._model,
            message_id=self._id,
            warnings=tuple(self._warnings),
        )

    def _verdict(self) -> tuple[Reason, ProviderError | None]:
        """Return how the reply ended, and the error to raise.

        The wire's finish reason decides. `[DONE]` without one is taken for the end if there is content, with a
        warning, else for an empty reply; a stream that ends without either was cut off.
        """
        facts = self._info.facts()
        refused = "refusal" in self._warnings
        answered = self._has_text or bool(self._tools)
        if self._finish:
            end = end_of(self._finish)
            if not end.known:
                self._warn("unknown-finish-reason")
            elif end.reason == "tool_calls" and not self._tools and "unknown-tool-call" not in self._warnings:
                self._warn("no-tool-call")
            if end.kind is None:
                return "content_filter" if refused and end.reason == "stop" else end.reason, None
            again, words = end.kind == "server", tr(end.words)
            return end.reason, status_error(end.kind, code=self._finish, detail=words, retryable=again, **facts)
        if self.done and answered:
            self._warn("no-finish-reason")
            return "content_filter" if refused else "stop", None
        return "error", self._missing()

    def _missing(self) -> ProviderError:
        """Return the error for a reply whose end is missing."""
        facts = self._info.facts()
        strays = self._sse.strays.decode("utf-8", "replace").strip()
        complaint = self._suspect or next(
            filter(None, (read_complaint(one.value) for one in read_pieces(strays.encode()))), None
        )
        if complaint is not None:
            return refusal_error(complaint, self._info)
        if foreign := self._foreign or ("" if self._frames else strays):
            return foreign_error(foreign, self._info)
        if self.done or not self._frames:
            msg = join_sentences(
                tr("No answer from {origin}: the stream ended without content.", origin=self._info),
                "" if self.done else tr("Perhaps the conversation is too long for the model: start over with --new."),
                tr("Run the cell again."),
            )
            return ProtocolError(msg, kind="empty", retryable=self.done, **facts)
        msg = tr(
            "The reply of {origin} broke off: the stream ended before a finish frame. "
            "What had arrived is kept; %chatglm continue goes on, or run the cell again for a whole one.",
            origin=self._info,
        )
        return BrokenStreamError(msg, retryable=True, **facts)

    def _fail(self, complaint: Complaint) -> None:
        self.error = refusal_error(complaint, self._info)
        self.done = True

    def _warn(self, warning: str) -> None:
        self._warnings[warning] = None
