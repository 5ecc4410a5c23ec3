"""Frames as they should not be, and fields under other names; no I/O.

The live service has been seen to cut a frame in the middle of its JSON and to go on, on the same line, with the
next `data: ` and a complete frame (zai-org/GLM-5#66). The cut frame may be a left-over of another reply, which its
id shows.

Thinking, sources, usage and the reason for the end have a dozen names among servers; the readers below know them all.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec

from ..._errors import ErrorKind
from ..._events import Reason, Source, Usage
from ..._language import marked

DONE = "[DONE]"
"""What stands in place of JSON at the end of a stream."""
_COUNTED = 8
"""How many choices with ever higher indices show that the index counts frames, not answers."""
_MAX_CUTS = 64
"""How many broken pieces of one frame are read: each may take a walk over all of it."""

_PINGS = frozenset({"ping", "pong", "heartbeat", "keep-alive", "keepalive", ""})
_DECODER = json.JSONDecoder(strict=False)  # tolerates bare control characters in strings, and NaN
_NEXT = re.compile(r"data:\s*(?=\{|\[DONE\])")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
_ID = re.compile(r'"id"\s*:\s*"([^"\\]*)"')
_DELTA = re.compile(r'"delta"\s*:\s*\{')
_TEXT = re.compile(r'"(content|reasoning_content|reasoning)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_FINISH = re.compile(r'"finish_reason"\s*:\s*"([^"\\]+)"')
_HALF_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,3}\Z")


class Piece(msgspec.Struct, frozen=True):
    """One JSON value of a frame.

    Attributes:
        value: The value; of a cut frame, as much of a chunk as could be read.
        cut: Whether the frame broke off.
        raw: The value with its lone surrogates, for a caller who looks for their other halves; None if it has none.
    """

    value: Any
    cut: bool = False
    raw: Any = None


def read_pieces(data: bytes, *, keep_halves: bool = False) -> list[Piece]:
    """Return the JSON values of a frame that does not have the expected shape, as far as they can be read.

    Never fails: invalid UTF-8 is replaced, and what is unreadable becomes a cut piece with an empty chunk.

    Args:
        data: The frame.
        keep_halves: Whether lone surrogates stay in the value itself.
    """
    try:
        text, whole = data.decode(), True
    except UnicodeDecodeError:
        text, whole = data.decode("utf-8", "replace" if keep_halves else "surrogateescape"), False
    text = text.removeprefix("\ufeff")
    pieces: list[Piece] = []
    cuts = 0
    position = len(text) - len(text.lstrip())
    while position < len(text):
        if cuts == _MAX_CUTS:
            pieces.append(Piece({}, cut=True))
            break
        if start := _NEXT.match(text, position):
            position = start.end()
        try:
            value, end = _DECODER.raw_decode(text, position)
            value = _once_more(value)
            halves = not keep_halves and (not whole or _ESCAPED_SURROGATE.search(text, position, end))
            clean = scrub(value) if halves else value
            pieces += _pieces(clean, value)
        except (ValueError, RecursionError):
            following = _NEXT.search(text, position + 1)
            end = following.start() if following else len(text)
            broken = text[position:end].strip()
            if broken.strip("[]").upper() == "DONE":
                pieces.append(Piece(DONE))
            elif broken.strip(": ").lower() not in _PINGS:
                cuts += 1
                pieces.append(Piece(_salvage(broken), cut=True))
        position = end + len(text[end:]) - len(text[end:].lstrip())
    return pieces


def _once_more(value: object) -> object:
    """Return what a string holds that is JSON again, of a gateway that encodes it twice; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            return _DECODER.decode(value)
    return value


def _pieces(clean: Any, value: Any) -> list[Piece]:  # noqa: ANN401 - JSON is any value
    """Return a value of a frame, or each of a list of chunks, with and without lone surrogates."""
    chunks = objects_in(clean) if isinstance(clean, list) else []
    listed = any({"choices", "error"} & chunk.keys() for chunk in chunks)
    pairs = zip(clean, value, strict=True) if listed else [(clean, value)]
    return [Piece(one, raw=whole if one != whole else None) for one, whole in pairs]


