"""What a benchmark says: a table of rows, the aims and whether they hold, a JSON file, and the exit code.

Every benchmark makes one ``Report``, fills it, and ends with ``sys.exit(report.finish())``. A row is a mapping of column to
value; rows of one benchmark need not have the same columns, since each group of them is its own table.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

RESULTS: Final = Path(__file__).parents[1] / "results"

Cell = str | int | float
Op = Literal[">=", "<="]

_OPS: Final[Mapping[Op, Callable[[float, float], bool]]] = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure and the bound that it must keep."""

    what: str
    value: float
    op: Op
    aim: float

    @property
    def holds(self) -> bool:
        """Whether it is kept; a figure that could not be measured never is."""
        return math.isfinite(self.value) and _OPS[self.op](self.value, self.aim)


@dataclass(slots=True)
class Report:
    """One run of one benchmark."""

    name: str
    seed: int
    quick: bool
    rows: list[Mapping[str, Cell]] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def table(self, title: str, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Print rows that share their columns, and keep them."""
        self.rows.extend({"table": title, **row} for row in rows)
        print(f"\n{title}")
        print(render(rows))

    def aim(self, what: str, value: float, op: Op, aim: float) -> None:
        """Keep a figure that has a bound."""
        self.aims.append(Aim(what=what, value=value, op=op, aim=aim))

    def finish(self, folder: Path = RESULTS) -> int:
        """Print the aims and write ``NAME.json``; the exit code: 1 when an aim is missed."""
        if self.aims:
            print("\nAims")
            print(render([_aim_row(aim) for aim in self.aims]))
        folder.mkdir(parents=True, exist_ok=True)
        out = {
            "name": self.name,
            "seed": self.seed,
            "quick": self.quick,
            "rows": self.rows,
            "aims": [
                {**asdict(aim), "value": aim.value if math.isfinite(aim.value) else None, "holds": aim.holds}
                for aim in self.aims
            ],
        }
        (folder / f"{self.name}.json").write_text(json.dumps(out, indent=1, allow_nan=False) + "\n")
        return 0 if all(aim.holds for aim in self.aims) else 1


def render(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows as text: the first column to the left, all others to the right."""
    if not rows:
        return ""
    columns = list(rows[0])
    cells = [columns, *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all do not exceed; not a number when there are none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def _aim_row(aim: Aim) -> Mapping[str, Cell]:
    return {"what": aim.what, "value": aim.value, "aim": f"{aim.op} {_text(aim.aim)}", "holds": "yes" if aim.holds else "NO"}


def _text(value: Cell) -> str:
    """Three digits that count, thousands in groups."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
