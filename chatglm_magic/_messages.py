"""What we say: messages, the parameters of a request, the request itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Literal

from ._errors import ConfigError
from ._values import dataclass

Role = Literal["system", "user", "assistant"]
OptionValue = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said in a conversation.

    Attributes:
        role: Who said it.
        content: What was said.
        thinking: What an assistant thought before it; sent back only by dialects that want it.
    """

    role: Role
    content: str
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a provider, complete in itself.

    Attributes:
        messages: The conversation so far, the newest last; at least one.
        model: The model's name as the service knows it; empty for the provider's default.
        options: Parameters of the model, checked by `check_options`.
        think: Thinking on, off, or as the service does by default.
        timeout: Seconds without an event after which the reply is given up; None for the
            provider's default.
        notify: Told, in one short sentence, why nothing has come yet (waiting for another
            request, trying again); called in the loop that runs the provider.
    """

    messages: tuple[Message, ...]
    model: str = ""
    options: Mapping[str, OptionValue] = field(default_factory=lambda: MappingProxyType({}))
    think: bool | None = None
    timeout: float | None = None
    notify: Callable[[str], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Option:
    """How one parameter is written and what it may be (wire.md B.2 and the OpenAI names)."""

    kind: Literal["float", "int", "bool", "words"]
    low: float | None = None
    high: float | None = None


OPTIONS: Mapping[str, _Option] = MappingProxyType(
    {
        "temperature": _Option("float", 0, 2),
        "top_p": _Option("float", 0, 1),
        "top_k": _Option("int", 0),
        "min_p": _Option("float", 0, 1),
        "max_tokens": _Option("int", 1),
        "seed": _Option("int"),
        "stop": _Option("words"),
        "do_sample": _Option("bool"),
        "presence_penalty": _Option("float", -2, 2),
        "frequency_penalty": _Option("float", -2, 2),
        "repeat_penalty": _Option("float", 0),
    }
)
"""The parameters a user may set, by name."""

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def parse_option(name: str, value: object) -> OptionValue:
    """Read one parameter, from text or from a Python value.

    Args:
        name: A name in `OPTIONS`; `-` is read as `_`.
        value: What the user gave; text is converted. `stop` takes a string or several.

    Raises:
        ConfigError: The name is unknown (the message lists the valid ones) or the value does not fit.
    """
    known = name.replace("-", "_")
    option = OPTIONS.get(known)
    if option is None:
        import difflib  # for mistakes alone

        near = difflib.get_close_matches(known, OPTIONS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"There is no parameter {name!r}.{hint} Valid ones: {', '.join(OPTIONS)}."
        raise ConfigError(msg)
    try:
        result = _convert(option, value)
    except (TypeError, ValueError):
        msg = f"Parameter {known} takes {_expected(option)}, not {value!r}."
        raise ConfigError(msg) from None
    return result


def check_options(options: Mapping[str, object]) -> Mapping[str, OptionValue]:
    """Check all parameters, dropping those that are None.

    Raises:
        ConfigError: As `parse_option`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return MappingProxyType({name.replace("-", "_"): parse_option(name, value) for name, value in given.items()})


def _convert(option: _Option, value: object) -> OptionValue:
    result: OptionValue
    match option.kind:
        case "words":
            if isinstance(value, str):
                return (value,)
            if isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value):
                return tuple(value)
            raise TypeError
        case "bool":
            text = str(value).lower()
            if text not in _TRUE | _FALSE:
                raise ValueError
            return text in _TRUE
        case "int":
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise TypeError
            result = int(value)
        case "float":
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise TypeError
            result = float(value)
    if not (option.low is None or result >= option.low) or not (option.high is None or result <= option.high):
        raise ValueError
    return result


def _expected(option: _Option) -> str:
    words = {"float": "a number", "int": "a whole number", "bool": "true or false", "words": "one or more words"}
    text = words[option.kind]
    match option.low, option.high:
        case None, None:
            return text
        case low, None:
            return f"{text} of at least {low}"
        case low, high:
            return f"{text} from {low} to {high}"
