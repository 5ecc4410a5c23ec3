"""What is said is the user's alone: who may read the file, what never gets into it, and what leaves it for good."""

from __future__ import annotations

import asyncio
import logging
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_kit import Scripted, ask, bar, bytes_of, files, look, said, talked, tell

from chatglm_magic._chat import Chat, close_chat
from chatglm_magic._credentials import MASK, Mask, save_key, seen_keys
from chatglm_magic._errors import ChatGLMError, ConfigError
from chatglm_magic._events import Finished, Part, TextDelta, ToolCall
from chatglm_magic._messages import ImagePart, Message
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target
from chatglm_magic._store import configure
from chatglm_magic._store.location import locate

ENVIRONMENT = "0123456789abcdef0123456789abcdef.EnvironmentKey01"
LOGIN = "fedcba9876543210fedcba9876543210.KeptByLogin00001"
GIVEN = "sk-GivenInPythonXYZ-42"
BACKSLASHED = 'key"with\\odd-signs-1'


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Have keys everywhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ZAI_API_KEY", ENVIRONMENT)
    monkeypatch.setenv("OTHER_API_KEY", BACKSLASHED)
    save_key("http://127.0.0.1:1/v1", LOGIN)
    return ENVIRONMENT, LOGIN, GIVEN, BACKSLASHED


@pytest.mark.parametrize("opened", [False, True])
def test_only_the_user_may_read_it(path, store, opened):
    """Whatever the umask, folder and files are the user's alone from the beginning, or again: a copy may open them."""
    old = os.umask(0)
    try:
        if opened:
            path.parent.mkdir(parents=True, mode=0o755)
            path.touch(0o644)
        talked("Now?")
        store.flush(5)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {found.name for found in files(path)} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
        assert {stat.S_IMODE(found.stat().st_mode) for found in files(path)} == {0o600}
    finally:
        os.umask(old)


