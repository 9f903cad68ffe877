"""The states of an upgrade and the one table of its transitions. Nothing else sets a state.

Rule 1: everything that moves an upgrade is a ``Trigger``, and (state, trigger) is a row here or the move does not happen.
Rule 2: what a terminal proves beats what the gateway assumed. So a report may jump forward over states that the gateway has not
seen (its reports were lost, or the store was restored from a backup), and may even leave ``failed``, ``expired`` and
``cancelled``, which are the gateway's own guesses about a silent terminal.
Rule 3: past ``staged`` there is no way back but through the terminal: what installs is neither cancelled nor expired.

``docs/architecture.md`` draws ``as_mermaid()``; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.errors import StateError


class UpgradeState(StrEnum):
    """Where one terminal's upgrade stands (docs/architecture.md, "States")."""

    SCHEDULED = "scheduled"
    OFFERED = "offered"
    DEFERRED = "deferred"
    PREPARING = "preparing"
    READY = "ready"
    TRANSFERRING = "transferring"
    STAGED = "staged"
    INSTALLING = "installing"
    VERIFYING = "verifying"
    SOAKING = "soaking"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What can move an upgrade."""

    # the gateway decides
    START = "start"
    RESUME = "resume"
    TRANSFER = "transfer"
    BUDGET_SPENT = "budget_spent"
    INSTALL = "install"
    RETRY = "retry"
    FAIL = "fail"
    ROLL_BACK = "roll_back"
    EXPIRE = "expire"
    CANCEL = "cancel"
    # the terminal reports
    ACCEPTED = "accepted"
    POSTPONED = "postponed"
    REFUSED = "refused"
    READY = "ready"
    STAGED = "staged"
    INSTALLING = "installing"
    BOOTED = "booted"
    VERIFIED = "verified"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"


_S = UpgradeState

#: The way of an upgrade that goes well, in order.
PATH: Final = (
    _S.SCHEDULED,
    _S.OFFERED,
    _S.DEFERRED,
    _S.PREPARING,
    _S.READY,
    _S.TRANSFERRING,
    _S.STAGED,
    _S.INSTALLING,
    _S.VERIFYING,
    _S.SOAKING,
    _S.SUCCEEDED,
)
FINAL: Final = frozenset({_S.SUCCEEDED, _S.REJECTED, _S.FAILED, _S.ROLLED_BACK, _S.EXPIRED, _S.CANCELLED})
#: Final by the gateway's own judgement; a terminal's proof still counts.
ASSUMED: Final = frozenset({_S.FAILED, _S.EXPIRED, _S.CANCELLED})
#: Moves without a word of the terminal: what it has been asked for is still to be answered.
UNHEARD: Final = frozenset({Trigger.RETRY, Trigger.FAIL, Trigger.EXPIRE, Trigger.CANCEL, Trigger.RESUME})
#: The terminal still runs its old version and nothing of the spare slot matters: may be cancelled, expired or tried again.
REVOCABLE: Final = PATH[: PATH.index(_S.INSTALLING)]
#: Occupies a place under the campaign's concurrency cap while its terminal is online. Who is staged either goes on at once, or
#: waits for a window or a release, for hours, and disturbs nobody.
ACTIVE: Final = frozenset({_S.OFFERED, _S.PREPARING, _S.READY, _S.TRANSFERRING, _S.INSTALLING, _S.VERIFYING, _S.ROLLING_BACK})
#: While these last, no other order disturbs the terminal.
UNDISTURBED: Final = frozenset({_S.INSTALLING, _S.VERIFYING, _S.ROLLING_BACK})
#: The terminal has verified the whole package.
HOLDS_PACKAGE: Final = frozenset(
    {_S.STAGED, _S.INSTALLING, _S.VERIFYING, _S.SOAKING, _S.SUCCEEDED, _S.ROLLING_BACK, _S.ROLLED_BACK}
)


def _table() -> dict[tuple[UpgradeState, Trigger], UpgradeState]:
    rows: dict[tuple[UpgradeState, Trigger], UpgradeState] = {
        (_S.SCHEDULED, Trigger.START): _S.OFFERED,
        (_S.DEFERRED, Trigger.RESUME): _S.SCHEDULED,
        (_S.READY, Trigger.TRANSFER): _S.TRANSFERRING,
        (_S.TRANSFERRING, Trigger.BUDGET_SPENT): _S.DEFERRED,
        (_S.STAGED, Trigger.INSTALL): _S.INSTALLING,
        (_S.SOAKING, Trigger.ROLL_BACK): _S.ROLLING_BACK,
        (_S.VERIFYING, Trigger.ROLL_BACK): _S.ROLLING_BACK,
    }

    # Reports: forward from any earlier state of the path (rule 2).
    for trigger, target in (
        (Trigger.ACCEPTED, _S.PREPARING),
        (Trigger.READY, _S.READY),
        (Trigger.STAGED, _S.STAGED),
        (Trigger.INSTALLING, _S.INSTALLING),
        (Trigger.BOOTED, _S.VERIFYING),
        (Trigger.VERIFIED, _S.SOAKING),
        (Trigger.COMMITTED, _S.SUCCEEDED),
    ):
        rows |= {(state, trigger): target for state in PATH[: PATH.index(target)]}
    rows |= {(state, Trigger.POSTPONED): _S.DEFERRED for state in (_S.SCHEDULED, _S.OFFERED, _S.PREPARING)}
    rows |= {(state, Trigger.REFUSED): _S.REJECTED for state in REVOCABLE}
    rows |= {(state, Trigger.ROLLED_BACK): _S.ROLLED_BACK for state in (*PATH[:-1], _S.ROLLING_BACK)}

    # A terminal's proof beats the gateway's guess (rule 2).
    for state in ASSUMED:
        rows |= {
            (state, Trigger.BOOTED): _S.VERIFYING,
            (state, Trigger.VERIFIED): _S.SOAKING,
            (state, Trigger.COMMITTED): _S.SUCCEEDED,
            (state, Trigger.ROLLED_BACK): _S.ROLLED_BACK,
        }
    rows[_S.ROLLING_BACK, Trigger.COMMITTED] = _S.SUCCEEDED

    # Endings (rule 3).
    rows |= {(state, Trigger.RETRY): _S.SCHEDULED for state in (*PATH[1 : PATH.index(_S.VERIFYING)],)}
    rows |= {(state, Trigger.FAIL): _S.FAILED for state in (*PATH[:-1], _S.ROLLING_BACK)}
    rows |= {(state, Trigger.EXPIRE): _S.EXPIRED for state in REVOCABLE}
    rows |= {(state, Trigger.CANCEL): _S.CANCELLED for state in REVOCABLE}
    return rows


TRANSITIONS: Final[Mapping[tuple[UpgradeState, Trigger], UpgradeState]] = _table()


def allowed(state: UpgradeState, trigger: Trigger) -> bool:
    """Whether the table has the row."""
    return (state, trigger) in TRANSITIONS


def advance(state: UpgradeState, trigger: Trigger) -> UpgradeState:
    """The state after ``trigger``; ``StateError`` when the table has no such row."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise StateError(f"no row for {trigger} in state {state}", state=state, trigger=trigger) from None


def as_mermaid() -> str:
    """The table as a Mermaid state diagram: one arrow per pair of states, its triggers joined."""
    arrows: dict[tuple[UpgradeState, UpgradeState], list[str]] = {}
    for (state, trigger), target in TRANSITIONS.items():
        arrows.setdefault((state, target), []).append(trigger.value)

    lines = ["stateDiagram-v2", "    [*] --> scheduled"]
    order = list(UpgradeState)
    for (state, target), triggers in sorted(
        arrows.items(), key=lambda arrow: (order.index(arrow[0][0]), order.index(arrow[0][1]))
    ):
        lines.append(f"    {state} --> {target}: {', '.join(sorted(triggers))}")
    lines += [f"    {state} --> [*]" for state in UpgradeState if state in FINAL]
    return "\n".join(lines)
