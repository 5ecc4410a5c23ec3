"""Raw model text → thinking and answer: `<think>` tags taken apart, leaked control tokens trimmed; no I/O.

Other families of models write other tags (`PAIRS`); of these both must be there.

A server without a reasoning parser passes on what the model writes. GLM-4.5 and 4.6 write both tags, if they think at
all; from 4.7 on the prompt itself opens the block, so that only `</think>` appears. Tags may be cut over chunks.

What counts as a tag:

- `<think>` only at the beginning of the reply, whitespace aside. Anywhere else it is text.
- After it, the first `</think>`. Whitespace behind that is no part of the answer.
- Without `<think>`, and without thinking in a field of its own, the first `</think>` that is not itself part of the
  answer: all text before it was thinking, which needs a `Replace`. It is part of the answer where it is quoted (inside
  a fence, or behind an odd number of backticks on its line) or closes a `<think>` in the middle of the text.
- A stray `</think>` before the first word of an answer is dropped.
"""

from __future__ import annotations

import re

from ..._events import Replace, TextDelta, ThinkingDelta

Piece = TextDelta | ThinkingDelta | Replace

OPEN = "<think>"
CLOSE = "</think>"
_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "mm:think", "longcat_think")
PAIRS = {
    **{f"<{name}>": f"</{name}>" for name in _NAMES},
    "[think]": "[/think]",  # Mistral
    "\u25c1think\u25b7": "\u25c1/think\u25b7",  # Kimi
    "<|start_thinking|>": "<|end_thinking|>",  # Cohere
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel>thought\n": "<channel|>",  # Gemma
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",  # gpt-oss
}
"""What opens and closes thinking at the beginning of a reply, in lower case."""
BOXES = (
    *("<|begin_of_box|>", "<|end_of_box|>"),  # GLM's models that see
    *("<|start_response|>", "<|end_response|>"),  # Cohere
    *("<|begin_of_solution|>", "<|end_of_solution|>"),  # OpenThinker, Sky-T1
)
"""The marks that models put around their final answer, in lower case."""
TURN_TOKENS = ("<|user|>", "<|assistant|>", "<|observation|>")
"""What GLM models emit at the beginning of another's turn."""
CONTROL_TOKENS = (
    *(*TURN_TOKENS, "<|endoftext|>", "<eop>"),  # SGLang's list for GLM
    *("<|return|>", "<|end|>"),  # gpt-oss, Phi
    *("<|im_end|>", "<|eot_id|>", "<|end_of_text|>"),  # Qwen, Llama, Granite
    *("<end_of_turn>", "<turn|>"),  # Gemma
    *("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|END_OF_TURN_TOKEN|>"),  # DeepSeek, Cohere
)
"""What leaks at the end of an answer."""

_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_MAX_LOOKS = 64
"""After so many box marks none is taken for quoted any more: each look walks over the whole answer."""
_STARTS = (*PAIRS, CLOSE, "<|channel|>final<|message|>")
_FIRST = frozenset(tag[0] for tag in _STARTS)
_LONGEST = max(map(len, _STARTS))
_BOX = re.compile("|".join(map(re.escape, BOXES)), re.IGNORECASE)
_MAX_BLANKS = 1000
"""With more whitespace than this before it, a tag counts as text, so that little text is ever held back."""
_MAX_QUOTED = 8
"""After so many `</think>` that were text no tag is looked for any more: each look walks over the whole answer."""


class ThinkSplitter:
    """Turns the content of a reply into deltas of thinking and text; any chunking gives the same reply.

    Each step takes the text that is left and returns what the next step must read, or None for nothing more.
    """

    def __init__(self) -> None:
        self._step = self._start
        self._close = CLOSE  # what ends the thinking, as long as the tag that began it is spelled
        self._held = ""  # what may yet become a tag
        self._text: list[str] = []  # the answer so far, while a lone </think> may still turn it into thinking
        self._quoted = 0
        self._has_field = False
        self._trimmer = TailTrimmer()
        self._out: list[Piece] = []

    def thinking_came(self) -> None:
        """Note that thinking has a field of its own: no lone `</think>` is looked for any more."""
        self._has_field = True
        if self._step == self._open:
            self._step = self._answer
            self._text = []

    def push(self, text: str) -> list[Piece]:
        """Return the deltas of more content, none of them empty."""
        rest: str | None = self._held + text
        self._held = ""
        while rest is not None:
            rest = self._step(rest)
        return self._take()

    def close(self) -> list[Piece]:
        """Return the deltas of what was held back: it was no tag."""
        held, self._held = self._held, ""
        if self._step == self._thinking:
            self._add_thinking(held)
        else:
            self._add_text(held)
            if rest := self._trimmer.close():
                self._out.append(TextDelta(rest))
        return self._take()

    def _start(self, text: str) -> str | None:
        body = text.lstrip()
        head = body[:_LONGEST].lower()
        if len(text) - len(body) <= _MAX_BLANKS and (not head or head[0] in _FIRST):
            if tag := next((tag for tag in _STARTS if head.startswith(tag)), ""):
                self._close = PAIRS.get(tag, CLOSE)
                self._step = self._thinking if tag in PAIRS else self._after
                return body[len(tag) :]
            if any(tag.startswith(head) for tag in _STARTS):
                self._held = text
                return None
        self._step = self._answer if self._has_field else self._open
        return text

    def _thinking(self, text: str) -> str | None:
        end = _find(text, self._close)
        if end >= 0:
            self._add_thinking(text[:end])
            self._step = self._after
            return text[end + len(self._close) :]
        self._add_thinking(self._hold(text))
        return None

    def _after(self, text: str) -> str | None:
        body = text.lstrip()
        head = body[: len(self._close)].lower()
        if head == self._close:
            return body[len(head) :]
        if self._close.startswith(head):
            self._held = body
            return None
        self._step = self._answer
        return body

    def _open(self, text: str) -> str | None:
        before, tag, rest = text.partition(CLOSE)
        if not tag:
            text = self._hold(text)
            self._text.append(text)
            self._add_text(text)
            return None
        so_far = "".join((*self._text, before))
        if _is_quoted(so_far) or _opens(so_far):
            self._text = [so_far, tag]
            self._add_text(before + tag)
            self._quoted += 1
            if self._quoted == _MAX_QUOTED:
                self._step = self._answer
                self._text = []
            return rest
        self._text = []
        self._trimmer.reset()
        self._out = [Replace("", so_far)] if so_far else []
        self._step = self._after
        return rest

    def _answer(self, text: str) -> str | None:
        self._add_text(text)
        return None

    def _hold(self, text: str) -> str:
        """Hold back an end that may be the beginning of the closing tag, and return the rest."""
        start = _begins(text, self._close)
        self._held = text[start:]
        return text[:start]

    def _add_text(self, text: str) -> None:
        if known := self._trimmer.push(text):
            self._out.append(TextDelta(known))

    def _add_thinking(self, text: str) -> None:
        if text:
            self._out.append(ThinkingDelta(text))

    def _take(self) -> list[Piece]:
        events, self._out = self._out, []
        return events


