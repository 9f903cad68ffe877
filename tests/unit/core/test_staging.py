"""What a staged upgrade waits for: window, zone, release."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.estimate import Range
from gateway.core.events import Install
from gateway.core.plan import Plan
from gateway.core.schedule import is_open
from gateway.core.staging import Staging, may_install, need_s, released, slot, staging_of, until, window_of
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.errors import RequestError
from gateway.wire.codes import What
from tests.unit.core.build import NOW, PLAN, brought_to, report

NIGHT: dict[str, Any] = {
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "start": "02:00",
    "end": "05:00",
    "zone": "UTC",
}
WINDOW = window_of(NIGHT)


def staged(plan: Plan) -> tuple[Terminal, int]:
    """A terminal that holds the package, and the number of its last report."""
    found, seq = brought_to(UpgradeState.TRANSFERRING, plan)
    found.handle(report(What.STAGED, seq + 1), NOW)
    return found, seq + 1


def at(text: str) -> int:
    """Microseconds of a moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize("bad", ["25:00", "2:00", "noon", "", "24:00", "02:60", "02:00+08:00", None, 2])
def test_what_is_no_time_of_day_is_refused(bad: object) -> None:
    with pytest.raises(RequestError, match="time of day") as found:
        window_of({**NIGHT, "start": bad})
    assert found.value.code == "window_invalid"


def test_a_zone_nobody_knows_is_refused() -> None:
    with pytest.raises(RequestError) as found:
        window_of({**NIGHT, "zone": "Mars/Olympus"})
    assert found.value.code == "zone_unknown"


@pytest.mark.parametrize(
    ("says", "zone", "source"),
    [("Asia/Shanghai", "Asia/Shanghai", "terminal"), ("", "UTC", "fallback"), ("+08:00", "UTC", "fallback")],
)
def test_the_terminals_own_zone_counts_where_it_is_known(says: str, zone: str, source: str) -> None:
    found, found_source = staging_of({"install_window": {**NIGHT, "zone": "terminal"}}).window_for(says)

    assert found is not None
    assert (found.zone, found_source) == (zone, source)


def test_a_slot_lies_in_the_window_with_room_to_install() -> None:
    slots = [slot(WINDOW, at("2026-03-02 12:00"), 1800, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]

    assert slots == [at("2026-03-03 02:00"), at("2026-03-03 03:15"), at("2026-03-03 04:30")]


def test_too_late_in_an_open_window_is_the_next_one() -> None:
    assert is_open(WINDOW, at("2026-03-02 04:45"))
    assert not may_install(WINDOW, at("2026-03-02 04:45"), 1800)
    assert slot(WINDOW, at("2026-03-02 04:45"), 1800, jitter=0.0) == at("2026-03-03 02:00")


def test_a_window_too_short_for_any_install_counts_while_it_is_open() -> None:
    assert may_install(WINDOW, at("2026-03-02 04:45"), 7 * 3600)


def test_the_slowest_model_says_what_an_install_needs() -> None:
    assert need_s(3_000_000, ["lakala-4g-esign"]) == 6 + 180 + 300
    assert need_s(3_000_000, ["lakala-4g-esign", "nobody-knows"]) == 15 + 300 + 600


def test_an_estimate_waits_for_the_window() -> None:
    found = until(Range(600, 3600), WINDOW, at("2026-03-02 12:00"))

    assert (found.low_s, found.high_s) == (14 * 3600, 17 * 3600)


def test_a_release_is_needed_only_where_it_was_asked_for() -> None:
    assert released({})
    assert not released({"install_on_release": True})
    assert released({"install_on_release": True, "install_released_by": "operator:li"})


def test_a_staged_upgrade_waits_until_it_is_let_and_the_ledger_says_who_let_it() -> None:
    found, _ = staged(replace(PLAN, staging=Staging(on_release=True)))
    assert found.upgrade is not None
    assert found.upgrade.deadline() == PLAN.ends_at  # no timer installs it

    found.handle(Install("operator:li"), 1_000_100.0)
    assert found.upgrade.state is UpgradeState.INSTALLING


def test_a_place_given_after_the_window_has_closed_puts_it_down_for_the_next() -> None:
    plan = replace(PLAN, staging=Staging(window=WINDOW, need_s=600))
    found, _ = staged(plan)
    assert found.upgrade is not None
    opens = found.upgrade.not_before
    found.handle(Install("campaign"), opens + 10 * 3600)

    assert found.upgrade.state is UpgradeState.STAGED
    assert opens + 10 * 3600 < found.upgrade.not_before < opens + 48 * 3600
    assert may_install(WINDOW, int(found.upgrade.not_before * 1e6), 600)
