"""The broker alone: one publisher, one subscriber, both as cheap as can be, with frames of the size of the gateway's chunks.

The publisher sends one buffer of ready-made packets again and again, the subscriber counts bytes; each is a thread that spends
its time in system calls. What passes is thus the broker's own rate for one sender and one receiver, under the configuration
that operators get: login, access rules and limits included.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bench.rig.meter import cpu_s
from gateway.link.frames import publish_frames
from gateway.wire.topics import down
from tests.harness.broker import Broker

#: Published and not yet received: fills the line, and stays far below the queue at which the broker drops.
AHEAD_BYTES: Final = 4 * 1024 * 1024
_BURST: Final = 16
_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRate:
    """What the broker passed on, and what that cost it."""

    messages: int
    elapsed_s: float
    broker_cpu_s: float

    @property
    def per_s(self) -> float:
        """Messages per second of time."""
        return self.messages / self.elapsed_s

    @property
    def per_cpu_s(self) -> float:
        """Messages per CPU second of the broker."""
        return self.messages / max(self.broker_cpu_s, 0.01)


def measure(broker: Broker, terminal: str, payload_bytes: int, duration_s: float) -> RawRate:
    """Send to ``terminal``'s chunk topic for so long; the broker must know the terminal."""
    topic = down(terminal, "chunk", bulk=True)
    packets = publish_frames([(topic, bytes(payload_bytes))] * _BURST)
    with (
        _connected(broker, f"{terminal}.b", terminal, broker.terminal_password(terminal)) as sink,
        _connected(broker, "raw", broker.gateway_user, broker.gateway_password) as source,
    ):
        _subscribe(sink, topic)
        return _run(broker, source, sink, packets, duration_s)


def _run(broker: Broker, source: socket.socket, sink: socket.socket, packets: bytes, duration_s: float) -> RawRate:
    received = 0
    sent = 0
    moved = threading.Condition()

    def count() -> None:
        nonlocal received
        buffer = bytearray(1 << 20)
        while (size := sink.recv_into(buffer)) > 0:
            with moved:
                received += size
                moved.notify()

    counter = threading.Thread(target=count)
    started, cpu_at_start = time.monotonic(), cpu_s(broker.pid)
    counter.start()
    while time.monotonic() - started < duration_s:
        with moved:
            while sent - received >= AHEAD_BYTES and moved.wait(_ANSWER_S):
                pass
        source.sendall(packets)
        sent += len(packets)
    with moved:
        moved.wait_for(lambda: received >= sent, timeout=_ANSWER_S)
    elapsed_s, spent_s = time.monotonic() - started, cpu_s(broker.pid) - cpu_at_start
    sink.shutdown(socket.SHUT_RDWR)
    counter.join()
    return RawRate(messages=received * _BURST // len(packets), elapsed_s=elapsed_s, broker_cpu_s=spent_s)


@contextmanager
def _connected(broker: Broker, client: str, user: str, password: str) -> Iterator[socket.socket]:
    """An MQTT 3.1.1 session on a bare socket."""
    fields = b"".join(len(text).to_bytes(2, "big") + text.encode() for text in (client, user, password))
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + fields  # user name, password, clean session; keepalive 60 s
    with socket.create_connection((broker.host, broker.port), timeout=_ANSWER_S) as line:
        line.sendall(b"\x10" + bytes([len(body)]) + body)
        if line.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionError(f"the broker refused {client}")
        yield line


def _subscribe(line: socket.socket, topic: str) -> None:
    body = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic.encode() + b"\x00"
    line.sendall(b"\x82" + bytes([len(body)]) + body)
    if line.recv(5) != b"\x90\x03\x00\x01\x00":
        raise ConnectionError(f"the broker refused a subscription to {topic}")
