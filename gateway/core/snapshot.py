"""How an upgrade is kept and brought back: its row, and in the row a packed snapshot of all that has no column of its own.

Its transfer goes with it: what of it is kept beside the row (``cost``), and how it goes on from there (``resume``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final

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
from gateway.errors import StoreError
from gateway.wire.codes import Code
from gateway.wire.fields import MAX_INTEGER
from gateway.wire.ranges import RangeSet

_NUMBER: Final = (int, float)
#: Attributes kept as they are: their key in the snapshot, and what a value may be.
_PLAIN: Final[Mapping[str, tuple[str, tuple[type, ...]]]] = {
    "since": ("since", _NUMBER),
    "top": ("top_seq", (int,)),
    "before": ("attempt_seq", (int,)),
    "nb": ("not_before", _NUMBER),
    "tz": ("zone", (str,)),
    "pa": ("progress_at", _NUMBER),
    "soak": ("soak_until", _NUMBER),
    "begun": ("begun", (bool,)),
    "ok": ("healthy", (int,)),
    "proven": ("proven", (bool,)),
    "yes": ("consented", (bool,)),
    "wd": ("withdrawn", (bool,)),
    "hold": ("holding", (bool,)),
    "step": ("step", (int,)),
    "x": ("transfer", (int,)),
    "cost": ("meter", (dict, type(None))),
    "sent": ("sent", (tuple, type(None))),
    "over": ("overtaken", (bool,)),
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
    """An upgrade as ``save`` wrote it; an empty snapshot is one that was never started.

    Raises:
        StoreError: ``store_corrupt``, the row holds what ``save`` never wrote.
    """
    try:
        out = Upgrade(upgrade, terminal, plan, state=UpgradeState(state), attempt=attempt, code=Code(code or Code.OK))
        for name, value in _unpack(snapshot).items() if snapshot else ():
            setattr(out, name, value)
        out.least_step = least_step
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as exc:
        raise StoreError(f"the store's row of upgrade {upgrade} is damaged: {exc}", code="store_corrupt") from exc
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
    plain = {key: getattr(upgrade, name) for key, (name, _) in _PLAIN.items()} | {"quota": astuple(upgrade.quota)}
    packed: bytes = msgpack.packb(plain | {key: list(getattr(upgrade, name)) for key, name in _RANGES.items()})
    return packed


def _unpack(snapshot: bytes) -> dict[str, Any]:
    """What ``_pack`` kept, by attribute; raises ``ValueError`` and its like for anything else."""
    kept = msgpack.unpackb(snapshot, use_list=False)
    if type(kept) is not dict or "since" not in kept:
        raise ValueError("expected a map with at least the time of its state")
    found: dict[str, Any] = {}
    for key, (name, types) in _PLAIN.items():
        if key not in kept:  # a backup may be of an older gateway: as in an upgrade that never met it
            continue
        value = kept[key]
        if type(value) not in types or (isinstance(value, _NUMBER) and not _sane(value)):
            raise ValueError(f"{key} ({name}): found {value!r:.40}")
        found[name] = value
    if found.get("meter") is not None:
        Meter.unpack(found["meter"])
    if found.get("sent") is not None and not _is_sent(*found["sent"]):
        raise ValueError(f"sent: found {found['sent']!r:.40}")
    quota = kept.get("quota", ())  # there is none in what an older gateway kept
    if not all(type(count) in _NUMBER and _sane(count) for count in quota):
        raise ValueError(f"quota: found {quota!r:.40}")
    found["quota"] = Quota(*quota)
    for key, name in _RANGES.items():
        found[name] = RangeSet(_span(pair) for pair in kept.get(key, ()))
    return found


def _is_sent(order: object, kind: object, tries: object, at: object, due_at: object) -> bool:
    return isinstance(order, str) and isinstance(kind, str) and all(type(one) in _NUMBER for one in (tries, at, due_at))


def _span(pair: object) -> tuple[int, int]:
    match pair:
        case (int(start), int(stop)) if 0 <= start < stop <= MAX_INTEGER:
            return start, stop
    raise ValueError(f"expected pairs of ascending integers, found {pair!r:.40}")


def _sane(number: float) -> bool:
    """Whether it is one that we write: finite, and within the wire's bounds."""
    return math.isfinite(number) and abs(number) <= MAX_INTEGER
