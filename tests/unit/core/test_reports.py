"""Reports in every order: each is kept once, and no order of arrival leaves a state that no terminal ever was in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import reports
from gateway.core.order_args import order_args
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Report
from tests.unit.core.build import NOW, PLAN

GOOD = (What.ACCEPTED, What.READY, What.STAGED, What.INSTALLING, What.BOOTED, What.VERIFIED, What.HEALTH, What.COMMITTED)


def _report(seq: int, what: What, code: Code = Code.OK) -> Report:
    return Report(upgrade="u", seq=seq, what=what, code=code, detail={"version": "2.0.0"})


@given(order=st.permutations(range(len(GOOD))))
def test_the_reports_of_a_good_upgrade_end_in_success_in_whatever_order_they_come(order: list[int]) -> None:
    """Lost ones come again later."""
    upgrade = Upgrade("u", "T1", PLAN, state=UpgradeState.OFFERED)
    for place in order:
        reports.take(upgrade, _report(place + 1, GOOD[place]), NOW, jitter=0.5)

    assert upgrade.state is UpgradeState.SUCCEEDED
    assert list(upgrade.seqs) == [(1, len(GOOD) + 1)]


@settings(max_examples=300)
@given(
    sequence=st.lists(st.tuples(st.integers(1, 40), st.sampled_from(list(What)), st.sampled_from(list(Code))), max_size=30),
    state=st.sampled_from(list(UpgradeState)),
)
def test_any_report_in_any_state_is_kept_and_breaks_nothing(
    sequence: list[tuple[int, What, Code]], state: UpgradeState
) -> None:
    """A hostile terminal can say what it likes."""
    upgrade = Upgrade("u", "T1", PLAN, state=state, since=NOW)
    for seq, what, code in sequence:
        if reports.known(upgrade, seq):
            continue
        entries = reports.take(upgrade, _report(seq, what, code), NOW, jitter=0.5)
        assert entries
        assert reports.known(upgrade, seq)


def test_a_report_of_an_attempt_that_is_over_moves_nothing() -> None:
    """Its ``staged`` comes when the package is long gone."""
    upgrade = Upgrade("u", "T1", PLAN, state=UpgradeState.INSTALLING)
    reports.take(upgrade, _report(5, What.FAILED, Code.INSTALL_FAILED), NOW, jitter=0.5)
    assert upgrade.state is UpgradeState.SCHEDULED

    reports.take(upgrade, _report(3, What.STAGED), NOW + 1, jitter=0.5)
    assert upgrade.state is UpgradeState.SCHEDULED


def test_a_terminal_cannot_make_the_gateway_remember_gaps_without_end() -> None:
    """Every second number only."""
    upgrade = Upgrade("u", "T1", PLAN, state=UpgradeState.SOAKING)
    for seq in range(1, 2000, 2):
        reports.take(upgrade, _report(seq, What.SELFTEST), NOW, jitter=0.5)

    assert len(upgrade.seqs) <= reports.SEQ_GAPS_MAX


def test_a_merchant_whose_terminal_went_on_is_not_asked_again() -> None:
    """``accepted`` may come after what followed it, when the attempt is over and it moves nothing any more."""
    upgrade = Upgrade("u", "T1", PLAN, state=UpgradeState.OFFERED)
    reports.take(upgrade, _report(2, What.READY), NOW, jitter=0.5)
    reports.take(upgrade, _report(3, What.FAILED, Code.CHECKSUM_MISMATCH), NOW, jitter=0.5)
    reports.take(upgrade, _report(1, What.ACCEPTED), NOW, jitter=0.5)
    upgrade.start(None, NOW + 9_000)

    assert upgrade.state is UpgradeState.OFFERED
    assert order_args(upgrade, OrderKind.UPGRADE_OFFER, None)["ask"] is False
