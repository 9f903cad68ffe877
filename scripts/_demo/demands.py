"""What the scenario (``device_sim/demo.toml``) demands of every terminal: how it ends, and what must have happened to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.api.upgrade_models import UpgradeDetailOut
from scripts._demo.evidence import Own

OLD_VERSION: Final = "1.0.0"
NEW_VERSION: Final = "2.0.0"
CANARIES: Final = ("lk-01", "lk-02", "lk-03", "sp-1", "sp-2", "lk-low")
#: Transfers that must be under way when the gateway is killed.
MOVING_LEAST: Final = 5

Happened = Callable[[UpgradeDetailOut, Own], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How one terminal has to end."""

    state: str = "succeeded"
    code: str = "ok"
    version: str = NEW_VERSION
    story: str = ""
    """For the table: what is special about it."""
    must: Mapping[str, Happened] = field(default_factory=dict)
    """What must have happened, in words, and how that is seen."""


def _was(state: str) -> Happened:
    return lambda told, _: any(entry.to_state == state for entry in told.history)


def _said(code: str) -> Happened:
    return lambda told, _: any(entry.code == code for entry in told.history)


_ORDINARY: Final = Demand()
_SPECIAL: Final[Mapping[str, Demand]] = {
    "lk-cut": Demand(
        story="power cut after 1.5 MB",
        must={"one power cut in the middle of the transfer": lambda _, own: own.power_cuts == 1},
    ),
    "lk-low": Demand(
        story="battery at 10 %, charged up",
        must={
            "a wait for the battery": _said("battery_low"),
            "a battery charged up to 15 %": lambda _, own: own.battery_pct >= 15,
        },
    ),
    "lk-later": Demand(story="merchant postponed", must={"a postponement": _was("deferred")}),
    "lk-away": Demand(
        story="offline half of the time",
        must={"at least two reconnects beside those of its reboots": lambda _, own: own.epoch >= 4},
    ),
    "sp-refund": Demand(
        state="rolled_back",
        code="selftest_refund_failed",
        version=OLD_VERSION,
        story="refund fails in the new version",
        must={"a boot into the new version": _was("verifying")},
    ),
    "sp-no": Demand(
        state="rejected",
        code="declined_by_merchant",
        version=OLD_VERSION,
        story="merchant declined",
        must={"no byte of the package": lambda _, own: own.received_bytes == 0},
    ),
}


def demand_of(terminal: str) -> Demand:
    """What is demanded of ``terminal``."""
    return _SPECIAL.get(terminal, _ORDINARY)


def specials() -> Mapping[str, Demand]:
    """Terminals that have a bad day."""
    return _SPECIAL
