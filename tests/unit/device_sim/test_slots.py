"""The bootloader: a trial is counted before it runs, a damaged image never runs, a commit is for good."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from device_sim.board import Board
from device_sim.faults import NO_FAULTS
from device_sim.flash import Flash, SegmentPool
from device_sim.journal import Journal
from device_sim.options import Options
from device_sim.profiles import load_profile
from device_sim.slots import MAX_TRIES, Slots
from tests.unit.device_sim.build import MODEL, identity_of

IMAGE = b"new image"
HASHES = (hashlib.sha256(IMAGE).digest(),)


@pytest.fixture
def board() -> Board:
    return Board(
        load_profile(MODEL),
        identity_of(),
        Flash(),
        Random(1),
        options=Options(),
        faults=NO_FAULTS,
        pool=SegmentPool(),
        now=0.0,
    )


def boot(board: Board) -> Slots:
    board.journal = Journal(board.flash)
    slots = Slots(board)
    board.commit()
    return slots


def install(board: Board) -> None:
    slots = boot(board)
    assert slots.write_spare([IMAGE], HASHES, "app", "2.0.0")
    slots.try_spare()
    board.commit()


def test_factory_image_boots_from_an_empty_flash(board: Board) -> None:
    slots = boot(board)

    assert (slots.running, slots.spare, slots.on_trial) == ("a", "b", False)
    assert slots.versions("a") == {"os": "1.0.0", "app": "1.0.0"}
    assert slots.is_intact("a")
    assert not slots.is_intact("b")


def test_trial_is_counted_and_given_up(board: Board) -> None:
    install(board)
    for tries in range(1, MAX_TRIES + 1):
        slots = boot(board)
        assert (slots.running, slots.control.tries) == ("b", tries)
    slots = boot(board)

    assert (slots.running, slots.fell_back) == ("a", "boots_used_up")
    again = boot(board)
    assert again.fell_back == "boots_used_up", "power may have gone before the firmware heard of it"
    again.settle()
    board.commit()
    assert boot(board).fell_back == ""


def test_proven_trial_is_not_counted(board: Board) -> None:
    install(board)
    boot(board).prove()
    board.commit()

    assert [boot(board).running for _ in range(10)] == ["b"] * 10


def test_damaged_image_never_runs(board: Board) -> None:
    install(board)
    board.flash.areas["slot_b"][0] = IMAGE[:-1]
    slots = boot(board)

    assert (slots.running, slots.fell_back) == ("a", "image_damaged")


def test_write_that_reads_back_wrong_is_found(board: Board) -> None:
    assert not boot(board).write_spare([b"nev image"], HASHES, "app", "2.0.0")


def test_commit_makes_the_trial_good_and_frees_the_other_slot(board: Board) -> None:
    install(board)
    slots = boot(board)
    slots.prove()
    slots.commit()
    board.commit()
    slots = boot(board)

    assert (slots.running, slots.spare, slots.on_trial) == ("b", "a", False)
    assert slots.versions("b") == {"os": "1.0.0", "app": "2.0.0"}
    assert "slot_a" not in board.flash.areas
