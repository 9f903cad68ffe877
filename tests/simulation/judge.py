"""The invariants, checked at every step of a story (docs/reliability.md lists them by name).

``Judge`` is told what happens by the models and looks into the terminals' journals after each of their inputs. It remembers
what it needs by itself, so that it believes neither side. A broken invariant ends the story by ``BrokenError``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import msgpack

from gateway.core.effects import Append, Save, SaveTerminal, SaveUpgrade, SendOrder, SendReceipt, SendWelcome
from gateway.core.events import Event, Heard, Unsure
from gateway.core.shedding import KEPT_MAX
from gateway.core.states import TRANSITIONS, UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Ack, Hello, OpenUpgrade, Order, Presence
from gateway.wire.ranges import RangeSet
from tests.simulation.store import Store


class Invariant(StrEnum):
    """What must hold, by name."""

    CLAIMS_DURABLE = "a segment is claimed only when verified and durable"
    LAWFUL_INSTALL = "no install without a valid signature, the right model and a higher counter"
    ONE_INSTALL = "one effective install per order"
    ONE_EXECUTION = "an order is let through once"
    BELIEVED_ORDERS = "only what a gateway ordered of this terminal is let through"
    STATE_FIRST = "a state row before its effect"
    OLD_EPOCH = "no order is accepted from an older epoch"
    COUNTER_ONCE = "no counter of an epoch is given to two orders"
    IN_FLIGHT = "in flight no more than credit and one chunk"
    HELD_ONCE = "nothing that is held is sent again, but a probe"
    ALL_END = "every upgrade ends under finitely many faults"
    PRESENCE = "offline never contradicts a newer birth"
    RECEIPTS = "a receipt only for what is stored"
    LEDGER = "the ledger equals the states"
    REPORTS = "a report number says one thing"
    NOTHING_LOST = "nothing that a terminal reported is lost"
    OUTCOME = "both sides know the same outcome"
    NO_BUG = "the core raises nothing"


class BrokenError(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: Invariant, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
        self.text = text


class Process(Protocol):
    """What the judge must know of a gateway."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def epoch(self) -> int:
        """Its shard epoch."""
        ...

    store: Store


_MOVES: Final = {(state.value, target.value) for (state, _), target in TRANSITIONS.items()}
_CHUNK_BLOCKS: Final = 16
#: Orders that one state or another calls for, by their kind; others follow from a flag of the row.
_CALLS: Final = {
    UpgradeState.OFFERED: "upgrade.offer",
    UpgradeState.PREPARING: "upgrade.prepare",
    UpgradeState.TRANSFERRING: "upgrade.transfer",
    UpgradeState.INSTALLING: "upgrade.install",
    UpgradeState.SOAKING: "upgrade.commit",
    UpgradeState.ROLLING_BACK: "upgrade.rollback",
}


@dataclass(slots=True)
class _Belief:
    """What one process has heard of one terminal's presence."""

    epoch: int
    is_dead: bool = False
    """Its death in this epoch was heard."""
    doubted: bool = False


@dataclass(slots=True)
class _Sending:
    """One transfer object of one process, as its acks and chunks show it."""

    held: RangeSet
    epoch: int = -1
    seq: int = -1
    credit_bytes: int = 0
    flights: deque[tuple[int, int, int]] = field(default_factory=deque)
    """Number, first block and last of what is on its way, probes left out."""
    blocks: int = 0
    """In ``flights``."""


