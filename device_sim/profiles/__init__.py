"""What a terminal maker's data sheet says of a model: flash, times, battery and link, each from a TOML file beside this module.

``load_profile`` is the only way in; a scenario may override the link. No model is known by name anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from device_sim.reading import Reader, read_toml
from gateway.errors import ConfigError

Span = tuple[float, float]
"""Shortest and longest, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """A 4G link as one terminal sees it. Rates are bits per second and means over time; 0 does not shape at all."""

    rat: str = "lte"
    operator: str = "00101"
    rssi_dbm: tuple[int, int] = (-100, -70)
    down_bps: float = 0.0
    up_bps: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    rate_sigma: float = 0.0
    """Of the logarithm of the rate, which is log-normal about its mean and changes every second; 0: it never does."""
    rate_memory_s: float = 4.5
    """Within which a change of the rate fades by 1/e."""
    stalls_per_h: float = 0.0
    """Deep fades: nothing moves in either direction."""
    stall_s: Span = (0.15, 1.2)
    handovers_per_h: float = 0.0
    """To another cell: the same, and longer."""
    handover_s: Span = (1.0, 3.0)
    dropouts_per_h: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A terminal model."""

    model: str
    storage_bytes: int
    flash_write_bps: float
    """Bytes per second into a slot."""
    boot_s: Span
    install_s: Span
    settle_s: Span
    backup_s: Span
    selftest_s: Mapping[str, Span]
    """By name: ``payment``, ``refund``, ``query``."""
    drain_pct_per_h: float
    charge_pct_per_h: float
    link: LinkProfile
    connections: int = 2
    """How many connections to the broker its software can hold: 1 or 2."""


@lru_cache(maxsize=64)
def load_profile(model: str) -> Profile:
    """The profile of ``model``.

    Raises:
        ConfigError: ``profile_unknown``, or ``scenario_invalid`` when its file is not well-formed.
    """
    found = {entry.name.removesuffix(".toml"): entry for entry in files(__package__).iterdir() if entry.name.endswith(".toml")}
    if model not in found:
        raise ConfigError(
            f"no profile for model {model!r}; known: {', '.join(sorted(found))}", code="profile_unknown", model=model
        )
    where = f"profile {model}"
    return read_profile(read_toml(found[model].read_bytes(), where), where=where)


def read_profile(data: Mapping[str, object], *, where: str) -> Profile:
    """A profile from the content of its file."""
    top = Reader(data, where)
    times, tests, battery = top.table("times_s"), top.table("selftest_s"), top.table("battery")
    profile = Profile(
        model=top.text("model"),
        storage_bytes=top.integer("storage_bytes", low=1),
        flash_write_bps=top.number("flash_write_bps", low=1),
        boot_s=times.span("boot"),
        install_s=times.span("install"),
        settle_s=times.span("settle"),
        backup_s=times.span("backup"),
        selftest_s={name: tests.span(name) for name in ("payment", "refund", "query")},
        drain_pct_per_h=battery.number("drain_pct_per_h"),
        charge_pct_per_h=battery.number("charge_pct_per_h"),
        link=read_link(top.table("link"), LinkProfile()),
        connections=top.integer("connections", 2, low=1, high=2),
    )
    for reader in (times, tests, battery, top):
        reader.done()
    return profile


def read_link(link: Reader, default: LinkProfile) -> LinkProfile:
    """A link; what the table does not name stays as in ``default``, or with ``bare`` shapes nothing."""
    if link.flag("bare", default=False):
        default = LinkProfile(rat=default.rat, operator=default.operator, rssi_dbm=default.rssi_dbm)
    low, high = link.span("rssi_dbm", (float(default.rssi_dbm[0]), float(default.rssi_dbm[1])), low=-200)
    found = LinkProfile(
        rat=link.text("rat", default.rat),
        operator=link.text("operator", default.operator),
        rssi_dbm=(int(low), int(high)),
        down_bps=link.number("down_bps", default.down_bps),
        up_bps=link.number("up_bps", default.up_bps),
        delay_ms=link.number("delay_ms", default.delay_ms),
        jitter_ms=link.number("jitter_ms", default.jitter_ms),
        rate_sigma=link.number("rate_sigma", default.rate_sigma, high=2.0),
        rate_memory_s=link.number("rate_memory_s", default.rate_memory_s, low=0.1),
        stalls_per_h=link.number("stalls_per_h", default.stalls_per_h),
        stall_s=link.span("stall_s", default.stall_s),
        handovers_per_h=link.number("handovers_per_h", default.handovers_per_h),
        handover_s=link.span("handover_s", default.handover_s),
        dropouts_per_h=link.number("dropouts_per_h", default.dropouts_per_h),
    )
    link.done()
    return found
