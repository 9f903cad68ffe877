"""The battery: drains by itself, charges when somebody plugs it in. Belongs to the world and so survives every reboot."""

from __future__ import annotations

from device_sim.options import Battery as BatteryOptions
from device_sim.profiles import Profile

UNPLUG_PCT = 100.0


class Battery:
    """Level and charger, computed when asked; ``update`` before reading, with ``now`` never going back."""

    __slots__ = ("_at", "_charge_per_s", "_drain_per_s", "_plug_at", "_plug_below", "charging", "level")

    def __init__(self, options: BatteryOptions, profile: Profile, speed: float, now: float) -> None:
        self.level = options.start_pct
        self.charging = options.charging
        self._at = now
        self._plug_at = None if options.plug_at_s is None else now + options.plug_at_s / speed
        self._plug_below = options.plug_below_pct
        self._drain_per_s = profile.drain_pct_per_h * speed / 3600
        self._charge_per_s = profile.charge_pct_per_h * speed / 3600

    @property
    def percent(self) -> int:
        """As the terminal shows it."""
        return int(self.level)

    def update(self, now: float) -> bool:
        """Let time pass; whether the charger was plugged in or out meanwhile."""
        before = self.charging
        if self._plug_at is not None and now >= self._plug_at:
            plugged_at, self._plug_at = self._plug_at, None
            self._drift(plugged_at)
            self.charging = True
        self._drift(now)
        if self.charging and self.level >= UNPLUG_PCT:
            self.charging = False
        elif not self.charging and self.level <= self._plug_below:
            self.charging = True
        return self.charging != before

    def reaches(self, percent: float, now: float) -> float | None:
        """When the level will be at ``percent`` if nobody touches the charger; ``None`` when never."""
        if self.level >= percent:
            return now
        if not self.charging or self._charge_per_s <= 0:
            return self._plug_at
        return self._at + (percent - self.level) / self._charge_per_s

    def _drift(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        self._at = max(self._at, now)
        rate = self._charge_per_s if self.charging else -self._drain_per_s
        self.level = min(UNPLUG_PCT, max(1.0, self.level + rate * elapsed))
