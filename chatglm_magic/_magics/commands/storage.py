"""Commands about what is kept: finding it, forgetting it, and files to carry it in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..._errors import ConfigError
from ..._language import join_sentences, marked, tr, trn
from ..._markdown.links import literal
from ..._workspace import Workspace, count_messages
from ..output import Shown, columns, say
from ..session import Session, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._chat import Chat
    from ..._store import Hit, Store, Thread
    from ..options import Arguments

_HITS = 20
"""How many places a search shows."""
_LISTED = 10
"""How many conversations `forget` lists."""
_ROWS = "rows"
"""What `forget` calls the answers to rows of maps, unless a conversation has that name."""
_WHO = {"user": marked("you"), "assistant": marked("answer")}


def do_search(session: Session, arguments: Arguments, *_: str) -> Value:
    """Find words in all that was ever said, and say how to open where they are."""
    text = _rest(arguments)
    if not text:
        raise ConfigError(tr("Say what to look for: %chatglm search attention"))
    store = _kept(session, arguments)
    hits = store.search(text, _HITS)
    if hits:
        _found(text, hits).show()
    else:
        say(
            tr(
                "Nothing was found for {text}. To ask it, write %chatglm -- {prompt}",
                text=text,
                prompt=arguments.prompt,
            )
        )
    say_trouble(store)
    return Value()


def do_forget(session: Session, arguments: Arguments, what: str = "") -> None:
    """Remove what is stored of conversations, for good; say what could be removed, where nothing is named."""
    store = _kept(session, arguments)
    if not what:
        _tell_what_is_kept(store)
        return
    rows = store.count_answer_rows() if what in {"all", _ROWS} else 0
    if what == _ROWS and not store.named(what):
        store.forget_answer_rows()
        say(tr("Forgotten, and removed from {place}: {rows}.", place=store.label, rows=_rows(rows)))
        return
    threads = store.threads() if what == "all" else store.named(what)
    if not threads and what != "all":
        there_is_none = tr("No conversation {name} is stored; %chatglm chats lists them.", name=what)
        raise ConfigError(join_sentences(there_is_none, to_ask_instead(arguments)))
    gone = {thread.id for thread in threads}
    for chat in session.workspace.chats.values():
        if what == "all" or chat.id in gone:
            chat.reset()  # a new beginning has a new id, so that nothing of the old one comes back
    store.forget(None if what == "all" else gone)
    say(
        tr(
            "Forgotten, and removed from {place}: {conversations}, {messages}.",
            place=store.label,
            conversations=_conversations(len(threads)),
            messages=count_messages(sum(thread.count for thread in threads)),
        )
    )
    if rows and what == "all":
        say(tr("And {rows}.", rows=_rows(rows)))


def do_save(session: Session, arguments: Arguments, *_: str) -> None:
    """Write a conversation, with all its versions, to a file that `load` reads."""
    path = _path(arguments, "save", "talk.json")
    path = path if path.suffix else path.with_suffix(".json")
    if path.suffix.lower() != ".json":
        raise ConfigError(
            tr(
                "save writes JSON, which load reads. For {ending} there is %chatglm export {path}",
                ending=path.suffix,
                path=_quoted(path),
            )
        )
    _write(session, arguments, path)


def do_export(session: Session, arguments: Arguments, *_: str) -> None:
    """Write a conversation as it reads now, in the form that the file's ending names."""
    _write(session, arguments, _path(arguments, "export", "talk.html"))


def do_load(session: Session, arguments: Arguments, *_: str) -> None:
    """Bring a conversation back, out of a file or out of the store, and ask in it from now on."""
    wanted = _unquoted(_rest(arguments))
    path = _path(arguments, "load", "talk.json")
    beside = path.with_suffix(".json") if path.name and not path.suffix else path
    if path.is_file():
        chat = _from_file(session, path)
    elif (thread := session.workspace.store.find(wanted)) is not None:
        chat = session.workspace.open_stored(thread)
    elif (found := session.workspace.chats.get(wanted)) is not None:
        chat = found
    elif beside.is_file():  # what `save talk` has written
        chat = _from_file(session, beside)
    else:
        there_is_none = tr(
            "There is no file {path}, and no conversation {name}; %chatglm chats lists them.", path=path, name=wanted
        )
        raise ConfigError(join_sentences(there_is_none, to_ask_instead(arguments)))
    session.workspace.current = chat.name
    say(goes_on(chat))


def goes_on(chat: Chat) -> str:
    """Return a sentence that says that a conversation goes on."""
    messages = count_messages(chat.message_count)
    return tr("Conversation {name} goes on: {messages}.", name=chat.name, messages=messages)


def to_ask_instead(arguments: Arguments) -> str:
    """Return a sentence that says how a line is a question that begins with a command's word."""
    word = arguments.prompt.split(None, 1)[0]
    return tr("To ask something that begins with {word}, write %chatglm -- {word} …", word=word)


def _from_file(session: Session, path: Path) -> Chat:
    from ..._export import read_json

    try:
        return session.workspace.add(*read_json(path))
    except OSError as error:
        raise ConfigError(tr("{path} cannot be read: {reason}.", path=path, reason=error.strerror or error)) from None


