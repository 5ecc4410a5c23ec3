"""A reply in a terminal: what is final is printed once, and what still grows is repainted below it.

rich lays out and colours. What of a growing text is final, and what is code or a formula, is decided by `_markdown`
as for cells and panels.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import eq
from typing import ClassVar

from markdown_it.token import Token
from msgspec.structs import replace
from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement, TableElement
from rich.syntax import ANSI_DARK, ANSISyntaxTheme
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from .._events import Event, Finished, PartialValue, Replace, Usage
from .._language import tr
from .._markdown.fences import Fence
from .._markdown.links import visible
from .._markdown.stable import ITEM, close_open, settled, split_fence
from .._markdown.table import Table as ValueTable
from .._markdown.table import Tabular
from .._reply import Reply
from . import Renderer
from .cell import Throttle
from .document import parse
from .highlight import code_tokens
from .plain import PlainRenderer, WholeRenderer

_PERIOD = 0.05
"""Least seconds between two paints."""
_SHARE = 4
"""After a paint that took long, the next one comes when this many times as long has passed."""
_CELL = 6
"""Least columns of the terminal for each cell of a table, with the rule behind it."""
_STYLES = {
    **{f"markdown.h{level}": "bold underline" if level == 1 else "bold" for level in range(1, 7)},
    "markdown.code": "bold cyan",
    "markdown.link": "underline",
    "markdown.link_url": "dim",
    "markdown.hr": "dim",
    "markdown.block_quote": "none",
    "markdown.item.number": "none",
    "markdown.item.bullet": "none",
}
_STYLE_CODE = re.compile(r"\x1b\[[\d;]*m")
_TRAILING = re.compile(rf"(?: |{_STYLE_CODE.pattern})+$")
_ITEM = re.compile(rf"(?m)^{ITEM.pattern}")
_DIM, _UNDIM = "\x1b[2m", "\x1b[22m"


def terminal_size() -> os.terminal_size:
    """Ask the terminal itself: COLUMNS and LINES, where a shell exports them, are not kept up to date."""
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return shutil.get_terminal_size()


def stdout_renderer(
    form: str,
    *,
    show_thinking: bool = True,
    show_usage: bool = False,
    colors: bool = True,
    schema: Tabular | None = None,
) -> Renderer:
    """Return a renderer that writes to `sys.stdout`.

    A terminal that can move its cursor gets a `TerminalRenderer`, anything else plain text. Code and JSON alone are
    written when they are whole, since what was written cannot be taken back.

    Args:
        form: As in `bundle`.
        show_thinking: Whether thinking is shown.
        show_usage: Whether tokens and seconds are shown at the end.
        colors: Whether the user wants colours; the environment variable NO_COLOR turns them off too.
        schema: As in `PlainRenderer`.
    """
    if form in {"code", "json", "df"}:
        return WholeRenderer(_write, form, show_usage=show_usage)
    if not sys.stdout.isatty() or (os.environ.get("TERM", "") in {"", "dumb", "unknown"} and os.name != "nt"):
        return PlainRenderer(_write, show_thinking=show_thinking, show_usage=show_usage, schema=schema)
    return TerminalRenderer(
        _write,
        markdown=form == "md",
        show_thinking=show_thinking,
        show_usage=show_usage,
        colors=colors and "NO_COLOR" not in os.environ,
        schema=schema,
    )


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class TerminalRenderer(PlainRenderer):
    """Shows a reply in a terminal that can move its cursor.

    No more rows are repainted than the screen holds. Of a longer block that still grows, the newest rows are shown,
    and the whole when it is final. Where the terminal has become narrower since the last paint, the rows may have
    been wrapped anew: they are left as they are, and what they show is painted again below.

    Args:
        write: Shows more text, at once.
        size: Returns the terminal's size.
        colors: Whether there are colours; bold, dim and underlined text does not depend on it.
        markdown: Whether the answer is Markdown; else it is written as it comes, like thinking.
        show_thinking: As in `PlainRenderer`.
        show_usage: As in `PlainRenderer`.
        schema: As in `PlainRenderer`.
        clock: Seconds from any fixed point.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], os.terminal_size] = terminal_size,
        *,
        colors: bool = True,
        markdown: bool = True,
        show_thinking: bool = True,
        show_usage: bool = False,
        schema: Tabular | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(write, show_thinking=show_thinking, show_usage=show_usage, schema=schema, clock=clock)
        self._size = size
        self._markdown = markdown
        self._tail = _Tail(colors=colors)
        self._throttle = Throttle(self._paint, _PERIOD, clock)
        self._status = ""  # what is waited for; empty once anything has come
        self._opened = clock()
        self._second = 0
        self._rows: list[str] = []  # those above the cursor that the next paint may change
        self._columns = 0  # of the terminal when they were painted

    def open(self, label: str) -> None:
        """Show a status line at once."""
        self._status = " · ".join((label, tr("waiting")))
        self._opened = self._clock()
        self._throttle.touch()

    def write(self, event: Event) -> None:
        """Take one event. Markdown is shown with the next paint, any other text now."""
        if isinstance(event, (Usage, Finished)):
            return  # `close` shows them
        self._end_status()
        super().write(event)
        if isinstance(event, PartialValue) and self._schema is not None:
            table = ValueTable.of(self._schema, event.value, growing=True)
            self._tail.text = replace(table, above=0).markdown()  # a line above it would become final
        elif isinstance(event, Replace) and self._schema is not None:
            self._tail.text = ""
        self._throttle.touch()

    def tick(self) -> None:
        """Paint what is due; while nothing has come, the seconds so far."""
        if self._status and int(self._clock() - self._opened) != self._second:
            self._second = int(self._clock() - self._opened)
            self._throttle.touch()
        self._throttle.tick()

    def close(self, reply: Reply, error: BaseException | None) -> None:
        """Print what has arrived, and how the reply ended if it did not end well."""
        self._end_status()
        super().close(reply, error)

    def _end_status(self) -> None:
        if self._status:
            self._status = ""
            self._show([], [])

    def _put_answer(self, text: str) -> None:
        if self._markdown:
            self._tail.text += text
        else:
            self._put(text)

    def _put_table(self, table: ValueTable) -> None:
        self._tail.text = table.markdown()

    def _put_thinking(self, text: str) -> None:
        self._write(_DIM)
        self._put(text)
        self._write(_UNDIM)

    def _put_line(self, text: str) -> None:
        """Print the answer so far, and a line below it."""
        self._show(self._tail.finish(self._size().columns), [])
        super()._put_line(text)
        self._show([], self._status_rows())

    def _paint(self) -> None:
        """Print what has become final of the answer, and show what still grows."""
        began, size = self._clock(), self._size()
        final = self._tail.settle(size)
        self._show(final, self._status_rows() or self._tail.rows(size.columns))
        self._throttle.period = max(_PERIOD, _SHARE * (self._clock() - began))

    def _status_rows(self) -> list[str]:
        if not self._status:
            return []
        since = tr("{seconds:.0f} s", seconds=self._second) if self._second else ""
        line = " · ".join(filter(None, (self._status, since)))
        return chop_cells(visible(line), self._size().columns)[:1]

    def _show(self, final: list[str], growing: list[str]) -> None:
        """Write rows over those that may change, from the first one that differs; the last ones may change again."""
        size = self._size()
        growing = growing[-(size.lines - 1) :]  # the cursor is in the row below
        before = self._rows if size.columns >= self._columns else []
        rows = [*final, *growing]
        same = sum(takewhile(bool, map(eq, before, rows)))
        self._rows, self._columns = growing, size.columns
        if same < max(len(before), len(rows)):
            self._at_start = True
            up = min(len(before) - same, size.lines - 1)
            # The cursor's own row is erased too: it may hold what was typed meanwhile, a ^C for instance.
            erase = f"\r\x1b[{up}A\x1b[J" if up else "\r\x1b[J"
            self._write(erase + "".join(f"{row}\n" for row in rows[same:]))


