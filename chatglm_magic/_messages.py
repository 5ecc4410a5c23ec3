"""What is sent: messages, the options of a conversation or question, and the request made of both."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self

import msgspec

from ._errors import ConfigError
from ._events import Event, ToolCall
from ._language import join_sentences, marked, tr

Role = Literal["system", "user", "assistant", "tool"]
OptionValue = str | int | float | bool | tuple[str, ...]
FormatMode = Literal["grammar", "json_schema", "json_object", "prompt"]
REPAIRS = 2
"""How often an answer that does not fit its schema goes back to the model."""

MOST_PICTURES = 4
"""How many pictures a request holds, the newest; older ones are named only."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Text in a message that holds more than text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", omit_defaults=True):
    """A picture in a message: an address that the service fetches it from, or its bytes. Its repr shows no bytes.

    Attributes:
        url: An https address; empty where the bytes are here.
        data: The file's bytes; empty where there is an address, or where the store keeps them.
        media_type: What the bytes are, such as `image/png`.
        sha256: The digest of the bytes in hex: made from them where they are here.
        name: A name for people to read; no service sees it.
    """

    url: str = ""
    data: bytes = b""
    media_type: str = ""
    sha256: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.data:
            import hashlib  # only pictures need it

            msgspec.structs.force_setattr(self, "sha256", hashlib.sha256(self.data).hexdigest())

    def __rich_repr__(self) -> list[tuple[str, str | int]]:
        shown: list[tuple[str, str | int]] = [("url", self.url), ("bytes", len(self.data)), ("name", self.name)]
        return [(name, value) for name, value in shown if value]

    def __repr__(self) -> str:
        return f"ImagePart({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


Content = str | tuple[TextPart | ImagePart, ...]
"""What a message says: a text, or its parts in their order."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation.

    Attributes:
        role: The author; `tool` for the result of a call.
        content: The text, or the text and pictures in their order.
        thinking: The thinking that came before an assistant's text; sent back only in dialects that expect it.
        calls: The calls of tools that an assistant asks for; each is answered by a message of `tool` that follows.
        call_id: Of `tool`, the id of the call that it answers.
    """

    role: Role
    content: Content = ""
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""

    @property
    def text(self) -> str:
        """The text without the pictures; parts of text are set apart by a blank line."""
        if isinstance(self.content, str):
            return self.content
        return "\n\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def pictures(self) -> tuple[ImagePart, ...]:
        """The pictures in their order."""
        if isinstance(self.content, str):
            return ()
        return tuple(part for part in self.content if isinstance(part, ImagePart))


def check_prompt(prompt: object) -> None:
    """Raise ConfigError for a question that cannot be asked: it is no text, or blank."""
    if not isinstance(prompt, str):
        kind = type(prompt).__name__
        raise ConfigError(tr("A prompt is text, not a value of type {type}. Nothing was sent.", type=kind))
    if not prompt.strip():
        raise ConfigError(tr("There is nothing to ask: the prompt is empty."))


def content_of(text: str, pictures: Sequence[ImagePart]) -> Content:
    """Return a question's content: its text, and its pictures where it has any."""
    return (TextPart(text), *pictures) if pictures else text


def limit_pictures(
    messages: Sequence[Message], most: int = MOST_PICTURES, *, by_address: bool = False
) -> list[Message]:
    """Return messages with the newest pictures only; in place of older and lost ones stands the word `[picture]`.

    Args:
        messages: The messages.
        most: How many pictures stay.
        by_address: Whether those that have only bytes count as lost.
    """
    found: list[Message] = []
    left = most
    for message in reversed(messages):
        if not message.pictures:
            found.append(message)
            continue
        parts: list[TextPart | ImagePart] = []
        for part in reversed(message.content):
            if isinstance(part, ImagePart):
                left -= 1
                is_lost = not (part.url or (part.data and not by_address))
                parts.append(_PICTURE if left < 0 or is_lost else part)
            elif isinstance(part, TextPart):
                parts.append(part)
        found.append(msgspec.structs.replace(message, content=tuple(reversed(parts))))
    return found[::-1]


_PICTURE = TextPart("[picture]")


class ToolSpec(msgspec.Struct, frozen=True):
    """A function that the model may ask to call.

    Attributes:
        name: The function's name, at most 64 of `A-Z a-z 0-9 _ -`.
        description: What it does, for the model to read.
        parameters: The JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form in which the answer is asked for, and how the server is held to it.

    Attributes:
        mode: `grammar` (llama.cpp turns the schema into one) and `json_schema` send the schema; `json_object` asks for
            any JSON object; `prompt` sends nothing beside the messages.
        name: A word for the thing, which servers want beside the schema: at most 64 of `A-Z a-z 0-9 _ -`.
        schema: The JSON Schema, an object that refers to nothing outside itself.
    """

    mode: FormatMode
    name: str
    schema: Mapping[str, Any]


