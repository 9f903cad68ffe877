"""What each order tells the terminal."""

from __future__ import annotations

import pytest

from gateway.core.order_args import order_args
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codec import decode_order, encode_order
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Order
from tests.unit.core.build import FACTS, PLAN

UPGRADES = [kind for kind in OrderKind if kind.value.startswith("upgrade.")]


@pytest.mark.parametrize("kind", UPGRADES)
def test_the_arguments_of_every_upgrade_order_pass_the_wire(kind: OrderKind) -> None:
    """And name the upgrade."""
    upgrade = Upgrade("u1", "T1", PLAN, state=UpgradeState.OFFERED, transfer=9)
    args = order_args(upgrade, kind, FACTS)
    order = Order(id="o", counter=1, shard_epoch=1, terminal="T1", kind=kind, args=args, not_before_ms=0, not_after_ms=1)

    assert decode_order(encode_order(order)).args["u"] == "u1"


def test_an_offer_says_how_long_every_phase_takes() -> None:
    """As ranges of whole seconds, also when nothing is known of the terminal."""
    for facts in (FACTS, None):
        estimate = order_args(Upgrade("u1", "T1", PLAN), OrderKind.UPGRADE_OFFER, facts)["est"]
        assert isinstance(estimate, dict)
        assert list(estimate) == ["plan", "prepare", "execute", "verify", "operate"]
        assert all(0 <= low <= high for low, high in estimate.values())
