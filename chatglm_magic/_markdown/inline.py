"""One paragraph of hostile Markdown in, one that is inert but for formulas, code spans and links out; no I/O.

See `safe` for the rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .links import BARE_URL, INLINE_TARGET, URL_LIMIT, link, literal, split_url, target

if TYPE_CHECKING:
    from collections.abc import Callable

MACRO = r"(?:href|url|class|style|cssId|data|html\w*|mmlToken|includegraphics|require|csname|unicode|Vml)(?![A-Za-z])"
"""TeX commands that make links, load things or reach the page's styles and names."""
DRASTIC = re.compile(r"\]\(|!\[|\$\$|\\(?:begin|end)|\\\\[\[\]()]|`")
"""In code: what some parser reads before it looks for code."""
HARMFUL = re.compile(rf"<[A-Za-z/!?]|&#?\w+;|\\{MACRO}|(?:://|www\.)\S*[$\\]")
"""In code: what acts once a parser fails to see that it is code."""
_RIVALS = re.compile(r"[|~^]|==|\+\+")
"""In a code span: what may end a table's cell, or something that mistune's plugins began before it."""
_SPOT = re.compile(r"[`\\$<&]|!(?=\[)|\](?=[(:])|~(?=~~)|(?:[hH][tT][tT][pP][sS]?|[fF][tT][pP])://|[wW]{3}\.")
"""Where a token may begin: five times as fast to look for as the tokens themselves."""
_TOKEN = re.compile(
    r"""(?P<ticks>`+)
      | (?P<escape>\\[!-/:-@\[-`{-~])
      | (?P<backslash>\\)
      | (?P<dollars>\$+)
      | (?P<angle><)
      | (?P<ampersand>&(?=\#?\w+;))
      | (?P<image>!(?=\[))
      | (?P<target>\](?=\())
      | (?P<definition>\](?=:))
      | (?P<tildes>~{3,})
      | (?P<url>(?:https?|ftp)://|www\.)""",
    re.VERBOSE | re.IGNORECASE,
)
_MATHY = re.compile(r"\$|\\[(\[]|\\begin")
_INSIDE = r"((?:[^$\\`]|\\[^()\[\]`$])+?)"
ROUND = re.compile(rf"\\(\\)?\({_INSIDE}\\(?(1)\\)\)")
SQUARE = re.compile(rf"\\(\\)?\[{_INSIDE}\\(?(1)\\)\](?!\()")
DOLLAR = re.compile(
    r"\$(?:(?![\s$])((?:[^$\\\n`]|\\[^\n`])+?)(?<![\s\\])|( (?=[^$\n`]*[\\^_={])(?:[^$\\\n`]|\\[^\n`])+? ))\$(?![\d$])"
)
"""A formula in a line; one between blanks only if it looks like TeX."""
DOLLARS = re.compile(r"\$\$((?:[^$\\`]|\\[^`])+?)\$\$(?!\$)")
BEGIN = re.compile(r"\\begin[ \t]*\{([A-Za-z]{1,20}\*?)\}")
_ENVIRONMENT_LIMIT = 5000
_STRAY = re.compile(r"\\(?=begin|end)")
_DEAD_MACRO = re.compile(rf"\\+(?={MACRO})")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]*)>", re.IGNORECASE)
_IMAGE = re.compile(rf"!\[(?P<alt>[^\[\]`\n]*)(?P<rest>{INLINE_TARGET.pattern})")
_KNOWN_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|[en]msp|thinsp|copy|reg|trade|hellip|[mn]dash|middot|bull|times|divide|plusmn|minus"
    r"|deg|micro|para|sect|euro|pound|yen|cent|[lr](?:aquo|squo|dquo)|[lrudh]arr|[lrh]Arr|[lg]e|ne|asymp|infin);"
)
_BELOW = re.compile(r"<(?=[\s\d=]|$)")
BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_ROW = re.compile(r"[ \t]*\|")
_BLANKS = re.compile(r"[ \t]*")
_OPENS_BLOCK = re.compile(r"[-+#>=|:0-9]|\*\s")
_IN_BRACKETS = re.compile(r"[^\[\]\n]{0,300}\]")
_LINE_HEAD = re.compile(r"(?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*")