class _Tail:
    """The end of a growing text: the blocks that are not final.

    Args:
        colors: Whether there are colours.

    Attributes:
        text: Its Markdown, without control characters but line ends and tabs.
    """

    def __init__(self, *, colors: bool) -> None:
        self.text = ""
        self._console = Console(
            force_terminal=True, no_color=not colors, legacy_windows=False, highlight=False, theme=Theme(_STYLES)
        )
        self._in_code = False  # whether the text begins with the rest of a fence
        self._height = 0  # rows of it when it was last rendered

    def settle(self, size: os.terminal_size) -> list[str]:
        """Return the rows of the blocks that have become final, and forget them.

        A list or a fence that fills half of the screen is divided between two items or lines.
        """
        begun = self.text.rstrip("\n")  # a cut at the end would leave a gap below the last block
        cut = settled(begun)
        is_high = not cut and self._height > size.lines // 2
        if is_high:
            cut = settled(begun, items=True)
        halves = split_fence(self.text) if is_high and not cut else None
        final, rest = halves or (self.text[:cut], self.text[cut:])
        if not final:
            return []
        rows = self._render(final, size.columns)
        self.text, self._in_code = rest, halves is not None
        goes_on = halves is not None or (is_high and _ITEM.search(final))
        return rows if goes_on else [*rows, ""]

    def rows(self, columns: int) -> list[str]:
        """Return the rows of what is not final."""
        rows = self._render(close_open(self.text, growing=True), columns)
        self._height = len(rows)
        return rows

    def finish(self, columns: int) -> list[str]:
        """Return the rows of what is not final, and forget it."""
        rows = self._render(self.text, columns)
        self.text, self._in_code = "", False
        return rows

    def _render(self, text: str, columns: int) -> list[str]:
        """Return the rows of a text, without blanks at their ends, which rich writes to fill them."""
        self._console.width = columns
        with self._console.capture() as capture:
            self._console.print(_Markdown(text, in_code=self._in_code))
        rows = [_without_blanks(row) for row in capture.get().split("\n")]
        shown = [number for number, row in enumerate(rows) if row]
        return rows[shown[0] : shown[-1] + 1] if shown else []


