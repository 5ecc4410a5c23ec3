"""What every row of a map is asked; a value, which may travel to another process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from .._messages import Message, OptionValue, Request


class Schema(Protocol):
    """What an answer has to be: any object with these."""

    @property
    def json_schema(self) -> Mapping[str, Any]:
        """JSON Schema of an object."""
        ...

    @property
    def key(self) -> str:
        """Text that differs where another answer is asked for."""
        ...

    def read(self, text: str) -> Any:  # noqa: ANN401 - whatever the schema makes
        """Return the value of an answer; raise ValueError if it does not fit."""
        ...


class Question(msgspec.Struct, frozen=True):
    """What every row is asked.

    Attributes:
        prompt: With places for the row's value, see `Template`.
        columns: The columns of a table's rows; None where a row is one value.
        base_key: A hash of what the requests have in common: who answers, the parameters, the system prompt.
        system: The system prompt; empty for none.
        model: As in `Request`, like the other fields.
        options: Parameters of the model.
        think: Thinking on or off.
        timeout: Seconds without an event.
        schema: What each answer has to be; None for text.
        rows_per_request: How many rows are asked in one request.
    """

    prompt: str
    columns: tuple[str, ...] | None = None
    base_key: str = ""
    system: str = ""
    model: str = ""
    options: Mapping[str, OptionValue] = {}
    think: bool | None = None
    timeout: float | None = None
    schema: Schema | None = None
    rows_per_request: int = 1

    def request(self, text: str, notify: Callable[[str], None] | None = None) -> Request:
        """Return the request that asks a filled-in prompt; `notify` as in `Request`."""
        asked = Message("user", text)
        return Request(
            messages=(Message("system", self.system), asked) if self.system else (asked,),
            model=self.model,
            options=self.options,
            think=self.think,
            timeout=self.timeout,
            notify=notify,
        )

    def key(self, text: str) -> bytes:
        """Return the key of a filled-in prompt: equal for equal requests in every process."""
        schema = self.schema.key if self.schema is not None else ""
        return hashlib.sha256(f"{self.base_key}\0{schema}\0{text}".encode("utf-8", "surrogatepass")).digest()