class Request(msgspec.Struct, frozen=True):
    """One question to a provider, complete in itself.

    Attributes:
        messages: The conversation so far, the newest last; at least one.
        model: The model's name as the service knows it; empty for the provider's default.
        options: Parameters of the model, checked by `check_options`.
        think: Thinking on or off; None for the service's default.
        timeout: Seconds without an event after which the reply is given up; None for the provider's default.
        notify: Called with one short sentence that says why nothing has come yet (waiting for another request,
            trying again), in the loop that runs the provider.
        format: The form in which the answer is asked for; None for free text.
        tools: The functions that the model may ask to call.
        search: Whether the service may search the web.
    """

    messages: tuple[Message, ...]
    model: str = ""
    options: Mapping[str, OptionValue] = {}
    think: bool | None = None
    timeout: float | None = None
    notify: Callable[[str], None] | None = None
    format: ResponseFormat | None = None
    tools: tuple[ToolSpec, ...] = ()
    search: bool = False


Stage = Callable[[Request], AsyncGenerator[Event]]
"""Answers a request with any number of deltas and exactly one `Finished`, last; a provider's `stream` is one."""


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a question, a conversation and `%config ChatGLMMagics` may set.

    Each of them holds one. Precedence: option of a question > conversation > `%config` > environment; `over` puts
    one on top of another. A field at its default is not set.

    Attributes:
        provider: The provider's name; empty for the one that the environment decides on.
        model: The model's name as the service knows it; empty for the provider's default.
        base_url: The address of an OpenAI-compatible server.
        system: The system prompt; empty for none, None where nothing is said about it.
        think: Thinking on or off; None for the service's default.
        timeout: Seconds without an event after which a reply is given up; None for the provider's default.
        history_tokens: The most tokens of earlier messages that are sent; None for the provider's limit.
        cache: Whether a stored answer to an equal request is replayed instead of asking again.
        parameters: Parameters of the model (temperature, top_p, max_tokens, seed, stop …), as `check_options`
            returns them.
    """

    provider: str = ""
    model: str = ""
    base_url: str = ""
    system: str | None = None
    think: bool | None = None
    timeout: float | None = None
    history_tokens: int | None = None
    cache: bool | None = None
    parameters: Mapping[str, OptionValue] = {}

    @classmethod
    def of(cls, **given: Any) -> Self:  # noqa: ANN401 - each field has its own type
        """Return the options that these keywords set.

        Args:
            given: Fields, where `cache` may also be `"replay"` or `"off"`, and parameters of the model by name.
                None means not set.

        Raises:
            ConfigError: A name is unknown, or a value does not fit.
        """
        check_names(given)
        taken = {name: given.pop(name) for name in cls.__struct_fields__ if name in given}
        fields = {name: _parse_field(name, value) for name, value in taken.items() if value is not None}
        fields["parameters"] = check_options({**fields.get("parameters", {}), **given})
        return cls(**{name: value for name, value in fields.items() if value is not None})

    def with_text(self, name: str, text: str) -> ChatOptions:
        """Return these options with one set to what a person has typed.

        Args:
            name: `system`, `think`, `timeout` or a parameter of the model.
            text: The value; empty or `none` for none.

        Raises:
            ConfigError: The name is unknown, or the value does not fit.
        """
        unset = text in {"", "none", "None"}
        changes: dict[str, Any]
        match name:
            case "system":
                changes = {"system": None if unset else text}
            case "think":
                changes = {"think": None if unset else _parse_think(text)}
            case "timeout":
                changes = {"timeout": None if unset else parse_seconds(name, text)}
            case _:
                parameters = {known: one for known, one in self.parameters.items() if known != name}
                changes = {"parameters": parameters if unset else {**parameters, name: parse_option(name, text)}}
        return msgspec.structs.replace(self, **changes)

    def as_texts(self) -> dict[str, str]:
        """Return what is set, as `with_text` takes it: the parameters, system, think and timeout."""
        found = {name: self.parameters[name] for name in OPTIONS if name in self.parameters}
        texts = {name: " ".join(value) if isinstance(value, tuple) else str(value) for name, value in found.items()}
        if self.system:
            texts["system"] = self.system
        if self.think is not None:
            texts["think"] = "on" if self.think else "off"
        if self.timeout is not None:
            texts["timeout"] = f"{self.timeout:g}"
        return texts

    def without_target(self) -> ChatOptions:
        """Return these options without provider, model and base URL."""
        return msgspec.structs.replace(self, provider="", model="", base_url="")

    def over(self, lower: ChatOptions) -> ChatOptions:
        """Return these options on top of others: each field that is not set here is taken from `lower`.

        Parameters are merged by name. A model belongs to its provider: where only another one is named here, the
        model of `lower` is none of its.
        """
        unset = ChatOptions()
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        given = {name: value for name, value in fields.items() if value != getattr(unset, name)}
        given["parameters"] = {**lower.parameters, **self.parameters}
        if self.provider and lower.provider not in {"", self.provider}:
            given.setdefault("model", "")
        return msgspec.structs.replace(lower, **given)


def _parse_field(name: str, value: Any) -> Any:  # noqa: ANN401 - each field has its own type
    """Return what a field of `ChatOptions` is set to."""
    match name:
        case "cache":
            return _parse_cache(value)
        case "think":
            return _parse_think(value)
        case "timeout":
            return parse_seconds(name, value)
        case "provider" | "model" | "base_url" | "system" if not isinstance(value, str):
            raise ConfigError(tr("{name} takes text, not {value!r}.", name=name, value=value))
    return value


def _parse_think(value: object) -> bool:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ConfigError(tr("think takes on, off or none, not {text!r}.", text=value))
    return text in _TRUE


def parse_seconds(name: str, text: object) -> float:
    """Return the seconds that a text or a number says.

    Raises:
        ConfigError: They are no number above 0.
    """
    try:
        seconds = float(str(text))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(tr("{name} takes seconds, a number above 0, not {text!r}.", name=name, text=text))
    return seconds


def _parse_cache(value: object) -> bool | None:
    match value:
        case None | "":
            return None
        case bool():
            return value
        case "replay" | "off":
            return value == "replay"
    raise ConfigError(tr("cache takes 'replay' or 'off', not {value!r}.", value=value))


class _Option(msgspec.Struct, frozen=True):
    """The type and range of one parameter; the names are those of the OpenAI and GLM APIs."""

    kind: Literal["float", "int", "bool", "word", "words"]
    low: float = -math.inf
    high: float = math.inf


OPTIONS: Mapping[str, _Option] = MappingProxyType(
    {
        "temperature": _Option("float", 0, 2),
        "top_p": _Option("float", 0, 1),
        "top_k": _Option("int", 0),
        "min_p": _Option("float", 0, 1),
        "max_tokens": _Option("int", 1),
        "max_completion_tokens": _Option("int", 1),
        "reasoning_effort": _Option("word"),
        "seed": _Option("int"),
        "stop": _Option("words"),
        "do_sample": _Option("bool"),
        "presence_penalty": _Option("float", -2, 2),
        "frequency_penalty": _Option("float", -2, 2),
        "repeat_penalty": _Option("float", 0),
    }
)
"""The parameters a user may set, by name."""

_KINDS = {
    "float": marked("a number"),
    "int": marked("a whole number"),
    "bool": marked("true or false"),
    "word": marked("a word"),
    "words": marked("one or more words"),
}
"""What a parameter takes, by its kind."""
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def parse_option(name: str, value: object) -> OptionValue:
    """Return the value of one parameter, read from text or from a Python value.

    Args:
        name: A name in `OPTIONS`; `-` is read as `_`.
        value: The value as given; text is converted. `stop` takes a string or several.

    Raises:
        ConfigError: The name is unknown (the message lists the valid ones) or the value does not fit.
    """
    known = name.replace("-", "_")
    option = OPTIONS.get(known)
    if option is None:
        raise _unknown(name, tuple(OPTIONS))
    try:
        return _convert(option, value)
    except (TypeError, ValueError):
        message = tr("Parameter {name} takes {kind}, not {value!r}.", name=known, kind=_expected(option), value=value)
        raise ConfigError(message) from None


def check_names(given: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise ConfigError for a keyword that is no field of `ChatOptions`, no parameter of the model, and none of others.

    Args:
        given: The keywords.
        others: Keywords that may be given as well.
    """
    fields = (name for name in ChatOptions.__struct_fields__ if name != "parameters")
    names = (*others, *OPTIONS, *fields)
    for name in given:
        if name.replace("-", "_") not in {*names, "parameters"}:
            raise _unknown(name, names)


