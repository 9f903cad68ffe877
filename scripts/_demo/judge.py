"""Compares how the campaign ended with what the scenario demands. Pure; every difference is one line, and no line is good news.

Both sides are asked: the gateway's ledger must hold every report that a terminal journalled, in an unbroken way from state to
state; the terminal must run the version that the gateway believes, with every report receipted, and must not have been sent
again what it had verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.api.upgrade_models import UpgradeDetailOut
from scripts._demo.demands import MOVING_LEAST, Demand, demand_of
from scripts._demo.evidence import Ending, Kill, Own

#: Of verified segments nothing comes again but what was in flight when the gateway was killed (a window of 64 KiB that the next
#: process cannot know of) and single probes of 16 KiB after a silence; together less than one full segment of 128 KiB.
REPEATED_MAX_BYTES: Final = 96 * 1024
#: The same for all bytes, twice: at the kill, and at a drop-out of the link.
TWICE_MAX_BYTES: Final = 2 * 64 * 1024
_WHOLE_PACKAGE: Final = frozenset({"succeeded", "rolled_back"})


def differences(ending: Ending, fleet: Sequence[str]) -> list[str]:
    """All that is not as it should be."""
    found = list(_campaign(ending)) + list(_kill(ending.kill))
    for terminal in fleet:
        told, own = ending.upgrades.get(terminal), ending.own.get(terminal)
        if told is None or own is None:
            found.append(f"{terminal}: {'the gateway has no upgrade of it' if told is None else 'gave no account of itself'}")
            continue
        demand = demand_of(terminal)
        lines = (*_outcome(demand, told, own), *_ledger(told, own), *_bytes(told, own))
        found += [f"{terminal}: {line}" for line in lines]
    found += [f"{terminal}: is no terminal of the scenario" for terminal in ending.upgrades if terminal not in fleet]
    return found


def _campaign(ending: Ending) -> Iterator[str]:
    campaign = ending.look.campaign
    if campaign.state != "finished":
        yield f"campaign: demanded finished, is {campaign.state} ({campaign.reason or ending.look.why})"


def _kill(kill: Kill | None) -> Iterator[str]:
    if kill is None:
        yield "gateway: was never killed, because there was no moment with enough transfers under way"
    elif len(kill.moving) < MOVING_LEAST:
        yield f"gateway: killed with {len(kill.moving)} transfers under way, demanded at least {MOVING_LEAST}"


def _outcome(demand: Demand, told: UpgradeDetailOut, own: Own) -> Iterator[str]:
    code = told.code or "ok"
    if (told.state, code) != (demand.state, demand.code):
        yield f"demanded {demand.state} {demand.code}, ended {told.state} {code}"
    running = own.versions.get("app", "nothing: it is booting")
    if running != demand.version:
        yield f"demanded version {demand.version}, runs {running}"
    for what, happened in demand.must.items():
        if not happened(told, own):
            yield f"demanded {what}, which did not happen"


def _ledger(told: UpgradeDetailOut, own: Own) -> Iterator[str]:
    """Complete and unbroken."""
    state = ""
    for entry in told.history:
        if entry.from_state != state and state:
            yield f"ledger entry {entry.seq} goes from {entry.from_state} where the one before ended in {state}"
        state = entry.to_state
    if state != told.state:
        yield f"its ledger ends in {state or 'nothing'}, its row says {told.state}"

    reported = {report.seq: (report.what, report.code) for report in own.reports if report.upgrade == told.id}
    stored: dict[object, tuple[str, str]] = {}
    for entry in told.history:
        if entry.actor == "terminal" and "seq" in entry.evidence:
            if entry.evidence["seq"] in stored:
                yield f"its report {entry.evidence['seq']} stands in the ledger twice"
            stored[entry.evidence["seq"]] = (entry.what, entry.code)
    for seq, report in reported.items():
        if stored.get(seq) != report:
            yield f"its report {seq} ({' '.join(report)}) is not in the ledger"
    if own.unreceipted:
        yield f"{own.unreceipted} of its reports have no receipt" if own.unreceipted > 0 else "is booting when all is over"


def _bytes(told: UpgradeDetailOut, own: Own) -> Iterator[str]:
    """Nothing twice that was verified; nothing twice at all but what was in flight or lost with the power."""
    size_bytes = told.package_bytes
    if own.repeated_bytes > REPEATED_MAX_BYTES:
        yield f"{own.repeated_bytes} bytes of verified segments were sent again"
    if told.state not in _WHOLE_PACKAGE:
        return
    if own.useful_bytes < size_bytes:
        yield f"has taken {own.useful_bytes} bytes of a package of {size_bytes}"
    if own.power_cuts:
        return
    if own.received_bytes - size_bytes > TWICE_MAX_BYTES:
        yield f"{own.received_bytes - size_bytes} bytes came more than once"
    if told.received_bytes != own.received_bytes:
        yield f"the gateway has {told.received_bytes} received bytes in its ledger, the terminal counted {own.received_bytes}"
