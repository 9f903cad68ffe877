"""A model of the broker and of the air before it: sessions, queues with a limit, wills, and all that MQTT leaves open.

Messages of one topic keep their order within a connection [MQTT-4.6.0]; those of different topics overtake each other. What
was under way to a terminal when its connection broke waits in its session, as long as there is one. A full queue drops the
newest, the oldest or everything. Nothing that leaves a gateway's process is remembered for a gateway that is away: its own
sessions are clean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from tests.simulation.clockwork import Clockwork

QUEUE_MAX: Final = 100
_BIT: Final = 0x10


class Listener(Protocol):
    """A gateway's links."""

    def heard(self, terminal: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        """A message for it has come through the broker."""
        ...


@dataclass(slots=True)
class Air:
    """What happens between one terminal and the broker now."""

    delay_s: float
    rate_bps: float
    """Bytes per second down, of chunks."""
    covered: bool = True
    lose: dict[str, float] = field(default_factory=dict)
    """Share that is lost, by ``up``, ``down``, ``chunk``, ``ack``."""
    twice: float = 0.0
    """Share that comes twice."""
    slow_kind: str = ""
    slow_s: float = 0.0
    bad_chunks: float = 0.0
    late_will_s: float = 0.0
    """The next will takes so much longer."""
    free_at: float = 0.0


@dataclass(slots=True, eq=False)
class Mail:
    """One message on its way to a terminal."""

    kind: str
    payload: bytes
    gone: bool = False


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of a terminal to the broker."""

    bulk: bool
    will: bytes = b""
    mute: bool = False
    """Half-open: nothing comes through, and neither side has noticed."""
    pending: list[Mail] = field(default_factory=list)
    down_at: dict[str, float] = field(default_factory=dict)
    """When the newest message of each topic arrives."""
    up_at: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """What the broker remembers of a terminal's control connection."""

    waiting: list[Mail] = field(default_factory=list)


@dataclass(slots=True)
class Line:
    """One terminal at the broker."""

    name: str
    air: Air
    control: Connection | None = None
    bulk: Connection | None = None
    session: Session | None = None
    deliver: Callable[[Connection, Mail], None] = lambda _connection, _mail: None
    """Where what has arrived goes."""


class Broker:
    """See the module."""

    def __init__(self, clock: Clockwork) -> None:
        self.clock = clock
        self.lines: dict[str, Line] = {}
        self.listeners: list[Listener] = []
        self.is_up = True
        self.life = 0
        self.stalled_until = 0.0
        self.queue_max = QUEUE_MAX
        self.drops = "newest"

    # -- connections

    def connect(self, line: Line, connection: Connection) -> bool:
        """Let a terminal in and subscribe it; an old connection of the same client is thrown out."""
        if not self.is_up or not line.air.covered:
            return False
        if connection.bulk:
            line.bulk = connection
            return True
        if line.control is not None:
            self.part(line, line.control, silent_s=0.0)
        line.control = connection
        session = line.session = line.session or Session()
        waiting, session.waiting = session.waiting, []
        for mail in waiting:
            self._push(line, connection, mail)
        return True

    def part(self, line: Line, connection: Connection, *, silent_s: float | None) -> None:
        """A connection is over, without a word after ``silent_s`` (the will goes out), or in good order (``None``)."""
        if connection is line.bulk:
            line.bulk = None
            return
        if connection is not line.control:
            return
        line.control = None
        if line.session is not None:
            line.session.waiting += [mail for mail in connection.pending if mail.kind != "chunk" and not mail.gone]
        if silent_s is not None:
            late_s, line.air.late_will_s = line.air.late_will_s, 0.0
            self._out(self.clock.now + silent_s + late_s, line.name, "presence", connection.will, bulk=False)

    def die(self, *, wiped: bool) -> None:
        """Everything that was under way is gone; sessions are too when ``wiped``. No will goes out."""
        self.is_up = False
        self.life += 1
        for line in self.lines.values():
            line.control = line.bulk = None
            if wiped:
                line.session = None

    # -- to terminals

    def down(self, name: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        """A gateway has published; QoS 0 when it is a chunk."""
        line = self.lines[name]
        connection = line.bulk if bulk else line.control
        is_chunk = kind == "chunk"
        if self._lost(line, "chunk" if is_chunk else "down"):
            return
        if is_chunk and line.air.bad_chunks and self.clock.rng.random() < line.air.bad_chunks:
            payload = payload[:-9] + bytes((payload[-9] ^ _BIT,)) + payload[-8:]
        mail = Mail(kind, payload)
        if connection is not None:
            self._push(line, connection, mail)
            if line.air.twice and self.clock.rng.random() < line.air.twice:
                self._push(line, connection, Mail(kind, payload))
        elif line.session is not None and not is_chunk:
            waiting = line.session.waiting
            if self._room(waiting):
                waiting.append(mail)

    def _push(self, line: Line, connection: Connection, mail: Mail) -> None:
        if not self._room(connection.pending):
            return
        air, now = line.air, self.clock.now
        at = now + air.delay_s * self.clock.rng.uniform(0.8, 1.5)
        if mail.kind == "chunk":
            air.free_at = max(air.free_at, now) + len(mail.payload) / air.rate_bps
            at = air.free_at + air.delay_s
        elif mail.kind == air.slow_kind:
            at += air.slow_s
        at = max(at, self.stalled_until, connection.down_at.get(mail.kind, 0.0))
        connection.down_at[mail.kind] = at
        connection.pending.append(mail)
        self.clock.at(at, partial(self._arrive, line, connection, mail))

    def _arrive(self, line: Line, connection: Connection, mail: Mail) -> None:
        if mail.gone or connection is not (line.bulk if connection.bulk else line.control):
            return
        if connection.mute:
            return  # stays with what was under way, for the session's next connection
        connection.pending.remove(mail)
        line.deliver(connection, mail)

    def _room(self, queue: list[Mail]) -> bool:
        """Make room by the rule of the day; whether there is room for one more."""
        if len(queue) < self.queue_max:
            return True
        if self.drops == "newest":
            return False
        gone = queue[:1] if self.drops == "oldest" else queue[:]
        for mail in gone:
            mail.gone = True
        del queue[: len(gone)]
        return self.drops == "oldest"

    # -- to gateways

    def up(self, line: Line, connection: Connection, kind: str, payload: bytes) -> None:
        """A terminal has published."""
        if connection.mute or self._lost(line, "ack" if kind == "ack" else "up"):
            return
        air, rng = line.air, self.clock.rng
        for _ in range(2 if air.twice and rng.random() < air.twice else 1):
            at = self.clock.now + air.delay_s * rng.uniform(0.8, 1.5)
            if kind == air.slow_kind:
                at += air.slow_s
            at = connection.up_at[kind] = max(at, self.stalled_until, connection.up_at.get(kind, 0.0))
            self._out(at, line.name, kind, payload, bulk=connection.bulk)

    def _out(self, at: float, name: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        life = self.life

        def out() -> None:
            if life == self.life:
                for listener in self.listeners:
                    listener.heard(name, kind, payload, bulk=bulk)

        self.clock.at(at, out)

    def _lost(self, line: Line, what: str) -> bool:
        share = line.air.lose.get(what, 0.0)
        return share > 0 and self.clock.rng.random() < share
