"""Which order each state of an upgrade calls for, until the terminal has answered it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.states import UpgradeState
from gateway.wire.codes import OrderKind

_S = UpgradeState

ORDERS: Final[Mapping[UpgradeState, OrderKind]] = {
    _S.OFFERED: OrderKind.UPGRADE_OFFER,
    _S.PREPARING: OrderKind.UPGRADE_PREPARE,
    _S.TRANSFERRING: OrderKind.UPGRADE_TRANSFER,
    _S.INSTALLING: OrderKind.UPGRADE_INSTALL,
    _S.ROLLING_BACK: OrderKind.UPGRADE_ROLLBACK,
}
#: States whose order gets an id of its own when they are entered.
RENUMBERED: Final = frozenset({*ORDERS, _S.SOAKING})
#: A terminal that refuses the order of such a state as ``busy`` stands before it: it is offered again.
RETURNABLE: Final = frozenset({_S.PREPARING, _S.TRANSFERRING, _S.INSTALLING})
