"""The way of a campaign: start, pause, resume, abort. Each changes the stored state from an expected one and rings the engine.

A person who pauses is named at the head of the stored reason; a reason that begins otherwise is a stop rule's. Resuming
against a stop rule takes an explicit word, and is recorded as what was accepted: so many failures, or canaries that did not
pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.core.rollout import FAILURES, Decision, Verdict, WaveCounts, decide
from gateway.core.states import UpgradeState
from gateway.errors import ConflictError, RequestError
from gateway.services.campaigns import entry, known_campaign, usable_package
from gateway.services.context import Services
from gateway.services.terms import Terms, of_settings
from gateway.store import campaigns, ledger, progress
from gateway.store.campaigns import CampaignRow
from gateway.store.connection import Transaction

NOTE_MAX_CHARS: Final = 500
_BY_PERSON: Final = "operator:"


async def start(services: Services, campaign: str, *, actor: str) -> CampaignRow:
    """Let a draft run; its end is fixed now.

    Raises:
        ConflictError: ``campaign_state``, ``package_withdrawn`` or ``ends_in_past``.
    """
    now_us = services.now_us()
    async with services.db.write() as tx:
        row = await known_campaign(tx, campaign)
        _expect(row, ("draft",), "started")
        await usable_package(tx, row.package)
        ends_us = row.ends_us or now_us + int(of_settings(row.settings).duration_s * 1e6)
        if ends_us <= now_us:
            raise ConflictError("the campaign's end has passed already; draw it up anew", code="ends_in_past")
        await campaigns.set_state(tx, campaign, "running", expected=("draft",), at_us=now_us, ends_us=ends_us)
        await ledger.append(tx, [entry(row, now_us, actor, "campaign_started", "running", {"ends_us": ends_us})])
        row = await known_campaign(tx, campaign)
    _ring(services)
    return row


async def pause(services: Services, campaign: str, *, actor: str, note: str = "") -> CampaignRow:
    """Start no more upgrades; what is under way goes on. ``ConflictError`` (``campaign_state``)."""
    return await _move(services, campaign, "paused", ("running",), "paused", actor=actor, note=note)


async def abort(services: Services, campaign: str, *, actor: str, note: str = "") -> CampaignRow:
    """End it: what does not install yet is cancelled, the rest goes on to its proven end. ``ConflictError``."""
    return await _move(services, campaign, "aborted", ("draft", "running", "paused"), "aborted", actor=actor, note=note)


async def resume(
    services: Services, campaign: str, *, actor: str, accept_failures: bool = False, note: str = ""
) -> CampaignRow:
    """Go on with a paused campaign.

    Raises:
        ConflictError: ``campaign_state``; ``stop_rule`` when its stop rules would pause it again at once and the caller did not
            say that what happened is accepted.
    """
    now_us = services.now_us()
    async with services.db.write() as tx:
        row = await known_campaign(tx, campaign)
        _expect(row, ("paused",), "resumed")
        terms = of_settings(row.settings)
        accepted = await _accepted(tx, row, terms, now_us)
        evidence: dict[str, object] = {"note": _short(note)}
        if accepted != terms:
            if not accept_failures:
                why = (await _verdict(tx, row, terms, now_us)).reason
                text = f"its stop rule holds: {why}. To go on nevertheless, say so with accept_failures"
                raise ConflictError(text, code="stop_rule", reason=why)
            await campaigns.set_settings(tx, campaign, dict(row.settings) | accepted.as_settings())
            evidence |= {"forgiven_count": accepted.forgiven_count, "canary_waived": accepted.canary_waived}
        await campaigns.set_state(tx, campaign, "running", expected=("paused",), at_us=now_us)
        await ledger.append(tx, [entry(row, now_us, actor, "campaign_resumed", "running", evidence)])
        row = await known_campaign(tx, campaign)
    _ring(services)
    return row


async def install(services: Services, campaign: str, *, actor: str, note: str = "") -> CampaignRow:
    """Release the installs of a campaign that stages first and waits for a person; its window still holds.

    Raises:
        ConflictError: ``campaign_state``, ``install_not_held`` when it does not wait for a release, or ``install_released``.
    """
    now_us = services.now_us()
    async with services.db.write() as tx:
        row = await known_campaign(tx, campaign)
        _expect(row, ("running", "paused"), "released to install")
        terms = of_settings(row.settings)
        if not terms.install_on_release:
            text = f"campaign {campaign} does not wait for a release: it was not drawn up with install_on_release"
            raise ConflictError(text, code="install_not_held")
        if terms.install_released_by:
            text = f"the installs of campaign {campaign} were released already, by {terms.install_released_by}"
            raise ConflictError(text, code="install_released")
        await campaigns.set_settings(tx, campaign, dict(row.settings) | {"install_released_by": actor})
        await ledger.append(tx, [entry(row, now_us, actor, "install_released", row.state, {"note": _short(note)})])
        row = await known_campaign(tx, campaign)
    _ring(services)
    return row


def stopped_by_rule(row: CampaignRow) -> bool:
    """Whether the campaign is paused, and not by a person."""
    return row.state == "paused" and not row.reason.startswith(_BY_PERSON)


def waves_of(
    counts: Mapping[tuple[int, UpgradeState], int],
    *,
    holding: int = 0,
    startable: Mapping[int, int] | None = None,
    installable: Mapping[int, int] | None = None,
) -> Sequence[WaveCounts]:
    """The store's counts as the rollout rules take them; places are counted for the whole campaign."""
    by_wave: dict[int, dict[UpgradeState, int]] = {}
    for (wave, state), count in counts.items():
        by_wave.setdefault(wave, {})[state] = count
    last = max(by_wave, default=0)
    return [
        WaveCounts(
            wave=wave,
            by_state=states,
            holding=holding if wave == last else 0,
            startable=None if startable is None else startable.get(wave, 0),
            installable=0 if installable is None else installable.get(wave, 0),
        )
        for wave, states in sorted(by_wave.items())
    ]


