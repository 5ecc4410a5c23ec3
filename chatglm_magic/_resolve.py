"""Which provider, model and server answer: one function, one result.

The order is: what is asked for, else what is configured (`%config`, then the environment), else the platform whose
key is there, else the local model. A configured base URL and a configured model belong to the configured provider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import msgspec

from ._credentials import KEY_NAMES, check_key_travel, find_key, is_loopback
from ._errors import ConfigError, MissingKeyError
from ._jupyter.shell import loaded_magics
from ._language import join_sentences, page_language, tr
from ._messages import ChatOptions
from .providers import (
    PROVIDERS,
    Provider,
    Settings,
    UnavailableProvider,
    known_models,
    make_provider,
    split_spec,
    unknown_provider,
)

_PLATFORMS = ("zai", "bigmodel")
_CHINESE = r"[\u3400-\u9fff\uf900-\ufaff]"


class Target(msgspec.Struct, frozen=True):
    """Who answers a question.

    Attributes:
        provider: The provider.
        model: The model to ask; empty for the provider's default.
        reason: What `auto` took and why, in one sentence; empty where the user named the provider.
        note: What was configured and is not used, in one sentence; empty where there is nothing.
        alternatives: Other targets that may have been meant when the same question was asked before. Their
            stored answers are looked up first.
    """

    provider: Provider
    model: str = ""
    reason: str = ""
    note: str = ""
    alternatives: tuple[Target, ...] = ()

    @property
    def model_name(self) -> str:
        """The model for people to read: the one asked for, else the provider's default, else the provider."""
        return self.model or getattr(self.provider, "model", "") or self.provider.name

    def language_note(self, prompt: str) -> str:
        """Return a note on a Chinese prompt for a model that knows English only; else nothing.

        Who asks in Chinese reads Chinese, whatever the page or the locale says; only a setting goes before that.
        """
        if not getattr(self.provider, "english_only", False) or re.search(_CHINESE, prompt) is None:
            return ""
        with page_language("zh"):
            return tr(
                "The local demo model knows English only; its answers in Chinese cannot be relied on. To ask in "
                "Chinese, get a key at open.bigmodel.cn or z.ai (glm-4.7-flash is free), then run "
                "%chatglm login bigmodel or %chatglm login zai."
            )


def configured_options() -> ChatOptions:
    """Return what is configured: what `%config` says where the magics are loaded, over the environment."""
    magics = loaded_magics()
    options: ChatOptions = magics.workspace.options() if magics is not None else ChatOptions()
    return options.over(environment_options())


def environment_options() -> ChatOptions:
    """Return what `CHATGLM_PROVIDER`, `CHATGLM_MODEL` and `CHATGLM_BASE_URL` say."""
    names = ("provider", "model", "base_url")
    given: dict[str, Any] = {name: os.environ.get(f"CHATGLM_{name.upper()}", "").strip() for name in names}
    return ChatOptions(**given)


def owner_of_settings(configured: ChatOptions) -> str:
    """Return the provider that the configured model and base URL belong to; empty where nothing is configured."""
    named = split_spec(configured.model)[0] or configured.provider
    return named if named not in {"", "auto"} else ("openai" if configured.base_url else "")


def resolve(
    asked: ChatOptions,
    configured: ChatOptions | None = None,
    *,
    api_key: str | None = None,
    proxy: str = "",
    cached: bool = False,
) -> Target:
    """Return who answers.

    Args:
        asked: What the question or the conversation says.
        configured: What is configured; None for `configured_options()`.
        api_key: The key; None to look for it.
        proxy: An http or https proxy.
        cached: Whether a stored answer will do. No key or server is needed then to tell who may have given it;
            what is missing is raised only if somebody has to be asked.

    Raises:
        MissingKeyError: A platform's key is needed and there is none.
        ConfigError: An unknown provider, a base URL that cannot be used, or `openai` without one.
    """
    configured = configured_options() if configured is None else configured
    named, model = _named(asked)
    try:
        target = _resolve(named, model, asked.base_url, configured, api_key, proxy)
    except ConfigError as error:
        lacks_server = named == "openai" and bool(model)
        if not cached or not (isinstance(error, MissingKeyError) or lacks_server):
            raise
        return _whoever_answered(named, model, configured, error)
    is_guess = not named and target.provider.name == "local" and not owner_of_settings(configured)
    if cached and is_guess and not configured.model:
        others = tuple(Target(_unavailable(name, missing_key(name))) for name in _PLATFORMS)
        return msgspec.structs.replace(target, alternatives=others)
    return target


def resolve_or_say(model: str, find: Callable[[ChatOptions], Target], asked: ChatOptions) -> Target:
    """Return who answers for a model that is one of several; where nobody can be asked, one that says why once asked.

    Args:
        model: The model, perhaps with its provider.
        find: Returns who answers where options say so.
        asked: The other options.
    """
    try:
        return find(ChatOptions(model=model).over(asked))
    except ConfigError as error:
        return Target(UnavailableProvider(split_spec(model)[0] or model, error))


