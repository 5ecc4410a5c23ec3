"""What providers, the transport and the choice of who answers say, in the language in force."""

from __future__ import annotations

import asyncio
import inspect
import json
from types import SimpleNamespace

import pytest
from asking import call_to
from pseudo_language import speak_pseudo, unmarked

from chatglm_magic._chat import Chat
from chatglm_magic._credentials import key_place, save_key
from chatglm_magic._errors import ChatGLMError, ServerError
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._language import page_language, set_language, tr
from chatglm_magic._messages import ChatOptions, Request
from chatglm_magic._resolve import Target, resolve
from chatglm_magic._transport import retries
from chatglm_magic._transport.call import Refusal, proxy_for
from chatglm_magic._transport.failures import Failures
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.providers.chatglm import errors as of_chatglm
from chatglm_magic.providers.local import __main__ as fetch_command
from chatglm_magic.providers.local import server
from chatglm_magic.providers.local.background_task import Progress, ProgressDisplay, run_background_task
from chatglm_magic.providers.openai import errors as of_openai

HTML = b"<html><title>Sign in</title></html>"
REFUSALS = {
    "no key": (401, "application/json", b'{"error": {"message": "no"}}', {}),
    "password": (401, "", b"no", {"www-authenticate": 'Basic realm="x"'}),
    "quota": (429, "", json.dumps({"error": {"code": "1308", "message": "until 2026-11-21 14:05:00"}}).encode(), {}),
    "wait": (429, "", b"slow down", {"retry-after": "9"}),
    "post": (405, "text/plain", b"not allowed", {}),
    "proxy": (407, "text/html", HTML, {}),
    "large": (413, "text/html", HTML, {}),
    "template": (400, "", b"Jinja Exception: roles must alternate", {}),
    "think": (400, "", b"enable_thinking is not supported", {}),
    "path": (404, "", b"no such path", {}),
    "page": (200, "text/html", HTML, {}),
    "gate": (403, "text/html", HTML, {}),
    "empty": (200, "text/plain", b"", {}),
    "whole": (200, "application/json", b'{"choices": []}', {}),
    "other": (200, "", b"hello", {}),
}
FAILURES = {
    "stalled": (),
    "broken": (),
    "no_answer": (),
    "late": (),
    "unknown_name": (OSError(-2, "x"),),
    "unreachable": (OSError(),),
    "untrusted": (SimpleNamespace(verify_message="self-signed certificate"),),
    "proxy_failed": (502,),
    "malformed": (),
    "no_http": ("x",),
    "redirected": ("https://other.invalid/?q", 302),
    "compressed": ("br", "x"),
    "no_json": (b"x",),
    "no_events": ("x", b"x"),
}
OPTIONS = {
    "no provider": {"provider": "nope"},
    "no key": {"provider": "zai"},
    "no key there": {"provider": "zai", "base_url": "https://lab.invalid"},
    "no server": {"provider": "openai"},
    "no URL": {"base_url": "ftp://lab"},
    "local": {"provider": "local", "base_url": "http://127.0.0.1:1"},
    "misspelled": {"model": "glm-4.7-flahs"},
    "no such provider": {"model": "nope:glm-4.7"},
}


@pytest.fixture
def _pseudo(monkeypatch):
    speak_pseudo(monkeypatch)


def is_marked(text: object) -> bool:
    return bool(str(text)) and not any(sign.isalpha() for sign in unmarked(str(text)))


@pytest.mark.usefixtures("_pseudo")
@pytest.mark.parametrize("explain", [of_openai.explain, of_chatglm.explain], ids=["openai", "chatglm"])
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_worded_in_the_language_in_force(explain, refusal):
    """All of it but what the service said; `kind` has no language."""
    info = of_openai.RequestInfo("zai", "glm-4.7", "api.z.ai", keyless="https://api.z.ai")

    error = explain(Refusal(*refusal), info)

    assert is_marked(error)
    assert error.kind.isascii()


@pytest.mark.usefixtures("_pseudo")
@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("url", ["https://api.z.ai", "http://127.0.0.1:9"])
def test_a_failure_of_the_network_is_worded_in_the_language_in_force(name, url):
    """Each of them, with and without a way to name what the system said."""
    failures = Failures(call_to(url), "http://user:word@proxy:1")

    assert is_marked(getattr(failures, name)(*FAILURES[name]))


def test_no_failure_of_the_network_is_left_out():
    """The table above has every method that makes an error."""
    made = {name for name, _ in inspect.getmembers(Failures, inspect.isfunction) if not name.startswith("_")}

    assert made == FAILURES.keys()


@pytest.mark.usefixtures("_pseudo")
@pytest.mark.parametrize("given", OPTIONS.values(), ids=OPTIONS)
def test_what_cannot_be_asked_is_said_in_the_language_in_force(given):
    """Options that name nobody, and keys and servers that are missing."""
    with pytest.raises(ChatGLMError) as caught:
        resolve(ChatOptions(**given), ChatOptions())

    assert is_marked(caught.value)


@pytest.mark.usefixtures("_pseudo")
def test_who_answers_and_why(monkeypatch):
    """The reason, the note, the caption and where the key is are sentences; the provider's name is none."""
    assert is_marked(resolve(ChatOptions(), ChatOptions()).reason)
    assert is_marked(resolve(ChatOptions(), ChatOptions(provider="chatglm")).reason)
    monkeypatch.setenv("ZAI_API_KEY", "id.secret")
    target = resolve(ChatOptions(provider="zai"), ChatOptions(base_url="http://127.0.0.1:9"))
    assert is_marked(target.note)
    assert is_marked(resolve(ChatOptions(), ChatOptions()).reason)
    assert is_marked(key_place("zai"))
    assert is_marked(key_place("bigmodel"))
    local = resolve(ChatOptions(provider="local"), ChatOptions()).provider
    assert is_marked(local.caption)
    assert is_marked(local.host)
    assert is_marked(make_provider("chatglm", Settings()).unnamed)
    assert local.name == "local"


