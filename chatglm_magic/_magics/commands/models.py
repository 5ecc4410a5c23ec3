"""Commands about who answers: models, keys, and how things stand."""

from __future__ import annotations

import getpass
import os
import sys
from functools import partial

from msgspec.structs import replace

from ..._credentials import (
    HOSTS,
    KEY_NAMES,
    USUAL_PORTS,
    bare_key,
    check_key_travel,
    find_key,
    forget_key,
    is_loopback,
    key_place,
    origin,
    save_key,
)
from ..._errors import ChatGLMError, ConfigError, MissingKeyError
from ..._language import VARIABLE, language, language_of, marked, named_by, tr
from ..._resolve import Target, owner_of_settings
from ..._version import __version__
from ..._workspace import describe
from ...providers import PROVIDERS, known_models, split_spec
from ..options import Arguments
from ..output import columns, say
from ..session import Later, Session, Value

_LANGUAGES = {"en": "English", "zh": "中文"}
_SETTINGS = {
    "config": "%config ChatGLMMagics.language",
    "page": marked("the page"),
    "locale": marked("the locale"),
}
"""What may name a language beside CHATGLM_LANG, as `named_by` calls it."""


def do_models(session: Session, arguments: Arguments, *words: str) -> Later | None:
    """List the models of the provider that would answer, or of the one that is named; a word filters them."""
    provider, wanted = "", words[0] if words else ""
    if wanted.partition(":")[0] in PROVIDERS:
        provider, _, wanted = wanted.partition(":")
    if len(words) > 1:
        wanted = words[1]
    asked = replace(arguments.options, model=f"{provider}:") if provider else arguments.options
    try:
        target = session.workspace.target(asked=asked)
    except MissingKeyError:
        configured = session.workspace.options()
        name = provider or split_spec(asked.model or configured.model)[0] or configured.provider or "auto"
        _list(known_models(name), wanted, name, tr("(these are the ones known; the service lists its own with a key)"))
        return None

    def show(found: tuple[list[str], str]) -> Value:
        names, note = found
        session.workspace.models[target.provider.name] = names
        _list(names, wanted, target.provider.name, note)
        return Value()

    return Later(partial(_models, target), show)


def do_use(session: Session, _: Arguments, model: str) -> None:
    """Ask a model from now on, in this kernel."""
    workspace = session.workspace
    target = workspace.use(workspace.chat(), model)
    host = getattr(target.provider, "host", "")
    if host:
        say(tr("{model} at {host} answers from now on.", model=target.model_name, host=host))
    else:
        say(tr("{model} answers from now on.", model=target.model_name))


def do_status(session: Session, arguments: Arguments) -> None:
    """Say who answers, where the key comes from, and in which conversation; never the key."""
    workspace = session.workspace
    rows = []
    try:
        target = workspace.target(workspace.open_chat(arguments.conversation), arguments.options)
    except ChatGLMError as error:
        rows.append((tr("answers"), tr("nobody: {error}", error=error)))
    else:
        provider = target.provider
        model = target.model or getattr(provider, "model", "") or getattr(provider, "unnamed", "") or provider.name
        rows += [
            (tr("provider"), _with_reason(provider.name, target.reason)),
            (tr("model"), model),
            (tr("host"), getattr(provider, "host", "") or tr("this process")),
            (tr("key"), key_place(provider.name, getattr(provider, "base_url", ""), workspace.configured().base_url)),
        ]
        if target.note:
            rows.append((tr("note"), target.note))
    chat, store = workspace.chat(arguments.conversation, say), workspace.store
    rows += [
        (tr("conversation"), _and(chat.name, describe(chat))),
        (tr("store"), _and(store.label, store.failure)),
        (tr("language"), _language()),
        (tr("version"), f"chatglm_magic {__version__}"),
    ]
    say(*columns(rows))


def _with_reason(name: str, reason: str) -> str:
    return tr("{name} ({reason})", name=name, reason=reason.rstrip(".。")) if reason else name


def _and(what: str, more: str) -> str:
    return tr("{what}: {more}", what=what, more=more) if more else what


def _language() -> str:
    """Return which language is in force, what names it, and what names none that there is."""
    name, setting = _LANGUAGES[language()], named_by()
    said = tr("{name}, as nothing names another", name=name)
    if setting:
        said = tr("{name}, as {setting} says", name=name, setting=tr(_SETTINGS.get(setting, setting)))
    given = os.environ.get(VARIABLE, "").strip()
    if given.lower() in {"", "auto"} or language_of(given):
        return said
    return tr("{said}; {variable}={given} names neither en nor zh", said=said, variable=VARIABLE, given=given)