async def _accepted(tx: Transaction, row: CampaignRow, terms: Terms, now_us: int) -> Terms:
    """The terms under which no stop rule speaks now: failures so far forgiven, canaries waived, as far as it takes."""
    counts = await progress.counts(tx, row.id)
    failures = sum(count for (_, state), count in counts.items() if state in FAILURES)
    accepted = terms
    for _ in range(2):  # one rule after the other
        decision = decide(accepted.rollout(), waves_of(counts), now=now_us, ends_at=row.ends_us)
        if decision.verdict is not Verdict.PAUSE:
            break
        if decision.code.startswith("canary"):
            accepted = replace(accepted, canary_waived=True)
        else:
            accepted = replace(accepted, forgiven_count=failures)
    return accepted


async def _verdict(tx: Transaction, row: CampaignRow, terms: Terms, now_us: int) -> Decision:
    return decide(terms.rollout(), waves_of(await progress.counts(tx, row.id)), now=now_us, ends_at=row.ends_us)


async def _move(
    services: Services, campaign: str, state: str, expected: Collection[str], done: str, *, actor: str, note: str
) -> CampaignRow:
    now_us = services.now_us()
    reason = f"{actor}: {_short(note)}" if note else actor
    async with services.db.write() as tx:
        row = await known_campaign(tx, campaign)
        _expect(row, expected, done)
        await campaigns.set_state(tx, campaign, state, expected=expected, at_us=now_us, reason=reason)
        await ledger.append(tx, [entry(row, now_us, actor, f"campaign_{state}", state, {"note": _short(note)})])
        row = await known_campaign(tx, campaign)
    _ring(services)
    return row


def _expect(row: CampaignRow, expected: Collection[str], done: str) -> None:
    if row.state not in expected:
        text = f"campaign {row.id} is {row.state}; only one that is {' or '.join(expected)} can be {done}"
        raise ConflictError(text, code="campaign_state", state=row.state)


def _short(note: str) -> str:
    if len(note) > NOTE_MAX_CHARS:
        raise RequestError(f"a note has at most {NOTE_MAX_CHARS} characters", code="note_too_long")
    return note


def _ring(services: Services) -> None:
    services.doorbell.ring("campaigns")
    services.doorbell.ring("ledger")
