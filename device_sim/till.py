"""A payment on its way: card, request up the bearer, the host's time, answer down the bearer, done.

``shop`` says when a card comes; here its steps follow each other, and the answer's delay is measured from inside the bearer:
from its entering the queue to its last byte, and what the same answer takes at the same moment with nothing but payments on the
link. Pure: chance is the ``Random`` that it was given, and no draw depends on how long anything took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from device_sim.delays import Delays
from device_sim.options import Shop as ShopOptions
from device_sim.radio import Radio


class Step(StrEnum):
    """Where the payment stands."""

    IDLE = "idle"
    CARD = "card"
    """A card is being read, an amount or a PIN entered."""
    ASKED = "asked"
    """The request is on its way, or the host thinks."""
    ANSWERED = "answered"
    """The answer is on its way."""


_NEXT: Final = {Step.CARD: Step.ASKED, Step.ASKED: Step.ANSWERED, Step.ANSWERED: Step.IDLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One answer."""

    at: float
    """When it entered the bearer."""
    delay_s: float
    """From then to its arrival."""
    alone_s: float
    """The same with nothing but payments on the link."""


class Till:
    """At most one payment at a time."""

    __slots__ = ("_host_s", "_options", "_radio", "_rng", "_speed", "deadline", "delays", "on_answer", "step")

    def __init__(self, options: ShopOptions, speed: float, radio: Radio, rng: Random) -> None:
        self._options = options
        self._speed = speed
        self._radio = radio
        self._rng = rng
        self._host_s = 0.0
        self.step = Step.IDLE
        self.deadline: float | None = None
        """When the next step is due; ``None`` without a payment."""
        self.delays = Delays()
        """Of all answers so far."""
        self.on_answer: Callable[[Paid], None] | None = None
        """Called for each answer, by whoever counts those of many terminals."""

    def present(self, now: float) -> None:
        """A card is presented, or an amount entered."""
        self.step = Step.CARD
        self.deadline = now + self._rng.uniform(*self._options.lead_s) / self._speed
        self._host_s = self._rng.uniform(*self._options.host_s) / self._speed

    def on_time(self, now: float) -> bool:
        """Take the step that is due; whether the payment is through."""
        if self.deadline is None or now < self.deadline:
            return False
        self.step = _NEXT[self.step]
        match self.step:
            case Step.ASKED:
                self.deadline = self._radio.up.send(now, self._options.request_bytes) + self._host_s
            case Step.ANSWERED:
                self.deadline = self._answer(now)
            case _:
                self.deadline = None
        return self.step is Step.IDLE

    def abort(self) -> None:
        """Power or the terminal's own work ends it."""
        self.step = Step.IDLE
        self.deadline = None

    def _answer(self, now: float) -> float:
        arrives = self._radio.down.send(now, self._options.answer_bytes)
        alone = self._radio.alone.send(now, self._options.answer_bytes)
        paid = Paid(at=now, delay_s=arrives - now, alone_s=alone - now)
        self.delays.note(paid.delay_s, paid.alone_s)
        if self.on_answer is not None:
            self.on_answer(paid)
        return arrives
