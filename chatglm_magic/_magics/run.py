"""One question from a cell: who is asked, where the reply is shown, and how it ends."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .._attachments import Attachments
from .._chat import Chat
from .._comparison import Comparison
from .._errors import ChatGLMError, ConfigError, Interrupted, shorten
from .._events import ColumnEvent, Event, Part
from .._jupyter.shell import can_show_button, can_show_widget, is_of_console
from .._jupyter.widgets import PinnedPublisher, StopButton, WidgetPublisher, output_widget
from .._language import join_sentences, marked, tr
from .._markdown.fences import code_for_cell
from .._markdown.links import literal
from .._messages import ChatOptions
from .._prompting.prompt import names_of
from .._reply import Reply, frame_library
from .._resolve import Target
from .._waiting import await_reply
from ..renderers import Renderer
from ..renderers.cell import CellRenderer
from ..renderers.plain import PlainRenderer, QuietRenderer
from .prompt import Notebook, describe_picture, describe_request, named_schema, prepare
from .session import Prompted, Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .._schema.schema import Schema
    from .options import Arguments

_WIDGET_HZ = 8
"""Paints a second where outputs are widgets, each of which takes four messages to begin with."""
_NO_STORE = marked("The store is off, so no answer is stored that --cache could show.")


class Run:
    """One question on its way.

    Args:
        session: The shell and the conversations.
        prompted: What the cell asks, or what its command made of it.
        alone: Whether the cell awaits this question and holds nothing else.

    Attributes:
        label: Who is asked, for the status line.
        reply: Where the reply's events are added up.
        value: The cell's value.
        renderer: Where they are shown.
        stop: The Stop button, where one can work.
        pinned: The publisher of a reply that outlives its cell; None for one that the cell waits for.
        inserts: Whether code of the reply goes into a cell.

    Raises:
        ConfigError: It cannot be asked so.
    """

    value: Reply | Comparison

    def __init__(self, session: Session, prompted: Prompted, *, alone: bool) -> None:
        self._session = session
        self._prompted = prompted
        workspace, arguments, options = session.workspace, prompted.arguments, prompted.arguments.options
        self.pinned = _pinned_publisher(session.shell, prompted) if arguments.background else None
        cached = workspace.options_for(None, options).cache
        self._is_guess = workspace.is_guess()
        self._target = workspace.target(workspace.open_chat(arguments.conversation), options, cached=bool(cached))
        self._prompt, self._attached, prompt_notes = question_of(session, prompted)
        self._schema = asked_schema(session, arguments)
        self._chat, told = workspace.chat_for(
            arguments.conversation, prompted.at, self._target, new=arguments.new, remember=arguments.history
        )
        self._options = workspace.options_for(self._chat, options)
        if options.cache and not self._options.cache:
            told = [tr(_NO_STORE), *told]
        self._notes = (
            *told,
            *prompt_notes,
            *filter(None, [self._target.language_note(arguments.prompt)]),
        )
        self.inserts = bool(arguments.insert or prompted.then is not None)
        if self.inserts:
            session.inserter.prepare()
        self.reply = self.value = Reply()
        self.label = _label(self._target)
        self._has_buttons = alone and not arguments.quiet
        stored = self._options.cache and self._chat.cached(
            self._prompt, self._options, **self._how, **fields_of(session, arguments)
        )
        self.renderer = self._renderer(exclusive=alone, whole_only=bool(stored))
        grows = isinstance(self.renderer, CellRenderer)
        with_button = alone and grows and can_show_button(session.shell)
        self.stop = StopButton(session.shell, self.pinned) if with_button else None

    def open(self, notify: Callable[[str], None]) -> AsyncGenerator[Event | ColumnEvent]:
        """Ask, and yield the reply's events; `notify` is called with why nothing has come yet."""
        fields = fields_of(
            self._session, self._prompted.arguments, pinned=self.pinned, has_buttons=self._has_buttons, notify=notify
        )
        return self._chat.stream(self._prompt, self._options, reply=self.reply, notify=notify, **self._how, **fields)

    def _renderer(self, *, exclusive: bool, whole_only: bool) -> Renderer:
        """Return how a reply is shown: by what the user said, else by where the output goes.

        Args:
            exclusive: Whether the cell holds nothing else.
            whole_only: Whether nothing is shown before the end, for a stored answer is there at once: painting its
                growth would be a burst of messages, of which servers drop what comes too fast.
        """
        from IPython.core.displaypub import CapturingDisplayPublisher

        session, arguments, form = self._session, self._prompted.arguments, self._prompted.arguments.format
        display, publisher = session.display(), self.pinned or session.shell.display_pub
        shown: dict[str, Any] = {
            "show_thinking": display.show_thinking and not arguments.hide_thinking,
            "show_usage": arguments.usage,
        }
        how: dict[str, Any] = {**shown, "form": form}
        if arguments.quiet:
            return QuietRenderer()
        kernel = getattr(session.shell, "kernel", None)
        is_seen_whole = kernel is not None and (whole_only or not can_show_widget(session.shell))
        if is_seen_whole or isinstance(publisher, CapturingDisplayPublisher):
            return QuietRenderer(publisher, **how)
        how["schema"] = self._schema if form in {"md", "df"} else None
        if kernel is None:
            from ..renderers.terminal import stdout_renderer  # imports rich

            return stdout_renderer(**how, colors=str(session.shell.colors).lower() != "nocolor")
        if self.pinned is None and form in {"md", "text"} and not session.cells.cell_id and is_of_console(kernel):
            return PlainRenderer(sys.stdout.write, **shown, schema=how["schema"])
        if (output := output_widget(session.shell.display_pub)) is not None:
            inside = WidgetPublisher(output, publisher, _html)
            return CellRenderer(inside, exclusive=False, hz=min(_WIDGET_HZ, display.refresh_hz), **how)
        return CellRenderer(publisher, exclusive=exclusive, hz=display.refresh_hz, **how)

    @property
    def _how(self) -> dict[str, Any]:
        """How the question is asked, as `Chat.stream` and `Chat.cached` take it."""
        return {
            "target": self._target,
            "remember": self._prompted.arguments.history,
            "at": self._prompted.at,
            "attachments": self._attached.pictures_alone(),
            "schema": self._schema,
        }

    @property
    def notice(self) -> str:
        """What the user should know while nothing has come; empty for nothing."""
        said = self._session.workspace.was_said
        new = (text for text in (self._target.reason, self._target.note) if not said(text))
        pictures = tr("; ").join(map(describe_picture, self._attached.pictures))
        return join_sentences(*new, *self._notes, pictures and tr("With {pictures}.", pictures=pictures))

    def lasting_notice(self) -> str:
        """Return what of the notice stays with the reply once it has ended, said once; empty for nothing."""
        say_once, target = self._session.workspace.say_once, self._target
        reason = target.reason if self.reply.replayed is None and say_once(target.reason) and self._is_guess else ""
        note = target.note if say_once(target.note) else ""
        return join_sentences(reason, note, *self._notes)

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
            self._check()
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
            lasting = self.lasting_notice()
            if lasting and reply.parts:
                reply.add(Part("notice", lasting))
            self.renderer.close(reply, error)
            if self.stop is not None and reply.tool_runs:  # what functions have shown stays, so nothing was cleared
                self.stop.empty()

    async def wait_aside(self, stage: ExitStack) -> None:
        """Wait for a reply that outlives its cell, and say there how it failed: nothing else would.

        Args:
            stage: What is to be left at the end.
        """
        try:
            with stage:
                await await_reply(self.open, self.renderer, self.reply, self.stop)
        except Exception as error:
            if self.pinned is not None:
                self.pinned.publish(*_failure(error))
            raise

    def _check(self) -> None:
        """Raise ReplyFormatError where a reply is not what was asked for; put its code where that was asked for."""
        arguments, reply = self._prompted.arguments, self.reply
        if reply.finish_reason == "interrupted":
            return
        if arguments.format == "json" and reply.schema is None:
            _ = reply.json
        if not arguments.insert and arguments.format != "code":
            return
        code = code_for_cell(reply.code)
        if not code:
            reply.add(Part("notice", tr("There is no code in this reply.")))
        elif arguments.insert:
            session = self._session
            session.inserter.put(code, session.cells.cell_id, replace=arguments.insert == "replace")