def test_where_a_key_is_kept_is_said_in_any_language(monkeypatch, tmp_path):
    """A key of `login` is found whatever the words for its place are."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    save_key("https://api.z.ai", "id.secret")

    assert key_place("zai") == "kept by %chatglm login"
    speak_pseudo(monkeypatch)
    assert key_place("zai") == "⟦kept by %chatglm login⟧"


def test_a_caption_follows_the_setting_at_once(monkeypatch):
    """A provider that was made in one language speaks another as soon as that is in force."""
    provider = make_provider("openai", Settings(base_url="http://127.0.0.1:9"))
    before = provider.unnamed
    speak_pseudo(monkeypatch)
    monkeypatch.setenv("CHATGLM_LANG", "en")
    try:
        set_language("zh")
        after = provider.unnamed
    finally:
        set_language("auto")

    assert after == f"⟦{before}⟧"
    assert provider.unnamed == before


@pytest.mark.parametrize("prompt", ["你好", "Hello"])
def test_who_asks_in_chinese_is_answered_in_chinese(monkeypatch, prompt):
    """The note that the demo model has no Chinese needs no Chinese locale; a setting goes before the question."""
    provider = make_provider("local", Settings())
    speak_pseudo(monkeypatch)
    monkeypatch.delenv("CHATGLM_LANG")
    monkeypatch.setenv("LANGUAGE", "de")
    notes = [Target(provider).language_note(prompt)]
    with page_language("en"):
        notes.append(Target(provider).language_note(prompt))
    monkeypatch.setenv("CHATGLM_LANG", "en")
    notes.append(Target(provider).language_note(prompt))

    assert list(map(is_marked, notes)) == ([True, True, False] if prompt == "你好" else [False] * 3)
    assert all(("%chatglm login zai" in note) is (prompt == "你好") for note in notes)


@pytest.mark.parametrize("kind", [*retries._WAITING, "auth"])
def test_another_attempt_is_announced_in_the_language_in_force(monkeypatch, kind):
    """One sentence, the seconds in it."""
    speak_pseudo(monkeypatch)
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0)
    failures = [ServerError("x", kind=kind, retryable=True)]
    told: list[str] = []

    async def attempt():
        if failures:
            raise failures.pop()
        yield TextDelta("a")
        yield Finished("stop")

    async def main():
        return [event async for event in retries.with_retries(attempt, notify=told.append)]

    assert len(asyncio.run(main())) == 2
    assert len(told) == 1
    assert is_marked(told[0])
    assert "0.0 s" in told[0]


def test_work_in_the_background_speaks_the_pages_language(monkeypatch):
    """What a page asks for is told, and fails, in its language, though a thread does it."""
    speak_pseudo(monkeypatch)
    monkeypatch.delenv("CHATGLM_LANG")
    monkeypatch.setenv("LANGUAGE", "en")
    told: list[str] = []

    def work(task):
        task.report(Progress(tr("downloading the demo model"), 1, 2))
        raise OSError(tr("no word"))

    async def main():
        with page_language("zh-CN"):
            await run_background_task(work, ProgressDisplay(told.append))

    with pytest.raises(OSError, match="⟦no word⟧"):
        asyncio.run(main())
    assert told == ["⟦⟦downloading the demo model⟧, 50 %⟧"]


@pytest.mark.usefixtures("_pseudo")
def test_the_help_of_the_download(capsys):
    """`--help` is one translated text."""
    assert fetch_command.main(["--help"]) == 0
    assert is_marked(capsys.readouterr().out)


@pytest.mark.usefixtures("_pseudo")
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://[", "http://x:port"])
def test_a_proxy_that_cannot_be_used(proxy):
    """What is wrong with it is said in the language in force."""
    with pytest.raises(ChatGLMError) as caught:
        proxy_for("https://api.z.ai", proxy)

    assert is_marked(caught.value)


@pytest.mark.usefixtures("_pseudo")
def test_a_parameter_that_a_platform_does_not_have():
    """Names are listed as the language lists them."""
    provider = make_provider("zai", Settings(api_key="id.secret"))
    with pytest.raises(ChatGLMError) as caught:
        provider.parameters(Request((), options={"min_p": 0.1, "mirostat": 1}))

    assert is_marked(caught.value)
    assert "min_p⟦, ⟧mirostat" in str(caught.value)


@pytest.mark.parametrize(("spoken", "asked"), [("en", "en-US,en"), ("zh", "zh-CN,zh")])
def test_a_platform_is_asked_for_errors_in_the_language_in_force(glm, monkeypatch, spoken, asked):
    """What it says of a failure is quoted, so it had better be understood."""
    monkeypatch.setenv("CHATGLM_LANG", spoken)
    glm.say("ok")
    provider = make_provider("zai", Settings(base_url=f"{glm.origin}/api/paas/v4", api_key="id.secret"))

    asyncio.run(Chat(provider).send("hi"))

    assert glm.requests[0].headers["accept-language"] == asked


@pytest.mark.usefixtures("_pseudo")
def test_what_the_local_model_lacks(tmp_path):
    """A file, the engine and a search are missed in the language in force."""
    with pytest.raises(ChatGLMError) as no_file:
        server.Model.at(tmp_path / "x.gguf", "x")
    with pytest.raises(ChatGLMError) as no_search:
        asyncio.run(anext(make_provider("local", Settings()).stream(Request((), search=True))))

    assert is_marked(no_file.value)
    assert is_marked(no_search.value)
    assert is_marked(server.engine_missing())
