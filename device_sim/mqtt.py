"""One MQTT 5 connection of a simulated terminal: a thin asyncio protocol over the ``mqtt5`` codec and a ``Pipe`` to the socket.

Thousands live in one process, so there is no task, no queue object and no timer per connection: the owner's ticker calls
``tick``, and one call-back at a time waits for shaped bytes in each direction. Says what happens to its ``Owner``; decides
nothing of tg1.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, cast

import mqtt5

from device_sim.pipe import Pipe
from device_sim.radio import Lane

KEEPALIVE_GRACE: Final = 1.5  # of the keepalive without a byte from the broker: the connection is dead [MQTT-3.1.2-22]
MAX_WAITING: Final = 1000  # QoS 1 publishes held back by the broker's receive maximum; the protocol repeats what is dropped
ANSWER_S: Final = 30.0  # the broker's time for CONNACK and SUBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a connection introduces itself."""

    client_id: str
    username: str
    password: bytes
    topic_filter: str
    clean: bool
    """Clean start and no session afterwards; otherwise the session is kept for ``expiry_s``."""
    expiry_s: int = 86_400
    keepalive_s: int = 60
    will_topic: str = ""
    will: bytes = b""


class Owner(Protocol):
    """Who a connection reports to. All calls come from the event loop."""

    def connection_ready(self, connection: Connection) -> None:
        """Connected and subscribed."""

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        """A message came; ``connection_flush`` follows after the last one of a read."""

    def connection_flush(self, connection: Connection) -> None:
        """All messages of one read have been handed over."""

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """It is gone and was not closed by ``close``; ``clean`` when the broker sent a DISCONNECT."""


