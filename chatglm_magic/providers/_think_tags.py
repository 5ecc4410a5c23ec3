"""Raw model text → thinking and answer: `<think>` tags taken apart, leaked control tokens trimmed; no I/O.

A server without a reasoning parser passes on what the model writes. Two shapes are known (GLM-4.5 and
4.6 write both tags; from 4.7 on the prompt itself opens the block, so that only `</think>` appears),
and both must work when a tag is cut over chunks.

What counts as a tag:

- `<think>` only as the first thing said, blanks aside. Anywhere else it is text.
- After it, the first `</think>`. Blanks behind that are no part of the answer.
- With no `<think>` and no thinking in a field of its own, the first `</think>` of the answer that is
  none of its words: all that was said before it was thinking, which needs a `Replace`. Somebody writes
  about the tag where it is quoted (inside a fence, or behind an odd number of backticks on its line)
  or closes a `<think>` in the middle of the text.
- A stray `</think>` before the first word of an answer is dropped.
"""

from __future__ import annotations

import re

from .._events import Event, Replace, TextDelta, ThinkingDelta

OPEN = "<think>"
CLOSE = "</think>"
TURN_TOKENS = ("<|user|>", "<|assistant|>", "<|observation|>")
"""What GLM models emit where another's turn begins."""
CONTROL_TOKENS = (*TURN_TOKENS, "<|endoftext|>", "<eop>")

_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_MAX_BLANKS = 1000
"""More blanks than this before a tag: it is none. Held-back text stays small."""
_MAX_WORDS = 8
"""After so many `</think>` that were words nobody looks for a real one: looking costs a walk over all that was said."""


class TailTrimmer:
    """Holds back control tokens, and the beginning of one, until it is known whether they are the end."""

    def __init__(self) -> None:
        self._run: list[str] = []  # whole tokens and the blanks behind them
        self._cut = ""  # the beginning of a token

    def push(self, text: str) -> str:
        """Give what is certainly text."""
        if not (self._run or self._cut or "<" in text):
            return text
        text = self._cut + text
        cut = _cut_token(text)
        end = len(text) - len(cut)
        start, only_tokens = _run_before(text, end)
        self._cut = cut
        if self._run and only_tokens:
            self._run.append(text[:end])
            return ""
        said = "".join((*self._run, text[:start]))
        self._run = [text[start:end]] if start < end else []
        return said

    def close(self) -> str:
        """End: whole tokens go, the beginning of one was text."""
        rest = "".join((*self._run, self._cut)) if self._cut else ""
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget what is held back."""
        self._run = []
        self._cut = ""


def _cut_token(text: str) -> str:
    """Give the beginning of a token that text ends with, or an empty string."""
    start = text.rfind("<")
    end = text[start:] if start >= 0 else ""
    return end if end and any(token.startswith(end) and token != end for token in CONTROL_TOKENS) else ""


def _run_before(text: str, end: int) -> tuple[int, bool]:
    """Give where the tokens before `end` begin, and whether there is nothing but tokens and blanks before it."""
    start = position = end
    while position:
        while position and text[position - 1].isspace():
            position -= 1
        token = next((token for token in CONTROL_TOKENS if text.endswith(token, 0, position)), None)
        if token is None:
            break
        start = position = position - len(token)
    return start, position == 0


class ThinkSplitter:
    """Turns the content of a reply into deltas of thinking and of text; any chunking gives the same reply."""

    def __init__(self) -> None:
        self._step = self._start
        self._held = ""  # what may yet become a tag
        self._said: list[str] = []  # text already given, while a lone </think> may still turn it into thinking
        self._words = 0
        self._field = False
        self._trimmer = TailTrimmer()
        self._out: list[Event] = []

    def thinking_came(self) -> None:
        """Learn that thinking has a field of its own: no lone `</think>` is looked for any more."""
        self._field = True
        if self._step == self._open:
            self._step = self._answer
            self._said = []

    def push(self, text: str) -> list[Event]:
        """Give the deltas of more content, none of them empty."""
        rest: str | None = self._held + text
        self._held = ""
        while rest is not None:
            rest = self._step(rest)
        return self._take()

    def close(self) -> list[Event]:
        """End: what was held back was no tag."""
        held, self._held = self._held, ""
        if self._step == self._thinking:
            self._think(held)
        else:
            self._say(held)
            if rest := self._trimmer.close():
                self._out.append(TextDelta(rest))
        return self._take()

    # The steps: each takes what is left and gives what the next step must look at, or None for nothing more.

    def _start(self, text: str) -> str | None:
        body = text.lstrip()
        few = len(text) - len(body) <= _MAX_BLANKS
        for tag, after in ((OPEN, self._thinking), (CLOSE, self._after)) if few else ():
            if body.startswith(tag):
                self._step = after
                return body[len(tag) :]
            if tag.startswith(body):
                self._held = text
                return None
        self._step = self._answer if self._field else self._open
        return text

    def _thinking(self, text: str) -> str | None:
        thought, tag, rest = text.partition(CLOSE)
        if tag:
            self._think(thought)
            self._step = self._after
            return rest
        self._think(self._hold(text))
        return None

    def _after(self, text: str) -> str | None:
        body = text.lstrip()
        if body.startswith(CLOSE):
            return body[len(CLOSE) :]
        if CLOSE.startswith(body):
            self._held = body
            return None
        self._step = self._answer
        return body

    def _open(self, text: str) -> str | None:
        before, tag, rest = text.partition(CLOSE)
        if not tag:
            text = self._hold(text)
            self._said.append(text)
            self._say(text)
            return None
        so_far = "".join((*self._said, before))
        if _is_quoted(so_far) or _opens(so_far):
            self._said = [so_far, tag]
            self._say(before + tag)
            self._words += 1
            if self._words == _MAX_WORDS:
                self._step = self._answer
                self._said = []
            return rest
        self._said = []
        self._trimmer.reset()
        self._out = [Replace("", so_far)] if so_far else []
        self._step = self._after
        return rest

    def _answer(self, text: str) -> str | None:
        self._say(text)
        return None

    def _hold(self, text: str) -> str:
        """Keep back an end that may be the beginning of `</think>`; give the rest."""
        start = text.find("<", max(0, len(text) - len(CLOSE) + 1))
        while start >= 0 and not CLOSE.startswith(text[start:]):
            start = text.find("<", start + 1)
        if start < 0:
            return text
        self._held = text[start:]
        return text[:start]

    def _say(self, text: str) -> None:
        if said := self._trimmer.push(text):
            self._out.append(TextDelta(said))

    def _think(self, text: str) -> None:
        if text:
            self._out.append(ThinkingDelta(text))

    def _take(self) -> list[Event]:
        events, self._out = self._out, []
        return events


def _is_quoted(before: str) -> bool:
    """Tell whether what follows is inside a fence or inline code."""
    return len(_FENCE.findall(before)) % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1


def _opens(before: str) -> bool:
    """Tell whether a `<think>` in the middle of the text is still open."""
    start = before.rfind(OPEN)
    return start > before.rfind(CLOSE) and not _is_quoted(before[:start])
