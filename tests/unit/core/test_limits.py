"""Each terminal has its own allowance for each kind, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import Limits, Rates
from gateway.wire.topics import up

RATES = Rates(control_per_s=2.0, acks_per_s=10.0)


def admitted(limits: Limits, topic: str, times: int, now: float) -> int:
    return sum(limits.admit(topic, now) for _ in range(times))


def test_a_burst_is_taken_and_then_the_rate() -> None:
    """Ten seconds' worth of it at once, two seconds' worth of acks."""
    limits = Limits(RATES)

    assert admitted(limits, up("T1", "report"), 100, 1000.0) == 20
    assert admitted(limits, up("T1", "report"), 100, 1005.0) == 10
    assert admitted(limits, up("T1", "ack", bulk=True), 100, 1000.0) == 20


def test_terminals_and_kinds_have_allowances_of_their_own() -> None:
    """Whatever shard and connection a terminal writes into its topics, its kinds are its own affair."""
    limits = Limits(RATES)
    for shard in range(256):
        limits.admit(f"tg1/up/{shard}/T1/report", 1000.0)

    assert not limits.admit(up("T1", "report"), 1000.0)
    assert limits.admit(up("T1", "hello"), 1000.0)
    assert limits.admit(up("T2", "report"), 1000.0)


def test_no_rate_is_no_limit() -> None:
    limits = Limits(Rates(control_per_s=0, acks_per_s=0))

    assert admitted(limits, up("T1", "report"), 10_000, 1000.0) == 10_000
    assert len(limits) == 0


def test_a_terminal_that_repeats_what_was_dropped_is_heard_in_the_end() -> None:
    """However many reports it holds: those that came in are receipted, the others come again."""
    limits, held, now = Limits(RATES), set(range(200)), 1000.0
    for _ in range(40):
        held -= {report for report in sorted(held) if limits.admit(up("T1", "report"), now)}
        now += 3.0

    assert held == set()


def test_memory_is_bounded_and_those_beyond_share_one_allowance() -> None:
    limits = Limits(RATES, buckets_max=10)
    first = [name for name in range(1000) if limits.admit(up(f"X{name}", "hello"), 1000.0)]

    assert first == list(range(10 + 20))
    assert len(limits) == 11
    assert limits.admit(up("later", "hello"), 1001.0)  # the others' are full again, so there is room
    assert len(limits) <= 11


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_terminal_gets_more_than_burst_and_rate(gaps: list[float]) -> None:
    limits, now, count = Limits(RATES), 1000.0, 0
    for gap in gaps:
        now += gap
        count += limits.admit(up("T1", "report"), now)

    assert count <= 20 + 2.0 * (now - 1000.0) + 1e-6
