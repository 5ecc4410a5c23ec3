"""The embedded model: the real engine in its child process answers, with tiny models whose replies are scripted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import urllib.request
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from local_kit import MARKS, TEXT, WORDS, added, ask, endless, events, provider, request
from tiny_glm import tiny_glm

from chatglm_magic import _chat
from chatglm_magic._errors import BadRequestError, ConfigError
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._messages import ImagePart, Message, Request, TextPart
from chatglm_magic.providers.local import server

pytestmark = MARKS


def slot() -> dict[str, Any]:
    """Ask the one running child what it is doing."""
    [child] = server._servers.values()
    headers = {"Authorization": f"Bearer {child.key}"}
    question = urllib.request.Request(f"{child.url}/slots", headers=headers)  # noqa: S310 - http, on loopback
    with urllib.request.urlopen(question) as answer:  # noqa: S310 - the same
        return json.load(answer)[0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Request((Message("user", (TextPart("Look"), ImagePart(data=b"x", media_type="image/png"))),)),
            "sees no pictures",
        ),
        (Request((Message("user", "Hi"),), search=True), "cannot search the web"),
    ],
)
def test_what_it_does_not_take_is_refused_before_anything_starts(tiny_models: Path, asked: Request, words: str) -> None:
    """No weights are fetched and no child is started for a picture that would not be seen."""
    before = dict(server._servers)
    with pytest.raises(ConfigError, match=words):
        asyncio.run(events(provider(tiny_models / "plain.gguf"), asked))

    assert server._servers == before


def test_streams(tiny_models: Path) -> None:
    """The reply comes whole, with tokens counted, under the file's name, and ends once."""
    found = asyncio.run(events(provider(tiny_models / "plain.gguf")))
    reply = added(found)

    assert reply.text == TEXT
    assert reply.thinking == ""
    assert [event for event in found if isinstance(event, Finished)] == [found[-1]]
    assert reply.finish_reason == "stop"
    assert reply.model == "plain"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == len(WORDS) + 1


def test_thinking_is_split_off_and_can_be_switched_off(tiny_models: Path) -> None:
    """Thinking arrives as thinking, and `think=False` reaches the model's template."""
    thoughtful = ask(tiny_models / "thinking.gguf")
    brief = ask(tiny_models / "thinking.gguf", think=False)

    assert (thoughtful.thinking, thoughtful.text) == ("They want a greeting.", TEXT)
    assert (brief.thinking, brief.text) == ("", TEXT)


def test_text_comes_as_it_is_written(tiny_models: Path) -> None:
    """A long reply comes in many pieces, the first of them while the model still writes."""

    async def main() -> int:
        question = request(options={"max_tokens": 4000})
        async with aclosing(provider(tiny_models / "endless.gguf").stream(question)) as stream:
            first = await anext(stream)
            assert slot()["is_processing"]
            assert isinstance(first, TextDelta)
            return len([event async for event in stream if isinstance(event, TextDelta)])

    assert asyncio.run(main()) > 10


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_hanging_up_ends_the_generation(tiny_models: Path, how: str) -> None:
    """When the stream is closed or its task cancelled, the model stops long before the reply's end."""
    decoded = []

    async def main() -> None:
        got = asyncio.Event()

        async def read() -> None:
            async with endless(tiny_models) as all_:
                async for _ in all_:
                    got.set()
                    if how == "close":
                        return

        task = asyncio.create_task(read())
        await got.wait()
        if how == "cancel":
            task.cancel()
        await asyncio.wait({task})

    asyncio.run(main())
    while (doing := slot())["is_processing"]:
        decoded.append(doing["next_token"][0]["n_decoded"])

    assert max(decoded, default=0) < 3000


def test_a_file_that_has_changed_is_loaded_anew(tmp_path: Path) -> None:
    """Another file under the same name is another model."""
    path = tiny_glm(tmp_path / "model.gguf", ["One"])
    first = ask(path).text
    tiny_glm(path, ["Two"])
    os.utime(path, ns=(1, 1))

    assert (first, ask(path).text) == ("One", "Two")


