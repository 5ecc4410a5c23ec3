"""What has been said, as the page shows it: HTML made safe here, and the facts beside it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from .._compose import block, day
from .._conversation import Conversation
from .._events import Source
from .._markdown.blocks import code_blocks
from .._markdown.links import link
from .._reply import Reply
from .._said import Said
from .._values import dataclass
from ..renderers.html import Growing, Step, render

_KEPT = 300
"""How many messages' HTML is kept, so that another view costs nothing."""

_NOTES = {
    "interrupted": "[stopped]",
    "length": "[cut off: max_tokens reached]",
    "content_filter": "[cut by moderation]",
    "error": "[broken off]",
}
_ADVICE = (
    (re.compile(r"\bRun the cell again\b"), "Try again"),
    (re.compile(r"\brun the cell again\b"), "try again"),
    (re.compile(r", or wait longer with --timeout S\b"), ""),
    (re.compile(r"\buse -m local\b"), "choose local under Model"),
)
"""What errors advise whoever asks in a cell, and what it means in a panel."""

_STATES = {"interrupted": "stopped", "length": "cut", "error": "failed"}
_SENTENCES = {
    "history-trimmed": "Earlier parts of the conversation were left out: they no longer fit.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A message at its place, and all that decides how it looks except its words.

    Attributes:
        said: The message.
        version: Which of its versions this is, from 1.
        versions: How many there are.
        streams: Whether more of it is coming.
        is_last: Whether nothing follows it.
        facts: What else may change: how it ended.
    """

    said: Said
    version: int
    versions: int
    streams: bool
    is_last: bool
    facts: tuple[object, ...]


def entries(conversation: Conversation) -> list[Entry]:
    """List what has been said, on the chosen way."""
    tree = conversation.tree
    path = tree.path()
    found = []
    for said in path:
        versions = tree.versions(said)
        found.append(
            Entry(
                said,
                versions.index(said) + 1,
                len(versions),
                said.streams,
                said is path[-1],
                (said.finish_reason, said.error, said.elapsed, len(said.parts)),
            )
        )
    return found


class Words:
    """The words of one answer while they grow.

    Args:
        said: The answer.
    """

    def __init__(self, said: Said) -> None:
        self.said = said
        # What stood there before, and what grows: together they are the words at any moment, also while the
        # message takes over from its reply in another thread.
        self._before = said.text, said.thought
        self._reply = said.reply or Reply()
        self._answer, self._thinking = _Half(), _Half()
        self.steps()

    @property
    def answer(self) -> str:
        """The answer as of the last step."""
        return self._answer.text

    @property
    def thinking(self) -> str:
        """The thought as of the last step."""
        return self._thinking.text

    def steps(self) -> Iterator[dict[str, Any]]:
        """Give what is new since the last time, as the page takes it."""
        found = []
        text, thought = self._before
        for part, half, whole in (
            ("thinking", self._thinking, thought + self._reply.thinking),
            ("answer", self._answer, text + self._reply.text),
        ):
            if (step := half.follow(whole)) is not None:
                found.append(self._told(part, step))
        return iter(found)

    def close(self) -> Iterator[dict[str, Any]]:
        """Give the last steps: all is settled."""
        yield from self.steps()
        for part, half in (("thinking", self._thinking), ("answer", self._answer)):
            step = half.growing.close()
            if half.text:
                yield self._told(part, step)

    def shown(self) -> dict[str, Any]:
        """Give all words so far, as a message holds them."""
        answer, thinking = self._answer.growing, self._thinking.growing
        return {
            "blocks": list(answer.blocks),
            "tail": answer.tail,
            "thinking": {"blocks": list(thinking.blocks), "tail": thinking.tail, "seconds": _seconds(self.said)}
            if self._thinking.text
            else None,
        }

    def is_whole(self) -> bool:
        """Tell whether these are the words that the message holds now."""
        return self._answer.text == self.said.content and self._thinking.text == self.said.thinking

    def _told(self, part: str, step: Step) -> dict[str, Any]:
        told = {"id": self.said.id, "part": part, "keep": step.keep, "blocks": list(step.blocks), "tail": step.tail}
        return told | {"code": step.code}


class _Half:
    """The answer, or the thought before it."""

    def __init__(self) -> None:
        self.growing = Growing()
        self.text = ""

    def follow(self, text: str) -> Step | None:
        """Take the whole text so far; None where nothing is new."""
        if text == self.text:
            return None
        if text.startswith(self.text):
            self.growing.write(text[len(self.text) :])
        else:
            self.growing.replace(text)
        self.text = text
        return self.growing.take()


class Gallery:
    """Makes messages for the page, and keeps the HTML of those that were shown last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[tuple[object, ...], dict[str, Any]]] = OrderedDict()

    def message(self, entry: Entry, words: Words | None = None, source: str = "") -> dict[str, Any]:
        """Give a message whole.

        Args:
            entry: The message.
            words: Its words, where they grow.
            source: Of a question, what the user typed, where that is not what was sent.
        """
        said = entry.said
        shown = words.shown() if words is not None else self._shown(said)
        made = {**_facts(entry), **shown}
        if said.role == "user":
            made["source"] = source or said.text
            if source and source != said.text:
                made["blocks"] = [render(source)]
        return made

    def settled(self, entry: Entry, words: Words) -> dict[str, Any]:
        """Give a message whose words have grown to their end: only what is beside them, where that will do."""
        said = entry.said
        if said.parts or not words.is_whole():
            return self.message(entry)
        shown = words.shown()
        self._keep(said, shown)
        made = _facts(entry)
        if shown["thinking"]:
            made["seconds"] = _seconds(said)
        return made

    def _shown(self, said: Said) -> dict[str, Any]:
        kept = self._kept.get(said.id)
        if kept is not None and kept[0] == _key(said):
            self._kept.move_to_end(said.id)
            return kept[1]
        thought = said.thinking.strip()
        return self._keep(
            said,
            {
                "blocks": [html for html in (render(said.content), *_extras(said)) if html],
                "tail": "",
                "thinking": {"blocks": [render(thought)], "tail": "", "seconds": _seconds(said)} if thought else None,
            },
        )

    def _keep(self, said: Said, shown: dict[str, Any]) -> dict[str, Any]:
        self._kept[said.id] = _key(said), shown
        self._kept.move_to_end(said.id)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return shown


