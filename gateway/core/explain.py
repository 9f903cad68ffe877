"""What an upgrade awaits, until when, and what happens then. Says only; ``Upgrade`` decides.

Nothing is foretold from a second table: deadlines are those that ``Upgrade`` itself acts by, what a report leads to is the row
of ``states.TRANSITIONS``, and what happens when nothing comes is found by letting a copy of the upgrade live until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.core.outgoing import RESEND_MAX_S
from gateway.core.states import FINAL, TRANSITIONS, Trigger, UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind

_S = UpgradeState
_NEVER: Final = float("inf")

#: What brings a state to its good end, and whatever else answers its order.
AWAITED: Final[Mapping[UpgradeState, tuple[Trigger, ...]]] = {
    _S.SCHEDULED: (Trigger.START,),
    _S.OFFERED: (Trigger.ACCEPTED, Trigger.POSTPONED, Trigger.REFUSED),
    _S.DEFERRED: (Trigger.RESUME,),
    _S.PREPARING: (Trigger.READY,),
    _S.READY: (Trigger.TRANSFER,),
    _S.TRANSFERRING: (Trigger.STAGED,),
    _S.STAGED: (Trigger.INSTALL,),
    _S.INSTALLING: (Trigger.BOOTED, Trigger.ROLLED_BACK),
    _S.VERIFYING: (Trigger.VERIFIED, Trigger.ROLLED_BACK),
    _S.SOAKING: (Trigger.COMMITTED, Trigger.ROLLED_BACK),
    _S.ROLLING_BACK: (Trigger.ROLLED_BACK,),
}


class Sent(NamedTuple):
    """The newest order of an upgrade that went out."""

    order: str
    kind: str
    times: int
    """How often it has been sent, this time included."""
    at: float
    again_at: float
    """Repeated from then on while the terminal is here and has not answered; at once when it is born again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of an upgrade when the time is up."""

    state: UpgradeState
    code: Code
    attempt: int
    not_before: float
    """The next try or install is not made before; 0 when it does not wait."""
    is_told: bool
    """Whether the terminal is ordered to drop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """See the module. Times are Unix seconds, infinity for never."""

    awaited: Mapping[Trigger, UpgradeState]
    """What is awaited, and the state that it leads to."""
    order: OrderKind | None
    """The order that the state calls for now, or from ``order_at`` on."""
    order_at: float
    until: float
    then: Outcome | None
    """What happens at ``until``; ``None`` when it waits for ever."""


def prospect(upgrade: Upgrade, now: float, *, online: bool) -> Prospect:
    """How ``upgrade`` stands at ``now``, if its terminal stays ``online`` (or away) and nobody says anything more."""
    until = max(upgrade.deadline(), now) if upgrade.deadline() != _NEVER else _NEVER
    order, order_at = upgrade.due_order(now), now
    if order is None and now < upgrade.order_due_at() < _NEVER:
        order_at = upgrade.order_due_at()
        order = upgrade.due_order(order_at)
    return Prospect(
        awaited={trigger: TRANSITIONS[upgrade.state, trigger] for trigger in AWAITED.get(upgrade.state, ())},
        order=order,
        order_at=order_at if order is not None else _NEVER,
        until=until,
        then=None if until == _NEVER else _outcome(upgrade, until, online=online),
    )


def sent(upgrade: Upgrade) -> Sent | None:
    """The newest order that went out; acks of its transfer put a repetition off as an answer would."""
    if upgrade.sent is None:
        return None
    last = Sent(*upgrade.sent)
    if upgrade.state is _S.TRANSFERRING and upgrade.progress_at > last.at:
        return last._replace(again_at=upgrade.progress_at + RESEND_MAX_S)
    answered = upgrade.order != last.order or upgrade.due_order(last.again_at) != last.kind
    return last._replace(again_at=_NEVER) if answered else last


def _outcome(upgrade: Upgrade, at: float, *, online: bool) -> Outcome:
    later = replace(upgrade)  # nothing that ``tick`` does changes what the two share
    later.tick(at, online=online, jitter=0.5)
    return Outcome(
        state=later.state,
        code=later.code,
        attempt=later.attempt,
        not_before=later.not_before if later.state not in FINAL else 0.0,
        is_told=later.withdrawn,
    )
