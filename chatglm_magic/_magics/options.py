"""The options and commands of %chatglm: two tables, from which parser and help are made; no I/O."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import msgspec
from msgspec.structs import replace

from .._conversation.conversation import check_name
from .._language import language, marked, tr
from .._messages import OPTIONS as PARAMETERS
from .._messages import ChatOptions, parse_option, parse_seconds

FORMATS = ("md", "text", "code", "json", "df")
"""How a reply may be shown."""


class ArgumentError(ValueError):
    """The line cannot be read as options and a prompt; the message says why and what to write."""


class Arguments(msgspec.Struct):
    """A line, read.

    Attributes:
        prompt: What is asked, byte for byte; without the newline that ends a cell.
        literal: Whether `--` or `-a` says that a prompt follows, whatever it looks like.
        options: `-m`, `--base-url`, `-s`, `-o`, `--think`, `--timeout` and `--cache`; see `ChatOptions`.
        models: The models of `-m` beside the first, which `options` has: all are asked side by side.
        conversation: `-c`; empty for the usual one.
        new: Whether the conversation starts over.
        history: Whether the question sees and enters the conversation.
        out: `--out`; empty if not given.
        quiet: Whether nothing is shown.
        hide_thinking: Whether thinking is not shown.
        usage: Whether tokens and seconds are shown.
        format: How the reply is shown: one of `FORMATS`.
        insert: Where the reply's code goes: `below`, `replace`, or empty for nowhere.
        err: Whether the last error is sent along.
        cells: Numbers of the cells that are sent along.
        variables: Paths of the variables that are sent along.
        attached: What `-a` names, in order, as it was typed.
        tools: Names of the functions that the model may ask for.
        approve: Who is asked before one runs: one of `APPROVALS`.
        chain_limit: How often the model may ask; None for the usual number.
        search: Whether the service may search the web.
        schema: What the answer has to be, as it was typed; empty for text.
        many: Whether the answer has to be a list of that.
        over: What is mapped over, as it was typed; empty for one question.
        limit: How many rows are asked at most; None for all.
        concurrency: How many rows are asked at once; None for what the service allows.
        rows_per_request: How many rows are asked in one request.
        fresh: Whether rows are asked whose answer is there.
        background: Whether the cell ends at once, and the reply grows on.
        dry_run: Whether what would be sent is shown, and nothing sent.
    """

    prompt: str = ""
    literal: bool = False
    options: ChatOptions = ChatOptions()
    models: tuple[str, ...] = ()
    conversation: str = ""
    new: bool = False
    history: bool = True
    out: str = ""
    quiet: bool = False
    hide_thinking: bool = False
    usage: bool = False
    format: str = "md"
    insert: str = ""
    err: bool = False
    cells: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    approve: str = "ask"
    chain_limit: int | None = None
    search: bool = False
    schema: str = ""
    many: bool = False
    over: str = ""
    limit: int | None = None
    concurrency: int | None = None
    rows_per_request: int = 1
    fresh: bool = False
    background: bool = False
    dry_run: bool = False


class Option(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        names: As they are typed, the short one first.
        values: What the values are called, in order; none for a switch.
        help: What it does, in a few words.
        store: Puts the values into the arguments; raises `ArgumentError` or `ConfigError`.
        choices: Of an option whose value may be left out, the words that are one; the first is meant without.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    help: str
    store: Callable[[Arguments, list[str]], None]
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The names and values as a reader sees them: `-m, --model M`."""
        return " ".join((", ".join(self.names), *self.values))


def _text(name: str) -> Callable[[Arguments, list[str]], None]:
    def store(arguments: Arguments, values: list[str]) -> None:
        setattr(arguments, name, values[0])

    return store


def _switch(name: str, *, to: bool = True) -> Callable[[Arguments, list[str]], None]:
    def store(arguments: Arguments, _: list[str]) -> None:
        setattr(arguments, name, to)

    return store


def _chat_option(name: str, value: object = None) -> Callable[[Arguments, list[str]], None]:
    """Return a function that sets a field of `Arguments.options`: to a value, or to what was typed."""

    def store(arguments: Arguments, values: list[str]) -> None:
        given: dict[str, Any] = {name: values[0] if values else value}
        if name in {"model", "base_url"}:
            given[name] = normalize("NFKC", values[0])  # no model's name has a full-width colon
        arguments.options = replace(arguments.options, **given)

    return store


