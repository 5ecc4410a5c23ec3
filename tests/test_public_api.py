"""What is promised to users, and what the house promises to itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from readme import README, with_tables

import chatglm_magic

ROOT = Path(__file__).parents[1]
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
    "ServerError",
    "Source",
    "StalledError",
    "StatusError",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "TransportError",
    "Usage",
    "load_ipython_extension",
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
        print(sorted({"IPython", "aiohttp", "ipywidgets", "anywidget", "tqdm", "stamina"} & set(sys.modules)))
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
                    r"id='(check|expect|law)|attr='(raises|warns|fail|check|until|wait_until)", body
                ):
                    faults.append(f"{path.name}:{node.lineno} {node.name}: asserts nothing")

    assert faults == []


def test_no_module_grows_beyond_reading():
    """A module is read at one sitting."""
    long = {
        path.name: lines
        for path in (ROOT / "chatglm_magic").rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
    }

    assert long == {}


def test_the_readmes_tables_are_the_parsers():
    """A reader of the README sees the options that there are."""
    text = README.read_text(encoding="utf-8")

    assert "--no-history" in text
    assert with_tables(text) == text, "run: python -m tests.readme"


def test_the_version_is_told_once():
    """The package's version is the one that is installed."""
    from importlib.metadata import version

    assert version("chatglm-magic") == chatglm_magic.__version__
