"""One short round of chaos on real processes: every kind of fault that fits, and every invariant at the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.harness.process import Process
from tests.harness.stage import ROOT

#: A quiet machine takes a third of it.
LONGEST_S: Final = 210.0
#: A mount name space of its own, so that the small disk is nobody else's (scripts/chaos).
PRIVATE: Final = ("unshare", "--mount", "--propagation", "private")


def may_mount() -> bool:
    """Whether the system lets us have one."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.alone
def test_short_run_of_chaos_breaks_no_invariant(tmp_path: Path) -> None:
    argv = [*(PRIVATE if may_mount() else ()), sys.executable, "-m", "scripts._chaos", "--short", "--seed", "1"]
    with Process(argv, log=tmp_path / "chaos.log", env={"TMPDIR": str(tmp_path)}, cwd=ROOT) as chaos:
        code = chaos.wait(LONGEST_S)

    assert code == 0, chaos.output