def test_a_folder_of_the_users_own_stays_as_it_is(tmp_path, monkeypatch):
    """A store that the user puts into a folder of another purpose changes nothing about that folder."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setenv("CHATGLM_STORE", str(folder / "x.db"))
    talked("Now?")
    Chat.open("x")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "x.db").stat().st_mode) == 0o600


def test_no_key_is_in_it(path, store, keys, glm):
    """After a visit with keys in every place, none of them is among the bytes of any file of the store."""
    echo = " ".join(keys)
    glm.refuse(401, "1000", f"Your key {echo} is wrong")
    chat = Chat(
        "openai", base_url=glm.url, model="m", api_key=GIVEN, name=f"named {GIVEN}", system=f"Never say {GIVEN}."
    )
    with pytest.raises(ChatGLMError):
        asyncio.run(chat.send("Who are you?"))
    with pytest.raises(ConfigError, match="your keys"):
        asyncio.run(chat.send(f"Use {ENVIRONMENT}"))
    glm.say(f"The key is {echo}.", pieces=list(f"The key is {echo}."), thinking=f"hm {echo}", delay=0.001)
    reply = asyncio.run(chat.send(f"Say {GIVEN} once more."))
    raw = {"deep": [echo, {echo: echo}]}
    part = Part(
        "unknown", echo, name=echo, arguments=f'{{"key": "{GIVEN}"}}', urls=(f"https://a.example/?k={GIVEN}",), raw=raw
    )
    ask(chat, "And parts?", part, TextDelta(echo), Finished("error", warnings=(echo,)))
    chat.target = Target(Scripted(TextDelta("half "), ChatGLMError(f"It failed with {echo}")), chat.model)
    with pytest.raises(ChatGLMError):
        asyncio.run(chat.send("And failures?"))
    store.flush(5)

    assert reply.text == Mask(seen_keys())(f"The key is {echo}.")
    assert GIVEN not in reply.text + reply.thinking
    content = bytes_of(path)
    assert b"And parts?" in content
    assert MASK.encode() in content
    for key in keys:
        assert key.encode() not in content
        assert key.encode("unicode_escape") not in content
        assert key.split(".")[-1].lower().encode() not in content
    close_chat(chat)  # as a process that has ended
    again = Chat.open("named [key]", provider=Scripted())
    assert again.options.system == "Never say [key]."
    assert f"The key is {MASK} {MASK} {MASK} {MASK}." in [content for _, content in said(again)]


def test_no_key_is_in_it_while_it_comes(path, store, keys):
    """A key whose halves come seconds apart is not in the file in between, and what is no key after all is."""
    seen = []

    async def look_in():
        await asyncio.sleep(1.2)
        seen.append(bytes_of(path))

    half = len(GIVEN) // 2
    chat = Chat(Scripted(), name="x")
    Chat("openai", base_url="http://127.0.0.1:9/v1", model="m", api_key=GIVEN)
    ask(
        chat,
        "Now?",
        TextDelta("It is " + GIVEN[:half]),
        look_in,
        TextDelta(GIVEN[half:] + " or " + GIVEN[:half]),
        look_in,
        TextDelta("-no key"),
        Finished("stop"),
    )

    assert b"It is" in seen[0]
    assert all(GIVEN[:half].encode() not in content for content in seen)
    assert store.load(chat.id)[1][1].text == f"It is {MASK} or {GIVEN[:half]}-no key"


@given(st.text("ab1-", min_size=8, max_size=10), st.lists(st.text("ab1-", max_size=6), max_size=12))
def test_a_key_in_pieces_is_masked_as_one_in_one(key, pieces):
    """However a text is cut, holding back what may begin a key hides the same as masking the whole."""
    mask, written, held = Mask([key]), "", ""
    told = [*pieces, key[:4], key[4:], *pieces]
    for piece in told:
        ready, held = mask.take(held + piece)
        written += ready
    if any(letter.isdigit() for letter in key):
        assert key not in written + held
        assert MASK in written
        assert (written + held).replace(MASK, key) == "".join(told)
    else:
        assert written + held == "".join(told)


def test_words_are_no_keys():
    """What servers without keys are given in place of one stays a word in what is said."""
    assert Mask(["EMPTY", "none", "ollama", "x1", "password"])("EMPTY none ollama x1 password") == (
        "EMPTY none ollama x1 password"
    )
    assert Mask(["token123"])("a token123") == f"a {MASK}"


SECRETS = ("Kaffeekränzchen", "絶対秘密です", "unforgettable")


@pytest.fixture
def full(store):
    for number, secret in enumerate(SECRETS):
        chat = Chat(Scripted(), name=f"thread {number}")
        ask(chat, f"Do you know {secret}?", *tell(f"Yes: {secret}. " * 200))
        ask(chat, f"Aside about {secret}?", *tell(secret), remember=False)
    ask(Chat(Scripted(), name="stays"), "What stays?", *tell("This stays. " * 200))
    store.flush(5)
    return store


def forgotten(path, *secrets: str) -> bool:
    content = bytes_of(path)
    return not any(form in content for secret in secrets for form in (secret.encode(), secret.lower().encode()))


def test_what_is_forgotten_leaves_the_file(full, path):
    """No byte of a forgotten thread is in any file of the store, nor its words in the index; the others stay."""
    assert not forgotten(path, SECRETS[0])
    full.forget([full.find("thread 0").id])

    look(path, "SELECT 1")
    asides = look(path, "SELECT count(*) FROM message WHERE thread IS NULL")
    assert asides == [(6,)]
    assert full.search("Kaffee") == []
    assert [thread.name for thread in full.threads()] == ["stays", "thread 2", "thread 1"]
    assert full.search("stays")
    full.forget()
    assert forgotten(path, *SECRETS, "stays")
    assert full.threads() == []
    assert path.stat().st_size < 100_000


def test_a_forgotten_word_leaves_the_file_at_once(store, path):
    """Alone in its thread, a word is nowhere once that is forgotten, while another kernel has the file open too."""
    chat, other = Chat(Scripted(), name="x"), Chat(Scripted(), name="y")
    ask(chat, f"Do you know {SECRETS[0]}?", *tell(SECRETS[0] * 50))
    ask(other, "What stays?")
    store.flush(5)
    store.forget([chat.id])

    assert forgotten(path, SECRETS[0], "kaffeekra")
    assert not forgotten(path, "stays")
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


def test_the_place_is_where_the_user_says(monkeypatch, tmp_path):
    """What is said comes before what is configured, and that before the environment."""
    monkeypatch.setenv("CHATGLM_STORE", "~/mine.db")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate() == str(tmp_path / "mine.db")
    configure("off")
    assert locate() == "off"
    assert locate(":memory:") == ":memory:"
    configure("")
    for word in ("OFF", "none", "0", " False "):
        monkeypatch.setenv("CHATGLM_STORE", word)
        assert locate() == "off"
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path))
    assert locate() == str(tmp_path / "conversations.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATGLM_STORE", "relative.db")
    assert locate() == str(tmp_path / "relative.db")
    monkeypatch.chdir("/")
    assert locate() == str(tmp_path / "relative.db")
    monkeypatch.delenv("CHATGLM_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert locate().endswith("conversations.db")
    assert "chatglm_magic" in locate()


def test_no_key_is_in_the_log(path, store, keys, caplog):
    """What is logged about a store that fails tells nothing of what could not be written."""
    caplog.set_level(logging.DEBUG)
    bar(path)
    ask(Chat(Scripted(), name="x"), "Now?", *tell(GIVEN))
    store.flush(1)

    assert store.failure
    assert GIVEN not in caplog.text


PICTURE = ImagePart(data=b"\x89PNG the first of all pictures" * 50, media_type="image/png", name="plot.png")
OTHER = ImagePart(data=b"\x89PNG another one" * 50, media_type="image/png")


def kept(path) -> set[bytes]:
    return {data for (data,) in look(path, "SELECT bytes FROM blob")}


def test_a_picture_is_stored_once_and_goes_with_the_last_message_that_names_it(path, store):
    """Versions and conversations share it; what is removed, deleted or forgotten takes only what nobody else has."""
    one, other = Chat(Scripted(), name="one"), Chat(Scripted(), name="other")
    ask(one, "Look", attachments=[PICTURE])
    ask(one, "Again", attachments=[PICTURE, OTHER])
    ask(other, "Look", attachments=[PICTURE])
    store.flush(5)
    assert sorted(look(path, "SELECT bytes FROM blob")) == sorted([(PICTURE.data,), (OTHER.data,)])
    assert b"PNG" not in b"".join(str(row).encode() for row in look(path, "SELECT details FROM message"))

    one.undo()
    store.flush(5)
    assert kept(path) == {PICTURE.data}
    store.delete(one.id)
    assert kept(path) == {PICTURE.data}
    store.forget([other.id])
    assert kept(path) == set()
    assert PICTURE.data not in bytes_of(path)


def test_all_pictures_are_forgotten_with_all_the_rest(path, store):
    """Those of questions in no conversation too."""
    chat = Chat(Scripted(), name="one")
    ask(chat, "Look", attachments=[PICTURE])
    ask(chat, "Aside", attachments=[OTHER], remember=False)
    store.flush(5)
    assert kept(path) == {PICTURE.data, OTHER.data}
    store.forget()

    assert kept(path) == set()


def test_no_key_is_kept_that_a_tool_has_returned(path, store, keys):
    """Calls and results are masked as texts are, while they come and at the end."""
    call = Message("assistant", calls=(ToolCall("c", "read", f'{{"file": "{keys[0]}"}}'),))

    async def main():
        chat, reply = Chat(Scripted(Part("notice", "ran"), Finished("stop")), name="one"), Reply()
        async for _ in chat.stream("Read it", reply=reply):
            reply.exchange[:] = [call, Message("tool", f"It says {keys[0]}", call_id="c")]
            store.flush(5)
            assert keys[0].encode() not in bytes_of(path)

    asyncio.run(main())
    store.flush(5)
    assert keys[0].encode() not in bytes_of(path)
    assert MASK.encode() in bytes_of(path)
