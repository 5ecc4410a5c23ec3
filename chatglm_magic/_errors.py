"""The error tree.

    ChatGLMError                      .kind .reply
    ├── ConfigError                   something to set right before anything is sent
    │   └── MissingKeyError           names the variable, the command and the keyless provider
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
    ├── ReplyFormatError              a reply that is not what it was asked to be (JSON)
    └── StoreError
    Interrupted(KeyboardInterrupt)    .reply; outside the tree, so that "Run All" stops

`.kind` has the finer name; classes are for what a caller handles differently. Every message says what
happened, to what, and what to do next. Whatever text had arrived is in `.reply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

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
]


class ChatGLMError(Exception):
    """The base of everything that can go wrong here.

    Attributes:
        kind: The fine-grained name of the failure.
        reply: What had arrived before it, or None if nothing was asked yet.
    """

    kind: ErrorKind = "protocol"
    short: ClassVar[bool] = True
    """Whether notebooks show one line instead of a traceback (`%config ChatGLMMagics.short_errors`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.reply: Reply | None = None

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """Give IPython one line instead of a traceback; the cell still fails.

        Absent where tracebacks are wanted: IPython shows its own then.
        """
        if not ChatGLMError.short:
            raise AttributeError
        return lambda: [f"{type(self).__name__}: {self}"]


class ConfigError(ChatGLMError):
    """Something the user can set right: an option, a name, a missing package."""

    kind: ErrorKind = "config"


class MissingKeyError(ConfigError):
    """A platform was asked without a key."""


class ReplyFormatError(ChatGLMError, ValueError):
    """A reply that cannot be read as what it was asked to be."""


class StoreError(ChatGLMError):
    """The store of conversations failed; the reply itself did not."""


class ProviderError(ChatGLMError):
    """A provider could not give the reply.

    Attributes:
        provider: The provider's name.
        model: The model that was asked, if one was named.
        host: Host (and port) that was asked.
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
    """No event came for too long."""

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
        retry_after: Seconds to wait, where the service said so.
        reset_at: When a quota is renewed (local ISO text), where the service said so.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each fact that a service may tell
        self,
        message: str,
        *,
        kind: ErrorKind | None = None,
        provider: str = "",
        model: str = "",
        host: str = "",
        retryable: bool = False,
        status: int | None = None,
        code: str | None = None,
        detail: str = "",
        retry_after: float | None = None,
        reset_at: str | None = None,
    ) -> None:
        super().__init__(message, kind=kind, provider=provider, model=model, host=host, retryable=retryable)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.reset_at = reset_at


class AuthenticationError(StatusError):
    """The key is missing, wrong, expired, or not allowed this."""

    kind: ErrorKind = "auth"


class QuotaError(StatusError):
    """Balance or plan is used up; trying again does not help before it is renewed."""

    kind: ErrorKind = "quota"


class RateLimitError(StatusError):
    """Too many requests, or too busy a model; trying again later may help."""

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
    """Moderation refused the question or cut the reply."""

    kind: ErrorKind = "content_filter"


class Interrupted(KeyboardInterrupt):
    """The user interrupted a reply.

    A `KeyboardInterrupt`, so that "Run All" stops and `except Exception` does not eat it.

    Attributes:
        reply: What had arrived, its `finish_reason` being `interrupted`.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__("The reply was interrupted; what had arrived is kept.")
        self.reply = reply

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        if not ChatGLMError.short:
            raise AttributeError
        return lambda: ["Interrupted: what had arrived is kept."]


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
    "auth": "The key was not accepted",
    "permission": "The key may not do this",
    "billing": "The account's balance is empty",
    "quota": "The quota is used up",
    "rate_limit": "Too many requests, or the model is too busy",
    "content_filter": "Moderation stopped this",
    "context_length": "The conversation is longer than the model's context",
    "invalid_request": "The request was refused",
    "model_not_found": "There is no such model",
    "blocked": "A gate in front of the service turned the request away",
    "server": "The service failed",
}

_REMEDY: dict[ErrorKind, str] = {
    "auth": "Check that the key belongs to this host (Z.ai and BigModel keys are different), then try again.",
    "permission": "Use a model that this key may use, or ask the account's owner.",
    "billing": "Top up the account, choose a free model such as glm-4.7-flash, or use -m local.",
    "quota": "Wait until it is renewed, use another model or key, or -m local.",
    "rate_limit": "Wait a moment and run the cell again.",
    "content_filter": "Put the question differently.",
    "context_length": "Start over with --new, or ask with --no-history.",
    "invalid_request": "Check the model's name and the options.",
    "model_not_found": "Check the model's name; another is named with -m.",
    "blocked": "Use the official API with a key (-m zai or -m bigmodel), or -m local.",
    "server": "Run the cell again in a moment.",
}


def status_error(  # noqa: PLR0913 - one keyword for each fact that a service may tell
    kind: ErrorKind,
    *,
    provider: str = "",
    model: str = "",
    host: str = "",
    status: int | None = None,
    code: str | None = None,
    detail: str = "",
    retryable: bool = False,
    retry_after: float | None = None,
    reset_at: str | None = None,
    remedy: str | None = None,
) -> StatusError:
    """Build the error of a refusal, worded the same for every provider.

    Args:
        kind: One of the kinds a service can refuse with.
        provider: The provider's name.
        model: The model that was asked.
        host: The host that was asked.
        status: HTTP status, None inside a stream.
        code: The service's own code.
        detail: The service's own words; shortened in the message.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds to wait.
        reset_at: When the quota is renewed.
        remedy: What to do next, where the usual advice for this kind does not fit.

    Returns:
        The error, to be raised by the caller.
    """
    asked = " at ".join(part for part in (model or provider, host) if part)
    marks = ", ".join(f"{name} {value}" for name, value in (("HTTP", status), ("code", code)) if value is not None)
    said = shorten(detail)
    message = "".join(
        (
            _WHAT[kind],
            f" ({asked}" + (f"; {marks})" if marks else ")") if asked else (f" ({marks})" if marks else ""),
            f": {said}" if said else "",
            "" if said.endswith((".", "!", "?", "。", "！", "？")) else ".",
            f" Renewed at {reset_at}." if reset_at else "",
            f" Try again in {retry_after:g} s." if retry_after else "",
            f" {_REMEDY[kind] if remedy is None else remedy}",
        )
    )
    return _CLASSES[kind](
        message,
        kind=kind,
        provider=provider,
        model=model,
        host=host,
        retryable=retryable,
        status=status,
        code=code,
        detail=detail,
        retry_after=retry_after,
        reset_at=reset_at,
    )


def shorten(text: str, limit: int = 300) -> str:
    """Put text on one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
