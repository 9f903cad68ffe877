"""How much of a transfer may be in flight: strategies, so that they can be bettered without touching the terminals.

A policy is told of every ack and answers with a window in bytes. The terminal's credit is applied besides, in ``window``.
``DelayWindow`` is what the gateway uses; the others are there to be compared with it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol, assert_never

from gateway.wire.messages import BLOCK_BYTES

PacingName = Literal["delay", "fixed", "stop_and_wait"]

#: A fixed window of four 16 KiB chunks fills a 4 Mbit/s link at 130 ms round trip and queues half a second at 1 Mbit/s.
FIXED_WINDOW_BYTES: Final = 64 * 1024
#: One chunk at a time, as terminals are served that know no window.
STOP_AND_WAIT_BYTES: Final = 4 * 1024
#: Queueing delay that a transfer may cause (milliseconds): RFC 6817 allows at most 100; 60 as in LEDBAT++.
TARGET_MS: Final = 60.0
CEILING_BYTES: Final = 256 * 1024

#: Acks that a terminal sends to each policy: after so many chunks, or 100 ms. Who waits for each chunk needs each acknowledged.
ACK_EVERY: Final[dict[PacingName, int]] = {"delay": 8, "fixed": 2, "stop_and_wait": 1}


class Heard(NamedTuple):
    """What one ack told."""

    now: float
    newly_bytes: int
    """Held since the last ack."""
    lost_bytes: int
    """Proven lost by this ack."""
    in_flight_bytes: int
    """Before this ack."""
    chunk_bytes: int
    """The present size of a chunk."""
    queue_ms: float | None
    """Queueing delay (``delays``); ``None`` when this ack has no delay that means anything."""
    unconfirmed_s: float
    """For how long no delay has come near the base."""
    srtt_s: float


class Pacing(Protocol):
    """What the transfer needs of a policy."""

    @property
    def window_bytes(self) -> int:
        """How many bytes may be in flight now; at least one block."""
        ...

    def on_ack(self, heard: Heard) -> None:
        """An ack of the present connection came in."""
        ...

    def on_silence(self) -> None:
        """So long without any news that one chunk was sent again as a probe."""
        ...

    def on_connection(self, now: float) -> None:
        """The terminal has a new bulk connection: what was measured before means nothing now."""
        ...


class FixedWindow:
    """The same window always."""

    __slots__ = ("window_bytes",)

    def __init__(self, window_bytes: int = FIXED_WINDOW_BYTES) -> None:
        self.window_bytes = window_bytes

    def on_ack(self, heard: Heard) -> None:
        """Nothing to learn."""

    def on_silence(self) -> None:
        """Nothing to fear."""

    def on_connection(self, now: float) -> None:
        """Nothing to forget."""


class DelayWindow:
    """As much as keeps the queue before the terminal's link at ``target_ms``: the core of LEDBAT (RFC 6817, 2.4.2).

    Below the target the window grows by at most a chunk for each round trip; above it it shrinks by what is too much, by half
    at most. No slow start beyond four chunks, no memory of a former window, no periodic slowdown (docs/adr/0012). Only a base
    that no delay has confirmed for ``CHECK_S`` is measured anew, by letting what is in flight run out once.
    """

    __slots__ = ("_ceiling_bytes", "_check_acks", "_checked_at", "_chunk_bytes", "_cut_after", "_target_ms", "_window_bytes")

    #: Chunks up to which the window doubles each round trip; more would fill a slow link's queue before a delay is known.
    START_CHUNKS: Final = 4
    #: A base this old is measured again (seconds), before its ten minutes are over.
    CHECK_S: Final = 480.0
    #: Acks with a single chunk in flight that a measurement takes: the first may still have stood behind others.
    CHECK_ACKS: Final = 2

    def __init__(self, *, target_ms: float = TARGET_MS, ceiling_bytes: int = CEILING_BYTES) -> None:
        self._target_ms = target_ms
        self._ceiling_bytes = ceiling_bytes
        self._chunk_bytes = BLOCK_BYTES
        self._window_bytes = float(BLOCK_BYTES)
        self._cut_after = 0.0
        self._checked_at = 0.0
        self._check_acks = 0

    @property
    def window_bytes(self) -> int:
        """See ``Pacing``."""
        return self._chunk_bytes if self._check_acks else int(self._window_bytes)

    def on_connection(self, now: float) -> None:
        """Begin with what a slow link can bear."""
        self._window_bytes = float(self._chunk_bytes)
        self._check_acks = 0
        self._checked_at = now

    def on_silence(self) -> None:
        """Stalls end; a link that has become slow shows itself in the delays that follow."""
        self._window_bytes = max(self._window_bytes / 2, float(self._chunk_bytes))

    def on_ack(self, heard: Heard) -> None:
        """Learn from the delay, and from loss."""
        if heard.chunk_bytes < self._chunk_bytes:
            self._check_acks = self.CHECK_ACKS  # the base holds the time that the link took for the larger chunk
        self._chunk_bytes = heard.chunk_bytes
        if heard.lost_bytes and heard.now >= self._cut_after:
            self._cut_after = heard.now + heard.srtt_s  # at most once in a round trip (RFC 6817, 2.4.2)
            self._window_bytes /= 2
        elif heard.queue_ms is not None and heard.newly_bytes and not self._checks_base(heard):
            self._window_bytes += self._step_bytes(heard, heard.queue_ms)
        self._window_bytes = min(max(self._window_bytes, float(heard.chunk_bytes)), float(self._ceiling_bytes))

    def _step_bytes(self, heard: Heard, queue_ms: float) -> float:
        """What this ack adds to the window, or takes away."""
        share = min(1.0, heard.newly_bytes / self._window_bytes)  # of a round trip
        if queue_ms > self._target_ms:
            too_much = (queue_ms - self._target_ms) / max(1000 * heard.srtt_s, self._target_ms)
            return -share * min(0.5, too_much) * self._window_bytes
        if heard.in_flight_bytes + heard.chunk_bytes <= self._window_bytes:
            return 0.0  # not what held the transfer back, so its delay says nothing about a larger one (RFC 6817, 2.4.2)
        if self._window_bytes < self.START_CHUNKS * heard.chunk_bytes and queue_ms < self._target_ms / 2:
            return float(heard.newly_bytes)
        return share * (1 - queue_ms / self._target_ms) * heard.chunk_bytes

    def _checks_base(self, heard: Heard) -> bool:
        """Whether the base is being measured anew: one chunk at a time, until one has come through an empty queue."""
        if self._check_acks:
            self._check_acks -= heard.in_flight_bytes <= heard.chunk_bytes
        elif heard.unconfirmed_s > self.CHECK_S and heard.now - self._checked_at > self.CHECK_S:
            self._check_acks = self.CHECK_ACKS
            self._checked_at = heard.now
        return self._check_acks > 0


def pacing_of(name: PacingName, *, target_ms: float = TARGET_MS) -> Pacing:
    """A fresh policy, by the name that the settings give it."""
    match name:
        case "delay":
            return DelayWindow(target_ms=target_ms)
        case "fixed":
            return FixedWindow()
        case "stop_and_wait":
            return FixedWindow(STOP_AND_WAIT_BYTES)
        case _:
            assert_never(name)
