"""The manual: `%chatglm?`, `%chatglm help` and its pages, in the language in force."""

from __future__ import annotations

from .._language import language, marked, tr
from .._messages import OPTIONS as PARAMETERS
from .options import COMMANDS, FORMATS, TABLE, TOPIC_WORDS
from .output import columns

_HEAD = marked("""\
Ask a model; its reply streams into this cell.

    %chatglm [options] prompt               # one line
    answer = %chatglm [options] prompt      # a Reply
    %%chatglm [options]                     # a whole cell
    prompt, as many lines as you like

Options stand before the prompt, on the first line; -- ends them. Their values may be quoted. The prompt
is sent as it stands: quotes, backslashes and ? need no escaping. {name} puts the value of a variable
into it; where there is none, and in {{name}}, the braces stay braces.""")
_FOOT = marked("""\
The reply is the cell's value (`_`): .text .thinking .code .json .usage .finish_reason.
%config ChatGLMMagics lists the settings; an option goes before the conversation's own setting, that
before %config, that before the environment (CHATGLM_PROVIDER, CHATGLM_MODEL, CHATGLM_BASE_URL).""")
_SHORT = marked("""\
%chatglm prompt asks on one line, %%chatglm with the prompt below it asks with a whole cell.
%chatglm? is the manual.""")