@pytest.mark.parametrize(
    ("demo", "given", "expected"),
    [
        (True, {}, (0.2, 0.9, 0.05, 1.08, 400)),
        (True, {"temperature": 0.5, "max_tokens": 300}, (0.5, 0.9, 0.05, 1.08, 300)),
        (False, {}, (0.8, 0.95, 0.05, 1.0, 2048)),
        (False, {"temperature": 0.5, "repeat_penalty": 1.2}, (0.5, 0.95, 0.05, 1.2, 2048)),
    ],
)
def test_options(tiny_models: Path, demo: bool, given: dict[str, Any], expected: tuple[float, ...]) -> None:  # noqa: FBT001 - a parameter
    """The demo model's parameters are tamed where the user set none; a user's own file gets a length only."""
    names = ("temperature", "top_p", "min_p", "repeat_penalty", "max_tokens")

    async def main() -> tuple[float, ...]:
        asked = provider("" if demo else tiny_models / "endless.gguf")
        question = request("Write a long story about the sea.", options=given)
        async with aclosing(asked.stream(question)) as stream:
            await anext(stream)
            parameters = slot()["params"]
            return tuple(round(parameters[name], 3) for name in names)

    assert asyncio.run(main()) == expected


def test_the_loop_stays_free(tiny_models: Path) -> None:
    """Other tasks of the loop run while the child starts."""

    async def main() -> int:
        task = asyncio.create_task(events(provider(tiny_models / "plain.gguf")))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        await task
        return turns

    assert asyncio.run(main()) > 20


def test_says_what_it_waits_for(tiny_models: Path) -> None:
    """Loading, and another reply in progress, are told in the loop's thread."""
    told: list[tuple[str, int]] = []

    def notify(text: str) -> None:
        told.append((text, threading.get_ident()))

    async def main() -> None:
        asked = provider(tiny_models / "endless.gguf")
        async with aclosing(asked.stream(request(notify=notify, options={"max_tokens": 500}))) as stream:
            await anext(stream)
            await events(asked, request(notify=notify, options={"max_tokens": 1}))

    asyncio.run(main())

    here = threading.get_ident()
    assert told == [("loading endless", here), ("waiting for the local model's other reply", here)]


def test_a_path_after_local(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local:PATH` takes relative paths and `~`, and keeps to the file when the working folder changes."""
    monkeypatch.chdir(tiny_models)
    monkeypatch.setenv("HOME", str(tiny_models))
    monkeypatch.setenv("USERPROFILE", str(tiny_models))
    relative = _chat.Chat(model="local:plain.gguf")
    monkeypatch.chdir("/")
    at_home = _chat.Chat(model="local:~/plain.gguf")

    assert asyncio.run(relative.send("hi")).text == TEXT
    assert asyncio.run(at_home.send("hi")).text == TEXT


def test_a_question_longer_than_the_context(tiny_models: Path) -> None:
    """What does not fit is refused in words that help, and the child lives on."""
    with pytest.raises(BadRequestError) as caught:
        ask(tiny_models / "plain.gguf", text="word " * 5000)

    assert caught.value.kind == "context_length"
    assert "at this computer" in str(caught.value)
    assert ask(tiny_models / "plain.gguf").text == TEXT


def test_files_that_are_no_models(tiny_models: Path, tmp_path: Path) -> None:
    """A missing, a garbage and a truncated file are refused with llama.cpp's own reason."""
    (tmp_path / "garbage.gguf").write_bytes(b"no model at all" * 99)
    (tmp_path / "truncated.gguf").write_bytes((tiny_models / "plain.gguf").read_bytes()[:200_000])
    cases = {
        "missing.gguf": r"There is no model file .*missing\.gguf",
        "": "There is no model file",
        "garbage.gguf": r"cannot load .*garbage\.gguf: invalid magic characters",
        "truncated.gguf": r"cannot load .*truncated\.gguf: .*corrupted or incomplete",
    }
    for name, expected in cases.items():
        with pytest.raises(ConfigError, match=expected):
            ask(tmp_path / name)


def test_the_real_weights() -> None:
    """The demo model answers in English, is called what it is, and says so."""
    asked = provider()
    reply = added(asyncio.run(events(asked, request("Write one sentence about the sea.", timeout=120))))

    assert any(word in reply.text.lower() for word in ("sea", "ocean", "water", "wave"))
    assert reply.model == asked.model == "SmolLM2-135M-Instruct (demo)"
    assert "English only" in asked.caption
    assert asyncio.run(asked.models())[0] == "SmolLM2-135M-Instruct"
    assert provider("smollm2-135m-instruct").model == asked.model


def test_without_the_engine(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine is not installed, the extra is named before anything is fetched or started."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(ConfigError, match=r'pip install "chatglm-magic\[local\]"'):
        ask("")
