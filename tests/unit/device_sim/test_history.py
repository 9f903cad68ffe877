"""A life told from the flash file alone agrees with what the terminal said, over deaths of its process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from device_sim.flash import PowerLostError
from device_sim.flash_file import open_flash
from device_sim.history import Life, as_plain, read_life, read_lives
from device_sim.journal import Journal
from device_sim.options import Options
from gateway.wire.codec import encode
from gateway.wire.codes import What
from gateway.wire.messages import Plain, Report
from tests.unit.device_sim.play import Play

REPORT = Report(upgrade="u1", seq=1, what=What.ACCEPTED)


def told(*records: Mapping[str, Plain]) -> Life:
    """A life of these records."""
    life = Life()
    for record in records:
        life.take(record)
    return life


def test_an_upgrade_is_told_as_it_went(tmp_path: Path) -> None:
    play = Play(options=Options(speed=200.0), flash=open_flash(tmp_path / "t1.flash"))
    assert play.upgrade_to(What.COMMITTED, seconds=600)
    play.run(seconds=5)

    life = read_life(tmp_path / "t1.flash")
    line = as_plain("t1", life)
    reports = [said for said in line["said"] if "upgrade" in said]
    said = list(play.terminal.board.tally.diary)
    assert [(one["seq"], one["what"]) for one in reports] == [(one.seq, one.what.value) for one in said]
    assert all(one["receipted"] for one in reports)
    assert list(life.installs.values()) == [1]
    assert life.orders_back == []
    assert all(len(numbers) == 1 for numbers in life.executed.values())
    assert len(life.executed) >= 5
    assert (line["phase"], line["versions"]["app"], line["unreceipted"]) == ("done", "2.0.0", 0)
    assert list(read_lives(tmp_path)) == ["t1"]


def test_a_journal_that_was_cut_and_compacted_is_told_like_any_other(tmp_path: Path) -> None:
    """The same changes, with a power cut at every byte of the last, and enough of them for several snapshots."""
    path = tmp_path / "t1.flash"
    flash = open_flash(path)
    journal = Journal(flash)
    for number in range(300):
        journal.set("epoch", number)
        journal.set(f"k{number % 7}", b"x" * 100)
        if number == 200:
            journal.drop("k3")
        flash.fuse = number % 50 + 1 if number % 10 == 9 else None
        try:
            journal.commit()
        except PowerLostError:
            journal = Journal(flash)
    flash.fuse = None

    assert read_life(path).state == Journal(flash)._state  # noqa: SLF001  # the whole map, which nobody else needs


def test_a_receipt_and_a_health_report_that_made_room_are_told_apart() -> None:
    key, health = "r/u1/1", "r/u1/2/h"
    second = encode(replace(REPORT, seq=2, what=What.HEALTH))
    life = told(
        {key: encode(REPORT)},
        {health: second},
        {key: None},
        {health: None, "r/u1/3/h": encode(replace(REPORT, seq=3, what=What.HEALTH))},
    )

    assert [(said.receipted, said.dropped) for said in life.said.values()] == [(True, False), (False, True), (False, False)]


def test_a_number_used_for_two_reports_is_noticed() -> None:
    again = encode(replace(REPORT, what=What.READY))

    assert told({"r/u1/1": encode(REPORT)}, {"r/u1/1": None}, {"r/u1/1": encode(REPORT)}).seq_reused == 0
    assert told({"r/u1/1": encode(REPORT)}, {"r/u1/1": None}, {"r/u1/1": again}).seq_reused == 1


def test_each_switch_to_a_trial_is_an_installation_and_its_further_boots_are_not() -> None:
    up = {"up": {"u": "u1", "p": "installing"}}
    once: list[Mapping[str, Plain]] = [
        {"boot": ("a", "", 0, False)},
        {**up, "boot": ("a", "b", 0, False)},
        {"boot": ("a", "b", 1, False)},
    ]
    proven = [*once, {"boot": ("a", "b", 1, True)}, {"boot": ("b", "", 0, False)}]

    assert told(*proven).installs == {"u1": 1}
    assert told(*once, {"boot": ("a", "", 0, False)}, {"boot": ("a", "b", 0, False)}).installs == {"u1": 2}


def test_an_order_of_an_older_epoch_or_executed_twice_is_noticed() -> None:
    first: Mapping[str, Plain] = {"gate": (5, 10, 0, 1, 10), "o/1": (1, "o1", "", b"")}
    later: Mapping[str, Plain] = {"gate": (6, 11, 0, 2, 11), "o/2": (2, "o2", "", b"")}
    older: Mapping[str, Plain] = {"gate": (7, 11, 0, 3, 10), "o/3": (3, "o1", "", b"")}
    repeat = {"gate": (8, 11, 0, 2, 10)}

    life = told(first, later, repeat)
    assert life.orders_back == []
    life = told(first, later, older)
    assert life.orders_back == [(7, 10)]
    assert life.executed["o1"] == {1, 3}
