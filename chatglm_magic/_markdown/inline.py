"""One paragraph of hostile Markdown in, one that is inert but for formulas, code spans and links out; no I/O.

The rules are those of `sanitize.safe`.
"""

from __future__ import annotations

import re
from unicodedata import category, east_asian_width

from .._language import tr
from .links import BARE_URL, INLINE_TARGET, URL_LIMIT, link, literal, split_url, target

MACRO = r"(?:href|url|class|style|cssId|data|html\w*|mmlToken|includegraphics|require|csname|unicode|Vml)(?![A-Za-z])"
_MACRO = re.compile(MACRO)
"""TeX commands that make links, load something, or reach styles and names of the page."""
DRASTIC = re.compile(r"\]\(|!\[|\$\$|\\(?:begin|end)|\\\\[\[\]()]|`")
"""In code: what a parser may read before it looks for code."""
HARMFUL = re.compile(rf"<[A-Za-z/!?]|&#?\w+;|\\{MACRO}|(?:://|www\.)\S*[$\\]")
"""In code: what acts where a parser does not see that it is code."""
_RIVALS = re.compile(r"[|~^]|==|\+\+")
"""In a code span: what may end the cell of a table, or something that began before it under plugins of mistune."""
_SPOT = re.compile(
    r"[`\\$<&]|!(?=\[)|\](?=[(:])|~(?=~~)|:::|\{(?:(?=\{)|(?<=[\])`>]\{))|(?:[hH][tT][tT][pP][sS]?|[fF][tT][pP])://|[wW]{3}\."
)
"""Where a token may begin; searching for it is five times as fast as for the tokens."""
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
      | (?P<myst>:{3,}|\{)
      | (?P<url>(?:https?|ftp)://|www\.)""",
    re.VERBOSE | re.IGNORECASE,
)
_MATHY = re.compile(r"\$|\\[(\[]|\\begin")
_INSIDE = r"((?:[^$\\`]|\\[^()\[\]`$])+?)"
_ROUND = re.compile(rf"\\(\\)?\({_INSIDE}\\(?(1)\\)\)")
_SQUARE = re.compile(rf"\\(\\)?\[{_INSIDE}\\(?(1)\\)\](?!\()")
_DOLLAR = re.compile(
    r"\$(?:(?![\s$])((?:[^$\\\n`]|\\[^\n`])+?)(?<![\s\\])|( (?=[^$\n`]*[\\^_={])(?:[^$\\\n`]|\\[^\n`])+? ))\$(?![\d$])"
)
"""A formula in a line; one between blanks only if it looks like TeX."""
_DOLLARS = re.compile(r"\$\$((?:[^$\\`]|\\[^`])+?)\$\$(?!\$)")
_BEGIN = re.compile(r"\\begin[ \t]*\{([A-Za-z]{1,20}\*?)\}")
_ENVIRONMENT_LIMIT = 5000
_STRAY = re.compile(r"\\(?=begin|end)")
_DEAD_MACRO = re.compile(rf"\\+(?={MACRO})")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]*)>", re.IGNORECASE)
_IMAGE = re.compile(rf"!\[(?P<alt>[^\[\]`\n]*)(?P<rest>{INLINE_TARGET.pattern})")
_KNOWN_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|[en]msp|thinsp|copy|reg|trade|hellip|[mn]dash|middot|bull|times|divide|plusmn|minus"
    r"|deg|micro|para|sect|euro|pound|yen|cent|[lr](?:aquo|squo|dquo)|[lrudh]arr|[lrh]Arr|[lg]e|ne|asymp|infin);"
)
PLAIN_DOLLAR = "<span>&#36;</span>"
"""A dollar that opens no formula, where a page has more of them."""
_BELOW = re.compile(r"<(?=[\s\d=]|$)")
BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_ROW = re.compile(r"[ \t]*\|")
_OPENS_BLOCK = re.compile(r"[-+#>=|:0-9]|\*\s")
_BOLD = re.compile(
    r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|\$[^$\n]*\$|<[^<>\n]*>"
    r"|(?<![*\\])\*\*(?P<words>(?![\s*])[^*\n]*[^*\s\\])\*\*(?!\*)"
)
"""Code, a formula, a tag, or bold words in one line."""
_IN_BRACKETS = re.compile(r"[^\[\]\n]{0,300}\]")
_LINE_HEAD = re.compile(r"(?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*")
_DANGLING = re.compile(r"\[(?![^\[\]]*[\[\]])")
_LABEL = re.compile(r"(?m)^((?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t])|\[[ xX]\][ \t])*)\[(?![^\[\]$]*[\[\]])")
"""Brackets that marked and mistune pair with a `]:` far behind, in code too, as a link's definition."""
_SPOILERS = {"[": "!\\", "`": "~\\}"}
"""What before a link makes it an image or text, and before a code span text (marked takes tildes and backticks) or,
where Markdown is read as MyST, a role, such as one that reads a file."""
_MYST_LINE = re.compile(r"(?m)^((?:[ \t>]|(?:[-*+:]|\d{1,9}[.)])(?=[ \t]))*)(%|\{|:(?=\S|.*:)|\+(?=\+\+)|\((?=.*\)=))")
"""What MyST reads a line by that begins with it: a comment, attributes, a field, a break, a label."""


