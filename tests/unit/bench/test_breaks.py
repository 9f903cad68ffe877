"""Breaks are found in the terminals' accounts, and each is charged with what came again because of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.breaks import Watch, judge, quantile
from gateway.wire.messages import SEGMENT_BYTES

SIZE = 1 << 20


def account(received: int, *, name: str = "t1", cuts: int = 0, epoch: int = 1, repeated: int = 0) -> dict[str, Any]:
    """What a terminal says of itself."""
    return {"id": name, "received_bytes": received, "power_cuts": cuts, "epoch": epoch, "repeated_bytes": repeated}


def test_a_kill_breaks_only_what_was_on_its_way_and_is_over_when_bytes_come() -> None:
    watch = Watch("gateway", SIZE)
    watch.look([account(1000), account(0, name="t2"), account(SIZE, name="t3")], 1.0)
    watch.killed(2.0)
    watch.look([account(1000)], 3.0)
    watch.look([account(2000)], 5.0)

    assert {name: one.breaks for name, one in watch.seen.items()} == {"t1": 1, "t2": 0, "t3": 0}
    assert watch.seen["t1"].back_s == [3.0]


def test_a_lost_radio_is_counted_from_the_last_bytes_before_it() -> None:
    watch = Watch("radio", SIZE)
    for received, epoch, at in ((1000, 1, 1.0), (1000, 1, 2.0), (1000, 2, 3.0), (3000, 2, 4.0)):
        watch.look([account(received, epoch=epoch)], at)

    assert (watch.seen["t1"].breaks, watch.seen["t1"].back_s) == (1, [3.0])


@pytest.mark.parametrize(
    ("excess", "again", "restarted", "repeated"),
    [(SEGMENT_BYTES, 0, 0, 0), (SEGMENT_BYTES + 1, 0, 1, 0), (1024, 1024, 0, 1), (SEGMENT_BYTES, SEGMENT_BYTES, 1, 1)],
)
def test_a_chunk_of_a_verified_segment_is_told_from_a_restart(excess: int, again: int, restarted: int, repeated: int) -> None:
    accounts = {"t1": account(SIZE + excess, cuts=1, repeated=again)}

    outcome = judge(Watch("power", SIZE), accounts, finished=1, elapsed_s=1.0)

    assert (outcome.breaks, outcome.cut, outcome.resent_bytes) == (1, 1, [excess])
    assert (outcome.restarted, outcome.repeated) == (restarted, repeated)


def test_quantiles_of_nothing_are_not_a_number() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
