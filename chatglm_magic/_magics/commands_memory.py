"""Commands about what is kept: finding it, forgetting it, and files to carry it in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from .._markdown.links import literal
from .arguments import EXPORTS
from .conversations import conversation, count_words, open_stored
from .outcomes import Value
from .saying import Shown, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._chat import Chat
    from .._store import Hit, Thread
    from .arguments import Arguments
    from .magic import ChatGLMMagics
    from .memory import Memory

_HITS = 20
"""How many places a search shows."""
_LISTED = 10
"""How many conversations `forget` lists."""
_WHO = {"user": "you", "assistant": "answer"}


class MemoryCommands:
    """Commands about what is kept.

    Attributes:
        magics: The settings and the conversations.
    """

    magics: ChatGLMMagics

    def do_search(self, arguments: Arguments, *_: str) -> Value:
        """Find words in all that was ever said, and say how to open where they are."""
        text = _rest(arguments)
        if not text:
            msg = "Say what to look for: %chatglm search attention"
            raise ConfigError(msg)
        memory = self._kept("search")
        hits = memory.search(text, _HITS)
        if hits:
            _found(text, hits).show()
        else:
            say(f"Nothing was found for {text}. To ask it, write %chatglm -- search {text}")
        say_trouble(memory)
        return Value()

    def do_forget(self, _: Arguments, what: str = "") -> None:
        """Remove what is stored of conversations, for good; say what could be removed, where nothing is named."""
        memory = self._kept("forget")
        if not what:
            _tell_what_is_kept(memory)
            return
        threads = memory.all() if what == "all" else memory.named(what)
        if not threads and what != "all":
            msg = (
                f"No conversation {what} is stored; %chatglm chats lists them. "
                f"To ask something that begins with forget, write %chatglm -- forget …"
            )
            raise ConfigError(msg)
        gone = {thread.id for thread in threads}
        for chat in self.magics.chats.values():
            if what == "all" or chat.id in gone:
                chat.reset()  # a new beginning has a new id, so that nothing of the old one comes back
        memory.forget(None if what == "all" else gone)
        messages = sum(thread.count for thread in threads)
        say(f"Forgotten, and removed from {memory.label}: {_conversations(len(threads))}, {count_words(messages)}.")

    def do_save(self, arguments: Arguments, *_: str) -> None:
        """Write a conversation, with all its versions, to a file that `load` reads."""
        path = _path(arguments, "save", "talk.json")
        path = path if path.suffix else path.with_suffix(".json")
        if path.suffix.lower() != ".json":
            msg = f"save writes JSON, which load reads. For {path.suffix} there is %chatglm export {_quoted(path)}"
            raise ConfigError(msg)
        self._write(arguments, path)

    def do_export(self, arguments: Arguments, *_: str) -> None:
        """Write a conversation as it reads now, in the form that the file's ending names."""
        path = _path(arguments, "export", "talk.html")
        if path.suffix.lower() not in EXPORTS:
            msg = f"The file's ending says how to export: {', '.join(EXPORTS)}, not {path.suffix or 'none'!r}."
            raise ConfigError(msg)
        self._write(arguments, path)

    def do_load(self, arguments: Arguments, *_: str) -> None:
        """Bring a conversation back, out of a file or out of the store, and ask in it from now on."""
        wanted = _unquoted(_rest(arguments))
        path = _path(arguments, "load", "talk.json")
        magics = self.magics
        beside = path.with_suffix(".json") if path.name and not path.suffix else path
        if path.is_file():
            chat = self._from_file(path)
        elif (thread := magics.memory.find(wanted)) is not None:
            chat = open_stored(magics, thread)
        elif wanted in magics.chats:
            chat = magics.chats[wanted]
        elif beside.is_file():  # what `save talk` has written
            chat = self._from_file(beside)
        else:
            msg = (
                f"There is no file {path}, and no conversation {wanted}; %chatglm chats lists them. "
                f"To ask something that begins with load, write %chatglm -- load …"
            )
            raise ConfigError(msg)
        magics.current = chat.name
        say(f"Conversation {chat.name} goes on: {count_words(len(chat.messages))}.")

    def _from_file(self, path: Path) -> Chat:
        from .._export import read_json

        try:
            return self.magics.memory.take_in(self.magics, *read_json(path))
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror or error}."
            raise ConfigError(msg) from None

    def _write(self, arguments: Arguments, path: Path) -> None:
        """Write a conversation to a file; one that is not of our making is left as it is."""
        from .._export import write

        chat = conversation(self.magics, arguments.conversation)
        if not len(chat.tree):
            msg = f"Nothing has been said in conversation {chat.name} yet, so there is nothing to write."
            raise ConfigError(msg)
        try:
            write(path, chat.name, chat.tree)
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror or error}."
            raise ConfigError(msg) from None
        say(f"Conversation {chat.name} is written to {path}: {count_words(len(chat.messages))}.")

    def _kept(self, command: str) -> Memory:
        """Give the store.

        Raises:
            ConfigError: There is none.
        """
        memory = self.magics.memory
        if not memory.is_on:
            msg = (
                f"Nothing is stored: the store is off (CHATGLM_STORE, %config ChatGLMMagics.store). "
                f"To ask something that begins with {command}, write %chatglm -- {command} …"
            )
            raise ConfigError(msg)
        return memory


