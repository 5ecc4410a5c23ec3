"""What a question brings with it beside its text and its options, and what that makes of how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from ._attachments import Attachments
from ._errors import ConfigError
from ._language import tr
from ._messages import REPAIRS, Message, Request, ResponseFormat, Stage
from ._redaction import redacted, without_keys
from ._reply import Reply
from ._structured import Held, Structured, held_by, prepared

if TYPE_CHECKING:
    from ._resolve import Target
    from ._schema.schema import Schema
    from ._tools.loop import ToolUse


def schema_of(given: Any, *, many: bool = False) -> Schema:  # noqa: ANN401 - any type
    """Return what an answer has to be; arguments and errors as of `Schema.of`."""
    from ._schema.schema import Schema  # few questions ask for a value

    return Schema.of(given, many=many)


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """What a question brings with it.

    Attributes:
        attached: Pictures and files.
        tools: Functions that the model may ask for; None for none.
        search: Whether the service may search the web.
        schema: What the answer has to be; None for text.
        repairs: How often an answer that does not fit is sent back.
    """

    attached: Attachments = Attachments()
    tools: ToolUse | None = None
    search: bool = False
    schema: Schema | None = None
    repairs: int = REPAIRS

    @classmethod
    def taken(cls, fields: dict[str, Any], attached: Attachments) -> Self:
        """Take what is no option out of a question's keywords, and return it.

        Args:
            fields: The keywords.
            attached: Pictures and files, where the keywords have none.

        Raises:
            ConfigError: One of them cannot be what it should.
        """
        given = fields.pop("attachments", None)
        if given is not None:
            from ._attachments.sources import attach  # few questions bring anything along

            attached = attach(given)
        functions = fields.pop("tools", None)
        how: dict[str, Any] = {name: fields.pop(name, None) for name in ("approve", "chain_limit")}
        search = bool(fields.pop("search", False))
        tools = None
        if functions:
            from ._tools.loop import ToolUse  # nor do many bring functions along

            tools = ToolUse.of(functions, **how)
        schema, repairs = fields.pop("schema", None), fields.pop("repairs", REPAIRS)
        if not isinstance(repairs, int) or repairs < 0:
            raise ConfigError(tr("repairs takes a whole number of at least 0, not {given!r}.", given=repairs))
        if schema is not None:
            schema = schema_of(schema)
        return cls(attached=attached, tools=tools, search=search, schema=schema, repairs=repairs)

    @property
    def format(self) -> ResponseFormat | None:
        """The form in which the answer is asked for, before it is known how the server is held to it."""
        schema = self.schema
        return None if schema is None else ResponseFormat("prompt", schema.name, schema.json_schema)

    def prepared(self, request: Request, target: Target) -> Request:
        """Return a request as it is sent first."""
        if self.schema is None:
            return request
        return prepared(request, self.schema, held_by(target.provider, target.model))

    def fits(self, text: str) -> bool:
        """Return whether a text is an answer of the schema; True without one."""
        try:
            _ = self.schema.read(text) if self.schema is not None else None
        except ValueError:
            return False
        return True

    def around(self, stage: Stage, target: Target, reply: Reply) -> Stage:
        """Return a provider's stage inside those that the question asks for.

        A stage wraps another one: it may change the request, send several, and add to the events. It closes the
        generators that it opens (`aclosing`), holds back each inner `Finished` and yields one of its own, last, and
        lets errors through. Messages that pass between the question and the final text it appends to
        `Reply.exchange`, each call before its result: they become a part of the turn however the reply ends. Calls of
        tools are around the provider, and a structured answer is around those, so that repairs of a value may call
        tools too.
        """
        if self.tools is not None:

            def keep(exchange: tuple[Message, ...]) -> None:
                reply.exchange[:] = without_keys(list(exchange))

            stage = self.tools.around(stage, keep)
        if self.schema is None:
            return self.attached.around(stage)

        def told(structured: Structured) -> None:
            reply.schema_mode, reply.repairs = structured.mode, structured.repaired
            if structured.has_value:
                reply.take_value(structured.value)

        structured = Structured(
            redacted(stage),
            self.schema,
            held_by(target.provider, target.model),
            repairs=self.repairs,
            exchange=lambda: reply.exchange,
            on_change=told,
        )
        return self.attached.around(structured.stream)

    def around_stored(self, stage: Stage, reply: Reply) -> Stage:
        """Return the stage of a stored answer inside the one that reads its value, where one is asked for."""
        if self.schema is None:
            return stage

        def told(structured: Structured) -> None:
            if structured.has_value:
                reply.take_value(structured.value)

        return Structured(redacted(stage), self.schema, Held(), repairs=0, on_change=told).stream
