"""The control connection as the terminal lives it: epoch, birth, hello until welcome, reconnecting with full jitter, coverage.

The epoch is durable before a connect leaves the machine, because everything of one input is committed before its outputs are
taken. ``Firmware`` calls it; it knows nothing of upgrades and asks a callable for the hello.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from device_sim.board import Board
from device_sim.faults import Duty
from device_sim.outputs import ConnectControl, DropControl
from gateway.wire.codec import encode
from gateway.wire.messages import Hello, Presence, Welcome

HELLO_REPEAT_S: Final = 10.0
HELLO_LAST_S: Final = 60.0
MAX_EPOCH_JUMP: Final = 2**32  # a welcome is not signed, so it may not use the numbers up
LEAST_STEP_S: Final = 0.001  # a change of coverage is never due now, or rounding could stop the time
HELLO_AGAIN_S: Final = 6 * 3600.0  # after the last one that was answered, though nothing has changed
HELLO_LEAST_S: Final = 1.0  # between two hellos of one connection


class Link(StrEnum):
    """Where the control connection stands."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"


class Session:
    """One terminal's control connection."""

    __slots__ = (
        "_attempt",
        "_board",
        "_compose",
        "_connect_at",
        "_hello_at",
        "_hello_s",
        "_owed",
        "_said_at",
        "epoch",
        "link",
        "welcome",
    )

    def __init__(self, board: Board, compose: Callable[[int, float], Hello]) -> None:
        """``compose(epoch, now)`` gives the hello of this moment."""
        self._board = board
        self._compose = compose
        self._attempt = 0
        self._connect_at: float | None = None
        self._hello_at: float | None = None
        self._hello_s = HELLO_REPEAT_S
        self._said_at = float("-inf")
        self._owed = False
        self.epoch = board.journal.integer("epoch")
        self.link = Link.DOWN
        self.welcome = Welcome(epoch=0, now_ms=0)
        """The last one of this boot; before it, the defaults."""

    def start(self, now: float) -> None:
        """Connect as soon as there is coverage."""
        self._connect_at = now

    def on_up(self, now: float) -> bool:
        """Connected and subscribed; whether that was asked for."""
        if self.link is not Link.CONNECTING:
            return False

        self.link = Link.UP
        self._said_at = float("-inf")
        self._board.publish(Presence(epoch=self.epoch, online=True))
        self.greet(now)
        return True

    def on_down(self, now: float, *, clean: bool) -> None:
        """The connection broke or could not be made; ``clean`` when the broker said goodbye."""
        if self.link is Link.DOWN:
            return

        self.link = Link.DOWN
        self._hello_at = None
        options = self._board.options
        hint_s = self.welcome.reconnect_hint_ms / 1000
        if clean and hint_s > 0 and self._attempt == 0:
            longest = hint_s
        else:
            longest = min(options.reconnect_cap_s, options.reconnect_base_s * 2.0 ** min(self._attempt, 20))
        self._attempt += 1
        self._connect_at = now + self._board.rng.uniform(0.0, longest)

    def lose(self, now: float) -> None:
        """Coverage is gone: the connection breaks without a word."""
        if self.link is not Link.DOWN:
            self._board.out.append(DropControl(abort=True))
            self.link = Link.DOWN
        self._hello_at = None
        self._attempt = 0
        self._connect_at = now

    def say_goodbye(self) -> None:
        """Before a reboot: presence first, because a DISCONNECT keeps the will from being published."""
        if self.link is Link.UP:
            self._board.publish(Presence(epoch=self.epoch, online=False))
        if self.link is not Link.DOWN:
            self._board.out.append(DropControl(abort=False))
        self.link = Link.DOWN

    def greet(self, now: float) -> None:
        """Say hello, at most once a second, and again until it is answered."""
        if self.link is not Link.UP:
            return
        self._hello_s = HELLO_REPEAT_S
        if now - self._said_at >= HELLO_LEAST_S:
            self._say(now)
        else:
            self._owed = True
            self._hello_at = self._said_at + HELLO_LEAST_S

    def on_welcome(self, welcome: Welcome, now: float) -> bool:
        """Take over the gateway's hints; whether the message was for this epoch."""
        if self.link is Link.UP and self.epoch < welcome.epoch <= self.epoch + MAX_EPOCH_JUMP:
            self._catch_up(welcome.epoch, now)
            return False
        if self.link is not Link.UP or welcome.epoch != self.epoch:
            self._board.count("welcome_stale")
            if welcome.hello:  # a gateway whose store was restored knows an older epoch only: it is told the present one
                self.greet(now)
            return False

        self.welcome = welcome
        self._attempt = 0
        if not self._owed:
            self._hello_at = now + HELLO_AGAIN_S
            self._hello_s = HELLO_REPEAT_S / 2  # it doubles before each
        if self._board.clock.correct(now, welcome.now_ms):
            self._board.journal.set("offset", self._board.clock.offset_ms)
        if welcome.hello:
            self.greet(now)
        return True

    def on_time(self, now: float, *, covered: bool) -> None:
        """Connect, or repeat the hello, when due."""
        if covered and self.link is Link.DOWN and self._connect_at is not None and now >= self._connect_at:
            self._connect()
        if self.link is Link.UP and self._hello_at is not None and now >= self._hello_at:
            self._hello_s = min(HELLO_LAST_S, self._hello_s * 2)
            self._say(now)

    def deadline(self, *, covered: bool) -> float | None:
        """When ``on_time`` has something to do."""
        if self.link is Link.DOWN:
            return self._connect_at if covered else None
        return self._hello_at

    def _connect(self) -> None:
        self._connect_at = None
        self.epoch += 1
        self._board.journal.set("epoch", self.epoch)
        self.link = Link.CONNECTING
        self._board.out.append(ConnectControl(self.epoch, encode(Presence(epoch=self.epoch, online=False))))

    def _catch_up(self, epoch: int, now: float) -> None:
        """The gateway remembers a higher epoch than this flash does: only one beyond it is heard."""
        self._board.count("epoch_behind")
        self.epoch = epoch
        self._board.journal.set("epoch", epoch)
        self._board.out.append(DropControl(abort=False))
        self.link = Link.DOWN
        self._hello_at = None
        self._connect_at = now

    def _say(self, now: float) -> None:
        self._said_at = now
        self._owed = False
        self._hello_at = now + self._hello_s
        self._board.publish(self._compose(self.epoch, now))


def covered(duty: Duty | None, now: float) -> bool:
    """Whether the terminal has coverage."""
    return duty is None or (now - duty.offset_s) % duty.period_s < duty.fraction * duty.period_s


def next_coverage_change(duty: Duty | None, now: float) -> float | None:
    """When coverage comes or goes next."""
    if duty is None or not 0.0 < duty.fraction < 1.0:
        return None
    into = (now - duty.offset_s) % duty.period_s
    on_s = duty.fraction * duty.period_s
    return max(now - into + (on_s if into < on_s else duty.period_s), now + LEAST_STEP_S)
