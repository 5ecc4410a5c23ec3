"""What answers the requests of a map, wherever they are sent from: the provider, held to the schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from .._events import Event
from .._messages import Request, Stage
from .._resolve import Target
from .._schema.schema import Schema
from .._structured import Structured, held_by, prepared
from .packing import packed_schema


def row_stage(target: Target, schema: Schema | None) -> Stage:
    """Return what answers the request for one row: a value is asked for as in any question, and sent back if unfit."""
    stage = target.provider.stream
    if schema is None:
        return stage
    held = held_by(target.provider, target.model)
    return lambda request: Structured(stage, schema, held).stream(request)


def packed_stage(target: Target, schema: Schema | None) -> Stage:
    """Return what answers a request for several rows; what does not fit in its answer is asked alone."""
    rows, held = packed_schema(schema), held_by(target.provider, target.model)

    def stage(request: Request) -> AsyncGenerator[Event]:
        return target.provider.stream(prepared(request, rows, held))

    return stage
