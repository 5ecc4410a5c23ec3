"""A row that is to be asked, and what becomes of it: an answer, another try, or an error of its own; no I/O."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from .._errors import ChatGLMError, ConfigError, ReplyFormatError, StatusError, shorten, status_error
from .._language import join_sentences, tr
from .._reply import Reply
from .rows import Row

STOP_ALL = frozenset({"auth", "permission", "billing", "quota", "model_not_found", "config"})
"""Kinds of failure that every other row would meet too."""
_ASK_AGAIN = frozenset({"server", "connect", "stalled", "truncated", "empty", "protocol", "blocked"})
"""Kinds of failure that the same row may not meet the next time."""

_SENTENCE = re.compile(r".+?(?:[.!?]\s+|[。！？]|$)", re.DOTALL)
_FOR_CELLS = re.compile(
    r"\brun the cell again\b|重新运行单元格|--new\b|--no-history\b|%chatglm continue\b|--timeout\b", re.IGNORECASE
)
"""Signs of advice that helps a cell or a conversation; an error stays as it was raised, in either language."""


class Work(msgspec.Struct, eq=False):
    """A row that is to be asked, and those equal to it.

    Attributes:
        position: The row's position.
        label: Its label.
        value: Its value.
        key: Its request's key.
        twins: Positions and labels of equal rows.
        attempts: How often it was asked.
        failures: How often that failed in a way that may pass.
        refused_since: When it was first refused, on the monotonic clock; None if it was not.
        is_alone: Whether it is asked in a request of its own, though others are packed.
        tokens: What its attempts without an answer took, as far as the service said.
        said: What the last of them said.
    """

    position: int
    label: Any
    value: Any
    key: bytes
    twins: list[tuple[int, Any]] = msgspec.field(default_factory=list)
    attempts: int = 0
    failures: int = 0
    refused_since: float | None = None
    is_alone: bool = False
    tokens: int = 0
    said: str = ""


def twin_of(row: Row, position: int, label: object) -> Row:
    """Return the row of an equal one: its answer was there already, or it failed as well."""
    return msgspec.structs.replace(
        row, position=position, index=label, cached=not row.error, attempts=0, tokens=0, seconds=0.0
    )


def failed_row(work: Work, error: Exception) -> Row:
    """Return the row of what failed."""
    kind = error.kind if isinstance(error, ChatGLMError) else "protocol"
    said, spent = work.said, work.tokens
    return Row(work.position, work.label, None, said, _said(error), kind, attempts=work.attempts, tokens=spent)


def _said(error: Exception) -> str:
    """Return what happened to a row; advice that is meant for conversations is put into words for rows."""
    if not isinstance(error, ChatGLMError):
        return f"{type(error).__name__}: {error}"
    if error.kind == "context_length" and isinstance(error, StatusError):
        return str(
            status_error(
                "context_length",
                what=tr("The row is longer than the model's context"),
                remedy=tr("Shorten its value, or take a model with a longer context."),
                status=error.status,
                code=error.code,
                detail=error.detail,
                provider=error.provider,
                host=error.host,
                model=error.model,
            )
        )
    said = without_sentences(str(error), _FOR_CELLS)
    return said if said == str(error) else join_sentences(said, _advice(error))


def _advice(error: ChatGLMError) -> str:
    """Return what to do next about a row, where the usual advice speaks of cells or conversations."""
    match error.kind:
        case "empty":
            return tr("Ask the row again with rows.retry(); if it stays empty, it may be too long for the model.")
        case "stalled":
            return tr("Ask the row again with rows.retry(), or wait longer with timeout=S.")
        case "context_length":
            return tr("Shorten its value, or take a model with a longer context.")
        case "invalid_request":
            return tr("Ask without a system prompt, or ask another model.")
    return tr("Ask the row again with rows.retry().")


def without_sentences(text: str, signs: re.Pattern[str]) -> str:
    """Return a text without those of its sentences in which there is such a sign."""
    return "".join(said for said in _SENTENCE.findall(text) if not signs.search(said)).rstrip()


def misfit_of(text: str, error: ValueError) -> ReplyFormatError:
    """Return the error for an answer that does not fit the schema."""
    return ReplyFormatError(
        tr("The answer is not what the schema asks for ({reason}): {text}", reason=error, text=shorten(text, 120))
    )


def verdict_of(error: Exception) -> Literal["refused", "all", "again", "row"]:
    """Return whom a failure concerns: the service's limit, all rows, this row for now, or this row."""
    if not isinstance(error, ChatGLMError) or isinstance(error, ReplyFormatError):
        return "row"
    if error.kind == "rate_limit" or (isinstance(error, StatusError) and error.retry_after is not None):
        return "refused" if error.kind not in STOP_ALL else "all"
    if error.kind in STOP_ALL or isinstance(error, ConfigError):
        return "all"
    return "again" if error.kind in _ASK_AGAIN else "row"


def tokens_of(reply: Reply) -> int:
    """Return the tokens of a reply, read and written; 0 where the service did not say."""
    usage = reply.usage
    return (usage.total_tokens or usage.prompt_tokens + usage.completion_tokens) if usage is not None else 0


def share_of(tokens: int, number: int, works: list[Work]) -> int:
    """Return how many of a request's tokens are one row's."""
    return tokens // len(works) + (number < tokens % len(works))
