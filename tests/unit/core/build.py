"""Builders for tests of the core: a plan, facts and messages with the values that do not matter filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.core.attendance import Terms
from gateway.core.effects import Effect, SendOrder
from gateway.core.events import Heard, Start
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Facts, Hello, OpenUpgrade, Order, Plain, Report

SIZE = 300_000
NOW = 1_000_000.0

PLAN = Plan(
    campaign="c1",
    target=Target(package="p1", component="app", version="2.0.0", size_bytes=SIZE, sha256=b"\1" * 32, manifest=b"signed"),
    need=Need(battery_min_pct=30, storage_min_bytes=1_000_000),
    ask_merchant=True,
    soak_s=600.0,
    health_every_s=60.0,
    boot_budget_s=300.0,
    ends_at=NOW + 7 * 86_400,
)
FACTS = Facts(
    model="lakala-4g-esign",
    components={"app": "1.0.0"},
    floors={},
    slot="a",
    battery_pct=80,
    charging=False,
    storage_free_bytes=50_000_000,
    rat="LTE",
    rssi_dbm=-80,
    operator="",
    time_zone="Asia/Shanghai",
    clock_ms=0,
    in_transaction=False,
    unsettled_count=0,
)


def terminal(plan: Plan = PLAN, terms: Terms | None = None) -> Terminal:
    """A terminal with a scheduled upgrade, not heard of yet."""
    return Terminal("T1", terms or Terms(), upgrade=Upgrade("u1", "T1", plan))


def hello(
    epoch: int = 1,
    *,
    counter: int = 0,
    facts: Facts = FACTS,
    version: str = "",
    upgrade: OpenUpgrade | None = None,
    single: bool = False,
) -> Heard:
    """A hello; ``version`` is that of the app, ``single`` says that it has one connection only."""
    facts = replace(facts, single_connection=single)
    if version:
        facts = replace(facts, components={"app": version})
    return Heard(Hello(epoch=epoch, counter=counter, facts=facts, upgrade=upgrade))


def report(what: What, seq: int, code: Code = Code.OK, detail: Mapping[str, Plain] | None = None, upgrade: str = "u1") -> Heard:
    """A report about the upgrade."""
    return Heard(Report(upgrade=upgrade, seq=seq, what=what, code=code, detail=detail or {}))


#: The reports of an upgrade that goes well, in order, up to the named state.
STORY: tuple[tuple[UpgradeState, What, dict[str, Plain]], ...] = (
    (UpgradeState.PREPARING, What.ACCEPTED, {}),
    (UpgradeState.TRANSFERRING, What.READY, {}),
    (UpgradeState.INSTALLING, What.STAGED, {}),
    (UpgradeState.VERIFYING, What.BOOTED, {"version": "2.0.0"}),
    (UpgradeState.SOAKING, What.VERIFIED, {"version": "2.0.0"}),
)


def brought_to(state: UpgradeState, plan: Plan = PLAN, terms: Terms | None = None) -> tuple[Terminal, int]:
    """A terminal whose upgrade has reached ``state``, and the number of its last report."""
    found = terminal(plan, terms)
    found.handle(hello(), NOW)
    if state is UpgradeState.SCHEDULED:
        return found, 0
    found.handle(Start(), NOW)
    seq = 0
    for reached, what, detail in STORY:
        if found.upgrade is not None and found.upgrade.state is state:
            break
        seq += 1
        found.handle(report(what, seq, detail=detail), NOW)
        assert found.upgrade is not None
        assert found.upgrade.state is reached
    return found, seq


def orders(effects: Iterable[Effect]) -> list[Order]:
    """The orders among effects."""
    return [effect.order for effect in effects if isinstance(effect, SendOrder)]


def kinds(effects: Iterable[Effect]) -> list[OrderKind]:
    """The kinds of the orders among effects."""
    return [order.kind for order in orders(effects)]
