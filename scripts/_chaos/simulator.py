"""The simulator with a trap: ``table.TERMINAL_POINTS`` names the places and steps at which it may die. See ``crash``."""

from __future__ import annotations

from collections.abc import Collection

from device_sim.__main__ import main
from device_sim.journal import Journal
from scripts._chaos.crash import Trap

#: Journal keys, by what a record that sets or drops them is about.
_BY_KEY = {"have": "claim", "boot": "boot", "gate": "order", "epoch": "epoch", "bulk_epoch": "bulk_epoch"}


def _steps(journal: Journal) -> Collection[str]:
    """What the record that is about to be written says."""
    found: set[str] = set()
    for key, value in journal._changes.items():  # noqa: SLF001 - the record before it is one
        if key == "up" and isinstance(value, dict):
            found.add(str(value.get("p")))
        elif key in _BY_KEY:
            found.add(_BY_KEY[key])
        elif key.startswith(("r/", "s/")):
            found.add("receipt" if value is None else "report")
    return found


def lay(trap: Trap) -> None:
    """Every durable step of a terminal is a record of its journal; nothing leaves the terminal before it is one."""
    trap.around(Journal, "commit", _steps, before="unjournalled", after="journalled")


if __name__ == "__main__":
    lay(Trap())
    main()
