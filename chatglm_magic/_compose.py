"""A finished reply as the Markdown that is shown and saved; no I/O."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ._errors import ReplyFormatError
from ._markdown.links import link, literal, visible
from ._markdown.safe import fenced, safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._events import Part, Source, ToolCall
    from ._reply import Reply

_ENDINGS = {
    "interrupted": "[stopped]",
    "length": "[cut off: max_tokens reached]",
    "content_filter": "[cut by moderation]",
    "error": "[broken off]",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""The same in every locale: what is saved with a notebook is to be equal wherever it is run."""
_CONTEXT_FULL = "model_context_window_exceeded"
_SENTENCES = {
    "history-trimmed": "Earlier parts of the conversation were left out: they no longer fit.",
    "nothing-said": "The model gave no answer text.",
    "reasoning-only": "The model only thought, and gave no answer.",
    "store-full": "This is not stored yet: the disk is full. It is written as soon as there is room.",
    "store-unwritable": "This is not stored: the store's file cannot be written. "
    "Make it writable, or set CHATGLM_STORE to another file or to off.",
    "store-locked": "This is not stored yet: another program has locked the store's file. It is tried again.",
    "store-damaged": "The store's file was damaged. It was renamed, not deleted, and a new one is begun.",
    "store-newer": "This is not stored: a newer version of chatglm_magic has written the store's file. "
    "Update chatglm_magic, or set CHATGLM_STORE to another file.",
    "store-foreign": "This is not stored: CHATGLM_STORE names another program's database. Set it to another file.",
    "store-failed": "This is not stored yet: the store's file could not be written. It is tried again.",
}


def compose(reply: Reply, *, show_thinking: bool = True) -> str:
    """Write a reply as Markdown that is safe to show.

    Thinking is folded away before the answer, unless it is all there is; then comes the answer with code,
    output and images (as links) where they arrived, then sources, and one line on how it ended if not well.

    Args:
        reply: The reply, at any stage.
        show_thinking: Whether thinking is shown where there is an answer too.
    """
    only_thought = not reply.text.strip()
    blocks: list[str] = []
    sources: list[Source] = []
    thinking = reply.thinking if only_thought or show_thinking else ""
    for part in reply.parts:
        if part.kind == "thinking":
            blocks.append(thinking_block(thinking, reply.thinking_seconds, is_open=only_thought))
            thinking = ""
        elif part.kind == "search":
            sources += part.sources
        else:
            blocks.append(block(part))
    blocks += [_source_list(sources), *(f"*{sentence}*" for sentence in sentences(reply))]
    if words := ending(reply):
        blocks.append(f"*{literal(words)}*")
    return "\n\n".join(written for written in blocks if written)


def thinking_block(text: str, seconds: float, *, is_open: bool = False) -> str:
    """Write what a model thought, folded away unless it is all there is.

    The blank lines make the inside Markdown for every parser; `safe` lets no tag through that could end it.
    """
    if not text.strip():
        return ""
    state = " open" if is_open else ""
    return f"<details{state}><summary>Thought for {seconds:.1f} s</summary>\n\n{safe(text.strip())}\n\n</details>"


def block(part: Part) -> str:  # noqa: PLR0911 - one for each kind of part
    """Write one part other than thinking."""
    match part.kind:
        case "text":
            return safe(part.content)
        case "code":
            return fenced("python", part.content)
        case "execution_output":
            return fenced("text", part.content.strip("\n"))
        case "image":
            return "\n".join(f"- {link('image', url)}" for url in part.urls)
        case "search":
            return f"*{len(part.sources)} pages found*"
        case "tool_call":
            return f"*calls {literal(part.name)}*\n\n{fenced('json', part.arguments)}"
        case "server_tool":
            return f"*{_line(part.name)}* {_line(part.arguments)}"
        case "notice":
            return f"*{_line(part.content)}*" if part.content.strip() else ""
        case _:
            return ""


def plain_block(part: Part) -> str:  # noqa: PLR0911 - one for each kind of part
    """Tell one part other than text and thinking where there is no Markdown; empty for what is not told."""
    match part.kind:
        case "code":
            return fenced("python", part.content)
        case "execution_output":
            return fenced("text", part.content.strip("\n"))
        case "image":
            return "\n".join(f"[image] {url}" for url in part.urls)
        case "search":
            return "\n".join(f"[{source.title}] {source.url}" for source in part.sources)
        case "server_tool":
            return f"[{' '.join(f'{part.name} {part.arguments}'.split())}]"
        case "notice":
            return f"[{' '.join(part.content.split())}]"
        case _:
            return ""