def _store_model(arguments: Arguments, values: list[str]) -> None:
    name = normalize("NFKC", values[0])  # no model's name has a full-width colon
    if arguments.options.model:
        arguments.models += (name,)
    else:
        arguments.options = replace(arguments.options, model=name)


def _store_parameter(arguments: Arguments, values: list[str]) -> None:
    name = values[0].replace("-", "_")
    value = parse_option(name, values[1])
    parameters = arguments.options.parameters
    earlier = parameters.get(name)
    if isinstance(value, tuple) and isinstance(earlier, tuple):
        value = earlier + value
    arguments.options = replace(arguments.options, parameters={**parameters, name: value})


def _store_out(arguments: Arguments, values: list[str]) -> None:
    name = normalize("NFKC", values[0])  # as Python reads it
    if not name.isidentifier() or keyword.iskeyword(name):
        msg = tr("--out takes the name of a variable, not {name!r}.", name=name)
        raise ArgumentError(msg)
    arguments.out = name


def _store_conversation(arguments: Arguments, values: list[str]) -> None:
    arguments.conversation = values[0] if re.fullmatch(r"#\d{1,9}", values[0]) else check_name(values[0])


def _store_timeout(arguments: Arguments, values: list[str]) -> None:
    arguments.options = replace(arguments.options, timeout=parse_seconds("--timeout", values[0]))


def _store_format(arguments: Arguments, values: list[str]) -> None:
    if values[0] not in FORMATS:
        msg = tr("--format takes one of {forms}, not {given!r}.", forms=tr(", ").join(FORMATS), given=values[0])
        raise ArgumentError(msg)
    arguments.format = values[0]


def _store_insert(arguments: Arguments, values: list[str]) -> None:
    if values[0] not in _PLACES:
        msg = tr("--insert takes below or replace, not {given!r}.", given=values[0])
        raise ArgumentError(msg)
    arguments.insert = values[0]


def _store_cells(arguments: Arguments, values: list[str]) -> None:
    numbers: list[int] = []
    for piece in _listed(values[0]):
        found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", piece)
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else 0
        if not 0 < first <= last < first + _MOST_CELLS:
            msg = tr("--cells takes numbers of cells, as in 3,5-7, not {given!r}.", given=values[0])
            raise ArgumentError(msg)
        numbers += range(first, last + 1)
    arguments.cells += tuple(numbers)


def _store_variables(arguments: Arguments, values: list[str]) -> None:
    arguments.variables += tuple(name for name in _listed(values[0]) if name)


def _store_attached(arguments: Arguments, values: list[str]) -> None:
    if not values[0].strip():
        msg = tr("--attach takes a file, an https address, {name}, _ or Out[5].")
        raise ArgumentError(msg)
    arguments.attached += (values[0],)
    arguments.literal = True  # `-a _ explain` asks about a picture: no command takes one


def _store_tool(arguments: Arguments, values: list[str]) -> None:
    arguments.tools += tuple(name.strip() for name in _listed(values[0]) if name.strip())


def _store_approve(arguments: Arguments, values: list[str]) -> None:
    if values[0] not in APPROVALS:
        msg = tr("--approve takes ask, all or none, not {given!r}.", given=values[0])
        raise ArgumentError(msg)
    arguments.approve = values[0]


def _store_chain_limit(arguments: Arguments, values: list[str]) -> None:
    text = normalize("NFKC", values[0])
    if not re.fullmatch(r"0*[1-9]\d{0,3}", text):
        msg = tr("--chain-limit takes a whole number of at least 1, not {given!r}.", given=values[0])
        raise ArgumentError(msg)
    arguments.chain_limit = int(text)


def _schema(*, many: bool) -> Callable[[Arguments, list[str]], None]:
    """Return a function that sets what the answer has to be."""

    def store(arguments: Arguments, values: list[str]) -> None:
        if not values[0].strip():
            msg = tr("--schema takes a name in the notebook, a file or fields: --schema 'name, age int'.")
            raise ArgumentError(msg)
        arguments.schema, arguments.many = values[0], many
        arguments.literal = True  # what follows asks for a value: no command has one

    return store


