"""How an upgrade is kept and brought back: its row, and in the row a packed snapshot of all that has no column of its own."""

from __future__ import annotations

import msgpack

from gateway.core.effects import SaveUpgrade
from gateway.core.plan import Plan
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code
from gateway.wire.ranges import RangeSet

#: Attributes kept as they are, by their key in the snapshot.
_PLAIN = {
    "since": "since",
    "top": "top_seq",
    "before": "attempt_seq",
    "nb": "not_before",
    "tz": "zone",
    "pa": "progress_at",
    "soak": "soak_until",
    "begun": "begun",
    "ok": "healthy",
    "proven": "proven",
    "yes": "consented",
    "wd": "withdrawn",
    "step": "step",
    "x": "transfer",
    "sent": "sent_bytes",
}
#: States that wait for a time of their own.
_DUE = frozenset({UpgradeState.SCHEDULED, UpgradeState.STAGED})
#: Range sets, by their key.
_RANGES = {"seqs": "seqs", "have": "have"}


def save(upgrade: Upgrade, have_bytes: int) -> SaveUpgrade:
    """The row that brings it back; ``have_bytes`` of the package are verified on the terminal."""
    return SaveUpgrade(
        upgrade=upgrade.id,
        terminal=upgrade.terminal,
        campaign=upgrade.plan.campaign,
        state=upgrade.state,
        state_since_us=int(upgrade.since * 1e6),
        due_us=int(upgrade.not_before * 1e6) if upgrade.state in _DUE else 0,
        attempt=upgrade.attempt,
        code=upgrade.code.value,
        have_bytes=have_bytes,
        snapshot=_pack(upgrade),
    )


def restore(upgrade: str, terminal: str, plan: Plan, *, state: str, attempt: int, code: str, snapshot: bytes) -> Upgrade:
    """An upgrade as ``save`` wrote it; an empty snapshot is one that was never started."""
    out = Upgrade(upgrade, terminal, plan, state=UpgradeState(state), attempt=attempt, code=Code(code or Code.OK))
    if snapshot:
        kept = msgpack.unpackb(snapshot, use_list=False)
        for key, name in _PLAIN.items():
            setattr(out, name, kept[key])
        for key, name in _RANGES.items():
            setattr(out, name, RangeSet(kept[key]))
    return out


def _pack(upgrade: Upgrade) -> bytes:
    plain = {key: getattr(upgrade, name) for key, name in _PLAIN.items()}
    packed: bytes = msgpack.packb(plain | {key: list(getattr(upgrade, name)) for key, name in _RANGES.items()})
    return packed
