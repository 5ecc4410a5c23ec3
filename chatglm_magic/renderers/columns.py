"""Answers side by side: columns that grow together in one output, and stay as HTML, Markdown and plain text.

In a cell all columns are one display, which is painted as a whole: they grow by one message for all of them. The page
lays them out by itself: columns that would be narrower than a line of text go below each other. In terminals each
answer is a section, printed when it is whole.
"""

from __future__ import annotations

import html
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from .._errors import shorten
from .._events import ColumnEvent, Finished, Replace, Source, TextDelta, ThinkingDelta
from .._jupyter.shell import Publisher
from .._language import language, tr, trn
from .._markdown.links import literal, visible
from .._markdown.reply_markdown import block, compose, ending, in_order, run_line, sentences, source_list
from .._reply import Reply
from . import Renderer
from .cell import Throttle
from .html import Growing, render

_PERIOD = 0.055
"""Least seconds between two paints, as in `CellRenderer`: never more than 20 messages a second."""
_RATE = 80_000
"""Bytes a second that the columns take together at most: each paint lays all of them out anew."""
_LONGEST = 1.0
_GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14em),1fr));gap:0.5em 1.5em"
"""As many columns beside each other as have the room of a short line, all of one width; a narrow page has one."""
_CELL = "min-width:0;overflow-x:auto;border-top:2px solid #8888;padding-top:0.3em"
_MOST_ERROR = 600


class Section(msgspec.Struct, frozen=True):
    """One model's answer, as it is shown once it has ended.

    Attributes:
        name: The model.
        reply: Its answer.
        failure: Why it failed; empty where it did not.
    """

    name: str
    reply: Reply
    failure: str = ""

    @property
    def facts(self) -> str:
        """Seconds and tokens in a few words."""
        usage = self.reply.usage
        tokens = (
            trn("{count} token written", "{count} tokens written", usage.completion_tokens) if usage is not None else ""
        )
        return " · ".join(filter(None, (tr("{seconds:.1f} s", seconds=self.reply.elapsed), tokens)))


def sections_of(replies: Mapping[str, Reply], errors: Mapping[str, Exception]) -> list[Section]:
    """Return answers that have ended as sections, in their order."""
    return [Section(name, reply, str(errors[name]) if name in errors else "") for name, reply in replies.items()]


def in_all_forms(sections: Iterable[Section], *, note: str = "", show_thinking: bool = True) -> dict[str, str]:
    """Return answers that have ended as the data of one output: HTML, Markdown and plain text; a note above them."""
    sections = list(sections)
    columns = (_column(one.name, one.facts, _whole(one, show_thinking=show_thinking)) for one in sections)
    markdown = (_markdown(one, show_thinking=show_thinking) for one in sections)
    return {
        "text/html": _note(note) + _grid(columns),
        "text/markdown": "\n\n".join(filter(None, (note and f"*{literal(note)}*", *markdown))),
        "text/plain": visible("\n\n".join(filter(None, (note and f"[{note}]", *map(plain_section, sections))))),
    }


def plain_section(section: Section) -> str:
    """Return an answer with its head as plain text."""
    lines = [head_of(section), section.reply.text.strip("\n")]
    if section.failure:
        lines.append(f"[{shorten(section.failure, _MOST_ERROR)}]")
    return "\n".join(filter(None, lines))


def head_of(section: Section) -> str:
    """Return the line above an answer in plain text."""
    return f"── {section.name} · {section.facts} ──"


def _markdown(section: Section, *, show_thinking: bool) -> str:
    blocks = [f"#### {literal(section.name)}", f"*{literal(section.facts)}*"]
    if section.reply.parts:
        blocks.append(compose(section.reply, show_thinking=show_thinking))
    if section.failure:
        blocks.append(f"*{literal(shorten(section.failure, _MOST_ERROR))}*")
    return "\n\n".join(blocks)


