"""The broker, asked as the gateway would ask it, under a client id of its own: nobody is thrown out.

What is said goes to topics of ``_gateway``, which no terminal may have, and of a kind that the gateway does not listen to.
"""

from __future__ import annotations

import socket
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import anyio
import anyio.to_thread
from cryptography import x509

from gateway.doctor.finding import Finding, fail, warn, well
from gateway.doctor.keys import expiry
from gateway.errors import LinkError
from gateway.link.session import Session, open_session
from gateway.link.settings import LinkSettings
from gateway.wire import topics
from gateway.wire.codec import MAX_PAYLOAD_BYTES

#: How long one answer may take (seconds).
ANSWER_S: Final = 5.0
#: Echoes of which the middle one counts.
ECHOES: Final = 15
#: A round trip to a broker that is where it should be (seconds).
NEAR_S: Final = 0.1
#: The second of two packets sent together, when the first one's acknowledgement is waited for: 40 ms on Linux (seconds).
NAGLE_S: Final = 0.025
#: The broker tells all its counters at once (seconds).
SAME_ROUND_S: Final = 0.3
_KIND: Final = "doctor"
_UPTIME: Final = "$SYS/broker/uptime"
_DROPPED: Final = "$SYS/broker/publish/messages/dropped"
_ANY_DOWN: Final = f"{topics.VERSION}/dn/+/{_KIND}"
_UP: Final = topics.up("_gateway", _KIND)
_DOWN: Final = topics.down("_gateway", _KIND)