_DANGLING = re.compile(r"\[(?![^\[\]]*[\[\]])")
_LABEL = re.compile(r"(?m)^((?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t])|\[[ xX]\][ \t])*)\[(?![^\[\]$]*[\[\]])")
"""Brackets that marked and mistune pair with a `]:` far behind, in code too, as a link's definition."""
_SPOILERS = {"[": "!\\", "`": "~\\"}
"""What before a link makes it an image or text, and before a code span text (marked takes tildes and backticks)."""


def paragraph(text: str) -> str:
    """Make one paragraph inert.

    Args:
        text: Lines without a blank one between them.
    """
    return _Paragraph(text).write()


class _Paragraph:
    """Writes one paragraph, going through it once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._at = 0
        self._mathy = bool(_MATHY.search(text))
        # MathJax looks for pairs of dollars in the finished page again; in an element of its own, one has no pair.
        self._plain_dollar = "<span>&#36;</span>" if text.count("$") > 1 else "$"
        self._closers: dict[int, int] | None = None
        self._line = self._seen = 0  # the start of the current line, and up to where lines have been told apart
        self._fresh = -1  # where a line starts that we have begun ourselves
        self._url_end = 0  # up to where a parser may see the URL that has been met last
        self._url_broken = False  # whether that one must not be seen
        self._kinds: dict[str, Callable[[re.Match[str]], str]] = {
            "ticks": self._ticks,
            "escape": self._escape,
            "backslash": self._backslash,
            "dollars": self._dollars,
            "angle": self._angle,
            "ampersand": self._ampersand,
            "image": self._image,
            "target": self._target,
            "definition": lambda _: "]\\",
            "tildes": lambda found: "&#126;" * len(found[0]),
            "url": self._url,
        }

    def write(self) -> str:
        """Go through the paragraph once, from token to token."""
        text, out = self._text, self._out
        while spot := _SPOT.search(text, self._at):
            start = spot.start()
            out.append(text[self._at : start])
            found = _TOKEN.match(text, start) or spot
            self._at = found.end()
            piece = self._kinds[found.lastgroup](found) if found.lastgroup else found[0]
            before, mark = out[-1][-1:], piece[:1]
            if before and before in _SPOILERS.get(mark, ""):
                out[-1] = out[-1][:-1] + literal(before)
            out.append(piece)
        out.append(text[self._at :])
        written = "".join(out)
        if "[" in written:
            written = _DANGLING.sub("&#91;", written)
            if "$" in written:
                written = _LABEL.sub(r"\1&#91;", written)
        return written

    def _ticks(self, found: re.Match[str]) -> str:
        """Write a code span, or backticks that open none."""
        if self._closers is None:
            self._closers = _pair_ticks(self._text)
        close = self._closers.get(found.start())
        run = len(found[0])
        if close is None or self._text[found.start() - 1 : found.start()] == "`":
            return "&#96;" * run
        code = self._text[found.end() : close]
        self._at = close + run
        doubtful = self._mathy or bool(_RIVALS.search(code)) or found.start() < self._url_end
        if DRASTIC.search(code) or "]:" in code or (doubtful and HARMFUL.search(code)):
            inside = code[1:-1] if code[0] == code[-1] == " " and code.strip() else code
            return f"<code>{literal(inside)}</code>"
        return f"`{code}`"

    def _escape(self, found: re.Match[str]) -> str:
        mark = found[0][1]
        match mark:
            case "(" | "[":
                return self._bracket(found.start()) or ("&#40;" if mark == "(" else "&#91;")
            case "\\":
                return (
                    self._bracket(found.start())
                    or self._command(found.start() + 1)
                    or ("&#92;" if not _dead(self._text, self._at) else "")
                )
            case "$":
                return self._plain_dollar
            case ")" | "]" | "`" | "<" | "&" | "!" | "~":
                return f"&#{ord(mark)};"
        return found[0]

    def _backslash(self, found: re.Match[str]) -> str:
        return self._command(found.start()) or ("" if _dead(self._text, self._at) else "\\")

    def _command(self, start: int) -> str:
        r"""Write an environment that stands outside a formula; no `\begin` or `\end` but in one."""
        if not _STRAY.match(self._text, start):
            return ""
        begin = BEGIN.match(self._text, start)
        if begin:
            end = f"\\end{{{begin[1]}}}"
            stop = self._text.find(end, start, start + _ENVIRONMENT_LIMIT)
            inside = self._text[start:stop] + end
            if (
                stop >= 0
                and "$" not in inside
                and "`" not in inside
                and (written := self._display(start, inside, stop + len(end)))
            ):
                return written
        return "&#92;"

    def _bracket(self, start: int) -> str:
        r"""Write a formula in `\(…\)` or `\[…\]`; empty if there is none."""
        if found := ROUND.match(self._text, start):
            if (inside := _formula(found[2])) is None:
                return ""
            self._at = found.end()
            return f"${_no_second_bracket(inside)}$"
        if found := SQUARE.match(self._text, start):
            return self._display(start, found[2], found.end())
        return ""

    def _dollars(self, found: re.Match[str]) -> str:
        start = found.start()
        if len(found[0]) == 1:
            inline = DOLLAR.match(self._text, start)
            if inline and (inside := _formula(inline[1] or inline[2])) is not None:
                self._at = inline.end()
                return f"${_no_second_bracket(inside)}$"
            return self._plain_dollar if self._text[self._at : self._at + 1].isdecimal() else "$"
        display = DOLLARS.match(self._text, start)
        if display and (written := self._display(start, display[1], display.end())):
            return written
        return "&#36;" * len(found[0])

    def _display(self, start: int, source: str, end: int) -> str:
        """Write a display formula, on one line; one that starts a line also ends it (VS Code reads on otherwise)."""
        inside = _formula(source)
        if inside is None:
            return ""
        written = f"$${_rename(inside)}$$"
        self._at = end
        line = self._line_start(start)
        if self._fresh != start and not _LINE_HEAD.fullmatch(self._text, line, start):
            return written
        self._at = _skip(_BLANKS, self._text, end)
        if self._text[self._at : self._at + 1] in {"", "\n"}:
            return written
        self._fresh = self._at
        if not _OPENS_BLOCK.match(self._text, self._at):
            return f"{written}\n"
        self._at += 1
        return f"{written}\n&#{ord(self._text[self._at - 1])};"

    def _line_start(self, at: int) -> int:
        """Give the start of the line that holds a place; places must not go back."""
        newline = self._text.rfind("\n", self._seen, at)
        if newline >= 0:
            self._line = newline + 1
        self._seen = at
        return self._line

    def _angle(self, found: re.Match[str]) -> str:
        start = found.start()
        if auto := _AUTOLINK.match(self._text, start):
            self._at = auto.end()
            written = link(auto[1], auto[1])
            return written[:-1] + " )" if self._formula_follows() else written
        cell = BREAK.match(self._text, start)
        if cell and _ROW.match(self._text, self._line_start(start)):
            self._at = cell.end()
            return "<br>"
        return "<" if _BELOW.match(self._text, start) else "&lt;"

    def _ampersand(self, found: re.Match[str]) -> str:
        return "&" if _KNOWN_ENTITY.match(self._text, found.start()) else "&amp;"

    def _image(self, found: re.Match[str]) -> str:
        """Turn an image into a link, so that nothing is loaded before somebody clicks."""
        image = _IMAGE.match(self._text, found.start())
        if image and target(image["bare"] if image["angled"] is None else image["angled"]):
            self._at += 1
            return "[" if image["alt"].strip() else "[image"
        return "&#33;"

    def _target(self, found: re.Match[str]) -> str:
        """Write a link's target anew, or make it text."""
        written = INLINE_TARGET.match(self._text, found.start())
        if written and (url := target(written["bare"] if written["angled"] is None else written["angled"])):
            in_url = found.start() < self._url_end < written.end()
            self._at = written.end()
            return f"]({url} )" if in_url or self._formula_follows() else f"]({url})"
        return "&#93;"

    def _formula_follows(self) -> bool:
        """Tell whether what follows would lengthen a URL by a formula, for a parser that sees no link before it."""
        run = BARE_URL.match(self._text, self._at)
        return run is not None and ("$" in run[0] or "\\" in run[0] or len(run[0]) == URL_LIMIT)

    def _url(self, found: re.Match[str]) -> str:
        """Leave a plain URL to the parser, end one at Chinese behind it; with a formula in it, it is no link."""
        start = found.start()
        broken = found[0].replace(":", "&#58;").replace(".", "&#46;")
        if start < self._url_end:
            return broken if self._url_broken else found[0]
        whole = BARE_URL.match(self._text, start)
        run = whole[0] if whole else ""
        self._url_end = start + len(run)
        self._url_broken = "$" in run or "\\" in run or len(run) == URL_LIMIT
        if self._url_broken:
            return broken
        if run.isascii() or "[" in run or "]" in run or _IN_BRACKETS.match(self._text, self._url_end):
            return found[0]
        url = split_url(run)
        self._at = self._url_end = start + len(url)
        return link(url, url if "://" in url else f"https://{url}")


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _dead(text: str, at: int) -> bool:
    return bool(re.compile(MACRO).match(text, at))


