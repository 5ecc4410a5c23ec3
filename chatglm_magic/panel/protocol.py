"""The messages between a panel and its page.

Requests come from the page's views and answers go back to the view that asked; all other messages go to every view.
Each is a JSON object whose field `k` names its kind.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .._errors import shorten
from .._language import Language, tr
from .._markdown.fences import CodeBlock

MAX_BYTES = 256 * 1024
"""UTF-8 bytes of the text in one request."""

MAX_FILE = 30_000_000
"""Bytes of one file that a page sends; it comes in pieces, for Jupyter's servers take 10 MB in one message."""
MAX_PIECE = 1024 * 1024
MAX_FILES = 10
"""Files that one question of a panel brings along."""

_MAX_REFUSAL = 100
"""Characters of the reason in a refusal, which may quote what the page sent."""

_Id = Annotated[str, Meta(min_length=1, max_length=80)]
_Name = Annotated[str, Meta(max_length=200)]
_Whole = Annotated[int, Meta(ge=0, lt=2**53)]  # larger numbers are not exact in a page


# Requests


class _Request(Struct, frozen=True, kw_only=True, tag_field="k"):
    """What a view asks for.

    Attributes:
        view: The name that the view gave itself; a page may show a panel more than once.
        req: The request's number in its view, which the answer repeats.
    """

    view: _Id
    req: _Whole = 0


class _TextRequest(_Request, frozen=True):
    """A request with a text that a person has typed."""

    text: str

    def __post_init__(self) -> None:
        _check_size(self.text)


class _MessageRequest(_Request, frozen=True):
    """A request about one message, by its id."""

    id: _Id


class _NameRequest(_Request, frozen=True):
    """A request with a name: of a model, of a conversation, or empty."""

    name: _Name


class Ready(_Request, frozen=True, tag="ready"):
    """A new view, which wants everything; `language` is the tag of its page's language, empty if it is none of ours."""

    language: _Name = ""


class Resync(_Request, frozen=True, tag="resync"):
    """A view that missed a message, and wants everything again."""


class More(_Request, frozen=True, tag="more"):
    """Send the messages before those that the view holds."""


class Bye(_Request, frozen=True, tag="bye"):
    """The view is closed."""


class Ping(_Request, frozen=True, tag="ping"):
    """Answer at once."""


class Send(_TextRequest, frozen=True, tag="send"):
    """Ask a question; it brings along the files of the ids `attached`."""

    attached: Annotated[list[_Id], Meta(max_length=MAX_FILES)] = []


class Attach(_Request, frozen=True, tag="attach"):
    """Take a piece of a file, whose bytes are the message's buffer: of `size` bytes in all, those from `at` on."""

    id: _Id
    name: _Name
    size: Annotated[int, Meta(ge=0, le=MAX_FILE)]
    at: _Whole


class Detach(_Request, frozen=True, tag="detach"):
    """Take a file back that was not sent yet."""

    id: _Id


class Stop(_Request, frozen=True, tag="stop"):
    """Stop the answer that is coming."""


class StopMap(_Request, frozen=True, tag="stop_map"):
    """Stop the map of that id."""

    id: _Id


class Decide(_Request, frozen=True, tag="decide"):
    """Decide about the call on the card of that id; `arguments` as JSON text, where a person has edited them."""

    id: _Id
    pressed: Literal["run", "deny", "always"]
    arguments: str = ""

    def __post_init__(self) -> None:
        _check_size(self.arguments)


class Continue(_MessageRequest, frozen=True, tag="continue"):
    """Go on with an answer that was cut or stopped."""


class Regenerate(_MessageRequest, frozen=True, tag="regenerate"):
    """Ask for another version of an answer."""


class Retry(_Request, frozen=True, tag="retry"):
    """Ask the last question again."""


class Edit(_TextRequest, frozen=True, tag="edit"):
    """Ask an edited question as another version of the old one."""

    id: _Id


class Version(_MessageRequest, frozen=True, tag="version"):
    """Show the version of a message before (-1) or after (1) the shown one."""

    step: Literal[-1, 1]


class Delete(_MessageRequest, frozen=True, tag="delete"):
    """Delete a message and its partner."""


class Undo(_Request, frozen=True, tag="undo"):
    """Bring back what was deleted last."""


class GetSource(_MessageRequest, frozen=True, tag="source"):
    """Return a message as it was written."""


class GetCell(_Request, frozen=True, tag="cell"):
    """Return the content of a cell that holds blocks of code."""

    blocks: Annotated[list[CodeBlock], Meta(min_length=1)]

    def __post_init__(self) -> None:
        _check_size("".join(block.language + block.source for block in self.blocks))


class UseModel(_NameRequest, frozen=True, tag="model"):
    """Use another model from now on."""


