"""Tests of the channel to the page: numbers, order and pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic.panel.protocol import Note, Pong, Remove
from chatglm_magic.panel.transcript import PER_SECOND, Channel


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 40)), max_size=40))
def test_messages_keep_order_and_pace(steps):
    """However much is put in, whenever: numbers have no gap, order stays, no second has more than twenty."""
    now = 0.0
    sent: list[tuple[float, dict]] = []
    channel = Channel(lambda message: sent.append((now, message)), lambda: now)
    count = 0
    for seconds, amount in steps:
        now += seconds
        for _ in range(amount):
            count += 1
            channel.put(Remove([str(count)]))
        channel.flush()
    while channel.waiting:
        assert channel.pause > 0
        now += channel.pause
        channel.flush()

    assert [message["n"] for _, message in sent] == list(range(1, count + 1))
    assert [int(*message["ids"]) for _, message in sent] == list(range(1, count + 1))
    times = [moment for moment, _ in sent]
    assert all(later - sooner > 0.999 for sooner, later in zip(times, times[PER_SECOND:], strict=False))


def test_a_page_that_asks_too_much_is_answered_with_less():
    """Acknowledgements beyond what anybody reads are left out; what was said is not."""
    channel = Channel(lambda _: None, lambda: 0.0)
    for number in range(1000):
        channel.put(Pong(number=number))
        channel.put(Note(text="again"))
        channel.put(Remove([str(number)]))

    assert 1000 < len(channel._waiting) < 1300


def test_views_that_never_said_goodbye_are_forgotten():
    """The newest views are known; of old ones only so many."""
    channel = Channel(lambda _: None)
    for number in range(100):
        channel.add_view(f"view {number}")

    assert list(channel.views)[-1] == "view 99"
    assert len(channel.views) < 20
