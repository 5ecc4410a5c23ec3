"""Commands about conversations: starting, showing, mending and going on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from msgspec.structs import replace

from ..._chat import Chat
from ..._conversation.conversation import GO_ON, InsertPoint, turns_on
from ..._errors import ConfigError, shorten
from ..._language import join_sentences, marked, tr, trn
from ..._markdown.reply_markdown import UNFINISHED, end_words
from ..._markdown.sanitize import safe
from ..._workspace import count_messages
from ..jobs import STATES
from ..options import Arguments
from ..output import CodeText, Shown, columns, say
from ..prompt import functions_named, written
from ..session import Prompted, Session, Value
from .storage import goes_on, say_trouble, stored_lines, to_ask_instead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._messages import Message
    from ..._reply import Reply
    from ..._store import Thread
    from ..jobs import BackgroundJob

_STORED = 10
"""How many stored conversations are listed."""
_STATE_WIDTH = 7
"""Cells of a screen that the state of a job takes in a list."""
_ROLES = {"user": marked("You"), "assistant": marked("Answer"), "system": marked("System"), "tool": marked("Tool")}
_REFUSALS = {
    "undo": marked("Nothing was asked in conversation {name} yet, so there is nothing to take back."),
    "retry": marked("Nothing was asked in conversation {name} yet, so there is nothing to ask again."),
    "continue": marked("Nothing was answered in conversation {name} yet, so there is nothing to go on with."),
}


def do_new(session: Session, _: Arguments, name: str = "") -> None:
    """Start a conversation, or switch to the one of that name."""
    workspace = session.workspace
    told: list[str] = []
    chat = workspace.chat(name or workspace.free_name("chat"), told.append)
    name = workspace.current = chat.name
    if not told:
        told.append(goes_on(chat) if chat.messages else tr("Conversation {name} begins.", name=name))
    say(*told)


def do_chats(session: Session, _: Arguments, most: str = "") -> None:
    """List the conversations that are open, a star at the one that is asked in, and the newest stored ones."""
    workspace = session.workspace
    workspace.chat(tell=say)
    rows = []
    for name, chat in workspace.chats.items():
        first = [shorten(chat.messages[0].text, 50)] if chat.messages else []
        said = "  ".join((count_messages(chat.message_count), *first))
        rows.append((f"{'*' if name == workspace.current else ' '} {name}", said))
    say(*columns(rows))
    say(*stored_lines(workspace, int(most or _STORED)))
    say_trouble(workspace.store)


def do_history(session: Session, arguments: Arguments, count: str = "") -> Value:
    """Show what has been said, all of it or the last turns."""
    chat = _chat(session, arguments)
    messages = chat.messages
    if count:
        questions = [place for place, message in enumerate(messages) if message.role == "user"]
        messages = messages[questions[-int(count)] :] if len(questions) > int(count) > 0 else messages
    if not messages or count == "0":
        say(tr("Nothing has been said in conversation {name} yet.", name=chat.name))
    else:
        _transcript(messages).show()
        last = chat.tree.path()[-1]
        if last.text and last.finish_reason != "content_filter" and end_words(last.finish_reason, last.warnings):
            say(tr("The last answer was cut off; %chatglm continue goes on with it."))
    return Value()


def do_undo(session: Session, arguments: Arguments) -> None:
    """Take the last turn back."""
    chat = _chat(session, arguments)
    question = chat.undo()
    if question is None:
        _refuse("undo", chat)
    back = tr("Taken back: {question!r} and its answer.", question=shorten(question, 60))
    say(join_sentences(back, tr("{messages} left.", messages=count_messages(chat.message_count))))


def do_reset(session: Session, arguments: Arguments) -> None:
    """Forget what has been said; the conversation's settings stay."""
    chat = session.workspace.start_over(arguments.conversation)
    say(tr("Conversation {name} starts over.", name=chat.name))


def do_retry(session: Session, arguments: Arguments) -> Prompted:
    """Ask the last question again, in the place of its answer."""
    chat = _chat(session, arguments)
    if chat.unanswered is not None:
        prompt, at = chat.unanswered
    else:
        last = chat.last_turn()
        if last is None:
            _refuse("retry", chat)
        prompt, at = last[0].text, InsertPoint(instead_of=last[0].id)
    # Another answer is wanted, so a stored one will only do where this very line says so.
    before = _as_before(session, arguments, chat)
    note = ""
    if before.arguments is arguments and not arguments.options.model and _has_several_models(chat):
        note = tr("Several models have answered this question, and one is asked again: -m A -m B retry asks several.")
    options = replace(before.arguments.options, cache=bool(arguments.options.cache))
    attached = arguments.attached
    if not attached and (at is None or chat.tree.get(at.instead_of) is None):
        attached = before.arguments.attached  # the question that had them has left the tree
    asked = replace(before.arguments, prompt=prompt, options=options, attached=attached)
    return Prompted(asked, at, as_is=True, then=before.then, note=note)