def paragraph(text: str) -> str:
    """Make one paragraph inert: lines without a blank one between them."""
    return bold(_Paragraph(text).write())


def bold(text: str) -> str:
    """Return lines in which words are bold that CommonMark would not see as such: they become an element.

    It takes no `**` between a punctuation mark and a letter for an end or a beginning, and Chinese writes no blank
    there: `**结论：**这是`.
    """
    return _BOLD.sub(_as_element, text) if "**" in text else text


def _as_element(found: re.Match[str]) -> str:
    words = found["words"]
    return found[0] if words is None or not _is_lost(found) else f"<strong>{words}</strong>"


def bold_at(text: str, at: int) -> tuple[int, bool] | None:
    """Return the end of bold words that begin at a place, and whether CommonMark does not see them; None if none do."""
    found = _BOLD.match(text, at)
    return None if found is None or found["words"] is None else (found.end(), _is_lost(found))


def _is_lost(found: re.Match[str]) -> bool:
    text, words = found.string, found["words"]
    before, behind = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
    is_whole = words.count("`") % 2 == 0 and words.count("$") % 2 == 0
    return is_whole and (_is_tight(before, words[0]) or _is_tight(behind, words[-1]))


def _is_tight(outside: str, inside: str) -> bool:
    """Return whether a letter stands beside the marks and a punctuation mark within them, one of both a wide one."""
    kinds = [category(one)[0] for one in (outside or " ", inside)]
    is_wide = any(east_asian_width(one) in {"W", "F"} for one in outside + inside)
    return is_wide and kinds[0] not in "PSZC" and kinds[1] in "PS"


def formula_at(text: str, at: int) -> tuple[str, int, bool] | None:
    """Return the source of the formula that begins at a place, its end, and whether it is displayed; None if none does.

    An environment that stands outside a formula is one, with its `begin` and `end`.
    """
    if text[at] not in "$\\":  # most places: five patterns would be tried in vain
        return None
    if found := _DOLLARS.match(text, at):
        return found[1], found.end(), True
    if found := _DOLLAR.match(text, at):
        return found[1] or found[2], found.end(), False
    if found := _ROUND.match(text, at) or _SQUARE.match(text, at):
        return found[2], found.end(), found.re is _SQUARE
    if found := _BEGIN.match(text, at):
        closer = f"\\end{{{found[1]}}}"
        stop = text.find(closer, at, at + _ENVIRONMENT_LIMIT)
        if stop >= 0:
            return text[at : stop + len(closer)], stop + len(closer), True
    return None


