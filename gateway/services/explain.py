"""Why an upgrade stands where it stands, for people: the last word each way, what is awaited until when, and what then.

The facts are ``core.explain``'s, taken from the stored upgrade by the rules that the engine acts by; only their words are made
here. What the engine holds in memory alone, such as acks of the last seconds, is as old as the stored progress.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.core import explain
from gateway.core.explain import Outcome, Prospect, Sent
from gateway.core.snapshot import restore
from gateway.core.states import ASSUMED, FINAL, UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.errors import NotFoundError
from gateway.services.campaigns import known_campaign
from gateway.services.context import Services
from gateway.services.packages import known_package
from gateway.services.waiting import waits_for
from gateway.store import ledger, terminals, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.ledger import Entry
from gateway.store.terminals import TerminalRow
from gateway.store.terms import plan_of
from gateway.store.upgrades import UpgradeRow
from gateway.trust.manifest import decode
from gateway.wire.codec import decode_signed
from gateway.wire.codes import Code, OrderKind

_S = UpgradeState
_NEVER: Final = float("inf")
#: Ledger entries in which the terminal's last word is looked for.
_LOOKED_AT: Final = 100

#: What each state waits for.
WORDS: Final[Mapping[UpgradeState, str]] = {
    _S.SCHEDULED: "a place in its campaign",
    _S.OFFERED: "the terminal's answer to the offer",
    _S.DEFERRED: "the time until which it was put off",
    _S.PREPARING: "the terminal's report that it has settled, backed up and is ready",
    _S.READY: "the gateway itself, which opens the transfer",
    _S.TRANSFERRING: "acks of chunks, and at the end the report that the whole package is verified",
    _S.STAGED: "its turn to install",
    _S.INSTALLING: "the report that the spare slot is written, and then that the new version has booted",
    _S.VERIFYING: "the report that payment, refund and query have passed on the new version",
    _S.SOAKING: "health reports until the soak is over, and then the answer to the commit",
    _S.ROLLING_BACK: "the report that the old version runs again",
}
_ASKED: Final = "the merchant's answer to the offer"
#: The engine's patience is in its memory alone (docs/adr/0016).
_OVERDUE: Final = (
    "its time is up; after a start or an outage of its own the gateway waits for the terminal's word up to 6 min longer"
)
_PROOF: Final = "a hello that shows the new version, and health reports until the soak is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """How far the transfer under way has come, as of the last stored progress."""

    verified_bytes: int
    package_bytes: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that is known of why it stands here."""

    row: UpgradeRow
    terminal: TerminalRow
    sent: Sent | None
    reported: Entry | None
    """The terminal's last word on this upgrade; its receipt went out after it was stored."""
    acked: Acked | None
    prospect: Prospect
    awaits: str
    then: str
    holds_up: Sequence[str]
    """What keeps it from going on now, beside what it awaits."""


async def explain_upgrade(services: Services, upgrade: str) -> Explanation:
    """Why ``upgrade`` stands where it stands.

    Raises:
        NotFoundError: ``upgrade_unknown``.
    """
    async with services.db.read() as tx:
        row = await upgrades.get(tx, upgrade)
        if row is None:
            raise NotFoundError(f"there is no upgrade {upgrade}", code="upgrade_unknown", upgrade=upgrade)
        campaign = await known_campaign(tx, row.campaign)
        package = await known_package(tx, campaign.package)
        terminal = (await terminals.load(tx, [row.terminal]))[row.terminal]
        history = await ledger.of_upgrade(tx, upgrade, limit=_LOOKED_AT)
        others = (await upgrades.load_open(tx, [row.terminal])).get(row.terminal, [])
    now_us = services.now_us()
    plan = plan_of(campaign, package, decode(decode_signed(package.manifest).body))
    attempt = max(1, row.attempt)
    kept = restore(row.id, row.terminal, plan, state=row.state, attempt=attempt, code=row.code, snapshot=row.snapshot)
    ahead = explain.prospect(kept, now_us / 1e6, online=terminal.online)
    return Explanation(
        row=row,
        terminal=terminal,
        sent=explain.sent(kept),
        reported=next((one for one in reversed(history) if one.actor == "terminal"), None),
        acked=_acked(kept, row) if row.state is _S.TRANSFERRING else None,
        prospect=ahead,
        awaits=_awaits(kept),
        then=_then(kept, ahead),
        holds_up=[
            *_held_up(kept, terminal, campaign, others, ahead),
            *([_OVERDUE] if kept.deadline() <= now_us / 1e6 else []),
            *filter(None, [waits_for(row, campaign, now_us) if row.state not in FINAL else ""]),
        ],
    )


