"""A reply as the Markdown that is shown and saved; no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from .._events import Part, Reason, Source, ToolResult
from .._language import marked, tr, trn
from .fences import fenced
from .links import link, literal
from .sanitize import safe
from .stable import close_open
from .table import Table, as_code

_ENDINGS = {
    "interrupted": marked("stopped"),
    "length": marked("cut off: max_tokens reached"),
    "content_filter": marked("cut by moderation"),
    "error": marked("broken off"),
}
"""By finish reasons: how an answer ended that did not end well."""
_REFUSED = marked("refused by the model")
CUTS = {
    "no-finish-reason": marked("cut off: the service did not say that the answer is complete"),
    "unknown-finish-reason": marked("perhaps cut off: the service gave a reason for the end that is not known"),
    "no-tool-call": marked("perhaps cut off: the model was to call a tool, but no call was sent"),
    "bad-frame": marked("perhaps cut off: a piece of the stream could not be read"),
    "silent-end": marked("perhaps cut off: the service fell silent without ending its stream"),
    "last-error": marked("perhaps cut off: the service reported an error at the end"),
}
"""By the names in `Reply.warnings`: why an answer that ended without an error may not be whole."""
UNFINISHED = marked("still being written")
"""Of an answer that has not ended: what is shown of it, and may be saved so, does not read as whole."""
_CONTEXT_FULL = "model_context_window_exceeded"
_CONTEXT_IS_FULL = marked("cut off: the model's context is full")
_MONTHS = (
    *(marked("Jan"), marked("Feb"), marked("Mar"), marked("Apr"), marked("May"), marked("Jun")),
    *(marked("Jul"), marked("Aug"), marked("Sep"), marked("Oct"), marked("Nov"), marked("Dec")),
)
"""Not those of the locale: what is saved in one language is equal wherever it is run."""
MONTHS = (
    *(marked("January"), marked("February"), marked("March"), marked("April"), marked("May"), marked("June")),
    *(marked("July"), marked("August"), marked("September"), marked("October"), marked("November"), marked("December")),
)
"""The same months in full."""
NOTHING_SAID = marked("The model gave no answer text.")
_SENTENCES = {
    "history-trimmed": marked("Earlier parts of the conversation were left out: they no longer fit."),
    "reasoning-only": marked("The model only thought, and gave no answer."),
    "not-streamed": marked("The service gave its answer in one piece, not as a stream."),
    "odd-choice": marked("The service sent several answers; only one is shown."),
    "unknown-content": marked("The service sent content of a kind that is not understood; it is not shown."),
    "unknown-tool-call": marked("The model asked for a tool of a kind that is not understood; it is not shown."),
    "store-full": marked("This is not stored yet: the disk is full. It is written as soon as there is room."),
    "store-unwritable": marked(
        "This is not stored: the store's file cannot be written. "
        "Make it writable, or set CHATGLM_STORE to another file or to off."
    ),
    "store-locked": marked("This is not stored yet: another program has locked the store's file. It is tried again."),
    "store-damaged": marked("The store's file was damaged. It was renamed, not deleted, and a new one is begun."),
    "store-newer": marked(
        "This is not stored: a newer version of chatglm_magic has written the store's file. "
        "Update chatglm_magic, or set CHATGLM_STORE to another file."
    ),
    "store-foreign": marked(
        "This is not stored: CHATGLM_STORE names another program's database. Set it to another file."
    ),
    "store-failed": marked("This is not stored yet: the store's file could not be written. It is tried again."),
}
"""What is said about each of `Reply.warnings` that the user should know of; the others are for programs."""


_NAMED = {
    "unknown-field": marked("The service sent a field that is not understood and is not shown: {name}."),
    "unknown-part": marked("The service sent a part that is not understood and is not shown: {name}."),
}
"""The same for names with something behind a colon."""


class AnyReply(Protocol):
    """What is read of a reply here. `Reply` has it; it imports this module to show itself, so none imports it here."""

    finish_reason: Reason | None
    raw_finish: str
    warnings: list[str]
    replayed: datetime | None

    @property
    def schema(self) -> object: ...
    @property
    def table(self) -> Table | None: ...
    @property
    def text(self) -> str: ...
    @property
    def thinking(self) -> str: ...
    @property
    def thinking_seconds(self) -> float: ...
    @property
    def parts(self) -> list[Part]: ...
    @property
    def tool_runs(self) -> list[ToolResult]: ...


def compose(reply: AnyReply, *, show_thinking: bool = True) -> str:
    """Return a reply, at any stage, as Markdown that is safe to show.

    Thinking is folded away before the answer if `show_thinking` says so, and shown if it is all there is. The answer
    follows, with the functions that were called, folded, and code, output and images (as links) where they arrived,
    then sources, and one line on how it ended if it did not end well.
    """
    only_thinking = not reply.text.strip() and not reply.tool_runs
    blocks: list[str] = []
    runs = reply.tool_runs
    has_text = bool(reply.text.strip())
    sources: list[Source] = []
    thinking = reply.thinking if only_thinking or show_thinking else ""
    for part in reply.parts:
        if part.kind == "thinking":
            blocks.append(thinking_block(thinking, reply.thinking_seconds, is_open=only_thinking))
            thinking = ""
            continue
        if part.kind == "text":
            blocks += text_blocks(reply, part, runs)
            runs = []
            continue
        if not has_text:
            blocks += map(run_block, runs)
            runs = []
        if part.kind == "search":
            sources += part.sources
        else:
            blocks.append(block(part))
    blocks += [*map(run_block, runs), source_list(sources), *(f"*{sentence}*" for sentence in sentences(reply))]
    if words := ending(reply):
        blocks.append(f"*{literal(words)}*")
    return "\n\n".join(filter(None, blocks))


def text_blocks(reply: AnyReply, part: Part, runs: Sequence[ToolResult]) -> Iterator[str]:
    """Yield the Markdown of the text, and of the calls that were decided on while it was written.

    Where a value was asked for, the text is its table, or as it came if it is none, below the calls.
    """
    if reply.schema is None:
        yield from map(piece_block, in_order(part.content, runs)) if runs else (block(part),)
        return
    yield from map(run_block, runs)
    table = reply.table
    yield as_code(part.content) if table is None else table.markdown()


def in_order(text: str, runs: Iterable[ToolResult]) -> Iterator[str | ToolResult]:
    """Yield a text, in pieces where calls were decided on while it was written, and these calls between them."""
    at = 0
    for run in runs:
        if piece := text[at : run.offset]:
            yield piece
        at = max(at, run.offset)
        yield run
    if text[at:]:
        yield text[at:]


def piece_block(piece: str | ToolResult) -> str:
    """Return a piece of a text, or what came of a call, as Markdown that is safe to show, whatever follows it."""
    return safe(close_open(piece.strip("\n"))) if isinstance(piece, str) else run_block(piece)


def thinking_block(text: str, seconds: float, *, is_open: bool = False) -> str:
    """Return a model's thinking as a block that unfolds, already unfolded where `is_open`.

    The blank lines make the inside Markdown for every parser; `safe` lets no tag through that could end it.
    """
    if not text.strip():
        return ""
    state = " open" if is_open else ""
    summary = tr("Thought for {seconds:.1f} s", seconds=seconds)
    return f"<details{state}><summary>{summary}</summary>\n\n{safe(text.strip())}\n\n</details>"


def run_block(run: ToolResult) -> str:
    """Return what came of a call as a block that unfolds."""
    return f"<details><summary>{run_line(run)}</summary>\n\n{run_facts(run)}\n\n</details>"


def run_facts(run: ToolResult) -> str:
    """Return the arguments of a call, its result and an error's traceback, as Markdown without HTML."""
    facts = [fenced("json", run.call.arguments)]
    if run.result:
        facts.append(fenced("text", run.result))
    if run.error:
        facts.append(fenced("text", run.traceback or tr(run.error)))
    return safe("\n\n".join(facts))