_PAGES = {
    "models": marked("""\
Who answers is said with -m, for one question, or with %chatglm use, from then on:

  local, local:PATH.gguf       on this machine: a small demo model, or a GGUF file of yours; no key
  zai, zai:MODEL               api.z.ai; glm-4.7-flash by default, free of charge
  bigmodel, bigmodel:MODEL     open.bigmodel.cn; the same models
  openai:MODEL --base-url URL  any OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, Xinference
  chatglm                      the chatglm.cn web dialect; the site gates it

Without a word from you it is what is configured (%config ChatGLMMagics, CHATGLM_PROVIDER,
CHATGLM_MODEL, CHATGLM_BASE_URL), else the platform whose key is there, else the local model.
%chatglm status says who. %chatglm models lists names; %chatglm models zai flash those of zai with
flash in them.

-m A -m B asks several models (up to 6) side by side, each the same; the cell's value is a mapping of
model to reply with a .frame. The first answer goes on, until %chatglm pick B chooses another one; one
that fails says so in its column. In Python: await chat.compare("…", models=["A", "B"])."""),
    "keys": marked("""\
A key comes from the environment (ZAI_API_KEY, ZHIPUAI_API_KEY; CHATGLM_API_KEY for a server of your
own), set before Jupyter starts, or from %chatglm login zai, which asks for it without showing it.
It is kept in the system's keyring where the package keyring is installed, else in a file that only
you can read.

A key goes to the host it was given for and to no other, and over plain http only to this machine,
unless CHATGLM_ALLOW_HTTP names the host. Never write a key into a cell: cells are saved with the
notebook. %chatglm status says where the key comes from, %chatglm logout forgets it."""),
    "context": marked("""\
{name}, {df.shape}, {rows[0]}, {d['key']} in a prompt become the value of your variable, sent as
data; {{name}} stays {name}. Nothing is evaluated or called: write d = df.describe() first, then {d}.
Values are not looked through again. What has no value stays as it is, and one line below the reply
says so. JSON, code and LaTeX are left alone.

  a DataFrame            columns and types, and its first 5 rows; a small one goes whole. Of a wide one
                         the columns that your prompt names come first
  a Series               its values, with their labels; an array: shape and range
  a function, a class    its source; a figure in words; an earlier reply as its text
  any object             what its own _repr_llm_() returns, where it has one
  --vars a,b             variables, described below the prompt
  --cells 3,5-7          cells with their values
  --err, fix, explain    the last error with its cell; fix puts a corrected cell below
  -a plot.png, -a {fig}  pictures: a file, an https address, a figure or what belongs to one, an array of
                         pixels, _ or Out[5] for what a cell has shown; PNG and JPEG go as they are,
                         others are made anew, and the reply says so
  -a notes.txt, -a t.csv files of text, tables, notebooks (.ipynb): their text, as data
  --dry-run              what would be sent, and to whom; nothing is
  -- at the beginning    what follows is a prompt, whatever it looks like

A value may be 6 kB long, all data of a prompt 36 kB (about 12,000 tokens). What is shortened keeps
its beginning and its end, and the reply says so. Nothing else leaves the kernel: only the prompt
and what it names."""),
    "values": marked("""\
A question may say what its answer has to be. The answer is validated, and is a value: shown as a
table that grows, and there as _.value, _.records (dicts) and _.frame (a data frame).

  --schema Paper               a class or type in the notebook: pydantic, dataclass, TypedDict,
                               msgspec.Struct, NamedTuple, Enum, Literal, list[…], dict[str, …]
  --schema paper.json          a file with a JSON Schema
  --schema 'title, pages int, tags [], kind novel|essay, gist: one sentence'
                               fields: a type where it is not text (int, float, bool, [] a list,
                               a|b a choice), and behind a colon what it is
  --schema-multi …             a list of it
  -f df, -f json               shown as a data frame, as JSON

The local model is held to it by a grammar, a server of yours by json_schema or json_object, the
platforms by json_object, others by the prompt: _.schema_mode says how. What does not fit goes back
with what is wrong with it, twice at most (_.repairs), outside of the conversation; what never fits
is a ReplyFormatError with .errors and .reply. A list that is cut off needs -o max_tokens N.

In Python: await chat.send("…", schema=list[Paper], repairs=2)."""),
    "tools": marked("""\
  %%chatglm -T stock -T news        a question, and two functions of yours that the model may ask for

Any function with types is a tool; its docstring tells the model what it does, and what each parameter
means (Google, NumPy or reST style). Nothing runs without a yes, which is for this function with these
arguments, once. You are asked in the cell: by a card with Run, Deny, Edit and Always where buttons are
heard while the cell runs, else by a line of input. Always is for the function as it is now, until the
kernel ends. Where nobody can be asked (nbclient, papermill) the answer is no.

  --approve all, none          allow each call of this question; run none, and show them
  --chain-limit 3              how often the model may ask before it has to answer (8)
  @tool(needs_approval=False)  above a function that may always run; from chatglm_magic import tool
  @tool(timeout=300)           above one that may take that many seconds instead of 60
  reply.tool_runs              what ran: name, arguments, result, error, seconds, approved_by
  %chatglm -T stock panel      a panel that asks in a card; ChatPanel(tools=[stock])
  --search                     the service searches the web (zai, bigmodel); it may cost extra

Arguments are checked before you are asked. A plain function runs in the main thread, a coroutine is
awaited; ■ stops it. The model reads a result as it reads {name}: within 6 kB, without keys.

In Python: await chat.send("…", tools=[stock], approve=lambda call: True)."""),
    "rows": marked("""\
  %%chatglm --over df.text --out moods
  Is this review good or bad? {it}

asks of each row of a list, a dictionary, a column or a table, and puts the rows into moods:
moods.values is the column (None where a row failed), moods.frame a table with errors, attempts and
tokens. {it} is the row's value, {column} that of a table's column, as it is called: {review text}; a
prompt without a place gets the value below, as data. Rows without a value (None, NaN) are not asked.

  --schema 'mood good|bad'     each answer as a value
  --limit 20, --dry-run        the first 20 rows; how many requests it would be, and the first one
  --concurrency auto, 4        as many at once as the service allows (found out by asking), or four
  --rows-per-request 20        packs rows, where a service takes one request at a time
  --fresh                      asks also what was answered before
  --bg                         the cell is a job: await job, job.stop(), job.rows

Rows see the system prompt and the settings, neither the conversation nor each other. Equal rows are
asked once. An answer is kept before it counts, so after ■, an error or a killed kernel the same cell
goes on where it was; forget rows removes what is kept. A row fails alone; what would fail all of them
(a key, a balance, a name) ends the map, and the error has .rows. await moods.retry() asks the failed
ones again.

In Python: job = chat.map("Mood of {it}?", df.text, schema=…); rows = await job, or job.result()."""),
    "conversations": marked("""\
Cells share a conversation: what was said is sent along, the oldest turns left out where it grows
too long (the reply says so then). A cell that is run again replaces what it said, in its place,
also after a restart; what followed stays, or with %config ChatGLMMagics.rerun = "cut" stays behind
with the old version. Cells are known by the front end's id, else by their source; several questions
of a cell by their order.

  -c NAME, %chatglm new NAME   another conversation, new or stored: for one question, from now on
  --no-history                 neither sees nor enters it
  --new, reset                 start it over; what was said stays stored
  undo, retry, continue        take the last turn back, ask it again, go on with a cut answer
  set system You are terse.    for this conversation; set alone shows what is set, none takes it away
  rename, delete               its name; the conversation, stored or not

A name is any text of 1 to 60 characters that begins with neither # nor -; one with blanks is quoted:
new "long lesson". It is one conversation here, in panels and in Python: Chat(name=…), Chat.open(…)."""),
    "memory": marked("""\
What is said is kept in a file of your own while it is said (SQLite, mode 0600): a kernel that is
killed in the middle of an answer loses at most its last half second or 2 kB.

  chats, chats 50              the conversations of this kernel, and the newest stored ones
  new NAME, -c NAME            goes on with the conversation of that name, also after a restart
  load #12, load NAME          the same for any stored one
  search 注意力 "two words"      finds what holds all of these, in every conversation
  save talk.json, load talk.json   a conversation with all its versions as a file, and back
  export talk.html             to be read: .md, .html, .ipynb or .json; never over a file of yours
  forget, forget #12, forget all   says what is stored; removes it from the disk, for good
  --cache                      shows the stored answer to the same question, without a key or a network;
                               %config ChatGLMMagics.cache = "replay" for all, --no-cache against it

Kept are the conversations of cells and panels, and of a Chat that has a name, with all versions,
settings and how each answer ended; a question with --no-history only for --cache. Keys are never
written: [key] stands in their place. CHATGLM_STORE or %config ChatGLMMagics.store names another
file, :memory: or off. Several kernels may write to one file. A store that cannot be written stops
no reply: one sentence says so, and a damaged file is set aside, not deleted."""),
    "jobs": marked("""\
  job = %chatglm --bg --out summary Summarise {report}

The cell ends at once, and the reply grows on in its output while other cells run, also while one of
them blocks.

  job.text, job.reply          what has come so far
  await job                    waits for the Reply, and raises what went wrong
  job.stop(), stop 2, stop     hangs up and keeps what has come; stop alone stops all of them
  jobs                         lists them

■ stops the cell that runs, never a job; its output has a Stop button of its own. Where nobody
watches (nbclient, nbconvert, papermill), in %%capture and in a terminal, --bg waits like any cell.
A job leaves its conversation to the next question when it has ended; -c NAME and --no-history run
beside it."""),
    "panel": marked("""\
%chatglm panel, or ChatPanel() in Python, opens a chat below the cell, in the same conversations as
the cells.

  Enter, Shift+Enter, Esc, ↑   send, break the line, stop, edit the last question (in the empty box)
  each message                 copy, edit and send again, answer anew, delete; ‹2/3› shows versions
  {name}                       as in cells; a key of yours is not sent
  header                       conversations, models, settings of this conversation, export

It never waits for a cell: answers stream while one runs or fails, and ■ is for the cell alone.
Asking and Stop work meanwhile too with ipykernel 7 in JupyterLab and Notebook 7; elsewhere the
panel says that the kernel is busy. ChatPanel(chat) shows any Chat with its own settings; await
panel.send("…") asks there from code; panel.chat, panel.close(), ChatPanel(height="24rem"). Without
widgets what was said is shown as text."""),
    "settings": marked("""\
%config ChatGLMMagics lists the settings with what they mean; %config ChatGLMMagics.model =
"zai:glm-4.7" sets one.

An option goes before the conversation's own setting (%chatglm set), that before %config, that
before the environment: CHATGLM_PROVIDER, CHATGLM_MODEL, CHATGLM_BASE_URL, CHATGLM_STORE,
CHATGLM_CACHE (where weights are kept) and CHATGLM_ALLOW_HTTP (hosts that a key may go to over plain
http). A configured base URL belongs to the configured provider.

Messages, this manual and the panel are in English or Chinese: %config ChatGLMMagics.language = "en"
or "zh", else CHATGLM_LANG=en or zh, else as the page that shows the panel, else as the locale. It
takes effect at once; "auto" leaves it to the others again. Commands are understood in both."""),
    "errors": marked("""\
A cell that fails says what happened, to what, and what to do next; error.kind names it, error.reply
holds what had arrived. %chatglm retry asks the question again. An answer that was cut, refused or
damaged, or from which something is missing, says so in a line under it, in .warnings and in the
output's metadata; %chatglm continue goes on with it.

  auth, permission       the key was not accepted here: Z.ai's and BigModel's differ
  billing, quota         balance or plan used up; glm-4.7-flash is free
  rate_limit             too fast, or the model is busy; tried again before the first word
  content_filter         moderation refused or cut it
  context_length         the conversation is too long: %chatglm new, --no-history
  model_not_found        %chatglm models lists names
  blocked                a gate in front of the site: the official API with a key, or -m local
  connect, stalled       nothing answered, or nothing came for --timeout seconds
  truncated              the stream broke: %chatglm continue goes on
  empty                  nothing came: perhaps the conversation is too long (--new)
  tool_call              the model's calls of functions cannot be read, or have no end (--chain-limit)
  config                 an option, a name or a key is missing or wrong

%config ChatGLMMagics.short_errors = False brings the traceback back."""),
}


