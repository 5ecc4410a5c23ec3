"""The one loop that reads a reply."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing

import pytest
from asking import call_to, run

from chatglm_magic._errors import (
    BrokenStreamError,
    ChatGLMError,
    ConnectError,
    ProtocolError,
    ServerError,
    StalledError,
    status_error,
)
from chatglm_magic._events import Finished, TextDelta
from chatglm_magic._transport import retries
from chatglm_magic._transport.sse import SSEDecoder
from chatglm_magic.providers import stream as _stream


class WordDecoder:
    """A dialect for these tests: each event is text, but for a few words in capitals."""

    def __init__(self, max_event_bytes: int = 1000) -> None:
        self.error: ChatGLMError | None = None
        self.done = False
        self.grace: float | None = None
        self.closed = 0
        self._reason = ""
        self._sse = SSEDecoder(max_event_bytes)

    def feed(self, chunk):
        events = []
        for event in self._sse.feed(chunk):
            word = event.data.decode()
            match word:
                case "DONE":
                    self.done, self._reason = True, "stop"
                case "END":
                    self.grace, self._reason = 0.05, "stop"
                case "FAIL" | "BUSY":
                    self.done, self._reason = True, "error"
                    self.error = status_error("server", detail=word, retryable=word == "BUSY")
                case _:
                    events.append(TextDelta(word))
        return events

    def close(self):
        self.closed += 1
        assert self.closed == 1
        if not self._reason:
            self._reason = "error"
            self.error = BrokenStreamError("the decoder's own words for a stream that just ended")
        return [Finished(self._reason)]


def says(*words: str) -> bytes:
    return b"".join(b"data: %b\n\n" % word.encode() for word in words)


def ask(call, make=WordDecoder):
    """Return the text, the reasons of all `Finished`, and the error of a run."""

    async def main():
        events = []
        error = None
        try:
            async with aclosing(_stream.run(call, make)) as stream:
                async for event in stream:
                    events.append(event)  # noqa: PERF401 - what came before an error counts
        except ChatGLMError as caught:
            error = caught
        ends = [event.reason for event in events if isinstance(event, Finished)]
        assert not ends or isinstance(events[-1], Finished)
        return "".join(event.text for event in events if isinstance(event, TextDelta)), ends, error

    return run(main())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0)


def test_a_reply_that_ends_well(glm):
    """Deltas, one `Finished`, no error; the server saw the end of its reply."""
    glm.replay(says("a", "b", "DONE"))

    assert ask(call_to(glm.url)) == ("ab", ["stop"], None)


def test_events_keep_a_reply_alive(glm):
    """A reply may take longer than the timeout, as long as its decoder finds events in it."""
    body = says(*"abcdefgh", "DONE")
    glm.replay(body, chunk_sizes=[9] * 9, delay=0.15)

    assert ask(call_to(glm.url, timeout=0.6)) == ("abcdefgh", ["stop"], None)


def test_done_stops_the_reading(glm):
    """After `done` nothing is read any more, and the connection is closed before the last events are taken."""
    glm.script(glm_endless(says("a", "DONE")))

    async def main():
        async with aclosing(_stream.run(call_to(glm.url), WordDecoder)) as events:
            assert await anext(events) == TextDelta("a")
            await glm.until(lambda: glm.aborted == 1)
            return await anext(events)

    assert run(main()) == Finished("stop")


def glm_endless(body: bytes):
    """Make a reply that goes on with pings after its body."""
    from glm_script import send

    async def serve(request, _):
        async def chunks():
            yield body
            while True:
                await asyncio.sleep(0.01)
                yield b": ping\n\n"

        return await send(request, chunks())

    return serve


def test_a_server_that_stays_after_the_end(glm):
    """Once the end was said, silence and pings end the reply well, after the decoder's grace."""
    glm.script(glm_endless(says("a", "END")))

    assert ask(call_to(glm.url, timeout=30)) == ("a", ["stop"], None)
    glm.wait_until(lambda: glm.aborted == 1)


def test_a_connection_that_breaks_after_the_end(glm):
    """Once the end was said a failure costs nothing, so it is none."""

    async def serve(request, recorded):
        from glm_script import close, send

        async def chunks():
            yield says("a", "END")
            await asyncio.sleep(0.01)
            await close(request)

        return await send(request, chunks())

    glm.script(serve)

    assert ask(call_to(glm.url)) == ("a", ["stop"], None)


