"""A Dask Series or DataFrame as rows: computed by the cluster, and read here partition by partition.

Its index is computed first, and alone: it says how many rows there are, and under which labels their answers stand. So
a collection that is costly to compute is persisted before it is mapped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from distributed import Client

from .._errors import ConfigError
from .._language import tr
from .._resolve import Target
from .cluster import OnDask, check_client
from .source import Row, Source, columns_of, is_dask


def on_dask(
    over: object, limit: int | None, client: object, target: Target, *, concurrency: int | None, starts_at: int
) -> tuple[Source, OnDask]:
    """Return the rows, and where they are asked.

    Args:
        over: The rows: a Dask collection, or what any map takes.
        limit: How many rows are read of what can be read only once; None for all.
        client: The client; None for the current one, which a collection has.
        target: Who answers.
        concurrency: As in `OnDask`.
        starts_at: As in `OnDask`.

    Raises:
        ConfigError: There are no rows, or they cannot be asked there.
    """
    where = OnDask(client_of(over, client) if is_dask(over) else client, target, concurrency, starts_at)
    where.check()
    return (source_of(over, where.client, limit) if is_dask(over) else Source.of(over, limit)), where


def client_of(over: object, client: object) -> object:
    """Return the client that computes a collection: the one that is given, else the current one.

    Raises:
        ConfigError: There is none, or it cannot be waited for.
    """
    if client is None:
        try:
            client = Client.current()  # type: ignore[no-untyped-call]
        except ValueError:
            raise ConfigError(
                tr(
                    "A Dask {type} is mapped by a cluster's workers, and there is no client: make one with "
                    "dask.distributed.Client(), or pass {call}.",
                    type=type(over).__name__,
                    call="over.compute()",
                )
            ) from None
    check_client(client)
    if getattr(client, "asynchronous", False):
        raise ConfigError(
            tr(
                "This Dask client is asynchronous, so a collection cannot be read by it here: pass {call}.",
                call="await client.compute(over)",
            )
        )
    return client


def source_of(over: Any, client: Any, limit: int | None) -> Source:  # noqa: ANN401 - of a library that may not be installed
    """Return the rows of a Dask Series or DataFrame.

    Args:
        over: The collection.
        client: Has it computed.
        limit: How many rows are asked at most: partitions beyond are not computed; None for all.

    Raises:
        ConfigError: It is neither.
    """
    import pandas as pd
    from dask import dataframe

    if not isinstance(over, (dataframe.DataFrame, dataframe.Series)) or isinstance(over, dataframe.Index):
        raise ConfigError(
            tr(
                "A Dask {type} has no rows to map over: pass a Dask Series or DataFrame, or {call}.",
                type=type(over).__name__,
                call="over.compute()",
            )
        )
    names = columns_of(over.columns) if isinstance(over, dataframe.DataFrame) else None
    over = over.copy()  # of the plan alone: a column that is assigned later is none of these rows'
    index = client.compute(over.index).result()

    def rows() -> Iterator[Row]:
        for part in _partitions(over, client, limit):
            if names is None:
                yield from part.items()
                continue
            for label, *values in part.itertuples(name=None):
                yield label, dict(zip(names, values, strict=True))

    def series(_: list[Any], values: list[Any]) -> Any:  # noqa: ANN401 - as above
        kind = object if any(value is None for value in values) else None
        return pd.Series(values, index=index[: len(values)], dtype=kind)

    return Source(f"Dask {type(over).__name__}", len(index), names, rows, series, index.__getitem__)


def _partitions(over: Any, client: Any, limit: int | None) -> Iterator[Any]:  # noqa: ANN401 - as above
    """Yield the partitions; all are computed in one go unless only the first rows are wanted."""
    if limit is not None:
        for number in range(over.npartitions):
            yield client.compute(over.partitions[number]).result()
        return
    waiting = client.compute(over.to_delayed())[::-1]
    while waiting:
        yield waiting.pop().result()
