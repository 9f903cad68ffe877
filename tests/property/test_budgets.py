"""Whatever is asked for and whenever: no rate and no day is exceeded, and nobody who shares a budget is left behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.budgets import DAY_MIN_BYTES, Account, Bucket, Day, Limit, Scope, day_end
from gateway.core.purse import CHUNK_MAX_BYTES, Purse
from gateway.engine.turns import Turns
from gateway.wire.messages import SEGMENT_BYTES

NOW = 1_790_000_000.0
DAY_S = 86_400.0


@dataclass
class Moved:
    """A transfer as a purse sees it: all that was sent has arrived."""

    size_bytes: int
    held_bytes: int = 0
    in_flight_bytes: int = 0


@given(
    rate=st.integers(1024, 10**8),
    wants=st.lists(st.tuples(st.floats(0, 50), st.integers(1, CHUNK_MAX_BYTES)), min_size=1, max_size=120),
)
def test_over_any_time_a_bucket_lets_through_no_more_than_rate_and_burst(rate: int, wants: list[tuple[float, int]]) -> None:
    bucket = Bucket(rate)
    sent: list[tuple[float, int]] = []
    for at, size in zip(accumulate(gap for gap, _ in wants), (size for _, size in wants), strict=True):
        if bucket.even_at <= NOW + at:
            bucket.take(size, NOW + at)
            sent.append((at, size))
    for first in range(len(sent)):
        total = 0
        for at, size in sent[first:]:
            total += size
            assert total <= rate * (at - sent[first][0]) + bucket.burst_bytes + CHUNK_MAX_BYTES + 1


@given(rate=st.integers(1024, 10**7), size=st.integers(1, CHUNK_MAX_BYTES))
def test_who_waits_until_it_is_even_gets_the_whole_rate(rate: int, size: int) -> None:
    """No more is held back than has to be."""
    bucket, now, total = Bucket(rate), NOW, 0
    for _ in range(200):
        now = max(now, bucket.even_at)
        bucket.take(size, now)
        total += size
    assert total >= rate * (now - NOW) * 0.999


@settings(max_examples=60, deadline=None)
@given(
    limits=st.tuples(st.sampled_from([0, DAY_MIN_BYTES, 400_000, 10**6]), st.sampled_from([0, DAY_MIN_BYTES, 700_000, 10**6])),
    lanes=st.integers(1, 5),
    sizes=st.lists(st.integers(200, CHUNK_MAX_BYTES), min_size=1, max_size=20),
    steps=st.lists(st.floats(0, 5000), min_size=50, max_size=300),
)
def test_no_day_is_exceeded_and_every_byte_is_counted_once(
    limits: tuple[int, int], lanes: int, sizes: list[int], steps: list[float]
) -> None:
    """Several terminals of one site, each with a budget of its own, over days, each on a clock of its own zone."""
    own, shared = limits
    site = Account(Scope.SITE, "s", Limit(bytes_per_day=shared), Day(shared, "UTC", NOW))
    zones = ["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]
    accounts = [Account(Scope.TERMINAL, str(n), Limit(bytes_per_day=own), Day(own, zones[n], NOW)) for n in range(lanes)]
    purses = [Purse() for _ in range(lanes)]
    moved = [Moved(10**9) for _ in range(lanes)]
    for purse, account in zip(purses, accounts, strict=True):
        purse.fill([account, site], [])
    per_day: Counter[tuple[str, float]] = Counter()
    now = NOW
    for number, step in enumerate(steps):
        now += step
        at = number % lanes
        purse, size = purses[at], sizes[number % len(sizes)]
        if purse.ask(moved[at], now) <= now:
            moved[at].held_bytes += size
            per_day[str(at), day_end(now, zones[at])] += size
            per_day["site", day_end(now, "UTC")] += size
            purse.pay(size, now, at_edge=moved[at].held_bytes % SEGMENT_BYTES < size)
    for (name, _), total in per_day.items():
        limit = shared if name == "site" else own
        assert not limit or total <= limit
    for purse in purses:
        purse.settle(now)
    site.day.roll(now)
    assert site.day.used_bytes == per_day["site", day_end(now, "UTC")]


@given(rate=st.integers(1024, 10**6), lanes=st.integers(2, 12), sizes=st.data())
def test_who_shares_a_rate_takes_turns(rate: int, lanes: int, sizes: st.DataObject) -> None:
    """Everyone always wants more; after any time no one is two visits behind another."""
    turns, bucket, now = Turns(), Bucket(rate), NOW
    visits: Counter[str] = Counter({str(number): 0 for number in range(lanes)})
    for name in visits:
        turns.wake(name)
    for _ in range(20 * lanes):
        turns.release(now)
        if not turns:
            now = turns.next_at
            continue
        name = turns.take()
        if bucket.even_at > now:
            turns.sleep(name, bucket.even_at)
            continue
        turns.served(name)
        bucket.take(sizes.draw(st.integers(1, 32_768)), now)
        visits[name] += 1
        turns.wake(name)
    assert max(visits.values()) - min(visits.values()) <= 1
    assert sum(visits.values()) > lanes