def test_what_the_wire_says_is_raised_after_its_end(glm):
    """An error in the stream comes after `Finished("error")`."""
    glm.replay(says("a", "FAIL"))

    text, ends, error = ask(call_to(glm.url))

    assert (text, ends) == ("a", ["error"])
    assert isinstance(error, ServerError)


def test_a_stream_that_just_ends(glm):
    """At a clean end without the wire's word the decoder's own error is raised."""
    glm.replay(says("a", "b"))

    text, ends, error = ask(call_to(glm.url))

    assert (text, ends) == ("ab", ["error"])
    assert "decoder's own words" in str(error)


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("stall_after", [3], StalledError),
        ("reset_after", [3], BrokenStreamError),
        ("hang_up_after", [3], BrokenStreamError),
        ("ping_forever", [0.01, "x y z"], StalledError),
    ],
)
def test_the_transports_failures(glm, name, arguments, kind):
    """A failing connection gives what had arrived, `Finished("error")`, and the transport's error."""
    getattr(glm, name)(*arguments)

    text, ends, error = ask(call_to(glm.url, timeout=0.3))

    assert text.count("choices") == 3
    assert ends == ["error"]
    assert type(error) is kind
    assert "decoder's own words" not in str(error)


def test_an_event_without_end(glm):
    """An event beyond the decoder's limit is a protocol error that quotes how it begins."""
    glm.endless_line()

    text, ends, error = ask(call_to(glm.url))

    assert (text, ends) == ("", ["error"])
    assert isinstance(error, ProtocolError)
    assert "longer than 1000 bytes" in str(error)
    assert "xxx" in str(error)
    assert len(str(error)) < 400
    glm.wait_until(lambda: glm.aborted == 1)


def test_a_refusal_has_no_finished(glm):
    """What was refused before it began only raises."""
    glm.html_error_page()
    text, ends, error = ask(call_to(glm.url))

    assert (text, ends) == ("", [])
    assert error.refusal.status == 405


def test_nobody_there_has_no_finished(glm):
    """What could not be asked only raises, after one attempt on this machine."""
    text, ends, error = ask(call_to(glm.refused_url))

    assert (text, ends) == ("", [])
    assert isinstance(error, ConnectError)


def test_another_attempt_has_another_decoder(glm):
    """A retryable error as first event is tried again with a fresh decoder, and never seen."""
    glm.replay(says("BUSY"))
    glm.replay(says("a", "DONE"))
    made, told = [], []

    def make():
        made.append(WordDecoder())
        return made[-1]

    assert ask(call_to(glm.url, notify=told.append), make) == ("a", ["stop"], None)
    assert [decoder.closed for decoder in made] == [1, 1]
    assert len(told) == len(glm.requests) - 1 == 1
    assert told[0].startswith("the service failed; trying again in")


def test_an_answer_cut_before_its_first_event_is_tried_again(glm):
    """A connection that breaks before anything was seen is worth another try."""
    glm.hang_up_after(0)
    glm.replay(says("a", "DONE"))

    assert ask(call_to(glm.url)) == ("a", ["stop"], None)
    assert len(glm.requests) == 2


def test_nothing_is_tried_again_after_text(glm):
    """After the first text a failure is final, however retryable."""
    glm.replay(says("a", "BUSY"))

    text, ends, error = ask(call_to(glm.url))

    assert (text, ends) == ("a", ["error"])
    assert error.retryable
    assert len(glm.requests) == 1


def test_notify_is_passed_on(glm):
    """Who waits for a key's other request hears it through the call's `notify`."""
    glm.replay(says("a", "DONE"), delay=0.1)
    told = []
    call = call_to(glm.url, key="k", one_at_a_time=True, notify=told.append)

    async def one():
        async with aclosing(_stream.run(call, WordDecoder)) as events:
            return [event async for event in events]

    async def main():
        return await asyncio.gather(one(), one())

    assert run(main()) == [[TextDelta("a"), Finished("stop")]] * 2
    assert told == ["waiting for another request with this key"]


@pytest.mark.parametrize("how", ["cancel", "aclose", "garbage"])
def test_hanging_up_reaches_the_server(glm, how):
    """Through all generators: a cancelled, closed or forgotten reply closes its connection; no event follows."""
    glm.stall_after(2)

    async def main():
        events = _stream.run(call_to(glm.url), WordDecoder)
        await anext(events)
        if how == "cancel":
            task = asyncio.ensure_future(read_on(events))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "aclose":
            await events.aclose()
        del events
        gc.collect()
        await glm.until(lambda: glm.aborted == 1)

    async def read_on(events):
        async for _ in events:
            pass

    run(main())

    assert glm.open == 0
