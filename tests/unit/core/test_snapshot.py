"""A stored upgrade comes back as it was."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from gateway.core.snapshot import restore, save
from gateway.core.states import UpgradeState
from gateway.core.transfer.meter import Meter
from gateway.core.upgrade import Upgrade
from gateway.errors import StoreError
from tests.unit.core.build import NOW, PLAN, STORY, brought_to


def test_a_snapshot_brings_back_everything() -> None:
    """Whatever the state."""
    for state in (*(reached for reached, _, _ in STORY), UpgradeState.OFFERED):
        found, _ = brought_to(state)
        assert found.upgrade is not None
        row = save(found.upgrade, 0)
        again = restore("u1", "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)

        assert found.upgrade == again


def test_a_snapshot_of_an_older_gateway_lacks_what_that_did_not_know() -> None:
    """It comes from a backup; what is missing is as it was at the beginning."""
    found, _ = brought_to(UpgradeState.OFFERED)
    assert found.upgrade is not None
    row = save(found.upgrade, 0)
    kept = msgpack.unpackb(row.snapshot)
    del kept["sent"]
    again = restore("u1", "T1", PLAN, state="offered", attempt=1, code="ok", snapshot=msgpack.packb(kept))

    assert replace(found.upgrade, sent=None) == again


def test_an_upgrade_that_was_never_started_has_no_snapshot() -> None:
    """As campaigns create them."""
    again = restore("u1", "T1", PLAN, state="scheduled", attempt=1, code="", snapshot=b"")

    assert Upgrade("u1", "T1", PLAN) == again


def test_upgrades_that_wait_for_a_time_say_when_they_may_go_on() -> None:
    """The campaign's query and people read it."""
    upgrade = Upgrade("u1", "T1", PLAN, not_before=NOW)
    for state in (UpgradeState.SCHEDULED, UpgradeState.DEFERRED, UpgradeState.STAGED):
        upgrade.state = state
        assert save(upgrade, 0).due_us == int(NOW * 1e6)

    upgrade.state = UpgradeState.PREPARING
    assert save(upgrade, 0).due_us == 0


COST = Meter(NOW).pack(NOW)
WHOLE = msgpack.unpackb(save(Upgrade("u1", "T1", PLAN, state=UpgradeState.OFFERED), 0).snapshot)


@pytest.mark.parametrize(
    ("state", "code", "blob"),
    [
        ("asleep", "ok", b""),
        ("offered", "because", b""),
        ("offered", "ok", b"\xc1"),
        ("offered", "ok", msgpack.packb([1])),
        ("offered", "ok", msgpack.packb({})),
        ("offered", "ok", msgpack.packb({**WHOLE, "since": "yesterday"})),
        ("offered", "ok", msgpack.packb({**WHOLE, "pa": float("nan")})),
        ("offered", "ok", msgpack.packb({**WHOLE, "have": [[3, 1]]})),
        ("offered", "ok", msgpack.packb({**WHOLE, "cost": {"at": 1.0}})),
        ("offered", "ok", msgpack.packb({**WHOLE, "cost": {**COST, "at": float("nan")}})),
        ("offered", "ok", msgpack.packb({**WHOLE, "cost": {**COST, "pauses": {"credit": (1, float("inf"))}}})),
    ],
)
def test_a_damaged_row_is_refused_by_the_stores_own_error(state: str, code: str, blob: bytes) -> None:
    """Whoever loads it leaves that terminal out; another error would end the gateway."""
    with pytest.raises(StoreError) as caught:
        restore("u1", "T1", PLAN, state=state, attempt=1, code=code, snapshot=blob)

    assert caught.value.code == "store_corrupt"
