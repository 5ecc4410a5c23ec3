"""The pages of the manual: `%chatglm help TOPIC`."""

from __future__ import annotations

from .arguments import command_rows, manual, option_rows, table

_MODELS = """\
Who answers is said with -m, for one question, or with %chatglm use, from then on:

  local, local:PATH.gguf       on this machine: a small demo model, or a GGUF file of yours; no key
  zai, zai:MODEL               api.z.ai; glm-4.7-flash by default, free of charge
  bigmodel, bigmodel:MODEL     open.bigmodel.cn; the same models
  openai:MODEL --base-url URL  any OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, Xinference
  chatglm                      the chatglm.cn web dialect; the site gates it

Without a word from you it is what is configured (%config ChatGLMMagics, CHATGLM_PROVIDER, CHATGLM_MODEL,
CHATGLM_BASE_URL), else the platform whose key is there, else the local model. %chatglm status says who.
%chatglm models lists names; %chatglm models zai flash those of zai with flash in them."""

_KEYS = """\
A key comes from the environment (ZAI_API_KEY, ZHIPUAI_API_KEY; CHATGLM_API_KEY for a server of your own), set
before Jupyter starts, or from %chatglm login zai, which asks for it without showing it. It is kept in the
system's keyring where the package keyring is installed, else in a file that only you can read.

A key goes to the host it was given for and to no other, and over plain http only to this machine, unless
CHATGLM_ALLOW_HTTP names the host. Never write a key into a cell: cells are saved with the notebook.
%chatglm status says where the key comes from, %chatglm logout forgets it."""

_CONTEXT = """\
Cells share a conversation: what was said is sent along, the oldest left out where it grows too long (the reply
says so then). Running a cell again replaces what it said before.

  -c NAME, %chatglm new NAME   another conversation: for one question, from now on
  --no-history                 neither sees nor enters it
  %chatglm undo, retry         take the last exchange back, ask it again
  {name}, {df.shape}, {rows[0]}  in a prompt: the value of a variable, sent as data; {{x}} stays {x}
  --vars a,b  --cells 3,5-7    variables and cells, below the prompt
  --err, %chatglm fix, explain  the last error with its cell; fix puts a corrected cell below, never run
  --dry-run                    what would be sent, and to whom; nothing is
  --err, --cells 3,5-7, --vars a,b  the last error, cells, variables, described
  --dry-run                    shows what would be sent, and sends nothing
  -- at the beginning          what follows is a prompt, whatever it looks like

Nothing else leaves the kernel: only the prompt and what it names."""

_MEMORY = """\
What is said is kept in a file of your own, while it is said: a kernel that dies takes nothing with it.

  chats, chats 50              the conversations of this kernel, and the newest stored ones with their #numbers
  new NAME, -c NAME            goes on with the conversation of that name, also after a restart
  load #12, load NAME          the same for any stored one; reset, new and --new leave the old one stored
  continue                     goes on with an answer that was cut off, also by a kernel that died
  search 注意力 "two words"      finds what holds all of these, in every conversation
  save talk.json, load talk.json   a conversation with all its versions as a file, and back
  export talk.html             to be read: .md, .html, .ipynb or .json; no file is overwritten
  forget, forget #12, forget all   says what is stored; removes it from the disk, for good
  --cache                      shows the stored answer to the same question, marked as such, without a key or a network;
                               %config ChatGLMMagics.cache = "replay" for all questions, --no-cache against it

A cell that is run again replaces what it said, also after a restart. What followed stays;
%config ChatGLMMagics.rerun = "cut" leaves it with the old version.
%config ChatGLMMagics.store (or CHATGLM_STORE) names another file, :memory: or off. Keys are never written."""

_ERRORS = """\
A cell that fails says what happened, to what, and what to do next; error.kind names it, error.reply holds what had
arrived. %chatglm retry asks the question again.

  auth, permission       the key was not accepted here: Z.ai's and BigModel's differ
  billing, quota         balance or plan used up; glm-4.7-flash is free
  rate_limit             too fast, or the model is busy; tried again before the first word
  content_filter         moderation refused or cut it
  context_length         the conversation is too long: %chatglm new, --no-history
  model_not_found        %chatglm models lists names
  blocked                a gate in front of the site: the official API with a key, or -m local
  connect, stalled       nothing answered, or nothing came for --timeout seconds
  truncated              the stream broke: %chatglm continue goes on
  config                 an option, a name or a key is missing or wrong

%config ChatGLMMagics.short_errors = False brings the traceback back."""


def page(topic: str) -> str:
    """Write a page of the manual; the whole for an empty topic."""
    pages = {"models": _MODELS, "keys": _KEYS, "context": _CONTEXT, "memory": _MEMORY, "errors": _ERRORS}
    if topic == "options":
        return table("Options, before the prompt, on the first line; -- ends them:", option_rows())
    if topic == "commands":
        return table("Commands, alone on a line: %chatglm WORD. After -- every word is a prompt.", command_rows())
    return pages.get(topic) or manual()
