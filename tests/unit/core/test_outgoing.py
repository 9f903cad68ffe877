"""Orders on their way: numbered anew at each sending, repeated with back-off, given up in time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.core.effects import SaveOrder, SendOrder
from gateway.core.outgoing import OFFER_RESEND_MAX_S, ORDER_LATE_MS, RESEND_MAX_S, OpenOrder, Outgoing
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import OrderKind
from tests.unit.core.build import NOW, PLAN


def _send_all(out: Outgoing, upgrade: Upgrade, until: float) -> list[float]:
    """When the upgrade's order goes out, up to ``until``."""
    times, now = [], NOW
    while now < until:
        effects = out.upgrade_order(upgrade, now, lambda present, _kind: {"u": present.id}, pytest.fail)
        times += [now for effect in effects if isinstance(effect, SendOrder)]
        now = out.deadline(upgrade, online=True, undisturbed=False)
    return times


@pytest.mark.parametrize(
    ("state", "most_s"), [(UpgradeState.OFFERED, OFFER_RESEND_MAX_S), (UpgradeState.INSTALLING, RESEND_MAX_S)]
)
def test_an_order_is_repeated_ever_less_often(state: UpgradeState, most_s: float) -> None:
    """An offer less often than the others."""
    out = Outgoing("T1", 1, 5.0)
    times = _send_all(out, Upgrade("u", "T1", PLAN, state=state), NOW + 40_000)
    waits = [later - earlier for earlier, later in pairwise(times)]

    assert waits[:3] == [5.0, 10.0, 20.0]
    assert max(waits) == most_s
    assert out.counter == len(times)


def test_a_new_session_is_sent_everything_at_once() -> None:
    """What went to the old one may be lost."""
    out, upgrade = Outgoing("T1", 1, 5.0), Upgrade("u", "T1", PLAN, state=UpgradeState.INSTALLING)
    _send_all(out, upgrade, NOW + 100)
    out.orders["o"] = OpenOrder("o", OrderKind.INSPECT, {}, NOW + 9999, tries=3, due_at=NOW + 5000)
    out.send_again()

    assert out.deadline(upgrade, online=True, undisturbed=False) == 0.0
    assert len(out.upgrade_order(upgrade, NOW + 101, lambda _present, _kind: {}, pytest.fail)) == 1
    assert len(out.other_orders(NOW + 101)) == 1


def test_nothing_is_due_to_an_offline_terminal_but_expiry() -> None:
    """Its orders wait here."""
    out = Outgoing("T1", 1, 5.0)
    out.orders["o"] = OpenOrder("o", OrderKind.INSPECT, {}, NOW + 50)

    assert out.deadline(None, online=False, undisturbed=False) == NOW + 50
    (gone,) = out.expired(NOW + 50)
    assert isinstance(gone, SaveOrder)
    assert (gone.status, out.orders) == ("expired", {})


def test_an_order_is_never_valid_past_its_expiry() -> None:
    """The signed time is what the terminal goes by."""
    out = Outgoing("T1", 1, 5.0)
    out.orders["o"] = OpenOrder("o", OrderKind.REBOOT, {}, NOW + 50)
    sent = [effect.order for effect in out.other_orders(NOW) if isinstance(effect, SendOrder)]

    assert [order.not_after_ms for order in sent] == [int((NOW + 50) * 1000)]
    assert ORDER_LATE_MS > 50_000