def manual() -> str:
    """Return the manual: what `%chatglm?` and `%chatglm help` show."""
    options, commands = table(tr("Options:"), option_rows()), table(tr("Commands:"), command_rows())
    return "\n\n".join((tr(_HEAD), options, commands, tr(_FOOT)))


def short_help() -> str:
    """Return what `%chatglm` alone shows."""
    return tr(_SHORT)


def page(topic: str) -> str:
    """Return a page of the manual by its name, in English or in Chinese; the whole for an empty one."""
    topic = next((name for name, word in TOPIC_WORDS.items() if topic == word), topic)
    if topic == "options":
        return table(tr("Options, before the prompt, on the first line; -- ends them:"), option_rows())
    if topic == "commands":
        head = tr("Commands, alone on a line: %chatglm WORD. After -- every word is a prompt.")
        return table(head, command_rows())
    return tr(_PAGES[topic]) if topic in _PAGES else manual()


def option_rows() -> list[tuple[str, str]]:
    """Return usage and help of every option, for tables."""
    comma = tr(", ")
    parameters, forms = comma.join(PARAMETERS), comma.join(FORMATS)
    return [(option.usage, tr(option.help, parameters=parameters, forms=forms)) for option in TABLE]


def command_rows() -> list[tuple[str, str]]:
    """Return usage and help of every command, for tables."""
    topics = tr(", ").join(TOPIC_WORDS.values() if language() == "zh" else TOPIC_WORDS)
    return [(command.usage, tr(command.help, topics=topics)) for command in COMMANDS]


def table(head: str, rows: list[tuple[str, str]]) -> str:
    """Return rows below a line that says what they are."""
    return "\n".join((head, *(f"  {row}" for row in columns(rows))))
