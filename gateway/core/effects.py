"""Effects: everything the core asks of the rest of the house. The store keeps the first group, the executor sends the second.

All that one ``handle`` call returns belongs together: it is committed in one transaction, and nothing of the second group
leaves the process before that commit (docs/architecture.md, "commit before publish").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.budgets import Scope
from gateway.core.states import UpgradeState
from gateway.core.transfer.account import Account
from gateway.wire.messages import Facts, Order, Receipt, Welcome

# -- to be stored


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveTerminal:
    """What is known of a terminal now. ``facts`` only when they came in with this event."""

    terminal: str
    epoch: int
    online: bool
    seen_us: int
    counter: int
    """Highest order counter ever issued."""
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveUpgrade:
    """The new state of one upgrade; ``snapshot`` is what ``Upgrade.restore`` needs besides."""

    upgrade: str
    terminal: str
    campaign: str
    state: UpgradeState
    state_since_us: int
    due_us: int
    """Not to be started (scheduled), offered again (deferred) or installed (staged) before; 0 in other states."""
    attempt: int
    code: str
    have_bytes: int
    """Bytes verified on the terminal."""
    snapshot: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One ledger entry. ``from_state`` equals ``to_state`` when a report changed nothing."""

    at_us: int
    terminal: str
    actor: str
    """``terminal``, ``gateway``, ``operator:<name>`` or ``campaign``."""
    what: str
    """The report, trigger or order that this entry records."""
    code: str
    campaign: str = ""
    upgrade: str = ""
    from_state: str = ""
    to_state: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOrder:
    """A non-upgrade order has moved on: ``pending`` -> ``sent`` -> ``done | refused | failed | expired``."""

    order: str
    terminal: str
    status: str
    code: str
    at_us: int
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveTransfer:
    """What one transfer cost so far; saved with its progress, so a crash loses no more of it than of the progress."""

    upgrade: str
    terminal: str
    campaign: str
    transfer: int
    started_us: int
    at_us: int
    ended: str
    """The state that it left to; ``""`` while it is open."""
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveDay:
    """What was granted today of the budget of a terminal, site or campaign, or of the gateway (``name`` is empty then)."""

    scope: Scope
    name: str
    ends_us: int
    used_bytes: int


Save = SaveTerminal | SaveUpgrade | Append | SaveOrder | SaveTransfer | SaveDay

# -- to be sent, after the commit


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOrder:
    """Sign and publish."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWelcome:
    """Publish to one terminal."""

    terminal: str
    welcome: Welcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReceipt:
    """Publish to one terminal: the reports are durable now."""

    terminal: str
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransfer:
    """Let the pump ask this terminal's transfer for chunks."""

    terminal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTransfer:
    """Stop asking."""

    terminal: str


Send = SendOrder | SendWelcome | SendReceipt | OpenTransfer | CloseTransfer
Effect = Save | Send