def _store_over(arguments: Arguments, values: list[str]) -> None:
    if not values[0].strip():
        msg = tr("--over takes the name of a column, as in --over df.text.")
        raise ArgumentError(msg)
    arguments.over = values[0]
    arguments.literal = True  # what follows is a prompt, never a command


def _count(name: str, option: str) -> Callable[[Arguments, list[str]], None]:
    """Return a function that sets a field to a whole number above 0; `auto` leaves `concurrency` open."""

    def store(arguments: Arguments, values: list[str]) -> None:
        text = normalize("NFKC", values[0])
        if name == "concurrency" and text == "auto":
            arguments.concurrency = None
            return
        if not re.fullmatch(r"0*[1-9]\d{0,8}", text):
            if name == "concurrency":
                msg = tr("--concurrency takes auto or a whole number of at least 1, not {given!r}.", given=values[0])
            else:
                msg = tr("{option} takes a whole number of at least 1, not {given!r}.", option=option, given=values[0])
            raise ArgumentError(msg)
        setattr(arguments, name, int(text))

    return store


def _listed(value: str) -> list[str]:
    """Return the parts of a list, whatever its commas, digits and dashes were typed with."""
    return normalize("NFKC", value).replace("、", ",").split(",")


_MOST_CELLS = 100
_PLACES = ("below", "replace")
APPROVALS = ("ask", "all", "none")
"""Who may decide about a call of a function."""

TABLE: tuple[Option, ...] = (
    Option(
        ("-m", "--model"),
        ("M",),
        marked("model, or provider:model (zai:glm-4.7-flash, local); several, each with -m, answer side by side"),
        _store_model,
    ),
    Option(("--base-url",), ("URL",), marked("an OpenAI-compatible server"), _chat_option("base_url")),
    Option(("-s", "--system"), ("TEXT",), marked("system prompt"), _chat_option("system")),
    Option(("-o", "--option"), ("K", "V"), marked("a parameter (repeats): {parameters}"), _store_parameter),
    Option(("--think",), (), marked("let the model think first"), _chat_option("think", value=True)),
    Option(("--no-think",), (), marked("let it answer at once"), _chat_option("think", value=False)),
    Option(("-R", "--hide-thinking"), (), marked("do not show what it thinks"), _switch("hide_thinking")),
    Option(("-c", "--conversation"), ("NAME",), marked("ask in this conversation"), _store_conversation),
    Option(("--new",), (), marked("start the conversation over"), _switch("new")),
    Option(("--no-history",), (), marked("neither see nor enter the conversation"), _switch("history", to=False)),
    Option(("-f", "--format"), ("FORMAT",), marked("how the reply is shown: {forms}"), _store_format),
    Option(
        ("--insert",),
        ("[below|replace]",),
        marked("put the reply's code into a cell, never run: below (usual), or in place of this one"),
        _store_insert,
        _PLACES,
    ),
    Option(("--err",), (), marked("send the last error along: its cell and its traceback"), _switch("err")),
    Option(("--cells",), ("N,N-N",), marked("send cells along, and their values: 3,5-7"), _store_cells),
    Option(("--vars",), ("NAME,NAME",), marked("send variables along, described"), _store_variables),
    Option(
        ("-a", "--attach"),
        ("X",),
        marked("send a picture or a file along (repeats): a path, an https address, {{name}}, _ or Out[5]"),
        _store_attached,
    ),
    Option(
        ("-T", "--tool"),
        ("NAME",),
        marked("let the model ask for this function of yours (repeats); you decide about each call"),
        _store_tool,
    ),
    Option(
        ("--approve",),
        ("WHO",),
        marked("who decides about calls: ask (you, each time), all (allow them, for this question), none (run none)"),
        _store_approve,
    ),
    Option(("--chain-limit",), ("N",), marked("how often the model may ask for functions: 8"), _store_chain_limit),
    Option(("--search",), (), marked("let the service search the web (zai, bigmodel)"), _switch("search")),
    Option(
        ("--schema",),
        ("SCHEMA",),
        marked("the answer as a value: a class in the notebook, FILE.json, or fields like 'name, age int'"),
        _schema(many=False),
    ),
    Option(("--schema-multi",), ("SCHEMA",), marked("a list of such values, shown as a table"), _schema(many=True)),
    Option(
        ("--over",),
        ("NAME",),
        marked("ask of each row of a list, a column or a table: {{it}} or {{column}} in the prompt is the row's value"),
        _store_over,
    ),
    Option(("--limit",), ("N",), marked("with --over: ask the first N rows"), _count("limit", "--limit")),
    Option(
        ("--concurrency",),
        ("N",),
        marked("with --over: how many rows at once; auto finds out what the service allows"),
        _count("concurrency", "--concurrency"),
    ),
    Option(
        ("--rows-per-request",),
        ("N",),
        marked("with --over: so many rows in one request"),
        _count("rows_per_request", "--rows-per-request"),
    ),
    Option(("--fresh",), (), marked("with --over: ask also the rows that were answered before"), _switch("fresh")),
    Option(
        ("--bg",),
        (),
        marked("in the background: the cell is a job at once (.text, .stop(), await job)"),
        _switch("background"),
    ),
    Option(("--dry-run",), (), marked("show what would be sent, and to whom; send nothing"), _switch("dry_run")),
    Option(
        ("--cache",),
        (),
        marked("show the stored answer to the same question, if there is one, and ask nobody"),
        _chat_option("cache", value=True),
    ),
    Option(("--no-cache",), (), marked("ask, whatever is stored"), _chat_option("cache", value=False)),
    Option(
        ("--out",), ("VAR",), marked("put the reply into a variable, also one that was stopped or failed"), _store_out
    ),
    Option(("--timeout",), ("S",), marked("seconds without an event before the reply is given up"), _store_timeout),
    Option(("-q", "--quiet"), (), marked("show nothing"), _switch("quiet")),
    Option(("-u", "--usage"), (), marked("show tokens and seconds"), _switch("usage")),
)
"""Every option, in the order in which a reader should meet them."""


