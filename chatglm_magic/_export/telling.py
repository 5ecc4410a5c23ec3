"""What the forms have in common: who said what when, and what comes with an answer besides its words."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from .._compose import block
from .._markdown.links import link
from .._said import Said
from .._tree import Tree

_ENDINGS = {
    "interrupted": "stopped",
    "length": "cut off: max_tokens reached",
    "content_filter": "cut by moderation",
    "error": "broken off",
}
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")


def shown(said: Tree | Sequence[Said]) -> list[Said]:
    """Give the messages to tell, oldest first."""
    return said.path() if isinstance(said, Tree) else list(said)


def who(said: Said) -> str:
    """Name who said it."""
    return "You" if said.role == "user" else said.model or said.provider or "Model"


def ending(said: Said) -> str:
    """Tell how an answer ended; empty for one that ended well."""
    if said.error:
        return said.error
    return "still coming" if said.streams else _ENDINGS.get(said.finish_reason or "", "")


def extras(said: Said) -> list[str]:
    """Write what came besides the words as Markdown: code that was run, its output, images as links, sources."""
    blocks = [block(part) for part in said.parts if part.kind != "search"]
    sources = {source.url: source for part in said.parts for source in part.sources}
    links = (f"{n}. {link(source.title or source.url, source.url)}" for n, source in enumerate(sources.values(), 1))
    listed = "\n".join(links)
    return [written for written in (*blocks, listed and f"**Sources**\n\n{listed}") if written]


def facts(said: Said) -> str:
    """Tell tokens and seconds of an answer; empty where neither is known."""
    usage = said.usage
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage and usage.total_tokens else ""
    seconds = f"{said.elapsed:.1f} s" if said.elapsed else ""
    return " · ".join(fact for fact in (tokens, seconds) if fact)


def day(created: float) -> str:
    """Write a day as people read it, in the time zone of this computer: 21 November 2026."""
    try:
        moment = time.localtime(created)
    except (OverflowError, ValueError, OSError):  # no moment of this calendar
        return ""
    return f"{moment.tm_mday} {time.strftime('%B %Y', moment)}"


def clock(created: float) -> str:
    """Write the time of day: 14:05."""
    try:
        return time.strftime("%H:%M", time.localtime(created))
    except (OverflowError, ValueError, OSError):
        return ""


def about(said: Sequence[Said]) -> str:
    """Tell in one line when a conversation was held, and with whom."""
    days = list(dict.fromkeys(filter(None, (day(one.created) for one in said))))
    held = days[0] if len(days) == 1 else f"{days[0]} – {days[-1]}" if days else ""
    models = dict.fromkeys(who(one) for one in said if one.role == "assistant")
    return " · ".join(filter(None, (held, ", ".join(models))))


def language(text: str) -> str:
    """Guess in which language a text's characters are to be drawn; empty where it makes no difference."""
    if _KANA.search(text):
        return "ja"
    if _HANGUL.search(text):
        return "ko"
    return "zh-Hans" if _HAN.search(text) else ""
