"""One question from a cell: who is asked, where the reply is shown, and how it ends."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from .._chat import Chat
from .._choice import Choice
from .._config import Defaults
from .._errors import ChatGLMError, ConfigError, Interrupted
from .._events import Event, Part
from .._loop import in_this_loop
from .._reply import Reply
from .._values import dataclass
from ..renderers import Renderer
from ..renderers.cell import CellRenderer
from .choosing import choose_for, configured, recalls
from .conversations import USUAL, conversation, conversation_for
from .outcomes import Ask
from .stop import StopButton, can_show_button
from .updates import quick

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..renderers.in_place import InPlace
    from .arguments import Arguments
    from .magic import ChatGLMMagics
    from .own_cell import OwnCell


_NO_STORE = "The store is off, so no answer is stored that --cache could show."


@dataclass(frozen=True, slots=True)
class Question:
    """One question on its way.

    Attributes:
        label: Who is asked, for the status line.
        notice: What the user should know while nothing has come; empty for nothing.
        lasting: Gives, once the reply has ended, what of it stays with the reply; empty for nothing.
        open: Opens the reply; takes whom to tell why nothing has come yet.
        reply: Where its events are added up.
        renderer: Where they are shown.
        stop: The Stop button, where one can work.
        own_cell: Where a reply is shown that outlives its cell; None for one that the cell waits for.
        check: Looks at the reply once it is whole, before it is shown so; what it raises fails the cell.
    """

    label: str
    notice: str
    lasting: Callable[[], str]
    open: Callable[[Callable[[str], None]], AsyncGenerator[Event]]
    reply: Reply
    renderer: Renderer
    stop: StopButton | None
    own_cell: OwnCell | None
    check: Callable[[Reply], None]

    @contextmanager
    def on_stage(self) -> Generator[None]:
        """Show the reply while the block waits for it; `KeyboardInterrupt` leaves as `Interrupted`."""
        reply = self.reply
        error: BaseException | None = None
        try:
            self.renderer.open(self.label)
            if self.notice:
                self.renderer.status(self.notice)
            yield
            self.check(reply)
        except Interrupted as interrupt:
            error = interrupt
            raise
        except KeyboardInterrupt:  # between two steps of our own
            reply.end("interrupted")
            error = Interrupted(reply)
            raise error from None
        except BaseException as failure:
            error = failure
            if isinstance(failure, ChatGLMError) and failure.reply is None:
                failure.reply = reply
            raise
        finally:
            reply.end("error")
            lasting = self.lasting()
            if lasting and reply.parts:
                reply.add(Part("notice", lasting))
            self.renderer.close(reply, error)


def ask(magics: ChatGLMMagics, asked: Ask, choice: Choice, *, alone: bool) -> Question:
    """Make a question of what a cell says and what is configured.

    Args:
        magics: The settings and the conversations.
        asked: What the cell says, or what its command made of it.
        choice: Who answers it, by `choose_to_ask`.
        alone: Whether the cell awaits this question and holds nothing else.

    Raises:
        ConfigError: It cannot be asked so.
    """
    arguments = asked.arguments
    own_cell = _own_cell(magics.shell, asked) if arguments.background else None
    recall = magics.memory.answer if recalls(magics, arguments) else None
    guessed = configured(magics).over(Defaults.from_environment()) == Defaults()
    prompt, notes = prompt_of(magics, asked)
    told = [] if recall is not None or not arguments.cache else [_NO_STORE]
    chat = conversation_for(magics, asked, choice, told.append)
    reply = Reply()
    how = how_asked(magics, asked, chat, choice)

    def open_events(notify: Callable[[str], None]) -> AsyncGenerator[Event]:
        events = chat.stream(prompt, reply=reply, notify=notify, recall=recall, **how)
        if recall is None:
            return events
        from .pacing import paced

        return paced(events, reply)

    def lasting() -> str:
        new = reply.replayed is None and magics.say_once(choice.why)
        return " ".join((choice.why if new and guessed else "", *told, *notes)).strip()

    notice = "" if magics.was_said(choice.why) else choice.why
    renderer, in_cell = _renderer(magics, arguments, own_cell, exclusive=alone)
    held = recall is not None and in_cell
    with_button = alone and not arguments.quiet and can_show_button(magics.shell)
    stop = StopButton(magics.shell, own_cell, later=held) if with_button else None
    if held:
        from ..renderers.held import Held

        renderer = Held(renderer, lambda: reply.replayed is not None, stop.keep_place if stop else lambda: None)
    return Question(
        label=_label(choice),
        notice=" ".join((notice, *told, *notes)).strip(),
        lasting=lasting,
        open=open_events,
        reply=reply,
        renderer=renderer,
        stop=stop,
        own_cell=own_cell,
        check=partial(_check, magics, arguments),
    )


def _own_cell(shell: InteractiveShell, asked: Ask) -> OwnCell | None:
    """Give a reply a place that outlives its cell; None where nobody would see it grow there.

    Raises:
        ConfigError: Something is to be done with the reply that only a running cell can do.
    """
    if asked.arguments.insert or asked.then is not None:
        msg = "A reply in the background cannot put code into a cell: leave --bg out, or take the job's .reply.code."
        raise ConfigError(msg)
    if not can_show_button(shell) or not hasattr(shell.display_pub, "pub_socket"):
        return None
    from .own_cell import OwnCell

    return OwnCell(shell.display_pub)


async def wait_aside(question: Question, stage: ExitStack) -> None:
    """Wait for a reply that outlives its cell, and tell there how it failed: nobody may be told otherwise.

    Args:
        question: The question, on stage already.
        stage: What is to be left at the end.
    """
    try:
        with stage:
            await in_this_loop(question.open, question.renderer, question.reply, question.stop)
    except Exception as error:
        if question.own_cell is not None:
            from .own_cell import failure

            question.own_cell.publish(*failure(error))
        raise


def prompt_of(magics: ChatGLMMagics, asked: Ask) -> tuple[str, tuple[str, ...]]:
    """Put the notebook's values into a prompt, unless it is complete.

    Returns:
        The prompt, and what the user should know about it.

    Raises:
        ConfigError: An option names what is not there.
    """
    arguments = asked.arguments
    if asked.as_is or not ("{" in arguments.prompt or arguments.variables or arguments.cells or arguments.err):
        return arguments.prompt, ()
    from .prompt import notebook_of, prepare

    prompt = prepare(arguments, notebook_of(magics.shell, magics.find_error()))
    return prompt.text, prompt.notes


def _check(magics: ChatGLMMagics, arguments: Arguments, reply: Reply) -> None:
    """See that a reply is what was asked for, and put its code where that was asked for.

    Raises:
        ReplyFormatError: JSON was asked for, and it is none.
    """
    if reply.finish_reason == "interrupted":
        return
    if arguments.format == "json":
        _ = reply.json
    if not arguments.insert and arguments.format != "code":
        return
    from .insert import code_for_cell, put_into_cell

    code = code_for_cell(reply.code)
    if not code:
        reply.add(Part("notice", "There is no code in this reply."))
    elif arguments.insert:
        put_into_cell(magics.shell, code, replace=arguments.insert == "replace")


def show_dry_run(magics: ChatGLMMagics, asked: Ask) -> None:
    """Show what a question would send and to whom; send nothing, and change no conversation.

    Raises:
        ConfigError: It cannot be asked so.
    """
    from .dry_run import tell

    arguments = asked.arguments
    choice = choose_for(magics, arguments)
    prompt, said = prompt_of(magics, asked)
    name, notes = arguments.conversation or magics.current, list(said)
    chat = magics.chats.get(name)
    if chat is None and name != USUAL and magics.memory.find(name) is not None:
        chat = conversation(magics, name, notes.append)
    if chat is None:
        chat = Chat(choice.provider, model=choice.model)
    if magics.history_tokens is not None:
        chat.history_tokens = magics.history_tokens
    how = how_asked(magics, asked, chat, choice)
    request = chat.request(prompt, **how | {"remember": arguments.history and not arguments.new})
    magics.shell.display_pub.publish(tell(request, choice.provider, tuple(notes)))


def how_asked(magics: ChatGLMMagics, asked: Ask, chat: Chat, choice: Choice) -> dict[str, Any]:
    """Give what `Chat.stream` and `Chat.request` take: options, over the conversation's, over `%config`."""
    arguments = asked.arguments
    return {
        "choice": choice,
        "remember": arguments.history,
        "place": asked.place,
        "system": arguments.system if arguments.system is not None else chat.system or magics.system,
        "think": arguments.think,
        "timeout": arguments.timeout or chat.timeout or magics.timeout or None,
        "temperature": magics.temperature,
        "max_tokens": magics.max_tokens,
        **chat.options,
        **arguments.options,
    }


