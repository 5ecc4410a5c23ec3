"""What has been said, as the page shows it: HTML made safe here and the facts beside it; and as plain Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from .._attachments.pictures import thumbnail
from .._conversation.conversation import Conversation
from .._conversation.message_node import MessageNode
from .._events import Source
from .._export.markdown import author, picture_name
from .._language import join_sentences, tr, trn
from .._markdown.fences import has_code
from .._markdown.links import link, literal, visible
from .._markdown.reply_markdown import UNFINISHED, block, day, end_words, notices, run_facts, run_line, thinking_block
from .._markdown.sanitize import safe
from .._markdown.table import Table, as_code
from .._messages import ImagePart
from .._reply import Reply
from .._schema.schema import Schema
from .._schema.text import candidates
from ..renderers.html import Growing, Step, render
from .protocol import Grow, Shown, Thinking

_CACHED = 300
"""Texts whose HTML is kept, so that another view costs nothing."""
_STATIC = 100
"""Messages in `static_view`, the newest ones: they are saved with the notebook wherever a panel is shown."""

_ADVICE = (
    (re.compile(r"\bRun the cell again\b"), "Try again"),
    (re.compile(r"\brun the cell again\b"), "try again"),
    (re.compile(r"%chatglm continue goes on, or (?=run the cell again|try again)"), ""),
    (re.compile(r", or wait longer with --timeout S\b"), ""),
    (re.compile(r"\buse -m local\b"), "choose local under Model"),
    (re.compile(r"Ask a model that does: -m (?=zai:)"), "Choose one that does under Model: "),
    (re.compile("重新运行单元格"), "重试"),
    (re.compile("可用 %chatglm continue 接着写，或(?=重试)"), ""),
    (re.compile("，或用 --timeout S 延长等待时间"), ""),
    (re.compile("改用 -m local"), "在“模型”里选 local"),
    (re.compile("请换用能看图片的模型：-m (?=zai:)"), "请在“模型”里选能看图片的："),
)
"""What errors advise the user of a cell, and the same for a panel.

In both languages, whichever is in force: an error stays as it was raised.
"""


class Entry(Struct, frozen=True):
    """A message on the conversation's path. Equal entries look the same, but for text that streams.

    Attributes:
        node: The message.
        facts: All that is shown of it but its text.
        reply: The reply that streams into it.
        elapsed: Seconds that the reply took which streamed into it last.
    """

    node: MessageNode
    facts: Shown
    reply: Reply | None
    elapsed: float

    @property
    def streams(self) -> bool:
        """Whether more of it is coming."""
        return self.facts.state == "streaming"


def entries(conversation: Conversation) -> list[Entry]:
    """Return the messages on a conversation's path, oldest first."""
    path = conversation.tree.path()
    return [
        Entry(node, _facts(conversation, node, is_last=node is path[-1]), node.reply, node.elapsed) for node in path
    ]


def _facts(conversation: Conversation, node: MessageNode, *, is_last: bool) -> Shown:
    versions, state = conversation.tree.versions(node), _state(node)
    return Shown(
        id=node.id,
        role=node.role,
        version=versions.index(node) + 1,
        versions=len(versions),
        state=state,
        note="" if state == "streaming" else note_of(node),
        meta="" if state == "streaming" else _meta(node),
        can=_can(node, state, is_last=is_last),
    )


State = Literal["streaming", "done", "stopped", "failed", "cut"]


def _state(node: MessageNode) -> State:
    if node.streaming:
        return "streaming"
    if node.error or node.finish_reason == "error":
        return "failed"
    if node.finish_reason == "interrupted":
        return "stopped"
    whole = node.finish_reason == "content_filter" or not end_words(node.finish_reason, node.warnings)
    return "done" if whole else "cut"


def note_of(node: MessageNode) -> str:
    """Return in a line how an answer ended, if not well, and what else the user should know about it."""
    if node.role == "user":
        return ""
    if node.error:
        return in_panel(node.error)
    names = [name for name in node.warnings if not name.startswith("store-")]  # not of the answer
    if node.thinking_so_far.strip() and not node.text_so_far.strip() and node.finish_reason == "stop":
        names.append("reasoning-only")
    words = notices(names)
    if node.replayed is not None:
        words.append(tr("Stored answer of {day}.", day=day(node.replayed)))
    end = tr(UNFINISHED) if node.streaming else end_words(node.finish_reason, node.warnings)
    return join_sentences(*words, f"[{end}]" if end else "")