def _pair_ticks(text: str) -> dict[int, int]:
    """Give for each run of backticks the start of the next one of the same length on the same line."""
    pairs: dict[int, int] = {}
    later: dict[int, int] = {}
    end = len(text)
    for run in reversed(list(re.finditer("`+", text))):
        if "\n" in text[run.end() : end]:
            later.clear()
        length = len(run[0])
        if length in later:
            pairs[run.start()] = later[length]
        later[length] = end = run.start()
    return pairs


def _formula(source: str) -> str | None:
    """Make the inside of a formula inert as text too, on one line; None if it is none."""
    lines = re.sub(r"(?m)(?<!\\)%.*$", "", source).split("\n") if "\n" in source else [source]
    inside = " ".join(line.strip(" \t>") if number else line.strip() for number, line in enumerate(lines)).strip()
    if not inside or not _balanced(inside):
        return None
    inside = inside.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    inside = _DEAD_MACRO.sub("", inside)
    inside = re.sub(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=[(:])|!(?=\[)|~(?=~)", lambda mark: mark[0] + " ", inside)
    inside = re.sub(r"(?i)(://|www\.)", lambda mark: mark[0] + " ", inside)
    return inside + " " if inside.endswith(("\\", "$")) else inside


def _balanced(inside: str) -> bool:
    """Tell whether the environments of a formula end, each within the one that holds it."""
    names: list[str] = []
    for mark in re.finditer(r"\\(begin|end)(?:\s*\{([^{}]*)\})?", inside):
        if mark[1] == "begin":
            names.append(mark[2])
        elif not names or names.pop() != mark[2]:
            return False
    return not names


def _no_second_bracket(inside: str) -> str:
    r"""Keep `\\[` and `\\(`, which two front ends read as delimiters, out of a formula within a line."""
    return re.sub(r"\\\\(?=[\[\]()])", r"\\\\ ", inside)


def _rename(inside: str) -> str:
    """Name environments of whole displays, which MathJax refuses within one, by their inner twins."""
    inside = re.sub(r"\\(begin|end)\{(align|gather)\*?\}", r"\\\1{\2ed}", inside)
    return re.sub(r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}", "", inside).strip() or inside
