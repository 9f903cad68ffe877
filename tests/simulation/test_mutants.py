"""Planted bugs: the simulation finds each of them, by the invariant that it breaks."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.simulation.judge import Invariant
from tests.simulation.mutant import ROOT, Mutant, StaleMutantError, mutants
from tests.simulation.test_seeds import SEEDS

MUTANTS: Final = tuple(mutants())
#: Processes at a time.
JOBS: Final = 2


def _hunt(mutant: Mutant) -> tuple[str, str]:
    """The invariant that broke, and at which seed after how many."""
    command = [sys.executable, "-m", "tests.simulation.mutant", mutant.name, str(SEEDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    tries, seed, found = (*done.stdout.split(), "nothing")[:3]
    return found, f"{mutant.name}: {found} at seed {seed} after {tries}"


@pytest.mark.timeout(300)
def test_the_simulation_finds_every_planted_bug() -> None:
    """Each search begins at a seed that found its bug once, so that it is short as long as that seed still does."""
    with ThreadPoolExecutor(JOBS) as pool:
        found = list(pool.map(_hunt, MUTANTS))

    assert [name for name, _ in found] == [mutant.invariant for mutant in MUTANTS], "\n".join(text for _, text in found)


def test_every_invariant_has_a_bug_that_breaks_it() -> None:
    assert {mutant.invariant for mutant in MUTANTS} == {invariant.name for invariant in Invariant}


def test_a_mutant_whose_text_is_gone_says_so() -> None:
    mutant = Mutant(
        name="stale", invariant="NO_BUG", file="gateway/errors.py", why="", first_seed=0, before="no such text", after=""
    )

    with pytest.raises(StaleMutantError, match="occurs 0 times"):
        mutant.source()
