"""The round of those who may send, and the sleep of those whose budget is used up."""

from __future__ import annotations

import pytest

from gateway.engine.turns import Turns


def test_a_round_is_taken_in_order() -> None:
    turns = Turns()
    assert turns.wake("a")
    assert turns.wake("b")
    assert not turns.wake("a")
    assert (turns.take(), turns.take()) == ("a", "b")
    assert not turns
    with pytest.raises(KeyError):
        turns.take()


def test_a_sleeper_is_not_woken_by_an_ack_and_comes_back_by_itself() -> None:
    turns = Turns()
    turns.sleep("a", 10.0)
    assert not turns.wake("a")
    assert turns.next_at == 10.0
    turns.release(9.9)
    assert not turns
    turns.release(10.0)
    assert turns.take() == "a"
    assert turns.next_at == float("inf")


def test_other_budgets_rouse_a_sleeper() -> None:
    turns = Turns()
    turns.sleep("a", 10.0)
    assert turns.rouse("a")
    assert turns.next_at == float("inf")
    turns.release(11.0)
    assert turns.take() == "a"
    assert not turns


def test_who_was_served_the_longest_ago_comes_first() -> None:
    turns = Turns()
    for name in "abc":
        turns.served(name)
    for name in "cab":
        turns.sleep(name, 5.0)
    turns.sleep("new", 5.0)
    turns.release(5.0)
    assert [turns.take() for _ in range(4)] == ["new", "a", "b", "c"]


def test_who_may_send_no_more_leaves_until_it_is_woken() -> None:
    turns = Turns()
    turns.wake("a")
    turns.sleep("a", float("inf"))
    assert not turns
    assert turns.next_at == float("inf")
    assert turns.wake("a")


def test_nobody_who_was_dropped_is_remembered_or_comes_back() -> None:
    turns = Turns()
    for number in range(1000):
        turns.served("a")
        turns.sleep("a", float(number))
    turns.drop("a")
    turns.release(2000.0)
    assert not turns
    assert turns.next_at == float("inf")
    assert turns._served == {}  # noqa: SLF001 - what it holds is what the test is about
    turns.sleep("b", 1.0)
    for number in range(1000):
        turns.sleep("b", float(number))
    assert len(turns._heap) < 200  # noqa: SLF001
