"""A terminal's whole life, read from its flash file: what it journalled, what was receipted, what it installed and obeyed.

``tillgate-sim dump`` prints it. It asks nothing of the program that lived this life: only durable bytes count, so that a
check can hold them against the gateway's ledger after any number of deaths on either side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_sim.dossier import pairs
from device_sim.flash_file import SUFFIX, read_flash
from device_sim.journal import GENERATION, LOGS, read_record
from gateway.wire.codec import decode
from gateway.wire.messages import Plain, Report, Result

Journal = Mapping[str, Plain]


@dataclass(slots=True)
class Said:
    """A report or result from its journalling to its receipt."""

    message: Report | Result
    receipted: bool = False
    dropped: bool = False
    """A health report that made room for newer ones."""

    def as_plain(self) -> dict[str, Any]:
        """JSON can hold it."""
        message = self.message
        if isinstance(message, Report):
            name = {"upgrade": message.upgrade, "seq": message.seq, "what": message.what.value}
        else:
            name = {"order": message.order, "status": message.status.value}
        return {**name, "code": message.code.value, "receipted": self.receipted, "dropped": self.dropped}


@dataclass(slots=True)
class Life:
    """Built record by record."""

    state: dict[str, Plain] = field(default_factory=dict)
    records: int = 0
    said: dict[str, Said] = field(default_factory=dict)
    """By journal key and what was said, in the order of saying."""
    installs: Counter[str] = field(default_factory=Counter)
    """Switches of the bootloader to a new image, by upgrade."""
    executed: dict[str, set[int]] = field(default_factory=dict)
    """Orders let through by id, each with its numbers: more than one number is an order executed twice."""
    orders_back: list[tuple[int, int]] = field(default_factory=list)
    """Orders let through although their counter or epoch was lower than one before: (counter, epoch)."""
    seq_reused: int = 0
    """Reports that took a number for the second time."""
    numbers: dict[tuple[str, int], Report] = field(default_factory=dict)
    """Reports by upgrade and number."""

    def take(self, changes: Mapping[str, Plain | None]) -> None:
        """One durable record; ``None`` drops a key."""
        before, self.state = self.state, dict(self.state)
        self.records += 1
        for key, value in changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self._outbox(before, changes)
        self._boot(before)
        self._gate(before)
        self._orders(changes)

    def snapshot(self, whole: Journal) -> None:
        """A record that holds the whole state: what differs is what the machine changed with it."""
        changes: dict[str, Plain | None] = {key: value for key, value in whole.items() if self.state.get(key) != value}
        changes |= dict.fromkeys(key for key in self.state if key not in whole)
        self.take(changes)

    def _outbox(self, before: Journal, changes: Mapping[str, Plain | None]) -> None:
        fresh_health = any(key.endswith("/h") and value is not None for key, value in changes.items())
        for key, value in changes.items():
            if not key.startswith(("r/", "s/")):
                continue
            if isinstance(value, bytes):
                self._say(key, value)
            elif key in before:
                said = self.said[_name(key, before[key])]
                said.dropped = fresh_health and key.endswith("/h")
                said.receipted = not said.dropped

    def _say(self, key: str, payload: bytes) -> None:
        message = decode("report" if key.startswith("r/") else "result", payload)
        if not isinstance(message, Report | Result):
            raise TypeError(message)
        if isinstance(message, Report):
            self.seq_reused += self.numbers.setdefault((message.upgrade, message.seq), message) != message
        self.said.setdefault(_name(key, payload), Said(message))

    def _boot(self, before: Journal) -> None:
        """A trial that begins is an installation; later tries of it and its proof are not."""
        match self.state.get("boot"), before.get("boot"):
            case (str(), str(trial), 0, False), old if trial and old != self.state["boot"]:
                record = self.state.get("up")
                upgrade = record.get("u") if isinstance(record, dict) else None
                self.installs[str(upgrade)] += 1
            case _:
                pass

    def _gate(self, before: Journal) -> None:
        match self.state.get("gate"), before.get("gate", (0, 0, 0, 0, 0)):
            case (int(counter), int(highest), _, int(number), int(epoch)), (int(old), int(old_highest), _, int(old_number), _):
                is_new = number > old_number
                if counter < old or highest < old_highest or (is_new and (counter <= old or epoch < old_highest)):
                    self.orders_back.append((counter, epoch))
            case _:
                pass

    def _orders(self, changes: Mapping[str, Plain | None]) -> None:
        for key, value in changes.items():
            match key.startswith("o/"), value:
                case True, (int(number), str(order), _, _):
                    self.executed.setdefault(order, set()).add(number)
                case _:
                    pass


def read_life(path: Path) -> Life:
    """All records of a flash file, in order."""
    life = Life()
    crcs = dict.fromkeys(LOGS, 0)
    for write in read_flash(path):
        if write.place not in crcs:
            continue
        if write.truncate_to is not None:
            crcs[write.place] = 0 if write.truncate_to == 0 else crcs[write.place]
        elif isinstance(write.data, bytes) and (found := read_record(write.data, 0, crcs[write.place])) is not None:
            changes, _, crcs[write.place] = found
            if GENERATION in changes:
                life.snapshot({key: value for key, value in changes.items() if key != GENERATION})
            else:
                life.take(changes)
    return life


def read_lives(folder: Path) -> dict[str, Life]:
    """The life of every terminal of a folder, by terminal."""
    return {path.name.removesuffix(SUFFIX): read_life(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}


def as_plain(terminal: str, life: Life) -> dict[str, Any]:
    """A line of the dump; JSON can hold it."""
    record, state = life.state.get("up"), life.state
    boot = state.get("boot")
    active, trial = (str(boot[0]), str(boot[1])) if isinstance(boot, tuple) else ("", "")
    slot, gate = state.get(f"slot/{trial or active}"), state.get("gate")
    return {
        "id": terminal,
        "records": life.records,
        "said": [said.as_plain() for said in life.said.values()],
        "installs": dict(life.installs),
        "executed": {order: sorted(numbers) for order, numbers in life.executed.items()},
        "orders_back": life.orders_back,
        "seq_reused": life.seq_reused,
        "epoch": state.get("epoch", 0),
        "shard_epoch": gate[1] if isinstance(gate, tuple) else 0,
        "bulk_epoch": state.get("bulk_epoch", 0),
        "slot": trial or active,
        "on_trial": bool(trial),
        "versions": slot[0] if isinstance(slot, tuple) else {},
        "upgrade": record.get("u", "") if isinstance(record, dict) else "",
        "phase": record.get("p", "") if isinstance(record, dict) else "",
        "have": pairs(state.get("have")),
        "unreceipted": sum(key.startswith(("r/", "s/")) for key in state),
    }


def _name(key: str, payload: Plain) -> str:
    """A result of one order may be said again with other words: each is one of its own."""
    return f"{key} {payload.hex()}" if isinstance(payload, bytes) else key
