"""What a map asks, of what, and how; and what it would do, without sending anything."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from sqlite3 import ProgrammingError
from typing import TYPE_CHECKING, Any

import msgspec

from .._conversation.cache import request_key
from .._credentials import mask_of, seen_keys
from .._errors import ConfigError
from .._event_loops import IteratorThread
from .._language import join_sentences, tr, trn
from .._messages import Request, Stage, check_prompt
from .._redaction import key_guard
from .._resolve import Target
from .._schema.schema import Schema
from .._store import open_store
from .._structured import Held, held_by, prepared
from .gate import Gate
from .kept import Kept, StoredAnswers
from .packing import packed_request, packed_schema
from .question import Question
from .source import Source, Template, columns_of_first, is_dask
from .stages import packed_stage, row_stage

if TYPE_CHECKING:
    from .cluster import OnDask

Numbered = tuple[int, Any, Any]
"""A row's position, its label and its value."""

Reader = IteratorThread[Numbered]
"""Reads rows that can be read only once."""

_START = 4
_FIRST_ROW = 5.0
"""Seconds for which the first row is waited for, where only that tells which columns there are."""
_ONE_AT_A_TIME = ("local", "chatglm")
"""Providers that answer one request after the other, whoever asks."""
_CHARS_PER_TOKEN = (2.0, 4.5)
"""How many characters a token has, at least and at most: of Chinese, and of English."""


class Setup(msgspec.Struct, frozen=True):
    """What a map asks, of what, and how.

    Attributes:
        question: What every row is asked.
        source: The rows.
        stage: Answers a request.
        packed: Answers a request for several rows.
        provider: The name of the provider.
        model: The model, for people to read.
        kept: Where answers are looked up and kept; None for nowhere.
        limit: How many rows are asked at most, the first ones; None for all.
        concurrency: How many at once; None for what the service allows.
        starts_at: How many at once at first, where that is found out.
        fresh: Whether every row is asked, also where its answer is there.
        clean: Takes out of an answer what must not be kept.
        prepared: Makes of a request for one row what is sent.
        packed_prepared: Makes of a request for several rows what is sent.
        where: The Dask cluster whose workers ask; None for this process.
        reader: Reads the rows that can be read only once, and goes on where it was; None for others.
    """

    question: Question
    source: Source
    stage: Stage
    packed: Stage
    provider: str = ""
    model: str = ""
    kept: Kept | None = None
    limit: int | None = None
    concurrency: int | None = None
    starts_at: int = _START
    fresh: bool = False
    clean: Callable[[str], str] = lambda text: text
    prepared: Callable[[Request], Request] = lambda request: request
    packed_prepared: Callable[[Request], Request] = lambda request: request
    where: OnDask | None = None
    reader: Reader | None = None

    @property
    def total(self) -> int | None:
        """How many rows are asked about; None where that is not known."""
        if self.source.length is None:
            return None
        return self.source.length if self.limit is None else min(self.limit, self.source.length)

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows that are asked about, from the first one; none that `reader` reads."""
        if self.reader is not None:
            return iter(())
        numbered = ((position, label, value) for position, (label, value) in enumerate(self.source.rows()))
        return itertools.islice(numbered, self.limit)

    def gate(self) -> Gate:
        """Return the gate of one run."""
        return Gate(self.starts_at, fixed=1 if self.provider in _ONE_AT_A_TIME else self.concurrency)


def _whole(value: object) -> int:
    """Return a whole number, numpy's too; 0 for what is none."""
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else 0


def count_of(name: str, value: object) -> int:
    """Return a number of rows that a person has given.

    Raises:
        ConfigError: It is no whole number above 0.
    """
    if (number := _whole(value)) > 0:
        return number
    raise ConfigError(tr("{name} takes a whole number above 0, not {value!r}.", name=name, value=value))


def concurrency_of(value: object) -> int | None:
    """Return how many rows are asked at once; None for `auto`.

    Raises:
        ConfigError: It is neither a whole number above 0 nor `auto`.
    """
    if value is None or value == "auto":
        return None
    if (number := _whole(value)) > 0:
        return number
    raise ConfigError(tr("concurrency takes 'auto' or a whole number above 0, not {value!r}.", value=value))


def _question(
    prompt: str, source: Source, target: Target, request: Request, schema: Schema | None, rows_per_request: int
) -> Question:
    common = msgspec.structs.replace(request, messages=request.messages[:-1], notify=None)
    return Question(
        prompt=prompt,
        columns=source.columns,
        base_key=request_key(target.provider, common),
        system=common.messages[0].text if common.messages else "",
        model=common.model,
        options=common.options,
        think=common.think,
        timeout=common.timeout,
        schema=schema,
        rows_per_request=rows_per_request,
    )