class _Ear:
    """What has come in, in order, with the time at which it did."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, float]] = []
        self._more = anyio.Event()

    def take(self, topic: str, payload: bytes) -> None:
        """As the link delivers it."""
        self.heard.append((topic, payload, time.monotonic()))
        self._more.set()

    async def until(self, count: int, within_s: float) -> bool:
        """Whether so many have come in time."""
        with anyio.move_on_after(within_s):
            while len(self.heard) < count:
                self._more = anyio.Event()
                await self._more.wait()
        return len(self.heard) >= count


async def check_broker(link: LinkSettings, *, answer_s: float = ANSWER_S) -> list[Finding]:
    """Reach it, hear an echo through its rules, and what can be told of its limits from outside."""
    ear = _Ear()
    settings = replace(link, filters=((_UP, 1),), answer_timeout_s=ANSWER_S)
    start = time.monotonic()
    try:
        async with open_session(settings, ear.take) as session:
            out = [well("broker.reach", f"{link.host}:{link.port} let us in within {time.monotonic() - start:.2f} s")]
            echo = await _echo(session, ear, link, answer_s)
            out.append(echo)
            if ear.heard:
                out += [await _nodelay(session, ear, answer_s), await _largest(session, ear, answer_s)]
    except LinkError as exc:
        return [fail("broker.reach", exc.message, "is it running? check broker_host, broker_port, the user, and its log")]
    return out


async def check_rules(link: LinkSettings) -> list[Finding]:
    """Whether the broker keeps to any rules: what is said to terminals must not reach whoever asks, this user included."""
    ear = _Ear()
    settings = replace(link, client_id=f"{link.client_id}.r", filters=((_ANY_DOWN, 1),), answer_timeout_s=ANSWER_S)
    try:
        async with open_session(settings, ear.take) as session:
            await _say(session, _DOWN, b"doctor")
            overheard = await ear.until(1, 1.0)
    except LinkError:
        return []  # refused, as it should be; or away, which `broker.reach` says
    if overheard:
        return [
            warn("broker.rules", "what is sent to terminals may be read by others", "install mosquitto/acl, or rules like it")
        ]
    return [well("broker.rules", "what is sent to terminals is not ours to read")]


async def check_counters(link: LinkSettings, within_s: float) -> list[Finding]:
    """What the broker has dropped since its start, if it says so: the one sign of a queue that was too short."""
    ear = _Ear()
    filters = ((_DROPPED, 0), (_UPTIME, 0))
    settings = replace(link, client_id=f"{link.client_id}.s", filters=filters, answer_timeout_s=ANSWER_S)
    advice = "raise max_queued_messages, see the broker's log, look for terminals that do not read"
    try:
        async with open_session(settings, ear.take):
            if not await ear.until(1, within_s):
                return [warn("broker.dropped", "it does not say", "let the gateway's user read $SYS/#, to see what is dropped")]
            await ear.until(len(filters), SAME_ROUND_S)
    except LinkError:
        return []  # `broker.reach` says so
    said = [payload for topic, payload, _ in ear.heard if topic == _DROPPED]
    if not said:  # without retained messages it only tells what has changed since it told it last
        return [well("broker.dropped", "nothing just now")]
    if said[0].isdigit() and int(said[0]):
        return [warn("broker.dropped", f"{int(said[0])} messages since its start", advice)]
    return [well("broker.dropped", "nothing since its start")]


async def check_certificate(link: LinkSettings, now: datetime | None = None) -> list[Finding]:
    """The certificate that the broker shows, and whether it is believed."""
    try:
        if link.tls_context() is None:
            loopback = link.host in {"127.0.0.1", "::1", "localhost"}
            if loopback:
                return []
            return [warn("broker.tls", "the link is not encrypted", "set broker_ca_file, and use the broker's TLS listener")]
        shown = await anyio.to_thread.run_sync(lambda: _shown(link), abandon_on_cancel=True)
    except OSError as exc:  # ssl.SSLError is one
        return [
            fail(
                "broker.certificate",
                f"{exc}",
                "is broker_ca_file the authority of the broker's certificate, and its name right?",
            )
        ]
    certificate = x509.load_der_x509_certificate(shown)
    return [expiry("broker.certificate", "the broker's certificate", certificate, now or datetime.now(UTC))]


def _shown(link: LinkSettings) -> bytes:
    context = link.tls_context()
    if context is None:
        raise AssertionError
    with (
        socket.create_connection((link.host, link.port), timeout=ANSWER_S) as bare,
        context.wrap_socket(bare, server_hostname=link.host) as line,
    ):
        return line.getpeercert(binary_form=True) or b""


async def _say(session: Session, topic: str, *payloads: bytes) -> None:
    """Hand these over at once, QoS 0."""
    if not await session.room():
        raise LinkError("the broker closed the connection")
    messages = [(topic, payload) for payload in payloads]
    start = 0
    while start < len(messages):
        start = session.write(messages, start, qos=0)
        await session.room()


async def _echo(session: Session, ear: _Ear, link: LinkSettings, answer_s: float) -> Finding:
    trips: list[float] = []
    for number in range(ECHOES):
        said = time.monotonic()
        await _say(session, _UP, str(number).encode())
        if not await ear.until(number + 1, answer_s):
            user = link.username or link.client_id
            return fail(
                "broker.echo",
                "nothing that we say to ourselves comes back",
                f"give {user} the rules of mosquitto/acl: read tg1/up/#, write tg1/dn/# and tg1/up/+/_gateway/+",
            )
        trips.append(ear.heard[-1][2] - said)
    trip_s = statistics.median(trips)
    text = f"comes back in {trip_s * 1000:.1f} ms (median of {ECHOES})"
    if trip_s > NEAR_S:
        return warn("broker.echo", text, "bring the gateway nearer to its broker, or see what the broker is busy with")
    return well("broker.echo", text)


async def _nodelay(session: Session, ear: _Ear, answer_s: float) -> Finding:
    """Two at once, again and again: with Nagle's algorithm the second one waits for the first one's acknowledgement."""
    gaps: list[float] = []
    for _ in range(ECHOES):
        before = len(ear.heard)
        await _say(session, _UP, b"first", b"second")
        if not await ear.until(before + 2, answer_s):
            return fail("broker.nodelay", "two messages sent together do not both come back", "see the broker's log")
        gaps.append(ear.heard[-1][2] - ear.heard[-2][2])
    gap_s = statistics.median(gaps)
    text = f"{gap_s * 1000:.1f} ms between two that were sent together"
    if gap_s > NAGLE_S:
        return warn("broker.nodelay", text, "set_tcp_nodelay true in mosquitto.conf")
    return well("broker.nodelay", text)


async def _largest(session: Session, ear: _Ear, answer_s: float) -> Finding:
    """Last of all: a broker that does not take it hangs up."""
    before = len(ear.heard)
    await _say(session, _UP, bytes(MAX_PAYLOAD_BYTES))
    if await ear.until(before + 1, answer_s) and len(ear.heard[-1][1]) == MAX_PAYLOAD_BYTES:
        return well("broker.largest", f"{MAX_PAYLOAD_BYTES} bytes go through")
    with anyio.move_on_after(answer_s):
        await session.wait_lost()
    return fail(
        "broker.largest",
        f"a message of {MAX_PAYLOAD_BYTES} bytes does not come back",
        "raise max_packet_size to 66560: offers of large packages are as large",
    )