def _write(session: Session, arguments: Arguments, path: Path) -> None:
    """Write a conversation to a file; one that is not of our making is left as it is."""
    from ..._export import write

    chat = session.workspace.chat(arguments.conversation, say)
    if not len(chat.tree):
        raise ConfigError(
            tr("Nothing has been said in conversation {name} yet, so there is nothing to write.", name=chat.name)
        )
    try:
        write(path, chat.name, chat.tree)
    except OSError as error:
        msg = tr("{path} cannot be written: {reason}.", path=path, reason=error.strerror or error)
        raise ConfigError(msg) from None
    messages = count_messages(chat.message_count)
    say(tr("Conversation {name} is written to {path}: {messages}.", name=chat.name, path=path, messages=messages))


def _kept(session: Session, arguments: Arguments) -> Store:
    """Return the store.

    Raises:
        ConfigError: There is none.
    """
    store = session.workspace.store
    if not store.is_on:
        is_off = tr("Nothing is stored: the store is off (CHATGLM_STORE, %config ChatGLMMagics.store).")
        raise ConfigError(join_sentences(is_off, to_ask_instead(arguments)))
    return store


def when(moment: float) -> str:
    """Write a moment as people read it, in the time zone of this computer: 2026-11-21 14:05."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _tell_what_is_kept(store: Store) -> None:
    threads = store.threads()
    say_trouble(store)
    say(
        tr(
            "Stored in {place}: {conversations}, {messages}, {size}.",
            place=store.label,
            conversations=_conversations(len(threads)),
            messages=count_messages(sum(thread.count for thread in threads)),
            size=store.size,
        )
    )
    if rows := store.count_answer_rows():
        say(tr("Beside them {rows}; %chatglm forget rows removes them.", rows=_rows(rows)))
    say(*thread_lines(threads[:_LISTED]))
    if len(threads) > _LISTED:
        say(tr("… and {more} more: %chatglm chats {all}", more=len(threads) - _LISTED, all=len(threads)))
    say(
        tr(
            "Nothing is removed yet. %chatglm forget NAME, forget #NUMBER or forget all does it, for good; "
            "forget all also removes what was asked with --no-history."
        )
    )


def say_trouble(store: Store) -> None:
    """Say what is wrong with the store, where something is: a list of a damaged one is empty, and no error."""
    if failure := store.failure:
        say(failure)


def stored_lines(workspace: Workspace, most: int) -> list[str]:
    """Return a line for each of the newest stored conversations that are not open, below how to open one."""
    threads = workspace.stored(most)
    if not threads:
        return []
    head = tr("Stored, the newest first; %chatglm load #NUMBER opens one, %chatglm search TEXT looks into all:")
    return [head, *thread_lines(threads)]


def thread_lines(threads: Iterable[Thread]) -> list[str]:
    """List stored conversations, a line each."""
    rows = []
    for thread in threads:
        last = "  ".join(filter(None, (count_messages(thread.count), thread.title)))
        rows.append((f"  #{thread.number}", when(thread.updated), _called(thread), last))
    return columns(rows)


def _called(thread: Thread) -> str:
    return thread.name or tr("(no name)")


def _rows(count: int) -> str:
    return trn("{count} answer to a row of a map", "{count} answers to rows of maps", count)


def _conversations(count: int) -> str:
    return trn("{count} conversation", "{count} conversations", count)


def _found(text: str, hits: list[Hit]) -> Shown:
    """Show where something was said; all that a model or a user wrote is inert."""
    head = trn("{count} place with {text!r}", "{count} places with {text!r}", len(hits), text=text)
    foot = tr("%chatglm load #{number} opens the first one's conversation.", number=hits[0].thread.number)
    if len(hits) == _HITS:
        foot = join_sentences(tr("These are the newest {count}; there may be more.", count=_HITS), foot)
    markdown = [f"*{literal(head)}*", ""]
    plain = [tr("{what}:", what=head), ""]
    for hit in hits:
        thread = hit.thread
        about = f"#{thread.number} {_called(thread)} · {when(hit.created)} · {tr(_WHO.get(hit.role, hit.role))}"
        pieces = list(_pieces(hit))
        shown = "".join(f"<mark>{literal(piece)}</mark>" if is_hit else literal(piece) for piece, is_hit in pieces)
        found = "".join(f"»{piece}«" if is_hit else piece for piece, is_hit in pieces)
        markdown.append(tr("- {what}: {more}", what=literal(about), more=shown))
        plain.append(tr("{what}: {more}", what=about, more=found))
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
    """Return what follows a command's word, as it was written."""
    return (arguments.prompt.split(None, 1)[1:] or [""])[0].strip()


def _path(arguments: Arguments, command: str, example: str) -> Path:
    """Return the file that a line names: `~` is the user's folder, and what is relative is so to the notebook's."""
    written = _unquoted(_rest(arguments))
    if not written:
        raise ConfigError(tr("Say which file: %chatglm {command} {example}", command=command, example=example))
    try:
        return Path(written).expanduser()
    except RuntimeError:  # ~somebody
        raise ConfigError(tr("There is no such user: {name}", name=written)) from None


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
