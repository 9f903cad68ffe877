"""How an upgrade is kept and brought back: its row, and in the row a packed snapshot of all that has no column of its own.

Its transfer goes with it: what of it is kept beside the row (``cost``), and how it goes on from there (``resume``).
"""

from __future__ import annotations

from dataclasses import astuple

import msgpack

from gateway.core.attendance import Terms
from gateway.core.effects import SaveTransfer, SaveUpgrade
from gateway.core.plan import Plan
from gateway.core.shedding import Quota
from gateway.core.single import SingleTransfer
from gateway.core.states import UpgradeState
from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import pacing_of
from gateway.core.transfer.window import Transfer
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
    "hold": "holding",
    "step": "step",
    "x": "transfer",
    "cost": "meter",
    "sent": "sent",
    "over": "overtaken",
}
#: States that wait for a time of their own.
_DUE = frozenset({UpgradeState.SCHEDULED, UpgradeState.DEFERRED, UpgradeState.STAGED})
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


def restore(
    upgrade: str, terminal: str, plan: Plan, *, state: str, attempt: int, code: str, snapshot: bytes, least_step: int = 0
) -> Upgrade:
    """An upgrade as ``save`` wrote it; an empty snapshot is one that was never started."""
    out = Upgrade(upgrade, terminal, plan, state=UpgradeState(state), attempt=attempt, code=Code(code or Code.OK))
    out.least_step = least_step
    if snapshot:
        kept = msgpack.unpackb(snapshot, use_list=False)
        # A backup may be of an older gateway: what that did not know of is as in an upgrade that never met it.
        for key, name in _PLAIN.items():
            if key in kept:
                setattr(out, name, kept[key])
        out.quota = Quota(*kept.get("quota", ()))
        for key, name in _RANGES.items():
            setattr(out, name, RangeSet(kept[key]))
    return out


def cost(upgrade: Upgrade, transfer: Transfer, now: float, *, ended: str = "") -> SaveTransfer:
    """The account of its transfer so far; ``ended`` is the state that it was left to."""
    return SaveTransfer(
        upgrade=upgrade.id,
        terminal=upgrade.terminal,
        campaign=upgrade.plan.campaign,
        transfer=transfer.id,
        started_us=int(transfer.meter.started_at * 1e6),
        at_us=int(now * 1e6),
        ended=ended,
        account=transfer.meter.account(now),
    )


def resume(upgrade: Upgrade, terms: Terms, now: float, *, single: bool = False) -> Transfer:
    """Its transfer, fresh or where an earlier life of the gateway left it; the terminal's first ack corrects what is held.

    ``single``: it goes over the terminal's only connection.
    """
    way = SingleTransfer if single else Transfer
    return way(
        upgrade.transfer,
        upgrade.plan.target.size_bytes,
        pacing_of(terms.pacing, target_ms=terms.target_ms),
        have_segments=upgrade.have,
        first_number=int(now * 1000),
        meter=Meter.unpack(upgrade.meter) if upgrade.meter is not None else Meter(now),
        first_chunk_blocks=upgrade.plan.first_chunk_blocks,
    )


def _pack(upgrade: Upgrade) -> bytes:
    plain = {key: getattr(upgrade, name) for key, name in _PLAIN.items()} | {"quota": astuple(upgrade.quota)}
    packed: bytes = msgpack.packb(plain | {key: list(getattr(upgrade, name)) for key, name in _RANGES.items()})
    return packed
