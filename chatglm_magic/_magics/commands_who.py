"""Commands about who answers: models, keys, and how things stand."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .. import _keys
from .._choice import Choice
from .._config import HOSTS, KEY_NAMES, Defaults, key_place
from .._errors import ChatGLMError, ConfigError, MissingKeyError
from .._urls import check_key_travel, is_loopback, origin
from ..providers import PROVIDERS, known_models, split_spec
from .arguments import Arguments
from .choosing import choose_for, configured
from .conversations import conversation, describe
from .outcomes import Later, Value
from .saying import say

if TYPE_CHECKING:
    from .magic import ChatGLMMagics


class WhoCommands:
    """Commands about who answers.

    Attributes:
        magics: The settings and the conversations.
    """

    magics: ChatGLMMagics

    def do_models(self, arguments: Arguments, *words: str) -> Later | None:
        """List the models of who would answer, or of the provider that is named; a word filters them."""
        provider, wanted = "", words[0] if words else ""
        if wanted.partition(":")[0] in PROVIDERS:
            provider, _, wanted = wanted.partition(":")
        if len(words) > 1:
            wanted = words[1]
        named = arguments if not provider else replace(arguments, model=f"{provider}:")
        try:
            choice = choose_for(self.magics, named)
        except MissingKeyError:
            name = provider or split_spec(arguments.model or self.magics.model)[0] or self.magics.provider
            _list(known_models(name), wanted, name, "these are the ones known; the service lists its own with a key")
            return None

        def show(found: tuple[list[str], str]) -> Value:
            names, note = found
            self.magics.listed[choice.provider.name] = names
            _list(names, wanted, choice.provider.name, note)
            return Value()

        return Later(partial(_models, choice), show)

    def do_use(self, _: Arguments, model: str) -> None:
        """Let a model answer from now on, in this kernel."""
        say(f"{_who(self.use(model))} answers from now on.")

    def use(self, model: str) -> Choice:
        """Let a model answer from now on; who answers stays as it was where nobody can be asked so.

        Raises:
            ConfigError: Nobody can.
        """
        magics = self.magics
        before = {name: getattr(magics, name) for name in ("provider", "model", "base_url")}
        provider, name = split_spec(model)
        if provider:
            magics.provider = "auto" if provider == "auto" else provider
            if provider not in {before["provider"], "openai"}:
                magics.base_url = ""  # a server belongs to the provider it was configured for
        magics.model = name
        try:
            return choose_for(magics, Arguments())
        except ChatGLMError:
            for trait, value in before.items():
                setattr(magics, trait, value)
            raise

    def do_status(self, arguments: Arguments) -> None:
        """Tell who answers, where the key comes from, and in which conversation; never the key."""
        from .._version import __version__

        magics = self.magics
        rows = []
        try:
            choice = choose_for(magics, arguments)
        except ChatGLMError as error:
            rows.append(("answers", f"nobody: {error}"))
        else:
            provider = choice.provider
            rows += [
                ("provider", provider.name + (f" ({choice.why[:-1]})" if choice.why else "")),
                (
                    "model",
                    choice.model or getattr(provider, "model", "") or getattr(provider, "unnamed", "") or provider.name,
                ),
                ("host", getattr(provider, "host", "") or "this machine"),
                ("key", key_place(provider.name, self._base_url(arguments), self._configured())),
            ]
        chat = conversation(magics, arguments.conversation)
        rows += [
            ("conversation", f"{chat.name}: {describe(chat)}"),
            ("store", magics.memory.label + (f": {trouble}" if (trouble := magics.memory.trouble) else "")),
            ("version", f"chatglm_magic {__version__}"),
        ]
        say(*(f"{name:13} {value}" for name, value in rows))

    def do_login(self, arguments: Arguments, target: str = "") -> None:
        """Ask for a key, hidden, and keep it for one host."""
        host, name = self._host(arguments, target)
        shell = self.magics.shell
        kernel = getattr(shell, "kernel", None)
        if not (sys.stdin.isatty() if kernel is None else getattr(kernel, "_allow_stdin", True)):
            msg = (
                "A key cannot be typed here: this run takes no input. "
                f"Set {name} in the environment before Jupyter starts instead."
            )
            raise ConfigError(msg)
        from getpass import getpass

        try:
            key = getpass(f"Key for {_label(host)} (it is not shown): ").strip()
        except EOFError:
            key = ""
        if not key:
            say("No key was given; nothing has changed.")
            return
        if not key.isascii() or not key.isprintable() or " " in key:
            msg = "That is no key: keys have no blanks and nothing but ASCII characters. Nothing has changed."
            raise ConfigError(msg)
        check_key_travel(host, key)
        place = _keys.save_key(host, key)
        say(f"The key for {_label(host)} is kept in {place}. It goes to that host only.")
        told = key_place(*self._asked_there(host))
        if told.endswith("environment"):
            say(f"{name} is set in the environment too, and goes before it.")

    def do_logout(self, arguments: Arguments, target: str = "") -> None:
        """Forget the key that was kept for a host."""
        host, name = self._host(arguments, target)
        had = _keys.forget_key(host)
        say(f"The key for {_label(host)} is forgotten." if had else f"No key was kept for {_label(host)}.")
        if key_place(*self._asked_there(host)).endswith("environment"):
            say(f"{name} is still set in the environment.")

    def _configured(self) -> Defaults:
        """Give what is configured outside a call."""
        return configured(self.magics).over(Defaults.from_environment())

    def _base_url(self, arguments: Arguments) -> str:
        if arguments.base_url:
            return arguments.base_url
        return self.magics.base_url if split_spec(arguments.model)[0] in {"", self.magics.provider} else ""

    def _asked_there(self, host: str) -> tuple[str, str, Defaults]:
        """Give what `key_place` takes for a host."""
        for provider, own in HOSTS.items():
            if origin(own) == origin(host):
                return provider, "", self._configured()
        return "openai", host, self._configured()

    def _host(self, arguments: Arguments, target: str) -> tuple[str, str]:
        """Give the URL that a key is for, and the variable that may hold it."""
        target = target or arguments.base_url or split_spec(arguments.model)[0]
        known = self._configured()
        if not target:
            target = known.provider or split_spec(known.model)[0] or ("openai" if known.base_url else "")
        if "://" in target:
            origin(target)
            return target, KEY_NAMES[self._asked_there(target)[0]]
        if target in HOSTS:
            return HOSTS[target], KEY_NAMES[target]
        if target == "openai" and known.base_url:
            return known.base_url, KEY_NAMES[target]
        if target in PROVIDERS and target != "openai":
            msg = f"{target} needs no key."
        else:
            msg = "Say whose key it is: %chatglm login zai, or bigmodel, or the URL of a server."
        raise ConfigError(msg)


async def _models(choice: Choice) -> tuple[list[str], str]:
    """Ask who answers for the list of models; where that cannot be had, give what is known, and why."""
    known = known_models(choice.provider.name)
    models = getattr(choice.provider, "models", None)
    if models is None:
        return list(known), ""
    try:
        return await models(), ""
    except ChatGLMError as error:
        if not known:
            raise
        return list(known), f"these are the ones known; the service did not say: {error}"


def _list(names: list[str] | tuple[str, ...], wanted: str, provider: str, note: str) -> None:
    found = [name for name in names if wanted.lower() in name.lower()]
    say(*(f"{provider}:{name}" for name in found))
    if not found:
        say(f"{provider} has no model with {wanted!r} in its name." if wanted else f"{provider} lists no models.")
    if note:
        say(f"({note})")


def _who(choice: Choice) -> str:
    provider = choice.provider
    model = choice.model or getattr(provider, "model", "") or provider.name
    host = getattr(provider, "host", "")
    return f"{model} at {host}" if host else model


def _label(url: str) -> str:
    scheme, host, port = origin(url)
    usual = port == {"http": 80, "https": 443}[scheme]
    name = host if usual else f"{host}:{port}"
    return f"{name} (this machine)" if is_loopback(url) else name
