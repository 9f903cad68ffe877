"""Single upgrades as people see them: list those of a campaign, look at one with its phases, history and estimate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.allowance import capped, limits_rate, nightly
from gateway.core.budgets import Scope
from gateway.core.estimate import Estimate, Goodput, Phase, estimate_upgrade
from gateway.core.staging import delayed
from gateway.core.states import FINAL, HOLDS_PACKAGE, UpgradeState
from gateway.errors import NotFoundError, RequestError
from gateway.services import budgets, cursors
from gateway.services.budgets import Budget
from gateway.services.campaigns import known_campaign
from gateway.services.context import Services
from gateway.services.durations import PhaseTime, phases_of
from gateway.services.measured import Measured
from gateway.services.packages import known_package
from gateway.services.pages import Page, page_of
from gateway.services.terms import of_settings
from gateway.services.waiting import waits_for
from gateway.services.windows import wait_of
from gateway.store import ledger, progress, terminals, transfers, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.ledger import Entry
from gateway.store.packages import PackageRow
from gateway.store.progress import Step
from gateway.store.terminals import TerminalRow
from gateway.store.transfers import TransferRow
from gateway.store.upgrades import UpgradeRow

HISTORY_MAX: Final = 500
#: A transfer says something about its own rate only after this long (seconds).
OWN_RATE_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One upgrade of a list."""

    row: UpgradeRow
    waits: str
    """What it waits for to install or to be tried or offered again, and until when; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeDetail:
    """One upgrade with all that is known of it."""

    row: UpgradeRow
    waits: str
    campaign: CampaignRow
    package: PackageRow
    terminal: TerminalRow
    history: Sequence[Entry]
    """Oldest first; the newest ``HISTORY_MAX``."""
    phases: Sequence[PhaseTime]
    estimate: Estimate | None
    """``None`` once it has ended."""
    received_bytes: int | None
    """What came over the air for this package, as the terminal counted it; ``None`` before it was staged."""
    wasted_bytes: int | None
    """Of these, what had come before."""


async def listing(
    services: Services, campaign: str, *, states: Collection[str] = (), wave: int | None = None, cursor: str | None, limit: int
) -> Page[Seen]:
    """Upgrades of a campaign by terminal id; ``NotFoundError``, ``RequestError`` (``state_unknown``, ``cursor_invalid``)."""
    unknown = sorted(set(states) - {state.value for state in UpgradeState})
    if unknown:
        known = ", ".join(UpgradeState)
        raise RequestError(f"an upgrade is never {unknown[0][:40]!r}: {known}", code="state_unknown")
    after = cursors.decode("upgrades", cursor)
    async with services.db.read() as tx:
        drawn_up = await known_campaign(tx, campaign)
        rows = await upgrades.page(tx, campaign, states=states, wave=wave, after=after, limit=limit + 1)
    now_us = services.now_us()
    seen = [Seen(row=row, waits=waits_for(row, drawn_up, now_us)) for row in rows]
    return page_of("upgrades", seen, limit, lambda one: one.row.terminal)


async def transfers_of(services: Services, upgrade: str) -> Sequence[TransferRow]:
    """What each of its transfers cost, oldest first; ``NotFoundError`` (``upgrade_unknown``)."""
    async with services.db.read() as tx:
        if await upgrades.get(tx, upgrade) is None:
            raise _unknown(upgrade)
        return await transfers.of_upgrade(tx, upgrade)


async def show(services: Services, upgrade: str) -> UpgradeDetail:
    """One upgrade; ``NotFoundError`` (``upgrade_unknown``)."""
    now_us = services.now_us()
    async with services.db.read() as tx:
        row = await upgrades.get(tx, upgrade)
        if row is None:
            raise _unknown(upgrade)
        campaign = await known_campaign(tx, row.campaign)
        package = await known_package(tx, campaign.package)
        terminal = (await terminals.load(tx, [row.terminal]))[row.terminal]
        history = await ledger.of_upgrade(tx, upgrade, limit=HISTORY_MAX)
        measured = await services.measured.of(tx, campaign, now_us)
        limits = await budgets.of_terminal(services, tx, terminal, campaign)
        at_once = await progress.occupied(tx, row.campaign)
        own = () if measured.knows_transfers else await transfers.rates_of_terminal(tx, row.terminal)
    steps = [Step(state=one.to_state, entered_us=one.at_us) for one in history if one.from_state != one.to_state]
    received_bytes, wasted_bytes = _bytes_of(history)
    return UpgradeDetail(
        row=row,
        waits=waits_for(row, campaign, now_us, _limit_bytes(history)),
        campaign=campaign,
        package=package,
        terminal=terminal,
        history=history,
        phases=phases_of(steps, now_us, from_us=campaign.started_us or campaign.created_us),
        estimate=None
        if row.state in FINAL
        else _estimate(row, campaign, package, terminal, _Known(measured, own, limits, at_once), now_us),
        received_bytes=received_bytes,
        wasted_bytes=wasted_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What an estimate begins with: what the campaign measured, until then the terminal's earlier transfers; and budgets."""

    measured: Measured
    own_bps: Sequence[float]
    limits: Sequence[Budget]
    at_once: int
    """Upgrades of its campaign under way, which share some of these."""