class OpenChat(_NameRequest, frozen=True, tag="chat"):
    """Show another conversation."""


class NewChat(_NameRequest, frozen=True, tag="new"):
    """Begin a conversation and show it."""


class RenameChat(_NameRequest, frozen=True, tag="rename"):
    """Rename a conversation: the one of the name `of`, or the shown one where that is empty."""

    of: _Name = ""


class DropChat(_NameRequest, frozen=True, tag="drop"):
    """Delete a conversation, also what is stored of it."""


class Find(_Request, frozen=True, tag="find"):
    """List the models or conversations whose names and titles hold all words of a text."""

    what: Literal["model", "chat"]
    text: _Name


class SaveDraft(_TextRequest, frozen=True, tag="draft"):
    """Keep what is typed and not sent; `at` is the cursor in UTF-16 units, as JavaScript counts them."""

    at: _Whole | None = None


class Export(_Request, frozen=True, tag="export"):
    """Return the conversation as a file."""

    form: Literal["md", "html", "ipynb", "json"]


class SetOption(_TextRequest, frozen=True, tag="set"):
    """Set an option of the conversation of the name `chat` to what was typed; empty leaves it to the model."""

    chat: _Name
    name: Literal["system", "temperature", "max_tokens", "think"]


ViewRequest = Ready | Resync | More | Bye | Ping
Question = Continue | Regenerate | Retry | Edit
TreeChange = Version | Delete | Undo
Lookup = GetSource | GetCell | SaveDraft | Export
ChatChange = OpenChat | NewChat | RenameChat | DropChat
OptionChange = UseModel | SetOption
FileChange = Attach | Detach
Ending = Stop | StopMap
Words = ViewRequest | Send | Question | Ending | Decide | TreeChange | Lookup | Find | ChatChange | OptionChange
Request = Words | FileChange

_KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Request))


def read(content: object) -> Request | Note:
    """Return the request that a page has sent as JSON data, or the answer that refuses it."""
    content = replace_surrogates(content)
    try:
        request: Request = msgspec.convert(content, Request)
    except msgspec.ValidationError as error:
        reason = shorten(str(error), _MAX_REFUSAL)
    else:
        return request
    try:
        head = msgspec.convert(content, _Head)
    except msgspec.ValidationError:
        return Note(
            text=tr("The page sent something that is not a request of a view: {reason}.", reason=reason), bad=True
        )
    words = tr("The page's {kind} was refused: {reason}.", kind=repr(head.k), reason=reason)
    if head.k not in _KINDS:
        words = tr("The page asked for something that this panel does not know. Run the cell again after an update.")
    return Note(text=words, bad=True, number=head.req, view=head.view)


class _Head(Struct, frozen=True):
    """The part of a request that is needed to refuse it."""

    view: _Id
    req: _Whole = 0
    k: str = ""


