"""The payment brake of a transfer: on from the card to a moment after the payment, and how often it is said (protocol.md 6.6).

A pure state machine of three states; ``transfer`` owns it, stops reading the bulk socket while it is on, and sends the acks
that it asks for. Each of them tells the whole state, so a lost one is made good by the next.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RENEW_S: Final = 2.5  # half of the 5 s for which the gateway believes a brake
REPEAT_S: Final = 1.0  # after a release it is said once more


class State(StrEnum):
    """Where the brake stands."""

    OFF = "off"
    HELD = "held"
    """A payment is under way."""
    QUIET = "quiet"
    """It is over; its last packets may be on the air, or the next one may follow."""


class Due(StrEnum):
    """What the time has brought."""

    NOTHING = "nothing"
    RENEW = "renew"
    """Say again that it is on, with the number that has risen."""
    RELEASE = "release"
    """It went off: read the socket, and say so."""


_ON_PAYMENT: Final = {State.OFF: State.HELD, State.HELD: State.HELD, State.QUIET: State.HELD}
_AFTER_PAYMENT: Final = {State.OFF: State.OFF, State.HELD: State.QUIET, State.QUIET: State.QUIET}


class Brake:
    """One terminal's; ``quiet_s`` lie between the end of a payment and the release."""

    __slots__ = ("_quiet_s", "_release_at", "_renew_at", "seq", "state")

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._renew_at = self._release_at = float("inf")
        self.state = State.OFF
        self.seq = 0
        """Raised each time it is put on or renewed."""

    @property
    def on(self) -> bool:
        """Whether bulk data must rest."""
        return self.state is not State.OFF

    @property
    def deadline(self) -> float | None:
        """When ``on_time`` has something to do."""
        return min(self._renew_at, self._release_at) if self.on else None

    def press(self, now: float) -> bool:
        """A payment begins; whether the brake was off until now. Say it either way: the number has risen."""
        fresh = not self.on
        self.state = _ON_PAYMENT[self.state]
        self._release_at = float("inf")
        self.renew(now)
        return fresh

    def ease(self, now: float) -> None:
        """The payment is over."""
        self.state = _AFTER_PAYMENT[self.state]
        if self.state is State.QUIET:
            self._release_at = now + self._quiet_s

    def renew(self, now: float) -> None:
        """It is said again now, for a reason of the caller's."""
        self.seq += 1
        self._renew_at = now + RENEW_S

    def on_time(self, now: float) -> Due:
        """Release or renew what is due."""
        if now >= self._release_at:
            self.drop()
            return Due.RELEASE
        if self.on and now >= self._renew_at:
            self.renew(now)
            return Due.RENEW
        return Due.NOTHING

    def drop(self) -> None:
        """Off at once: there is nothing left to brake."""
        self.state = State.OFF
        self._renew_at = self._release_at = float("inf")
