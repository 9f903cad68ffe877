"""The route that says why an upgrade stands where it stands."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import APIRouter

from gateway.api.explain_models import AckedOut, AwaitedOut, ExplanationOut, NextOrderOut, ReportedOut, SentOut, ThenOut
from gateway.api.given import Given, UpgradeId, problems
from gateway.api.shapes import moment, moment_or_none
from gateway.core.explain import Outcome, Sent
from gateway.services.explain import Acked, explain_upgrade
from gateway.store.ledger import Entry

_NEVER: Final = float("inf")

router = APIRouter(tags=["upgrades"])


@router.get(
    "/upgrades/{upgrade}/explain",
    operation_id="explainUpgrade",
    summary="Explain what one upgrade waits for",
    responses=problems(s404="There is none"),
)
async def explain(upgrade: UpgradeId, services: Given) -> ExplanationOut:
    """Why it stands where it stands: the last word each way, what is awaited until when, and what happens then."""
    found = await explain_upgrade(services, upgrade)
    row, ahead = found.row, found.prospect
    return ExplanationOut(
        id=row.id,
        campaign=row.campaign,
        terminal=row.terminal,
        state=row.state.value,
        state_since_at=moment(row.state_since_us),
        attempt=row.attempt,
        code=row.code,
        online=found.terminal.online,
        seen_at=moment_or_none(found.terminal.seen_us),
        sent=None if found.sent is None else _sent(found.sent),
        reported=None if found.reported is None else _reported(found.reported),
        acked=None if found.acked is None else _acked(found.acked),
        awaits=found.awaits,
        awaited=[AwaitedOut(what=what.value, leads_to=state.value) for what, state in ahead.awaited.items()],
        order=None if ahead.order is None else NextOrderOut(kind=ahead.order.value, at=_at(ahead.order_at)),
        until=_unless_never(ahead.until),
        then=None if ahead.then is None else _then(ahead.then),
        then_text=found.then,
        holds_up=list(found.holds_up),
    )


def _sent(sent: Sent) -> SentOut:
    return SentOut(kind=sent.kind, order=sent.order, times=sent.times, at=_at(sent.at), again_at=_unless_never(sent.again_at))


def _reported(entry: Entry) -> ReportedOut:
    number = entry.evidence.get("seq")
    return ReportedOut(
        what=entry.what, code=entry.code, report=number if isinstance(number, int) else None, at=moment(entry.at_us)
    )


def _acked(acked: Acked) -> AckedOut:
    return AckedOut(verified_bytes=acked.verified_bytes, package_bytes=acked.package_bytes, at=moment(acked.at_us))


def _then(then: Outcome) -> ThenOut:
    next_try_at = _at(then.not_before) if then.not_before else None
    return ThenOut(state=then.state.value, code=then.code.value, attempt=then.attempt, next_try_at=next_try_at)


def _at(at: float) -> datetime:
    return moment(int(at * 1e6))


def _unless_never(at: float) -> datetime | None:
    return None if at == _NEVER else _at(at)