def _key(said: Said) -> tuple[object, ...]:
    return said.content, said.thinking, said.parts


def _extras(said: Said) -> Iterator[str]:
    """Give the parts that are neither text nor thinking, below the text."""
    sources: dict[str, Source] = {}
    for part in said.parts:
        sources |= {source.url: source for source in part.sources}
        if part.kind != "search" and (written := block(part)):
            yield render(written)
    if sources:
        lines = (f"{n}. {link(one.title or one.url, one.url)}" for n, one in enumerate(sources.values(), 1))
        yield render("\n".join(lines))


def _facts(entry: Entry) -> dict[str, Any]:
    """Give all but the words."""
    said = entry.said
    state = "streaming" if entry.streams else _state(said)
    return {
        "id": said.id,
        "role": said.role,
        "version": entry.version,
        "versions": entry.versions,
        "state": state,
        "note": "" if entry.streams else note_of(said),
        "meta": "" if entry.streams else _meta(said),
        "can": _can(entry, state),
    }


def _state(said: Said) -> str:
    if said.role == "user":
        return "done"
    return "failed" if said.error else _STATES.get(said.finish_reason or "", "done")


def note_of(said: Said) -> str:
    """Tell in a line how an answer ended, if not well, and what the user should know about it."""
    if said.role == "user":
        return ""
    if said.error:
        return in_panel(said.error)
    words = [_SENTENCES[name] for name in said.warnings if name in _SENTENCES]
    if said.thinking.strip() and not said.content.strip() and said.finish_reason == "stop":
        words.append("The model only thought, and gave no answer.")
    if said.replayed is not None:
        words.append(f"Stored answer of {day(said.replayed)}.")
    return " ".join((*words, _NOTES.get(said.finish_reason or "", ""))).strip()


def in_panel(advice: str) -> str:
    """Give an error's sentences without what can be done in cells alone."""
    for pattern, words in _ADVICE:
        advice = pattern.sub(words, advice)
    return advice


def _meta(said: Said) -> str:
    if said.role == "user" or said.finish_reason is None:
        return ""
    usage = said.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else ""
    took = f"{said.elapsed:.1f} s" if said.elapsed else ""
    return " · ".join(word for word in (said.model, tokens, took) if word)


def _can(entry: Entry, state: str) -> list[str]:
    if entry.streams:
        return []
    if entry.said.role == "user":
        return ["edit", "delete"]
    can = ["regenerate", "delete"]
    if entry.is_last and entry.said.content.strip() and state in {"stopped", "cut", "failed"}:
        can.insert(0, "continue")
    if state == "failed":
        can.insert(0, "retry")
    if has_code(entry.said.content):
        can.append("insert")
    return can


def has_code(text: str) -> bool:
    """Tell whether a text holds a fenced block of code."""
    return ("```" in text or "~~~" in text) and bool(code_blocks(text))


def _seconds(said: Said) -> float:
    seconds = said.thinking_seconds + (said.reply.thinking_seconds if said.reply is not None else 0.0)
    return round(seconds, 1)
