"""A payment terminal as a pure machine: inputs with ``now``, outputs by ``take``, one ``deadline``.

Each input is one transaction: what it changed is durable in the journal before any of its outputs can be taken. Power may go
away in the middle of any write; the terminal then starts again from what its flash kept. The swarm drives it over real
sockets, the scenario tests in virtual time; both read nothing of it but outputs and ``deadline``. It reads no clock, rolls
no dice but its ``Random``, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from device_sim.board import Board
from device_sim.faults import NO_FAULTS, CutAt, Faults
from device_sim.firmware import Firmware
from device_sim.flash import Flash, PowerLostError, SegmentPool
from device_sim.journal import Journal
from device_sim.options import Identity, Options
from device_sim.outputs import CloseBulk, DropControl, Output, Rebooting
from device_sim.profiles import Profile
from device_sim.slots import Slots

_POWER_BACK_S = (2.0, 5.0)


class Terminal:
    """One terminal: hardware, world and, while it has power, firmware."""

    def __init__(
        self,
        profile: Profile,
        identity: Identity,
        flash: Flash,
        rng: Random,
        *,
        options: Options | None = None,
        faults: Faults = NO_FAULTS,
        pool: SegmentPool | None = None,
        now: float = 0.0,
    ) -> None:
        """A terminal without power; ``boot`` comes next. Give all terminals of a process the same ``pool``."""
        self.board = Board(
            profile, identity, flash, rng, options=options or Options(), faults=faults, pool=pool or SegmentPool(), now=now
        )
        self.firmware: Firmware | None = None
        """``None`` while there is no power or it boots."""
        self._up_at: float | None = None
        self._down_at = now
        self._first_boot_at = now

    @property
    def id(self) -> str:
        """Its id."""
        return self.board.identity.id

    @property
    def keepalive_s(self) -> int:
        """What the gateway asked for."""
        return self.firmware.session.welcome.keepalive_s if self.firmware is not None else 60

    # -- inputs

    def boot(self, now: float) -> None:
        """Power on for the first time; it is up at once, later boots take the profile's time."""
        self._first_boot_at = self._down_at = now
        self._power_on(now)

    def on_control_up(self, now: float) -> None:
        """The control connection that ``ConnectControl`` asked for is subscribed."""
        self._call(now, lambda firmware: firmware.on_control_up(now))

    def on_control_down(self, now: float, *, clean: bool = False) -> None:
        """It broke or could not be made; ``clean`` when the broker sent a DISCONNECT."""
        self._call(now, lambda firmware: firmware.on_control_down(now, clean=clean))

    def on_bulk_up(self, now: float) -> None:
        """The bulk connection that ``OpenBulk`` asked for is subscribed."""
        self._call(now, lambda firmware: firmware.transfer.on_up(now))

    def on_bulk_down(self, now: float) -> None:
        """It broke or could not be made."""
        self._call(now, lambda firmware: firmware.transfer.on_down(now))

    def on_message(self, kind: str, payload: bytes, bulk: bool, now: float) -> None:  # noqa: FBT001 - positions as on the topic
        """A message of ``kind`` on one of the terminal's topics."""
        self._call(now, lambda firmware: firmware.on_message(kind, payload, now, bulk=bulk))

    def on_time(self, now: float) -> None:
        """Call at ``deadline``, or at any other time."""
        if self.firmware is not None:
            self._call(now, lambda firmware: firmware.on_time(now))
        elif self._up_at is not None and now >= self._up_at:
            self._up_at = None
            self._power_on(now)

    def power_cut(self, now: float, off_s: float = 3.0) -> None:
        """Power goes away between two inputs, for ``off_s``."""
        if self.firmware is not None:
            self._lose_power(now, off_s)

    # -- outputs

    def take(self) -> list[Output]:
        """All outputs since the last call, in order."""
        taken, self.board.out = self.board.out, []
        return taken

    def deadline(self, now: float) -> float | None:
        """When ``on_time`` is wanted; ``None`` when only an input can move it."""
        if self.firmware is None:
            return self._up_at
        at = self.firmware.deadline(now)
        cut_s = self.board.fault.next_timed_cut()
        if cut_s is None:
            return at
        cut_at = self._first_boot_at + cut_s
        return cut_at if at is None else min(at, cut_at)

    # -- power

    def _call(self, now: float, step: Callable[[Firmware], None]) -> None:
        """One input as one transaction."""
        firmware = self.firmware
        if firmware is None:
            return
        board = self.board
        before = len(board.out)
        try:
            step(firmware)
            board.commit()
        except PowerLostError:
            del board.out[before:]  # what is not durable was never said
            self._lose_power(now, board.rng.uniform(*_POWER_BACK_S))
            return
        if board.reboot_wanted:
            self._reboot(now)
        elif board.fault.cuts_left:
            self._cut_when_due(now)

    def _power_on(self, now: float) -> None:
        """Bootloader, then firmware."""
        board = self.board
        board.tally.boots += 1
        board.reboot_wanted = ""
        board.erase_later.clear()
        self._arm_fuse()
        before = len(board.out)
        try:
            board.journal = Journal(board.flash)
            slots = Slots(board)
            board.commit()
            if slots.on_trial and board.fault.strikes("boot", board.faults.boot_loop):
                board.count("boot_hung")
                self._go_down(now, "boot loop")
                return
            self.firmware = Firmware(board, slots)
            self.firmware.start(now, now - self._down_at)
            board.commit()
        except PowerLostError:
            del board.out[before:]
            self._lose_power(now, board.rng.uniform(*_POWER_BACK_S))
            return
        if board.reboot_wanted:
            self._reboot(now)

    def _reboot(self, now: float) -> None:
        """An orderly one: goodbyes go out before the connections close."""
        if self.firmware is not None:
            self.firmware.shut_down()
        self._go_down(now, self.board.reboot_wanted)

    def _lose_power(self, now: float, off_s: float) -> None:
        """Both connections break without a word, waiting writes are torn."""
        board = self.board
        board.flash.power_cut(board.rng.randint(0, board.flash.waiting_bytes))
        board.tally.power_cuts += 1
        board.out += (DropControl(abort=True), CloseBulk(abort=True))
        self._go_down(now, "power cut", off_s)

    def _go_down(self, now: float, why: str, off_s: float = 0.0) -> None:
        board = self.board
        board.shop.stop()
        self.firmware = None
        self._down_at = now
        self._up_at = now + off_s + board.duration(board.profile.boot_s)
        board.out.append(Rebooting(self._up_at, why))

    def _cut_when_due(self, now: float) -> None:
        board = self.board
        if self.firmware is None:
            return
        cut = board.fault.due_cut(
            received_bytes=board.tally.received_bytes,
            phase=self.firmware.dossier.phase,
            running_s=now - self._first_boot_at,
        )
        if cut is not None:
            self._lose_power(now, board.rng.uniform(*cut.off_s))

    def _arm_fuse(self) -> None:
        """Power cuts that wait for written bytes happen inside the flash."""
        board = self.board
        written = board.flash.written_bytes
        waiting = [int(cut.value) for cut in board.faults.power_cuts if cut.at is CutAt.WRITTEN and int(cut.value) > written]
        if waiting and board.flash.fuse is None:
            board.flash.fuse = min(waiting) - written
