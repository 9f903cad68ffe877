"""Whether a terminal may be upgraded now, judged from the facts of its newest ``hello``.

Asked by the gateway before it offers, so that a terminal that would have to say no is not bothered, and the operator sees why
it waits. The terminal's own answer to ``upgrade.prepare`` is final: facts here may be minutes old. An unsettled batch is no
reason to wait, because the prepare phase settles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.wire.codes import Code
from gateway.wire.messages import Facts

#: A charging terminal may start at this share of the level that one on battery needs ...
CHARGING_SHARE: Final = 0.5
#: ... but never below this: a plug can be pulled, and the write of the spare slot alone must survive that.
CHARGING_FLOOR_PCT: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a package asks of a terminal, as in its signed manifest."""

    battery_min_pct: int
    """Charge, 0..100, for a terminal that is not charging."""
    storage_min_bytes: int
    """Free storage before the first byte of the package arrives."""


class Blocker(NamedTuple):
    """One reason to wait: its code, what was needed and what was found, in the same unit (percent, bytes, transactions)."""

    code: Code
    needed: int
    found: int


def battery_needed_pct(need: Need, *, charging: bool) -> int:
    """The charge that a terminal needs, rounded up; charging lowers it but never below ``CHARGING_FLOOR_PCT``."""
    if not charging:
        return need.battery_min_pct

    eased = -int(-need.battery_min_pct * CHARGING_SHARE // 1)
    return min(need.battery_min_pct, max(CHARGING_FLOOR_PCT, eased))


def unready(facts: Facts, need: Need, *, held_bytes: int = 0) -> list[Blocker]:
    """Everything that speaks against starting now, in the order of ``Code``; empty when the terminal is ready.

    ``held_bytes`` of the package lie on the terminal already, so that much less storage is needed.
    """
    battery_pct = battery_needed_pct(need, charging=facts.charging)
    storage_bytes = max(0, need.storage_min_bytes - held_bytes)
    blockers: list[Blocker] = []
    if facts.battery_pct < battery_pct:
        blockers.append(Blocker(Code.BATTERY_LOW, battery_pct, facts.battery_pct))
    if facts.storage_free_bytes < storage_bytes:
        blockers.append(Blocker(Code.STORAGE_FULL, storage_bytes, facts.storage_free_bytes))
    if facts.in_transaction:
        blockers.append(Blocker(Code.IN_TRANSACTION, 0, 1))
    return blockers