def _has_several_models(chat: Chat) -> bool:
    """Return whether the last question has answers of different models."""
    last = chat.last_turn()
    versions = [] if last is None else chat.tree.versions(last[1])
    return len({(node.provider, node.model) for node in versions if node.has_content}) > 1


def do_continue(session: Session, arguments: Arguments) -> Prompted:
    """Go on with the last answer: what comes is appended to it."""
    chat = _chat(session, arguments)
    last = chat.last_turn()
    if last is None:
        _refuse("continue", chat)
    before = _as_before(session, arguments, chat)
    form = "md" if before.arguments.format == "df" else before.arguments.format
    # What is appended is no whole value.
    asked = replace(before.arguments, prompt=GO_ON, attached=(), models=(), schema="", format=form)
    if (side := session.compared.get(last[1].id)) and not arguments.options.model:  # who was picked goes on
        asked = replace(asked, options=replace(asked.options, model=side[0]))
    return Prompted(asked, InsertPoint(continues=True), as_is=True)


def do_pick(session: Session, arguments: Arguments, model: str) -> None:
    """Go on with the answer of another model, of those that stand side by side."""
    chat = _chat(session, arguments)
    for _, shown in reversed(turns_on(chat.tree.path())):
        answers = [] if shown is None else [node for node in chat.tree.versions(shown) if node.has_content]
        if len(answers) > 1:
            break
    else:
        raise ConfigError(tr("No question here has several answers. Ask several models: -m A -m B."))
    known = [session.compared.get(node.id) for node in answers]
    names = [one[0] if one else f"{node.provider}:{node.model}" for one, node in zip(known, answers, strict=True)]
    number = int(model) - 1 if model.isdecimal() else -1
    fitting = [
        *(at for at, name in enumerate(names) if name == model),
        *(at for at, name in enumerate(names) if model.lower() in name.lower()),
        *([number] if 0 <= number < len(names) else ()),
    ]
    if not fitting:
        raise ConfigError(
            tr("No answer of {model} stands here; there are those of {names}.", model=model, names=tr(", ").join(names))
        )
    chat.choose(answers[fitting[0]])
    if (picked := known[fitting[0]]) and chat.name in session.asked:
        session.workspace.last = picked[1]
        session.asked[chat.name] = session.asked[chat.name][0], picked[1]
    say(tr("Conversation {name} goes on with the answer of {model}.", name=chat.name, model=names[fitting[0]]))


def do_last(session: Session, arguments: Arguments) -> Value:
    """Show the last reply again; it is the cell's value."""
    reply = _last(session, arguments)
    if reply.finish_reason is None:
        say(f"[{tr(UNFINISHED)}]")
    return Value(reply)


def do_code(session: Session, arguments: Arguments, number: str = "1") -> Value:
    """Return a code block of the last reply, counted from 1, as a string."""
    blocks = _last(session, arguments).code
    if not blocks:
        raise ConfigError(tr("The last reply holds no code block."))
    if not 1 <= int(number) <= len(blocks):
        raise ConfigError(
            trn(
                "There is no block {number}: the last reply holds {count} code block, counted from 1.",
                "There is no block {number}: the last reply holds {count} code blocks, counted from 1.",
                len(blocks),
                number=number,
            )
        )
    block = blocks[int(number) - 1]
    return Value(CodeText(block.source, block.language))


def do_rename(session: Session, arguments: Arguments, first: str, second: str = "") -> None:
    """Return a conversation another name: the current one, or the one named first."""
    workspace = session.workspace
    old, new = (first, second) if second else (arguments.conversation or workspace.current, first)
    found = _named(session, old, arguments)
    old = found.name
    if (name := workspace.rename(found, new)) == old:
        raise ConfigError(tr("Conversation {name} is called so already.", name=old))
    say(tr("Conversation {old} is now {name}.", old=old, name=name))


def do_delete(session: Session, arguments: Arguments, name: str = "") -> None:
    """Delete a conversation, also what is stored of it: the current one, or the one that is named."""
    workspace = session.workspace
    found = _named(session, name or arguments.conversation or workspace.current, arguments)
    count = found.message_count if isinstance(found, Chat) else found.count
    workspace.delete(found)
    gone = tr("Conversation {name} is deleted: {messages}.", name=found.name, messages=count_messages(count))
    say(join_sentences(gone, tr("{name} is asked in now.", name=workspace.current)))


def do_set(session: Session, arguments: Arguments, name: str = "", *_: str) -> None:
    """Set something for this conversation; show it without a value, or all of it without a name."""
    chat = _chat(session, arguments)
    name = name.replace("-", "_")
    words = arguments.prompt.split(None, 2)
    if len(words) > 2:  # noqa: PLR2004 - set, the name, the value
        chat.options = chat.options.with_text(name, _unquoted(words[2].strip()))
    settings = chat.options.as_texts()
    if name:
        say(f"{name} = {settings.get(name, 'none')}")  # `none` is also what takes a setting away
    elif settings:
        say(*(f"{known} = {value}" for known, value in settings.items()))
    else:
        say(
            tr(
                "Nothing is set for conversation {name}: %config ChatGLMMagics and the model's own values hold.",
                name=chat.name,
            )
        )