def in_panel(advice: str) -> str:
    """Return an error's sentences with what can be done in a panel in place of what can be done in a cell."""
    for pattern, words in _ADVICE:
        advice = pattern.sub(words, advice)
    return advice


def _meta(node: MessageNode) -> str:
    if node.finish_reason is None:
        return ""
    usage = node.usage
    tokens = took = ""
    if usage is not None:
        tokens = tr("{prompt} + {answer} tokens", prompt=usage.prompt_tokens, answer=usage.completion_tokens)
    if node.elapsed:
        took = tr("{seconds} s", seconds=f"{node.elapsed:.1f}")
    return " · ".join(word for word in (node.model, tokens, took) if word)


def _can(node: MessageNode, state: State, *, is_last: bool) -> list[str]:
    if state == "streaming":
        return []
    if node.role == "user":
        return ["edit", "delete"]
    text = node.text_so_far
    goes_on = is_last and text.strip() and state in {"stopped", "cut", "failed"}
    return [
        *(["retry"] if state == "failed" else []),
        *(["continue"] if goes_on else []),
        "regenerate",
        "delete",
        *(["insert"] if has_code(text) else []),
    ]


class StreamingText:
    """The text of an answer that streams.

    Args:
        node: The answer.
    """

    def __init__(self, node: MessageNode) -> None:
        self.node = node
        # What stood there before and what streams: together they are the text at any moment, also while the node
        # takes over from its reply in another thread.
        self._before = node.text, node.thinking
        self._reply = node.reply or Reply()
        self._answer, self._thinking = _Part(), _Part()
        self.steps()

    @property
    def answer(self) -> str:
        """The answer as of the last step."""
        return self._answer.text

    @property
    def thinking(self) -> str:
        """The thinking as of the last step."""
        return self._thinking.text

    @property
    def block_count(self) -> int:
        """How many settled blocks the longer of answer and thinking has."""
        return max(len(part.growing.blocks) for part in (self._answer, self._thinking))

    def steps(self) -> list[Grow]:
        """Return what is new since the last step."""
        text, thinking = self._before
        thought = self._thinking.follow(thinking + self._reply.thinking)
        answered = self._answer.follow(text + _so_far(self._reply))
        return self._messages(thought, answered)

    def close(self) -> list[Grow]:
        """Return the last steps, after which nothing changes any more."""
        steps = self.steps()
        thought, answered = (part.growing.close() if part.text else None for part in (self._thinking, self._answer))
        return [*steps, *self._messages(thought, answered)]

    def _messages(self, thought: Step | None, answered: Step | None) -> list[Grow]:
        name, parts = self.node.id, (("thinking", thought), ("answer", answered))
        return [
            Grow(name, part, step.keep, list(step.blocks), step.tail, step.code)
            for part, step in parts
            if step is not None
        ]

    def put_into(self, facts: Shown) -> Shown:
        """Return a message with all of the text as of the last step."""
        answer, thinking = self._answer.growing, self._thinking.growing
        thought = Thinking(list(thinking.blocks), thinking.tail, _seconds(self.node)) if self._thinking.text else None
        return replace(facts, blocks=list(answer.blocks), tail=answer.tail, thinking=thought)

    def is_whole(self) -> bool:
        """Return whether this is all the text that the node holds now."""
        return self._answer.text == self.node.text_so_far and self._thinking.text == self.node.thinking_so_far


def _so_far(reply: Reply) -> str:
    """Return what is shown of an answer while it streams: of a value the rows that are complete."""
    if reply.schema is None:
        return reply.text
    table = reply.table
    return "" if table is None else replace(table, below=0).markdown()  # where rows are only counted, nothing is news


@lru_cache(_CACHED)
def value_markdown(text: str) -> str:
    """Return the text of an answer that is a value as a table, in safe Markdown; what is no JSON as code."""
    for candidate in candidates(text):
        if candidate.problems is None:
            value = candidate.value
            if isinstance(value, dict) and len(value) == 1:  # as it is wrapped for servers
                value = value.get("items", value.get("value", value))
            kind = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"
            return Table.of(Schema.of({"type": kind}), value).markdown()
    return as_code(text)


