"""How many rows are asked at once: low at first, more while nothing is refused, and everybody waits after a refusal."""

from __future__ import annotations

import pytest

from chatglm_magic._map.gate import Gate


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gate_of(clock: Clock, **how: object) -> Gate:
    return Gate(clock=clock, chance=lambda: 0.0, **how)


def simulate(gate: Gate, clock: Clock, allowed: int, answers: int) -> list[int]:
    """Ask in rounds a server that refuses what is more than it allows; return the size of each round."""
    sizes = []
    answered = 0
    while answered < answers:
        clock.now += gate.pause + 0.1
        tickets = [gate.enter() for _ in range(gate.limit)]
        sizes.append(len(tickets))
        for ticket in tickets[allowed:]:
            gate.refused(ticket)
        for ticket in tickets[:allowed]:
            gate.answered(ticket)
            answered += 1
    return sizes


def test_it_doubles_until_something_is_refused(clock):
    """Nothing is refused: 4, 8, 16, 32 and 64 at once, and no more."""
    gate = gate_of(clock)

    assert simulate(gate, clock, 1000, 500)[:6] == [4, 8, 16, 32, 64, 64]


def test_a_refusal_halves_it_and_it_then_adds_one_at_a_time(clock):
    """A server that allows seven is refused once for eight, and is asked seven at once from then on."""
    gate = gate_of(clock)
    sizes = simulate(gate, clock, 7, 60)

    assert sizes[:6] == [4, 8, 4, 5, 6, 7]
    assert set(sizes[6:]) == {7}
    assert gate.refusals == 1


def test_a_server_that_allows_one_is_refused_nothing_for_long(clock):
    """After the refusal that teaches it, one row at a time is asked, and more only after a minute."""
    gate = gate_of(clock, start=1)
    sizes = simulate(gate, clock, 1, 200)

    assert sizes[:4] == [1, 2, 1, 1]
    assert gate.refusals == 1
    clock.now += 60
    simulate(gate, clock, 1, 5)
    clock.now += 60
    simulate(gate, clock, 1, 5)
    assert gate.refusals == 2  # the next attempt comes after two minutes


def test_what_became_possible_is_found_later(clock):
    """A server that has grown is asked more: first one more, then as many as it takes."""
    gate = gate_of(clock)
    simulate(gate, clock, 4, 40)
    clock.now += 120
    sizes = simulate(gate, clock, 10, 200)

    assert max(sizes[:-1]) >= 9


def test_all_wait_until_the_time_that_the_service_names(clock):
    """After a refusal nothing is sent before its Retry-After is over, whoever was refused."""
    gate = gate_of(clock, start=2)
    first, second = gate.enter(), gate.enter()
    gate.refused(first, 7.0)
    gate.answered(second)

    assert (gate.is_open, gate.pause) == (False, pytest.approx(7.0))
    clock.now += 7.1
    assert (gate.is_open, gate.pause) == (True, 0.0)


def test_the_wait_grows_while_nothing_is_answered(clock):
    """Without a Retry-After the waits double, up to a minute, and begin anew after an answer."""
    gate = gate_of(clock, start=1)
    waits = []
    for _ in range(9):
        gate.refused(gate.enter())
        waits.append(gate.pause)
        clock.now += gate.pause
    gate.answered(gate.enter())
    gate.refused(gate.enter())

    assert waits[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0])
    assert waits[-1] == pytest.approx(60.0)
    assert gate.pause == pytest.approx(0.5)


def test_a_burst_of_refusals_counts_once(clock):
    """Eight requests that were refused together halve the limit once."""
    gate = gate_of(clock, start=8)
    for ticket in [gate.enter() for _ in range(8)]:
        gate.refused(ticket)

    assert gate.limit == 4
    assert gate.pause == pytest.approx(0.5)


def test_a_fixed_number_stays(clock):
    """`concurrency=3` is three, whatever is answered or refused; a refusal makes all wait all the same."""
    gate = gate_of(clock, fixed=3)
    simulate(gate, clock, 100, 30)
    gate.refused(gate.enter(), 1.0)

    assert gate.limit == 3
    assert not gate.is_open


def test_a_queue_is_no_speed(clock):
    """A server that refuses nothing and answers one after the other is not asked 64 at once."""
    gate = gate_of(clock)
    largest = 0
    for _ in range(200):
        tickets = [gate.enter() for _ in range(gate.limit)]
        largest = max(largest, len(tickets))
        for ticket in tickets:
            clock.now += 0.1
            gate.answered(ticket)

    assert largest <= 8
    assert gate.refusals == 0


def test_what_is_not_answered_in_time_was_too_much(clock):
    """Requests that nothing came for halve the limit, once for all of them, and nobody has to wait."""
    gate = gate_of(clock, start=8)
    for ticket in [gate.enter() for _ in range(8)]:
        gate.congested(ticket)

    assert (gate.limit, gate.in_flight, gate.pause) == (4, 0, 0.0)


def test_who_was_refused_elsewhere_makes_this_one_wait(clock):
    """The pause is passed on once for a burst; who hears of it waits as long, with half as many from then on."""
    told: list[float] = []
    refused, other = gate_of(clock, start=8, on_pause=told.append), gate_of(clock, start=8)
    for ticket in [refused.enter() for _ in range(8)]:
        refused.refused(ticket, 3.0)
    assert told == [3.0]

    early = other.enter()
    for seconds in (*told, 1.0):
        other.wait(seconds)
    other.refused(early, 2.0)
    assert (other.limit, other.pause) == (4, 3.0)
    assert not other.is_open

    clock.now += 3.0
    assert other.is_open


def test_a_fixed_number_waits_as_well(clock):
    """A number that the user named stays, also where somebody else was refused."""
    gate = gate_of(clock, fixed=3)
    gate.wait(2.0)

    assert (gate.limit, gate.pause) == (3, 2.0)