def do_panel(session: Session, arguments: Arguments) -> Value:
    """Open a chat below the cell, in the conversation that cells ask in, or the one that is named."""
    from ...panel import ChatPanel

    known = Arguments(
        prompt=arguments.prompt,
        conversation=arguments.conversation,
        tools=arguments.tools,
        chain_limit=arguments.chain_limit,
    )
    if arguments != known:
        msg = tr(
            "%chatglm panel takes -c, -T and --chain-limit. What else is wanted is set in the panel, or before it with "
            "%chatglm use and %chatglm set."
        )
        raise ConfigError(msg)
    tools = functions_named(session.shell, arguments.tools)
    chat = session.workspace.chat_for_panel(arguments.conversation)
    return Value(ChatPanel(chat, tools=tools, chain_limit=arguments.chain_limit))


def do_jobs(session: Session, _: Arguments) -> None:
    """List the replies in the background."""
    say(*_job_lines(session.jobs) or [tr("Nothing was asked in the background yet: %chatglm --bg PROMPT.")])


def do_stop(session: Session, _: Arguments, number: str = "") -> None:
    """Stop a reply in the background, or all that run."""
    jobs = session.jobs
    if not number:
        running = jobs.running
    elif (job := jobs.get(int(number))) is not None:
        running = [] if job.done else [job]
    else:
        raise ConfigError(tr("There is no job {number}; %chatglm jobs lists them.", number=number))
    for job in running:
        job.stop()
    say(*_job_lines(running) or [tr("Nothing runs in the background.")])


def _job_lines(jobs: Iterable[BackgroundJob]) -> list[str]:
    from rich.cells import set_cell_size  # no question needs it

    rows = []
    for job in jobs:
        seconds = tr("{seconds:4.0f} s", seconds=job.reply.elapsed)
        state = set_cell_size(tr(STATES[job.state]), _STATE_WIDTH)
        rows.append(f"{job.number:3}  {state}  {seconds}  {job.how_far()}  {job.label}  {shorten(job.prompt, 50)}")
    return rows


def _chat(session: Session, arguments: Arguments) -> Chat:
    """Return the conversation that a line is about."""
    return session.workspace.chat(arguments.conversation, say)


def _named(session: Session, name: str, arguments: Arguments) -> Chat | Thread:
    """Return a conversation by its name, or a stored one by its number, or by its name where it is not open.

    Raises:
        ConfigError: There is none.
    """
    workspace = session.workspace
    if name == workspace.current:
        return workspace.chat(tell=say)
    found = workspace.find(name)
    if found is None:
        there_is_none = tr("There is no conversation {name}; %chatglm chats lists them.", name=name)
        raise ConfigError(join_sentences(there_is_none, to_ask_instead(arguments)))
    return found


def _last(session: Session, arguments: Arguments) -> Reply:
    """Return the kernel's last reply, or that of the conversation that is named."""
    reply = session.workspace.last
    if arguments.conversation:
        reply = session.asked.get(arguments.conversation, (None, None))[1]
    if reply is None:
        raise ConfigError(tr("There is no reply yet."))
    return reply


def _as_before(session: Session, arguments: Arguments, chat: Chat) -> Prompted:
    """Return a question's options, those of this line, else those it was asked with; and what follows its reply."""
    before, reply = session.asked.get(chat.name, (None, None))
    if before is None or reply is None:
        return Prompted(arguments)
    last = chat.last_turn()
    answer = last[1].text if last is not None else ""
    if chat.unanswered is None and not answer.endswith(reply.text):
        return Prompted(arguments)  # another question has become the last one
    usual = Arguments()
    given = {
        name: value
        for name in Arguments.__struct_fields__
        if (value := getattr(arguments, name)) != getattr(usual, name) and name not in {"prompt", "options"}
    }
    options = arguments.options.over(before.arguments.options)
    if arguments.options.model:
        given["models"] = arguments.models  # what was side by side need not be so again
    return Prompted(replace(before.arguments, out="", new=False, options=options, **given), then=before.then)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _transcript(messages: list[Message]) -> Shown:
    who = {role: tr(name) for role, name in _ROLES.items()}
    return Shown(
        "\n\n".join(f"**{who[message.role]}**\n\n{safe(written(message))}" for message in messages),
        "\n\n".join(tr("{who}: {text}", who=who[message.role], text=written(message)) for message in messages),
    )


def _refuse(command: str, chat: Chat) -> NoReturn:
    raise ConfigError(tr(_REFUSALS[command], name=chat.name))