def _unknown(name: str, names: Sequence[str]) -> ConfigError:
    import difflib  # only mistakes need it

    near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
    return ConfigError(
        join_sentences(
            tr("There is no parameter {name!r}.", name=name),
            tr("Did you mean {name}?", name=near[0]) if near else "",
            tr("Valid ones: {names}.", names=tr(", ").join(names)),
        )
    )


def check_options(options: Mapping[str, object]) -> dict[str, OptionValue]:
    """Return all parameters checked and converted, without those that are None.

    Raises:
        ConfigError: A name is unknown or a value does not fit, as in `parse_option`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return {name.replace("-", "_"): parse_option(name, value) for name, value in given.items()}


def _convert(option: _Option, value: object) -> OptionValue:
    match option.kind, value:
        case "word", str() if value.strip():
            return value.strip()
        case "words", str():
            return (value,)
        case "words", (list() | tuple()) if all(isinstance(word, str) for word in value):
            return tuple(value)
        case "bool", _ if (text := str(value).lower()) in _TRUE | _FALSE:
            return text in _TRUE
        case "int", str() | int() if not isinstance(value, bool):
            return _in_range(option, int(value))
        case "float", str() | int() | float() if not isinstance(value, bool):
            return _in_range(option, float(value))
    raise TypeError


def _in_range(option: _Option, number: float) -> float:
    if not option.low <= number <= option.high:
        raise ValueError
    return number


def _expected(option: _Option) -> str:
    kind = tr(_KINDS[option.kind])
    if option.low == -math.inf:
        return kind
    if option.high == math.inf:
        return tr("{kind} of at least {low}", kind=kind, low=option.low)
    return tr("{kind} from {low} to {high}", kind=kind, low=option.low, high=option.high)
