"""Keys that a server repeats in its reply: none is shown, kept or given, and nothing else is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatglm_magic import (
    BrokenStreamError,
    Chat,
    Event,
    Finished,
    ImagePart,
    Message,
    Part,
    Replace,
    Reply,
    Request,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from chatglm_magic._credentials import MASK, Key, Mask
from chatglm_magic._redaction import StreamRedactor, without_keys

KEY = "sk-4f5e6d7c8b9a0f1e"
OTHER = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp"
WORDS = ["so ", "s", "sk", "sk-", "sk-4", "sk-4f5", KEY, KEY[:-1], KEY[4:], OTHER, OTHER[:8], OTHER[:40], "\n", "答"]


def shown(events):
    redactor = StreamRedactor(Mask([KEY, OTHER]))
    return [one for event in events for one in redactor.feed(event)] + redactor.close()


def joined(events, kind):
    return "".join(event.text for event in events if isinstance(event, kind))


@given(st.lists(st.sampled_from(WORDS), max_size=8).map("".join), st.lists(st.integers(0, 200), max_size=12))
@example(text=f"x{KEY}y", cuts=list(range(30)))
@example(text=f"sk-{KEY}", cuts=[1, 2, 3, 4, 5])
@example(text=KEY[:-1] + KEY, cuts=[3, 18])
def test_a_key_in_pieces_is_masked_and_nothing_else_is_lost(text, cuts):
    """However a text is cut, what is shown of it is the text without keys."""
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[a:b] for a, b in pairwise(places)]

    said = joined(shown([TextDelta(piece) for piece in pieces if piece]), TextDelta)

    assert KEY not in said
    assert OTHER not in said
    assert said == Mask([KEY, OTHER])(text)


@given(st.lists(st.text(alphabet="as0 \n1-答", max_size=6), max_size=12))
def test_a_reply_without_keys_is_only_later_by_what_may_begin_one(pieces):
    """At each moment what is shown lacks at most such an end; a piece that none may begin in comes as it is."""
    redactor, came, seen = StreamRedactor(Mask([KEY, OTHER])), "", ""
    for piece in filter(None, pieces):
        came += piece
        event = TextDelta(piece)
        shown_now = redactor.feed(event)
        seen += joined(shown_now, TextDelta)
        held = came.removeprefix(seen)

        assert came == seen + held
        assert KEY.startswith(held) or OTHER.startswith(held)
        assert piece[-1] in "s0k-1" or shown_now[-1] is event or len(shown_now[-1].text) > len(piece)
    assert seen + joined(redactor.close(), TextDelta) == came


def test_what_is_held_back_comes_with_the_next_thing_or_the_end():
    """A beginning that no key came of is shown before whatever follows, in its own kind."""
    assert shown([TextDelta(f"a {KEY[:9]}")]) == [TextDelta("a "), TextDelta(KEY[:9])]
    assert shown([TextDelta(f"a {KEY[:9]}"), ThinkingDelta("hm"), Finished("stop")]) == [
        TextDelta("a "),
        TextDelta(KEY[:9]),
        ThinkingDelta("hm"),
        Finished("stop"),
    ]
    tokens = Usage(1, 2, 3)  # some servers count after each piece
    said = shown([TextDelta(KEY[:9]), tokens, TextDelta(KEY[9:]), tokens, Finished("stop")])
    assert said == [tokens, TextDelta(MASK), tokens, Finished("stop")]


def test_a_key_that_was_begun_before_is_not_finished():
    """What was shown stays, and the rest of the key is masked: after a thought, or where an answer is gone on with."""
    said = shown([TextDelta(f"a {KEY[:9]}"), ThinkingDelta("hm"), TextDelta(KEY[9:14]), TextDelta(f"{KEY[14:]} b")])
    assert said == [TextDelta("a "), TextDelta(KEY[:9]), ThinkingDelta("hm"), TextDelta(f"{MASK} b")]

    redactor = StreamRedactor(Mask([KEY, OTHER]))
    redactor.follow(f"a {KEY[:9]}")
    assert redactor.feed(TextDelta(KEY[9:14])) == []
    assert redactor.feed(TextDelta(f"{KEY[14:]} b")) == [TextDelta(f"{MASK} b")]


def test_whole_texts_are_masked_wherever_they_stand():
    """Corrections, parts, calls and the list of parts at the end."""
    part = Part("code", f"key = {KEY!r}", arguments=f'{{"key": "{OTHER}"}}')
    masked = Part("code", f"key = {MASK!r}", arguments=f'{{"key": "{MASK}"}}')

    assert shown([Replace(KEY, thinking=f"it is {OTHER}")]) == [Replace(MASK, thinking=f"it is {MASK}")]
    assert shown([part, Finished("stop", parts=(part,))]) == [masked, Finished("stop", parts=(masked,))]
    assert shown([ToolCallDelta(0, arguments=KEY)]) == [ToolCallDelta(0, arguments=MASK)]


class Echo:
    """Says its key in pieces, and the beginning of it once more before it breaks off."""

    name = "echo"

    def __init__(self, key: str) -> None:
        self.key = key

    async def stream(self, request: Request) -> AsyncGenerator[Event]:
        """Answer."""
        for at in range(0, len(self.key), 5):
            yield TextDelta(self.key[at : at + 5])
        yield TextDelta(f" and {self.key[:12]}")
        raise BrokenStreamError("gone")


def test_no_reply_of_a_chat_holds_a_key_of_this_process():
    """Neither in its events, nor in itself, nor in the conversation; also where it breaks off within a beginning."""
    key = Key("this-one-is-9-only-for-this-test")
    chat = Chat(Echo(key))
    events = []

    async def ask() -> None:
        async for event in chat.stream("What is my key?"):
            events.append(event)  # noqa: PERF401 - those that came before the failure count

    with pytest.raises(BrokenStreamError) as caught:
        asyncio.run(ask())

    assert joined(events, TextDelta) == f"{MASK} and "
    assert chat.messages[-1].content == caught.value.reply.text == f"{MASK} and {key[:12]}"


def test_no_key_in_what_tools_were_asked_and_returned():
    """Whatever a reply exchanged with tools is without keys once it ends, for exports too."""
    Key(KEY)
    call = Message("assistant", calls=(ToolCall("c", "read", f'["{KEY}"]'),))

    class Quiet:
        name = "quiet"

        async def stream(self, request: Request) -> AsyncGenerator[Event]:
            yield Finished("stop")

    async def main():
        chat, reply = Chat(Quiet()), Reply()
        async for _ in chat.stream("Read it", reply=reply):
            reply.exchange[:] = [call, Message("tool", f"It says {KEY}.", call_id="c")]
        return chat.messages, reply.exchange

    messages, exchange = asyncio.run(main())

    assert messages[1:] == exchange
    assert exchange[1] == Message("tool", f"It says {MASK}.", call_id="c")
    assert KEY not in repr(exchange)


def test_no_key_in_what_is_sent_again():
    """Texts beside pictures, calls and their results are masked as answers are; pictures stay as they are."""
    Key(KEY)
    picture = ImagePart(data=b"x", media_type="image/png")
    messages = [
        Message("user", (TextPart(f"a {KEY}"), picture)),
        Message("assistant", f"b {KEY}", thinking=KEY, calls=(ToolCall("c", "f", f'{{"k": "{KEY}"}}'),)),
        Message("tool", f"it is {KEY}", call_id="c"),
    ]
    masked = without_keys(messages)

    assert KEY not in repr(masked)
    assert masked[0] == Message("user", (TextPart(f"a {MASK}"), picture))
    assert masked[2] == Message("tool", f"it is {MASK}", call_id="c")