def _whole(section: Section, *, show_thinking: bool) -> str:
    """Return an answer as HTML."""
    reply = section.reply
    has_text = bool(reply.text.strip())
    blocks: list[str] = []
    sources: list[Source] = []
    runs = reply.tool_runs
    for part in reply.parts:
        match part.kind:
            case "text":
                pieces = in_order(reply.text, runs)
                blocks += [render(piece) if isinstance(piece, str) else _note(run_line(piece)) for piece in pieces]
                runs = []
            case "thinking" if show_thinking or not has_text:
                summary = html.escape(tr("thought for {seconds:.1f} s", seconds=reply.thinking_seconds))
                is_open = "" if has_text else " open"
                blocks.append(f"<details{is_open}><summary>{summary}</summary>{render(reply.thinking)}</details>")
            case "search":
                sources += part.sources
            case _:
                blocks.append(render(block(part)))
    blocks.append(render(source_list(sources)))
    notes = (*sentences(reply), ending(reply)) if section.failure == "" or reply.parts else ()
    blocks += [f"<p><em>{html.escape(note)}</em></p>" for note in notes if note]
    return "".join(blocks) + _failure(section.failure)


def _note(text: str) -> str:
    return f"<p><em>{html.escape(text)}</em></p>" if text else ""


def _failure(text: str) -> str:
    return f"<p><strong>{html.escape(shorten(text, _MOST_ERROR))}</strong></p>" if text else ""


def _grid(columns: Iterable[str]) -> str:
    return f'<div style="{_GRID}">{"".join(columns)}</div>'


def _column(name: str, facts: str, body: str) -> str:
    head = f"<p><strong>{html.escape(name)}</strong> · <em>{html.escape(facts)}</em></p>"
    return f'<div style="{_CELL}">{head}{body}</div>'


class _Growth:
    """One column while it grows."""

    def __init__(self, name: str, reply: Reply) -> None:
        self.name = name
        self.reply = reply
        self.status = ""
        self.failure = ""
        self.ended = False
        self._text = Growing()
        self._thinks = False

    def add(self, item: ColumnEvent) -> None:
        """Take what has come of the model."""
        self.status = item.status or self.status
        self.failure = item.failure or self.failure
        match item.event:
            case TextDelta(text):
                self._thinks = False
                self._text.write(text)
            case ThinkingDelta():
                self._thinks = True
            case Replace(text):
                self._text.replace(text)
            case Finished():
                self.ended = True

    def html(self) -> str:
        """Return the column as it is now."""
        self._text.take()
        body = "".join((*self._text.blocks, self._text.tail))
        if self.failure:
            return _column(self.name, tr("failed"), body + _failure(self.failure))
        if self.ended:
            return _column(self.name, Section(self.name, self.reply).facts, body)
        if self._thinks and not body:
            state = tr("thinking · {seconds:.0f} s", seconds=self.reply.elapsed)
        else:
            state = tr("{seconds:.0f} s", seconds=self.reply.elapsed) if body else self.status or tr("waiting")
        return _column(self.name, state, body)


