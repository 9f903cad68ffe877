"""New sessions come to heavy work in their order, at a rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Admission


def test_a_few_births_wait_for_nothing() -> None:
    admission = Admission(10.0)

    assert all(admission.join(f"T{at}", 1000.0) for at in range(10))
    assert admission.next_at() == float("inf")


def test_a_storm_goes_on_in_its_order_at_the_rate() -> None:
    """Nobody overtakes who waits, however late the turn is given."""
    admission = Admission(10.0)
    at_once = [name for name in range(100) if admission.join(str(name), 1000.0)]
    assert at_once == list(range(10))
    assert not admission.join("50", 1000.0)  # it keeps its place

    order, now = [], 1000.0
    while len(admission):
        now = max(now, admission.next_at())
        order += admission.turns(now)
    assert [int(name) for name in order[:90]] == list(range(10, 100))
    assert abs(now - 1009.0) < 0.2


def test_one_name_waits_once() -> None:
    admission = Admission(1.0)
    admission.join("first", 1000.0)
    for _ in range(3):
        assert not admission.join("second", 1000.0)

    assert len(admission) == 1
    assert admission.turns(1001.0) == ["second"]
    assert admission.turns(1100.0) == []


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1)), max_size=80))
def test_everybody_who_joins_gets_a_turn(joins: list[tuple[str, float]]) -> None:
    admission, now, waiting = Admission(3.0), 1000.0, set[str]()
    for name, gap in joins:
        now += gap
        waiting -= set(admission.turns(now))
        if not admission.join(name, now):
            waiting.add(name)
    for second in range(1 + len(joins) // 3):
        waiting -= set(admission.turns(now + second))

    assert waiting == set()