class _Part:
    """The answer, or the thinking before it."""

    def __init__(self) -> None:
        self.growing = Growing()
        self.text = ""

    def follow(self, text: str) -> Step | None:
        """Take the whole text so far, and return what is new; None if nothing is."""
        if text == self.text:
            return None
        self.growing.replace(text)
        self.text = text
        return self.growing.take()


def with_text(entry: Entry, typed: str = "") -> Shown:
    """Return a message with its text.

    Args:
        entry: The message; its text does not stream.
        typed: Of a question, what the user typed, if that is not what was sent.
    """
    node = entry.node
    if node.role == "user":
        source = typed or node.text
        blocks = [*_blocks(source), *map(_picture, node.attachments)]
        return replace(entry.facts, blocks=blocks, tail="", thinking=None, source=source)
    thought = node.thinking_so_far.strip()
    thinking = Thinking(list(_blocks(thought)), "", _seconds(node)) if thought else None
    return replace(entry.facts, blocks=[*_answer(node), *_extras(node)], tail="", thinking=thinking)


def after_streaming(entry: Entry, text: StreamingText) -> Shown:
    """Return a message whose text has streamed to its end; without the text if the page has all of it."""
    if entry.node.parts or entry.node.tool_runs or not text.is_whole():
        return with_text(entry)
    return replace(entry.facts, seconds=_seconds(entry.node)) if text.thinking else entry.facts


def _picture(picture: ImagePart) -> str:
    """Return a question's picture as HTML: small, and made here; what lies elsewhere is not loaded, but named."""
    name = html.escape(picture_name(picture))
    src = thumbnail(picture)
    return f'<img class="cg-picture" src="{src}" alt="{name}">' if src else f"<p>[{name}]</p>"


@lru_cache(_CACHED)
def _blocks(text: str) -> tuple[str, ...]:
    """Return a text as HTML, in the blocks in which it would have streamed."""
    growing = Growing()
    growing.write(text)
    growing.close()
    return growing.blocks


def _answer(node: MessageNode) -> Iterator[str]:
    """Yield HTML of the text, and between its pieces of the calls that were decided on."""
    for piece in node.in_order():
        if not isinstance(piece, str):
            yield f"<details><summary>{run_line(piece)}</summary>{render(run_facts(piece))}</details>"
        else:
            yield from _blocks(value_markdown(node.text_so_far) if node.is_value else piece)


def _extras(node: MessageNode) -> Iterator[str]:
    """Yield HTML of the other parts; they stand below the text."""
    sources: dict[str, Source] = {}
    for part in node.parts:
        sources |= {source.url: source for source in part.sources}
        if part.kind != "search" and (written := block(part)):
            yield render(written)
    if sources:
        lines = (f"{n}. {link(one.title or one.url, one.url)}" for n, one in enumerate(sources.values(), 1))
        yield render("\n".join(lines))


def _seconds(node: MessageNode) -> float:
    return round(node.thinking_seconds + (node.reply.thinking_seconds if node.reply is not None else 0.0), 1)


def static_view(name: str, path: list[MessageNode]) -> dict[str, str]:
    """Return a conversation as Markdown that is safe to show and as plain text, by media type."""
    if not path:
        words = tr("Nothing has been said in conversation {name} yet.", name=name)
        return {"text/markdown": f"*{literal(words)}*", "text/plain": words}
    newest = path[-_STATIC:]
    left_out = ""
    if count := len(path) - len(newest):
        left_out = trn("[{count} earlier message]", "[{count} earlier messages]", count)
    markdown, plain = [f"*{literal(left_out)}*" if left_out else ""], [left_out]
    for node in newest:
        name, note = author(node), note_of(node)
        thinking = thinking_block(node.thinking_so_far, node.thinking_seconds)
        text = value_markdown(node.text_so_far) if node.is_value else safe(node.text_so_far)
        markdown += f"**{literal(name)}**", thinking, text, f"*{literal(note)}*" if note else ""
        pictures = " ".join(f"[{picture_name(one)}]" for one in node.attachments)
        markdown.append(f"*{literal(pictures)}*" if pictures else "")
        plain += tr("{name}: {text}", name=name, text=node.text_so_far), pictures, note
    return {"text/markdown": _paragraphs(markdown), "text/plain": visible(_paragraphs(plain))}


def _paragraphs(texts: list[str]) -> str:
    return "\n\n".join(text for text in texts if text)