class Command(msgspec.Struct, frozen=True):
    """One of the line's reserved first words.

    Attributes:
        name: The word.
        words: The Chinese words for it, the usual one first; understood in every language.
        values: What may follow it, for readers: `[name]`.
        help: What it does, in a few words.
        most: How many words may follow; with more of them the line is a prompt.
        rest: What those words must look like, joined by blanks, where not all will do; `most` does not
            count then.
    """

    name: str
    words: tuple[str, ...]
    values: str
    help: str
    most: int = 0
    rest: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every word for it."""
        return (self.name, *self.words)

    @property
    def usage(self) -> str:
        """The word and what may follow it, as a reader sees them; in Chinese also the Chinese word."""
        names = self.names if language() == "zh" else (self.name,)
        return " ".join(filter(None, (", ".join(names), self.values and tr(self.values))))

    def fits(self, words: list[str]) -> bool:
        """Return whether a line's words, the first one included, are this command; `_` stands for a quoted one."""
        if words[0] not in self.names:
            return False
        if self.rest is None:
            return len(words) - 1 <= self.most
        return re.fullmatch(self.rest, " ".join(words[1:]), re.DOTALL) is not None


_NAME = r"\S*[^\s?!？！]"
"""A conversation's name: a quoted one, or a word that ends no sentence. `check_name` has the rule."""
_THREAD = rf"(#\d{{1,9}}|(?![#-]){_NAME})"
_PATH = r"""(\S*|"[^"]+"|'[^']+')"""
_WHOSE = r"(|zai|bigmodel|openai|https?://\S+)"
_ONE_WORD = "|".join(name.replace("_", "[_-]") for name in PARAMETERS if name != "stop")
EXPORTS = (".md", ".html", ".ipynb", ".json")
"""The endings of files that a conversation is exported to."""
TOPIC_WORDS = {
    "options": "选项",
    "commands": "命令",
    "models": "模型",
    "keys": "密钥",
    "context": "上下文",
    "values": "值",
    "tools": "工具",
    "rows": "逐行",
    "conversations": "会话",
    "memory": "存储",
    "jobs": "任务",
    "panel": "面板",
    "settings": "设置",
    "errors": "错误",
}
"""The pages of the manual, and the Chinese words for them, which are understood in every language."""
TOPICS = tuple(TOPIC_WORDS)