def run_line(run: ToolResult) -> str:
    """Return what came of a call in a few words."""
    name = _plain(run.name)
    if not run.error:
        return tr("Called {name} · {seconds:.1f} s", name=name, seconds=run.seconds)
    if not run.approved_by:
        return tr("Did not call {name}", name=name)
    return tr("Called {name} · failed after {seconds:.1f} s", name=name, seconds=run.seconds)


def block(part: Part) -> str:  # noqa: PLR0911 - one for each kind of part
    """Return the Markdown of one part other than thinking; empty for a part that is not shown."""
    match part.kind:
        case "text":
            return safe(part.content)
        case "code":
            return fenced("python", part.content)
        case "execution_output":
            return fenced("text", part.content.strip("\n"))
        case "image":
            name = tr("image")
            return "\n".join(f"- {link(name, url)}" for url in part.urls)
        case "search":
            return "*" + trn("{count} page found", "{count} pages found", len(part.sources)) + "*"
        case "tool_call":
            line = tr("calls {name}", name=literal(part.name))
            return f"*{line}*\n\n{fenced('json', part.arguments)}"
        case "server_tool":
            return f"*{one_line(part.name)}* {one_line(part.arguments)}"
        case "notice":
            return f"*{one_line(part.content)}*" if part.content.strip() else ""
        case _:
            return ""


