"""Rows for tests of the store, and a writer that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from gateway.core.effects import Append, SaveTerminal, SaveUpgrade
from gateway.core.states import UpgradeState
from gateway.store import campaigns, packages, terminals, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Database, Source
from gateway.store.packages import PackageRow
from gateway.store.terminals import Registration
from gateway.store.writer import Writer

AT_US = 1_790_000_000_000_000


@asynccontextmanager
async def writing_to(db: Database, **settings: int) -> AsyncIterator[Writer]:
    """A writer that runs for the length of the block."""
    writer = Writer(db, **settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        try:
            yield writer
        finally:
            tasks.cancel_scope.cancel()


async def fleet(db: Source, count: int) -> list[str]:
    """Register ``T000`` and so on."""
    ids = [f"T{number:03}" for number in range(count)]
    await terminals.register(db, [Registration(id=name, model="lakala-4g-esign") for name in ids], at_us=AT_US)
    return ids


def package(name: str = "p1", **changes: Any) -> PackageRow:  # noqa: ANN401 - any field of the row
    """A package."""
    values: dict[str, Any] = {
        "id": name,
        "component": "app",
        "version": "2.0.0",
        "counter": 2,
        "models": ("lakala-4g-esign", "shengpay-4g-esign"),
        "size_bytes": 3 << 20,
        "sha256": "ab" * 32,
        "file": f"{name}.tgp",
        "manifest": b"\x93signed",
        "uploaded_us": AT_US,
        "uploaded_by": "operator:li",
    }
    return PackageRow(**(values | changes))


async def campaign(db: Source, name: str = "c1", *, state: str = "running", created_us: int = AT_US) -> None:
    """A campaign and, once, its package."""
    if await packages.get(db, "p1") is None:
        await packages.add(db, package())
    row = CampaignRow(
        id=name, name=f"Campaign {name}", package="p1", state=state, created_us=created_us, created_by="operator:li"
    )
    await campaigns.create(db, row)


async def upgraded(db: Source, count: int, *, canary: Collection[str] = (), name: str = "c1") -> list[str]:
    """A fleet with a campaign for all of it."""
    ids = await fleet(db, count)
    await campaign(db, name)
    await upgrades.create_campaign_upgrades(db, name, wanted=ids, canary=canary, at_us=AT_US, actor="operator:li")
    return ids


def entry(
    number: int,
    *,
    terminal: str = "T000",
    upgrade: str = "c1-1",
    from_state: str = "offered",
    to_state: str = "preparing",
    evidence: Mapping[str, Any] | None = None,
) -> Append:
    """A ledger entry that tells its number by its time."""
    return Append(
        at_us=number,
        terminal=terminal,
        campaign=upgrade.rsplit("-", 1)[0],
        upgrade=upgrade,
        actor="terminal",
        what="accepted",
        from_state=from_state,
        to_state=to_state,
        code="ok",
        evidence=evidence or {},
    )


def saved_terminal(terminal: str, **changes: Any) -> SaveTerminal:  # noqa: ANN401 - any field of the save
    """What is known of a terminal."""
    values: dict[str, Any] = {"terminal": terminal, "epoch": 1, "online": True, "seen_us": AT_US, "counter": 1}
    return SaveTerminal(**(values | changes))


def saved_upgrade(upgrade: str, terminal: str, state: UpgradeState, **changes: Any) -> SaveUpgrade:  # noqa: ANN401 - as above
    """An upgrade's new state."""
    values: dict[str, Any] = {
        "upgrade": upgrade,
        "terminal": terminal,
        "campaign": upgrade.rsplit("-", 1)[0],
        "state": state,
        "state_since_us": AT_US + 1,
        "due_us": 0,
        "attempt": 1,
        "code": "ok",
        "have_bytes": 0,
        "snapshot": b"\x80",
    }
    return SaveUpgrade(**(values | changes))