class Connection(asyncio.BufferedProtocol):
    """Connects, subscribes to one filter, publishes QoS 0 and 1, acks what comes, and breaks on any protocol error."""

    __slots__ = (
        "_clean_end",
        "_heard_at",
        "_inflight",
        "_keepalive_s",
        "_login",
        "_loop",
        "_owner",
        "_packet_id",
        "_pipe",
        "_receive_max",
        "_rest",
        "_said_at",
        "_transport",
        "_waiting",
        "bytes_in",
        "bytes_out",
        "closed",
        "ready",
        "reason",
        "waiter",
    )

    def __init__(
        self,
        owner: Owner,
        login: Login,
        loop: asyncio.AbstractEventLoop,
        down: Lane | None,
        up: Lane | None,
        *,
        receive_bytes: float = float("inf"),
    ) -> None:
        """``receive_bytes``: see ``Pipe``."""
        self._owner = owner
        self._login = login
        self._loop = loop
        self._pipe = Pipe(loop, down, up, self._feed, receive_bytes=receive_bytes)
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._waiting: deque[bytes] = deque()
        self._inflight = 0
        self._receive_max = 65_535
        self._packet_id = 0
        self._keepalive_s = login.keepalive_s
        self._heard_at = self._said_at = loop.time()
        self._clean_end = False
        self.reason = "closed by the other side"
        self.ready = False
        self.closed = False
        """``close`` was called: no more word of it to the owner."""
        self.bytes_in = self.bytes_out = 0
        self.waiter: asyncio.Future[None] | None = None
        """Resolved when the broker has answered or the connection is over; set by whoever bounds the connecting."""

    # -- the owner's side

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Send a message; dropped silently when the connection is not ready."""
        if not self.ready or self.closed:
            return
        if qos == 0:
            self._write(mqtt5.PublishPacket(topic, payload).write())
            return
        self._next_packet_id()
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._packet_id).write()
        if self._inflight < self._receive_max:
            self._inflight += 1
            self._write(packet)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(packet)

    def close(self, *, abort: bool) -> None:
        """End it; ``abort`` without a DISCONNECT, so that the broker publishes the will."""
        if self.closed:
            return
        self.closed = True
        self._answered()
        transport = self._transport
        if transport is None:
            return
        if abort or not self.ready:
            transport.abort()
            return
        self._write(mqtt5.DisconnectPacket().write())
        self._pipe.close()

    def brake(self, *, on: bool) -> None:
        """Stop or go on reading the socket."""
        self._pipe.brake(on=on)

    def tick(self, now: float) -> None:
        """Ping when nothing was said for half the keepalive; break when nothing was heard for too long."""
        if self._transport is None or self.closed:
            return
        if not self.ready:
            if now - self._said_at > ANSWER_S:
                self._break("no answer")
            return
        if now - self._heard_at > KEEPALIVE_GRACE * self._keepalive_s and not self._pipe.paused:
            self._break("keepalive")
        elif now - self._said_at >= self._keepalive_s / 2:
            self._write(mqtt5.PingReqPacket().write())

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP (and TLS) is up: introduce ourselves."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods, not by its class
        self._pipe.opened(self._transport)
        if self.closed:
            self._transport.abort()
            return
        login = self._login
        will = mqtt5.Will(login.will_topic, payload=login.will, qos=mqtt5.QoS.AT_LEAST_ONCE) if login.will_topic else None
        connect = mqtt5.ConnectPacket(
            login.client_id,
            username=login.username or None,
            password=login.password or None,
            clean_start=login.clean,
            will=will,
            keep_alive=login.keepalive_s,
            session_expiry_interval=0 if login.clean else login.expiry_s,
        )
        self._write(connect.write())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint
        return self._pipe.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the socket."""
        self._heard_at = self._loop.time()
        self.bytes_in += nbytes
        self._pipe.received(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        self._answered()
        self._pipe.lost()
        self._waiting.clear()
        if exc is not None:
            self.reason = str(exc) or type(exc).__name__
        if not self.closed:
            self.closed = True
            self._owner.connection_lost(self, self.reason, clean=self._clean_end)

    # -- inside

    def _feed(self, data: bytes) -> None:
        """Take all whole packets of what has arrived; the rest waits for more bytes."""
        if self.closed:
            return
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        at, end = 0, len(data)
        heard = False
        while at < end and not self.closed:
            try:
                packet, size = mqtt5.read(view[at:])
            except IndexError:
                break
            except ValueError as exc:
                self._break(f"protocol error: {exc}")
                return
            at += size
            heard |= self._on_packet(packet)
        self._rest = data[at:] if at < end else b""
        if heard and not self.closed:
            self._owner.connection_flush(self)

    def _on_packet(self, packet: mqtt5.Packet) -> bool:
        """Act on a packet; whether the owner heard a message."""
        match packet:
            case mqtt5.PublishPacket():
                if packet.qos == mqtt5.QoS.AT_LEAST_ONCE and packet.packet_id is not None:
                    self._write(mqtt5.PubAckPacket(packet.packet_id).write())
                self._owner.connection_message(self, packet.topic, packet.payload)
                return True
            case mqtt5.PubAckPacket():
                self._acked()
            case mqtt5.PingRespPacket():
                pass
            case mqtt5.ConnAckPacket():
                self._on_connack(packet)
            case mqtt5.SubAckPacket():
                self._on_suback(packet)
            case mqtt5.DisconnectPacket():
                self._clean_end = packet.reason_code != mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
                self._break(f"broker: {packet.reason_code.name.lower()}")
            case _:
                self._break(f"unexpected {type(packet).__name__}")
        return False

    def _on_connack(self, packet: mqtt5.ConnAckPacket) -> None:
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            self._break(f"refused: {packet.reason_code.name.lower()}")
            return
        self._receive_max = packet.receive_max
        if packet.server_keep_alive is not None:
            self._keepalive_s = packet.server_keep_alive
        qos = mqtt5.QoS.AT_MOST_ONCE if self._login.clean else mqtt5.QoS.AT_LEAST_ONCE
        # even with a session present: the broker may have lost its subscriptions, and asking again costs one packet
        self._next_packet_id()
        self._write(mqtt5.SubscribePacket(self._packet_id, [mqtt5.TopicFilter(self._login.topic_filter, max_qos=qos)]).write())

    def _on_suback(self, packet: mqtt5.SubAckPacket) -> None:
        if any(int(code) >= int(mqtt5.SubAckReasonCode.UNSPECIFIED_ERROR) for code in packet.reason_codes):
            self._break(f"subscription refused: {packet.reason_codes[0].name.lower()}")
            return
        self.ready = True
        self._answered()
        self._owner.connection_ready(self)

    def _answered(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _acked(self) -> None:
        if self._waiting:
            self._write(self._waiting.popleft())
        else:
            self._inflight = max(0, self._inflight - 1)

    def _next_packet_id(self) -> None:
        self._packet_id = self._packet_id % 65_535 + 1

    def _write(self, data: bytes) -> None:
        """Say something, unless the connection is over."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._said_at = self._loop.time()
        self.bytes_out += len(data)
        if not self._pipe.write(data):
            self._break("uplink full")

    def _break(self, reason: str) -> None:
        self.reason = reason
        if self._transport is not None:
            self._transport.abort()
