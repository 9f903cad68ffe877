"""A terminal that is ahead of a store restored from a backup: its first hello since then shows it (docs/adr/0017).

What it reported to the lost gateway was receipted and never comes again by itself. So whoever stands past the install is asked
for its newest report, by an offer that it takes for nothing else in those phases (docs/protocol.md 5.3), and the table of
``states`` jumps to where that report belongs. Nothing is concluded from the hello alone, and nothing is installed for it.
"""

from __future__ import annotations

from typing import Any

from gateway.core.effects import Append
from gateway.core.states import ASSUMED, UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import DROPPABLE
from gateway.wire.messages import OpenUpgrade


def catch_up(upgrade: Upgrade, held: OpenUpgrade, now: float) -> list[Append]:
    """The first hello since the restore shows that the terminal holds ``upgrade``: ask for what the store has lost."""
    evidence: dict[str, Any] = {"phase": held.phase.value, "seq": held.seq, "known_seq": upgrade.top_seq}
    if held.phase in DROPPABLE:
        if upgrade.state is not UpgradeState.TRANSFERRING or held.transfer == upgrade.transfer:
            return []  # its present order is repeated, and answered as it was answered before
        upgrade.transfer = 0  # another one was opened since: this one is ordered anew
        upgrade.next_step()
    elif held.seq > upgrade.top_seq and (upgrade.state in ASSUMED or not upgrade.final):
        upgrade.withdrawn = upgrade.holding = False  # it is past both, and its refusal would end the question too
        upgrade.overtaken = True
        upgrade.next_step()
    else:
        return []
    return [upgrade.note("ahead_of_backup", "gateway", now, upgrade.code, evidence)]
