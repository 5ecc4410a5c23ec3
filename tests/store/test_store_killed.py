"""A process that dies in mid-sentence takes at most the last second, or two kilobytes, with it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_kit import Scripted, ask, look, said, talked, tell

from chatglm_magic._chat import Chat
from chatglm_magic._conversation.conversation import InsertPoint
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._conversation.tree import MessageTree
from chatglm_magic._store import open_store

CHILD = Path(__file__).parents[1] / "helpers" / "streaming_child.py"
TEXT = "".join(f"word {number} 机器学习, " for number in range(3000))
SLACK = 0.25
"""Seconds that a busy machine may need beyond the second, to tell and to write."""


@dataclass
class Seen:
    """What a killed process had seen of a conversation: when, of which answer, and how many characters of that."""

    id: str
    killed: float
    rows: list[tuple[float, int, int]]

    @property
    def number(self) -> int:
        return self.rows[-1][1] if self.rows else -1

    def count(self, number: int, before: float = float("inf")) -> int:
        return max((count for at, which, count in self.rows if which == number and at <= before), default=0)


def streaming(url: str, path: Path, count: int = 1) -> subprocess.Popen[bytes]:
    """Begin a process that streams answers into a store."""
    argv = [sys.executable, str(CHILD), url, str(count), "x"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "CHATGLM_STORE": str(path)})


def kill(url: str, path: Path, after: float, count: int = 100) -> Seen:
    """Let a process stream, and end it as only the system can."""
    with streaming(url, path, count) as process:
        first = process.stdout.readline()
        assert first.startswith(b"begin")
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        told = process.stdout.read().decode()
    lines = [line.split() for line in told.splitlines(keepends=True) if line.endswith("\n") and "begin" not in line]
    return Seen(first.split()[1].decode(), killed, [(float(at), int(number), int(seen)) for at, number, seen in lines])


def lost(seen: Seen, path: Path, text: str) -> tuple[int, int]:
    """Look at the store after a kill: how many bytes are lost, and how many that were older than a second."""
    assert look(path, "PRAGMA integrity_check") == [("ok",)]
    store = open_store(str(path))
    told = (
        MessageTree(*store.load(seen.id)[1:]).path() if any(thread.id == seen.id for thread in store.threads()) else []
    )
    answers = [one for one in told if one.role == "assistant"]
    missing = old = 0
    long_ago = seen.killed - 1 - SLACK
    for number in range(seen.number + 1):
        answer = (
            answers[number] if number < len(answers) else MessageNode(role="assistant", finish_reason="interrupted")
        )
        assert text.startswith(answer.text)
        assert answer.finish_reason in {"interrupted", "stop"}
        assert answer.finish_reason == "stop" or not seen.count(number + 1, long_ago)
        missing += len(text[len(answer.text) : seen.count(number)].encode())
        old += len(text[len(answer.text) : seen.count(number, long_ago)].encode())
    return missing, old


def kill_often(glm, path: Path, times: int) -> list[tuple[int, int]]:
    """Kill at random moments of slow and fast streams; each time on the store as the last kill left it."""
    figures = []
    chance = random.Random()
    for number in range(times):
        glm.forget()
        pace, pieces = chance.choice([(0.002, 1), (0.01, 3), (0.0, 1), (0.03, 20)])
        cut = [TEXT[start : start + 4 * pieces] for start in range(0, len(TEXT), 4 * pieces)]
        glm.say(TEXT, pieces=cut, delay=pace)
        fresh = path.with_name(f"{number % 10}.db")
        seen = kill(glm.url, fresh, chance.uniform(0, 2.5))
        figures.append(lost(seen, fresh, TEXT))
        print(number, pace, seen.number, seen.count(seen.number), *figures[-1])
    return figures


@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.long)])
def test_a_killed_process_loses_a_moment_at_most(glm, path, times):
    """Kill -9 at random moments: the file is whole, and what is lost is younger than a second or less than 2 kB."""
    path.parent.mkdir(parents=True)
    figures = kill_often(glm, path, times)
    sizes = sorted(missing for missing, _ in figures)
    print(f"lost bytes: median {sizes[len(sizes) // 2]}, most {sizes[-1]}, above 2 kB: {sum(s > 2000 for s in sizes)}")
    print(f"lost and older than a second: {sum(old > 0 for _, old in figures)}")

    assert [(missing, old) for missing, old in figures if missing > 2000 and old > 0] == []


def test_an_answer_that_was_cut_by_a_kill_is_continued(glm, path, store):
    """After a restart the answer is marked as interrupted, is found by its words, and goes on where it stopped."""
    glm.say(TEXT, pieces=[TEXT[start : start + 10] for start in range(0, len(TEXT), 10)], delay=0.005)
    kill(glm.url, path, 1.5)

    assert [hit.role for hit in store.search("机器学习", 1)] == ["assistant"]
    chat = Chat.open("x", provider=Scripted())
    answer = chat.tree.path()[-1]
    before = answer.text
    assert (answer.finish_reason, bool(before)) == ("interrupted", True)
    ask(chat, "Go on.", *tell(" And so on."), at=InsertPoint(continues=True))

    again = Chat.open("x", provider=Scripted())
    assert said(again) == [("user", "Question 0?"), ("assistant", before + " And so on.")]
    assert again.tree.path()[-1].finish_reason == "stop"
    assert look(path, "SELECT count(*) FROM piece") == [(0,)]


def test_a_question_whose_answer_never_began_is_asked_again(glm, path, store):
    """A kill before the first word leaves the question, ready to be tried again."""
    glm.say("late", first_delay=30)
    with streaming(glm.url, path) as process:
        glm.wait_until(lambda: glm.started and [thread.count for thread in store.threads()] == [2])
        os.kill(process.pid, signal.SIGKILL)

    chat = Chat.open("x", provider=Scripted())
    assert chat.messages == []
    prompt, place = chat.unanswered
    assert prompt == "Question 0?"
    asyncio.run(chat.send(prompt, at=place))
    assert said(Chat.open("x", provider=Scripted())) == [("user", "Question 0?"), ("assistant", "Hi.")]


def test_an_answer_that_another_process_streams_is_shown_as_it_is(glm, path, store):
    """While its process lives an answer is not marked as interrupted, and grows from look to look."""
    glm.say(TEXT, pieces=[TEXT[start : start + 10] for start in range(0, len(TEXT), 10)], delay=0.01)
    with streaming(glm.url, path) as process:
        process.stdout.readline()
        glm.wait_until(store.threads)
        lengths = []
        for _ in range(2):
            known = lengths[-1] if lengths else 0
            glm.wait_until(lambda known=known: len(Chat.open("x", provider=Scripted()).tree.path()[-1].text) > known)
            answer = Chat.open("x", provider=Scripted()).tree.path()[-1]
            assert (answer.finish_reason, answer.streaming) == (None, False)
            lengths.append(len(answer.text))
        talked("Meanwhile?", name="y")
        os.kill(process.pid, signal.SIGKILL)
    assert Chat.open("x", provider=Scripted()).tree.path()[-1].finish_reason == "interrupted"
