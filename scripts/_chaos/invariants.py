"""What must hold when all is over, whatever was done to whom. Pure: evidence in, one line for each breach out.

Each function is an invariant of docs/reliability.md; ``INVARIANTS`` names them in the order in which they are shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from gateway.core.states import FINAL, TRANSITIONS, UpgradeState
from scripts._chaos.evidence import Entry, Evidence, Struck, Upgrade

Invariant = Callable[[Evidence], Iterator[str]]

#: What may come again of verified segments for each break of a transfer: a window of 64 KiB that was in flight when the gateway
#: died, of which its successor cannot know, and two probes of 16 KiB after a silence. Less than one segment.
AGAIN_PER_BREAK_BYTES: Final = 96 * 1024
_FINAL: Final = frozenset(state.value for state in FINAL)
_MOVES: Final = {(state.value, target.value) for (state, _), target in TRANSITIONS.items()}
_ORDER_OPEN: Final = frozenset({"pending", "sent"})
#: The terminal's last word, and the states that agree with it.
_OUTCOMES: Final[Mapping[str, frozenset[str]]] = {
    "committed": frozenset({"succeeded"}),
    "rolled_back": frozenset({"rolled_back"}),
    "rejected": frozenset({"rejected", "cancelled", "expired", "failed"}),
    "declined": frozenset({"rejected"}),
    "cancelled": frozenset({"cancelled", "expired", "failed"}),
}


def reports_kept(found: Evidence) -> Iterator[str]:
    """Each report with a receipt is in the ledger, once and as it was said; none is in there that was never said."""
    stored: dict[tuple[str, str, Any], list[Entry]] = defaultdict(list)
    answered = {entry.evidence["order"] for entry in found.entries if "order" in entry.evidence}
    for entry in found.entries:
        if entry.actor == "terminal" and "seq" in entry.evidence:
            stored[entry.terminal, entry.upgrade, entry.evidence["seq"]].append(entry)
    for terminal, life in found.lives.items():
        for said in life["said"]:
            if "order" in said:
                if said["receipted"] and said["order"] not in answered:
                    yield f"{terminal}: its result for order {said['order']} has a receipt and is in no ledger"
                continue
            entries = stored.pop((terminal, said["upgrade"], said["seq"]), [])
            name = f"{terminal}: report {said['seq']} ({said['what']}) of {said['upgrade']}"
            if said["receipted"] and not entries:
                yield f"{name} has a receipt and is in no ledger"
            if len(entries) > 1:
                yield f"{name} is in the ledger {len(entries)} times"
            if any(entry.what != said["what"] for entry in entries):
                yield f"{name} is in the ledger as {entries[0].what}"
        if life["seq_reused"]:
            yield f"{terminal}: {life['seq_reused']} reports took a number for the second time"
    for terminal, upgrade, seq in stored:
        yield f"{terminal}: report {seq} of {upgrade} is in the ledger and was never journalled"


def one_install(found: Evidence) -> Iterator[str]:
    """One effective install per upgrade, and no order carried out twice."""
    for terminal, life in found.lives.items():
        for upgrade, count in life["installs"].items():
            if count > 1:
                yield f"{terminal}: installed {count} times for {upgrade}"
        for order, numbers in life["executed"].items():
            if len(numbers) > 1:
                yield f"{terminal}: carried order {order} out {len(numbers)} times"


def nothing_stuck(found: Evidence) -> Iterator[str]:
    """When the faults are over, everything comes to an end, and every report to its receipt."""
    for upgrade in found.upgrades:
        if upgrade.state not in _FINAL:
            yield f"{upgrade.terminal}: upgrade {upgrade.id} is still {upgrade.state}"
    for name, state in found.campaigns.items():
        if state != "finished":
            yield f"campaign {name} is still {state}"
    for order, status in found.orders.items():
        if status in _ORDER_OPEN:
            yield f"order {order} is still {status}"
    for terminal, life in found.lives.items():
        if life["unreceipted"]:
            yield f"{terminal}: {life['unreceipted']} reports or results still wait for their receipt"


def ledger_equals_states(found: Evidence) -> Iterator[str]:
    """Each upgrade's entries are an unbroken chain of allowed moves from ``scheduled`` to the state of its row."""
    chains: dict[str, list[Entry]] = defaultdict(list)
    for entry in found.entries:
        if entry.from_state:
            chains[entry.upgrade].append(entry)
    for upgrade in found.upgrades:
        state = UpgradeState.SCHEDULED.value
        for entry in chains[upgrade.id]:
            if entry.terminal != upgrade.terminal:
                yield f"{upgrade.terminal}: entry {entry.seq} of its upgrade is about {entry.terminal}"
            if entry.from_state != state:
                yield f"{upgrade.terminal}: entry {entry.seq} leaves {entry.from_state}, the one before ended in {state}"
            elif entry.to_state != state and (state, entry.to_state) not in _MOVES:
                yield f"{upgrade.terminal}: entry {entry.seq} moves from {state} to {entry.to_state}, which no table allows"
            state = entry.to_state
        if state != upgrade.state:
            yield f"{upgrade.terminal}: the ledger ends in {state}, the row of {upgrade.id} says {upgrade.state}"


