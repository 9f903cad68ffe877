"""Who is here: epochs, births, deaths and the grace between them. One ``Attendance`` for each terminal.

A terminal raises its epoch before every connect; birth and will carry it. So a will that overtakes or outlives a newer birth is
told apart by number, never by time. A short 4G drop-out is no outage, since a death counts only after a grace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.transfer.pacing import ACK_EVERY, TARGET_MS, PacingName
from gateway.wire.messages import Presence, Welcome

#: A death counts after this long (seconds).
OFFLINE_GRACE_S: Final = 10.0
#: How long a terminal of unsure presence has to say hello (seconds).
UNSURE_S: Final = 60.0
#: Meanwhile it is asked again and again, since a question may be lost like any message (seconds).
ASK_AGAIN_S: Final = 15.0
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings that hold for all terminals; most go out in the welcome."""

    keepalive_s: int = 60
    reconnect_hint_ms: int = 5_000
    pacing: PacingName = "delay"
    """How much of a transfer may be in flight (``transfer.pacing``)."""
    target_ms: float = TARGET_MS
    """Queueing delay that a transfer may cause before a terminal's link."""
    ack_delay_ms: int = 100
    chunk_max_bytes: int = 16 * 1024
    shard_epoch: int = 1
    least_step: int = 0
    """Ids of orders of upgrades are numbered from here, since the store was restored from a backup (``restored``)."""
    restored_at: float = 0.0
    """When that was (Unix seconds); 0: never."""
    resend_min_s: float = 5.0
    """An order is repeated after this long, doubling."""
    offline_grace_s: float = OFFLINE_GRACE_S

    def welcome(self, epoch: int, now: float, *, hello: bool) -> Welcome:
        """The answer to a hello, or with ``hello`` the question for one."""
        return Welcome(
            epoch=epoch,
            now_ms=int(now * 1000),
            keepalive_s=self.keepalive_s,
            reconnect_hint_ms=self.reconnect_hint_ms,
            ack_every=ACK_EVERY[self.pacing],
            ack_delay_ms=self.ack_delay_ms,
            chunk_max_bytes=self.chunk_max_bytes,
            hello=hello,
        )


@dataclass(slots=True)
class Attendance:
    """Presence of one terminal, as far as its own messages and the broker's will tell."""

    terms: Terms
    epoch: int = 0
    online: bool = False
    deadline: float = _NEVER
    """When it counts as offline unless it is heard before."""
    born_at: float = 0.0
    """When its present session was first heard of."""
    ask_at: float = _NEVER
    """While its presence is unsure: when to ask again."""
    _asked_at: float = 0.0

    @property
    def due_at(self) -> float:
        """When ``tick`` has something to do."""
        return min(self.deadline, self.ask_at)

    def born(self, epoch: int, now: float) -> bool:
        """A birth or hello of ``epoch`` came; whether the terminal is on a new session. Older epochs change nothing."""
        if epoch < self.epoch:
            return False
        is_new = epoch > self.epoch
        if is_new:
            self.epoch = epoch
            self.born_at = now
        self.online = True
        self.deadline = self.ask_at = _NEVER
        return is_new

    def take(self, presence: Presence, now: float) -> bool:
        """A birth or death came; whether it opened a new session."""
        if presence.online:
            return self.born(presence.epoch, now)
        if presence.epoch == self.epoch and self.online:
            self.deadline = now + self.terms.offline_grace_s
        return False

    def tick(self, now: float) -> bool:
        """Nobody came back within the grace, or has answered so far; whether to ask again."""
        if now >= self.deadline:
            self.online = False
            self.deadline = self.ask_at = _NEVER
        if now < self.ask_at:
            return False
        self.ask_at = now + ASK_AGAIN_S
        return True

    def doubt(self, now: float) -> None:
        """What is known may be stale: it has to show itself."""
        self.deadline = now + UNSURE_S
        self.ask_at = now + ASK_AGAIN_S

    def should_ask(self, now: float, *, anyway: bool = False) -> bool:
        """Whether to ask for a hello, now that it speaks although it counts as offline: its birth was lost on the way.

        ``anyway``: there is another reason to ask; not more often for all that.
        """
        if (self.online and not anyway) or now - self._asked_at < self.terms.offline_grace_s:
            return False
        self._asked_at = now
        return True
