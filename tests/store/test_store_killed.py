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
from store_kit import Scripted, ask, look, said, tell

from chatglm_magic._chat import Chat
from chatglm_magic._history import Place
from chatglm_magic._said import Said
from chatglm_magic._store import open_store
from chatglm_magic._tree import Tree

CHILD = Path(__file__).with_name("streaming_child.py")
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


def kill(url: str, path: Path, after: float, count: int = 100) -> Seen:
    """Let a process stream, and end it as only the system can."""
    argv = [sys.executable, str(CHILD), url, str(count), "x"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "CHATGLM_STORE": str(path)}) as process:
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
    told = Tree(*store.load(seen.id)[1:]).path() if store.thread(seen.id) else []
    answers = [one for one in told if one.role == "assistant"]
    missing = old = 0
    long_ago = seen.killed - 1 - SLACK
    for number in range(seen.number + 1):
        answer = answers[number] if number < len(answers) else Said(role="assistant", finish_reason="interrupted")
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


def test_a_killed_process_loses_a_moment_at_most(glm, path):
    """Kill -9 at random moments: the file is whole, and what is lost is younger than a second or less than 2 kB."""
    path.parent.mkdir(parents=True)
    for missing, old in kill_often(glm, path, 5):
        assert missing <= 2000 or old == 0


@pytest.mark.long
def test_many_killed_processes_lose_a_moment_at_most(glm, path):
    """The same, two hundred times; the figures are printed (`-s`)."""
    path.parent.mkdir(parents=True)
    figures = kill_often(glm, path, 200)
    sizes = sorted(missing for missing, _ in figures)
    print(f"lost bytes: median {sizes[len(sizes) // 2]}, most {sizes[-1]}, above 2 kB: {sum(s > 2000 for s in sizes)}")
    print(f"lost and older than a second: {sum(old > 0 for _, old in figures)}")
    for missing, old in figures:
        assert missing <= 2000 or old == 0


def test_an_answer_that_was_cut_by_a_kill_is_continued(glm, path, store):
    """After a restart the answer is marked as interrupted, is found by its words, and goes on where it stopped."""
    glm.say(TEXT, pieces=[TEXT[start : start + 10] for start in range(0, len(TEXT), 10)], delay=0.005)
    kill(glm.url, path, 1.5)

    assert [hit.role for hit in store.search("机器学习", 1)] == ["assistant"]
    chat = Chat.open("x", provider=Scripted())
    answer = chat.tree.path()[-1]
    before = answer.text
    assert (answer.finish_reason, bool(before)) == ("interrupted", True)
    ask(chat, "Go on.", *tell(" And so on."), place=Place(goes_on=True))

    again = Chat.open("x", provider=Scripted())
    assert said(again) == [("user", "Question 0?"), ("assistant", before + " And so on.")]
    assert again.tree.path()[-1].finish_reason == "stop"
    assert look(path, "SELECT count(*) FROM piece") == [(0,)]


def test_a_question_whose_answer_never_began_is_asked_again(glm, path, store):
    """A kill before the first word leaves the question, ready to be tried again."""
    glm.say("late", first_delay=30)
    argv = [sys.executable, str(CHILD), glm.url, "1", "x"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "CHATGLM_STORE": str(path)}) as process:
        glm.wait_until(lambda: glm.started and [thread.count for thread in store.threads()] == [2])
        os.kill(process.pid, signal.SIGKILL)

    chat = Chat.open("x", provider=Scripted())
    assert chat.messages == []
    prompt, place = chat.unanswered
    assert prompt == "Question 0?"
    asyncio.run(chat.send(prompt, place=place))
    assert said(Chat.open("x", provider=Scripted())) == [("user", "Question 0?"), ("assistant", "Hi.")]


def test_an_answer_that_another_process_streams_is_shown_as_it_is(glm, path, store):
    """While its process lives an answer is not marked as interrupted, and grows from look to look."""
    glm.say(TEXT, pieces=[TEXT[start : start + 10] for start in range(0, len(TEXT), 10)], delay=0.01)
    argv = [sys.executable, str(CHILD), glm.url, "1", "x"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "CHATGLM_STORE": str(path)}) as process:
        process.stdout.readline()
        glm.wait_until(store.threads)
        lengths = []
        for _ in range(2):
            known = lengths[-1] if lengths else 0
            glm.wait_until(lambda known=known: len(Chat.open("x", provider=Scripted()).tree.path()[-1].text) > known)
            answer = Chat.open("x", provider=Scripted()).tree.path()[-1]
            assert (answer.finish_reason, answer.streams) == (None, False)
            lengths.append(len(answer.text))
        ask(Chat(Scripted(), name="y"), "Meanwhile?")
        os.kill(process.pid, signal.SIGKILL)
    assert Chat.open("x", provider=Scripted()).tree.path()[-1].finish_reason == "interrupted"
