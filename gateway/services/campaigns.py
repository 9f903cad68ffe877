"""Campaigns as people see them: draw one up, list them, look at one. Its way from start to end is in ``lifecycle``."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.effects import Append
from gateway.errors import ConflictError, NotFoundError, RequestError, TooLargeError
from gateway.services import cursors
from gateway.services.context import Services, new_id
from gateway.services.packages import known_package
from gateway.services.pages import Page, page_of
from gateway.services.terms import Terms
from gateway.store import campaigns, ledger, terminals, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.connection import Transaction
from gateway.store.database import Source
from gateway.store.packages import PackageRow
from gateway.store.schema import CAMPAIGN_STATES
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import TerminalRow

NAMED_MAX: Final = 10_000  # terminals named one by one; a filter has no limit
CANARY_POOL: Final = 2000  # online terminals among which canaries are chosen
SHOWN_MAX: Final = 20  # ids listed in a refusal

Selection = TerminalFilter | Sequence[str]
"""Which terminals: a filter, or their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a new campaign is to be."""

    name: str
    package: str
    selection: Selection
    terms: Terms
    canaries: tuple[str, ...] = ()
    """Terminals that go first; when empty, ``terms.canary_count`` of them are chosen, online ones first."""
    ends_us: int | None = None
    """A fixed end; else it follows from the start and ``terms.duration_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A campaign in state ``draft``, with one scheduled upgrade for each of its terminals."""

    row: CampaignRow
    upgrades_count: int
    excluded_count: int
    """Terminals that the filter meant and whose model the package is not for."""


async def create(services: Services, draft: Draft, *, actor: str) -> Created:
    """Draw up a campaign; nothing moves before it is started.

    Raises:
        NotFoundError: ``package_unknown``.
        ConflictError: ``package_withdrawn``.
        RequestError: ``terminals_unknown``, ``model_mismatch``, ``no_terminals``, ``canary_unknown``, ``ends_in_past``, or what
            ``Terms`` refuses; the text names the terminals or the field.
    """
    now_us = services.now_us()
    if draft.ends_us is not None and draft.ends_us <= now_us:
        raise RequestError("the campaign would end before it begins", code="ends_in_past")
    terms = dataclasses.replace(draft.terms, canary_count=len(draft.canaries)) if draft.canaries else draft.terms
    async with services.db.write() as tx:
        package = await usable_package(tx, draft.package)
        selections, excluded_count = await resolve(tx, draft.selection, package)
        row = CampaignRow(
            id=new_id("c", now_us),
            name=draft.name,
            package=package.id,
            settings=terms.as_settings() | {"selection": _described(draft.selection)},
            created_us=now_us,
            created_by=actor,
            ends_us=draft.ends_us,
        )
        canaries = draft.canaries or await _choose_canaries(tx, selections, terms.canary_count, row.id)
        await campaigns.create(tx, row)
        count = 0
        for selection in selections:
            count += await upgrades.create_campaign_upgrades(
                tx, row.id, wanted=selection, canary=canaries, at_us=now_us, actor=actor
            )
        await _check_created(tx, row.id, count, draft.canaries)
        evidence = {"package": package.id, "upgrades": count, "canaries": len(canaries)}
        await ledger.append(tx, [entry(row, now_us, actor, "campaign_created", "draft", evidence)])
    services.doorbell.ring("campaigns")
    services.doorbell.ring("ledger")
    return Created(row=row, upgrades_count=count, excluded_count=excluded_count)


async def listing(services: Services, *, states: Collection[str] = (), cursor: str | None, limit: int) -> Page[CampaignRow]:
    """Campaigns, newest first; ``RequestError`` (``state_unknown``, ``cursor_invalid``)."""
    unknown = sorted(set(states) - set(CAMPAIGN_STATES))
    if unknown:
        raise RequestError(f"a campaign is never {unknown[0][:40]!r}: {', '.join(CAMPAIGN_STATES)}", code="state_unknown")
    after = cursors.decode("campaigns", cursor)
    rows = await campaigns.page(services.db, states=states, after=after, limit=limit + 1)
    return page_of("campaigns", rows, limit, lambda row: row.id)


async def show(services: Services, campaign: str) -> CampaignRow:
    """One campaign; ``NotFoundError`` (``campaign_unknown``)."""
    return await known_campaign(services.db, campaign)


async def known_campaign(db: Source, campaign: str) -> CampaignRow:
    """The row of a campaign; ``NotFoundError`` (``campaign_unknown``)."""
    row = await campaigns.get(db, campaign)
    if row is None:
        raise NotFoundError(f"there is no campaign {campaign}", code="campaign_unknown", campaign=campaign)
    return row


async def usable_package(db: Source, package: str) -> PackageRow:
    """The row of a package that campaigns may ship; ``NotFoundError``, ``ConflictError`` (``package_withdrawn``)."""
    row = await known_package(db, package)
    if row.withdrawn_us is not None:
        raise ConflictError(f"package {package} was withdrawn by {row.withdrawn_by}", code="package_withdrawn", package=package)
    return row


async def resolve(db: Source, selection: Selection, package: PackageRow) -> tuple[list[Selection], int]:
    """What ``selection`` means for ``package``: selections of fitting terminals only, and how many a filter meant besides.

    Terminals named one by one must all be registered and fit; a filter leaves out those of other models.
    """
    if not isinstance(selection, TerminalFilter):
        return [await _named(db, selection, package)], 0
    if selection.model:
        fits = selection.model in package.models
        return [selection] if fits else [], 0 if fits else await terminals.count(db, wanted=selection)

    each: list[Selection] = [dataclasses.replace(selection, model=model) for model in package.models]
    fitting = 0
    for one in each:
        fitting += await terminals.count(db, wanted=one if isinstance(one, TerminalFilter) else None)
    return each, await terminals.count(db, wanted=selection) - fitting


def entry(
    row: CampaignRow, at_us: int, actor: str, what: str, to_state: str, evidence: dict[str, Any], code: str = "ok"
) -> Append:
    """The ledger entry of something that a person did to a campaign."""
    return Append(
        at_us=at_us,
        terminal="",
        campaign=row.id,
        upgrade="",
        actor=actor,
        what=what,
        from_state=row.state if to_state != "draft" else "",
        to_state=to_state,
        code=code,
        evidence=evidence,
    )


async def _named(db: Source, ids: Sequence[str], package: PackageRow) -> list[str]:
    if len(ids) > NAMED_MAX:
        raise TooLargeError(
            f"{len(ids)} terminals named one by one, at most {NAMED_MAX}; use a filter on labels", code="too_large"
        )
    wanted = list(dict.fromkeys(ids))
    rows = await terminals.load(db, wanted)
    missing = [terminal for terminal in wanted if terminal not in rows]
    if missing:
        text = f"{len(missing)} of {len(wanted)} terminals are not registered: {_few(missing)}"
        raise RequestError(text, code="terminals_unknown", terminals=missing[:SHOWN_MAX])
    unfit = [row.id for row in rows.values() if row.model and row.model not in package.models]
    if unfit:
        text = f"package {package.id} is for {', '.join(package.models)}; of another model are {_few(unfit)}"
        raise RequestError(text, code="model_mismatch", terminals=unfit[:SHOWN_MAX])
    return wanted


async def _choose_canaries(tx: Transaction, selections: Sequence[Selection], count: int, campaign: str) -> list[str]:
    """``count`` terminals, online ones first, spread over the fleet by a hash instead of taken from the head of the list."""
    if not count:
        return []
    pool: list[TerminalRow] = []
    for online in (True, False):
        for selection in selections:
            pool += await _some(tx, selection, online=online)
        if len(pool) >= count:
            break

    def rank(row: TerminalRow) -> tuple[bool, bytes]:
        return not row.online, hashlib.sha256(f"{campaign} {row.id}".encode()).digest()

    return [row.id for row in sorted(pool, key=rank)[:count]]


async def _some(tx: Transaction, selection: Selection, *, online: bool) -> list[TerminalRow]:
    if isinstance(selection, TerminalFilter):
        if selection.online not in {None, online}:
            return []
        return list(await terminals.page(tx, wanted=dataclasses.replace(selection, online=online), limit=CANARY_POOL))
    return [row for row in (await terminals.load(tx, selection)).values() if row.online is online]


async def _check_created(tx: Transaction, campaign: str, count: int, canaries: Sequence[str]) -> None:
    """Refuse a campaign without terminals, or with a named canary that is not one of them; the transaction rolls back."""
    if not count:
        raise RequestError("no registered terminal that the package is for is meant by this", code="no_terminals")
    for start in range(0, len(canaries), 500):
        some = canaries[start : start + 500]
        found = {
            terminal
            for terminal, rows in (await upgrades.load_open(tx, some)).items()
            if any(row.campaign == campaign for row in rows)
        }
        missing = [terminal for terminal in some if terminal not in found]
        if missing:
            text = f"canaries must be among the campaign's terminals; these are not: {_few(missing)}"
            raise RequestError(text, code="canary_unknown", terminals=missing[:SHOWN_MAX])


def _described(selection: Selection) -> dict[str, Any]:
    """The selection as it is stored for people to see; the upgrades are what counts."""
    if isinstance(selection, TerminalFilter):
        return {"filter": {key: value for key, value in dataclasses.asdict(selection).items() if value not in ("", None, {})}}
    return {"named_count": len(set(selection))}


def _few(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:5])
    return f"{shown} and {len(ids) - 5} more" if len(ids) > 5 else shown