class _Paragraph:
    """Writes one paragraph, in one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._at = 0
        self._mathy = bool(_MATHY.search(text))
        # MathJax looks for pairs of dollars in the finished page again; in an element of its own, one has no pair.
        self._plain_dollar = PLAIN_DOLLAR if text.count("$") > 1 else "$"
        self._closers: dict[int, int] | None = None
        self._line = self._seen = 0  # the start of the current line, and up to where lines have been told apart
        self._fresh = -1  # where a line starts that we have begun ourselves
        self._url_end = 0  # up to where a parser may see the URL that has been met last
        self._url_broken = False  # whether that one must not be seen

    def write(self) -> str:
        """Return the paragraph with each of its tokens in an inert form."""
        text, out = self._text, self._out
        while spot := _SPOT.search(text, self._at):
            start = spot.start()
            out.append(text[self._at : start])
            found = _TOKEN.match(text, start) or spot
            self._at = found.end()
            piece: str = getattr(self, f"_{found.lastgroup}")(found) if found.lastgroup else found[0]
            before, mark = out[-1][-1:], piece[:1]
            if before and before in _SPOILERS.get(mark, ""):
                out[-1] = f"{out[-1][:-1]}&#{ord(before)};"
            out.append(piece)
        out.append(text[self._at :])
        written = _MYST_LINE.sub(lambda mark: f"{mark[1]}&#{ord(mark[2])};", "".join(out))
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
                return self._formula(found.start()) or ("&#40;" if mark == "(" else "&#91;")
            case "\\":
                return (
                    self._formula(found.start())
                    or self._command(found.start() + 1)
                    or ("&#92;" if not _MACRO.match(self._text, self._at) else "")
                )
            case "$":
                return self._plain_dollar
            case ")" | "]" | "`" | "<" | "&" | "!" | "~":
                return f"&#{ord(mark)};"
        return found[0]

    def _backslash(self, found: re.Match[str]) -> str:
        return self._command(found.start()) or ("" if _MACRO.match(self._text, self._at) else "\\")

    def _command(self, start: int) -> str:
        r"""Write an environment that stands outside a formula; no `\begin` or `\end` but in one."""
        if not _STRAY.match(self._text, start):
            return ""
        found = formula_at(self._text, start)
        is_plain = found is not None and "$" not in found[0] and "`" not in found[0]
        return (self._formula(start) if is_plain else "") or "&#92;"

    def _formula(self, start: int) -> str:
        """Write the formula that begins at a place; empty if there is none."""
        if (found := formula_at(self._text, start)) is None:
            return ""
        source, end, is_display = found
        if is_display:
            return self._display(start, source, end)
        if (inside := _inert(source)) is None:
            return ""
        self._at = end
        return f"${_no_second_bracket(inside)}$"

    def _dollars(self, found: re.Match[str]) -> str:
        if written := self._formula(found.start()):
            return written
        if len(found[0]) > 1:
            return "&#36;" * len(found[0])
        return self._plain_dollar if self._text[self._at : self._at + 1].isdecimal() else "$"

    def _display(self, start: int, source: str, end: int) -> str:
        """Write a display formula, on one line; one that starts a line also ends it (VS Code reads on otherwise)."""
        if (inside := _inert(source)) is None:
            return ""
        written = f"$${_rename(inside)}$$"
        self._at = end
        line = self._line_start(start)
        if self._fresh != start and not _LINE_HEAD.fullmatch(self._text, line, start):
            return written
        while self._text[self._at : self._at + 1] in {" ", "\t"}:
            self._at += 1
        if self._text[self._at : self._at + 1] in {"", "\n"}:
            return written
        self._fresh = self._at
        if not _OPENS_BLOCK.match(self._text, self._at):
            return f"{written}\n"
        self._at += 1
        return f"{written}\n&#{ord(self._text[self._at - 1])};"

    def _line_start(self, at: int) -> int:
        """Return the start of the line that holds a place; places must not go back."""
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
        """Write an image as a link, so that nothing is loaded before somebody clicks."""
        image = _IMAGE.match(self._text, found.start())
        if image and target(image["bare"] if image["angled"] is None else image["angled"]):
            self._at += 1
            return "[" if image["alt"].strip() else "[" + tr("image")
        return "&#33;"

    def _target(self, found: re.Match[str]) -> str:
        """Write the target of a link anew, or as text."""
        written = INLINE_TARGET.match(self._text, found.start())
        if written and (url := target(written["bare"] if written["angled"] is None else written["angled"])):
            in_url = found.start() < self._url_end < written.end()
            self._at = written.end()
            return f"]({url} )" if in_url or self._formula_follows() else f"]({url})"
        return "&#93;"

    def _definition(self, _: re.Match[str]) -> str:
        return "]\\"

    def _tildes(self, found: re.Match[str]) -> str:
        return "&#126;" * len(found[0])

    def _myst(self, found: re.Match[str]) -> str:
        """Write what opens a directive, a substitution or attributes where Markdown is read as MyST."""
        return f"&#{ord(found[0][0])};" * len(found[0])

    def _formula_follows(self) -> bool:
        """Return whether a formula follows that a parser which sees no link here would add to its URL."""
        run = BARE_URL.match(self._text, self._at)
        return run is not None and ("$" in run[0] or "\\" in run[0] or len(run[0]) == URL_LIMIT)

    def _url(self, found: re.Match[str]) -> str:
        """Leave a plain URL to the parser, but end it before Chinese; one that holds a formula is no link."""
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


def _pair_ticks(text: str) -> dict[int, int]:
    """Return for each run of backticks the start of the next one of the same length on the same line."""
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


def _inert(source: str) -> str | None:
    """Return the inside of a formula on one line, inert as text too; None if it is no formula."""
    lines = re.sub(r"(?m)(?<!\\)%.*$", "", source).split("\n") if "\n" in source else [source]
    inside = " ".join(line.strip(" \t>") if number else line.strip() for number, line in enumerate(lines)).strip()
    if not inside or not _balanced(inside):
        return None
    inside = inside.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    inside = _DEAD_MACRO.sub("", inside)
    inside = re.sub(
        r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=[(:])|!(?=\[)|~(?=~)|\{(?=\{)|:(?=::)", lambda mark: mark[0] + " ", inside
    )
    inside = re.sub(r"(?i)(://|www\.)", lambda mark: mark[0] + " ", inside)
    return inside + " " if inside.endswith(("\\", "$")) else inside


def _balanced(inside: str) -> bool:
    """Return whether each environment of a formula ends within the one that holds it."""
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
    """Return a formula without environments of whole displays, which MathJax refuses within one."""
    inside = re.sub(r"\\(begin|end)\{(align|gather)\*?\}", r"\\\1{\2ed}", inside)
    return re.sub(r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}", "", inside).strip() or inside