def chain_holds(found: Evidence) -> Iterator[str]:
    """The ledger is what was written: every entry is chained to the one before of its terminal, and no seal is broken."""
    yield from found.chain_says


def outcomes_agree(found: Evidence) -> Iterator[str]:
    """How an upgrade ended is the same on both sides."""
    last: dict[tuple[str, str], str] = {}
    for terminal, life in found.lives.items():
        for said in life["said"]:
            if said.get("what", "health") != "health":
                last[terminal, said["upgrade"]] = said["what"]
    for upgrade in found.upgrades:
        word = last.get((upgrade.terminal, upgrade.id), "")
        if upgrade.state not in _OUTCOMES.get(word, {upgrade.state}):
            yield f"{upgrade.terminal}: says {word} of {upgrade.id}, the gateway {upgrade.state}"
        if upgrade.state in {"succeeded", "rolled_back"} and upgrade.state not in _OUTCOMES.get(word, frozenset()):
            yield f"{upgrade.terminal}: the gateway has {upgrade.id} as {upgrade.state}, it says {word or 'nothing'}"


def orders_forward(found: Evidence) -> Iterator[str]:
    """No order let through from an older epoch or with a lower counter, and none from an epoch that never was."""
    for terminal, life in found.lives.items():
        for counter, epoch in life["orders_back"]:
            yield f"{terminal}: let an order with counter {counter} of epoch {epoch} through after a younger one"
        if life["shard_epoch"] > found.shard_epoch:
            yield f"{terminal}: knows epoch {life['shard_epoch']}, the store {found.shard_epoch}"


def segments_once(found: Evidence) -> Iterator[str]:
    """No verified segment is sent again, beyond what was on the way at a break."""
    breaks = _breaks(found)
    for terminal, again in found.again_bytes.items():
        allowed = breaks[terminal] * AGAIN_PER_BREAK_BYTES
        if again > allowed:
            yield f"{terminal}: {again} bytes of verified segments came again, {breaks[terminal]} breaks explain {allowed}"


def presence_agrees(found: Evidence) -> Iterator[str]:
    """When all is quiet, every terminal counts as online with its own epoch."""
    for terminal, life in found.lives.items():
        epoch, online = found.terminals.get(terminal, (0, False))
        if not online:
            yield f"{terminal}: is connected and counts as offline"
        if epoch != life["epoch"]:
            yield f"{terminal}: lives in epoch {life['epoch']}, the gateway knows {epoch}"


def store_sound(found: Evidence) -> Iterator[str]:
    """SQLite finds nothing wrong with the file."""
    if found.store_says != "ok":
        yield f"the store: {found.store_says}"


def nobody_fell(found: Evidence) -> Iterator[str]:
    """No process ends but by our hand."""
    yield from found.fell


INVARIANTS: Final[Mapping[str, Invariant]] = {
    "no report is lost: a receipt only for a stored report": reports_kept,
    "one install per upgrade, one execution per order": one_install,
    "nothing is stuck": nothing_stuck,
    "the ledger equals the states": ledger_equals_states,
    "the ledger's chain holds": chain_holds,
    "both sides know the same outcome": outcomes_agree,
    "no order is accepted from an older epoch": orders_forward,
    "no verified segment is sent again": segments_once,
    "online means connected, in the newest epoch": presence_agrees,
    "the store is sound": store_sound,
    "no process ends by itself": nobody_fell,
}


def judge(found: Evidence) -> dict[str, list[str]]:
    """The breaches of each invariant, by its name."""
    return {name: list(invariant(found)) for name, invariant in INVARIANTS.items()}


def _breaks(found: Evidence) -> Counter[str]:
    """By terminal: bulk connections beyond the first of each transfer, and faults while one of its transfers was open."""
    breaks: Counter[str] = Counter()
    spans = _transfers(found.upgrades, found.entries)
    for terminal, life in found.lives.items():
        own = spans.get(terminal, [])
        breaks[terminal] = max(0, life["bulk_epoch"] - len(own))
        breaks[terminal] += sum(_overlaps(fault, span) for fault in found.struck for span in own)
    return breaks


def _transfers(upgrades: Iterable[Upgrade], entries: Iterable[Entry]) -> dict[str, list[tuple[float, float]]]:
    """When each terminal had a transfer open, in Unix seconds."""
    known = {upgrade.id for upgrade in upgrades}
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    began: dict[str, float] = {}
    for entry in entries:
        if entry.upgrade not in known or entry.from_state == entry.to_state:
            continue
        if entry.to_state == UpgradeState.TRANSFERRING.value:
            began[entry.upgrade] = entry.at_us / 1e6
        elif entry.from_state == UpgradeState.TRANSFERRING.value:
            spans[entry.terminal].append((began.pop(entry.upgrade, 0.0), entry.at_us / 1e6))
    return spans


def _overlaps(fault: Struck, span: tuple[float, float]) -> bool:
    return fault.began_at <= span[1] and fault.ended_at >= span[0]