def whole_answer(body: bytes) -> bytes:
    """Return the events that a document stands for, or the documents of several lines; none if it is no chat answer."""
    values = objects_in(piece.value for piece in read_pieces(body) if not piece.cut)
    chunks = [value for value in values if unwrapped(value).get("choices")]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]" * bool(chunks)


def unwrapped(frame: dict[str, Any]) -> dict[str, Any]:
    """Return the chunk that a gateway has put into an object of its own, as `data` or `result`; else the frame."""
    inner = [] if "choices" in frame else objects_in(frame.values())
    return next((one for one in inner if one.get("choices")), frame)


def text_of(value: object) -> str:
    """Return a string as it is, and an empty one for anything else."""
    return value if isinstance(value, str) else ""


def json_text(value: object) -> str:
    """Return a JSON value as text; an empty string if it is nested too deeply to be walked."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _salvage(text: str) -> dict[str, Any]:
    """Return a chunk with what a cut frame still holds."""
    chunk: dict[str, Any] = {}
    delta: dict[str, Any] = {}
    if found := _ID.search(text):
        chunk["id"] = found[1]
    text = text.partition('"web_search"')[0]  # its pages have a `content` of their own
    if start := _DELTA.search(text):
        for name, escaped in _TEXT.findall(text, start.end()):
            delta.setdefault(name, _unescape(escaped))
        finish = _FINISH.search(text, start.end())
        chunk["choices"] = [{"delta": delta, "finish_reason": finish[1] if finish else None}]
    return chunk


def _unescape(escaped: str) -> str:
    """Return the text of the inside of a JSON string that may break off in an escape."""
    for inside in (escaped, _HALF_ESCAPE.sub("", escaped)):
        try:
            return _without_surrogates(_DECODER.decode(f'"{inside}"'))
        except ValueError:
            continue
    return ""


def scrub(value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    """Replace lone surrogates by U+FFFD: no other part of the program could encode them."""
    match value:
        case str():
            return _without_surrogates(value)
        case list():
            return [scrub(item) for item in value]
        case dict():
            return {_without_surrogates(name): scrub(item) for name, item in value.items()}
        case _:
            return value


def _without_surrogates(text: str) -> str:
    text = _BYTES.sub(lambda run: run[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace"), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class HalfJoiner:
    """Joins text whose pieces may be cut in the middle of a surrogate pair, or of a character's bytes."""

    def __init__(self) -> None:
        self._half = ""

    def join(self, text: str) -> str:
        """Return the text so far that is whole; a half at its end is kept for the next piece."""
        text = self._half + text
        self._half = text[len(text) - _half_length(text) :]
        return _without_surrogates(text.removesuffix(self._half))

    def close(self) -> str:
        """Return what stands for a half that stayed alone."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


class Choices:
    """Tells which choices of a stream are the answer.

    Some servers count frames in a choice's index. It is taken for a count if it never returns to an earlier value; if
    it does, there are several answers, of which the one with the lowest index is read.

    Attributes:
        index: Of the choice that is read; None before the first.
        several: Whether there are others.
    """

    def __init__(self) -> None:
        self.index: int | None = None
        self.several = False
        self._counts = False
        self._later: list[tuple[int, dict[str, Any]]] = []  # of which it is not known yet

    @property
    def settled(self) -> bool:
        """Whether a choice with the index 0 is certainly the answer's."""
        return not self._later and (self._counts or not self.index)

    def begin(self) -> None:
        """Note a choice with the index 0, of which it is `settled` that it is the answer's."""
        self.index = 0

    def pick(self, choice: dict[str, Any], *, certain: bool) -> list[dict[str, Any]]:
        """Return the choices to be read now; a new lower `index` takes the place of all that was read.

        Args:
            choice: The next one.
            certain: Whether one with a higher index must be another answer.
        """
        index = choice.get("index")
        index = index if type(index) is int else self.index or 0
        if self._counts:
            return [choice]
        if self.index is None or index == self.index:
            self.index = index
            self.several = self.several or bool(self._later and not _only_ends(choice))
        elif index < self.index:
            self.index, self.several = index, True
        else:
            self.several = self.several or certain or index <= (self._later[-1][0] if self._later else self.index)
            self._later.append((index, choice))
            return self.close() if not self.several and len(self._later) == _COUNTED else self._forget([])
        return self._forget([choice])

    def close(self) -> list[dict[str, Any]]:
        """Return the choices that wait: no index has returned, so they are all of one answer."""
        self._counts = self._counts or bool(self._later)
        kept, self._later = self._later, []
        return [choice for _, choice in kept]

    def _forget(self, ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.several:
            self._later.clear()
        return ours


def _only_ends(choice: dict[str, Any]) -> bool:
    """Return whether a choice says nothing but that it ends."""
    delta = choice.get("delta")
    return bool(choice.get("finish_reason")) and not (
        isinstance(delta, dict) and any(map(delta.get, ("content", "tool_calls")))
    )


def _half_length(text: str) -> int:
    """Return how many surrogates at the end of a text are the beginning of one character."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return 1
    for length in range(1, min(3, len(text)) + 1):
        byte = ord(text[-length]) - 0xDC00
        if not 0x80 <= byte <= 0xFF:  # noqa: PLR2004 - what `surrogateescape` makes of bytes
            break
        if byte >= 0xC0:  # noqa: PLR2004 - the first byte says how many there are
            return length if length < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0  # noqa: PLR2004
    return 0


# Fields under other names

_THINKS = re.compile(r"reason|think|thought|chain_of", re.IGNORECASE)
_METADATA = re.compile(
    r"(?:\b|_)(?:reason|id|type|format|signatures?|status|effort|tokens?|time|duration|model)$", re.IGNORECASE
)
_WORDS = ("text", "thinking", "reasoning", "summary", "content", "thought", "transcript", "value")
_DEEPEST = 4
_NO_ERROR = frozenset({"", "0", "200", "null", "none", "false", "ok", "success"})


def thinks(name: str) -> bool:
    """Return whether a field's name says that it holds thinking."""
    return bool(_THINKS.search(name)) and (name == "reason" or not is_metadata(name))


def is_metadata(name: str) -> bool:
    """Return whether a field's name says that it holds nothing for a reader."""
    return bool(_METADATA.search(name))


def words_in(value: object, depth: int = 0) -> str:
    """Return the words of a string, of a list of strings or objects, or of an object under one of their usual names."""
    if isinstance(value, str) or depth == _DEEPEST:
        return text_of(value)
    if isinstance(value, list):
        return "".join(words_in(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return next((words for name in _WORDS if (words := words_in(value.get(name), depth + 1))), "")
    return ""


def sources_in(pages: object) -> Iterator[Source]:
    """Yield the pages of a list of URLs, or of objects; those of OpenAI wrap a page in `url_citation`."""
    for page in pages if isinstance(pages, list) else ():
        if isinstance(page, str) and page.startswith(("http://", "https://")):
            yield Source("", page)
        elif isinstance(page, dict):
            inner = page.get("url_citation")
            page = inner if isinstance(inner, dict) else page  # noqa: PLW2901 - unwrapped
            title, url = (
                next((text_of(page[name]) for name in names if page.get(name)), "")
                for names in (("title", "name", "document_title"), ("link", "url", "uri"))
            )
            yield Source(title, url, text_of(page.get("refer")))


_PROMPT = frozenset({"prompttokens", "inputtokens", "prompttokencount", "inputtokencount", "promptevalcount"})
_COMPLETION = frozenset(
    {"completiontokens", "outputtokens", "candidatestokencount", "outputtokencount", "generatedtokens", "evalcount"}
)


def usage_in(raw: Mapping[str, Any]) -> Usage:
    """Return token counts by whichever names they have."""
    match raw:
        case {"prompt_tokens": int(prompt), "completion_tokens": int(completion), "total_tokens": int(total)}:
            if min(prompt, completion, total) > 0:
                return Usage(prompt, completion, total, raw=raw)
    inner = objects_in(raw.values())  # Cohere's counts are in `tokens`, beside those that are billed
    counts = {name.replace("_", "").lower(): _count(value) for part in (*inner, raw) for name, value in part.items()}
    prompt, completion = (
        next((counts[n] for n in counts if n in names and counts[n]), 0) for names in (_PROMPT, _COMPLETION)
    )
    total = counts.get("totaltokens") or counts.get("totaltokencount") or prompt + completion
    return Usage(prompt, completion, total, raw=raw)


def _count(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0
    return max(int(value), 0)


def says_something(value: object, depth: int = 0) -> bool:
    """Return whether a value, or anything in it, is more than nothing or a word for success."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return bool(value) and (depth == _DEEPEST or any(says_something(item, depth + 1) for item in inner))
    return bool(value) and str(value).strip().lower() not in _NO_ERROR


def objects_in(values: object) -> list[dict[str, Any]]:
    """Return the objects among some values; none of what is no list."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, Iterable) else []


# Why a reply ended


class End(msgspec.Struct, frozen=True):
    """What a finish reason means.

    Attributes:
        reason: Ours.
        kind: The kind of the error to raise after it; None if it is none.
        words: Of that error, in English.
        known: Whether the meaning is certain.
    """

    reason: Reason
    kind: ErrorKind | None = None
    words: str = ""
    known: bool = True


_FILTERED = End("content_filter", "content_filter", marked("blocked by content safety"))
_FAILED = End("error", "server", marked("inference failed"))
_ENDS: Mapping[str, End] = MappingProxyType(
    {
        **dict.fromkeys(("stop", "end_turn", "stop_sequence"), End("stop")),
        "length": End("length"),
        **dict.fromkeys(("tool_calls", "function_call", "tool_use"), End("tool_calls")),
        **dict.fromkeys(("sensitive", "content_filter", "safety"), _FILTERED),
        "model_context_window_exceeded": End("length", "context_length", marked("context window exceeded")),
        "network_error": End("error", "server", marked("inference broke off")),
        "abort": End("error", "server", marked("inference was aborted")),
        "error": _FAILED,
    }
)
"""By the wire's word, in lower case."""
_BY_FAMILY = (
    (
        re.compile(
            r"safety|filter|sensitive|moderat|policy|refus|prohibit|block|recitation|spii|guard|inspect|toxic"
            r"|risk|violat"
        ),
        _FILTERED,
    ),
    (re.compile(r"context|window"), _ENDS["model_context_window_exceeded"]),
    (
        re.compile(
            r"error|fail|insufficient|overload|unavailab|abort|timeout|cancel|interrupt|resource|malform"
            r"|unexpected|too_many"
        ),
        _FAILED,
    ),
    (re.compile(r"length|limit|max|trunc|budget"), End("length")),
    (re.compile(r"tool|function"), End("tool_calls")),
)
"""Words that are in none of the documents: Gemini's, DeepSeek's, Bedrock's, Cohere's … by what they are made of."""
_NO_REASON = frozenset({"", "null", "none"})


def reason_in(value: object) -> str:
    """Return the finish reason of a choice as the service wrote it; empty if it gave none."""
    reason = text_of(value.get("type") if isinstance(value, dict) else value)
    return "" if reason.strip().lower() in _NO_REASON else reason


def finish_in(holders: Sequence[Mapping[str, Any]]) -> str:
    """Return the first finish reason that some objects give; empty if they give none."""
    names = ("finish_reason", "finishReason", "stop_reason")
    return next(filter(None, (reason_in(holder.get(name)) for name in names for holder in holders)), "")


def end_of(reason: str) -> End:
    """Return what a finish reason means; one that is not known counts as `stop`, but not as certain."""
    if reason in _ENDS:
        return _ENDS[reason]
    word = re.sub(r"^finish_?reason[._]?", "", reason.strip().lower()).replace("-", "_").replace(" ", "_")
    found = _ENDS.get(word) or next((end for pattern, end in _BY_FAMILY if pattern.search(word)), None)
    return found or End("stop", known=word.startswith("stop"))
