"""Stands between the loop and the paho client inside a connected aiomqtt client: bytes out in slices, messages in by callback.

aiomqtt connects, subscribes, keeps alive and notices the end. The messages go past both libraries, because there each costs
several objects, locks and system calls. Measured side by side on uvloop: a 16 KiB chunk sent costs a tenth of what it does
through ``aiomqtt.Client.publish``, an ack received a quarter of what it does through ``queue_type``, at QoS 1 a sixth. The
numbers below are microseconds of CPU per message in that comparison, on a machine under load.

All private access to the two libraries is in this module; tests/integration/link/test_tap.py fails when an upgrade takes one
of the names away, and everything beside it when an upgrade changes what they do.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Protocol

import aiomqtt
import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

from gateway.link.frames import puback_frames, read_publish
from gateway.link.stream import BufferedSocket

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """What a ``Tap`` tells; called on the loop's thread, must neither raise nor take long."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message; at QoS 1 it is acknowledged when this call has returned."""

    def confirmed(self, packet_id: int) -> None:
        """The broker acknowledged what we sent under this id."""

    def drained(self) -> None:
        """All that was handed over has been taken by the kernel."""


class Tap:
    """Takes an aiomqtt client over right after its CONNACK, when nothing is on its way in either direction."""

    def __init__(self, client: aiomqtt.Client, listener: Listener) -> None:
        self._paho = client._client  # noqa: SLF001  # the way to all below
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._sending = False
        self._watching = False
        self._received_ids: list[int] = []

        inner = self._paho
        inner.disable_logger()  # formats two lines of topic and length per message, for nobody
        # aiomqtt's own writer hooks go through the loop's self-pipe, as they also serve the thread that connects; and a socket
        # that closes meanwhile leaves a writer on a dead, or by then reused, descriptor.
        inner.on_socket_register_write = self._want_write
        inner.on_socket_unregister_write = self._written
        # paho's own handlers build a message of three objects with two locks, or two objects of MQTT 5, per packet.
        inner._handle_publish = self._handle_publish  # type: ignore[method-assign]  # noqa: SLF001  # received: 55 -> 22 us
        inner._handle_pubackcomp = self._handle_puback  # type: ignore[method-assign]  # noqa: SLF001  # sent, QoS 1: 110 -> 35 us
        sock = inner.socket()
        if isinstance(sock, socket.socket):  # else the connection is lost already, and aiomqtt knows
            stream = inner._sock = BufferedSocket(sock)  # noqa: SLF001  # received: 85 -> 55 us
            self._loop.add_reader(sock.fileno(), self._read, stream)

    @property
    def open(self) -> bool:
        """Whether the socket stands."""
        return self._paho.socket() is not None

    @property
    def busy(self) -> bool:
        """Whether bytes handed over wait for the kernel."""
        return self._paho.want_write()

    def send(self, packets: bytes) -> None:
        """Hand over whole MQTT packets and write what the kernel takes now; the rest follows by itself."""
        self._sending = True
        try:
            # Command 0: one entry for all packets, no message object behind it. 16 KiB chunks, 16 in a slice: 150 -> 15 us.
            self._paho._packet_queue(0, packets, 0, 0)  # noqa: SLF001
            self._paho.loop_write()
        finally:
            self._sending = False
        if self.busy:
            self._want_write()

    def _read(self, stream: BufferedSocket) -> None:
        stream.allow_read()
        try:
            while self._paho.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS and stream.pending():
                pass
        except Exception:  # noqa: BLE001  # whatever a broker's bytes break in paho ends this connection, never the gateway
            _log.warning("link_unreadable", exc_info=True)
            hang_up(self._paho)
        if self._received_ids:
            ids, self._received_ids = self._received_ids, []
            self.send(puback_frames(ids))

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._paho._in_packet  # noqa: SLF001  # the packet just read
        try:
            topic, payload, packet_id = read_publish(packet["command"], packet["packet"])
        except ValueError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._listener.received(topic, payload)
        if packet_id:
            self._received_ids.append(packet_id)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_puback(self, cmd: str) -> MQTTErrorCode:
        packet = self._paho._in_packet["packet"]  # noqa: SLF001  # the packet just read
        if cmd != "PUBACK" or len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._listener.confirmed(int.from_bytes(packet[:2], "big"))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _want_write(self, *_: object) -> None:
        sock = self._paho.socket()
        if sock is not None and not self._sending:
            self._loop.add_writer(sock.fileno(), self._paho.loop_write)
            self._watching = True

    def _written(self, _client: paho.Client, _userdata: object, sock: paho.SocketLike) -> None:
        if self._watching:
            self._loop.remove_writer(sock.fileno())
            self._watching = False
        self._listener.drained()


def hang_up(client: aiomqtt.Client | paho.Client) -> None:
    """Close the socket, if still open, of a connection that did not end in an orderly way; aiomqtt leaves it open then."""
    inner = client._client if isinstance(client, aiomqtt.Client) else client  # noqa: SLF001
    sock = inner.socket()
    if isinstance(sock, BufferedSocket):
        sock.abort()
    elif isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    while inner.socket() is not None:  # paho finds the end, and so unregisters and closes the socket
        inner.loop_read()
