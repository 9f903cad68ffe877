"""What follows from a failure: try again, and at what cost, or give up.

One table by code. What passes by itself, silence and "gateway busy" never cost an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.wire.codes import Code


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How a failure class is treated. The delay doubles with each attempt made and is spread by jitter."""

    again: bool
    costs_attempt: bool
    delay_s: float


#: Passes by itself: wait, then ask again; only the campaign's end stops it.
WAIT: Final = RetryRule(again=True, costs_attempt=False, delay_s=300)
#: The terminal was silent: wait for it.
SILENCE: Final = RetryRule(again=True, costs_attempt=False, delay_s=30)
#: Something broke on the way: a few more attempts.
BROKEN: Final = RetryRule(again=True, costs_attempt=True, delay_s=60)
#: It will not get better by itself.
NEVER: Final = RetryRule(again=False, costs_attempt=True, delay_s=0)

RULES: Final = {
    Code.BATTERY_LOW: WAIT,
    Code.STORAGE_FULL: WAIT,
    Code.IN_TRANSACTION: WAIT,
    Code.UNSETTLED_BATCH: WAIT,
    Code.BUSY: WAIT,
    Code.LINK_LOST: SILENCE,
    Code.DEADLINE_PASSED: SILENCE,
    Code.UPGRADE_UNKNOWN: SILENCE,
    Code.ORDER_EXPIRED: SILENCE,
    Code.NOT_YET_VALID: SILENCE,
    Code.CHECKSUM_MISMATCH: BROKEN,
    Code.INSTALL_FAILED: BROKEN,
    Code.BACKUP_FAILED: BROKEN,
}


def rule_for(code: Code) -> RetryRule:
    """The rule of a failure code; codes without a row are never tried again."""
    return RULES.get(code, NEVER)
