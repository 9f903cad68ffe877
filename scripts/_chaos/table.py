"""The table of faults: what can be done to whom, at which point or for how long; and the order in which a seed deals them.

Pure. The two lists of points name a place between two durable steps and the step that it is about (``gateway``, ``simulator``).
The same seed deals the same faults with the same lengths; when each of them strikes follows from the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from random import Random
from typing import Final

_STATES: Final = ("offered", "preparing", "ready", "transferring", "installing", "verifying", "soaking", "succeeded")


class Target(StrEnum):
    """To whom it is done. Two faults are never under way on one target."""

    GATEWAY = "gateway"
    BROKER = "broker"
    TERMINALS = "terminals"
    GATEWAY_LINE = "gateway's line"
    TERMINALS_LINE = "terminals' line"


class Kind(StrEnum):
    """What is done."""

    POINT = "killed -9 at a point"
    KILL = "killed -9 at any time"
    RESTART = "restarted in order"
    FREEZE = "stopped and continued"
    ZOMBIE = "stopped beyond keepalive"
    CUT = "cut"
    HALF_OPEN = "half-open"
    FROZEN = "black hole"
    SLOW = "slow"
    DISK_FULL = "disk full"
    READ_ONLY = "store read-only"
    LOCKED = "store locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    target: Target
    kind: Kind
    lasts_s: tuple[float, float] = (0.0, 0.0)
    """How long it lasts (a killed process: until it is started again), drawn between these."""
    points: tuple[str, ...] = ()
    """For ``POINT``: all of them, dealt one by one."""
    per_round: int = 1
    in_short: bool = True
    """Whether a short run has time for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault as dealt."""

    target: Target
    kind: Kind
    lasts_s: float
    gap_s: float
    """Between this fault's beginning and the next one's."""
    point: str = ""
    waits_s: float = 0.0
    """How long a point may wait for somebody to come by."""

    def __str__(self) -> str:
        return f"{self.target}: {self.kind}{f' {self.point}' if self.point else ''}"


#: Before the transaction; in it, before COMMIT; after COMMIT, before anything is sent; after the orders are out.
_AROUND_COMMIT: Final = tuple(":".join(one) for one in product(("decided", "written", "committed", "published"), _STATES))
GATEWAY_POINTS: Final = (
    *_AROUND_COMMIT,
    *(f"{place}:progress" for place in ("decided", "written", "committed")),
    *(f"{place}:order" for place in ("decided", "written", "committed", "published")),
    *(f"{place}:person" for place in ("written", "committed")),
    *(f"{place}:epoch" for place in ("decided", "committed")),
    *(f"heard:{what}" for what in ("accepted", "ready", "staged", "installing", "booted", "verified", "committed")),
    "published:chunk",
)
#: Before a record is in the journal; after it is, before anything is said.
TERMINAL_POINTS: Final = tuple(
    ":".join(one)
    for one in product(
        ("unjournalled", "journalled"),
        (
            *("epoch", "order", "accepted", "preparing", "ready", "bulk_epoch", "transferring", "claim", "staged"),
            *("installing", "boot", "verifying", "soaking", "done", "report", "receipt"),
        ),
    )
)

_T, _K = Target, Kind
TABLE: Final = (
    Row(target=_T.GATEWAY, kind=_K.POINT, lasts_s=(0.0, 0.5), points=GATEWAY_POINTS, per_round=10),
    Row(target=_T.TERMINALS, kind=_K.POINT, lasts_s=(0.0, 0.5), points=TERMINAL_POINTS, per_round=6),
    Row(target=_T.GATEWAY, kind=_K.KILL, lasts_s=(0.0, 2.0), per_round=2),
    Row(target=_T.BROKER, kind=_K.KILL, lasts_s=(0.0, 2.0), per_round=2),
    Row(target=_T.TERMINALS, kind=_K.KILL, lasts_s=(0.0, 2.0), per_round=2),
    Row(target=_T.BROKER, kind=_K.RESTART, lasts_s=(0.0, 1.0)),
    Row(target=_T.GATEWAY, kind=_K.RESTART, lasts_s=(0.0, 1.0)),
    Row(target=_T.GATEWAY, kind=_K.FREEZE, lasts_s=(0.5, 5.0)),
    Row(target=_T.BROKER, kind=_K.FREEZE, lasts_s=(0.5, 5.0)),
    Row(target=_T.TERMINALS, kind=_K.FREEZE, lasts_s=(0.5, 5.0)),
    # Mosquitto drops a client after 1.5 times its keepalive of 15 s, and the gateway gives up a silent broker after as long.
    Row(target=_T.GATEWAY, kind=_K.ZOMBIE, lasts_s=(30.0, 35.0), in_short=False),
    Row(target=_T.BROKER, kind=_K.ZOMBIE, lasts_s=(30.0, 35.0), in_short=False),
    *(
        Row(target=line, kind=kind, lasts_s=(0.5, 4.0))
        for line in (_T.GATEWAY_LINE, _T.TERMINALS_LINE)
        for kind in (_K.CUT, _K.FROZEN, _K.SLOW)
    ),
    Row(target=_T.GATEWAY_LINE, kind=_K.HALF_OPEN, lasts_s=(0.5, 4.0)),
    Row(target=_T.TERMINALS_LINE, kind=_K.HALF_OPEN, lasts_s=(0.5, 4.0)),
    Row(target=_T.GATEWAY, kind=_K.DISK_FULL, lasts_s=(2.0, 5.0)),
    Row(target=_T.GATEWAY, kind=_K.READ_ONLY, lasts_s=(2.0, 3.0)),
    Row(target=_T.GATEWAY, kind=_K.LOCKED, lasts_s=(1.0, 8.0)),
)
#: From one fault to the next: short gaps strike into the recovery from the one before, long ones let campaigns get on.
GAP_S: Final = (0.0, 4.0)
#: How long a point may wait for somebody to come by (seconds).
POINT_S: Final = 15.0
#: In a short run gaps, lengths and waits are so much shorter.
_SHORTER: Final = 0.3
_POINTS_IN_SHORT: Final = 3


def deal(seed: int, *, short: bool = False) -> Iterator[Fault]:
    """Faults without end: round by round every row of the table as often as it says, in a new order each time."""
    rng = Random(seed)
    scale = _SHORTER if short else 1.0
    decks: dict[int, list[str]] = {}
    while True:
        hand = [number for number, row in enumerate(TABLE) for _ in range(_times(row, short))]
        rng.shuffle(hand)
        for number in hand:
            row = TABLE[number]
            yield Fault(
                target=row.target,
                kind=row.kind,
                lasts_s=rng.uniform(*row.lasts_s) * scale,
                gap_s=rng.uniform(*GAP_S) * scale,
                point=_draw(decks, number, row, rng),
                waits_s=POINT_S * scale,
            )


def round_size(*, short: bool = False) -> int:
    """How many faults a round has."""
    return sum(_times(row, short) for row in TABLE)


def _times(row: Row, short: bool) -> int:  # noqa: FBT001 - two sorts of run
    if not short:
        return row.per_round
    return 0 if not row.in_short else _POINTS_IN_SHORT if row.points else 1


def _draw(decks: dict[int, list[str]], number: int, row: Row, rng: Random) -> str:
    """The next point of a row: all of them before any comes again."""
    if not row.points:
        return ""
    deck = decks.setdefault(number, [])
    if not deck:
        deck += row.points
        rng.shuffle(deck)
    return deck.pop()
