"""Many changes become few paints, and no change stays unpainted."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic.renderers.cell import Throttle

PERIOD = 0.05


class Painter:
    """Paints a list of changes on a clock that is moved by hand; each paint takes `cost` seconds.

    Attributes:
        changes: What is to be seen, changed by the tests.
        paints: Of each paint, when it was and what was to be seen.
    """

    def __init__(self, cost: float = 0.0) -> None:
        self.now = 100.0
        self.cost = cost
        self.changes: list[str] = []
        self.paints: list[tuple[float, str]] = []
        self.throttle = Throttle(self.paint, PERIOD, lambda: self.now)

    def paint(self) -> None:
        self.paints.append((self.now, "".join(self.changes)))
        self.now += self.cost

    def change(self, text: str) -> None:
        self.changes.append(text)
        self.throttle.touch()

    @property
    def shown(self) -> list[str]:
        return [text for _, text in self.paints]


steps = st.lists(
    st.tuples(st.floats(0, 0.2), st.one_of(st.none(), st.text(max_size=5))),  # None is a tick
)


@given(steps, st.floats(0, 0.1))
def test_what_changes_is_painted(steps, cost):
    """One period after the last change all of it is painted, and no two paints are closer than the period."""
    painter = Painter(cost)
    for wait, text in steps:
        painter.now += wait
        if text is None:
            painter.throttle.tick()
        else:
            painter.change(text)
    painter.now += 2 * PERIOD
    painter.throttle.tick()
    times = [time for time, _ in painter.paints]

    assert painter.shown[-1:] == (["".join(painter.changes)] if painter.changes else [])
    assert all(later - earlier >= PERIOD + cost for earlier, later in pairwise(times))


def test_the_first_change_is_painted_at_once():
    """The first words do not wait for a period."""
    painter = Painter()
    painter.change("a")

    assert painter.shown == ["a"]


def test_what_is_not_due_waits_for_the_tick():
    """Changes within the period are painted together, by the first tick or change after it."""
    painter = Painter()
    for text in "abc":
        painter.change(text)
    painter.now += PERIOD * 0.9
    painter.throttle.tick()

    assert painter.shown == ["a"]

    painter.now += PERIOD * 0.2
    painter.throttle.tick()

    assert painter.shown == ["a", "abc"]


def test_nothing_new_is_not_painted():
    """Ticks paint only what has not been painted yet."""
    painter = Painter()
    painter.throttle.tick()
    painter.change("a")
    for _ in range(3):
        painter.now += 1
        painter.throttle.tick()

    assert painter.shown == ["a"]


def test_the_period_may_be_changed_by_the_painter():
    """A painter that found its work heavy makes the next paint come later."""
    painter = Painter()
    paint = painter.paint

    def heavy() -> None:
        paint()
        painter.throttle.period = 1.0

    painter.throttle = Throttle(heavy, PERIOD, lambda: painter.now)
    for _ in range(300):
        painter.change("x")
        painter.now += 0.01

    assert [round(time - 100) for time, _ in painter.paints] == [0, 1, 2]
