"""The arguments of upgrade orders (docs/protocol.md 5.3): what a terminal needs to carry out one step, and no more."""

from __future__ import annotations

from gateway.core.estimate import as_wire, estimate_upgrade
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Facts, Plain, PlainMap


def order_args(upgrade: Upgrade, kind: OrderKind, facts: Facts | None) -> PlainMap:
    """The arguments of an order of ``kind`` for the present state of ``upgrade``."""
    plan = upgrade.plan
    match kind:
        case OrderKind.UPGRADE_OFFER:
            return {
                "u": upgrade.id,
                "m": plan.target.manifest,
                "ask": plan.ask_merchant and not upgrade.consented and not upgrade.overtaken,
                "est": _estimate(upgrade, facts),
                "end_ms": int(plan.ends_at * 1000),
            }
        case OrderKind.UPGRADE_TRANSFER:
            return {
                "u": upgrade.id,
                "x": upgrade.transfer,
                "size": plan.target.size_bytes,
                "sha256": plan.target.sha256,
            }
        case OrderKind.UPGRADE_INSTALL:
            return {
                "u": upgrade.id,
                "soak_s": int(plan.soak_s),
                "health_every_s": max(1, int(plan.health_every_s)),
                "boot_budget_s": max(1, int(plan.boot_budget_s)),
            }
        case OrderKind.UPGRADE_ROLLBACK | OrderKind.UPGRADE_CANCEL:
            return {"u": upgrade.id, "code": upgrade.code.value}
        case OrderKind.UPGRADE_HOLD:
            return {"u": upgrade.id, "until_ms": int(upgrade.not_before * 1000), "code": upgrade.code.value}
        case _:
            return {"u": upgrade.id}


def _estimate(upgrade: Upgrade, facts: Facts | None) -> dict[str, Plain]:
    """What the merchant is told: the whole upgrade, before anything of it is measured."""
    plan = upgrade.plan
    estimate = estimate_upgrade(
        size_bytes=plan.target.size_bytes,
        bytes_left=plan.target.size_bytes,
        goodput=None,
        ask_merchant=plan.ask_merchant,
        model=facts.model if facts is not None else "",
        soak_s=plan.soak_s,
        measured=None,
        state=UpgradeState.SCHEDULED,
        in_state_s=0.0,
        rat=facts.rat if facts is not None else "",
    )
    return dict(as_wire(estimate))
