"""Two slots and the bootloader: which one runs, the one on trial, how often that was tried, and the fall-back.

The bootloader counts a trial boot durably before it hands over; after ``MAX_TRIES`` it falls back to the slot that was good.
It never boots a slot whose image does not match its recorded hashes. Only ``installation`` writes the spare slot and ends a
trial.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from device_sim.board import Board
from device_sim.flash import Blob
from gateway.trust.manifest import HASH_BYTES
from gateway.wire.messages import Plain

MAX_TRIES: Final = 3
_FACTORY: Final = b"factory image"
_FELL_BACK: Final = "fell_back"
_OTHER: Final = {"a": "b", "b": "a"}


@dataclass(frozen=True, slots=True)
class BootControl:
    """The bootloader's own record."""

    active: str = "a"
    trial: str = ""
    tries: int = 0
    proven: bool = False
    """The trial passed its self-tests: power cuts no longer count against it."""


class Slots:
    """The slots as seen by the running firmware; building one is booting."""

    __slots__ = ("_board", "control", "fell_back", "running")

    def __init__(self, board: Board) -> None:
        """Boot: choose a slot. ``commit`` must follow before anything of the firmware runs."""
        self._board = board
        found = board.journal.get(_FELL_BACK)
        self.fell_back = found if isinstance(found, str) else ""
        """Why the bootloader gave a trial up, until ``settle``: power may go before the firmware has heard of it."""
        if board.journal.get("boot") is None:
            self._format()
        self.control = self._read()
        if self.control.trial and (why := self._refusal(self.control)):
            self.fell_back = why
            board.journal.set(_FELL_BACK, why)
            self._write(BootControl(active=self.control.active))
        elif self.control.trial and not self.control.proven:
            control = self.control
            self._write(BootControl(control.active, control.trial, control.tries + 1))
        self.running = self.control.trial or self.control.active

    @property
    def spare(self) -> str:
        """The slot that is not the good one."""
        return _OTHER[self.control.active]

    @property
    def on_trial(self) -> bool:
        """Whether the running slot is not committed."""
        return self.running != self.control.active

    def versions(self, slot: str) -> dict[str, str]:
        """Versions by component in a slot; of the running one, this is what the terminal is."""
        found, _ = self._image(slot)
        return found

    def is_intact(self, slot: str) -> bool:
        """Whether a slot holds the image that is recorded for it, whole."""
        versions, hashes = self._image(slot)
        area = f"slot_{slot}"
        return bool(versions) and all(
            self._board.pool.matches(sha256, self._board.flash.read(area, index)) for index, sha256 in enumerate(hashes)
        )

    def write_spare(self, blobs: list[Blob], hashes: tuple[bytes, ...], component: str, version: str) -> bool:
        """Write an image that differs from the running one in one component; whether the read-back found it whole."""
        slot = self.spare
        area = f"slot_{slot}"
        self._board.flash.erase(area)
        for index, blob in enumerate(blobs):
            self._board.flash.put(area, index, blob)
        self._board.flash.sync()
        self._record(slot, {**self.versions(self.running), component: version}, b"".join(hashes))
        return self.is_intact(slot)

    def try_spare(self) -> None:
        """Boot the spare slot next, on trial."""
        self._write(BootControl(self.control.active, self.spare))

    def prove(self) -> None:
        """The trial has passed its self-tests."""
        self._write(BootControl(self.control.active, self.control.trial, self.control.tries, proven=True))

    def commit(self) -> None:
        """The running slot is the good one from now on; the other one is free."""
        if self.on_trial:
            old = self.control.active
            self._write(BootControl(self.running))
            self._board.journal.drop(f"slot/{old}")
            self._board.erase_later.add(f"slot_{old}")

    def settle(self) -> None:
        """The firmware has taken in that the bootloader fell back."""
        self.fell_back = ""
        self._board.journal.drop(_FELL_BACK)

    def give_up(self) -> None:
        """Boot the good slot next."""
        self._write(BootControl(self.control.active))

    def _refusal(self, control: BootControl) -> str:
        if not self.is_intact(control.trial):
            return "image_damaged"
        return "boots_used_up" if not control.proven and control.tries >= MAX_TRIES else ""

    def _format(self) -> None:
        """An empty flash: what the factory puts on it."""
        flash = self._board.flash
        flash.put("slot_a", 0, _FACTORY)
        flash.sync()
        self._record("a", dict(self._board.options.components), hashlib.sha256(_FACTORY).digest())
        self._board.journal.set("floors", dict(self._board.options.floors))
        self._board.journal.set("params", dict(self._board.options.parameters))
        self._write(BootControl())

    def _image(self, slot: str) -> tuple[dict[str, str], list[bytes]]:
        match self._board.journal.get(f"slot/{slot}"):
            case (dict(versions), bytes(joined)):
                hashes = [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
                return {str(name): str(version) for name, version in versions.items()}, hashes
            case _:
                return {}, []

    def _record(self, slot: str, versions: Mapping[str, str], hashes: bytes) -> None:
        plain: dict[str, Plain] = dict(versions)
        self._board.journal.set(f"slot/{slot}", (plain, hashes))

    def _read(self) -> BootControl:
        match self._board.journal.get("boot"):
            case (str(active), str(trial), int(tries), bool(proven)):
                return BootControl(active, trial, tries, proven)
            case other:
                raise AssertionError(other)

    def _write(self, control: BootControl) -> None:
        self.control = control
        self._board.journal.set("boot", (control.active, control.trial, control.tries, control.proven))