def _masked(text: str) -> str:
    """Return a text without the keys that this process knows by now."""
    return mask_of(seen_keys())(text)


class MapOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a map may be told beside its prompt, its rows and the options of questions; nothing is checked yet.

    Attributes:
        schema: What each answer has to be, in one of the ways of `Schema.of`; None for text.
        limit: How many rows are asked at most, the first ones; None for all.
        concurrency: How many rows are asked at once; `auto` for what the service allows.
        rows_per_request: How many rows are asked in one request.
        fresh: Whether to ask also where an answer is there.
        client: The client of the Dask cluster whose workers ask; None for this process, or of a Dask collection for the
            client that is current.
    """

    schema: object = None
    limit: int | None = None
    concurrency: object = "auto"
    rows_per_request: int = 1
    fresh: bool = False
    client: object = None


def setup_of(prompt: str, over: object, target: Target, request: Request, how: MapOptions) -> Setup:
    """Return what a map asks.

    Args:
        prompt: The question. `{it}` stands for a row's value, `{column}` for a column of a table; without such a place
            the value is put below, as data.
        over: The rows: a list, a dict, a Series, a DataFrame, an Arrow array or table, a Dask Series or DataFrame, or
            anything that can be iterated over.
        target: Who answers.
        request: A request of the conversation: its system prompt, model and parameters are those of every row.
        how: Whatever else it was told.

    Raises:
        ConfigError: There are no rows, the prompt names what they do not have, or a value does not fit.
    """
    limit = None if how.limit is None else count_of("limit", how.limit)
    concurrency, together = concurrency_of(how.concurrency), count_of("rows_per_request", how.rows_per_request)
    source, where = _source(over, limit, how.client, target, concurrency)
    wanted = how.schema if isinstance(how.schema, Schema) or how.schema is None else Schema.of(how.schema)
    source, reader = _checked(prompt, source, over)
    question = _question(prompt, source, target, request, wanted, together)
    store, held = open_store(), held_by(target.provider, target.model)
    return Setup(
        question,
        source,
        row_stage(target, wanted),
        packed_stage(target, wanted),
        provider=target.provider.name,
        model=target.model_name,
        kept=StoredAnswers(store, prompt, target.model_name) if store.is_on else None,
        limit=limit,
        concurrency=concurrency,
        starts_at=_starts_at(target),
        fresh=how.fresh,
        clean=_masked,
        prepared=_preparing(wanted, held),
        packed_prepared=_preparing(packed_schema(wanted), held),
        where=where,
        reader=reader,
    )


def _numbered(source: Source) -> Iterator[Numbered]:
    """Yield the rows of what can be read only once.

    Raises:
        ConfigError: They belong to the thread that made them.
    """
    try:
        for position, value in source.rows():
            yield position, position, value
    except ProgrammingError as error:
        if "thread" not in str(error):
            raise
        raise ConfigError(
            tr("These rows can be read only in the thread that made them: read them into a list first.")
        ) from error


def _checked(prompt: str, source: Source, over: object) -> tuple[Source, Reader | None]:
    """Return the rows, and the reader of what can be read only once: of records with columns, if the prompt names any.

    Raises:
        ConfigError: The prompt is empty, or names what a row does not have.
    """
    check_prompt(prompt)
    reader = None if source.length is not None else IteratorThread(_numbered(source), over)
    try:
        Template(prompt, source.columns)
    except ConfigError:
        row = reader.peek(_FIRST_ROW) if reader is not None and source.columns is None else None
        if row is None:
            raise
        source = msgspec.structs.replace(source, columns=columns_of_first(row[2]))
        _check_first(prompt, source)
    return source, reader


def _check_first(prompt: str, source: Source) -> None:
    """Check a prompt by the first row of what can be read only once."""
    try:
        Template(prompt, source.columns)
    except ConfigError as error:
        said = tr("The first row was read to find that out: make the generator anew.")
        raise ConfigError(join_sentences(str(error), said)) from None


def _preparing(schema: Schema | None, held: Held) -> Callable[[Request], Request]:
    return lambda request: request if schema is None else prepared(request, schema, held)


def _source(
    over: object, limit: int | None, client: object, target: Target, concurrency: int | None
) -> tuple[Source, OnDask | None]:
    """Return the rows, and the Dask cluster whose workers ask them; None where this process does."""
    if client is None and not is_dask(over):
        return Source.of(over, limit), None
    from .collection import on_dask  # Dask is imported only where it is used

    return on_dask(over, limit, client, target, concurrency=concurrency, starts_at=_starts_at(target))


def _starts_at(target: Target) -> int:
    return 1 if getattr(target.provider, "one_at_a_time", False) else _START


class Plan(msgspec.Struct, frozen=True):
    """What a map would do now; nothing was sent.

    Attributes:
        rows: How many rows there are.
        missing: Those of them that are not asked, as there is nothing in them.
        refused: Those that would fail before anything is sent.
        distinct: How many different requests the others make.
        there: Those of them whose answer is there already.
        requests: How many requests would be sent, if nothing fails.
        request: The first of them, whole; None if none would be sent.
        tokens: What the prompts hold: so many tokens at least, and at most. Answers come on top.
    """

    rows: int
    missing: int
    refused: int
    distinct: int
    there: int
    requests: int
    request: Request | None
    tokens: tuple[int, int]

    def counts(self) -> list[str]:
        """Return how much it would be, in lines."""
        low, high = self.tokens
        lines = [
            trn("{count:,} row", "{count:,} rows", self.rows),
            tr("{count} of them without a value, not asked", count=f"{self.missing:,}") if self.missing else "",
            tr("{count} of them cannot be sent", count=f"{self.refused:,}") if self.refused else "",
            tr("{count} distinct", count=f"{self.distinct:,}"),
            tr("{count} answered already", count=f"{self.there:,}"),
            trn("{count:,} request", "{count:,} requests", self.requests),
            tr("{low} to {high} tokens of prompts", low=f"{low:,}", high=f"{high:,}"),
        ]
        return list(filter(None, lines))

    def __str__(self) -> str:
        text = "\n".join(self.counts())
        if self.request is None:
            return text
        first = "\n\n".join(f"[{message.role}] {message.text}" for message in self.request.messages)
        return "\n".join((text, "", tr("The first request:"), first))


def plan(setup: Setup) -> Plan:
    """Return what a map would do; it reads all rows, and sends nothing.

    Raises:
        ConfigError: The rows can be read only once.
    """
    if setup.source.length is None:
        raise ConfigError(tr("These rows can be read only once, so a plan would use them up: pass a list of them."))
    question, template = setup.question, Template(setup.question.prompt, setup.question.columns)
    together = question.rows_per_request
    count = missing = refused = characters = there = 0
    first: list[Any] = []
    seen: set[bytes] = set()
    check = key_guard()
    for block in _blocks(setup.rows()):
        count += len(block)
        values = [value for _, _, value in block if not template.lacks(value)]
        missing += len(block) - len(values)
        texts = {}
        for value in values:
            text = _sendable(template, value, check)
            refused += text is None
            if text is not None and (key := question.key(text)) not in seen:
                texts[key] = text, value
        seen.update(texts)
        found = {} if setup.kept is None or setup.fresh else setup.kept.find(list(texts))
        there += len(found)
        asked = [known for key, known in texts.items() if key not in found]
        characters += sum(len(text) for text, _ in asked)
        first += [value for _, value in asked[: together - len(first)]]
    requests = math.ceil((len(seen) - there) / together)
    request = _first_request(setup, template, first) if first else None
    if request is not None:  # what a request has beside its rows' prompts, or saves of them
        sent = sum(len(message.text) for message in request.messages)
        characters += requests * (sent - sum(len(template.fill(value)) for value in first))
    low, high = (math.ceil(characters / size) for size in reversed(_CHARS_PER_TOKEN))
    return Plan(count, missing, refused, len(seen), there, requests, request, (low, high))


def _sendable(template: Template, value: object, check: Callable[[str], object]) -> str | None:
    """Return a row's prompt; None where it cannot be sent."""
    try:
        text = template.fill(value)
        check(text)
    except ConfigError:
        return None
    return text


def _first_request(setup: Setup, template: Template, values: list[Any]) -> Request:
    """Return the request that is sent first, as it is sent."""
    if len(values) > 1:
        return setup.packed_prepared(packed_request(setup.question, template, values))
    return setup.prepared(setup.question.request(template.fill(values[0])))


def _blocks(rows: Iterator[Numbered], size: int = 1024) -> Iterator[list[Numbered]]:
    while block := list(itertools.islice(rows, size)):
        yield block
