"""How long chunks queue before the terminal's link, from the one-way delays that its acks report (RFC 6817, 2.4.1 and 3.4).

A delay is the terminal's monotonic receive time minus the gateway's stamp, so it has an unknown offset; only differences mean
anything. Queueing delay is the least of the last few delays over the *base*, the least of ten one-minute minima. What tells
nothing of our own queue never gets here: the first chunk after an idle stretch wakes the radio, and its delay is left out by
the caller.
"""

from __future__ import annotations

from typing import Final

#: One-minute minima kept (RFC 6817, BASE_HISTORY): routes and clocks change, so a base is believed no longer than this.
HISTORY_MIN: Final = 10
#: Delays of which the least counts (RFC 6817, CURRENT_FILTER): one late chunk is no queue.
FILTER_ACKS: Final = 4
#: A delay this close to the base confirms it (milliseconds).
CONFIRM_MS: Final = 10.0
#: With a single chunk in flight no delay is our own queue. When it looks like one for so long, the path itself has changed.
REBASE_S: Final = 5.0
#: What looks like one (milliseconds).
REBASE_MS: Final = 60.0


class Delays:
    """The delays of one bulk connection."""

    __slots__ = ("_alone_since", "_confirmed_at", "_minima", "_recent")

    def __init__(self) -> None:
        self._recent: list[float] = []  # lists: an empty deque takes 600 bytes, and there is one of each for every transfer
        self._minima: list[tuple[int, float]] = []
        self._confirmed_at = 0.0
        self._alone_since: float | None = None

    def reset(self) -> None:
        """A new connection: another route, perhaps another clock."""
        self._recent.clear()
        self._minima.clear()
        self._alone_since = None

    def take(self, delay_ms: float, now: float, *, alone: bool) -> float:
        """Take in the delay of an ack; returns the queueing delay in milliseconds, at least 0.

        ``alone``: no more than one chunk was in flight, so nothing of ours can have been before it.
        """
        self._recent.append(delay_ms)
        del self._recent[:-FILTER_ACKS]
        self._remember(delay_ms, now)
        base_ms = min(least for _, least in self._minima)
        if delay_ms <= base_ms + CONFIRM_MS:
            self._confirmed_at = now
        queue_ms = max(0.0, min(self._recent) - base_ms)  # the last few may be older than all of the history
        if not alone or queue_ms <= REBASE_MS:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= REBASE_S:
            return self._rebase(now)
        return queue_ms

    def unconfirmed_s(self, now: float) -> float:
        """For how long no delay has come near the base: after ten minutes it would be forgotten, and our queue taken for it."""
        return now - self._confirmed_at if self._minima else 0.0

    def _remember(self, delay_ms: float, now: float) -> None:
        minute = int(now // 60)
        while self._minima and self._minima[0][0] <= minute - HISTORY_MIN:
            del self._minima[0]
        if self._minima and self._minima[-1][0] == minute:
            self._minima[-1] = (minute, min(delay_ms, self._minima[-1][1]))
        else:
            self._minima.append((minute, delay_ms))

    def _rebase(self, now: float) -> float:
        least = min(self._recent)
        self._minima.clear()
        self._remember(least, now)
        self._confirmed_at = now
        self._alone_since = None
        return 0.0