def _failure(error: Exception) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data and metadata of an output that says in one line what went wrong, where it cannot be raised."""
    name, message = type(error).__name__, shorten(str(error), 600)
    kind = error.kind if isinstance(error, ChatGLMError) else "error"
    data = {"text/markdown": f"**{name}**: {literal(message)}", "text/plain": f"{name}: {message}"}
    return data, {"chatglm_magic": {"status": "error", "kind": kind}}


def prompt_of(session: Session, prompted: Prompted) -> tuple[str, tuple[str, ...]]:
    """Put the notebook's values into a prompt, unless it is complete.

    Returns:
        The prompt, and what the user should know about it.

    Raises:
        ConfigError: An option names what is not there.
    """
    arguments, note = prompted.arguments, (prompted.note,) if prompted.note else ()
    if prompted.as_is or not (
        {"{", "｛"} & set(arguments.prompt) or arguments.variables or arguments.cells or arguments.err
    ):
        return arguments.prompt, note
    notebook = Notebook.of(session.shell, session.cell_sources(), session.last_error() if arguments.err else None)
    prompt = prepare(arguments, notebook)
    return prompt.text, (*note, *prompt.notes)


def question_of(session: Session, prompted: Prompted) -> tuple[str, Attachments, tuple[str, ...]]:
    """Return a question as it is asked.

    Returns:
        The prompt, with the notebook's values and with files of text; the pictures; and what the user should know.

    Raises:
        ConfigError: An option names what is not there, or what cannot be sent.
    """
    prompt, notes = prompt_of(session, prompted)
    if not prompted.arguments.attached:
        return prompt, Attachments(), notes
    from .attached import attach_named  # few questions bring anything along

    notebook = Notebook.of(session.shell, (), None, session.pictures.shown)
    attached = attach_named(prompted.arguments.attached, notebook)
    return prompt if prompted.as_is else attached.added_to(prompt), attached, (*notes, *attached.notes)


def fields_of(session: Session, arguments: Arguments, **how: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
    """Return what a question brings along beside its text and its options, as `Chat.stream` takes it.

    Args:
        session: The shell and the conversations.
        arguments: The options.
        how: As in `tool_fields`.

    Raises:
        ConfigError: An option names what is not there.
    """
    if not arguments.tools:
        return {"search": True} if arguments.search else {}
    from .approval import tool_fields  # few questions bring functions along

    return tool_fields(session.shell, arguments, **how)


def asked_schema(session: Session, arguments: Arguments) -> Schema | None:
    """Return what the answer has to be; None for text.

    Raises:
        ConfigError: It names what is not there, no answer can be held to it, or it cannot be shown as it was asked.
    """
    if arguments.format == "df":
        if not arguments.schema:
            raise ConfigError(tr("-f df shows a value, so it goes with --schema or --schema-multi."))
        frame_library()
    return named_schema(arguments.schema, names_of(session.shell), many=arguments.many) if arguments.schema else None


def show_dry_run(session: Session, prompted: Prompted) -> None:
    """Show what a question would send and to whom; send nothing, and change no conversation.

    Raises:
        ConfigError: It cannot be asked so.
    """
    workspace, arguments = session.workspace, prompted.arguments
    target = workspace.target(workspace.open_chat(arguments.conversation), arguments.options)
    prompt, attached, prompt_notes = question_of(session, prompted)
    if others := tr(", ").join(arguments.models):
        prompt_notes += (tr("The same goes to {models}.", models=others),)
    notes = [*prompt_notes, *filter(None, [target.note, target.language_note(arguments.prompt)])]
    chat = workspace.known_chat(arguments.conversation, notes.append)
    chat = chat or Chat(target.provider, model=target.model, configured=ChatOptions())
    request = chat.request(
        prompt,
        workspace.options_for(chat, arguments.options),
        target=target,
        remember=arguments.history and not arguments.new,
        at=prompted.at,
        attachments=attached.pictures_alone(),
        schema=asked_schema(session, arguments),
        **fields_of(session, arguments),
    )
    session.shell.display_pub.publish(describe_request(request, target.provider, tuple(notes)))


def _label(target: Target) -> str:
    return " · ".join(part for part in (target.model_name, getattr(target.provider, "caption", "")) if part)


def _pinned_publisher(shell: InteractiveShell, prompted: Prompted) -> PinnedPublisher | None:
    """Return a publisher that outlives its cell; None where nobody would see the reply grow there.

    Raises:
        ConfigError: Something is to be done with the reply that only a running cell can do.
    """
    if prompted.arguments.insert or prompted.then is not None:
        raise ConfigError(
            tr("A reply in the background cannot put code into a cell: leave --bg out, or take the job's .reply.code.")
        )
    if not can_show_button(shell) or not hasattr(shell.display_pub, "pub_socket"):
        return None
    return PinnedPublisher(shell.display_pub)


def _html(markdown: str) -> str:
    """Return what a growing reply shows as HTML, without the thinking that is folded away in it."""
    from ..renderers.html import render  # imports the sanitiser

    return render(re.sub(r"<details.*?><summary>(.*?)</summary>.*?</details>", r"*\1*", markdown, flags=re.DOTALL))
