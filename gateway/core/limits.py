"""How many messages of a kind one terminal may send: a bucket for each terminal and kind, in bounded memory.

The bucket is the generic cell rate algorithm (ITU-T I.371): all that is kept of one is the time at which it will be full
again, so a terminal that is quiet costs nothing. Asked for every message before it is read. What is refused is lost to us: the
terminal repeats a report, result or hello until it is answered, and each ack tells the whole truth again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Buckets kept: those that are not full. Terminals beyond share one bucket for each kind.
BUCKETS_MAX: Final = 65_536
#: The kind that comes many times a second from a good terminal.
ACK: Final = "ack"
#: Seconds of its rate that a terminal may send at once: all its unreceipted reports after a new connection, for one.
CONTROL_BURST_S: Final = 10.0
ACK_BURST_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Messages per second of one terminal; 0 sets no limit."""

    control_per_s: float = 20.0
    """Of each kind on the control connection."""
    acks_per_s: float = 2_000.0


class Limits:
    """See the module."""

    __slots__ = ("_ack", "_control", "_full_at", "_max")

    def __init__(self, rates: Rates, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._control = _step_and_burst(rates.control_per_s, CONTROL_BURST_S)
        self._ack = _step_and_burst(rates.acks_per_s, ACK_BURST_S)
        self._max = buckets_max
        self._full_at: dict[str, float] = {}

    def admit(self, topic: str, now: float) -> bool:
        """Whether a message on this uplink topic may come in at ``now`` (seconds, never stepping back); it then has come in."""
        name = topic.split("/", 3)[-1]  # without the shard, which the sender may make up
        kind = name.rpartition("/")[2]
        step_s, burst_s = self._ack if kind == ACK else self._control
        if step_s == 0.0:
            return True
        full_at = self._full_at.get(name, 0.0)
        if full_at == 0.0 and len(self._full_at) >= self._max:
            name = self._place(name, kind, now)
            full_at = self._full_at.get(name, 0.0)
        if full_at <= now:
            full_at = now
        elif full_at - now > burst_s:
            return False
        self._full_at[name] = full_at + step_s
        return True

    def __len__(self) -> int:
        """How many buckets are kept now."""
        return len(self._full_at)

    def _place(self, name: str, kind: str, now: float) -> str:
        """Room for one more bucket, by forgetting those that are full again; else the kind's common one."""
        self._full_at = {one: full_at for one, full_at in self._full_at.items() if full_at > now}
        return name if len(self._full_at) < self._max else kind


def _step_and_burst(per_s: float, burst_s: float) -> tuple[float, float]:
    """Seconds that one message takes from a bucket (0: no limit), and how many may be taken before the last one that goes."""
    step_s = 1.0 / per_s if per_s else 0.0
    return step_s, max(0.0, burst_s - step_s / 2)  # halfway, so that rounding decides nothing
