"""One question from a cell: who is asked, where the reply is shown, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._chat import Chat, Choice, choose
from ._config import Defaults
from ._errors import ChatGLMError, Interrupted
from ._events import Event, Part
from ._messages import OptionValue
from ._outcomes import Ask
from ._reply import Reply
from ._stop import StopButton, can_show_button
from .providers import split_spec
from .renderers import Renderer
from .renderers.cell import CellRenderer
from .renderers.plain import PlainRenderer, QuietRenderer

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ._arguments import Arguments
    from ._magic import ChatGLMMagics


@dataclass(frozen=True, slots=True)
class Question:
    """One question on its way.

    Attributes:
        label: Who is asked, for the status line.
        notice: What the user should know about that once; empty for nothing.
        lasting: Whether the notice stays with the reply.
        open: Opens the reply; takes whom to tell why nothing has come yet.
        reply: Where its events are added up.
        renderer: Where they are shown.
        stop: The Stop button, where one can work.
    """

    label: str
    notice: str
    lasting: bool
    open: Callable[[Callable[[str], None]], AsyncGenerator[Event]]
    reply: Reply
    renderer: Renderer
    stop: StopButton | None

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
            if self.lasting and reply.parts:
                reply.add(Part("notice", self.notice))
            self.renderer.close(reply, error)


def ask(magics: ChatGLMMagics, asked: Ask, *, alone: bool) -> Question:
    """Make a question of what a cell says and what is configured.

    Args:
        magics: The settings and the conversations.
        asked: What the cell says, or what its command made of it.
        alone: Whether the cell awaits this question and holds nothing else.

    Raises:
        ConfigError: Nobody can be asked so; see `choose`.
    """
    arguments = asked.arguments
    choice, guessed = _choose(magics, arguments)
    chat = _conversation(magics, arguments, choice)
    reply = Reply()

    def open_events(notify: Callable[[str], None]) -> AsyncGenerator[Event]:
        return chat.stream(
            arguments.prompt,
            reply=reply,
            choice=choice,
            remember=arguments.history,
            place=asked.place,
            system=arguments.system if arguments.system is not None else chat.system or magics.system,
            think=arguments.think,
            timeout=arguments.timeout or chat.timeout or magics.timeout or None,
            notify=notify,
            **(_configured_options(magics) | chat.options | arguments.options),
        )

    notice = choice.why if magics.say_once(choice.why) else ""
    with_button = alone and not arguments.quiet and can_show_button(magics.shell)
    return Question(
        label=_label(choice),
        notice=notice,
        lasting=bool(notice) and guessed,
        open=open_events,
        reply=reply,
        renderer=_renderer(magics, arguments, exclusive=alone),
        stop=StopButton(magics.shell) if with_button else None,
    )


def _choose(magics: ChatGLMMagics, arguments: Arguments) -> tuple[Choice, bool]:
    """Find out who answers: by an option, else as configured, else by the environment, else by a guess."""
    named = "" if magics.provider == "auto" else magics.provider
    configured = Defaults(provider=named, model=magics.model, base_url=magics.base_url)
    base_url, provider = arguments.base_url, "auto"
    if not base_url and magics.base_url and named and split_spec(arguments.model)[0] in {"", named}:
        base_url, provider = magics.base_url, named  # a server belongs to the provider it was configured for
    choice = choose(provider, arguments.model, base_url=base_url, configured=configured)
    return choice, configured.over(Defaults.from_environment()) == Defaults()


def _conversation(magics: ChatGLMMagics, arguments: Arguments, choice: Choice) -> Chat:
    name = arguments.conversation or magics.current
    chat = magics.chats.get(name)
    if chat is None:
        chat = magics.chats[name] = Chat(choice.provider, model=choice.model, name=name)
    elif arguments.new:
        chat.reset()
    if magics.history_tokens is not None:
        chat.history_tokens = magics.history_tokens
    return chat


def _configured_options(magics: ChatGLMMagics) -> dict[str, OptionValue | None]:
    return {"temperature": magics.temperature, "max_tokens": magics.max_tokens}


def _label(choice: Choice) -> str:
    model = choice.model or getattr(choice.provider, "model", "") or choice.provider.name
    return " · ".join(part for part in (model, getattr(choice.provider, "caption", "")) if part)


def _renderer(magics: ChatGLMMagics, arguments: Arguments, *, exclusive: bool) -> Renderer:
    """Choose how a reply is shown: by what the user said, else by where the output goes."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    shell: InteractiveShell = magics.shell
    publisher = shell.display_pub
    show_thinking = magics.show_thinking and not arguments.hide_thinking
    show_usage = arguments.usage
    if arguments.quiet:
        return QuietRenderer()
    if isinstance(publisher, CapturingDisplayPublisher):
        return QuietRenderer(publisher, show_thinking=show_thinking, show_usage=show_usage)
    if getattr(shell, "kernel", None) is None:
        return PlainRenderer(_write, show_thinking=show_thinking, show_usage=show_usage)
    return CellRenderer(
        publisher, exclusive=exclusive, hz=magics.refresh_hz, show_thinking=show_thinking, show_usage=show_usage
    )


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
