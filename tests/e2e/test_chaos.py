"""The short run of ``scripts/chaos``: real processes killed, frozen and cut off for a minute, and every invariant holds."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness.stage import ROOT

#: The run itself takes about a minute; on a machine that does much else, everything takes longer to settle.
LIMIT_S = 300


@pytest.mark.timeout(LIMIT_S + 20)
def test_nothing_is_lost_doubled_or_stuck() -> None:
    done = subprocess.run(
        ["scripts/chaos", "--short", "--seed", "1"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "all invariants hold; the same faults again: scripts/chaos --short --seed 1" in done.stdout
