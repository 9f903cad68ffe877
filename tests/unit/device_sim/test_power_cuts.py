"""Power may go away at any written byte: the terminal boots a whole slot, claims only what is durable, and goes on."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.dossier import STAGE, pairs
from device_sim.faults import CutAt, Faults, PowerCut
from device_sim.flash import Flash
from device_sim.journal import Journal
from device_sim.options import Merchant, Options
from gateway.wire.codes import Phase, What
from gateway.wire.messages import Hello, Message
from tests.unit.device_sim.build import payload_of
from tests.unit.device_sim.play import Play

PAYLOAD = payload_of(300_000)
#: Bytes that an undisturbed upgrade writes to flash: package twice, journal, snapshots.
WRITTEN = 640_000


def quick(**changes: object) -> Options:
    return Options(speed=50.0, merchant=Merchant(delay_s=(1.0, 2.0)), reconnect_cap_s=2.0, **changes)  # type: ignore[arg-type]


def check_durable(play: Play) -> None:
    """What the terminal would claim after a power cut now is in its flash, whole."""
    flash = play.terminal.board.flash
    journal = Journal(Flash(logs={name: bytearray(data) for name, data in flash.logs.items()}))
    for start, stop in pairs(journal.get("have")):
        for index in range(start, stop):
            blob = flash.read(STAGE, index)
            assert isinstance(blob, bytes)
            assert hashlib.sha256(blob).digest() == play.manifest.segments[index]


def check_claims(play: Play, message: Message) -> None:
    """Whatever hello says is had, is durable at that moment."""
    if isinstance(message, Hello) and message.upgrade is not None:
        for start, stop in message.upgrade.have:
            for index in range(start, stop):
                assert play.terminal.board.flash.read(STAGE, index) is not None or message.upgrade.phase is Phase.DONE


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, WRITTEN), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_upgrade_survives_power_cuts_at_any_written_byte(cuts: list[int], seed: int) -> None:
    """Up to six cuts in the middle of writes; it still ends proven, and no report number is ever reused."""
    faults = Faults(power_cuts=tuple(PowerCut(at=CutAt.WRITTEN, value=value, off_s=(1.0, 1.0)) for value in cuts))
    play = Play(PAYLOAD, options=quick(), faults=faults, seed=seed)
    play.boot_budget_s = 600.0
    play.on_uplink = lambda message: check_claims(play, message)

    assert play.upgrade_to(What.COMMITTED, seconds=2000) or play.newest is What.ROLLED_BACK

    check_durable(play)
    slots = play.terminal.firmware.slots if play.terminal.firmware is not None else None
    if slots is not None:
        assert slots.is_intact(slots.running)
        expected = "2.0.0" if play.newest is What.COMMITTED else "1.0.0"
        assert slots.versions(slots.running)["app"] == expected


@settings(max_examples=15, deadline=None)
@given(times=st.lists(st.floats(0.0, 60.0), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_upgrade_survives_power_cuts_at_any_time(times: list[float], seed: int) -> None:
    """Cuts between two inputs, whatever the terminal does then."""
    play = Play(PAYLOAD, options=quick(), seed=seed)
    play.boot_budget_s = 600.0
    for time in times:
        play.at(time, lambda: play.terminal.power_cut(play.now, 0.5))

    assert play.upgrade_to(What.COMMITTED, seconds=2000) or play.newest is What.ROLLED_BACK
    check_durable(play)


def test_verified_segments_are_not_asked_for_again_after_a_power_cut() -> None:
    """Byte counts prove it: nothing durable comes twice, and at most what was unverified is lost."""
    payload = payload_of(1_000_000)
    cut = PowerCut(at=CutAt.BYTES, value=500_000, off_s=(1.0, 1.0))
    play = Play(payload, options=quick(), faults=Faults(power_cuts=(cut,)))
    play.chunk_blocks = 4

    assert play.upgrade_to(What.STAGED)

    tally = play.terminal.board.tally
    assert tally.power_cuts == 1
    assert tally.repeated_bytes == 0
    assert tally.useful_bytes - len(payload) <= 128 * 1024


def test_trial_that_loses_power_thrice_before_it_is_proven_falls_back() -> None:
    """The bootloader counts."""
    cuts = tuple(PowerCut(at=CutAt.PHASE, phase=Phase.VERIFYING, off_s=(1.0, 1.0)) for _ in range(3))
    play = Play(PAYLOAD, options=quick(), faults=Faults(power_cuts=cuts))
    play.boot_budget_s = 600.0

    assert play.upgrade_to(What.ROLLED_BACK)

    assert play.last_report(What.ROLLED_BACK).code == "boot_failed"
    assert play.hellos[-1].facts.components["app"] == "1.0.0"


@pytest.mark.parametrize("fuse", [20, 60, 100, 140])
def test_fall_back_is_remembered_when_power_goes_before_the_firmware_has_heard_of_it(fuse: int) -> None:
    """Or it would install again, for an order that was carried out, what does not boot."""
    play = Play(PAYLOAD, options=quick(), faults=Faults(boot_loop=3))
    play.boot_budget_s = 600.0
    board = play.terminal.board
    assert play.upgrade_to(What.INSTALLING)
    play.run(lambda: board.tally.events["boot_hung"] == 3, seconds=60)
    board.flash.fuse = fuse
    play.run(lambda: play.newest is What.ROLLED_BACK, seconds=60)

    assert board.tally.power_cuts == 1
    assert play.last_report(What.ROLLED_BACK).code == "boot_failed"
    assert sum(report.what is What.INSTALLING for report in board.tally.diary) == 1
