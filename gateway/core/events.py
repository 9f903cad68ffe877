"""Events: the only way in which the core learns anything. Each is one fact; its time is an argument of ``handle``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.budgets import Spent
from gateway.wire.codes import Code, OrderKind
from gateway.wire.messages import Ack, Hello, Plain, Presence, Report, Result


@dataclass(frozen=True, slots=True)
class Heard:
    """A terminal's presence, hello, report or result came in on its own control topic."""

    message: Presence | Hello | Report | Result
    waits: bool = False
    """It opens a new session, and too many others do: what it calls for waits until ``Admitted``."""


@dataclass(frozen=True, slots=True)
class Acked:
    """A terminal's ack came in on its bulk topic."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Admitted:
    """The terminal's turn has come: a new session that had to wait goes on."""

    patience_until: float
    """As in ``Tick``."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that ``deadline`` named has come (or another; then nothing is due)."""

    patience_until: float = 0.0
    """Silence before this time may be our own deafness: no deadline passes by it."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """The gateway or its link was away: what it knew of the terminal's presence and transfer may be stale."""


@dataclass(frozen=True, slots=True)
class Start:
    """The campaign gives the terminal's scheduled upgrade a place."""


@dataclass(frozen=True, slots=True)
class Install:
    """The campaign gives the terminal's staged upgrade a place to install."""

    actor: str
    """``campaign``, or the operator who released it."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The campaign sees that the package does not fit what the terminal says of itself."""

    code: Code
    evidence: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """The campaign withdraws the upgrade: aborted by a person (``cancelled_by_operator``) or over (``campaign_ended``)."""

    code: Code
    actor: str


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """A day's budget of bytes has no room for more of the upgrade's package."""

    spent: Spent


@dataclass(frozen=True, slots=True)
class BudgetEased:
    """The budget that put the upgrade off has room again, before the day that it waits for."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A person or backend ordered something that is not part of an upgrade."""

    order: str
    kind: OrderKind
    expires_at: float
    args: Mapping[str, Plain] = field(default_factory=dict)


Decided = Start | Install | Refuse | End | BudgetSpent | BudgetEased
"""What concerns the present upgrade alone."""
Event = Heard | Admitted | Acked | Tick | Unsure | Decided | Ordered