def _acked(upgrade: Upgrade, row: UpgradeRow) -> Acked:
    return Acked(
        verified_bytes=row.have_bytes, package_bytes=upgrade.plan.target.size_bytes, at_us=int(upgrade.progress_at * 1e6)
    )


def _awaits(upgrade: Upgrade) -> str:
    if upgrade.withdrawn:
        return "the terminal's word that it has dropped the package"
    if upgrade.holding:
        return "the terminal's word that it has closed the transfer, and then " + WORDS[_S.DEFERRED]
    if upgrade.overtaken:
        return "the terminal's newest report: it is further than this store, restored from a backup, knows"
    if upgrade.state is _S.OFFERED and upgrade.plan.ask_merchant and not upgrade.consented:
        return _ASKED
    if upgrade.wants_proof:
        return _PROOF
    return WORDS.get(upgrade.state, "")


def _held_up(
    upgrade: Upgrade, terminal: TerminalRow, campaign: CampaignRow, others: Sequence[UpgradeRow], ahead: Prospect
) -> list[str]:
    out: list[str] = []
    if not terminal.online and (upgrade.state not in FINAL or upgrade.withdrawn):
        seen = f"not heard since {moment(terminal.seen_us / 1e6)}" if terminal.seen_us else "never heard"
        also = f"; the order {ahead.order.value} goes out as soon as it is back" if ahead.order is not None else ""
        out.append(f"the terminal is offline, {seen}{also}")
    if upgrade.state in {_S.SCHEDULED, _S.STAGED} and campaign.state != "running":
        out.append(
            f"its campaign is {campaign.state}: {campaign.reason}" if campaign.reason else f"its campaign is {campaign.state}"
        )
    if upgrade.state is _S.SCHEDULED:
        busy = [one for one in others if one.id != upgrade.id and one.state is not _S.SCHEDULED]
        out += [f"the terminal is busy with upgrade {one.id}, {one.state.value}" for one in busy]
    if upgrade.state is _S.PREPARING and ahead.order_at < _NEVER and upgrade.code is not Code.OK and upgrade.not_before:
        out.append(f"the terminal was not ready: {upgrade.code.value}")
    return out


def _then(upgrade: Upgrade, ahead: Prospect) -> str:
    """What happens when the time is up, or what still may."""
    then = ahead.then
    if then is None:
        return _at_the_end(upgrade)
    if then.state is upgrade.state:
        return f"it is looked at again: {then.code.value}"
    if then.state is _S.SCHEDULED and upgrade.state is _S.DEFERRED:
        return "it is scheduled again, and offered as soon as there is a place"
    if then.state is _S.SCHEDULED:
        return f"it has failed with {then.code.value} and is scheduled again, {_price(upgrade, then)}"
    if then.state is _S.INSTALLING:
        return "it installs"
    told = ", and the terminal is told to drop the package" if then.is_told else ""
    return f"it is {then.state.value} with {then.code.value}{told}"


def _price(upgrade: Upgrade, then: Outcome) -> str:
    tried = f"tried from about {moment(then.not_before)} on"
    if then.attempt == upgrade.attempt:
        return f"{tried}; that costs no attempt"
    return f"{tried}, as attempt {then.attempt} of {upgrade.plan.attempts_max}"


def _at_the_end(upgrade: Upgrade) -> str:
    if upgrade.withdrawn:
        return f"the order {OrderKind.UPGRADE_CANCEL.value} is repeated until the terminal answers"
    if upgrade.state in ASSUMED:
        return "nothing; should the terminal prove that it runs the new version, that still counts"
    return "nothing; it has ended"


def moment(at: float) -> str:
    """An instant for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
