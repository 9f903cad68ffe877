"""A play in virtual time: one terminal, a short line, and a gateway that does what the protocol asks, level-triggered.

The scripted gateway is no model of ours: it repeats the order that the newest report calls for, receipts what it hears and
sends what the acks say is missing. Tests bend it by its attributes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from random import Random

from device_sim.faults import NO_FAULTS, Faults
from device_sim.flash import Flash, SegmentPool
from device_sim.options import Options
from device_sim.outputs import CloseBulk, ConnectControl, DropControl, OpenBulk, Output, PauseBulk, Publish, Rebooting
from device_sim.profiles import LinkProfile, load_profile
from device_sim.terminal import Terminal
from gateway.trust.manifest import Manifest
from gateway.trust.orders import sign_order
from gateway.wire.codec import decode, encode
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import (
    BLOCK_BYTES,
    Ack,
    Chunk,
    Hello,
    Message,
    Order,
    Plain,
    Presence,
    Receipt,
    Report,
    Result,
    Welcome,
)
from gateway.wire.ranges import RangeSet
from tests.unit.device_sim.build import DAY_MS, MODEL, ORDER_KEY, identity_of, manifest_of, order_args, payload_of

DELAY_S = 0.02
STUCK = 50  # deadlines in a row that do not move the time
NEXT = {
    None: OrderKind.UPGRADE_OFFER,
    What.ACCEPTED: OrderKind.UPGRADE_PREPARE,
    What.POSTPONED: OrderKind.UPGRADE_OFFER,
    What.NOT_READY: OrderKind.UPGRADE_PREPARE,
    What.READY: OrderKind.UPGRADE_TRANSFER,
    What.STAGED: OrderKind.UPGRADE_INSTALL,
    What.FAILED: OrderKind.UPGRADE_OFFER,
    What.VERIFIED: OrderKind.UPGRADE_COMMIT,
}


class Play:
    """Everything in one place: terminal, line, gateway, time."""

    def __init__(
        self,
        payload: bytes = b"",
        *,
        options: Options | None = None,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
        flash: Flash | None = None,
        pool: SegmentPool | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        self.payload = payload or payload_of(300_000)
        self.manifest = manifest or manifest_of(self.payload)
        self.now = 0.0
        self.options = options or Options(speed=20.0)
        self.single = self.options.connections == 1
        self.terminal = Terminal(
            replace(load_profile(MODEL), link=LinkProfile()),  # payments take no time on the air
            identity_of(),
            flash or Flash(),
            Random(seed),
            options=self.options,
            faults=faults,
            pool=pool,
            now=0.0,
        )
        self.control_up = self.bulk_up = self.paused = False
        self.broker_up = True
        self.generation = {"control": 0, "bulk": 0}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._stuck = 0
        self._woken_at = -1.0

        # the gateway's side
        self.upgrade = "u1"
        self.ask = True
        self.auto = True
        self.receipts = True
        self.soak_s = 30.0
        self.health_every_s = 10.0
        self.boot_budget_s = 60.0
        self.counter = 0
        self.step = 0
        self.answered = True
        self.due: OrderKind | None = OrderKind.UPGRADE_OFFER
        self.verified_at = float("inf")
        self.chunk_blocks = 16
        self.window_blocks = 1 << 30
        self.number = 0
        self.transfer = 0
        self.in_flight: dict[int, tuple[int, int]] = {}
        self.ack_log: list[Ack] = []
        self.reports: dict[int, Report] = {}
        self.results: list[Result] = []
        self.hellos: list[Hello] = []
        self.presences: list[Presence] = []
        self.outputs: list[Output] = []
        self.on_uplink: Callable[[Message], None] = lambda _message: None
        self.drop_chunk: Callable[[Chunk], bool] = lambda _chunk: False
        self._sent_at = float("-inf")

    # -- time

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._tie), action))

    def run(self, until: Callable[[], bool] | None = None, *, seconds: float = 3600.0) -> bool:
        """Let time pass until the condition holds; whether it did before ``seconds`` were over."""
        end = self.now + seconds
        while until is None or not until():
            self._gateway()
            deadline = self.terminal.deadline(self.now)
            times = [end, self.now + 1.0, *([self._events[0][0]] if self._events else []), *([deadline] if deadline else [])]
            self.now = max(self.now, min(times))
            if self.now >= end:
                return until is not None and until()
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
                self._pump_outputs()
            if deadline is not None and deadline <= self.now:
                self.terminal.on_time(self.now)
                self._stuck = self._stuck + 1 if self.now == self._woken_at else 0
                self._woken_at = self.now
                assert self._stuck < STUCK, f"the terminal stops the time at {self.now}"
            self._pump_outputs()
        return True

    def boot(self) -> None:
        self.terminal.boot(self.now)
        self._pump_outputs()

    def upgrade_to(self, what: What, **kwargs: float) -> bool:
        """Boot if need be and run until the terminal has reported ``what``."""
        if self.terminal.board.tally.boots == 0:
            self.boot()
        return self.run(lambda: self.newest is what, **kwargs)

    @property
    def newest(self) -> What | None:
        """The newest report that is not of health."""
        seqs = [seq for seq, report in self.reports.items() if report.what is not What.HEALTH]
        return self.reports[max(seqs)].what if seqs else None

    def whats(self) -> list[What]:
        return [self.reports[seq].what for seq in sorted(self.reports) if self.reports[seq].what is not What.HEALTH]

    def last_report(self, what: What) -> Report:
        return [report for _, report in sorted(self.reports.items()) if report.what is what][-1]

    # -- the line

    def _pump_outputs(self) -> None:
        for output in self.terminal.take():
            self.outputs.append(output)
            match output:
                case Publish():
                    self._up(output)
                case ConnectControl():
                    self._connect("control", output.will)
                case DropControl():
                    if self.control_up and output.abort:
                        self._hear("presence", self._will)
                    self.generation["control"] += 1
                    self.control_up = False
                case OpenBulk():
                    self._connect("bulk", b"")
                case CloseBulk():
                    self.generation["bulk"] += 1
                    self.bulk_up = self.paused = False
                case PauseBulk():
                    self.paused = output.paused
                case Rebooting():
                    pass

    def _connect(self, which: str, will: bytes) -> None:
        self.generation[which] += 1
        mine = self.generation[which]

        def done() -> None:
            if self.generation[which] != mine:
                return
            if which == "control":
                self._will = will
                self.control_up = self.broker_up
                self.in_flight = {} if self.single else self.in_flight
                self.terminal.on_control_up(self.now) if self.broker_up else self.terminal.on_control_down(self.now)
            else:
                self.bulk_up = self.broker_up
                self.in_flight = {}
                self.terminal.on_bulk_up(self.now) if self.broker_up else self.terminal.on_bulk_down(self.now)

        self.at(self.now + 2 * DELAY_S, done)

    def break_control(self) -> None:
        if self.control_up:
            self.generation["control"] += 1
            self.control_up = False
            self.terminal.on_control_down(self.now)
            self._pump_outputs()

    def break_bulk(self) -> None:
        if self.bulk_up:
            self.generation["bulk"] += 1
            self.bulk_up = self.paused = False
            self.terminal.on_bulk_down(self.now)
            self._pump_outputs()

    def _up(self, output: Publish) -> None:
        up = self.bulk_up if output.bulk else self.control_up
        if up:
            self.at(self.now + DELAY_S, lambda: self._hear(output.kind, output.payload))

    def down(self, message: Message, *, bulk: bool = False, kind: str = "") -> None:
        """Send to the terminal; lost when the connection is gone or breaks meanwhile."""
        which = "bulk" if bulk else "control"
        mine = self.generation[which]
        payload = encode(message)
        kind = kind or {Chunk: "chunk", Welcome: "welcome", Receipt: "receipt"}.get(type(message), "order")

        def arrive() -> None:
            if self.generation[which] == mine and (self.bulk_up if bulk else self.control_up):
                self.terminal.on_message(kind, payload, bulk, self.now)

        self.at(self.now + DELAY_S, arrive)

    # -- the gateway

    def order(self, kind: OrderKind, args: Mapping[str, Plain], *, order_id: str = "", **changes: int | str) -> Order:
        """Sign and send an order; returns it."""
        self.counter += 1
        now_ms = self.options.unix_base_ms + int(self.now * 1000)
        fields: dict[str, object] = {
            "id": order_id or f"x-{self.counter}",
            "counter": self.counter,
            "shard_epoch": 1,
            "terminal": self.terminal.id,
            "kind": kind,
            "args": args,
            "not_before_ms": now_ms - 600_000,
            "not_after_ms": now_ms + DAY_MS,
        }
        order = Order(**(fields | changes))  # type: ignore[arg-type]  # the caller gives the right types
        self.down(sign_order(order, ORDER_KEY))
        return order

    def args_of(self, kind: OrderKind) -> dict[str, Plain]:
        install = (self.soak_s, self.health_every_s, self.boot_budget_s)
        return order_args(kind, self.upgrade, self.manifest, ask=self.ask, transfer=self.transfer, install=install)

    def send(self, kind: OrderKind, *, again: bool = False) -> Order:
        """The next order of the upgrade, or the last one again."""
        if not again:
            self.step += 1
            if kind is OrderKind.UPGRADE_TRANSFER:
                self.transfer = self.counter + 1
        return self.order(kind, self.args_of(kind), order_id=f"{self.upgrade}-{self.step}")

    def _gateway(self) -> None:
        """Send what is due, again every 2 s."""
        if not self.auto or self.due is None or not self.control_up:
            return
        if self.due is OrderKind.UPGRADE_COMMIT and self.now < self.verified_at + self.soak_s:
            return
        if self.answered or self.now >= self._sent_at + 2.0:
            self.send(self.due, again=not self.answered)
            self.answered = False
            self._sent_at = self.now

    def _hear(self, kind: str, payload: bytes) -> None:
        message = decode(kind, payload)
        match message:
            case Presence():
                self.presences.append(message)
            case Hello():
                self.hellos.append(message)
                self.down(Welcome(epoch=message.epoch, now_ms=self.options.unix_base_ms + int(self.now * 1000)))
            case Report():
                self._report(message)
            case Result():
                self.results.append(message)
                if self.receipts:
                    self.down(Receipt(orders=(message.order,)))
            case Ack():
                self._acked(message)
            case _:
                raise AssertionError(message)
        self.on_uplink(message)

    def _report(self, report: Report) -> None:
        if report.seq in self.reports and report.upgrade == self.upgrade:
            assert self.reports[report.seq] == report
        if self.receipts:
            self.down(Receipt(upgrade=report.upgrade, seqs=(report.seq,)))
        if report.upgrade != self.upgrade or report.seq in self.reports:
            return
        late = report.seq < max(self.reports, default=0)
        self.reports[report.seq] = report
        if report.what is What.HEALTH or late:
            return
        if report.what is What.VERIFIED:
            self.verified_at = self.now
        self.due = NEXT.get(report.what)
        self.answered = True
        self._sent_at = self.now

    def _acked(self, ack: Ack) -> None:
        self.ack_log.append(ack)
        self.in_flight = {number: blocks for number, blocks in self.in_flight.items() if number > ack.number}
        held = RangeSet([(0, ack.cum), *ack.ranges, *self.in_flight.values()])
        blocks = -(-len(self.payload) // BLOCK_BYTES)
        room = min(ack.credit_bytes // BLOCK_BYTES, self.window_blocks) - sum(
            stop - start for start, stop in self.in_flight.values()
        )
        for start, stop in held.gaps(0, blocks):
            at = start
            while at < stop and room > 0:
                size = min(self.chunk_blocks, stop - at)
                self._chunk(ack.transfer, at, size)
                room -= size
                at += size
            if room <= 0:
                break

    def _chunk(self, transfer: int, block: int, size: int) -> None:
        self.number += 1
        data = self.payload[block * BLOCK_BYTES : (block + size) * BLOCK_BYTES]
        chunk = Chunk(transfer=transfer, number=self.number, index=block, stamp_ms=int(self.now * 1000), data=data)
        self.in_flight[self.number] = (block, block + size)
        if not self.drop_chunk(chunk):
            self.down(chunk, bulk=not self.single)
