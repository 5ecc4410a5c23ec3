"""The output that a finished reply is saved as."""

from __future__ import annotations

import html
import json
from datetime import UTC
from typing import Any

from .._errors import ReplyFormatError
from .._events import Usage
from .._language import language, tr
from .._markdown.fences import fenced
from .._markdown.links import literal, visible
from .._markdown.reply_markdown import NOTHING_SAID, compose, ending, is_empty, one_line, sentences
from .._markdown.sanitize import safe
from .._markdown.table import NO_FORMULAS
from .._reply import Reply


def bundle(
    reply: Reply, *, show_thinking: bool = True, show_usage: bool = False, form: str = "md"
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the data and the metadata of the output for a reply that has ended.

    Args:
        reply: The reply.
        show_thinking: As in `compose`.
        show_usage: Whether a last line holds model, tokens and seconds.
        form: `md`, or the form in which the answer alone is shown: `text` as it was written, `code` only its fenced
            code, `json` indented, `df` its records as a data frame. A reply that has nothing of that form is shown as
            `md`. A value is shown as a table there, as HTML too.
    """
    data = (
        _in_form(reply, form)
        or _value(reply, form, show_thinking=show_thinking)
        or {"text/markdown": compose(reply, show_thinking=show_thinking), "text/plain": _plain(reply)}
    )
    if show_usage and "text/html" in data:
        data["text/html"] += f"\n{_html_note(usage_line(reply))}"
    if show_usage and "text/markdown" in data:
        data["text/markdown"] += f"\n\n*{literal(usage_line(reply))}*"
    elif show_usage:
        data["text/plain"] += f"\n\n{usage_line(reply)}"
    return data, {"chatglm_magic": _metadata(reply)}


def _metadata(reply: Reply) -> dict[str, Any]:
    """Return what programs may want to know of a reply."""
    usage = reply.usage
    metadata: dict[str, Any] = {
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
        "language": language(),
    }
    if reply.warnings:
        metadata["warnings"] = list(reply.warnings)
    if reply.schema is not None:
        metadata |= {"schema_mode": reply.schema_mode, "repairs": reply.repairs}
    if reply.replayed is not None:
        metadata |= {"replayed": True, "given": reply.replayed.astimezone(UTC).isoformat(timespec="seconds")}
    return metadata


def usage_line(reply: Reply) -> str:
    """Return model, tokens and seconds in one line."""
    tokens = tokens_of(reply.usage) if reply.usage else tr("tokens unknown")
    seconds = tr("{seconds:.1f} s", seconds=reply.elapsed)
    return " · ".join(filter(None, (reply.model, tokens, seconds)))


def tokens_of(usage: Usage) -> str:
    """Return how many tokens a question with all before it took, and how many the answer."""
    return tr("{asked} + {answered} tokens", asked=usage.prompt_tokens, answered=usage.completion_tokens)


def _in_form(reply: Reply, form: str) -> dict[str, str] | None:
    """Return the data for a form other than Markdown, with the notices; None if the reply has nothing of that form."""
    notes = _notes(reply)
    blocks: list[str] = []
    plain = ""
    match form:
        case "text" if reply.text.strip():
            return {"text/plain": visible("\n\n".join((reply.text, *(f"[{note.strip('[]')}]" for note in notes))))}
        case "code":
            blocks = [safe(fenced(code.language, code.source)) for code in reply.code]
            plain = "\n\n".join(code.source for code in reply.code)
        case "json" if reply.schema is not None and reply.table is not None:
            value = reply.records if reply.value is None else reply.schema.plain(reply.value)
            plain = json.dumps(value, indent=2, ensure_ascii=False)
            blocks = [fenced("json", plain)]
        case "json":
            try:
                plain = json.dumps(reply.json, indent=2, ensure_ascii=False)
            except ReplyFormatError:
                return None  # raised by the caller who asked for JSON
            blocks = [fenced("json", plain)]
    if not blocks:
        return None
    markdown = "\n\n".join((*blocks, *(f"*{one_line(note)}*" for note in notes)))
    return {"text/markdown": markdown, "text/plain": visible(plain)}


def _notes(reply: Reply) -> list[str]:
    """Return what is said below an answer, a line each."""
    notices = [" ".join(part.content.split()) for part in reply.parts if part.kind == "notice"]
    return list(filter(None, (*notices, *sentences(reply), ending(reply))))


def _value(reply: Reply, form: str, *, show_thinking: bool) -> dict[str, str] | None:
    """Return the data of an answer that is a value; None for any other."""
    table = reply.table
    if table is None:
        return None
    shown, plain = table.html(), table.plain()
    if form == "df":
        frame = reply.frame
        shown, plain = f'<div class="{NO_FORMULAS}">\n{frame._repr_html_()}\n</div>', visible(str(frame))
    notes = _notes(reply)
    data = {
        "text/markdown": compose(reply, show_thinking=show_thinking),
        "text/plain": "\n\n".join((plain, *(visible(f"[{note.strip('[]')}]") for note in notes))),
    }
    if {part.kind for part in reply.parts} <= {"text", "thinking", "notice"} and not reply.tool_runs:
        thinking = _html_thinking(reply) if show_thinking and reply.thinking.strip() else ""
        data["text/html"] = "\n".join(filter(None, (thinking, shown, *map(_html_note, notes))))
    return data


def _html_note(note: str) -> str:
    return f"<p><em>{html.escape(visible(note))}</em></p>"


def _html_thinking(reply: Reply) -> str:
    summary = tr("Thought for {seconds:.1f} s", seconds=reply.thinking_seconds)
    text = html.escape(visible(reply.thinking.strip()))
    pre = f'<pre class="{NO_FORMULAS}" style="white-space: pre-wrap">{text}</pre>'
    return f"<details><summary>{html.escape(summary)}</summary>{pre}</details>"


def _plain(reply: Reply) -> str:
    """Return the answer, or the thinking where there is none, and how the reply ended if it did not end well."""
    if is_empty(reply):
        return tr(NOTHING_SAID)
    text = reply.text if reply.text.strip() else reply.thinking
    words = ending(reply)
    return visible(f"{text.rstrip()}\n\n{words}".lstrip("\n") if words else text)
