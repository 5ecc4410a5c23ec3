"""What is promised to users, and what the house promises to itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chatglm_magic
from chatglm_magic._magics.help import page
from chatglm_magic._magics.magic import ChatGLMMagics
from chatglm_magic._magics.options import COMMANDS, TABLE, TOPICS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
PROMISED = {
    "BadRequestError",
    "AuthenticationError",
    "BlockedError",
    "BrokenStreamError",
    "Chat",
    "ChatGLM",
    "ChatGLMError",
    "ChatPanel",
    "ConfigError",
    "ConnectError",
    "ContentFilterError",
    "FinishReason",
    "Finished",
    "FunctionProvider",
    "Interrupted",
    "Message",
    "MissingKeyError",
    "Part",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "Replace",
    "Reply",
    "ReplyFormatError",
    "Request",
    "SchemaError",
    "ServerError",
    "Source",
    "StalledError",
    "StatusError",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "ToolCallError",
    "ToolResult",
    "ToolStarted",
    "TransportError",
    "Usage",
    "load_ipython_extension",
    "tool",
    "unload_ipython_extension",
}


def run_python(code: str) -> str:
    """Run code in a fresh interpreter with warnings as errors, and give what it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_promised_is_exported():
    """Every promised name can be had from the package's root, and `__all__` names it."""
    missing = PROMISED - set(chatglm_magic.__all__)

    assert missing == set()
    assert all(hasattr(chatglm_magic, name) for name in chatglm_magic.__all__)
    assert set(chatglm_magic.__all__) <= set(dir(chatglm_magic))


def test_an_unknown_name_is_an_attribute_error():
    """Names that are not there fail as Python's own do."""
    with pytest.raises(AttributeError, match="no attribute 'Chatt'"):
        _ = chatglm_magic.Chatt


def test_errors_and_events_read_as_the_packages_own():
    """A message names `chatglm_magic`, the place a user knows."""
    assert issubclass(chatglm_magic.Interrupted, KeyboardInterrupt)
    assert not issubclass(chatglm_magic.FinishReason, str)


def test_chat_can_be_had_without_ipython_widgets_or_aiohttp():
    """A program pays only for what it uses."""
    code = """
        import sys
        from chatglm_magic import Chat, Reply, TextDelta, ChatGLMError
        print(sorted({"IPython", "aiohttp", "ipywidgets", "anywidget", "tqdm"} & set(sys.modules)))
    """

    assert run_python(re.sub(r"\n\s+", "\n", code)).strip() == "[]"


def test_every_test_states_its_law():
    """A test without a one-sentence docstring, or without an assert, is a defect."""
    faults = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                if not ast.get_docstring(node):
                    faults.append(f"{path.name}:{node.lineno} {node.name}: no docstring")
                body = ast.dump(node)
                if "Assert(" not in body and not re.search(
                    r"id='(check|expect|law|until)|attr='(raises|warns|fail|check|until|wait_until)", body
                ):
                    faults.append(f"{path.name}:{node.lineno} {node.name}: asserts nothing")

    assert faults == []


def test_no_module_grows_beyond_reading():
    """A module is read from top to bottom at one sitting."""
    long = {
        path.name: lines
        for path in (ROOT / "chatglm_magic").rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 600
    }

    assert long == {}


@pytest.mark.parametrize("readme", [README, CHINESE], ids=["English", "Chinese"])
def test_the_readme_names_what_there_is(readme):
    """Every option, command, help topic and setting that a README writes is one that the program has."""
    text = readme.read_text(encoding="utf-8").partition("## Development")[0]
    cells = "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^%.*$|^\w+ = %.*$", text, re.MULTILINE))
    options = {name for option in TABLE for name in option.names}
    commands = {command.name for command in COMMANDS}
    topics = re.search(r"(options[,、]\s*commands[\w,、\s]+)[.。]", text)[1]

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", cells)) <= {*options, "--allow-root"}
    assert set(re.findall(r"%chatglm ([a-z]+)", text)) - {"name"} <= {*commands, "help"}
    assert set(re.findall(r"ChatGLMMagics\.(\w+)", text)) <= set(ChatGLMMagics.class_own_traits(config=True))
    assert tuple(re.split(r"[,、]\s*", topics)) == TOPICS
    assert text.count("\n") <= 224


def test_the_chinese_readme_says_the_same():
    """Its two commands, its pictures and notebooks, and the kinds of errors are those of the English one."""
    english, chinese = (path.read_text(encoding="utf-8") for path in (README, CHINESE))
    for pattern in (
        r"<!-- \w+ command -->\n```bash\n.*?```",
        r"\((notebooks/.*?)\)",
        r"^\| (`\w+`(?:[,、] ?`\w+`)*) \|",
    ):
        ours, theirs = (re.findall(pattern, text, re.DOTALL | re.MULTILINE) for text in (chinese, english))
        assert [found.replace("、", ", ").replace(".zh-CN", "") for found in ours] == [
            found for found in theirs if "04_how_a_reply" not in found
        ]


def test_each_help_topic_has_a_page_of_its_own():
    """No topic falls back to the whole manual, and no page is wider than a notebook."""
    pages = [page(topic) for topic in TOPICS]

    assert len({*pages, page("")}) == len(TOPICS) + 1
    assert max(len(line) for text in pages[2:] for line in text.splitlines()) <= 105


def test_the_version_is_told_once():
    """The package's version is the one that is installed."""
    from importlib.metadata import version

    assert version("chatglm-magic") == chatglm_magic.__version__