class Judge:
    """The gateways' side; ``tests.simulation.inspector`` looks at the terminals."""

    def __init__(self) -> None:
        self.checks = 0
        self.signed: set[tuple[str, str, int]] = set()
        """Terminal, order and counter of each order that a gateway has sent."""
        self._counters: dict[tuple[str, int, int], str] = {}
        self._beliefs: dict[tuple[str, str], _Belief] = {}
        self._sendings: dict[int, tuple[Transfer, _Sending]] = {}

    # -- presence

    def loaded(self, process: Process, session: Terminal) -> None:
        """A session has been made from its row."""
        self._beliefs[process.name, session.id] = _Belief(session.presence.epoch)

    def hears(self, process: Process, session: Terminal, event: Event) -> None:
        """A session is about to be told."""
        belief = self._beliefs[process.name, session.id]
        match event:
            case Heard(Hello(epoch=epoch)) | Heard(Presence(epoch=epoch, online=True)):
                if epoch >= belief.epoch:
                    belief.epoch, belief.is_dead, belief.doubted = epoch, False, False
            case Heard(Presence(epoch=epoch)):
                belief.is_dead |= epoch == belief.epoch
            case Unsure():
                belief.doubted |= session.online
            case _:
                pass

    def decided(self, process: Process, session: Terminal, *, was_online: bool) -> None:
        """It has been told."""
        self.checks += 1
        belief = self._beliefs[process.name, session.id]
        if session.presence.epoch < belief.epoch:
            raise BrokenError(
                Invariant.PRESENCE, f"{session.id}: born in epoch {belief.epoch}, known in {session.presence.epoch}"
            )
        if was_online and not session.online and not (belief.is_dead or belief.doubted):
            raise BrokenError(Invariant.PRESENCE, f"{session.id}: offline, but epoch {belief.epoch} has not died")

    # -- the store

    def commits(self, store: Store, saves: Sequence[Save]) -> None:
        """These rows are about to be kept, all of them or none."""
        self.checks += 1
        ended: dict[str, str] = {}
        for save in saves:
            if isinstance(save, Append) and save.from_state:
                before = ended.get(save.upgrade) or store.ended.get(save.upgrade, UpgradeState.SCHEDULED.value)
                if save.from_state != before:
                    raise BrokenError(Invariant.LEDGER, f"{save.upgrade} leaves {save.from_state}, the ledger is at {before}")
                if save.to_state != before and (before, save.to_state) not in _MOVES:
                    raise BrokenError(Invariant.LEDGER, f"{save.upgrade} moves from {before} to {save.to_state}")
                ended[save.upgrade] = save.to_state
            elif isinstance(save, SaveTerminal) and save.epoch < store.terminals[save.terminal].epoch:
                raise BrokenError(Invariant.PRESENCE, f"{save.terminal}: its stored epoch falls to {save.epoch}")
        rows = {save.upgrade: save.state.value for save in saves if isinstance(save, SaveUpgrade)}
        for upgrade in {**rows, **ended}:
            row = rows.get(upgrade, store.upgrades[upgrade].state.value)
            last = ended.get(upgrade) or store.ended.get(upgrade, UpgradeState.SCHEDULED.value)
            if row != last:
                raise BrokenError(Invariant.LEDGER, f"{upgrade} is {row} in its row and {last} in the ledger")

    # -- what leaves a gateway

    def sent(self, process: Process, send: SendOrder | SendReceipt | SendWelcome) -> None:
        """It is about to be published."""
        self.checks += 1
        if isinstance(send, SendOrder):
            self._ordered(process, send.order)
        elif isinstance(send, SendReceipt):
            self._receipted(process.store, send)

    def _ordered(self, process: Process, order: Order) -> None:
        store = process.store
        where = f"{order.terminal}: {order.kind} {order.id} #{order.counter}"
        first = self._counters.setdefault((order.terminal, process.epoch, order.counter), order.id)
        if first != order.id or order.shard_epoch != process.epoch:
            raise BrokenError(Invariant.COUNTER_ONCE, f"{where} in epoch {order.shard_epoch}, {first} had this counter")
        self.signed.add((order.terminal, order.id, order.counter))
        if order.counter > store.terminals[order.terminal].counter:
            raise BrokenError(Invariant.STATE_FIRST, f"{where}, but its row knows no counter above that")
        upgrade, _, step = order.id.rpartition("-")
        row = store.upgrades.get(upgrade)
        if row is None:
            if store.orders[order.id].status == "pending":
                raise BrokenError(Invariant.STATE_FIRST, f"{where}, but its row has not been sent")
            return
        kept: Mapping[str, Any] = msgpack.unpackb(row.snapshot)
        if kept["step"] < int(step):
            raise BrokenError(Invariant.STATE_FIRST, f"{where}, but its row is at step {kept['step']}")
        flagged = kept["wd"] or kept["hold"] or kept["over"]
        if kept["step"] == int(step) and not flagged and _CALLS.get(row.state, order.kind) != order.kind:
            raise BrokenError(Invariant.STATE_FIRST, f"{where}, but its row is {row.state}")

    def _receipted(self, store: Store, send: SendReceipt) -> None:
        name, receipt = send.terminal, send.receipt
        for seq in receipt.seqs:
            if (name, receipt.upgrade, seq) in store.reported:
                continue
            kept = sum(key[:2] == (name, receipt.upgrade) for key in store.reported)
            if kept < KEPT_MAX:  # beyond it, what moves nothing is counted instead
                raise BrokenError(Invariant.RECEIPTS, f"{name}: report {seq} of {receipt.upgrade} is not in the ledger")
        for order in receipt.orders:
            if (name, order) not in store.answered:
                raise BrokenError(Invariant.RECEIPTS, f"{name}: the result of {order} is not in the ledger")

    # -- transfers

    def acked(self, transfer: Transfer, ack: Ack) -> None:
        """A transfer has taken an ack in, without refusing it."""
        sending = self._sending(transfer)
        if ack.epoch < sending.epoch or (ack.epoch == sending.epoch and ack.seq <= sending.seq):
            return
        if ack.epoch > sending.epoch:
            sending.flights.clear()
            sending.blocks = 0
        sending.epoch, sending.seq, sending.credit_bytes = ack.epoch, ack.seq, ack.credit_bytes
        flights = sending.flights
        while flights and flights[0][0] <= ack.number:
            _, start, stop = flights.popleft()
            sending.blocks -= stop - start
        sending.held = RangeSet([(0, ack.cum), *ack.ranges])

    def claimed(self, transfer: Transfer | None, held: OpenUpgrade | None) -> None:
        """A hello has shown segments."""
        if transfer is not None and held is not None:
            sending = self._sending(transfer)
            for start, stop in held.have:
                sending.held.add(start * BLOCKS_PER_SEGMENT, min(stop * BLOCKS_PER_SEGMENT, transfer.blocks))

    def chunk(self, process: Process, name: str, transfer: Transfer, piece: Piece, *, probe: bool) -> None:
        """A chunk is about to be sent."""
        self.checks += 1
        if process.store.terminals[name].counter < transfer.id:
            raise BrokenError(
                Invariant.STATE_FIRST, f"{name}: a chunk of transfer {transfer.id}, of which its row knows nothing"
            )
        if probe:
            return
        sending = self._sending(transfer)
        start, stop = piece.block, piece.block + -(-piece.length_bytes // BLOCK_BYTES)
        if any(begin < stop and end > start for begin, end in sending.held):
            raise BrokenError(Invariant.HELD_ONCE, f"{name}: blocks {start} to {stop} are held as {sending.held!r}")
        sending.flights.append((piece.number, start, stop))
        sending.blocks += stop - start
        if sending.blocks * BLOCK_BYTES > sending.credit_bytes + _CHUNK_BLOCKS * BLOCK_BYTES:
            raise BrokenError(
                Invariant.IN_FLIGHT, f"{name}: {sending.blocks} KiB on their way, credit {sending.credit_bytes} bytes"
            )

    def _sending(self, transfer: Transfer) -> _Sending:
        found = self._sendings.get(id(transfer))
        if found is None or found[0] is not transfer:
            found = self._sendings[id(transfer)] = (transfer, _Sending(RangeSet()))
        return found[1]