def replace_surrogates(message: object) -> Any:  # noqa: ANN401 - JSON
    """Return JSON data with halves of UTF-16 pairs, which no channel carries, replaced by U+FFFD."""
    text = json.dumps(message, ensure_ascii=False)
    return json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _check_size(text: str) -> None:
    """Raise ValueError, which msgspec reports as a wrong value, if a text is too long."""
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(tr("the text must be at most {size} kB long", size=MAX_BYTES // 1024))


# What messages to the page hold


class Thinking(Struct, frozen=True):
    """The thinking before an answer, as HTML; how long it took, in seconds."""

    blocks: list[str]
    tail: str
    seconds: float


class Shown(Struct, frozen=True, kw_only=True):
    """A message as the page shows it. What is unset stays as the page has it.

    Attributes:
        version: Which of its `versions` it is, from 1.
        note: What the user should know about how it ended, in a line.
        meta: Model, tokens and seconds, in a line.
        can: What may be done with it: `edit`, `regenerate`, `delete`, `continue`, `retry`, `insert`.
        blocks: HTML of the parts that do not change any more.
        tail: HTML that is below them.
        source: Of a question, what the user typed.
        seconds: How long the thinking took, if nothing else is new.
    """

    id: str
    role: Literal["user", "assistant"]
    version: int
    versions: int
    state: Literal["streaming", "done", "stopped", "failed", "cut"]
    note: str
    meta: str
    can: list[str]
    blocks: list[str] | UnsetType = UNSET
    tail: str | UnsetType = UNSET
    thinking: Thinking | UnsetType | None = UNSET
    source: str | UnsetType = UNSET
    seconds: float | UnsetType = UNSET


class Item(Struct, frozen=True, kw_only=True):
    """A conversation or a model that can be chosen.

    Attributes:
        about: A conversation's first words; what a model lacks.
        count: A conversation's messages.
    """

    name: str
    title: str = ""
    about: str = ""
    count: int = 0
    current: bool = False


class Header(Struct, frozen=True, kw_only=True):
    """What stands above the messages.

    Attributes:
        language: The language in force, which the page speaks too.
        settings: What is set for the conversation, as texts by name.
        kept: Whether the conversation is kept in the store.
        ideas: A few first questions, where nothing was said yet.
        cell: The first line of a cell that asks in it; empty if no cell can.
    """

    language: Language
    title: str
    about: str
    model: str
    models: list[Item]
    chats: list[Item]
    settings: dict[str, str]
    kept: bool
    ideas: list[str]
    cell: str


class Footer(Struct, frozen=True):
    """What stands below them: the state, why nothing has come yet, tokens and seconds of the newest answer."""

    state: Literal["", "ready", "waiting", "thinking", "answering", "stopping"] = ""
    text: str = ""
    tokens: int = 0
    seconds: float = 0


class Card(Struct, frozen=True):
    """A call of a function that a person is asked about: the function, what it does, and its arguments as JSON."""

    id: str
    name: str
    doc: str
    arguments: str


class Attached(Struct, frozen=True):
    """A picture or a file that the next question brings along: its kind and size in words, and a small picture of it.

    Attributes:
        src: A `data:` address; empty for a file of text, and where none can be made.
    """

    id: str
    name: str
    about: str
    src: str


class RunningMap(Struct, frozen=True):
    """A map that runs in this kernel: the beginning of its prompt, and how far it is, in a line."""

    id: str
    name: str
    text: str


# Messages to the page


class Message(Struct, frozen=True, tag_field="k"):
    """Any message to the page; the channel adds its number `n`."""


class Snapshot(Message, frozen=True, tag="snap"):
    """Everything: the newest messages, and how many are `earlier`; `to` is None for all views."""

    to: str | None
    chat: Item
    head: Header | None
    messages: list[Shown]
    earlier: int
    foot: Footer
    draft: str
    card: Card | None
    attached: list[Attached]
    maps: list[RunningMap]


class Older(Message, frozen=True, tag="older"):
    """The messages before those that a view holds; `earlier` ones are left."""

    to: str
    messages: list[Shown]
    earlier: int


class Add(Message, frozen=True, tag="add"):
    """A new message, behind that of the id `after`; the first one if that is empty."""

    after: str
    m: Shown


class Change(Message, frozen=True, tag="set"):
    """A message that is not as it was."""

    m: Shown


class Remove(Message, frozen=True, tag="gone"):
    """Messages that are no longer shown."""

    ids: list[str]


class Grow(Message, frozen=True, tag="grow"):
    """A step of a message that streams; see `renderers.html.Step`."""

    id: str
    part: str  # `answer` or `thinking`
    keep: int
    blocks: list[str]
    tail: str
    code: str


class HeaderChange(Message, frozen=True, tag="head"):
    """A new header."""

    head: Header


class FooterChange(Message, frozen=True, tag="foot"):
    """A new footer."""

    foot: Footer


class CardChange(Message, frozen=True, tag="card"):
    """The call that a person is asked about now; None for none."""

    card: Card | None


class AttachedChange(Message, frozen=True, tag="attached"):
    """What the next question brings along now."""

    attached: list[Attached]


class MapsChange(Message, frozen=True, tag="maps"):
    """The maps that run now."""

    maps: list[RunningMap]


class Answer(Message, frozen=True, kw_only=True):
    """The answer to a request.

    Attributes:
        number: The request's number; 0 if nobody has asked.
        view: The view that asked; empty for all.
    """

    number: int = msgspec.field(name="for", default=0)
    view: str = ""


class Ok(Answer, frozen=True, tag="ok"):
    """It is done; of a question, it has entered the conversation."""


class Pong(Answer, frozen=True, tag="pong"):
    """The answer to `Ping`."""


class Note(Answer, frozen=True, tag="note"):
    """A sentence for the user; of a `bad` one, the request was refused; with `undo`, it can be undone."""

    text: str
    bad: bool = False
    undo: bool = False


class Chips(Answer, frozen=True, tag="chips"):
    """What a draft holds: its tokens, about, with its data; its variables (name, type); what an open brace may name."""

    tokens: int
    names: list[dict[str, str]]
    offer: list[str]


class Found(Answer, frozen=True, tag="found"):
    """What was found."""

    what: str
    items: list[Item]


class File(Answer, frozen=True, tag="file"):
    """A file to save; `type` is its media type."""

    name: str
    type: str
    text: str


class Text(Answer, frozen=True, tag="text"):
    """A message as it was written."""

    text: str


class Cell(Answer, frozen=True, tag="cell"):
    """The content of a cell."""

    source: str
    cell_type: str
