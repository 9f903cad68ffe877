"""Beyond the quota: receipted all the same, counted, told within a minute, and never at the price of what ends an upgrade."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.core import snapshot
from gateway.core.effects import Append, Effect, Save, SaveUpgrade, SendReceipt
from gateway.core.events import Tick
from gateway.core.shedding import KEPT_MAX, TELL_EVERY_S, Quota
from gateway.core.states import UpgradeState
from gateway.core.terminal import STRAY_REPORTS_MAX, Terminal
from gateway.wire.codes import Code, What
from tests.unit.core.build import NOW, PLAN, brought_to, hello, report, terminal


def entries(effects: Iterable[Effect]) -> list[Append]:
    """Those for the ledger."""
    return [effect for effect in effects if isinstance(effect, Append)]


def receipted(effects: Iterable[Effect]) -> list[int]:
    """Report numbers that the terminal may forget."""
    return [seq for effect in effects if isinstance(effect, SendReceipt) for seq in effect.receipt.seqs]


def counts(effects: Iterable[Effect]) -> list[tuple[int, int]]:
    """What the ledger is told of shed reports: how many since it was told last, and in all."""
    return [(one.evidence["count"], one.evidence["total"]) for one in entries(effects) if one.what == "reports_shed"]


def soaking() -> tuple[Terminal, int]:
    """A terminal whose quota is used up, and the number of its last report."""
    found, seq = brought_to(UpgradeState.SOAKING)
    for _ in range(KEPT_MAX):
        seq += 1
        [entry] = entries(found.handle(report(What.HEALTH, seq), NOW))
        assert entry.what == "health"
    return found, seq


def test_a_burst_beyond_the_quota_is_receipted_and_the_report_that_ends_it_all_is_kept() -> None:
    found, last = soaking()
    effects = [found.handle(report(What.HEALTH, seq), NOW + seq / 100) for seq in range(last + 1, last + 1001)]
    end = found.handle(report(What.ROLLED_BACK, last + 1001, Code.BOOT_FAILED), NOW + 20)
    flat = [one for each in effects for one in each]

    assert receipted(flat) == list(range(last + 1, last + 1001))
    assert [one.what for one in entries(flat)] == ["reports_shed"]
    assert counts(flat) == [(1, 1)]
    assert sum(isinstance(one, Save) for one in flat) < 10  # those that an order or a question brings along
    assert receipted(end) == [last + 1001]
    assert counts(end) == [(999, 1000)]
    assert [one.what for one in entries(end)][1:] == ["rolled_back"]
    assert found.upgrade is not None
    assert found.upgrade.state is UpgradeState.ROLLED_BACK


def test_the_ledger_is_told_once_a_minute_also_when_no_report_follows() -> None:
    found, last = soaking()
    told = [
        *counts(found.handle(report(What.HEALTH, last + 1), NOW)),
        *counts(found.handle(report(What.HEALTH, last + 2), NOW + 30)),
        *counts(found.handle(Tick(), NOW + TELL_EVERY_S - 1)),
    ]
    assert told == [(1, 1)]
    assert found.deadline() <= NOW + TELL_EVERY_S
    effects = found.handle(Tick(), NOW + TELL_EVERY_S)

    assert counts(effects) == [(1, 2)]
    assert any(isinstance(one, SaveUpgrade) for one in effects)
    assert counts(found.handle(Tick(), NOW + 3 * TELL_EVERY_S)) == []


def test_a_repeated_report_is_receipted_and_not_counted_again() -> None:
    found, last = soaking()
    first, again = (found.handle(report(What.HEALTH, last + 1), NOW) for _ in range(2))

    assert receipted(first) == receipted(again) == [last + 1]
    assert (counts(first), counts(again)) == ([(1, 1)], [])


def test_a_shed_report_still_counts_for_the_upgrade() -> None:
    found, last = soaking()
    assert found.upgrade is not None
    healthy = found.upgrade.healthy
    found.handle(report(What.HEALTH, last + 1), NOW)
    assert found.upgrade.healthy == healthy + 1
    found.handle(report(What.HEALTH, last + 2, Code.HEALTH_REGRESSED), NOW)

    assert found.upgrade.state is UpgradeState.ROLLING_BACK


@pytest.mark.parametrize(("state", "what"), [(UpgradeState.INSTALLING, What.INSTALLING), (UpgradeState.SOAKING, What.HEALTH)])
def test_what_decides_about_the_upgrade_later_is_stored_before_its_receipt(state: UpgradeState, what: What) -> None:
    """Or a restart would forget it for good: the terminal would be offered again what it installs, or fail as never healthy."""
    found, seq = brought_to(state)
    assert found.upgrade is not None
    found.upgrade.healthy = 0
    found.upgrade.quota.kept = KEPT_MAX
    effects = found.handle(report(what, seq + 1), NOW)
    again = found.handle(report(what, seq + 2), NOW)
    [row] = [one for one in effects if isinstance(one, SaveUpgrade)]
    kept = snapshot.restore("u1", "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)

    assert (kept.begun, kept.healthy > 0) == (state is UpgradeState.INSTALLING, state is UpgradeState.SOAKING)
    assert receipted(effects) == [seq + 1]
    assert [one.what for one in entries(effects)] == [what.value]
    assert counts(again) == [(1, 1)]


@pytest.mark.parametrize("what", [What.DECLINED, What.REJECTED, What.FAILED, What.COMMITTED, What.ROLLED_BACK, What.CANCELLED])
def test_what_ends_an_upgrade_is_kept_even_when_it_moves_nothing(what: What) -> None:
    quota = Quota(limit=0)
    entry = Append(at_us=1, terminal="T1", actor="terminal", what=what.value, code="ok")

    assert quota.sift(what, [entry], NOW, lambda _: entry) == [entry]
    assert quota.shed == 0


def test_what_was_shed_is_told_of_the_state_before_the_report_that_moves_on() -> None:
    """Or the ledger would leave a state that it has not come to."""
    found, last = soaking()
    for seq in (last + 1, last + 2):
        found.handle(report(What.HEALTH, seq), NOW)
    told, end = entries(found.handle(report(What.ROLLED_BACK, last + 3, Code.BOOT_FAILED), NOW + 1))

    assert (told.what, told.from_state, told.to_state) == ("reports_shed", "soaking", "soaking")
    assert (end.from_state, end.to_state) == ("soaking", "rolled_back")


def test_the_quota_outlives_the_gateway() -> None:
    found, last = soaking()
    found.handle(report(What.HEALTH, last + 1), NOW)
    found.handle(report(What.HEALTH, last + 2), NOW)
    assert found.upgrade is not None
    row = snapshot.save(found.upgrade, 0)
    again = snapshot.restore("u1", "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)

    assert again.quota == found.upgrade.quota == Quota(kept=KEPT_MAX, shed=2, told=1, told_at=NOW)


def test_reports_about_an_upgrade_that_is_over_are_counted_too() -> None:
    found, last = soaking()
    assert found.upgrade is not None
    found.past["u0"], found.upgrade = found.upgrade, None
    found.past["u0"].id = "u0"
    effects = [found.handle(report(What.HEALTH, seq, upgrade="u0"), NOW) for seq in (last + 1, last + 2)]

    assert [counts(one) for one in effects] == [[(1, 1)], []]
    assert not found.idle
    told = found.handle(Tick(), NOW + TELL_EVERY_S)
    assert counts(told) == [(1, 2)]
    assert [one.upgrade for one in told if isinstance(one, SaveUpgrade)] == ["u0"]


def test_reports_about_upgrades_that_nobody_knows_are_never_refused() -> None:
    found = terminal()
    found.handle(hello(), NOW)
    effects = [found.handle(report(What.VERIFIED, seq, upgrade="other"), NOW) for seq in range(1, STRAY_REPORTS_MAX + 51)]
    effects.append(found.handle(report(What.COMMITTED, STRAY_REPORTS_MAX + 51, upgrade="other"), NOW))
    flat = [one for each in effects for one in each]

    assert receipted(flat) == list(range(1, STRAY_REPORTS_MAX + 52))
    assert [one.what for one in entries(flat)] == [
        *["verified"] * STRAY_REPORTS_MAX,
        "reports_shed",
        "reports_shed",
        "committed",
    ]
    assert counts(flat) == [(1, 1), (49, 50)]
