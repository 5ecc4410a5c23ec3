r"""Hostile Markdown in, Markdown that is safe under every parser out; no I/O.

Outputs of a cell that has just run are trusted, so Markdown decides what a page runs, loads and links
to. Front ends read Markdown with different parsers (marked, markdown-it, mistune), each with its own
idea of formulas, and they disagree on where code and formulas begin. A text that is only safe where
we think it is code is not safe. Hence:

- Text is inert line by line, whatever a parser takes the line for: no `<`, no link whose target has
  not been rewritten, no image, no reference, no unpaired backtick, no unpaired delimiter of a formula.
  What must go is written as an entity, which no parser takes for markup.
- A fence is kept only in the form on which all parsers agree: in column 0, between blank lines, its
  info one plain word. A fence in a list or quote is kept if its code is inert as text as well.
- Other code with anything in it that could act is written as `<code>` or `<pre>` on one line with
  each mark of punctuation as an entity: that means the same under every reading.
- A formula is kept where its delimiters pair up within a paragraph and its inside is inert as text.

Entities also defuse what acts later: MathJax looks for formulas in the finished page again (hence
`\href` goes even outside formulas), and JupyterLab puts formulas back into the finished HTML, where
they could break out of an attribute (hence no `$` in a link).
"""

from __future__ import annotations

import re

from .links import visible

BREAKS = re.compile(r"\r\n?|[\x85\u2028\u2029]")
_ACTIVE = re.compile(r"[<&\\`$\[\]]|~~~|://|www\.|^(?: {4}|\t)", re.IGNORECASE | re.MULTILINE)


def safe(text: str) -> str:
    r"""Make a model's Markdown safe to show as trusted `text/markdown`.

    Raw HTML shows as text, images become links, links to anything but http, https, mail and places on
    the same server show as text. Formulas in `\(…\)` and `\[…\]` get the dollar signs that
    notebooks know. Takes time linear in the text's length.

    Args:
        text: A whole reply or a settled block of one; the blocks' results may be put together.
    """
    text = visible(BREAKS.sub("\n", text))
    if not _ACTIVE.search(text):
        return text
    from .inert import Writer  # plain words, such as the first ones of most answers, need none of its rules

    return Writer(text.split("\n")).write()


def fenced(language: str, code: str) -> str:
    """Write a fence in column 0, with a run of backticks that does not stand in its code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    run = "`" * max(3, longest + 1)
    return f"{run}{language}\n{code}\n{run}"
