"""What a question would send, told and not sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .._history import estimate_tokens
from .._markdown.links import literal, visible
from .._markdown.safe import fenced, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._messages import Request
    from ..providers import Provider

_HEAD = "Dry run: nothing was sent."
_THINKING = {True: "on", False: "off"}


def tell(request: Request, provider: Provider, notes: Sequence[str] = ()) -> dict[str, str]:
    """Write what a request says and to whom, as Markdown and as plain text; no key stands in it.

    Args:
        request: What would be sent.
        provider: Who would be asked.
        notes: What else the user should know.

    Raises:
        ConfigError: The provider could not ask so.
    """
    facts = _facts(request, provider)
    markdown = [f"**{_HEAD}**", "\n".join(f"- {name}: {literal(value)}" for name, value in facts.items())]
    plain = [_HEAD, "\n".join(f"{name}: {value}" for name, value in facts.items())]
    for note in notes:
        markdown.append(f"*{literal(note)}*")
        plain.append(note)
    for message in request.messages:
        markdown.append(f"**{message.role}**\n\n{safe(fenced('text', message.content))}")
        plain.append(f"{message.role}:\n{message.content}")
    return {"text/markdown": "\n\n".join(markdown), "text/plain": visible("\n\n".join(plain))}


def _facts(request: Request, provider: Provider) -> dict[str, str]:
    model = request.model or getattr(provider, "model", "") or getattr(provider, "unnamed", "") or provider.name
    parameters = getattr(provider, "parameters", None)
    sent = parameters(request) if callable(parameters) else request.options
    options = [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in sent.items()]
    return {
        "provider": provider.name,
        "model": model,
        "host": getattr(provider, "host", "") or "this process",
        "options": ", ".join(options) or "none",
        "thinking": "as the service does" if request.think is None else _THINKING[request.think],
        "tokens": f"about {estimate_tokens(list(request.messages))}, estimated",
    }
