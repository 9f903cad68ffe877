"""The receiver: whatever order, size and repetition chunks come in, it ends with the signed bytes and never stores others."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.flash import Sealed, SegmentPool
from device_sim.receiver import Receiver, Verdict
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Chunk
from gateway.wire.ranges import RangeSet
from tests.unit.device_sim.build import manifest_of, payload_of

PAYLOAD = payload_of(300_001)
MANIFEST = manifest_of(PAYLOAD)
BLOCKS = -(-len(PAYLOAD) // BLOCK_BYTES)


def chunk(block: int, blocks: int = 16, payload: bytes = PAYLOAD) -> Chunk:
    data = payload[block * BLOCK_BYTES : (block + blocks) * BLOCK_BYTES]
    return Chunk(transfer=1, number=1, index=block, stamp_ms=0, data=data)


def receiver(have: RangeSet | None = None, *, keep: bool = True) -> Receiver:
    return Receiver(MANIFEST, have or RangeSet(), SegmentPool(), keep=keep)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), keep=st.booleans())
def test_any_order_and_any_sizes_end_in_the_signed_bytes(seed: int, keep: bool) -> None:  # noqa: FBT001 - from hypothesis
    rng = Random(seed)
    taker = receiver(keep=keep)
    found: dict[int, bytes | Sealed] = {}
    new_bytes = 0
    while taker.held.count < BLOCKS:
        taken = taker.take(chunk(rng.randrange(BLOCKS), rng.choice([1, 4, 16])))
        new_bytes += taken.new_bytes
        for finished in taken.finished:
            assert finished.blob is not None
            assert finished.segment not in found
            found[finished.segment] = finished.blob

    assert new_bytes == len(PAYLOAD)
    assert sorted(found) == [0, 1, 2]
    if keep:
        assert b"".join(blob for _, blob in sorted(found.items()) if isinstance(blob, bytes)) == PAYLOAD
    else:
        assert [found[index] for index in range(3)] == [
            Sealed(sha256, size) for sha256, size in zip(MANIFEST.segments, (131_072, 131_072, 37_857), strict=True)
        ]


def test_wrong_bytes_make_the_whole_segment_vanish_and_come_again() -> None:
    taker = receiver()
    forged = bytes([PAYLOAD[0] ^ 1]) + PAYLOAD[1:]
    for block in range(0, BLOCKS_PER_SEGMENT - 16, 16):
        taker.take(chunk(block, payload=forged))
    taken = taker.take(chunk(BLOCKS_PER_SEGMENT - 16))

    assert [finished.blob for finished in taken.finished] == [None]
    assert taker.held.count == 0
    for block in range(0, BLOCKS_PER_SEGMENT, 16):
        taken = taker.take(chunk(block))
    assert taken.finished[0].blob == PAYLOAD[: BLOCKS_PER_SEGMENT * BLOCK_BYTES]


def test_what_is_no_part_of_the_package_is_refused() -> None:
    taker = receiver()
    last = BLOCKS - 1
    beyond = Chunk(transfer=1, number=1, index=last, stamp_ms=0, data=b"x" * BLOCK_BYTES)
    odd = Chunk(transfer=1, number=1, index=0, stamp_ms=0, data=b"x" * 1000)

    assert taker.take(beyond).verdict is Verdict.OUTSIDE
    assert taker.take(odd).verdict is Verdict.LENGTH
    assert taker.take(chunk(last)).verdict is Verdict.NEW, "only the last block may be short"
    assert taker.held.to_wire(9) == ((last, BLOCKS),)


def test_held_segments_are_held_from_the_start() -> None:
    taker = receiver(RangeSet([(1, 3)]))

    assert taker.held.to_wire(9) == ((BLOCKS_PER_SEGMENT, BLOCKS),)
    assert taker.take(chunk(BLOCKS_PER_SEGMENT)).verdict is Verdict.DUPLICATE


def test_second_terminal_keeps_no_bytes_of_its_own() -> None:
    pool = SegmentPool()
    blobs = []
    for _ in range(2):
        taker = Receiver(MANIFEST, RangeSet(), pool, keep=True)
        finished = [taker.take(chunk(block)).finished for block in range(0, BLOCKS_PER_SEGMENT, 16)]
        blobs.append(finished[-1][0].blob)

    assert blobs[0] is blobs[1]
