"""Who answers: by what is said, else as configured, else by the keys there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING

from ._config import KEY_NAMES, Defaults, find_key
from ._errors import ConfigError, MissingKeyError
from ._urls import check_key_travel, is_loopback
from ._values import dataclass
from .providers import PROVIDERS, Provider, Settings, make_provider, split_spec

if TYPE_CHECKING:
    from ._events import Event
    from ._messages import Request

_PLATFORMS = ("zai", "bigmodel")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which provider answers, with which model.

    Attributes:
        provider: The provider.
        model: The model to ask; empty for the provider's default.
        why: What `auto` took and for which reason, in one sentence; empty where the user said it.
        rather: Who else may have been meant when the same was asked before; their stored answers go before
            this one's.
    """

    provider: Provider
    model: str
    why: str = ""
    rather: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answers, before any code of theirs is imported.

    Attributes:
        name: The provider's name.
        settings: What it is made from.
        model: As in `Choice`.
        why: As there.
    """

    name: str
    settings: Settings
    model: str
    why: str

    def choice(self) -> Choice:
        """Make the provider.

        Raises:
            ConfigError: The settings lack something it needs.
        """
        return Choice(make_provider(self.name, self.settings), self.model, self.why)


class Absent:
    """A provider that cannot be asked here; an answer that it gave before may be stored.

    Args:
        name: Its name.
        error: Why it cannot be asked.
    """

    def __init__(self, name: str, error: ConfigError) -> None:
        self.name = name
        self._error = error
        self.model = "" if name == "openai" else getattr(make_provider(name, Settings()), "model", "")

    async def stream(self, request: Request) -> AsyncGenerator[Event]:  # noqa: ARG002 - the protocol's
        """Refuse."""
        msg = f"{self._error} There is no stored answer to this question either."
        raise type(self._error)(msg)
        yield  # type: ignore[unreachable]  # makes it a generator


def decide(
    provider: str = "auto",
    model: str = "",
    *,
    base_url: str = "",
    api_key: str | None = None,
    proxy: str = "",
    configured: Defaults | None = None,
) -> Decision:
    """Find out who answers, and import nothing of theirs.

    Args:
        provider: A provider's name, or `auto`: what is configured, else the platform whose key is
            present, else the local model.
        model: A model, perhaps with its provider (`zai:glm-4.7-flash`).
        base_url: An OpenAI-compatible server (for `chatglm`: the host in place of chatglm.cn).
        api_key: The key; None to look for it.
        proxy: An http or https proxy.
        configured: What the user configured; the environment fills what it leaves open.

    Raises:
        MissingKeyError: A platform's key is needed and there is none.
        ConfigError: An unknown provider, or `openai` without a `base_url`.
    """
    known = (configured or Defaults()).over(Defaults.from_environment())
    named, model = split_spec(model)
    name = named or ("" if provider == "auto" else provider)
    why = ""
    if name in {"", "auto"}:
        name, model, why = _auto(model, base_url, api_key, known)
    elif not model:
        # A default model belongs to the provider it was configured for.
        default_name, default_model = split_spec(known.model)
        if (default_name or known.provider) == name:
            model = default_model
    if name not in PROVIDERS:
        msg = f"There is no provider {name!r}. Valid ones: auto, {', '.join(PROVIDERS)}."
        raise ConfigError(msg)
    if not base_url and name == "openai":
        base_url = known.base_url
        if not base_url:
            msg = "Provider 'openai' needs a server: --base-url URL (base_url=… in Python) or CHATGLM_BASE_URL."
            raise ConfigError(msg)
    key = find_key(name, base_url, known) if api_key is None else api_key
    if base_url:
        check_key_travel(base_url, key)
    if name in _PLATFORMS and not key and not (base_url and is_loopback(base_url)):
        raise missing_key(name)
    settings = Settings(base_url=base_url, api_key=key, proxy=proxy, model=model if name == "local" else "")
    return Decision(name, settings, model, why)


def choose(
    provider: str = "auto",
    model: str = "",
    *,
    base_url: str = "",
    api_key: str | None = None,
    proxy: str = "",
    configured: Defaults | None = None,
) -> Choice:
    """Find out who answers, and make them ready to.

    Args:
        provider: As in `decide`, like all.
        model: As there.
        base_url: As there.
        api_key: As there.
        proxy: As there.
        configured: As there.

    Raises:
        MissingKeyError: As there.
        ConfigError: As there.
    """
    return decide(provider, model, base_url=base_url, api_key=api_key, proxy=proxy, configured=configured).choice()


def choose_or_recall(
    provider: str = "auto",
    model: str = "",
    *,
    base_url: str = "",
    api_key: str | None = None,
    proxy: str = "",
    configured: Defaults | None = None,
) -> Choice:
    """Find out who answers, where a stored answer will do: no key is needed to tell who may have given it.

    Args:
        provider: As in `choose`, like all.
        model: As there.
        base_url: As there.
        api_key: As there.
        proxy: As there.
        configured: As there.

    Raises:
        ConfigError: As there; a missing key or server is an error only when there is no stored answer.
    """
    named, wanted = split_spec(model)
    name = named or ("" if provider == "auto" else provider)
    known = (configured or Defaults()).over(Defaults.from_environment())
    missing: ConfigError
    try:
        choice = choose(provider, model, base_url=base_url, api_key=api_key, proxy=proxy, configured=configured)
    except MissingKeyError as error:
        missing = error
    except ConfigError as error:
        if name != "openai" or not wanted:
            raise
        missing = error  # it lacks its server
    else:
        guessed = name in {"", "auto"} and choice.provider.name == "local" and known == Defaults()
        if not guessed:
            return choice
        missing = missing_key("zai")
        return replace(choice, rather=tuple(Choice(Absent(other, missing), "") for other in _PLATFORMS))
    if name in PROVIDERS:
        return Choice(Absent(name, missing), wanted)
    default_name, default_model = split_spec(known.model)
    model = wanted or default_model
    if owner := default_name or ("" if known.provider == "auto" else known.provider):
        return Choice(Absent(owner, missing), model)
    meant = tuple(Choice(Absent(other, missing), model) for other in (*_PLATFORMS, "openai", "chatglm"))
    return replace(meant[0], rather=meant)


def missing_key(name: str) -> MissingKeyError:
    """Build the error for a platform that was asked without a key."""
    return MissingKeyError(
        f"No key for {name}. Set {KEY_NAMES[name]} in the environment before Jupyter starts, "
        f"or type %chatglm login, or use -m local, which needs none."
    )


def _auto(model: str, base_url: str, api_key: str | None, known: Defaults) -> tuple[str, str, str]:
    """Give provider, model and the reason, as the contract for `auto` says."""
    if base_url:
        return "openai", model or split_spec(known.model)[1], ""
    named, default_model = split_spec(known.model)
    name = named or ("" if known.provider == "auto" else known.provider) or ("openai" if known.base_url else "")
    if name:
        return name, model or default_model, f"Using {name}, as configured."
    for platform in _PLATFORMS:
        if find_key(platform, "", known):
            return platform, model or default_model, f"Using {platform}: {KEY_NAMES[platform]} is set."
    if api_key:
        msg = "A key was given but no provider. Say which: provider='zai', 'bigmodel' or 'openai'."
        raise ConfigError(msg)
    if wanted := model or default_model:
        head, colon, _ = wanted.partition(":")
        hint = f" ({head!r} is no provider; those are {', '.join(PROVIDERS)}.)" if colon else ""
        msg = (
            f"No key for model {wanted!r}.{hint} Set ZAI_API_KEY or ZHIPUAI_API_KEY before Jupyter starts, or type "
            f"%chatglm login, or name a server with --base-url, or use -m local, which needs no key."
        )
        raise MissingKeyError(msg)
    return "local", "", "No key is set, so the small local demo model answers."
