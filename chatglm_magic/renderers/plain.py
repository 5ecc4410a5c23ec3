"""A reply as plain text that only grows, as its whole at the end, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

from .._errors import shorten
from .._events import (
    Event,
    Finished,
    Part,
    PartialValue,
    Replace,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    ToolStarted,
    Usage,
)
from .._jupyter.shell import Publisher
from .._language import tr
from .._markdown.fences import fenced
from .._markdown.links import visible
from .._markdown.reply_markdown import ending, run_line, sentences
from .._markdown.table import Table, Tabular
from .._reply import Reply
from . import Renderer
from .output import bundle, usage_line

_MOST_LINES = 12
"""Of a function's traceback, the last ones."""


class PlainRenderer(Renderer):
    """Writes text as it comes.

    Args:
        write: Shows more text, at once. It gets no control characters but line ends and tabs.
        show_thinking: Whether thinking is written too.
        show_usage: Whether tokens and seconds are written at the end.
        schema: What the answer has to be, where it is shown as a table; None for text.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        show_thinking: bool = True,
        show_usage: bool = False,
        schema: Tabular | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._schema = schema
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._clock = clock
        self._thinking_since: float | None = None
        self._text = ""  # of the whole answer
        self._return = ""  # a carriage return that may be half a line end
        self._at_start = True  # of a line

    def status(self, text: str) -> None:
        """Write on a line of its own why nothing has come yet."""
        self._put_note(text)

    def write(self, event: Event) -> None:
        """Write what an event adds."""
        match event:
            case TextDelta() | Replace() if self._schema is not None:
                self._end_thinking()
            case TextDelta(text):
                self._end_thinking()
                self._grow(text)
            case ThinkingDelta(text):
                if self._thinking_since is None:
                    self._thinking_since = self._clock()
                    self._put_note(tr("thinking") if self._show_thinking else tr("thinking …"))
                if self._show_thinking:
                    self._put_thinking(visible(text))
            case Replace(text):
                self._end_thinking()
                if not text.startswith(self._text):
                    self._put_note(tr("corrected"))
                    self._text = ""
                self._grow(text[len(self._text) :])
            case Part():
                self._end_thinking()
                if lines := _part_lines(event):
                    self._put_line(lines)
            case ToolStarted(call):
                self._end_thinking()
                self._put_note(tr("calling {name}", name=call.name))
            case ToolResult():
                self._end_thinking()
                for line in _run_lines(event):
                    self._put_line(line)
            case ToolCallDelta() | PartialValue() | Usage() | Finished():
                pass  # written at the end
            case _:
                assert_never(event)

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by its raiser
        """End the line, and write how the reply ended if it did not end well."""
        self._end_thinking()
        self._put_answer(visible(self._return))
        if self._schema is not None and reply.table is not None:
            self._put_table(reply.table)
        elif self._schema is not None:
            self._put_answer(visible(reply.text))
        for line in (*map(_call_line, reply.tool_calls), *sentences(reply), ending(reply)):
            if line:
                self._put_line(line)
        if self._show_usage:
            self._put_line(usage_line(reply))
        self._put_line("")

    def _grow(self, text: str) -> None:
        self._text += text
        text = self._return + text
        self._return = "\r" if text.endswith("\r") else ""
        self._put_answer(visible(text.removesuffix("\r")))

    def _end_thinking(self) -> None:
        if self._thinking_since is not None:
            self._put_note(tr("thought for {seconds:.1f} s", seconds=self._clock() - self._thinking_since))
            self._thinking_since = None

    def _put_answer(self, text: str) -> None:
        """Write more of the answer."""
        self._put(text)

    def _put_table(self, table: Table) -> None:
        """Write the whole value."""
        self._put_line(table.plain())

    def _put_thinking(self, text: str) -> None:
        """Write more of the thinking."""
        self._put(text)

    def _put_note(self, text: str) -> None:
        """Write a line that is not the model's."""
        self._put_line(f"[{text}]")

    def _put_line(self, text: str) -> None:
        """End the line before, and write a line; none if it is empty."""
        line = visible(f"{text}\n") if text else ""
        self._put(line if self._at_start else f"\n{line}")

    def _put(self, text: str) -> None:
        if text:
            self._at_start = text.endswith("\n")
            self._write(text)


class QuietRenderer(Renderer):
    """Shows nothing while a reply grows; at its end the whole once, if there is a publisher.

    Args:
        publisher: Where the whole goes; None for nowhere.
        show_thinking: As in `CellRenderer`.
        show_usage: As in `CellRenderer`.
        form: As in `CellRenderer`.
    """

    def __init__(
        self,
        publisher: Publisher | None = None,
        *,
        show_thinking: bool = True,
        show_usage: bool = False,
        form: str = "md",
    ) -> None:
        self._publisher = publisher
        self._show_thinking = show_thinking
        self._show_usage = show_usage
        self._form = form

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by its raiser
        """Show the whole once."""
        if self._publisher is not None and (reply.parts or sentences(reply)):
            data, metadata = bundle(
                reply, show_thinking=self._show_thinking, show_usage=self._show_usage, form=self._form
            )
            self._publisher.publish(data, metadata=metadata)


class WholeRenderer(QuietRenderer):
    """Writes a reply when it is whole.

    Args:
        write: Shows more text, at once.
        form: As in `bundle`.
        show_usage: Whether tokens and seconds are written below it.
    """

    def __init__(self, write: Callable[[str], object], form: str, *, show_usage: bool = False) -> None:
        super().__init__(show_usage=show_usage, form=form)
        self._write = write

    def status(self, text: str) -> None:
        """Write on a line of its own why nothing has come yet."""
        self._write(f"[{visible(text)}]\n")

    def close(self, reply: Reply, error: BaseException | None) -> None:  # noqa: ARG002 - shown by its raiser
        """Write the whole."""
        if reply.parts or sentences(reply):
            data, _ = bundle(reply, form=self._form)
            usage = f"{usage_line(reply)}\n" if self._show_usage else ""
            self._write(f"{data['text/plain']}\n{usage}")


def _part_lines(part: Part) -> str:  # noqa: PLR0911 - one for each kind of part
    """Return one part other than text and thinking as lines; empty for a part that is not shown."""
    match part.kind:
        case "code":
            return fenced("python", part.content)
        case "execution_output":
            return fenced("text", part.content.strip("\n"))
        case "image":
            name = tr("image")
            return "\n".join(f"[{name}] {url}" for url in part.urls)
        case "search":
            return "\n".join(f"[{source.title}] {source.url}" for source in part.sources)
        case "server_tool":
            return f"[{' '.join(f'{part.name} {part.arguments}'.split())}]"
        case "notice":
            return f"[{' '.join(part.content.split())}]"
        case _:
            return ""


def _run_lines(run: ToolResult) -> list[str]:
    """Return what came of a call as lines: what was called, and its result, shortened, or its error."""
    said = f"[{run_line(run)}] {shorten(run.call.arguments)}"
    return [said, f"  {tr(run.error) if run.error else shorten(run.result)}", *run.traceback.split("\n")[-_MOST_LINES:]]


def _call_line(call: ToolCall) -> str:
    said = tr("calls {name}", name=call.name)
    return f"[{said} {' '.join(call.arguments.split())}]"
