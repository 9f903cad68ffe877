"""A simulated terminal with its connections: its outputs go to the model of the broker, its deadlines into the heap.

The machine is that of the simulator (``device_sim.terminal``), flash and journal included. What is added is a flash that cuts
the power in the middle of any write, by number, so that every durable step is hit sooner or later.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Protocol

from device_sim.flash import Flash
from device_sim.outputs import CloseBulk, ConnectControl, DropControl, OpenBulk, Output, Publish, Rebooting
from device_sim.terminal import Terminal as Device
from tests.simulation.broker import Broker, Connection, Line, Mail

#: A broker notices a silent death by the keepalive, at the latest after 1.5 of it (seconds).
KEEPALIVE_S = 90.0


class StepFlash(Flash):
    """A flash that loses power in the middle of the writes of the given numbers."""

    __slots__ = ("cuts", "syncs")

    def __init__(self) -> None:
        super().__init__()
        self.cuts: dict[int, float] = {}
        """Which part of its waiting bytes each of these syncs completes."""
        self.syncs = 0

    def sync(self) -> None:
        """As ``Flash.sync``."""
        self.syncs += 1
        part = self.cuts.pop(self.syncs, None)
        if part is not None:
            self.fuse = int(part * (self.waiting_bytes + 1))
        Flash.sync(self)


class Watch(Protocol):
    """Who looks at a terminal after each of its steps."""

    def drove(self, station: Station) -> None:
        """It has taken an input in, and its outputs are about to leave."""
        ...

    def said(self, station: Station, kind: str, payload: bytes) -> None:
        """It publishes."""
        ...


class Station:
    """See the module."""

    __slots__ = ("_asked", "_broker", "_wake_at", "_watch", "clock", "device", "flash", "line", "old_orders")

    def __init__(self, device: Device, flash: StepFlash, broker: Broker, line: Line, watch: Watch) -> None:
        self.device = device
        self.flash = flash
        self.clock = broker.clock
        self.line = line
        self.old_orders: list[bytes] = []
        """What came to it, for whoever replays it."""
        self._broker = broker
        self._watch = watch
        self._asked: list[Connection | None] = [None, None]
        """The connections that the terminal believes in or waits for: control and bulk."""
        self._wake_at: float | None = None

    @property
    def name(self) -> str:
        """The terminal's id."""
        return self.device.id

    def drive(self, step: Callable[[], None]) -> None:
        """One input to the terminal, then its outputs, then its next deadline."""
        step()
        self._watch.drove(self)
        for output in self.device.take():
            self._output(output)
        at = self.device.deadline(self.clock.now)
        if at != self._wake_at:
            self._wake_at = at
            if at is not None:
                self.clock.at(max(at, self.clock.now), partial(self._wake, at))

    def deliver(self, connection: Connection, mail: Mail) -> None:
        """A message has come on ``connection``, if the terminal still holds that."""
        if connection is self._asked[connection.bulk]:
            now = self.clock.now
            if mail.kind != "chunk":
                self.clock.note(self.name, f"gets {mail.kind}", f"{zlib.crc32(mail.payload):08x}")
            if mail.kind == "order" and len(self.old_orders) < 32:
                self.old_orders.append(mail.payload)
            self.drive(lambda: self.device.on_message(mail.kind, mail.payload, connection.bulk, now))

    def inject(self, payload: bytes) -> None:
        """An order that somebody else has put on its topic, now."""
        if self.line.control is not None:
            self.deliver(self.line.control, Mail("order", payload))

    # -- its connections break

    def break_control(self) -> None:
        """Both sides notice at once."""
        connection = self._asked[0]
        if connection is not None:
            self._broker.part(self.line, connection, silent_s=self.clock.rng.uniform(0.0, 0.2))
            self.lost(connection)

    def break_bulk(self) -> None:
        """As ``break_control``."""
        connection = self._asked[1]
        if connection is not None:
            self._broker.part(self.line, connection, silent_s=None)
            self.lost(connection)

    def half_open(self, for_s: float) -> None:
        """Nothing comes through any more; both sides notice later."""
        for connection in (self.line.control, self.line.bulk):
            if connection is not None:
                connection.mute = True
                self.clock.after(for_s, partial(self._notice, connection))

    def _notice(self, connection: Connection) -> None:
        self._broker.part(self.line, connection, silent_s=0.0)
        self.lost(connection)

    def lost(self, connection: Connection | None) -> None:
        """The terminal's side of a connection has noticed that it is gone."""
        if connection is None or self._asked[connection.bulk] is not connection:
            return
        self._asked[connection.bulk] = None
        down = self.device.on_bulk_down if connection.bulk else self.device.on_control_down
        self.drive(lambda: down(self.clock.now))

    def lose_all(self) -> None:
        """The broker is gone."""
        for connection in tuple(self._asked):
            self.lost(connection)

    # -- outputs

    def _wake(self, at: float) -> None:
        if self._wake_at == at:
            self._wake_at = None
            self.drive(lambda: self.device.on_time(self.clock.now))

    def _output(self, output: Output) -> None:
        match output:
            case Publish(kind=kind, payload=payload, bulk=bulk):
                self._watch.said(self, kind, payload)
                connection = self._asked[bulk]
                if connection is not None and connection is (self.line.bulk if bulk else self.line.control):
                    if kind != "ack":
                        self.clock.note(self.name, f"says {kind}", f"{zlib.crc32(payload):08x}")
                    self._broker.up(self.line, connection, kind, payload)
            case ConnectControl(will=will):
                self._ask(Connection(bulk=False, will=will))
            case OpenBulk():
                self._ask(Connection(bulk=True))
            case DropControl(abort=abort):
                self._drop(0, abort=abort)
            case CloseBulk(abort=abort):
                self._drop(1, abort=abort)
            case Rebooting(why=why):
                self.clock.note(self.name, "goes down", why)
            case _:
                pass

    def _ask(self, connection: Connection) -> None:
        self._asked[connection.bulk] = connection
        self.clock.after(2 * self.line.air.delay_s, partial(self._answered, connection))

    def _answered(self, connection: Connection) -> None:
        if self._asked[connection.bulk] is not connection:
            return
        if not self._broker.connect(self.line, connection):
            self.lost(connection)
            return
        up = self.device.on_bulk_up if connection.bulk else self.device.on_control_up
        self.drive(lambda: up(self.clock.now))

    def _drop(self, bulk: int, *, abort: bool) -> None:
        connection, self._asked[bulk] = self._asked[bulk], None
        if connection is not None:
            silent_s = self.clock.rng.uniform(0.01, KEEPALIVE_S) if abort else None
            self._broker.part(self.line, connection, silent_s=silent_s)