def missing_key(name: str, base_url: str = "") -> MissingKeyError:
    """Return the error for a platform that was asked without a key.

    Args:
        name: The platform.
        base_url: The server in place of the platform's own host, which the platform's key is not sent to.
    """
    if base_url:
        return MissingKeyError(
            tr(
                "No key for {name} at {base_url}: {variable} goes to the platform's own host only. "
                "Type %chatglm login {base_url}, or unset the base URL.",
                name=name,
                base_url=base_url,
                variable=KEY_NAMES[name],
            )
        )
    return MissingKeyError(
        tr(
            "No key for {name}. Set {variable} in the environment before Jupyter starts, "
            "or type %chatglm login {name}, or use -m local, which needs none.",
            name=name,
            variable=KEY_NAMES[name],
        )
    )


def _named(options: ChatOptions) -> tuple[str, str]:
    """Return the provider that options name, empty for `auto`, and the model."""
    named, model = split_spec(options.model)
    name = named or options.provider
    return "" if name == "auto" else name, model


def _resolve(name: str, model: str, base_url: str, configured: ChatOptions, api_key: str | None, proxy: str) -> Target:
    owner, reason, note = owner_of_settings(configured), "", ""
    is_auto = not name
    if is_auto:
        name, reason = _choose(model, base_url, api_key, configured)
    if name not in PROVIDERS:
        raise unknown_provider(name)
    if not model and (name == owner or is_auto) and name != "local":
        model = split_spec(configured.model)[1]
    if not base_url and configured.base_url:
        if name == owner:
            base_url = configured.base_url
        else:
            note = tr(
                "The configured base URL {base_url} belongs to {owner}; {name} does not use it.",
                base_url=configured.base_url,
                owner=owner,
                name=name,
            )
    _check_server(name, base_url)
    key = find_key(name, base_url, configured.base_url) if api_key is None else api_key
    if base_url:
        check_key_travel(base_url, key)
    if name in _PLATFORMS and not key and not (base_url and is_loopback(base_url)):
        raise missing_key(name, base_url)
    settings = Settings(base_url=base_url, api_key=key, proxy=proxy, model=model if name == "local" else "")
    return Target(make_provider(name, settings), model, reason, note)


def _choose(model: str, base_url: str, api_key: str | None, configured: ChatOptions) -> tuple[str, str]:
    """Return the provider that `auto` takes, and the reason in a sentence."""
    if base_url:
        return "openai", ""
    if owner := owner_of_settings(configured):
        # A server that is configured is no surprise to its owner.
        return owner, "" if configured.base_url else tr("Using {name}, as configured.", name=owner)
    for platform in _PLATFORMS:
        if find_key(platform, "", ""):
            return platform, tr("Using {name}: {variable} is set.", name=platform, variable=KEY_NAMES[platform])
    if api_key:
        raise ConfigError(tr("A key was given but no provider. Say which: provider='zai', 'bigmodel' or 'openai'."))
    if wanted := model or configured.model:
        raise _keyless_model(wanted)
    return "local", tr("No key is set, so the small local demo model answers.")


def _keyless_model(model: str) -> MissingKeyError:
    """Return the error for a model that was named without a provider, where there is no key."""
    head, colon, _ = model.partition(":")
    known, hint = known_models("zai"), ""
    if colon:
        names = tr(", ").join(PROVIDERS)
        hint = tr("({name!r} is no provider; those are {names}.)", name=head, names=names)
    elif model not in known and (near := get_close_matches(model, known, n=1)):
        hint = tr("Did you mean {name}?", name=near[0])
    return MissingKeyError(
        join_sentences(
            tr("No key for model {model!r}.", model=model),
            hint,
            tr(
                "Set ZAI_API_KEY or ZHIPUAI_API_KEY before Jupyter starts, or type %chatglm login zai, "
                "or name a server with --base-url, or use -m local, which needs no key."
            ),
        )
    )


def _check_server(name: str, base_url: str) -> None:
    """Raise ConfigError where a provider lacks its server, or has none to be given."""
    if name == "openai" and not base_url:
        raise ConfigError(
            tr("Provider 'openai' needs a server: --base-url URL (base_url=… in Python) or CHATGLM_BASE_URL.")
        )
    if name == "local" and base_url:
        raise ConfigError(
            tr(
                "The local model has no base URL, so {base_url} cannot be used. Ask a server with -m openai:MODEL "
                "--base-url URL, or unset the base URL (CHATGLM_BASE_URL or %config ChatGLMMagics.base_url).",
                base_url=base_url,
            )
        )


def _whoever_answered(name: str, model: str, configured: ChatOptions, error: ConfigError) -> Target:
    """Return who may have answered before, where nobody can be asked now."""
    model = model or split_spec(configured.model)[1]
    owner = name if name in PROVIDERS else owner_of_settings(configured)
    if owner:
        return Target(_unavailable(owner, error), model)
    names = (*_PLATFORMS, "openai", "chatglm")
    found = tuple(Target(_unavailable(other, error), model) for other in names)
    return msgspec.structs.replace(found[0], alternatives=found)


def _unavailable(name: str, error: ConfigError) -> UnavailableProvider:
    model = "" if name == "openai" else getattr(make_provider(name, Settings()), "model", "")
    message = join_sentences(str(error), tr("There is no stored answer to this question either."))
    return UnavailableProvider(name, type(error)(message), model=model)