def _find(text: str, tag: str) -> int:
    """Return where a tag stands, in upper or lower case; -1 if it does not."""
    at = text.find(tag)
    if at >= 0 or tag[0] not in text:
        return at
    found = re.search(re.escape(tag), text, re.IGNORECASE | re.ASCII)
    return found.start() if found else -1


def _begins(text: str, tag: str) -> int:
    """Return where the text's end begins that may be the beginning of a tag; its length if there is none."""
    start = text.find(tag[0], max(0, len(text) - len(tag) + 1))
    while start >= 0 and not tag.startswith(text[start:].lower()):
        start = text.find(tag[0], start + 1)
    return start if start >= 0 else len(text)


def _is_quoted(before: str) -> bool:
    """Return whether the text that follows is inside a fence or inline code."""
    return len(_FENCE.findall(before)) % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1


def _opens(before: str) -> bool:
    """Return whether a `<think>` in the middle of the text is still open."""
    start = before.rfind(OPEN)
    return start > before.rfind(CLOSE) and not _is_quoted(before[:start])


def split_whole(content: str, *, tags: bool) -> tuple[str, str]:
    """Return the thinking and the text of content that is whole, without box marks.

    Args:
        content: The content.
        tags: Whether think tags are taken apart.
    """
    boxes, splitter = BoxMarks(), ThinkSplitter()
    content = boxes.push(content) + boxes.close()
    thinking, text = "", ""
    for event in (*splitter.push(content), *splitter.close()) if tags else [TextDelta(content)]:
        match event:
            case TextDelta(more):
                text += more
            case ThinkingDelta(more):
                thinking += more
            case Replace():
                text, thinking = event.text, event.thinking
    return thinking, text


class BoxMarks:
    """Removes the marks of `BOXES` from text in any pieces, but for those that are quoted as code."""

    def __init__(self) -> None:
        self._held = ""
        self._before: list[str] = []
        self._looks = 0

    def push(self, text: str) -> str:
        """Return the text without marks; an end that may become one is held back."""
        if "<" not in text and not self._held:
            self._before.append(text)
            return text
        text, self._held = self._held + text, ""
        out: list[str] = []
        while found := _BOX.search(text):
            self._add(text[: found.start()], out)
            self._looks += 1
            if self._looks <= _MAX_LOOKS:
                self._before = ["".join(self._before)]
                if _is_quoted(self._before[0]):
                    self._add(found[0], out)
            text = text[found.end() :]
        end = min(_begins(text, box) for box in BOXES)
        self._held = text[end:]
        self._add(text[:end], out)
        return "".join(out)

    def close(self) -> str:
        """Return what was held back: it was no mark."""
        held, self._held = self._held, ""
        return held

    def _add(self, text: str, out: list[str]) -> None:
        self._before.append(text)
        out.append(text)


class TailTrimmer:
    """Holds back control tokens, and the beginning of one, until it is known whether they end the answer."""

    def __init__(self) -> None:
        self._run: list[str] = []  # whole tokens and the whitespace behind them
        self._cut = ""  # the beginning of a token

    def push(self, text: str) -> str:
        """Return what is certainly text."""
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
        known = "".join((*self._run, text[:start]))
        self._run = [text[start:end]] if start < end else []
        return known

    def close(self) -> str:
        """End: drop whole tokens, and return what looked like the beginning of one."""
        rest = "".join((*self._run, self._cut)) if self._cut else ""
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget what is held back."""
        self._run = []
        self._cut = ""


def _cut_token(text: str) -> str:
    """Return the beginning of a token that text ends with, or an empty string."""
    start = text.rfind("<")
    end = text[start:] if start >= 0 else ""
    return end if end and any(token.startswith(end) and token != end for token in CONTROL_TOKENS) else ""


def _run_before(text: str, end: int) -> tuple[int, bool]:
    """Return where the tokens before `end` begin, and whether only tokens and whitespace come before it."""
    start = position = end
    while position:
        while position and text[position - 1].isspace():
            position -= 1
        token = next((token for token in CONTROL_TOKENS if text.endswith(token, 0, position)), None)
        if token is None:
            break
        start = position = position - len(token)
    return start, position == 0
