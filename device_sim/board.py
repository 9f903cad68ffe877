"""The board: what all parts of one terminal share. Hardware and world outlive a reboot; the journal is read anew at each boot.

``Terminal`` owns it; the firmware's parts get it from their constructor. It decides nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random

from device_sim.battery import Battery
from device_sim.clock import Clock
from device_sim.faults import Faults, FaultState, rubbish
from device_sim.flash import Flash, SegmentPool
from device_sim.journal import Journal
from device_sim.options import Identity, Options, Span
from device_sim.outputs import Output, Publish
from device_sim.profiles import Profile
from device_sim.radio import Radio
from device_sim.shop import MerchantDesk, Shop
from gateway.wire.codec import encode, kind_of
from gateway.wire.messages import Report, Uplink

DIARY_LENGTH = 256


@dataclass(slots=True)
class Tally:
    """What the terminal has counted since its first boot; the world's view, kept through power cuts."""

    received_bytes: int = 0
    """Package bytes that arrived in chunks."""
    useful_bytes: int = 0
    """Of these, bytes that were new when they came."""
    repeated_bytes: int = 0
    """Bytes of segments that were verified and durable already."""
    acks: int = 0
    chunks: int = 0
    power_cuts: int = 0
    boots: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Refusals and drops, by reason."""
    diary: deque[Report] = field(default_factory=lambda: deque(maxlen=DIARY_LENGTH))
    """The newest reports, as they were journalled; ``Terminal.summary`` shows them."""


class Board:
    """Hardware, world and outputs of one terminal."""

    __slots__ = (
        "battery",
        "clock",
        "erase_later",
        "fault",
        "faults",
        "flash",
        "garbage_at",
        "identity",
        "journal",
        "last_payload",
        "merchant",
        "options",
        "out",
        "pool",
        "profile",
        "radio",
        "reboot_wanted",
        "rng",
        "shop",
        "tally",
    )

    def __init__(
        self,
        profile: Profile,
        identity: Identity,
        flash: Flash,
        rng: Random,
        *,
        options: Options,
        faults: Faults,
        pool: SegmentPool,
        now: float,
    ) -> None:
        self.profile = profile
        self.identity = identity
        self.options = options
        self.flash = flash
        self.rng = rng
        self.pool = pool
        self.faults = faults
        self.fault = FaultState(faults)
        self.clock = Clock(base_ms=options.unix_base_ms + faults.clock_skew_s * 1000)
        self.battery = Battery(options.battery, profile, options.speed, now)
        self.radio = Radio(profile.link, Random(rng.getrandbits(64)), now)
        self.shop = Shop(options.shop, options.speed, options.unix_base_ms, self.radio, Random(rng.getrandbits(64)), now)
        self.merchant = MerchantDesk(options.merchant, options.speed, rng)
        self.journal = Journal(flash)
        self.out: list[Output] = []
        self.tally = Tally()
        self.reboot_wanted = ""
        """Why the firmware asks for a reboot; empty when it does not."""
        self.erase_later: set[str] = set()
        """Areas to erase once the journal is committed, so that a cut never leaves a claim without data."""
        self.last_payload = b""
        self.garbage_at = now + faults.garbage_every_s if faults.garbage_every_s > 0 else None

    def duration(self, span: Span) -> float:
        """One draw of a duration, at the scenario's speed."""
        return self.rng.uniform(*span) / self.options.speed

    def scaled(self, seconds: float) -> float:
        """A fixed duration at the scenario's speed."""
        return seconds / self.options.speed

    def publish(self, message: Uplink, *, bulk: bool = False, qos: int = 1) -> None:
        """Encode and queue one message."""
        self.publish_bytes(kind_of(message), encode(message), bulk=bulk, qos=qos)

    def publish_bytes(self, kind: str, payload: bytes, *, bulk: bool = False, qos: int = 1) -> None:
        """Queue bytes that were encoded before."""
        self.out.append(Publish(kind, payload, bulk, qos))
        if self.faults.duplicate_p > 0 and self.rng.random() < self.faults.duplicate_p:
            self.out.append(Publish(kind, payload, bulk, qos))
        if self.garbage_at is not None:
            self.last_payload = payload

    def commit(self) -> None:
        """Make durable all that one input has changed; outputs may leave after this.

        Raises:
            PowerLostError: power went away.
        """
        self.journal.commit()
        if self.erase_later:
            for area in sorted(self.erase_later):
                self.flash.erase(area)
            self.erase_later.clear()
            self.flash.sync()

    def spill_garbage(self, now: float) -> None:
        """Publish rubbish when the fault asks for it."""
        if self.garbage_at is not None and now >= self.garbage_at:
            self.garbage_at = now + self.faults.garbage_every_s
            self.out.append(rubbish(self.rng, self.last_payload))

    def count(self, event: str) -> None:
        """Count a refusal or a drop under its reason."""
        self.tally.events[str(event)] += 1  # a plain string: words of closed lists come here too

    @property
    def storage_free_bytes(self) -> int:
        """Room for a package; what is staged of the present one counts as free."""
        return max(0, self.profile.storage_bytes - self.options.storage_used_bytes)
