"""One terminal of a swarm on the event loop: carries its outputs out, feeds its inputs, keeps one timer for its deadline.

``Swarm`` owns it and lends it the connecting, which is bounded for the whole process. All of a member happens in call-backs;
it starts no task.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from device_sim.delays import Delays
from device_sim.mqtt import Connection, Login
from device_sim.outputs import CloseBulk, ConnectControl, DropControl, OpenBulk, PauseBulk, Publish, Rebooting
from device_sim.radio import Lane
from device_sim.terminal import Terminal
from gateway.wire import topics

if TYPE_CHECKING:
    from device_sim.outputs import Output

RECEIVE_S: Final = 0.3  # docs/protocol.md 6.6
RECEIVE_LEAST_BYTES: Final = 8 * 1024
RECEIVE_MOST_BYTES: Final = 256 * 1024
_SOON_S: Final = 0.001  # timers are not set closer than this, so that float noise cannot spin


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How both connections of a terminal log in."""

    username: str
    bulk_username: str
    password: bytes


@dataclass(slots=True)
class Tally:
    """What a swarm has seen; one for all of its members."""

    connects: int = 0
    failures: int = 0
    losses: int = 0
    dropouts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    strays: int = 0
    """Messages on topics that are not the terminal's: the broker's rules do not hold."""
    payments: Delays = field(default_factory=Delays)
    """How long the answers of payments took on the bearers."""
    reasons: dict[str, int] | None = None
    """Why connections failed or broke."""

    def blame(self, reason: str) -> None:
        """Count a reason."""
        self.reasons = self.reasons or {}
        if reason in self.reasons or len(self.reasons) < 50:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def receive_bytes(lane: Lane) -> float:
    """The receive buffer of a bulk connection: twice a usual round trip of the link, so that braking leaves little unread."""
    return min(RECEIVE_MOST_BYTES, max(RECEIVE_LEAST_BYTES, lane.carries_bytes(RECEIVE_S)))


class Dialler(Protocol):
    """Who opens sockets: bounded for the whole process."""

    def dial(self, member: Member, connection: Connection) -> None:
        """Connect soon; skipped when the connection has been closed meanwhile."""


