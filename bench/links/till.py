"""Payments of one terminal on its bearer: card, request up, the host's time, answer down; the delay of the answer is measured.

Times of cards and of the host come from the seed alone, so that every method is disturbed by the same payments. A ``Till`` may
stand alone, beside a download that knows nothing of it, or in the place of a simulated terminal's shop (``TillShop``), whose
brake then acts from card to answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from device_sim.radio import Radio
from device_sim.shop import Shop

REQUEST_BYTES: Final = 600
ANSWER_BYTES: Final = 1200
EVERY_S: Final = (10.0, 20.0)  # from card to card
LEAD_S: Final = (0.2, 0.6)  # from card to request
HOST_S: Final = (0.15, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One payment."""

    at: float
    """When the host's answer entered the bearer."""
    delay_s: float
    """From then to its arrival."""
    alone_s: float
    """The same for the same answer at the same moment on a bearer of the same seed that carries nothing but payments."""


class Till:
    """See the module: call ``on_time`` at ``deadline``."""

    def __init__(self, radio: Radio, alone: Radio, rng: Random, start: float) -> None:
        self._radio, self._alone, self._rng = radio, alone, rng
        self._card_at = start + rng.uniform(0, EVERY_S[1])
        self._next_at: float | None = self._card_at
        self._step = 0
        self._host_s = 0.0
        self.paying = False
        self.paid: list[Paid] = []

    @property
    def deadline(self) -> float | None:
        """When the next step is due."""
        return self._next_at

    def on_time(self, now: float) -> bool:
        """Take the step that is due; whether a payment began or ended."""
        if self._next_at is None or now < self._next_at:
            return False
        step, self._step = self._step, (self._step + 1) % 4
        match step:
            case 0:
                self.paying = True
                self._next_at = now + self._rng.uniform(*LEAD_S)
                self._host_s = self._rng.uniform(*HOST_S)
            case 1:
                self._next_at = self._radio.up.send(now, REQUEST_BYTES) + self._host_s
            case 2:
                self._next_at = self._radio.down.send(now, ANSWER_BYTES)
                alone_at = self._alone.down.send(now, ANSWER_BYTES)
                self.paid.append(Paid(at=now, delay_s=self._next_at - now, alone_s=alone_at - now))
            case _:
                self.paying = False
                self._card_at = max(self._card_at + self._rng.uniform(*EVERY_S), now)
                self._next_at = self._card_at
        return step in {0, 3}


class TillShop(Shop):
    """A terminal's shop whose payments are those of a till."""

    __slots__ = ("_till",)

    def __init__(self, till: Till, shop: Shop) -> None:
        for name in Shop.__slots__:
            setattr(self, name, getattr(shop, name))
        self._till = till

    @property
    def in_transaction(self) -> bool:
        """Between card and answer."""
        return self._till.paying

    @property
    def deadline(self) -> float | None:
        """The till's."""
        return self._till.deadline

    def on_time(self, now: float) -> bool:
        """The till's."""
        return self._till.on_time(now)
