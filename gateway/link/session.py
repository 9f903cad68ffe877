"""One connection to the broker from CONNECT to its end: subscriptions, room on the way out, confirmations. Never reconnects."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiomqtt
import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import LinkError
from gateway.link.frames import publish_frames
from gateway.link.settings import LinkSettings
from gateway.link.tap import Tap, hang_up

GOODBYE_S: Final = 1.0  # a broker that does not take our DISCONNECT within this is hung up on

CLOSED: Final = "the broker or the network closed the connection"
UNSPECIFIED: Final = 0x80  # all that paho says of it

Deliver = Callable[[str, bytes], None]


@asynccontextmanager
async def open_session(settings: LinkSettings, deliver: Deliver) -> AsyncIterator[Session]:
    """Connect and subscribe; on leaving, disconnect. ``deliver`` is called for every message received and must not raise.

    Raises:
        LinkError: the broker is away, refuses us, refuses a subscription, or does not answer in time.
    """
    client: aiomqtt.Client | None = None
    try:
        client = _client(settings)
        async with AsyncExitStack() as goodbye:
            # aiomqtt connects in a thread. Abandoned there, the socket would come alive after we are gone, so a cancellation
            # waits for the outcome; the timeouts of the handshake and the CONNACK bound that.
            with anyio.CancelScope(shield=True):
                await goodbye.enter_async_context(client)
            try:
                session = Session(client, settings, deliver)
                goodbye.callback(session.close)
                await session.subscribe()
                yield session
            finally:
                with anyio.move_on_after(GOODBYE_S, shield=True):
                    await goodbye.aclose()
    except (aiomqtt.MqttError, OSError, TimeoutError) as exc:
        await checkpoint_if_cancelled()  # whoever is told to end meanwhile needs no reason
        raise LinkError(f"the broker at {settings.host}:{settings.port} is away or refuses us: {exc}") from exc
    finally:
        if client is not None:
            hang_up(client)


class Session:
    """The two directions of one open connection. Whoever waits on it learns of its end by ``close``."""

    def __init__(self, client: aiomqtt.Client, settings: LinkSettings, deliver: Deliver) -> None:
        self.received = deliver
        self._client = client
        self._settings = settings
        self._closed = False
        self._room: anyio.Event | None = None
        self._last_id = 0
        self._unconfirmed: dict[int, anyio.Event | None] = {}
        self._tap = Tap(client, self)

    @property
    def open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self._closed and self._tap.open

    @property
    def unconfirmed(self) -> int:
        """QoS 1 messages that the broker has not acknowledged."""
        return len(self._unconfirmed)

    async def subscribe(self) -> None:
        """Subscribe to every filter; ``LinkError`` when the broker refuses one or goes away meanwhile."""
        granted: Sequence[int | ReasonCode] = ()
        failure = "the connection was lost"
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
            raise LinkError(f"the broker did not grant our subscriptions: {', '.join(refused) or failure}")

    async def wait_lost(self) -> str:
        """Return, with the reason, when the connection is lost."""
        try:
            async for _ in self._client.messages:  # stays empty, since messages go to `deliver`; raises at the end
                raise AssertionError
        except aiomqtt.MqttError as exc:
            code = exc.__cause__.rc if isinstance(exc.__cause__, aiomqtt.MqttCodeError) else None
            return CLOSED if code is None or code == UNSPECIFIED else str(code)
        raise AssertionError

    async def room(self) -> bool:
        """Wait until the outgoing buffer is empty and one more message may go unconfirmed; whether the connection stands.

        The kernel's own buffer is behind ours, so an empty one here does not let the line run dry.
        """
        while self.open and (self._tap.busy or len(self._unconfirmed) >= self._settings.unconfirmed_messages):
            if self._room is None:
                self._room = anyio.Event()
            await self._room.wait()
        return self.open

    def write(self, messages: Sequence[tuple[str, bytes]], start: int, *, qos: int) -> int:
        """Hand over ``messages[start:]`` as far as the bounds allow, at least one; return the index of the first left over.

        To be called when ``room`` has said yes, with no await between.
        """
        stop = self._fitting(messages, start, qos)
        packet_ids = self._free_ids(stop - start) if qos else ()
        packets = publish_frames(messages[start:stop], packet_ids)
        self._unconfirmed.update(dict.fromkeys(packet_ids))
        self._tap.send(packets)
        return stop

    async def publish_confirmed(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 and wait for the broker's acknowledgement; ``LinkError`` when the connection ends first."""
        if await self.room():
            [packet_id] = self._free_ids(1)
            packet = publish_frames([(topic, payload)], [packet_id])
            confirmed = self._unconfirmed[packet_id] = anyio.Event()
            self._tap.send(packet)
            await confirmed.wait()
            if packet_id not in self._unconfirmed:
                return
        raise LinkError("the connection was lost before the broker acknowledged", client_id=self._settings.client_id)

    def close(self) -> None:
        """Wake everybody who waits for this connection; they find it closed."""
        self._closed = True
        self.drained()
        for confirmed in self._unconfirmed.values():
            if confirmed is not None:
                confirmed.set()

    # -- called by the tap

    def confirmed(self, packet_id: int) -> None:
        """The broker has a QoS 1 message."""
        confirmed = self._unconfirmed.pop(packet_id, None)
        if confirmed is not None:
            confirmed.set()
        self.drained()

    def drained(self) -> None:
        """There may be room again."""
        if self._room is not None:
            self._room.set()
            self._room = None

    def _fitting(self, messages: Sequence[tuple[str, bytes]], start: int, qos: int) -> int:
        end = len(messages)
        if qos:
            end = min(end, start + self._settings.unconfirmed_messages - len(self._unconfirmed))
        room_bytes = self._settings.outgoing_bytes
        stop = start
        while stop < end and room_bytes > 0:
            room_bytes -= len(messages[stop][1])
            stop += 1
        return stop

    def _free_ids(self, count: int) -> list[int]:
        """Packet ids that are not in use; SUBSCRIBE, the only other user of ids, is over when the first message goes out."""
        found: list[int] = []
        while len(found) < count:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._unconfirmed:
                found.append(self._last_id)
        return found

    async def _cancel_when_lost(self, scope: anyio.CancelScope) -> None:
        await self.wait_lost()
        scope.cancel()


def _client(settings: LinkSettings) -> aiomqtt.Client:
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=settings.password,
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V311,  # all that the protocol needs; MQTT 5 adds a property set to every packet
        clean_session=True,  # nothing depends on the broker's queues
        timeout=settings.answer_timeout_s,
        keepalive=settings.keepalive_s,
        tls_context=settings.tls_context(),
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
