"""Budgets of bytes as people see them: which hold, who set them, what is used of them today; and setting them.

A budget is named by its scope (``terminal``, ``site``, ``campaign``, ``gateway``) and its name. The gateway's has none; for
``terminal`` and ``site`` no name means what holds for all that have no budget of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.allowance import Allowance
from gateway.core.budgets import UTC, Limit, Scope, day_end
from gateway.core.effects import Append
from gateway.errors import NotFoundError, RequestError
from gateway.services import cursors
from gateway.services.context import Services
from gateway.services.pages import Page
from gateway.services.terms import of_settings
from gateway.store import budgets, campaigns, ledger, terminals
from gateway.store.budgets import SITE_LABEL, BudgetRow, Key
from gateway.store.campaigns import CampaignRow
from gateway.store.connection import Transaction
from gateway.store.doorbell import BUDGETS, LEDGER
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import TerminalRow

Part = Literal["bytes_per_s", "bytes_per_day"]
PARTS: Final[tuple[Part, ...]] = ("bytes_per_s", "bytes_per_day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One budget in force."""

    scope: Scope
    name: str
    limit: Limit
    given: Limit
    """What would hold, had nobody set anything for it."""
    row: BudgetRow | None
    """What a person has set for it."""
    used_bytes: int
    """Today, as of a few seconds ago; a segment counts from its first chunk on. 0 where the name stands for many."""
    day_ends_us: int

    def allowance(self, now_us: int, shared_by: int = 1) -> Allowance:
        """The same for an estimate."""
        left_s = max(0.0, (self.day_ends_us - now_us) / 1e6)
        return Allowance(limit=self.limit, used_bytes=self.used_bytes, day_left_s=left_s, shared_by=max(1, shared_by))


async def show(services: Services, scope: Scope, name: str = "") -> Budget:
    """One budget; ``NotFoundError`` or ``RequestError`` as in ``put``."""
    async with services.db.read() as tx:
        terminal, campaign = await _known(tx, scope, name)
        return (await _in_force(services, tx, [(scope, name)], terminal, campaign))[0]


async def of_terminal(services: Services, tx: Transaction, row: TerminalRow, campaign: CampaignRow | None) -> list[Budget]:
    """What holds for one terminal, and for the campaign whose upgrade it works on: the narrowest first."""
    site = row.labels.get(SITE_LABEL)
    keys: list[Key] = [(Scope.TERMINAL, row.id)]
    keys += [(Scope.SITE, site)] if site is not None else []
    keys += [(Scope.CAMPAIGN, campaign.id)] if campaign is not None else []
    return await _in_force(services, tx, [*keys, (Scope.GATEWAY, "")], row, campaign)


async def of_campaign(services: Services, tx: Transaction, campaign: CampaignRow) -> list[Budget]:
    """What all terminals of a campaign share: its own budget and the gateway's."""
    return await _in_force(services, tx, [(Scope.CAMPAIGN, campaign.id), (Scope.GATEWAY, "")], None, campaign)


async def of_all_terminals(services: Services, tx: Transaction) -> list[Budget]:
    """What holds for a terminal that has no budget of its own, and the gateway's."""
    return await _in_force(services, tx, [(Scope.TERMINAL, ""), (Scope.GATEWAY, "")], None, None)


async def listing(services: Services, *, scope: Scope | None, cursor: str | None, limit: int) -> Page[Budget]:
    """Budgets that a person has set, by scope and name; ``RequestError`` (``cursor_invalid``)."""
    offset = cursors.decode_number("budgets", cursor) or 0
    async with services.db.read() as tx:
        rows = await budgets.page(tx, scope=scope, offset=offset, limit=limit + 1)
        found = [await _one(services, tx, row) for row in rows[:limit]]
    return Page(found, cursors.encode("budgets", str(offset + limit)) if len(rows) > limit else None)


