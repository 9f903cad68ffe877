"""A trapped process dies by SIGKILL at its point, once it comes by there and not before."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts._chaos.crash import ARM
from tests.harness.stage import ROOT

_PROGRAM = """
import asyncio, sys
from scripts._chaos.crash import Trap

class Steps:
    def plain(self, word): print("did", word, flush=True)
    async def slow(self, word): print("did", word, flush=True)

trap = Trap()
trap.around(Steps, "plain", lambda self, word: {word}, before="before", after="after")
trap.around(Steps, "slow", lambda self, word: {word}, before="before", after="after")
steps = Steps()
steps.plain("one")
asyncio.run(steps.slow("two"))
print("end")
"""


def run(folder: Path, point: str) -> tuple[int, list[str], bool]:
    """Exit code, what was done, and whether the point is still armed."""
    file = folder / "point"
    file.write_text(point)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={ARM: str(file), "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.split("\n")[:-1], file.exists()


@pytest.mark.parametrize(
    ("point", "done"),
    [
        ("before:one", []),
        ("after:one", ["did one"]),
        ("before:two", ["did one"]),
        ("after:two", ["did one", "did two"]),
    ],
)
def test_process_dies_at_the_point_that_is_armed(tmp_path: Path, point: str, done: list[str]) -> None:
    assert run(tmp_path, point) == (-signal.SIGKILL, done, False)


def test_process_that_never_comes_by_lives(tmp_path: Path) -> None:
    assert run(tmp_path, "before:three") == (0, ["did one", "did two", "end"], True)
