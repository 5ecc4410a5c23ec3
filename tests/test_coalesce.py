"""Many writes become few paints, and nothing written is lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._coalesce import Coalescer

PERIOD = 0.05


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Painter:
    """Keeps what was painted when; takes `cost` seconds for it."""

    def __init__(self, clock: Clock, cost: float = 0.0) -> None:
        self.clock = clock
        self.cost = cost
        self.paints: list[tuple[float, str]] = []

    def __call__(self, text: str) -> None:
        self.paints.append((self.clock.now, text))
        self.clock.now += self.cost

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.paints)


steps = st.lists(
    st.tuples(st.floats(0, 0.2), st.one_of(st.none(), st.text(max_size=5))),  # None is a tick
)


@given(steps, st.floats(0, 0.1))
def test_painted_is_what_was_written(steps, cost):
    """At the end the painted text is the written text, and no two paints are closer than the period."""
    clock = Clock()
    painter = Painter(clock, cost)
    coalescer = Coalescer(painter, PERIOD, clock)
    for wait, text in steps:
        clock.now += wait
        if text is None:
            coalescer.tick()
        else:
            coalescer.write(text)
    times = [time for time, _ in painter.paints]
    coalescer.stop()

    assert painter.text == "".join(text for _, text in steps if text is not None)
    assert all(later - earlier >= PERIOD + cost for earlier, later in pairwise(times))


def test_the_first_write_is_painted_at_once():
    """Who waits for the first words does not wait for a period."""
    painter = Painter(Clock())
    Coalescer(painter, PERIOD, painter.clock).write("a")

    assert [text for _, text in painter.paints] == ["a"]


def test_what_is_not_due_waits_for_the_tick():
    """Words within the period are painted together, by the first tick or write after it."""
    clock = Clock()
    painter = Painter(clock)
    coalescer = Coalescer(painter, PERIOD, clock)
    coalescer.write("a")
    coalescer.write("b")
    coalescer.write("c")
    clock.now += PERIOD * 0.9
    coalescer.tick()

    assert painter.text == "a"

    clock.now += PERIOD * 0.2
    coalescer.tick()

    assert [text for _, text in painter.paints] == ["a", "bc"]


def test_nothing_new_is_not_painted():
    """Ticks and the end paint only what has not been painted yet."""
    clock = Clock()
    painter = Painter(clock)
    coalescer = Coalescer(painter, PERIOD, clock)
    coalescer.tick()
    coalescer.stop()
    coalescer.write("a")
    clock.now += 1
    coalescer.tick()
    coalescer.stop()

    assert [text for _, text in painter.paints] == ["a"]


def test_a_touch_asks_for_a_paint_without_text():
    """What changed other than by text is painted too, when it is due."""
    clock = Clock()
    painter = Painter(clock)
    coalescer = Coalescer(painter, PERIOD, clock)
    coalescer.touch()
    coalescer.touch()
    coalescer.stop()

    assert [text for _, text in painter.paints] == ["", ""]


def test_the_period_may_be_changed_by_the_painter():
    """A painter that found its work heavy makes the next paint come later."""
    clock = Clock()
    times: list[float] = []

    def paint(_: str) -> None:
        times.append(clock.now)
        coalescer.period = 1.0

    coalescer = Coalescer(paint, PERIOD, clock)
    for _ in range(300):
        coalescer.write("x")
        clock.now += 0.01

    assert [round(time - times[0]) for time in times] == [0, 1, 2]
