"""Flash: nothing is durable before ``sync``, and a power cut keeps a prefix of what waits."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.flash import Flash, PowerLostError, Sealed, SegmentPool


def test_writes_show_only_after_sync() -> None:
    flash = Flash()
    flash.append("log", b"abc")
    flash.put("area", 3, b"xyz")
    assert (flash.read_log("log"), flash.read("area", 3)) == (b"", None)

    flash.sync()
    assert (flash.read_log("log"), flash.read("area", 3)) == (b"abc", b"xyz")
    assert flash.written_bytes == 6


@given(kept=st.integers(0, 12))
def test_power_cut_keeps_a_prefix_in_order_of_writing(kept: int) -> None:
    flash = Flash()
    flash.append("log", b"0123")
    flash.put("area", 0, b"4567")
    flash.append("log", b"89ab")
    flash.power_cut(kept)

    whole = b"0123456789ab"[:kept]
    blob = flash.read("area", 0) or b""
    assert isinstance(blob, bytes)
    assert flash.read_log("log") == whole[:4] + whole[8:]
    assert blob == whole[4:8]
    assert flash.waiting_bytes == 0


def test_fuse_blows_in_the_middle_of_a_sync_and_only_once() -> None:
    flash = Flash(fuse=5)
    flash.append("log", b"abc")
    flash.sync()
    flash.append("log", b"defgh")
    with pytest.raises(PowerLostError):
        flash.sync()
    assert flash.read_log("log") == b"abcde"

    flash.append("log", b"!")
    flash.sync()
    assert flash.read_log("log") == b"abcde!"


def test_torn_blob_is_never_taken_for_the_whole() -> None:
    pool, data = SegmentPool(), b"segment" * 100
    sha256 = hashlib.sha256(data).digest()
    for blob in (pool.keep(sha256, data), Sealed(sha256, len(data))):
        flash = Flash()
        flash.put("stage", 0, blob)
        flash.power_cut(len(data) - 1)
        assert not pool.matches(sha256, flash.read("stage", 0))

        flash.put("stage", 0, blob)
        flash.sync()
        assert pool.matches(sha256, flash.read("stage", 0))


def test_erase_and_truncate_wait_for_their_turn() -> None:
    flash = Flash()
    flash.put("slot", 0, b"old")
    flash.append("log", b"12345")
    flash.sync()
    flash.erase("slot")
    flash.truncate("log", 2)
    flash.power_cut(1)

    assert flash.read("slot", 0) is None
    assert flash.read_log("log") == b"12345"


def test_pool_shares_one_copy_and_knows_the_whole() -> None:
    pool = SegmentPool()
    first, second = b"a" * 10, b"b" * 10
    hashes = tuple(hashlib.sha256(part).digest() for part in (first, second))
    kept = [pool.keep(sha256, bytes(part)) for sha256, part in zip(hashes, (first, second), strict=True)]

    assert pool.keep(hashes[0], b"".join([b"a"] * 10)) is kept[0]
    assert pool.whole_sha256(hashes, [Sealed(hashes[0], 10), kept[1]]) is None, "bytes that are not kept cannot be hashed"
    assert pool.whole_sha256(hashes, list(kept)) == hashlib.sha256(first + second).digest()
    assert pool.whole_sha256(hashes, [Sealed(hashes[0], 10), kept[1]]) is not None, "another terminal has hashed them"
