"""A model of the store: rows as they were last kept, the ledger, and the story told from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.core.effects import Append, Effect, SaveOrder, SaveTerminal, SaveTransfer, SaveUpgrade


@dataclass(slots=True)
class Book:
    """What survives a death of the gateway."""

    upgrades: dict[str, SaveUpgrade] = field(default_factory=dict)
    terminals: dict[str, SaveTerminal] = field(default_factory=dict)
    transfers: dict[tuple[str, int], SaveTransfer] = field(default_factory=dict)
    ledger: list[Append] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def keep(self, name: str, effects: list[Effect], now: float) -> list[Effect]:
        """Store what is to be stored; returns what may be sent now."""
        sends: list[Effect] = []
        for effect in effects:
            match effect:
                case SaveUpgrade():
                    self.upgrades[effect.upgrade] = effect
                case SaveTerminal():
                    known = self.terminals.get(name, effect)
                    self.terminals[name] = replace(effect, facts=effect.facts or known.facts)
                case Append():
                    self.ledger.append(effect)
                    move = f"{effect.from_state}>{effect.to_state}"
                    self.story.append(f"{now:.3f} {effect.terminal} {effect.what} {move} {effect.code}")
                case SaveTransfer():
                    self.transfers[effect.upgrade, effect.transfer] = effect
                case SaveOrder():
                    pass
                case _:
                    sends.append(effect)
        return sends
