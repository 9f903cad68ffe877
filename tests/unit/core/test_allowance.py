"""What budgets do to estimates."""

from __future__ import annotations

import pytest

from gateway.core.allowance import DAY_S, Allowance, capped, limits_rate, nightly, no_sooner
from gateway.core.budgets import Limit
from gateway.core.estimate import CampaignEstimate, Estimate, Goodput, Phase, Range, estimate_upgrade
from gateway.core.holding import SPREAD_S
from gateway.core.states import UpgradeState

MB = 10**6
LINK = Goodput(low_bytes_per_s=50_000, high_bytes_per_s=600_000)


def _day(bytes_per_day: int, *, used: int = 0, left_s: float = 3600.0, shared_by: int = 1) -> Allowance:
    return Allowance(limit=Limit(bytes_per_day=bytes_per_day), used_bytes=used, day_left_s=left_s, shared_by=shared_by)


def _estimate(size_bytes: int, measured: dict[str, Range] | None = None) -> Estimate:
    return estimate_upgrade(
        size_bytes=size_bytes,
        bytes_left=size_bytes,
        goodput=LINK,
        ask_merchant=False,
        model="",
        soak_s=60,
        measured=measured,
        state=UpgradeState.OFFERED,
        in_state_s=0.0,
    )


def test_a_rate_caps_the_goodput_and_is_shared_at_worst() -> None:
    rate = Allowance(limit=Limit(bytes_per_s=100_000), shared_by=4)
    found = capped(LINK, [rate, _day(MB)])

    assert (found.low_bytes_per_s, found.high_bytes_per_s) == (25_000, 100_000)
    assert limits_rate([rate])
    assert not limits_rate([_day(MB)])
    assert capped(LINK, [_day(MB)]) == LINK


@pytest.mark.parametrize(
    ("size", "used", "midnights"), [(20 * MB, 0, 0), (20 * MB, 1, 1), (40 * MB, 0, 1), (41 * MB, 0, 2), (0, 20 * MB, 0)]
)
def test_a_day_adds_whole_days(size: int, used: int, midnights: int) -> None:
    allowance = _day(20 * MB, used=used)

    assert allowance.midnights(size) == midnights
    assert allowance.wait_s(midnights) == (3600 + (midnights - 1) * DAY_S if midnights else 0)
    assert allowance.midnights(size, slow=True) >= midnights


def test_the_slow_end_allows_for_sharing_and_for_what_a_day_leaves_over() -> None:
    assert _day(20 * MB).midnights(20 * MB, slow=True) == 1
    assert _day(20 * MB, shared_by=10).midnights(20 * MB, slow=True) == 11
    assert _day(0).midnights(20 * MB, slow=True) == 0


def test_an_upgrade_waits_for_its_days_while_it_transfers() -> None:
    plain = _estimate(50 * MB)
    found = nightly(plain, 50 * MB, 50 * MB, [_day(20 * MB, left_s=1000)])
    transfer = found.phases[Phase.EXECUTE]

    assert transfer.low_s == pytest.approx(1000 + DAY_S)  # the third day
    assert transfer.high_s == pytest.approx(plain.phases[Phase.EXECUTE].high_s + 1000 + DAY_S + 2 * SPREAD_S)
    assert found.remaining.low_s >= 1000 + DAY_S
    assert found.left[Phase.EXECUTE] == transfer
    assert nightly(plain, 50 * MB, 50 * MB, [_day(100 * MB), Allowance(limit=Limit())]) == plain


def test_measured_phases_know_of_it_already() -> None:
    size, measured = 50 * MB, {Phase.EXECUTE.value: Range(10, 20)}
    plain = estimate_upgrade(
        size_bytes=size,
        bytes_left=size,
        goodput=None,
        ask_merchant=False,
        model="",
        soak_s=60,
        measured=measured,
        state=UpgradeState.OFFERED,
        in_state_s=0.0,
    )
    assert nightly(plain, size, size, [_day(20 * MB)]) is plain


def test_a_campaign_ends_no_sooner_than_its_bytes_can_pass() -> None:
    found = CampaignEstimate(remaining=Range(10, 20), reachable_count=100, unreachable_count=0)
    by_rate = no_sooner(found, 100 * MB, [Allowance(limit=Limit(bytes_per_s=100_000))])
    by_day = no_sooner(found, 100 * MB, [_day(20 * MB)])

    assert by_rate.remaining == Range(1000, 1250)
    assert by_day.remaining.low_s == 3600 + 3 * DAY_S
    assert by_day.remaining.high_s > by_day.remaining.low_s + DAY_S
    assert no_sooner(found, 0, [_day(20 * MB)]) == no_sooner(found, MB, [Allowance(limit=Limit())]) == found
