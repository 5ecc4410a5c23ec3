"""Commands about conversations: starting, showing, mending and going on with them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from .._chat import Chat
from .._errors import ConfigError, shorten
from .._history import GO_ON, Place
from .._markdown.safe import safe
from .._messages import OPTIONS, parse_option
from .arguments import Arguments
from .commands_memory import say_trouble, stored_lines
from .conversations import USUAL, conversation, count_words, free_name
from .outcomes import Ask, Value
from .saying import Shown, Source, say

if TYPE_CHECKING:
    from .._messages import Message
    from .._reply import Reply
    from .._store import Thread
    from .magic import ChatGLMMagics

_STORED = 10
"""How many stored conversations are listed."""
_UNSET = ("", "none", "None")
_SWITCH = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


class TalkCommands:
    """Commands about conversations.

    Attributes:
        magics: The settings and the conversations.
    """

    magics: ChatGLMMagics

    def do_new(self, _: Arguments, name: str = "") -> None:
        """Start a conversation, or switch to the one of that name."""
        magics = self.magics
        name = name or free_name(magics, "chat")
        magics.current = name
        told: list[str] = []
        count = len(conversation(magics, tell=told.append).messages)
        say(
            *told
            or [f"Conversation {name} goes on: {count_words(count)}." if count else f"Conversation {name} begins."]
        )

    def do_chats(self, _: Arguments, most: str = "") -> None:
        """List the conversations that are open, a star at the one that is asked in, and the newest stored ones."""
        conversation(self.magics)
        width = max(map(len, self.magics.chats))
        for name, chat in self.magics.chats.items():
            mark = "*" if name == self.magics.current else " "
            first = f"  {shorten(chat.messages[0].content, 50)}" if chat.messages else ""
            say(f"{mark} {name:{width}}  {count_words(len(chat.messages))}{first}")
        say(*stored_lines(self.magics, int(most or _STORED)))
        say_trouble(self.magics.memory)

    def do_history(self, arguments: Arguments, count: str = "") -> Value:
        """Show what has been said, all of it or the last exchanges."""
        chat = self._chat(arguments)
        messages = chat.messages
        if count:
            questions = [place for place, message in enumerate(messages) if message.role == "user"]
            messages = messages[questions[-int(count)] :] if len(questions) > int(count) > 0 else messages
        if not messages or count == "0":
            say(f"Nothing has been said in conversation {chat.name} yet.")
        else:
            _transcript(messages).show()
            if chat.tree.path()[-1].finish_reason == "interrupted":
                say("The last answer was cut off; %chatglm continue goes on with it.")
        return Value()

    def do_undo(self, arguments: Arguments) -> None:
        """Take the last exchange back."""
        chat = self._chat(arguments)
        question = chat.undo()
        if question is None:
            _refuse("Nothing was asked", chat, "there is nothing to take back")
        say(f"Taken back: {shorten(question, 60)!r} and its answer. {count_words(len(chat.messages))} left.")

    def do_reset(self, arguments: Arguments) -> None:
        """Forget what has been said; the conversation's settings stay."""
        chat = self._chat(arguments)
        self.magics.memory.begun = True
        chat.reset()
        say(f"Conversation {chat.name} starts over.")

    def do_retry(self, arguments: Arguments) -> Ask:
        """Ask the last question again, in the place of its answer."""
        chat = self._chat(arguments)
        if chat.unanswered is not None:
            prompt, place = chat.unanswered
        else:
            last = chat.last_exchange()
            if last is None:
                _refuse("Nothing was asked", chat, "there is nothing to ask again")
            prompt, place = last[0].text, Place(instead_of=last[0].id)
        # Another answer is wanted, so a stored one will only do where this very line says so.
        before = self._as_before(arguments, chat)
        again = replace(before.arguments, prompt=prompt, cache=bool(arguments.cache))
        return Ask(again, place, as_is=True, then=before.then)

    def do_continue(self, arguments: Arguments) -> Ask:
        """Go on with the last answer: what comes is appended to it."""
        chat = self._chat(arguments)
        if not chat.messages or chat.messages[-1].role != "assistant":
            _refuse("Nothing was answered", chat, "there is nothing to go on with")
        before = self._as_before(arguments, chat)
        return Ask(replace(before.arguments, prompt=GO_ON), Place(goes_on=True), as_is=True)

    def do_last(self, arguments: Arguments) -> Value:
        """Show the last reply again; it is the cell's value."""
        return Value(self._last(arguments))

    def do_code(self, arguments: Arguments, number: str = "1") -> Value:
        """Give a code block of the last reply, counted from 1, as a string."""
        blocks = self._last(arguments).code
        if not blocks:
            msg = "The last reply holds no code block."
            raise ConfigError(msg)
        if not 1 <= int(number) <= len(blocks):
            held = "1 code block" if len(blocks) == 1 else f"{len(blocks)} code blocks"
            msg = f"There is no block {number}: the last reply holds {held}, counted from 1."
            raise ConfigError(msg)
        block = blocks[int(number) - 1]
        return Value(Source(block.source, block.language))

    def do_rename(self, arguments: Arguments, first: str, second: str = "") -> None:
        """Give a conversation another name: the current one, or the one named first."""
        magics = self.magics
        old, new = (first, second) if second else (arguments.conversation or magics.current, first)
        found = self._named(old, "rename")
        if new in magics.chats or any(thread.id != found.id for thread in magics.memory.named(new)):
            msg = f"There is a conversation {new} already. Take another name, or %chatglm delete {new} first."
            raise ConfigError(msg)
        old = found.name
        if isinstance(found, Chat):
            found.name = new
            found.changed()
            magics.chats = {new if name == old else name: magics.chats[name] for name in magics.chats}
            magics.current = new if magics.current == old else magics.current
        else:
            magics.memory.store().rename(found.id, new)
        say(f"Conversation {old} is now {new}.")

    def do_delete(self, arguments: Arguments, name: str = "") -> None:
        """Delete a conversation, also what is stored of it: the current one, or the one that is named."""
        magics = self.magics
        found = self._named(name or arguments.conversation or magics.current, "delete")
        count = len(found.messages) if isinstance(found, Chat) else found.count
        if isinstance(found, Chat):
            del magics.chats[found.name]
            magics.memory.leave(found)
            magics.current = USUAL if magics.current == found.name else magics.current
        magics.memory.delete(found.id)
        say(f"Conversation {found.name} is deleted: {count_words(count)}. {magics.current} is asked in now.")

    def do_set(self, arguments: Arguments, name: str = "", *_: str) -> None:
        """Set something for this conversation; show it without a value, or all of it without a name."""
        chat = self._chat(arguments)
        name = name.replace("-", "_")
        words = arguments.prompt.split(None, 2)
        if len(words) > 2:  # noqa: PLR2004 - set, the name, the value
            _set(chat, name, _unquoted(words[2].strip()))
        settings = _settings(chat)
        if name:
            say(f"{name} = {settings.get(name, 'none')}")
        elif settings:
            say(*(f"{known} = {value}" for known, value in settings.items()))
        else:
            say(f"Nothing is set for conversation {chat.name}: %config ChatGLMMagics and the model's own values hold.")

    def _chat(self, arguments: Arguments) -> Chat:
        """Give the conversation that a line is about."""
        return conversation(self.magics, arguments.conversation)

    def _named(self, name: str, command: str) -> Chat | Thread:
        """Give a conversation by its name, or a stored one by its number, or by its name where it is not open.

        Raises:
            ConfigError: There is none.
        """
        magics = self.magics
        if name == magics.current:
            return conversation(magics)
        if name in magics.chats:
            return magics.chats[name]
        thread = magics.memory.find(name)
        if thread is None:
            msg = (
                f"There is no conversation {name}; %chatglm chats lists them. "
                f"To ask something that begins with {command}, write %chatglm -- {command} …"
            )
            raise ConfigError(msg)
        return next((chat for chat in magics.chats.values() if chat.id == thread.id), thread)

    def _last(self, arguments: Arguments) -> Reply:
        """Give the kernel's last reply, or that of the conversation that is named."""
        reply = self.magics.last
        if arguments.conversation:
            reply = self.magics.asked.get(arguments.conversation, (None, None))[1]
        if reply is None:
            msg = "There is no reply yet."
            raise ConfigError(msg)
        return reply

    def _as_before(self, arguments: Arguments, chat: Chat) -> Ask:
        """Give a question's options, those of this line, else those it was asked with; and what follows its reply."""
        before, reply = self.magics.asked.get(chat.name, (None, None))
        if before is None or reply is None:
            return Ask(arguments)
        answer = chat.messages[-1].content if chat.messages else ""
        if chat.unanswered is None and not answer.endswith(reply.text):
            return Ask(arguments)  # another question has become the last one
        usual = Arguments()
        given = {
            name: value
            for name in Arguments.__slots__
            if (value := getattr(arguments, name)) != getattr(usual, name) and name != "prompt"
        }
        return Ask(replace(before.arguments, out="", new=False, **given), then=before.then)