def _unknown(upgrade: str) -> NotFoundError:
    return NotFoundError(f"there is no upgrade {upgrade}", code="upgrade_unknown", upgrade=upgrade)


def _estimate(
    row: UpgradeRow,
    campaign: CampaignRow,
    package: PackageRow,
    terminal: TerminalRow,
    known: _Known,
    now_us: int,
) -> Estimate:
    terms = of_settings(campaign.settings)
    in_state_s = max(0.0, (now_us - row.state_since_us) / 1e6)
    measured = known.measured
    goodput = Goodput.of(known.own_bps) or measured.goodput(package.size_bytes)
    if row.state is UpgradeState.TRANSFERRING and row.have_bytes and in_state_s >= OWN_RATE_AFTER_S:
        goodput = Goodput.of([row.have_bytes / in_state_s])
    rat = terminal.facts.rat if terminal.facts else ""
    bytes_left = max(0, package.size_bytes - row.have_bytes)
    allowances = [one.allowance(now_us, 1 if one.scope is Scope.TERMINAL else known.at_once) for one in known.limits]
    if limits_rate(allowances) and Phase.EXECUTE not in measured.ranges():
        goodput = capped(goodput or Goodput.usual(rat), allowances)
    found = estimate_upgrade(
        size_bytes=package.size_bytes,
        bytes_left=bytes_left,
        goodput=goodput,
        ask_merchant=terms.ask_merchant,
        model=terminal.model,
        soak_s=terms.soak_s,
        measured=measured.ranges(),
        state=row.state,
        in_state_s=in_state_s,
        rat=rat,
        silent_s=0.0 if terminal.online else max(0.0, (now_us - terminal.seen_us) / 1e6) if terminal.seen_us else 0.0,
    )
    if row.state not in HOLDS_PACKAGE:
        found = nightly(found, package.size_bytes, bytes_left, allowances)
    return delayed(found, wait_of(found, row, campaign.settings, terminal.facts.time_zone if terminal.facts else "", now_us))


def _limit_bytes(history: Sequence[Entry]) -> int:
    """The day's budget that was used up last, as the ledger has it."""
    found = next((one.evidence.get("limit_bytes") for one in reversed(history) if one.what == "budget_spent"), 0)
    return found if isinstance(found, int) else 0


def _bytes_of(history: Sequence[Entry]) -> tuple[int | None, int | None]:
    """Bytes received and wasted, from the terminal's last word on it."""
    for one in reversed(history):
        received, wasted = one.evidence.get("received_bytes"), one.evidence.get("wasted_bytes")
        if one.what == "staged" and isinstance(received, int) and isinstance(wasted, int):
            return received, wasted
    return None, None
