"""How a campaign stands: counts, bytes, failures, why it waits, what was measured, and how long it will still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.allowance import Allowance, capped, limits_rate, nightly, no_sooner
from gateway.core.estimate import CampaignEstimate, Estimate, Goodput, Phase, estimate_campaign, estimate_upgrade
from gateway.core.rollout import CANARY_WAVE, Verdict, decide
from gateway.core.staging import released, staging_of, until
from gateway.core.states import FINAL, REVOCABLE, UpgradeState
from gateway.services import budgets
from gateway.services.budgets import Budget
from gateway.services.campaigns import Draft, known_campaign, resolve, usable_package
from gateway.services.context import Services
from gateway.services.durations import Spread
from gateway.services.lifecycle import stopped_by_rule, waves_of
from gateway.services.measured import Measured, earlier_goodput, shared
from gateway.services.packages import known_package
from gateway.services.terms import Terms, of_settings
from gateway.services.windows import install_words
from gateway.store import progress, terminals, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.connection import Transaction
from gateway.store.packages import PackageRow
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import TerminalRow
from gateway.store.transfers import TransferTotals

#: The whole package lies on the terminal.
HOLDS_ALL: Final = frozenset(
    {
        UpgradeState.STAGED,
        UpgradeState.INSTALLING,
        UpgradeState.VERIFYING,
        UpgradeState.SOAKING,
        UpgradeState.SUCCEEDED,
        UpgradeState.ROLLING_BACK,
        UpgradeState.ROLLED_BACK,
    }
)
_MOVING_MAX: Final = 2000  # transfers whose bytes are counted one by one
_SAMPLE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveProgress:
    """One wave; 0 is the canaries'."""

    wave: int
    by_state: Mapping[UpgradeState, int]

    @property
    def total(self) -> int:
        """Upgrades in it."""
        return sum(self.by_state.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCount:
    """So many upgrades in one state carry one code."""

    state: UpgradeState
    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignProgress:
    """One look at a campaign."""

    row: CampaignRow
    package: PackageRow
    at_us: int
    waves: Sequence[WaveProgress]
    places_taken: int
    max_active: int
    verified_bytes: int
    """On all terminals together."""
    codes: Sequence[CodeCount]
    """Why upgrades failed, wait or were refused; most frequent first."""
    why: str
    """What the campaign does now or waits for, in a sentence."""
    why_code: str
    install_waits: str
    """What staged upgrades wait for; empty when none is staged."""
    stopped_by_rule: bool
    upgrade: Estimate
    """One upgrade from its offer on."""
    remaining: CampaignEstimate
    measured: Mapping[str, Spread]
    transfers: TransferTotals
    """What its transfers cost together, as of a few seconds ago."""
    budget: Budget
    """What they may cost together."""

    @property
    def by_state(self) -> Mapping[UpgradeState, int]:
        """Counts over all waves."""
        together: dict[UpgradeState, int] = {}
        for wave in self.waves:
            for state, count in wave.by_state.items():
                together[state] = together.get(state, 0) + count
        return together

    @property
    def total(self) -> int:
        """Upgrades of the campaign."""
        return sum(wave.total for wave in self.waves)

    @property
    def settled(self) -> int:
        """Upgrades that have ended."""
        return sum(count for state, count in self.by_state.items() if state in FINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a campaign would be, were it drawn up and started now."""

    terminals_count: int
    excluded_count: int
    """Of other models than the package is for."""
    online_count: int
    package: PackageRow
    upgrade: Estimate
    remaining: CampaignEstimate


async def look(services: Services, campaign: str) -> CampaignProgress:
    """How one campaign stands; ``NotFoundError`` (``campaign_unknown``)."""
    now_us = services.now_us()
    async with services.db.read() as tx:
        row = await known_campaign(tx, campaign)
        package = await known_package(tx, row.package)
        counts = await progress.counts(tx, campaign)
        codes = await progress.codes(tx, campaign)
        taken = await progress.occupied(tx, campaign)
        installable = await progress.installable_counts(tx, campaign, now_us) if released(row.settings) else {}
        next_us = await progress.next_install_us(tx, campaign)
        moving_bytes = await _moving_bytes(tx, campaign)
        measured = await services.measured.of(tx, row, now_us)
        terms = of_settings(row.settings)
        # Who is not due now is reachable all the same. Asked as the engine asks, so that both give one reason.
        asks = row.state == "running" and taken < terms.max_active
        startable = await progress.startable(tx, campaign, now_us) if asks else None
        limits = await budgets.of_campaign(services, tx, row)

    waves = [
        WaveProgress(wave=wave, by_state={state: count for (one, state), count in counts.items() if one == wave})
        for wave in sorted({wave for wave, _ in counts})
    ]
    holds_all = sum(count for (_, state), count in counts.items() if state in HOLDS_ALL)
    scheduled = sum(count for (_, state), count in counts.items() if state is UpgradeState.SCHEDULED)
    staged = sum(count for (_, state), count in counts.items() if state is UpgradeState.STAGED)
    allowances = [one.allowance(now_us, taken) for one in limits]
    upgrade = _upgrade(package, terms, measured, allowances)
    why, why_code = _why(row, terms, counts, (taken, startable, installable), now_us)
    return CampaignProgress(
        row=row,
        package=package,
        at_us=now_us,
        waves=waves,
        places_taken=taken,
        max_active=terms.max_active,
        verified_bytes=holds_all * package.size_bytes + moving_bytes,
        codes=[
            CodeCount(state=state, code=code, count=count)
            for (state, code), count in sorted(codes.items(), key=lambda item: (-item[1], item[0]))
        ],
        why=why,
        why_code=why_code,
        install_waits="" if next_us is None else f"{staged} staged; the next {install_words(next_us, row, now_us)}",
        stopped_by_rule=stopped_by_rule(row),
        upgrade=upgrade,
        remaining=no_sooner(
            _remaining(waves, upgrade, terms, unreachable=max(0, scheduled - sum(measured.startable.values())), now_us=now_us),
            _unsent(counts, package.size_bytes) - moving_bytes,
            allowances,
        ),
        budget=limits[0],
        measured=measured.spreads(),
        transfers=measured.totals,
    )


async def preview(services: Services, draft: Draft) -> Preview:
    """How long a campaign like ``draft`` would take if it were started now. Raises as ``campaigns.create``, stores nothing."""
    async with services.db.read() as tx:
        package = await usable_package(tx, draft.package)
        selections, excluded_count = await resolve(tx, draft.selection, package)
        total, online, sample = 0, 0, list[TerminalRow]()
        for selection in selections:
            if isinstance(selection, TerminalFilter):
                rows = await terminals.page(tx, wanted=selection, limit=_SAMPLE)
                total += await terminals.count(tx, wanted=selection)
                online += await _online_count(tx, selection)
            else:
                rows = list((await terminals.load(tx, selection)).values())
                total += len(rows)
                online += sum(row.online for row in rows)
            sample += rows[:_SAMPLE]
        rat, model = shared(sample)
        earlier = await earlier_goodput(tx, model=model, rat=rat)
        limits = await budgets.of_all_terminals(services, tx)
    now_us = services.now_us()
    measured = Measured(at_us=now_us, durations_s={}, transfers_s=(), rat=rat, model=model, earlier=earlier)
    at_once = max(1, min(draft.terms.max_active, total))
    drawn_up = Allowance(limit=draft.terms.limit(), shared_by=at_once)
    own, whole = (one.allowance(now_us) for one in limits)
    upgrade = _upgrade(package, draft.terms, measured, [own, replace(whole, shared_by=at_once), drawn_up])
    canaries = min(len(draft.canaries) or draft.terms.canary_count, total)
    waves = [
        WaveProgress(wave=wave, by_state={UpgradeState.SCHEDULED: count})
        for wave, count in ((CANARY_WAVE, canaries), (CANARY_WAVE + 1, total - canaries))
    ]
    return Preview(
        terminals_count=total,
        excluded_count=excluded_count,
        online_count=online,
        package=package,
        upgrade=upgrade,
        remaining=no_sooner(
            _remaining(waves, upgrade, draft.terms, unreachable=total - online, now_us=now_us),
            total * package.size_bytes,
            [whole, drawn_up],
        ),
    )


def _upgrade(package: PackageRow, terms: Terms, measured: Measured, allowances: Sequence[Allowance]) -> Estimate:
    """One upgrade from its offer on.

    The goodput of the first transfers serves until there are enough whole phases: those know installs and reboots as well.
    """
    ranges = measured.ranges()
    goodput = None if Phase.EXECUTE in ranges else measured.goodput(package.size_bytes)
    if limits_rate(allowances) and Phase.EXECUTE not in ranges:
        goodput = capped(goodput or Goodput.usual(measured.rat), allowances)
    found = estimate_upgrade(
        size_bytes=package.size_bytes,
        bytes_left=package.size_bytes,
        goodput=goodput,
        ask_merchant=terms.ask_merchant,
        model=measured.model,
        soak_s=terms.soak_s,
        measured=ranges,
        state=UpgradeState.OFFERED,
        in_state_s=0.0,
        rat=measured.rat,
    )
    return nightly(found, package.size_bytes, package.size_bytes, allowances)


def _unsent(counts: Mapping[tuple[int, UpgradeState], int], size_bytes: int) -> int:
    """Bytes that its terminals still have to be sent, those under way counted whole."""
    return size_bytes * sum(count for (_, state), count in counts.items() if state not in HOLDS_ALL | FINAL)


def _remaining(
    waves: Sequence[WaveProgress], upgrade: Estimate, terms: Terms, *, unreachable: int, now_us: int
) -> CampaignEstimate:
    together: dict[UpgradeState, int] = {}
    for wave in waves:
        for state, count in wave.by_state.items():
            together[state] = together.get(state, 0) + count
    canary = next((wave.by_state for wave in waves if wave.wave == CANARY_WAVE), {})
    passed = FINAL if terms.gate == "succeeded" else FINAL | {UpgradeState.SOAKING}
    waiting = sum(count for state, count in canary.items() if state not in passed)
    found = estimate_campaign(
        together,
        upgrade,
        max_active=terms.max_active,
        unreachable_count=unreachable,
        canary_left=0 if terms.canary_waived else waiting,
        canary_soaks=terms.gate == "succeeded",
    )
    window = staging_of(terms.as_settings()).window
    if window is None or not any(together.get(state) for state in REVOCABLE):
        return found
    return replace(found, remaining=until(found.remaining, window, now_us))


def _why(
    row: CampaignRow,
    terms: Terms,
    counts: Mapping[tuple[int, UpgradeState], int],
    places: tuple[int, Mapping[int, int] | None, Mapping[int, int]],
    now_us: int,
) -> tuple[str, str]:
    """The sentence and code for people; the engine's own decision follows from the same rules."""
    if row.state == "draft":
        return "not started yet", "draft"
    if row.state != "running":
        return row.reason or row.state, row.state
    taken, startable, installable = places
    waves = waves_of(counts, holding=taken, startable=startable, installable=installable)
    decision = decide(terms.rollout(), waves, now=now_us, ends_at=row.ends_us)
    if decision.verdict is Verdict.FINISH:
        return f"finishing: {decision.reason}", decision.code
    return decision.reason, decision.code


async def _moving_bytes(tx: Transaction, campaign: str) -> int:
    """What has arrived in transfers under way; of very many, a part."""
    states = [UpgradeState.TRANSFERRING.value]
    rows = await upgrades.page(tx, campaign, states=states, limit=_MOVING_MAX)
    return sum(row.have_bytes for row in rows)


async def _online_count(tx: Transaction, selection: TerminalFilter) -> int:
    if selection.online is False:
        return 0
    return await terminals.count(tx, wanted=replace(selection, online=True))
