"""One connection to the broker, from CONNECT to its end, on top of aiomqtt and the paho client inside it. Never reconnects.

All private access to the two libraries is in this module, each place with what it gains; a test in
tests/integration/test_link_internals.py fails when an upgrade takes a name away.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import aiomqtt
import anyio
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import LinkError
from gateway.link.frames import publish_frames
from gateway.link.settings import LinkSettings

GOODBYE_S: Final = 1.0  # a broker that does not take our DISCONNECT within this is hung up on

Deliver = Callable[[str, bytes], None]


@asynccontextmanager
async def open_session(settings: LinkSettings, deliver: Deliver) -> AsyncIterator[Session]:
    """Connect and subscribe; on leaving, disconnect. ``deliver`` is called for every message received, on the loop's thread.

    Raises:
        LinkError: the broker is away, refuses us, refuses a subscription, or does not answer in time.
    """
    client = _client(settings)
    try:
        async with AsyncExitStack() as stack:
            # aiomqtt connects in a thread. Abandoned there, the socket would come alive after we are gone, so a cancellation
            # waits for its end; the timeouts of the handshake and the CONNACK bound that.
            with anyio.CancelScope(shield=True):
                await stack.enter_async_context(client)
            session = Session(client, settings, deliver)
            stack.callback(session.close)
            await session.subscribe()
            yield session
    except (aiomqtt.MqttError, OSError, TimeoutError) as exc:
        raise LinkError(f"the broker at {settings.host}:{settings.port} is away or refuses us: {exc}") from exc
    finally:
        _hang_up(client)


class Session:
    """The two directions of one open connection."""

    def __init__(self, client: aiomqtt.Client, settings: LinkSettings, deliver: Deliver) -> None:
        self._client = client
        self._settings = settings
        self._deliver = deliver
        self._closed = False
        self._drained: anyio.Event | None = None
        self._unconfirmed: dict[int, anyio.Event | None] = {}
        self.undecodable = 0

        self._paho = _inner(client)
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._forget_writer = self._paho.on_socket_unregister_write
        self._paho.on_socket_unregister_write = self._on_written

    @property
    def open(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return not self._closed and self._paho.socket() is not None

    async def subscribe(self) -> None:
        """Subscribe to every filter; ``LinkError`` when the broker refuses one or goes away meanwhile."""
        granted: Sequence[int | ReasonCode] = ()
        failure = ""
        async with anyio.create_task_group() as group:
            group.start_soon(self._cancel_when_lost, group.cancel_scope)
            try:
                granted = await self._client.subscribe(list(self._settings.filters))
            except aiomqtt.MqttError as exc:
                failure = str(exc)
            group.cancel_scope.cancel()

        codes = [code.value if isinstance(code, ReasonCode) else code for code in granted]
        refused = [topic for (topic, _), code in zip(self._settings.filters, codes, strict=False) if code >= 0x80]
        if refused or len(codes) != len(self._settings.filters):
            raise LinkError(f"the broker did not grant our subscriptions: {', '.join(refused) or failure or 'connection lost'}")

    async def wait_lost(self) -> str:
        """Return, with the reason, when the connection is lost."""
        try:
            async for _ in self._client.messages:  # always empty: messages go to `deliver`
                raise AssertionError
        except aiomqtt.MqttError as exc:
            return str(exc.__cause__ or exc)
        raise AssertionError

    async def publish_confirmed(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 and wait for the broker's acknowledgement; ``LinkError`` when the connection ends first."""
        await self.room()
        mid = self._publish_qos_1(topic, payload)
        if mid is not None:
            confirmed = self._unconfirmed[mid] = anyio.Event()
            await confirmed.wait()
        if mid is None or mid in self._unconfirmed:
            raise LinkError("the connection was lost before the broker acknowledged")

    async def room(self) -> bool:
        """Wait until the outgoing buffer is empty and one more message may go unconfirmed; whether the connection stands."""
        while self.open and (self._paho.want_write() or len(self._unconfirmed) >= self._settings.unconfirmed_messages):
            if self._drained is None:
                self._drained = anyio.Event()
            await self._drained.wait()
        return self.open

    def write(self, messages: Sequence[tuple[str, bytes]], start: int, *, qos: int) -> int:
        """Hand over ``messages[start:]`` as far as the bounds allow, at least one; return the index of the first left over."""
        stop = start
        room_bytes = self._settings.outgoing_bytes
        limit = len(messages) if qos == 0 else start + self._settings.unconfirmed_messages - len(self._unconfirmed)
        while stop < min(len(messages), limit) and (room_bytes > 0):
            room_bytes -= len(messages[stop][1])
            stop += 1

        if qos == 0:
            self._paho._packet_queue(0, publish_frames(messages[start:stop]), 0, 0)  # noqa: SLF001
            return stop
        for at in range(start, stop):
            if self._publish_qos_1(*messages[at]) is None:
                return at
        return stop

    def close(self) -> None:
        """Wake everybody who waits for this connection; they find it closed."""
        self._closed = True
        self._wake()
        for confirmed in self._unconfirmed.values():
            if confirmed is not None:
                confirmed.set()

    def _publish_qos_1(self, topic: str, payload: bytes) -> int | None:
        """The packet id, or ``None`` when the connection is gone."""
        info = self._paho.publish(topic, payload, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return None
        self._unconfirmed[info.mid] = None
        return info.mid

    async def _cancel_when_lost(self, scope: anyio.CancelScope) -> None:
        await self.wait_lost()
        scope.cancel()

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    # -- called by paho, on the loop's thread

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.undecodable += 1
            return
        self._deliver(topic, bytes(message.payload))

    def _on_publish(self, _client: paho.Client, _userdata: object, mid: int, *_: object) -> None:
        confirmed = self._unconfirmed.pop(mid, None)
        if confirmed is not None:
            confirmed.set()
        self._wake()

    def _on_written(self, client: paho.Client, userdata: object, sock: paho.SocketLike) -> None:
        if self._forget_writer is not None:
            self._forget_writer(client, userdata, sock)
        self._wake()


def _client(settings: LinkSettings) -> aiomqtt.Client:
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=settings.password,
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V311,  # a received message costs a third of what it does in MQTT 5
        clean_session=True,  # nothing depends on the broker's queues
        timeout=settings.answer_timeout_s,
        keepalive=settings.keepalive_s,
        max_inflight_messages=0,  # `unconfirmed_messages` bounds them, without a queue inside paho
        tls_context=settings.tls_context(),
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )


def _inner(client: aiomqtt.Client) -> paho.Client:
    return client._client  # noqa: SLF001


def _hang_up(client: aiomqtt.Client) -> None:
    """Close the socket of a connection that did not end in an orderly way: aiomqtt leaves it open after a timeout."""
    inner = _inner(client)
    inner.on_message = None
    sock = inner.socket()
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    while inner.socket() is not None:  # reads what had arrived, then the end, and so closes and unregisters the socket
        inner.loop_read()
