"""A flash in a file: what was durable is there in the next process, and half a write is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.flash import Flash, PowerLostError, Sealed
from device_sim.flash_file import open_flash, read_flash

SEALED = Sealed(b"\x01" * 32, 131_072)


def filled(path: Path) -> Flash:
    """One of each sort of write, and something that was never durable."""
    flash = open_flash(path)
    flash.append("log", b"0123456789")
    flash.put("area", 0, b"blob")
    flash.put("area", 1, SEALED)
    flash.put("gone", 0, b"x")
    flash.sync()
    flash.truncate("log", 4)
    flash.erase("gone")
    flash.sync()
    flash.append("log", b"never")
    return flash


def test_next_process_finds_what_was_durable_and_goes_on(tmp_path: Path) -> None:
    before = filled(tmp_path / "t1.flash")

    after = open_flash(tmp_path / "t1.flash")
    assert (after.logs, after.areas) == (before.logs, before.areas)
    assert after.read("area", 1) == SEALED

    after.append("log", b"+")
    after.sync()
    assert open_flash(tmp_path / "t1.flash").read_log("log") == b"0123+"


def test_power_cut_leaves_the_same_torn_write_in_the_file(tmp_path: Path) -> None:
    flash = open_flash(tmp_path / "t1.flash")
    flash.fuse = 7
    flash.append("log", b"abc")
    flash.put("area", 0, b"defgh")
    with pytest.raises(PowerLostError):
        flash.sync()

    again = open_flash(tmp_path / "t1.flash")
    assert (again.read_log("log"), again.read("area", 0)) == (b"abc", b"defg")


@given(lost=st.integers(1, 30))
def test_write_that_the_process_did_not_finish_never_happened(tmp_path_factory: pytest.TempPathFactory, lost: int) -> None:
    path = tmp_path_factory.mktemp("flash") / "t1.flash"
    filled(path)
    whole = list(read_flash(path))
    path.write_bytes(path.read_bytes()[:-lost])

    flash = open_flash(path)
    left = list(read_flash(path))
    assert left == whole[: len(left)]
    assert len(left) < len(whole)
    flash.append("log", b"next")
    flash.sync()
    assert [write.data for write in read_flash(path)][-1] == b"next"
