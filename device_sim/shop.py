"""The shop round the terminal: trading hours, card payments, the unsettled batch, and a merchant who answers questions.

Belongs to the world and survives reboots; a payment that power or a reboot cuts off has failed. The firmware reads
``in_transaction`` and ``unsettled`` and never interrupts a payment. Pure: chance is the ``Random`` that it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from device_sim.options import Merchant, Span
from device_sim.options import Shop as ShopOptions
from device_sim.radio import Radio
from device_sim.till import Step, Till

DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What the merchant said: ``accept``, ``postpone`` (for ``postpone_s``) or ``decline``."""

    word: str
    postpone_s: float = 0.0


class Shop:
    """Payments while the shop is open and the terminal is at its service."""

    __slots__ = (
        "_card_at",
        "_from",
        "_next_at",
        "_options",
        "_rng",
        "_speed",
        "_unix_base_ms",
        "failed_count",
        "in_service",
        "locked",
        "ok_count",
        "till",
        "unsettled_count",
    )

    def __init__(
        self, options: ShopOptions, speed: float, unix_base_ms: float, radio: Radio, rng: Random, now: float = 0.0
    ) -> None:
        """``now`` is the first boot; ``rng`` is the shop's alone, so that cards come when they do whatever else happens."""
        self._options = options
        self._speed = speed
        self._unix_base_ms = unix_base_ms
        self._rng = rng
        self._from = now + options.payments_from_s
        self._card_at: float | None = None
        self._next_at: float | None = None
        self.till = Till(options, speed, radio, rng)
        self.in_service = False
        self.locked = False
        """The operator has forbidden payments; the firmware sets it."""
        self.ok_count = 0
        self.failed_count = 0
        self.unsettled_count = options.unsettled_count

    @property
    def in_transaction(self) -> bool:
        """From the card to the answer's last byte."""
        return self.till.step is not Step.IDLE

    @property
    def deadline(self) -> float | None:
        """When the next payment begins or the current one takes its next step."""
        return self.till.deadline if self.in_transaction else self._next_at

    def serve(self, now: float) -> None:
        """The terminal can take payments from now on."""
        self.in_service = True
        self._plan(now)

    def expect(self, at: float) -> None:
        """The next card comes then, whatever was planned."""
        self._next_at = at

    def stop(self) -> None:
        """It cannot: it installs, reboots or has no power. A payment under way has failed."""
        self.in_service = False
        self._card_at = self._next_at = None
        if self.in_transaction:
            self.till.abort()
            self.failed_count += 1

    def on_time(self, now: float) -> bool:
        """Begin, go on with or end a payment that is due; whether one began or ended."""
        if self.in_transaction:
            through = self.till.on_time(now)
            if through:
                self._pay()
                self._plan(now)
            return through
        if self._next_at is None or now < self._next_at:
            return False
        self._card_at, self._next_at = self._next_at, None
        if not self.locked:
            self.till.present(now)
        return self.in_transaction

    def settle(self) -> None:
        """The batch is with the acquirer."""
        self.unsettled_count = 0

    def opens_in_s(self, now: float) -> float:
        """Seconds until the shop opens; 0 while it is open."""
        local_min = (self._unix_base_ms / 60_000 + now / 60 + self._options.utc_offset_min) % DAY_MIN
        if self._options.open_min <= local_min < self._options.close_min:
            return 0.0
        return ((self._options.open_min - local_min) % DAY_MIN) * 60

    def _plan(self, now: float) -> None:
        least_s, most_s = self._options.payment_every_s
        if not self.in_service or self.locked or most_s <= 0 or self.in_transaction:
            return
        gap_s = self._rng.expovariate(1 / most_s) if least_s == most_s else self._rng.uniform(least_s, most_s)
        last_at = max(now, self._from) if self._card_at is None else self._card_at
        self._next_at = max(now, last_at + gap_s / self._speed) + self.opens_in_s(now)

    def _pay(self) -> None:
        if self._rng.random() < self._options.declined_p:
            self.failed_count += 1
        else:
            self.ok_count += 1
            self.unsettled_count += 1


class MerchantDesk:
    """Answers the terminal's questions in the order that the scenario gives."""

    __slots__ = ("_asked", "_delay_s", "_merchant", "_rng", "_speed")

    def __init__(self, merchant: Merchant, speed: float, rng: Random) -> None:
        self._merchant = merchant
        self._delay_s: Span = merchant.delay_s
        self._speed = speed
        self._rng = rng
        self._asked = 0

    def ask(self, opens_in_s: float) -> float | None:
        """Show the question: seconds until it is answered, or ``None`` when nobody ever will."""
        if self._word() == "silent":
            self._asked += 1
            return None
        return opens_in_s + self._rng.uniform(*self._delay_s) / self._speed

    def answer(self) -> Answer:
        """What the merchant says to the question that was asked last."""
        word, _, seconds = self._word().partition(":")
        self._asked += 1
        return Answer(word, float(seconds or 0) / self._speed)

    def _word(self) -> str:
        answers = self._merchant.answers
        return answers[min(self._asked, len(answers) - 1)]