def sentences(reply: AnyReply) -> list[str]:
    """Return what the user should know about a reply, a sentence each."""
    names = list(reply.warnings)
    if reply.finish_reason == "stop" and reply.thinking.strip() and not reply.text.strip():
        names.append("reasoning-only")
    found = notices(names)
    if is_empty(reply):
        found.append(tr(NOTHING_SAID))
    if reply.replayed is not None:
        found.append(tr("Stored answer of {day}.", day=day(reply.replayed)))
    return found


def is_empty(reply: AnyReply) -> bool:
    """Return whether a reply ended well and holds nothing to read."""
    said = reply.text.strip() or reply.thinking.strip()
    return reply.finish_reason == "stop" and not said and {part.kind for part in reply.parts} <= {"text", "notice"}


def notices(names: Iterable[str]) -> list[str]:
    """Return a sentence for each of `Reply.warnings` that the user should know of."""
    found = []
    for name in dict.fromkeys(names):
        kind, _, what = name.partition(":")
        if kind in _NAMED:
            found.append(tr(_NAMED[kind], name=_plain(what)))
        elif name in _SENTENCES:
            found.append(tr(_SENTENCES[name]))
    return found


def _plain(name: str) -> str:
    """Return a name off the wire, without what could mean something to a page or a terminal."""
    return re.sub(r"[^\w.:-]+", "?", name)[:40]


def end_words(reason: Reason | None, warnings: Collection[str]) -> str:
    """Return how an answer ended; empty if it ended well.

    Args:
        reason: Its finish reason.
        warnings: Its warnings.
    """
    if reason == "content_filter" and "refusal" in warnings:
        return tr(_REFUSED)
    if reason in _ENDINGS:
        return tr(_ENDINGS[reason])
    return tr(CUTS[cut]) if (cut := _cut(reason, warnings)) else ""


def _cut(reason: Reason | None, warnings: Collection[str]) -> str:
    """Return the first name in `CUTS` that an answer has which ended without an error; empty if it has none."""
    return next((name for name in CUTS if name in warnings), "") if reason in {"stop", "tool_calls"} else ""


def ending(reply: AnyReply) -> str:
    """Return how a reply ended, in brackets, and what goes on with it; empty for one that ended well."""
    if reply.raw_finish == _CONTEXT_FULL:
        return f"[{tr(_CONTEXT_IS_FULL)}]"
    words = end_words(reply.finish_reason, reply.warnings)
    if cut := _cut(reply.finish_reason, reply.warnings):
        if cut == "unknown-finish-reason":
            words = tr("{words} ({reason})", words=words, reason=_plain(reply.raw_finish))
        words = tr("{words}; %chatglm continue goes on", words=words)
    return f"[{words}]" if words else ""


def day(moment: datetime, months: Sequence[str] = _MONTHS) -> str:
    """Return a day as people write it, in the time zone of this computer: 21 Nov 2026; `months` are names of months."""
    local = moment.astimezone()
    return tr("{day} {month} {year}", day=local.day, month=tr(months[local.month - 1]), year=local.year)


def one_line(text: str) -> str:
    """Return text as `literal` writes it, its line ends as blanks."""
    return literal(" ".join(text.split()))


def source_list(sources: Iterable[Source]) -> str:
    """Return sources as a numbered list of links, each page once."""
    unique = {source.url: source for source in sources}
    links = (f"{n}. {link(source.title or source.url, source.url)}" for n, source in enumerate(unique.values(), 1))
    return "\n".join(links)