def _set(chat: Chat, name: str, value: str) -> None:
    unset = value in _UNSET
    match name:
        case "system":
            chat.system = "" if unset else value
        case "think":
            if not unset and value.lower() not in _SWITCH:
                msg = f"think takes on, off or none, not {value!r}."
                raise ConfigError(msg)
            chat.think = None if unset else _SWITCH[value.lower()]
        case "timeout":
            chat.timeout = None if unset else _seconds(value)
        case _ if unset:
            chat.options.pop(name, None)
        case _:
            chat.options[name] = parse_option(name, value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = f"timeout takes seconds, a number above 0, not {value!r}."
        raise ConfigError(msg)
    return seconds


def _settings(chat: Chat) -> dict[str, str]:
    """Give what is set for a conversation, as text."""
    found = {name: chat.options[name] for name in OPTIONS if name in chat.options}
    told = {name: " ".join(value) if isinstance(value, tuple) else str(value) for name, value in found.items()}
    if chat.system:
        told["system"] = chat.system
    if chat.think is not None:
        told["think"] = "on" if chat.think else "off"
    if chat.timeout is not None:
        told["timeout"] = f"{chat.timeout:g}"
    return told


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _transcript(messages: list[Message]) -> Shown:
    who = {"user": "You", "assistant": "GLM", "system": "System"}
    return Shown(
        "\n\n".join(f"**{who[message.role]}**\n\n{safe(message.content)}" for message in messages),
        "\n\n".join(f"{who[message.role]}: {message.content}" for message in messages),
    )


def _refuse(what: str, chat: Chat, so: str) -> NoReturn:
    msg = f"{what} in conversation {chat.name} yet, so {so}."
    raise ConfigError(msg)