async def put(services: Services, scope: Scope, name: str, change: Mapping[Part, int | None], *, actor: str) -> Budget:
    """Set the parts of a budget that ``change`` names; ``None`` gives a part back to settings or terms. It holds at once.

    Raises:
        NotFoundError: ``terminal_unknown``, ``site_unknown`` or ``campaign_unknown``.
        RequestError: ``budget_name_invalid``; ``budget_invalid`` for a limit under which nothing would arrive, or no change.
    """
    now_us = services.now_us()
    if not change:
        raise RequestError(f"say what to set: {' or '.join(PARTS)}", code="budget_invalid")
    Limit(**{part: value for part, value in change.items() if value is not None})
    async with services.db.write() as tx:
        terminal, campaign = await _known(tx, scope, name)
        before = (await _in_force(services, tx, [(scope, name)], terminal, campaign))[0]
        kept = {part: getattr(before.row, part) if before.row is not None else None for part in PARTS}
        await budgets.put(tx, BudgetRow(scope=scope, name=name, **(kept | dict(change)), set_us=now_us, set_by=actor))
        after = (await _in_force(services, tx, [(scope, name)], terminal, campaign))[0]
        await ledger.append(tx, [_entry(before, after, now_us, actor)])
    services.doorbell.ring(BUDGETS)
    services.doorbell.ring(LEDGER)
    return after


async def _one(services: Services, tx: Transaction, row: BudgetRow) -> Budget:
    """The budget in force of a row; one whose terminal or campaign is gone is shown all the same."""
    terminal = (await terminals.load(tx, [row.name])).get(row.name) if row.scope is Scope.TERMINAL else None
    campaign = await campaigns.get(tx, row.name) if row.scope is Scope.CAMPAIGN else None
    return (await _in_force(services, tx, [(row.scope, row.name)], terminal, campaign))[0]


async def _in_force(
    services: Services, tx: Transaction, keys: Sequence[Key], terminal: TerminalRow | None, campaign: CampaignRow | None
) -> list[Budget]:
    now_us = services.now_us()
    rows = await budgets.load(tx, _with_general(keys))
    days = await budgets.days(tx, keys)
    terms = Limit() if campaign is None else of_settings(campaign.settings).limit()
    zone = terminal.facts.time_zone if terminal is not None and terminal.facts is not None else UTC
    found: list[Budget] = []
    for key in keys:
        scope, name = key
        general = {one: row for one, row in rows.items() if one != key}
        given = budgets.in_force(key, services.budgets.of(scope, terms), general)
        day = days.get(key)
        ends_us = int(day_end(now_us / 1e6, services.budgets.zone_of(scope, zone)) * 1e6)
        found.append(
            Budget(
                scope=scope,
                name=name,
                limit=budgets.in_force(key, given, rows),
                given=given,
                row=rows.get(key),
                used_bytes=0 if day is None else day.used_at(now_us),
                day_ends_us=day.ends_us if day is not None and day.ends_us > now_us else ends_us,
            )
        )
    return found


async def _known(tx: Transaction, scope: Scope, name: str) -> tuple[TerminalRow | None, CampaignRow | None]:
    """The terminal or campaign that a budget is about; refuses one about nothing."""
    if scope is Scope.GATEWAY and name:
        raise RequestError("the gateway's budget has no name", code="budget_name_invalid")
    if scope is Scope.CAMPAIGN:
        row = await campaigns.get(tx, name) if name else None
        if not name:
            raise RequestError("name the campaign; its own terms are its default", code="budget_name_invalid")
        if row is None:
            raise NotFoundError(f"there is no campaign {name}", code="campaign_unknown", campaign=name)
        return None, row
    if scope is Scope.TERMINAL and name:
        found = (await terminals.load(tx, [name])).get(name)
        if found is None:
            raise NotFoundError(f"terminal {name} is not registered", code="terminal_unknown", terminal=name)
        return found, None
    if scope is Scope.SITE and name and not await terminals.page(tx, wanted=TerminalFilter(labels={SITE_LABEL: name}), limit=1):
        raise NotFoundError(f"no terminal has the label {SITE_LABEL}={name}", code="site_unknown", site=name)
    return None, None


def _with_general(keys: Sequence[Key]) -> Collection[Key]:
    return {*keys, *((scope, "") for scope, _ in keys)}


def _entry(before: Budget, after: Budget, at_us: int, actor: str) -> Append:
    return Append(
        at_us=at_us,
        terminal=after.name if after.scope is Scope.TERMINAL else "",
        campaign=after.name if after.scope is Scope.CAMPAIGN else "",
        actor=actor,
        what="budget_set",
        code="ok",
        evidence={
            "scope": after.scope.value,
            "name": after.name,
            **{part: getattr(after.limit, part) for part in PARTS},
            **{f"before_{part}": getattr(before.limit, part) for part in PARTS},
            "own": [part for part in PARTS if after.row is not None and getattr(after.row, part) is not None],
        },
    )