COMMANDS: tuple[Command, ...] = (
    Command(
        "help",
        ("帮助",),
        marked("[topic]"),
        marked("this manual, or a page of it: {topics}"),
        rest=f"({'|'.join((*TOPICS, *TOPIC_WORDS.values()))})?",
    ),
    Command(
        "models",
        ("模型",),
        marked("[filter]"),
        marked("the models of who answers, or of a provider: models zai"),
        rest=r"\S*|[a-z]+ \S+",
    ),
    Command("use", ("使用",), "MODEL", marked("let this model answer from now on"), rest=r"\S+"),
    Command(
        "login",
        ("登录",),
        marked("[provider or URL]"),
        marked("type a key, hidden, and keep it for one host"),
        rest=_WHOSE,
    ),
    Command("logout", ("退出登录",), marked("[provider or URL]"), marked("forget a key that was typed"), rest=_WHOSE),
    Command("status", ("状态",), "", marked("who answers, where the key comes from, which conversation")),
    Command(
        "set",
        ("设置",),
        "[K [V]]",
        marked("system, think, timeout or a parameter for this conversation; none takes it away"),
        rest=rf"|({_ONE_WORD}|think|timeout|stop|system)( \S+)?|(system|stop) .+",
    ),
    Command(
        "new", ("新建",), marked("[name]"), marked("begin a conversation, or go on with that one"), rest=rf"({_NAME})?"
    ),
    Command(
        "chats",
        ("会话",),
        "[n]",
        marked("the conversations: those that are open, and the newest n that are stored"),
        rest=r"\d{0,6}",
    ),
    Command("search", ("搜索",), "TEXT", marked("find words in all that was ever said"), rest=r".*"),
    Command("history", ("历史",), "[n]", marked("what was said, or its last n turns"), rest=r"\d{0,6}"),
    Command("undo", ("撤销",), "", marked("take the last turn back")),
    Command("retry", ("重试",), "", marked("ask the last question again, in the place of its answer")),
    Command("continue", ("继续",), "", marked("go on with an answer that was stopped or cut off")),
    Command("pick", ("选用",), "MODEL", marked("go on with this model's answer, of those side by side"), rest=r"\S+"),
    Command("reset", ("重置",), "", marked("start the conversation over")),
    Command("last", ("上一条",), "", marked("show the last reply again")),
    Command(
        "fix",
        ("修复",),
        "[replace]",
        marked("send the last error; put a corrected cell below, or here"),
        rest="(below|replace)?",
    ),
    Command("explain", ("解释",), "", marked("send the last error; have it explained")),
    Command("code", ("代码",), "[n]", marked("a code block of the last reply, as a string"), rest=r"\d{0,6}"),
    Command(
        "rename",
        ("重命名",),
        marked("[name] new-name"),
        marked("give a conversation another name"),
        rest=rf"({_THREAD} )?{_NAME}",
    ),
    Command(
        "delete", ("删除",), marked("[name]"), marked("delete a conversation, stored or not"), rest=rf"({_THREAD})?"
    ),
    Command(
        "forget",
        ("清除",),
        marked("[name|all|rows]"),
        marked("remove what is stored of a conversation, of all of them, or of rows; alone: what there is"),
        rest=rf"({_THREAD})?",
    ),
    Command("save", ("保存",), "PATH", marked("write the conversation to a file that load reads"), rest=_PATH),
    Command(
        "load",
        ("载入", "加载"),
        "PATH",
        marked("bring one back from a file, or a stored one by its name or #number"),
        rest=_PATH,
    ),
    Command("export", ("导出",), "PATH", marked("write it to be read: .md, .html, .ipynb or .json"), rest=_PATH),
    Command(
        "stop", ("停止",), marked("[job]"), marked("stop a reply in the background, or all of them"), rest=r"\d{0,6}"
    ),
    Command("jobs", ("任务",), "", marked("the replies in the background")),
    Command("panel", ("面板",), "", marked("a chat below the cell, in the same conversations")),
    Command("version", ("版本",), "", marked("the version of chatglm_magic")),
)
"""Every reserved first word of a line."""