def _label(choice: Choice) -> str:
    model = choice.model or getattr(choice.provider, "model", "") or choice.provider.name
    return " · ".join(part for part in (model, getattr(choice.provider, "caption", "")) if part)


def _renderer(
    magics: ChatGLMMagics, arguments: Arguments, own_cell: OwnCell | None, *, exclusive: bool
) -> tuple[Renderer, bool]:
    """Choose how a reply is shown: by what the user said, else by where the output goes.

    Returns:
        Who shows it, and whether it grows in a cell.
    """
    from IPython.core.displaypub import CapturingDisplayPublisher

    shell: InteractiveShell = magics.shell
    publisher, form = own_cell or shell.display_pub, arguments.format
    captured = isinstance(publisher, CapturingDisplayPublisher)
    how: dict[str, Any] = {
        "show_thinking": magics.show_thinking and not arguments.hide_thinking,
        "show_usage": arguments.usage,
        "form": form,
    }
    if arguments.quiet or captured:
        from ..renderers.plain import QuietRenderer

        return QuietRenderer() if arguments.quiet else QuietRenderer(publisher, **how), False
    if getattr(shell, "kernel", None) is None:
        return _in_terminal(shell, **how), False
    renderer = CellRenderer(own_cell or quick(publisher), exclusive=exclusive, hz=magics.refresh_hz, **how)
    if form not in {"text", "json"}:
        return renderer, True
    from ..renderers.formats import Verbatim

    return Verbatim(renderer, form), True


def _in_terminal(shell: InteractiveShell, form: str, *, show_thinking: bool, show_usage: bool) -> Renderer:
    if form in {"code", "json"}:
        from ..renderers.formats import AtEnd

        return AtEnd(_write, form, show_usage=show_usage)
    from ..renderers.plain import PlainRenderer

    live = sys.stdout.isatty()
    in_place = _in_place(shell) if live and form == "md" else None
    return PlainRenderer(_write, show_thinking=show_thinking, show_usage=show_usage, live=live, in_place=in_place)


def _in_place(shell: InteractiveShell) -> InPlace | None:
    """Let Markdown be rendered in a terminal, where that knows how to move its cursor."""
    if os.environ.get("TERM", "") in {"", "dumb"} and os.name != "nt":
        return None
    from ..renderers.in_place import InPlace

    colors = "NO_COLOR" not in os.environ and str(shell.colors).lower() != "nocolor"
    return InPlace(_write, _terminal_size, colors=colors)


def _terminal_size() -> os.terminal_size:
    """Ask the terminal itself: COLUMNS and LINES, where a shell exports them, are not kept up to date."""
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return shutil.get_terminal_size()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
