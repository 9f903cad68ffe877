"""Carries out what campaigns' rows say: starts upgrades as ``core.rollout`` decides, ends those of aborted and expired ones.

Level-triggered: every look reads the stored state anew, so a missed doorbell or a crash costs at most one poll. The API changes
rows; only this module turns them into events.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from gateway.core import snapshot
from gateway.core.budgets import Spent
from gateway.core.effects import Append
from gateway.core.events import BudgetSpent, End, Event, Install, Refuse, Start
from gateway.core.rollout import Decision, Verdict, WaveCounts, decide
from gateway.core.staging import released
from gateway.core.states import REVOCABLE, UpgradeState
from gateway.engine.budgets import Asker, Budgets
from gateway.engine.clock import Clock
from gateway.engine.dispatcher import Dispatcher
from gateway.engine.executor import Executor
from gateway.engine.plans import Plans
from gateway.engine.sessions import Sessions
from gateway.errors import StoreError, TrustError
from gateway.store import campaigns, ledger, progress, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.store.terms import rollout_of
from gateway.store.upgrades import UpgradeRow
from gateway.trust.manifest import Manifest, check
from gateway.wire.codes import Code

log = structlog.get_logger()

#: Poll of the store when no doorbell rings (seconds).
LOOK_EVERY_S: Final = 1.0
#: Upgrades handled between two commits, so that a large campaign does not hold up the terminals.
PAGE: Final = 200


class Campaigns:
    """See the module."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the engine that it moves
        self,
        db: Database,
        sessions: Sessions,
        plans: Plans,
        dispatcher: Dispatcher,
        executor: Executor,
        budgets: Budgets,
        doorbell: Doorbell,
        clock: Clock,
        counters: Counter[str],
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._plans = plans
        self._dispatcher = dispatcher
        self._executor = executor
        self._budgets = budgets
        self._doorbell = doorbell
        self._clock = clock
        self._counters = counters
        self._ended: set[str] = set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                rows = await campaigns.in_states(self._db, ("running", "paused", "aborted"))
            except StoreError as exc:
                self._failed(exc)
                rows = []
            for row in rows:
                try:
                    await self._look(row)
                except StoreError as exc:  # one damaged campaign must not hold up those behind it
                    self._failed(exc)
            await self._doorbell.wait("campaigns", LOOK_EVERY_S)

    def _failed(self, exc: StoreError) -> None:
        self._counters["store_failed"] += 1
        log.error("campaign_unreadable", reason=str(exc))

    async def _look(self, row: CampaignRow) -> None:
        if row.state == "aborted":
            await self._end_all(row, Code.CANCELLED_BY_OPERATOR, "operator")
        else:
            try:
                await self._advance(row)
            except TrustError as exc:
                await self._set_state(row, "paused", f"its package is not believed: {exc}", exc.code)

    async def _advance(self, row: CampaignRow) -> None:
        await self._executor.flush()  # the counts must show what was started last time
        now = self._clock.now()
        plan = await self._plans.of(row.id)
        decision = decide(rollout_of(row), await self._counts(row, now), now=now, ends_at=plan.ends_at)
        if row.state == "paused" and decision.verdict not in {Verdict.FINISH, Verdict.EXPIRE}:
            return  # what is under way goes on; nothing new starts
        match decision.verdict:
            case Verdict.RUN if self._executor.behind:
                self._counters["shed:offers"] += 1  # the next look decides anew
            case Verdict.RUN:
                await self._install(row, decision)
                await self._start(row, decision)
            case Verdict.PAUSE:
                await self._set_state(row, "paused", decision.reason, decision.code)
            case Verdict.FINISH:
                await self._set_state(row, "finished", decision.reason, decision.code)
            case Verdict.EXPIRE:
                await self._end_all(row, Code.CAMPAIGN_ENDED, "campaign")
            case Verdict.HOLD:
                pass
        if row.reason != decision.reason and decision.verdict in {Verdict.RUN, Verdict.HOLD, Verdict.EXPIRE}:
            at_us = int(now * 1e6)
            await campaigns.set_state(self._db, row.id, row.state, expected=(row.state,), at_us=at_us, reason=decision.reason)

    async def _counts(self, row: CampaignRow, now: float) -> list[WaveCounts]:
        """How the waves stand, all of it from the store: just after a start, not every session is in memory yet."""
        holding = await progress.occupied(self._db, row.id)
        installable = await self._installable(row, now)
        by_wave: dict[int, dict[UpgradeState, int]] = {}
        for (wave, state), count in (await progress.counts(self._db, row.id)).items():
            by_wave.setdefault(wave, {})[state] = count
        # The costly question, over all that are scheduled, only when there is a place to give.
        asks = holding < rollout_of(row).max_active and any(UpgradeState.SCHEDULED in states for states in by_wave.values())
        startable = await progress.startable(self._db, row.id, int(now * 1e6)) if asks else None
        return [
            # Only the sum over all waves counts, so the first carries it.
            WaveCounts(
                wave=wave,
                by_state=by_wave[wave],
                holding=0 if place else holding,
                startable=None if startable is None else startable.get(wave, 0),
                installable=installable.get(wave, 0),
            )
            for place, wave in enumerate(sorted(by_wave))
        ]

    async def _installable(self, row: CampaignRow, now: float) -> dict[int, int]:
        """Staged upgrades by wave that only want a place; none while an operator's release is waited for."""
        if not (await self._plans.of(row.id)).staging.waits or not released(row.settings):
            return {}
        return await progress.installable_counts(self._db, row.id, int(now * 1e6))

    async def _install(self, row: CampaignRow, decision: Decision) -> None:
        """Let staged upgrades install; one whose window has closed meanwhile puts itself down for the next."""
        now_us = int(self._clock.now() * 1e6)
        for wave, count in decision.install.items():
            found = await progress.installable(self._db, row.id, wave, limit=count, due_before_us=now_us)
            for upgrade in (await upgrades.load(self._db, found)).values():
                session = await self._sessions.take_upgrade(upgrade)
                if session is not None:
                    self._dispatcher.apply(session, Install(row.settings.get("install_released_by", "") or "campaign"))
                    await self._executor.room()

    async def _start(self, row: CampaignRow, decision: Decision) -> None:
        manifest = await self._plans.manifest_of(row.id)
        now_us = int(self._clock.now() * 1e6)
        for wave, count in decision.start.items():
            found = await progress.scheduled(self._db, row.id, wave, limit=count, due_before_us=now_us)
            rows = list((await upgrades.load(self._db, [candidate.upgrade for candidate in found])).values())
            plan = await self._plans.of(row.id)
            askers = [Asker(one.terminal, plan, plan.target.size_bytes - one.have_bytes) for one in rows]
            # A shop is not asked to close its day for a transfer that may send nothing today.
            for upgrade, spent in zip(rows, await self._budgets.spent(askers), strict=True):
                await self._start_one(upgrade, manifest, spent)

    async def _start_one(self, row: UpgradeRow, manifest: Manifest, spent: Spent | None) -> None:
        session = await self._sessions.take_upgrade(row)
        if session is None or session.upgrade is None or session.awaits_hello:
            self._counters["start_terminal_busy"] += 1
            return
        event: Event = Start() if spent is None else BudgetSpent(spent)
        if session.facts is not None:
            facts = session.facts
            code = check(manifest, model=facts.model, components=facts.components, floors=facts.floors)
            if code is not Code.OK:
                running = facts.components.get(manifest.component.value, "")
                event = Refuse(code, {"model": facts.model, "version": running, "package_version": manifest.version})
        self._dispatcher.apply(session, event)
        await self._executor.room()

    async def _end_all(self, row: CampaignRow, code: Code, actor: str) -> None:
        """Withdraw what is still revocable, page by page."""
        if row.id in self._ended:
            return
        after = ""
        while True:
            page = await upgrades.page_open(self._db, states=REVOCABLE, campaign=row.id, after=after, limit=PAGE)
            if not page:
                break
            after = page[-1].id
            await self._sessions.load([upgrade.terminal for upgrade in page])
            for upgrade in page:
                session = await self._sessions.take_upgrade(upgrade)
                if session is not None:
                    self._dispatcher.apply(session, End(code, actor))
                else:
                    await self._end_aside(upgrade, code, actor)
            await self._executor.flush()
        # What installs may fail and wait for its next try: looked at until nothing is open any more.
        if row.state == "aborted" and not await upgrades.page_open(self._db, campaign=row.id, limit=1):
            self._ended.add(row.id)

    async def _end_aside(self, row: UpgradeRow, code: Code, actor: str) -> None:
        """The terminal works on another campaign's upgrade: end this one, which waits behind it, without disturbing that."""
        session = self._sessions.get(row.terminal)
        if session is None:
            return
        upgrade = await self._sessions.aside(session, row)
        entries = upgrade.end(code, actor, self._clock.now())
        self._executor.submit(session, [snapshot.save(upgrade, upgrade.verified_bytes), *entries])

    async def _set_state(self, row: CampaignRow, state: str, reason: str, code: str) -> None:
        log.info("campaign_state", campaign=row.id, state=state, reason=reason)
        entry = Append(
            at_us=int(self._clock.now() * 1e6),
            terminal="",
            campaign=row.id,
            upgrade="",
            actor="campaign",
            what=f"campaign_{state}",
            from_state=row.state,
            to_state=state,
            code=code,
            evidence={"reason": reason},
        )
        async with self._db.write() as tx:
            if await campaigns.set_state(tx, row.id, state, expected=(row.state,), at_us=entry.at_us, reason=reason):
                await ledger.append(tx, [entry])
        self._doorbell.ring("ledger")
