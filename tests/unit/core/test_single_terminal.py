"""Which way a terminal's transfer takes: as its newest hello says, also after a restart of the gateway."""

from __future__ import annotations

from gateway.core.attendance import Terms
from gateway.core.effects import CloseTransfer, Effect, OpenTransfer
from gateway.core.events import Tick
from gateway.core.plan import Plan
from gateway.core.single import SingleTransfer
from gateway.core.snapshot import restore, save
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from tests.unit.core.build import NOW, PLAN, brought_to, hello


def transferring(*, single: bool, plan: Plan = PLAN) -> Terminal:
    """A terminal of either sort in the middle of its transfer."""
    found, _ = brought_to(UpgradeState.TRANSFERRING, plan)
    found.handle(hello(single=single), NOW)
    return found


def test_a_hello_moves_the_transfer_and_keeps_its_id() -> None:
    found = transferring(single=False)
    before = found.transfer
    assert before is not None
    assert _moved(found.handle(hello(2), NOW)) == []
    assert found.transfer is before
    assert _moved(found.handle(hello(3, single=True), NOW)) == [CloseTransfer, OpenTransfer]
    assert isinstance(found.transfer, SingleTransfer)
    assert found.transfer.id == before.id
    assert _moved(found.handle(hello(4), NOW)) == [CloseTransfer, OpenTransfer]
    assert type(found.transfer) is type(before)


def test_the_way_is_known_after_a_restart_of_the_gateway_without_a_hello() -> None:
    """Facts are stored."""
    found = transferring(single=True)
    assert found.upgrade is not None
    row = save(found.upgrade, 0)
    again = Terminal("T1", Terms(), facts=found.facts)
    again.presence.online = True
    again.upgrade = restore("u1", "T1", PLAN, state=row.state, attempt=1, code=row.code, snapshot=row.snapshot)
    again.handle(Tick(), NOW)

    assert again.single
    assert isinstance(again.transfer, SingleTransfer)


def _moved(effects: list[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects if isinstance(effect, CloseTransfer | OpenTransfer)]
