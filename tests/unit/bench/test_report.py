"""A benchmark judges its aims right, says so in its file, and its exit code follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.rig.report import Aim, Cell, Op, Report, render


def _finished(report: Report, folder: Path) -> tuple[int, dict[str, Any]]:
    code = report.finish(folder)
    return code, json.loads((folder / f"{report.name}.json").read_text())


@pytest.mark.parametrize(
    ("value", "op", "aim", "holds"),
    [
        (8000.0, ">=", 8000.0, True),
        (7999.9, ">=", 8000.0, False),
        (20.0, "<=", 20.0, True),
        (20.1, "<=", 20.0, False),
        (float("nan"), "<=", 20.0, False),
        (float("inf"), ">=", 1.0, False),
    ],
)
def test_an_aim_holds_up_to_its_bound_and_never_without_a_figure(value: float, op: Op, aim: float, holds: bool) -> None:  # noqa: FBT001
    assert Aim(what="figure", value=value, op=op, aim=aim).holds is holds


def test_the_exit_code_is_0_while_every_aim_holds(tmp_path: Path) -> None:
    report = Report("one", seed=7, quick=True)
    report.table("Table", [{"part": "a", "value": 1.5}])
    report.aim("speed", 10.0, ">=", 5.0)

    code, written = _finished(report, tmp_path / "results")

    assert code == 0
    assert written == {
        "name": "one",
        "seed": 7,
        "quick": True,
        "rows": [{"table": "Table", "part": "a", "value": 1.5}],
        "aims": [{"what": "speed", "value": 10.0, "op": ">=", "aim": 5.0, "holds": True}],
    }


def test_one_missed_aim_makes_it_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are written and shown all the same."""
    report = Report("two", seed=1, quick=False)
    report.aim("speed", 10.0, ">=", 5.0)
    report.aim("memory", float("nan"), "<=", 5.0)

    code, written = _finished(report, tmp_path)

    assert code == 1
    assert [aim["holds"] for aim in written["aims"]] == [True, False]
    assert written["aims"][1]["value"] is None
    assert "NO" in capsys.readouterr().out


def test_a_table_lines_up() -> None:
    rows: list[dict[str, Cell]] = [
        {"part": "first", "per s": 12345.6, "share": 0.12345},
        {"part": "b", "per s": 7, "share": 12.3},
    ]
    assert render(rows) == "part    per s  share\nfirst  12,346  0.123\nb           7   12.3"
    assert render([]) == ""
