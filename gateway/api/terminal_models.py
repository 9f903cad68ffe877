"""Bodies about terminals."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import Field

from gateway.api.budget_models import BudgetOut
from gateway.api.shapes import Answer, Ask, EntryOut, Id, Labels, ModelName, Versions
from gateway.api.transfer_models import TransferOut

REGISTER_MAX: Final = 10_000


class TerminalIn(Ask):
    """A terminal to be registered."""

    id: Id = Field(description="The terminal's name on the air.")
    model: ModelName = Field(description="Terminal model, as packages name it.")
    labels: Labels = Field(default_factory=dict, description="Whatever the fleet is sorted by, e.g. region or merchant.")


class RegisterIn(Ask):
    """Terminals to be registered together: all of them, or none."""

    terminals: list[TerminalIn] = Field(min_length=1, max_length=REGISTER_MAX)


class RegisterOut(Answer):
    """What became of them."""

    registered_count: int = Field(description="Terminals that are new.")
    updated_count: int = Field(description="Terminals that were known; their labels are now those of the request.")


class TerminalFilterIn(Ask):
    """Which terminals are meant: those for which everything given here holds. At least one thing must be given."""

    model: ModelName | None = None
    online: bool | None = None
    labels: Labels = Field(default_factory=dict)
    versions: Versions = Field(default_factory=dict, description='Version by component, e.g. `{"app": "2.0.0"}`.')
    id_prefix: Id | None = None


class FactsOut(Answer):
    """What the terminal said of itself last."""

    model: str
    components: dict[str, str] = Field(description="Version by component.")
    floors: dict[str, int] = Field(description="Lowest release counter that may still be installed, by component.")
    slot: str = Field(description="The running slot.")
    battery_pct: int
    charging: bool
    storage_free_bytes: int
    rat: str = Field(description="Radio technology.")
    rssi_dbm: int
    operator: str
    time_zone: str
    clock_at: datetime | None = Field(description="The terminal's own clock when it said this; may be wrong.")
    in_transaction: bool
    unsettled_count: int
    connections: int = Field(description="2, or 1 for a terminal that cannot open a bulk connection.")


class TerminalOut(Answer):
    """One terminal."""

    id: str
    model: str
    labels: dict[str, str]
    online: bool
    seen_at: datetime | None = Field(description="When it was heard last; null before the first time.")
    registered_at: datetime | None
    facts: FactsOut | None = Field(description="Null before its first hello.")


class OpenUpgradeOut(Answer):
    """The upgrade that is under way on a terminal."""

    id: str
    campaign: str
    state: str
    state_since_at: datetime
    code: str


class TerminalDetailOut(TerminalOut):
    """One terminal with its newest history."""

    open_upgrade: OpenUpgradeOut | None
    budgets: list[BudgetOut] = Field(description="Those that a transfer to it keeps to, the narrowest first.")
    transfers: list[TransferOut] = Field(description="What its newest transfers cost, newest first.")
    history: list[EntryOut] = Field(description="Newest first; more at `/terminals/{id}/history`.")


class UnknownTerminalOut(Answer):
    """A terminal that spoke to the gateway without being registered; nothing it says is acted upon."""

    id: str
    first_seen_at: datetime
    seen_at: datetime
    times_count: int