def call_line(call: ToolCall) -> str:
    """Tell a call that the model asked for, in one line."""
    return f"[calls {call.name} {' '.join(call.arguments.split())}]"


def bundle(
    reply: Reply, *, show_thinking: bool = True, show_usage: bool = False, form: str = "md"
) -> tuple[dict[str, str], dict[str, Any]]:
    """Give the data and metadata of the output that a finished reply is saved as.

    Args:
        reply: The reply, ended.
        show_thinking: As in `compose`.
        show_usage: Whether a last line tells tokens and seconds.
        form: `md`; or what of it is shown alone: `text` plainly, `code` fences, or `json`, laid out. A reply
            that has nothing of that form is shown as `md`.
    """
    data = _in_form(reply, form) or {
        "text/markdown": compose(reply, show_thinking=show_thinking),
        "text/plain": _plain(reply),
    }
    if show_usage and "text/markdown" in data:
        data["text/markdown"] += f"\n\n*{literal(usage_line(reply))}*"
    elif show_usage:
        data["text/plain"] += f"\n\n{usage_line(reply)}"
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
    if reply.replayed is not None:
        told |= {"replayed": True, "given": reply.replayed.astimezone(UTC).isoformat(timespec="seconds")}
    return data, {"chatglm_magic": told}


def usage_line(reply: Reply) -> str:
    """Tell model, tokens and seconds in one line."""
    usage = reply.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else "tokens unknown"
    return " · ".join(word for word in (reply.model, tokens, f"{reply.elapsed:.1f} s") if word)


def ending(reply: Reply) -> str:
    """Tell how a reply ended; empty for one that ended well."""
    if reply.raw_finish == _CONTEXT_FULL:
        return "[cut off: the model's context is full]"
    return _ENDINGS.get(reply.finish_reason or "", "")


def _in_form(reply: Reply, form: str) -> dict[str, str] | None:
    """Give a reply in another form than Markdown, with what is to be said about it; None if it has nothing of that."""
    notices = [" ".join(part.content.split()) for part in reply.parts if part.kind == "notice"]
    words = [*notices, *sentences(reply), ending(reply)]
    if form == "text" and reply.text.strip():
        notes = [f"[{word.strip('[]')}]" for word in words if word]
        return {"text/plain": visible("\n\n".join((reply.text, *notes)))}
    written: list[str] = []
    plain = ""
    if form == "code":
        written = [safe(fenced(found.language, found.source)) for found in reply.code]
        plain = "\n\n".join(found.source for found in reply.code)
    elif form == "json":
        try:
            plain = json.dumps(reply.json, indent=2, ensure_ascii=False)
        except ReplyFormatError:
            return None  # whoever asked for JSON raises it
        written = [fenced("json", plain)]
    if not written:
        return None
    markdown = "\n\n".join((*written, *(f"*{_line(word)}*" for word in words if word)))
    return {"text/markdown": markdown, "text/plain": visible(plain)}


def _plain(reply: Reply) -> str:
    """Give the answer alone; the thinking where there is none; how it ended if not well, or that there is nothing."""
    text = reply.text if reply.text.strip() else reply.thinking
    if _says_nothing(reply):
        return _SENTENCES["nothing-said"]
    words = ending(reply)
    return visible(f"{text.rstrip()}\n\n{words}".lstrip("\n") if words else text)


def sentences(reply: Reply) -> list[str]:
    """Tell, in a sentence each, what the user should know about a reply."""
    names = list(reply.warnings)
    if reply.finish_reason == "stop" and reply.thinking.strip() and not reply.text.strip():
        names.append("reasoning-only")
    if _says_nothing(reply):
        names.append("nothing-said")
    told = [_SENTENCES[name] for name in dict.fromkeys(names) if name in _SENTENCES]
    if reply.replayed is not None:
        told.append(f"Stored answer of {day(reply.replayed)}.")
    return told


def _says_nothing(reply: Reply) -> bool:
    """Tell whether a reply ended well and holds nothing to read."""
    said = reply.text.strip() or reply.thinking.strip()
    return reply.finish_reason == "stop" and not said and {part.kind for part in reply.parts} <= {"text", "notice"}


def day(moment: datetime) -> str:
    """Write a day as people read it, in the time zone of this computer: 21 Nov 2026."""
    local = moment.astimezone()
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def _source_list(sources: Iterable[Source]) -> str:
    unique = {source.url: source for source in sources}
    links = (f"{n}. {link(source.title or source.url, source.url)}" for n, source in enumerate(unique.values(), 1))
    return "\n".join(links)


def _line(text: str) -> str:
    return literal(" ".join(text.split()))
