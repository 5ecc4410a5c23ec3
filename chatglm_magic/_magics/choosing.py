"""Who answers in a kernel; a first question begins here, so little is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._choice import Choice, choose, choose_or_recall, decide
from .._config import Defaults
from .._imports import begin
from ..providers import split_spec

if TYPE_CHECKING:
    from .arguments import Arguments
    from .magic import ChatGLMMagics

_OFFLINE = "local"
"""The one provider that needs no network."""


def configured(magics: ChatGLMMagics) -> Defaults:
    """Give what `%config` says."""
    named = "" if magics.provider == "auto" else magics.provider
    return Defaults(provider=named, model=magics.model, base_url=magics.base_url)


def choose_for(magics: ChatGLMMagics, arguments: Arguments, *, recalls: bool = False) -> Choice:
    """Find out who answers: by an option, else as configured, else by the environment, else by a guess.

    Args:
        magics: What is configured.
        arguments: The options.
        recalls: Whether a stored answer will do, for which no key is needed.
    """
    provider, model, base_url, known = _said(magics, arguments)
    find = choose_or_recall if recalls else choose
    return find(provider, model, base_url=base_url, configured=known)


def choose_to_ask(magics: ChatGLMMagics, arguments: Arguments) -> Choice:
    """Find out who answers a question that is asked next, and begin to import what that takes.

    aiohttp takes longest. The last thing it does is to have OpenSSL read the certificates of this computer, a
    fifth of its time, for which it does not need the interpreter: our own modules are imported meanwhile.

    Args:
        magics: As in `choose_for`.
        arguments: As there.
    """
    if recalls(magics, arguments):
        return choose_for(magics, arguments, recalls=True)
    provider, model, base_url, known = _said(magics, arguments)
    decision = decide(provider, model, base_url=base_url, configured=known)
    if decision.name != _OFFLINE:
        begin("aiohttp", until="aiohttp.resolver")
    return decision.choice()


def recalls(magics: ChatGLMMagics, arguments: Arguments) -> bool:
    """Tell whether a stored answer will do for a question."""
    wanted = magics.cache == "replay" if arguments.cache is None else arguments.cache
    return wanted and magics.memory.is_on


def _said(magics: ChatGLMMagics, arguments: Arguments) -> tuple[str, str, str, Defaults]:
    """Give provider, model and server as options and `%config` say, and what `%config` says besides."""
    known = configured(magics)
    base_url, provider = arguments.base_url, "auto"
    if not base_url and known.base_url and known.provider and split_spec(arguments.model)[0] in {"", known.provider}:
        base_url, provider = known.base_url, known.provider  # a server stays with the provider it was configured for
    return provider, arguments.model, base_url, known
