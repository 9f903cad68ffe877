"""What a transfer measures of itself while it runs: round trip, goodput, delays, bytes, and how long it stood still and why.

``window`` tells it of everything that goes out and comes back. Only time in which the link itself was the limit is measured:
pauses, waits for our own turn and the first round trip after either say nothing about it. ``pack`` and ``unpack`` carry the
account through a restart of the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self

from gateway.core.transfer.account import DELAY_LOW_MS, GOODPUT_LOW_BPS, Account, Histogram, Pause, PauseCause
from gateway.wire.messages import Ack

#: Weight of the newest sample in the smoothed round trip (RFC 6298) and in the goodput.
SMOOTHING: Final = 0.125
GOODPUT_SMOOTHING: Final = 0.25
#: Goodput is sampled over at least this long, so that a burst out of one queue is not taken for the rate of the link.
SAMPLE_S: Final = 0.25
#: An open transfer is acked every 3 s even without chunks; after this long without any ack it is silent.
SILENCE_S: Final = 4.0
#: A round trip beyond this is no round trip (seconds).
ROUND_TRIP_MAX_S: Final = 60.0
#: What goes over the air beside the data: of a chunk its MQTT header, topic and message fields, of an ack all of it. Measured
#: with names of 16 characters; TLS and TCP are not in it.
CHUNK_HEAD_BYTES: Final = 74
ACK_BYTES: Final = 112

_SUMS: Final = ("useful_bytes", "sent_bytes", "resent_bytes", "chunks", "acks", "probes", "connections")


class Meter:
    """The account of one transfer."""

    __slots__ = (
        "_cause",
        "_delays",
        "_goodputs",
        "_heard_at",
        "_pauses",
        "_sample_at",
        "_sample_bytes",
        "_since",
        "_top_block",
        "acks",
        "chunks",
        "connections",
        "goodput_bps",
        "probes",
        "resent_bytes",
        "sent_bytes",
        "srtt_s",
        "stale_acks",
        "started_at",
        "useful_bytes",
    )

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.useful_bytes = self.sent_bytes = self.resent_bytes = 0
        self.chunks = self.acks = self.probes = self.connections = self.stale_acks = 0
        self.goodput_bps = 0.0
        """Smoothed rate of what the link carries; 0 before the first sample."""
        self.srtt_s = 0.0
        self._top_block = 0  # the lowest wanted block goes first, so what is below was sent before

        # Pauses.
        self._pauses: dict[PauseCause, Pause] = {}
        self._cause: PauseCause | None = None
        self._since = 0.0
        self._heard_at = 0.0

        # The sample of goodput under way; none while ``_sample_at`` is 0.
        self._sample_at = 0.0
        self._sample_bytes = 0
        self._goodputs = Histogram(GOODPUT_LOW_BPS)
        self._delays = Histogram(DELAY_LOW_MS)

    # -- what happens

    def connected(self) -> None:
        """The terminal has a new bulk connection."""
        self.connections += 1
        self._sample_at = 0.0

    def sent(self, start_block: int, stop_block: int, length_bytes: int) -> None:
        """A chunk goes out."""
        self.chunks += 1
        self.sent_bytes += length_bytes
        if start_block < self._top_block:
            self.resent_bytes += length_bytes
        self._top_block = max(self._top_block, stop_block)

    def idled(self, seconds: float) -> None:
        """Nothing was in flight for so long: the wait for our own turn to send says nothing about the link."""
        if self._sample_at:
            self._sample_at += seconds

    def stands(self, cause: PauseCause | None, now: float) -> None:
        """From now on the transfer stands still for this reason, or moves."""
        if cause is self._cause:
            return
        if self._cause is not None:
            self._add(self._cause, now - self._since)
        self._cause, self._since = cause, now
        self._sample_at = 0.0

    def heard(self, ack: Ack, newly_bytes: int, useful_bytes: int, now: float, *, is_late: bool = False) -> None:
        """An ack came: round trip from the echoed stamp (our own clock on both sides), goodput from what arrived meanwhile.

        ``is_late`` when its newest chunk woke the radio up or lay unread during a pause: the link begins to be at work with it.
        """
        if self.silent_s(now) > SILENCE_S and self._cause is None:
            self._add(PauseCause.SILENCE, self.silent_s(now))
            self._sample_at = 0.0
        self._heard_at = now
        if is_late:
            self._sample_at = 0.0
        self.acks += 1
        self.useful_bytes = max(self.useful_bytes, useful_bytes)
        if newly_bytes:
            if not is_late:
                self._round_trip(now - ack.echo_ms / 1000)
            self._arrived(newly_bytes, now)

    def queued(self, queue_ms: float) -> None:
        """A chunk has stood in a queue for so long."""
        self._delays.add(queue_ms)

    # -- what is known

    def silent_s(self, now: float) -> float:
        """Since the last ack; 0 before the first."""
        return now - self._heard_at if self._heard_at else 0.0

    def account(self, now: float) -> Account:
        """All of it, a pause that lasts included."""
        pauses = dict(self._pauses)
        if self._cause is not None:
            pauses[self._cause] = _plus(pauses.get(self._cause), now - self._since)
        return Account(
            useful_bytes=self.useful_bytes,
            sent_bytes=self.sent_bytes,
            resent_bytes=self.resent_bytes,
            overhead_bytes=self.chunks * CHUNK_HEAD_BYTES + self.acks * ACK_BYTES,
            chunks=self.chunks,
            acks=self.acks,
            probes=self.probes,
            connections=self.connections,
            pauses={cause.value: pause for cause, pause in pauses.items()},
            goodput_bps=self._goodputs.quantiles(),
            delay_ms=self._delays.quantiles(),
        )

    def pack(self, now: float) -> Mapping[str, Any]:
        """What ``unpack`` needs, in plain values."""
        account = self.account(now)
        return {
            "at": self.started_at,
            "sums": [getattr(self, name) for name in _SUMS],
            "top": self._top_block,
            "pauses": {cause: (pause.count, pause.seconds) for cause, pause in account.pauses.items()},
            "goodput": self._goodputs.counts(),
            "delay": self._delays.counts(),
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        """A meter that goes on where ``pack`` was called; ``ValueError`` for anything that ``pack`` did not give."""
        try:
            meter = cls(float(packed["at"]))
            for name, value in zip(_SUMS, packed["sums"], strict=True):
                setattr(meter, name, int(value))
            meter._top_block = int(packed["top"])
            meter._pauses = {
                PauseCause(cause): Pause(count=int(count), seconds=float(seconds))
                for cause, (count, seconds) in packed["pauses"].items()
            }
            meter._goodputs = Histogram.of(GOODPUT_LOW_BPS, packed["goodput"])
            meter._delays = Histogram.of(DELAY_LOW_MS, packed["delay"])
        except (KeyError, TypeError, AttributeError, OverflowError) as exc:
            raise ValueError(f"not the account of a transfer: {exc!r}") from exc
        if not all(map(math.isfinite, (meter.started_at, *(pause.seconds for pause in meter._pauses.values())))):
            raise ValueError("not the account of a transfer: a time that is no number")
        return meter

    # -- inside

    def _round_trip(self, round_trip_s: float) -> None:
        if 0 < round_trip_s < ROUND_TRIP_MAX_S:
            self.srtt_s = round_trip_s if self.srtt_s == 0 else self.srtt_s + SMOOTHING * (round_trip_s - self.srtt_s)

    def _arrived(self, newly_bytes: int, now: float) -> None:
        if self._cause is not None:
            return
        if self._sample_at == 0:  # the first bytes after a pause: from now on the link is at work
            self._sample_at = now
            self._sample_bytes = 0
            return

        self._sample_bytes += newly_bytes
        elapsed_s = now - self._sample_at
        if elapsed_s < SAMPLE_S:
            return
        rate = self._sample_bytes / elapsed_s
        self.goodput_bps = rate if self.goodput_bps == 0 else self.goodput_bps + GOODPUT_SMOOTHING * (rate - self.goodput_bps)
        self._goodputs.add(rate, times=max(1, int(elapsed_s * 1000)))
        self._sample_at = now
        self._sample_bytes = 0

    def _add(self, cause: PauseCause, seconds: float) -> None:
        self._pauses[cause] = _plus(self._pauses.get(cause), seconds)


def _plus(pause: Pause | None, seconds: float) -> Pause:
    return Pause(count=1 + (pause.count if pause else 0), seconds=max(0.0, seconds) + (pause.seconds if pause else 0.0))
