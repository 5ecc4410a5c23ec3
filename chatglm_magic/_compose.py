"""A finished reply as the Markdown that is shown and saved; no I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ._links import link, literal
from ._safe import safe

if TYPE_CHECKING:
    from ._events import Part
    from ._reply import Reply

_ENDINGS = {
    "interrupted": "[stopped]",
    "length": "[cut off: the limit of tokens was reached]",
    "content_filter": "[cut by moderation]",
    "error": "[broken off]",
}
_SENTENCES = {
    "history-trimmed": "Earlier parts of the conversation were left out: they no longer fit.",
    "reasoning-only": "The model only thought, and gave no answer.",
}


def compose(reply: Reply, *, show_thinking: bool = True) -> str:
    """Write a reply as Markdown that is safe to show.

    Thinking is folded away before the answer, unless it is all there is; then comes the answer with code,
    output, images (as links) and sources where they arrived, and one line on how it ended if not well.

    Args:
        reply: The reply, at any stage.
        show_thinking: Whether thinking is shown where there is an answer too.
    """
    only_thought = not reply.text.strip()
    blocks = []
    for part in reply.parts:
        if part.kind != "thinking":
            blocks.append(_block(part))
        elif only_thought or show_thinking:
            blocks.append(thinking_block(part.content, reply.thinking_seconds, is_open=only_thought))
    blocks += [f"*{sentence}*" for name, sentence in _SENTENCES.items() if name in reply.warnings]
    if words := ending(reply):
        blocks.append(f"*{literal(words)}*")
    return "\n\n".join(block for block in blocks if block)


def thinking_block(text: str, seconds: float, *, is_open: bool = False) -> str:
    """Write what a model thought, folded away unless it is all there is."""
    if not text.strip():
        return ""
    state = " open" if is_open else ""
    return f"<details{state}><summary>Thought for {seconds:.1f} s</summary>\n\n{safe(text.strip())}\n\n</details>"


def bundle(
    reply: Reply, *, show_thinking: bool = True, show_usage: bool = False
) -> tuple[dict[str, str], dict[str, Any]]:
    """Give the data and metadata of the output that a finished reply is saved as."""
    markdown = compose(reply, show_thinking=show_thinking)
    if show_usage:
        markdown += f"\n\n*{literal(usage_line(reply))}*"
    usage = reply.usage
    told = {
        "status": reply.finish_reason,
        "model": reply.model,
        "provider": reply.provider,
        "usage": usage
        and {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
        "seconds": round(reply.elapsed, 2),
    }
    return {"text/markdown": markdown, "text/plain": reply.text}, {"chatglm_magic": told}


def usage_line(reply: Reply) -> str:
    """Tell model, tokens and seconds in one line."""
    usage = reply.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else "tokens unknown"
    return f"{reply.model} · {tokens} · {reply.elapsed:.1f} s"


def ending(reply: Reply) -> str:
    """Tell how a reply ended; empty for one that ended well."""
    return _ENDINGS.get(reply.finish_reason or "", "")


def _block(part: Part) -> str:  # noqa: PLR0911 - one for each kind of part
    """Write one part other than thinking."""
    match part.kind:
        case "text":
            return safe(part.content)
        case "code":
            return _fenced(part.content, "python")
        case "execution_output":
            return _fenced(part.content.strip("\n"), "text")
        case "image":
            return "\n".join(f"- {link('image', url)}" for url in part.urls)
        case "search":
            return "\n".join(f"- {link(source.title or source.url, source.url)}" for source in part.sources)
        case "tool_call" | "server_tool":
            return f"*{literal(part.name)}* {literal(part.arguments)}"
        case "notice":
            return f"*{literal(part.content)}*"
        case _:
            return ""


def _fenced(code: str, language: str) -> str:
    """Put code into a fence longer than any run of backticks in it."""
    run = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", code)), default=0))
    return safe(f"{run}{language}\n{code}\n{run}")
