"""The error tree.

    ChatGLMError                      .kind .reply
    ├── ConfigError                   something to set right before anything is sent
    │   ├── MissingKeyError           names the variable, the command and the keyless provider
    │   └── SchemaError               a schema that no answer can be held to; names the field or the keyword
    ├── ProviderError                 .provider .model .host .retryable
    │   ├── TransportError
    │   │   ├── ConnectError          nothing answered
    │   │   ├── StalledError          no event for too long
    │   │   └── BrokenStreamError     the stream ended before the reply did
    │   ├── StatusError               the service refused: .status .code .detail .retry_after .reset_at
    │   │   ├── AuthenticationError   the key, or what it may do
    │   │   ├── QuotaError            balance or plan used up: trying again does not help
    │   │   ├── RateLimitError        too fast or too busy: trying again later does
    │   │   ├── BadRequestError       the request itself
    │   │   ├── ServerError           the service's own fault
    │   │   ├── BlockedError          a gate in front of the service
    │   │   └── ContentFilterError    moderation refused the question or cut the reply
    │   └── ProtocolError             the answer is not a chat stream, or an empty one
    ├── ToolCallError                 the model asks for functions in a way that cannot be answered
    ├── ReplyFormatError              a reply that is not what it was asked to be (JSON, a schema): .errors
    └── StoreError
    Interrupted(KeyboardInterrupt)    .reply; outside the tree, so that "Run All" stops

A class is a case that callers handle differently; `.kind` names the finer cases. Every message says what happened, to
what, and what to do next. `.reply` holds what had arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, Unpack

from ._language import join_sentences, marked, tr

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._reply import Reply

ErrorKind = Literal[
    "auth",
    "permission",
    "billing",
    "quota",
    "rate_limit",
    "content_filter",
    "context_length",
    "invalid_request",
    "model_not_found",
    "blocked",
    "server",
    "truncated",
    "empty",
    "connect",
    "stalled",
    "protocol",
    "config",
    "tool_call",
]


class ChatGLMError(Exception):
    """The base of all errors of this package.

    Attributes:
        kind: The fine-grained name of the failure.
        reply: What had arrived before it; None if nothing was asked yet.
    """

    kind: ErrorKind = "protocol"
    short: ClassVar[bool] = True
    """Whether notebooks show one line instead of a traceback (`%config ChatGLMMagics.short_errors`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.reply: Reply | None = None

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """IPython's hook: shows one line instead of a traceback; the cell still fails.

        It does not exist where `short` is false: IPython then shows its own traceback.
        """
        if not ChatGLMError.short:
            raise AttributeError
        return lambda: [f"{type(self).__name__}: {self}"]


class ConfigError(ChatGLMError):
    """Something that the user can correct: an option, a name, a missing package."""

    kind: ErrorKind = "config"


class MissingKeyError(ConfigError):
    """A platform was chosen that needs a key, and there is none."""


class SchemaError(ConfigError):
    """A schema that no answer can be held to: of an unknown kind, recursive, or with what is not supported."""


class ReplyFormatError(ChatGLMError, ValueError):
    """A reply that does not have the requested format.

    Attributes:
        errors: What does not fit the schema, each as (path, problem), such as `("[2].age", "is missing")`; empty where
            no schema was asked for.
    """

    def __init__(self, message: str, errors: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class ToolCallError(ChatGLMError):
    """A model that asks for functions with what is no call, again and again, or without an end."""

    kind: ErrorKind = "tool_call"


class StoreError(ChatGLMError):
    """The store of conversations failed; the reply itself did not."""


class _Origin(TypedDict, total=False):
    """Attributes of `ProviderError`, as keywords."""

    provider: str
    model: str
    host: str
    retryable: bool


class _Facts(_Origin, total=False):
    """Attributes of `StatusError`, as keywords."""

    status: int | None
    code: str | None
    detail: str
    retry_after: float | None
    reset_at: str | None


class ProviderError(ChatGLMError):
    """A provider failed to bring the reply.

    Attributes:
        provider: The provider's name.
        model: The requested model, if one was named.
        host: The host (and port) that was asked.
        retryable: Whether the same request may succeed later.
    """

    kind: ErrorKind = "server"

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind | None = None,
        provider: str = "",
        model: str = "",
        host: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind
        self.provider = provider
        self.model = model
        self.host = host
        self.retryable = retryable


class TransportError(ProviderError):
    """The network failed."""

    kind: ErrorKind = "connect"


class ConnectError(TransportError):
    """Nothing answered at that address."""


class StalledError(TransportError):
    """No event came for the length of the timeout."""

    kind: ErrorKind = "stalled"


class BrokenStreamError(TransportError):
    """The stream ended before the reply did."""

    kind: ErrorKind = "truncated"


class ProtocolError(ProviderError):
    """The answer is not a chat stream; the message quotes the offending bytes, shortened."""

    kind: ErrorKind = "protocol"


class StatusError(ProviderError):
    """The service refused.

    Attributes:
        status: HTTP status, or None where the refusal came inside a stream.
        code: The service's own code, or None.
        detail: The service's own words.
        retry_after: Seconds to wait, if the service named them.
        reset_at: When a quota is renewed (local ISO text), if the service named it.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind | None = None,
        status: int | None = None,
        code: str | None = None,
        detail: str = "",
        retry_after: float | None = None,
        reset_at: str | None = None,
        **origin: Unpack[_Origin],
    ) -> None:
        super().__init__(message, kind=kind, **origin)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.reset_at = reset_at


class AuthenticationError(StatusError):
    """The key is missing, wrong or expired, or does not permit this."""

    kind: ErrorKind = "auth"


class QuotaError(StatusError):
    """The balance or plan is used up; trying again does not help before it is renewed."""

    kind: ErrorKind = "quota"


class RateLimitError(StatusError):
    """Too many requests, or a model that is too busy; trying again later may help."""

    kind: ErrorKind = "rate_limit"


class BadRequestError(StatusError):
    """The request itself cannot be answered."""

    kind: ErrorKind = "invalid_request"


class ServerError(StatusError):
    """The service failed."""

    kind: ErrorKind = "server"


class BlockedError(StatusError):
    """A gate in front of the service turned the request away."""

    kind: ErrorKind = "blocked"


class ContentFilterError(StatusError):
    """Moderation refused the question or cut the reply off."""

    kind: ErrorKind = "content_filter"


class Interrupted(KeyboardInterrupt):
    """The user interrupted a reply.

    A `KeyboardInterrupt`, so that "Run All" stops and `except Exception` does not catch it.

    Attributes:
        reply: What had arrived; its `finish_reason` is `interrupted`.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(tr("The reply was interrupted; what had arrived is kept."))
        self.reply = reply

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        if not ChatGLMError.short:
            raise AttributeError
        return lambda: [f"Interrupted: {self}"]


_CLASSES: dict[ErrorKind, type[StatusError]] = {
    "auth": AuthenticationError,
    "permission": AuthenticationError,
    "billing": QuotaError,
    "quota": QuotaError,
    "rate_limit": RateLimitError,
    "content_filter": ContentFilterError,
    "context_length": BadRequestError,
    "invalid_request": BadRequestError,
    "model_not_found": BadRequestError,
    "blocked": BlockedError,
    "server": ServerError,
}

_WHAT: dict[ErrorKind, str] = {
    "auth": marked("The key was not accepted"),
    "permission": marked("The key may not do this"),
    "billing": marked("The account's balance is empty"),
    "quota": marked("The quota is used up"),
    "rate_limit": marked("Too many requests, or the model is too busy"),
    "content_filter": marked("Moderation stopped this"),
    "context_length": marked("The conversation is longer than the model's context"),
    "invalid_request": marked("The request was refused"),
    "model_not_found": marked("There is no such model"),
    "blocked": marked("A gate in front of the service turned the request away"),
    "server": marked("The service failed"),
}

_REMEDY: dict[ErrorKind, str] = {
    "auth": marked("Check the key: it belongs to one host only, and may have expired."),
    "permission": marked("Use a model that this key may use, or ask the account's owner."),
    "billing": marked("Top up the account, use another model or key, or -m local."),
    "quota": marked("Wait until it is renewed, use another model or key, or -m local."),
    "rate_limit": marked("Wait a moment and run the cell again."),
    "content_filter": marked("Put the question differently."),
    "context_length": marked("Start over with --new, ask with --no-history, or send less."),
    "invalid_request": marked("Check the model's name and the options."),
    "model_not_found": marked("Check the model's name; another is named with -m."),
    "blocked": marked(
        "Check the base URL, and what stands before it (a firewall, a page to sign in at); or use -m local."
    ),
    "server": marked("Run the cell again in a moment."),
}


def status_error(kind: ErrorKind, *, what: str = "", remedy: str | None = None, **facts: Unpack[_Facts]) -> StatusError:
    """Return the error for a refusal, worded the same for every provider.

    Args:
        kind: One of the kinds a service can refuse with; it decides the class.
        what: What happened, where the usual words for this kind do not fit.
        remedy: What to do next, where the usual advice for this kind does not fit.
        facts: The attributes of `StatusError`; `detail` is shortened in the message.
    """
    error = _CLASSES[kind]("", kind=kind, **facts)
    detail = shorten(error.detail)
    ended = what or tr(_WHAT[kind])
    about = _about(error)
    match bool(about), bool(detail):
        case True, True:
            ended = tr("{what} ({about}): {detail}", what=ended, about=about, detail=detail)
        case True, False:
            ended = tr("{what} ({about}).", what=ended, about=about)
        case False, True:
            ended = tr("{what}: {detail}", what=ended, detail=detail)
        case _:
            ended = tr("{what}.", what=ended)
    if not ended.endswith((".", "!", "?", "。", "！", "？")):
        ended = tr("{sentence}.", sentence=ended)
    message = join_sentences(
        ended,
        tr("Renewed at {time}.", time=error.reset_at) if error.reset_at else "",
        tr("Try again in {seconds:g} s.", seconds=error.retry_after) if error.retry_after else "",
        tr(_REMEDY[kind]) if remedy is None else remedy,
    )
    error.args = (message,)
    return error


def _about(error: StatusError) -> str:
    """Return whom an error is about, and the numbers by which the service names it."""
    model = error.model or error.provider
    asked = tr("{model} at {host}", model=model, host=error.host) if model and error.host else model or error.host
    numbers = (
        None if error.status is None else f"HTTP {error.status}",
        None if error.code is None else tr("code {code}", code=error.code),
    )
    return tr("; ").join(filter(None, (asked, tr(", ").join(filter(None, numbers)))))


def shorten(text: str, limit: int = 300) -> str:
    """Return the text on one line of at most `limit` characters, cut at the end if it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
