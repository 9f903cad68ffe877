"""What an upgrade waits for, in words for people: an install window, a release, the merchant, or the bytes of the next day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from gateway.core.budgets import CODES
from gateway.core.states import UpgradeState
from gateway.services import windows
from gateway.store.campaigns import CampaignRow
from gateway.store.upgrades import UpgradeRow

_WAITS: Final = {UpgradeState.SCHEDULED: "starts later", UpgradeState.DEFERRED: "deferred"}
_WHOSE: Final[Mapping[str, str]] = {code.value: scope.value for scope, code in CODES.items()}


def waits_for(row: UpgradeRow, campaign: CampaignRow, now_us: int, limit_bytes: int = 0) -> str:
    """Empty for an upgrade that goes on by itself now. ``limit_bytes`` is the day's budget that was used up, where known."""
    whose = _WHOSE.get(row.code)
    if whose is None or row.state not in _WAITS:
        return windows.waits_for(row, campaign, now_us)
    amount = f" of {limit_bytes / 1e6:.4g} MB" if limit_bytes else ""
    return f"{_WAITS[row.state]}{_until(row.due_us, now_us)}: the {whose}'s data budget{amount} for today is used up"


def _until(due_us: int, now_us: int) -> str:
    if due_us <= now_us:
        return ""
    minutes = -(-(due_us - now_us) // 60_000_000)
    hours, minutes = divmod(minutes, 60)
    length = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f" until {datetime.fromtimestamp(due_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC (in {length})"