def do_login(session: Session, arguments: Arguments, target: str = "") -> None:
    """Ask for a key, hidden, and keep it for one host."""
    host, name = _host(session, arguments, target)
    kernel = getattr(session.shell, "kernel", None)
    if not (sys.stdin.isatty() if kernel is None else getattr(kernel, "_allow_stdin", True)):
        raise ConfigError(
            tr(
                "A key cannot be typed here: this run takes no input. "
                "Set {variable} in the environment before Jupyter starts instead.",
                variable=name,
            )
        )
    try:
        key = bare_key(getpass.getpass(tr("Key for {host} (it is not shown): ", host=_label(host))))
    except EOFError:
        key = ""
    if not key:
        say(tr("No key was given; nothing has changed."))
        return
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            tr("That is no key: keys have no blanks and nothing but ASCII characters. Nothing has changed.")
        )
    check_key_travel(host, key)
    where = save_key(host, key)
    say(tr("The key for {host} is kept in {where}. It goes to that host only.", host=_label(host), where=where))
    if _is_in_environment(session, host):
        say(tr("{variable} is set in the environment too, and goes before it.", variable=name))


def do_logout(session: Session, arguments: Arguments, target: str = "") -> None:
    """Forget the key that was kept for a host."""
    host, name = _host(session, arguments, target)
    if forget_key(host):
        say(tr("The key for {host} is forgotten.", host=_label(host)))
    else:
        say(tr("No key was kept for {host}.", host=_label(host)))
    if _is_in_environment(session, host):
        say(tr("{variable} is still set in the environment.", variable=name))


def _is_in_environment(session: Session, host: str) -> bool:
    """Return whether the environment holds the key that goes to a host."""
    platform = _platform(host)
    provider = platform or "openai"
    key = find_key(provider, "" if platform else host, session.workspace.configured().base_url)
    return bool(key) and key == bare_key(os.environ.get(KEY_NAMES[provider], ""))


def _platform(host: str) -> str:
    """Return the platform whose own host a URL leads to; empty for any other."""
    return next((name for name, own in HOSTS.items() if origin(own) == origin(host)), "")


def _host(session: Session, arguments: Arguments, named: str) -> tuple[str, str]:
    """Return the URL that a key is for, and the environment variable that may hold it."""
    configured = session.workspace.configured()
    owner = owner_of_settings(configured)
    target = named or arguments.options.base_url or split_spec(arguments.options.model)[0] or owner
    if "://" in target:
        origin(target)
        return target, KEY_NAMES[_platform(target) or "openai"]
    if configured.base_url and target in KEY_NAMES and (target == "openai" or (target == owner and not named)):
        return configured.base_url, KEY_NAMES[target]
    if target in HOSTS:
        return HOSTS[target], KEY_NAMES[target]
    if target in PROVIDERS and target != "openai":
        msg = tr("{provider} needs no key.", provider=target)
    else:
        msg = tr("Say whose key it is: %chatglm login zai, or bigmodel, or the URL of a server.")
    raise ConfigError(msg)


async def _models(target: Target) -> tuple[list[str], str]:
    """Return the models that a service lists, else those that are known, and why."""
    known = known_models(target.provider.name)
    models = getattr(target.provider, "models", None)
    if models is None:
        return list(known), ""
    try:
        return await models(), ""
    except ChatGLMError as error:
        if not known:
            raise
        return list(known), tr("(these are the ones known; the service did not say: {error})", error=error)


def _list(names: list[str] | tuple[str, ...], wanted: str, provider: str, note: str) -> None:
    found = [name for name in names if wanted.lower() in name.lower()]
    say(*(f"{provider}:{name}" for name in found))
    if not found and wanted:
        say(tr("{provider} has no model with {wanted!r} in its name.", provider=provider, wanted=wanted))
    elif not found:
        say(tr("{provider} lists no models.", provider=provider))
    if note:
        say(note)


def _label(url: str) -> str:
    scheme, host, port = origin(url)
    name = host if port == USUAL_PORTS[scheme] else f"{host}:{port}"
    return tr("{host} (this machine)", host=name) if is_loopback(url) else name
