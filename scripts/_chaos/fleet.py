"""The terminals of a chaos run, as groups of a scenario: most of them plain, some that lose power, pay, or say things twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from tests.harness.stage import MODEL, OTHER_MODEL

#: 4 Mbit/s: a package of ``work.SIZE_BYTES`` takes about a second.
_LINK: Final = (
    "link = { down_bps = 4_000_000, up_bps = 2_000_000, delay_ms = 5, jitter_ms = 2, stalls_per_h = 0, dropouts_per_h = 0 }"
)
_PHASES: Final = ("accepted", "preparing", "transferring", "staged", "installing", "verifying", "soaking")
_CUTS: Final = 40


def groups_of(names: Sequence[str], others: Sequence[str], seed: int) -> Iterator[str]:
    """The inside of one ``[[group]]`` for each terminal; ``others`` are of the other model."""
    rng = Random(seed)
    for number, name in enumerate(names):
        model = OTHER_MODEL if name in others else MODEL
        head = f'ids = ["{name}"]\nmodel = "{model}"\nkeep_payload = {str(number % 3 == 0).lower()}\n{_LINK}\n'
        match number % 4:
            case 1:
                yield head + "".join(_cuts(rng))
            case 2:
                yield head + "faults = { duplicate_p = 0.2 }\nshop = { payment_every_s = 300.0 }\n"
            case _:
                yield head


def _cuts(rng: Random) -> Iterator[str]:
    """Power cuts at phases, at bytes of packages, and in the middle of writes to the flash."""
    for phase in _PHASES:
        yield f'[[group.faults.power_cuts]]\nat = "phase"\nphase = "{phase}"\noff_s = [0.1, 0.8]\n'
    received = written = 0
    for _ in range(_CUTS):
        received += rng.randrange(100_000, 900_000)
        written += rng.randrange(5_000, 900_000)
        yield f'[[group.faults.power_cuts]]\nat = "bytes"\nvalue = {received}\noff_s = [0.1, 0.8]\n'
        yield f'[[group.faults.power_cuts]]\nat = "written"\nvalue = {written}\n'