def _without_blanks(row: str) -> str:
    """Return a row without the blanks at its end; empty if there is nothing else but codes of styles."""
    kept = _TRAILING.sub(lambda trailing: "".join(_STYLE_CODE.findall(trailing[0])), row)
    return kept if _STYLE_CODE.sub("", kept) else ""


class _Heading(Heading):
    """A heading at the left, without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _Table(TableElement):
    """A table without a frame, whose long words are wrapped, not cut off; a line for each row if it is too wide."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [part.row for part in (self.header,) if part and part.row] + (self.body.rows if self.body else [])
        if max((len(row.cells) for row in rows), default=0) * _CELL > options.max_width:
            for row in rows:  # rich would leave cells out
                yield Text(" │ ", overflow="fold").join(cell.content for cell in row.cells)
            return
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                table.show_edge = False
                for column in table.columns:
                    column.overflow = "fold"
            yield table


class _Taken(MarkdownElement):
    """Code below the name of its language, or the source of a displayed formula; see `document.parse`."""

    def __init__(self, taken: Fence | str, *, label: bool) -> None:
        self._taken = taken
        self._label = label

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Taken:  # noqa: ARG003 - rich's signature
        return cls(token.meta["taken"], label=token.meta.get("label", True))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if isinstance(self._taken, str):
            yield Text(f"$${self._taken}$$")
            return
        if self._label and self._taken.language:
            yield Text(self._taken.language, style="dim")
        theme = ANSISyntaxTheme(ANSI_DARK)
        pieces = code_tokens("\n".join(self._taken.code), self._taken.language)
        yield Text.assemble(*((text, theme.get_style_for_token(kind)) for kind, text in pieces), overflow="fold")


class _Markdown(Markdown):
    """Markdown as `document` reads it.

    Args:
        text: The text.
        in_code: Whether it begins with a fence that only goes on here: its language stands above.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "table_open": _Table,
        "taken": _Taken,
    }

    def __init__(self, text: str, *, in_code: bool) -> None:
        super().__init__("", justify="default", hyperlinks=False)
        self.parsed = parse(text)
        if in_code and self.parsed and self.parsed[0].type == "taken":
            self.parsed[0].meta["label"] = False
        for token in self.parsed:
            if token.children:
                token.children = _inline(token.children)


def _inline(children: Sequence[Token]) -> list[Token]:
    """Exchange what rich does not show, or not whole, for what it does; keep the line ends that the model wrote."""
    shown: list[Token] = []
    is_plain: list[bool] = []  # of each link that is open, whether its words are all there is to show
    for number, token in enumerate(children):
        match token.type:
            case "softbreak":
                shown.append(Token("hardbreak", "br", 0))
            case "formula":
                shown.append(_text(token.markup))
            case "taken":
                taken = token.meta["taken"]
                shown.append(_text("\n".join(taken.code) if isinstance(taken, Fence) else f"$${taken}$$"))
            case "image":
                words, url = _text(token.content or tr("image")), token.attrs["src"]
                link = [Token("link_open", "a", 1, attrs={"href": url}), words, Token("link_close", "a", -1)]
                shown += link if url else [words]
            case "link_open":
                is_plain.append(token.attrs["href"] in {"", children[number + 1].content})
                shown += [] if is_plain[-1] else [token]
            case "link_close":
                shown += [] if is_plain.pop() else [token]
            case _:
                shown.append(token)
    return shown


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