def when(moment: float) -> str:
    """Write a moment as people read it, in the time zone of this computer: 2026-11-21 14:05."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _tell_what_is_kept(memory: Memory) -> None:
    threads = memory.all()
    messages = sum(thread.count for thread in threads)
    say_trouble(memory)
    say(f"Stored in {memory.label}: {_conversations(len(threads))}, {count_words(messages)}, {memory.size}.")
    say(*thread_lines(threads[:_LISTED]))
    if len(threads) > _LISTED:
        say(f"… and {len(threads) - _LISTED} more: %chatglm chats {len(threads)}")
    say(
        "Nothing is removed yet. %chatglm forget NAME, forget #NUMBER or forget all does it, for good; "
        "forget all also removes what was asked with --no-history."
    )


def say_trouble(memory: Memory) -> None:
    """Say what is wrong with the store, where something is: a list of a damaged one is empty, and no error."""
    if trouble := memory.trouble:
        say(trouble)


def stored_lines(magics: ChatGLMMagics, most: int) -> list[str]:
    """List the newest stored conversations that are not open, and say how to open one."""
    memory = magics.memory
    opened = {chat.id for chat in magics.chats.values()}
    threads = [thread for thread in memory.all(most + len(opened)) if thread.id not in opened]
    if not threads or not most:
        return []
    head = "Stored, the newest first; %chatglm load #NUMBER opens one, %chatglm search TEXT looks into all:"
    return [head, *thread_lines(threads[:most])]


def thread_lines(threads: Iterable[Thread]) -> list[str]:
    """List stored conversations, a line each."""
    listed = list(threads)
    width = max((len(_called(thread)) for thread in listed), default=0)
    number = max((len(str(thread.number)) for thread in listed), default=0)
    return [
        f"  #{thread.number:<{number}}  {when(thread.updated)}  {_called(thread):{width}}  "
        f"{count_words(thread.count)}" + (f"  {thread.title}" if thread.title else "")
        for thread in listed
    ]


def _called(thread: Thread) -> str:
    return thread.name or "(no name)"


def _conversations(count: int) -> str:
    return "1 conversation" if count == 1 else f"{count} conversations"


def _found(text: str, hits: list[Hit]) -> Shown:
    """Show where something was said; all that a model or a user wrote is inert."""
    places = "1 place" if len(hits) == 1 else f"{len(hits)} places"
    head = f"{places} with {text!r}"
    foot = f"%chatglm load #{hits[0].thread.number} opens the first one's conversation."
    if len(hits) == _HITS:
        foot = f"These are the newest {_HITS}; there may be more. {foot}"
    markdown = [f"*{literal(head)}*", ""]
    plain = [f"{head}:", ""]
    for hit in hits:
        thread = hit.thread
        about = f"#{thread.number} {_called(thread)} · {when(hit.created)} · {_WHO.get(hit.role, hit.role)}"
        pieces = list(_pieces(hit))
        shown = "".join(f"<mark>{literal(piece)}</mark>" if is_hit else literal(piece) for piece, is_hit in pieces)
        markdown.append(f"- {literal(about)}: {shown}")
        plain.append(f"{about}: " + "".join(f"»{piece}«" if is_hit else piece for piece, is_hit in pieces))
    return Shown("\n".join((*markdown, "", f"*{literal(foot)}*")), "\n".join((*plain, "", foot)))


def _pieces(hit: Hit) -> Iterable[tuple[str, bool]]:
    """Cut a snippet at its hits."""
    at = 0
    for start, end in hit.marks:
        yield hit.snippet[at:start], False
        yield hit.snippet[start:end], True
        at = end
    yield hit.snippet[at:], False


def _rest(arguments: Arguments) -> str:
    """Give what follows a command's word, as it was written."""
    return (arguments.prompt.split(None, 1)[1:] or [""])[0].strip()


def _path(arguments: Arguments, command: str, example: str) -> Path:
    """Give the file that a line names: `~` is the user's folder, and what is relative is so to the notebook's."""
    written = _unquoted(_rest(arguments))
    if not written:
        msg = f"Say which file: %chatglm {command} {example}"
        raise ConfigError(msg)
    try:
        return Path(written).expanduser()
    except RuntimeError:  # ~somebody
        msg = f"There is no such user: {written}"
        raise ConfigError(msg) from None


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