class Member:
    """A terminal, its radio and its two connections."""

    __slots__ = (
        "_bulk_prefix",
        "_control_prefix",
        "_credentials",
        "_dialler",
        "_loop",
        "_stopped",
        "_timer",
        "_timer_at",
        "_up_topics",
        "bulk",
        "control",
        "radio",
        "tally",
        "terminal",
    )

    def __init__(
        self,
        terminal: Terminal,
        credentials: Credentials,
        dialler: Dialler,
        tally: Tally,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.terminal = terminal
        self.radio = terminal.board.radio
        self.tally = tally
        self._credentials = credentials
        self._dialler = dialler
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._stopped = False
        self._control_prefix = topics.down(terminal.id, "")
        self._bulk_prefix = topics.down(terminal.id, "", bulk=True)
        self._up_topics: dict[tuple[str, bool], str] = {}
        self.control: Connection | None = None
        self.bulk: Connection | None = None
        terminal.board.shop.till.on_answer = lambda paid: tally.payments.note(paid.delay_s, paid.alone_s)

    def boot(self) -> None:
        """Power on."""
        self.terminal.boot(self._loop.time())
        self._drain()

    def stop(self) -> None:
        """End of the simulation: connections break, so that the broker publishes the wills; the terminal stands still."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in (self.control, self.bulk):
            if connection is not None:
                connection.close(abort=True)

    def tick(self, now: float) -> None:
        """The swarm's ticker: keepalives."""
        for connection in (self.control, self.bulk):
            if connection is not None:
                connection.tick(now)

    # -- mqtt.Owner

    def connection_ready(self, connection: Connection) -> None:
        """Connected and subscribed."""
        now = self._loop.time()
        self.tally.connects += 1
        if connection is self.control:
            self.terminal.on_control_up(now)
        elif connection is self.bulk:
            self.terminal.on_bulk_up(now)
        self._drain()

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        """A message for the terminal."""
        self.tally.messages_in += 1
        bulk = connection is self.bulk
        prefix = self._bulk_prefix if bulk else self._control_prefix
        if not topic.startswith(prefix):
            self.tally.strays += 1
            return
        self.terminal.on_message(topic[len(prefix) :], payload, bulk, self._loop.time())

    def connection_flush(self, connection: Connection) -> None:
        """Carry out what the messages of one read have led to."""
        del connection
        self._drain()

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """A connection broke, or could not be made."""
        now = self._loop.time()
        self._forget(connection)
        self.tally.losses += connection.ready
        self.tally.failures += not connection.ready
        self.tally.blame(reason)
        if connection is self.control:
            self.control = None
            self.terminal.on_control_down(now, clean=clean)
        elif connection is self.bulk:
            self.bulk = None
            self.terminal.on_bulk_down(now)
        self._drain()

    def connection_failed(self, connection: Connection, reason: str) -> None:
        """The swarm could not open the socket, or nobody answered on it."""
        if not connection.closed:
            connection.close(abort=True)
            self.connection_lost(connection, reason, clean=False)

    # -- inside

    def _drain(self) -> None:
        if self._stopped:
            return
        for output in self.terminal.take():
            self._carry_out(output)
        self._set_timer()

    def _carry_out(self, output: Output) -> None:
        match output:
            case Publish():
                connection = self.bulk if output.bulk else self.control
                if connection is not None:
                    self.tally.messages_out += 1
                    connection.publish(self._up_topic(output.kind, bulk=output.bulk), output.payload, output.qos)
            case ConnectControl():
                self._close_control(abort=True)
                self.control = self._open(self._control_login(output))
            case DropControl():
                self._close_control(abort=output.abort)
            case OpenBulk():
                self._close_bulk(abort=True)
                asked = self.terminal.board.options.receive_buffer_bytes
                self.bulk = self._open(self._bulk_login(), asked or receive_bytes(self.radio.down))
            case CloseBulk():
                self._close_bulk(abort=output.abort)
            case PauseBulk():
                if self.bulk is not None:
                    self.bulk.brake(on=output.paused)
            case Rebooting():
                pass

    def _open(self, login: Login, receive_bytes: float = float("inf")) -> Connection:
        connection = Connection(self, login, self._loop, self.radio.down, self.radio.up, receive_bytes=receive_bytes)
        self._dialler.dial(self, connection)
        return connection

    def _control_login(self, output: ConnectControl) -> Login:
        name = self.terminal.id
        return Login(
            client_id=name,
            username=self._credentials.username,
            password=self._credentials.password,
            topic_filter=topics.down_filter(name),
            clean=False,
            keepalive_s=self.terminal.keepalive_s,
            will_topic=topics.up(name, "presence"),
            will=output.will,
        )

    def _bulk_login(self) -> Login:
        name = self.terminal.id
        return Login(
            client_id=name + topics.BULK_SUFFIX,
            username=self._credentials.bulk_username,
            password=self._credentials.password,
            topic_filter=topics.down_filter(name, bulk=True),
            clean=True,
            keepalive_s=self.terminal.keepalive_s,
        )

    def _up_topic(self, kind: str, *, bulk: bool) -> str:
        found = self._up_topics.get((kind, bulk))
        if found is None:
            found = self._up_topics[kind, bulk] = topics.up(self.terminal.id, kind, bulk=bulk)
        return found

    def _close_control(self, *, abort: bool) -> None:
        connection, self.control = self.control, None
        if connection is not None:
            self._forget(connection)
            connection.close(abort=abort)

    def _close_bulk(self, *, abort: bool) -> None:
        connection, self.bulk = self.bulk, None
        if connection is not None:
            self._forget(connection)
            connection.close(abort=abort)

    def _forget(self, connection: Connection) -> None:
        self.tally.bytes_in += connection.bytes_in
        self.tally.bytes_out += connection.bytes_out

    def _set_timer(self) -> None:
        """One timer: moved only when the deadline comes earlier, for moving costs more than waking once too often."""
        now = self._loop.time()
        deadline = self.terminal.deadline(now)
        at = min(self.radio.dropout_at, float("inf") if deadline is None else deadline)
        if at >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = max(at, now + _SOON_S)
        self._timer = self._loop.call_at(self._timer_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        now = self._loop.time()
        if self.radio.drop_out(now):
            self._drop_out(now)
        self.terminal.on_time(now)
        self._drain()

    def _drop_out(self, now: float) -> None:
        """The radio lost the network for a moment: both connections break."""
        self.tally.dropouts += 1
        if self.control is not None:
            self._close_control(abort=True)
            self.terminal.on_control_down(now)
        if self.bulk is not None:
            self._close_bulk(abort=True)
            self.terminal.on_bulk_down(now)