class ColumnsRenderer(Renderer):
    """Shows the answers of several models in the output of the cell that asked.

    Args:
        publisher: IPython's `display_pub`, or what behaves like it.
        replies: The answers, which others add up.
        errors: Why models failed, likewise.
        grows: Whether the output can be updated; else it is shown once, at the end.
        exclusive: As in `CellRenderer`.
        hz: As in `CellRenderer`.
        show_thinking: Whether thinking is shown at the end.
        clock: Seconds from any fixed point.

    Attributes:
        grows: As given.
        note: What is said above the columns at the end, in sentences; empty for nothing.
    """

    def __init__(
        self,
        publisher: Publisher,
        replies: Mapping[str, Reply],
        errors: Mapping[str, Exception],
        *,
        grows: bool,
        exclusive: bool,
        hz: float = 20,
        show_thinking: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._replies = replies
        self._errors = errors
        self.grows = grows
        self.note = ""
        self._exclusive = exclusive
        self._period = max(_PERIOD, 1 / hz)
        self._show_thinking = show_thinking
        self._clock = clock
        self._columns = {name: _Growth(name, reply) for name, reply in replies.items()}
        self._throttle = Throttle(self._paint, self._period, clock)
        self._display = uuid.uuid4().hex[:12]
        self._shown = False
        self._status = ""
        self._second = 0
        self._opened = clock()

    def open(self, label: str) -> None:  # noqa: ARG002 - each column says its own
        """Show the columns at once."""
        self._touch()

    def status(self, text: str) -> None:
        """Say above the columns why nothing has come yet."""
        self._status = text
        self._touch()

    def write(self, event: Any) -> None:  # noqa: ANN401 - a `ColumnEvent`, where other renderers take events
        """Take what has come of one model."""
        self._columns[event.column].add(event)
        if event.event is not None:
            self._status = ""
        self._touch()

    def tick(self) -> None:
        """Paint what is due; the seconds of those that have not ended go on."""
        second = int(self._clock() - self._opened)
        if second != self._second:
            self._second = second
            self._touch()
        elif self.grows:
            self._throttle.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - all of them are shown
        """Put one output in the place of all; nothing where all failed without a word."""
        if self._shown and self._exclusive:
            self._publisher.clear_output(wait=True)
        if not (error is not None and len(self._errors) == len(self._replies)):
            data = in_all_forms(
                sections_of(self._replies, self._errors), note=self.note, show_thinking=self._show_thinking
            )
            self._publisher.publish(data, metadata={"chatglm_magic": _metadata(self._replies)})
        if self._shown and not self._exclusive:
            self._show({"text/plain": ""}, {})

    def _touch(self) -> None:
        if self.grows:
            self._throttle.touch()

    def _paint(self) -> None:
        """Show all columns; set how long to wait with the next paint."""
        shown = _note(self._status) + _grid(column.html() for column in self._columns.values())
        self._show({"text/html": shown}, {"chatglm_magic": {"status": "streaming", "language": language()}})
        self._throttle.period = max(self._period, min(_LONGEST, len(shown.encode(errors="replace")) / _RATE))

    def _show(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        transient = {"display_id": self._display}
        self._publisher.publish(data, metadata=metadata, transient=transient, update=self._shown)
        self._shown = True


def _metadata(replies: Mapping[str, Reply]) -> dict[str, Any]:
    """Return what an output says of itself for programs."""
    found = {
        name: {
            "status": reply.finish_reason,
            "model": reply.model,
            "provider": reply.provider,
            "seconds": round(reply.elapsed, 2),
            "tokens": reply.usage.completion_tokens if reply.usage else None,
        }
        for name, reply in replies.items()
    }
    reasons = {reply.finish_reason for reply in replies.values()}
    return {"status": reasons.pop() if len(reasons) == 1 else "mixed", "models": found, "language": language()}


class SectionsRenderer(Renderer):
    """Prints the answers below each other in a terminal, each when it is whole, in the order in which they end.

    Args:
        write: Shows more text, at once.
        replies: The answers.
        show: Returns a renderer for the text of one of them.
    """

    def __init__(
        self, write: Callable[[str], object], replies: Mapping[str, Reply], show: Callable[[], Renderer]
    ) -> None:
        self._write = write
        self._replies = replies
        self._show = show
        self._failures: dict[str, str] = {}
        self._printed: set[str] = set()

    def open(self, label: str) -> None:
        """Say who is asked."""
        self._write(f"[{visible(label)}]\n")

    def status(self, text: str) -> None:
        """Say why nothing has come yet."""
        self._write(f"[{visible(text)}]\n")

    def write(self, event: Any) -> None:  # noqa: ANN401 - a `ColumnEvent`
        """Print an answer that has ended."""
        if event.status:
            self._write(f"[{visible(event.column)}: {visible(event.status)}]\n")
        if event.failure:
            self._failures[event.column] = event.failure
        if event.failure or isinstance(event.event, Finished):
            self._print(event.column)

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - as above
        """Print those that were stopped."""
        for name, one in self._replies.items():
            if one.text:
                self._print(name)

    def _print(self, name: str) -> None:
        if name in self._printed and not self._failures.get(name):
            return
        section = Section(name, self._replies[name], self._failures.pop(name, ""))
        if name not in self._printed:
            self._write(f"\n{visible(head_of(section))}\n")
            if section.reply.text:
                renderer = self._show()
                renderer.write(TextDelta(section.reply.text))
                renderer.close(section.reply, None)
        self._printed.add(name)
        if section.failure:
            self._write(f"[{visible(shorten(section.failure, _MOST_ERROR))}]\n")
