"""In which pieces a package is sent: the chunk ladder (docs/protocol.md 6.2)."""

from __future__ import annotations

from typing import Final

from gateway.wire.messages import BLOCK_BYTES

#: Chunk sizes, in blocks. A window cannot go below one chunk, so the chunk is also the floor of the delay that it causes.
LADDER_BLOCKS: Final = (1, 4, 16)
#: One chunk should occupy the link no longer than this (seconds).
CHUNK_TIME_S: Final = 0.060


def blocks_of(size_bytes: int) -> int:
    """How many 1 KiB blocks ``size_bytes`` need."""
    return -(-size_bytes // BLOCK_BYTES)


def chunk_blocks(goodput_bps: float) -> int:
    """The largest chunk of the ladder that a link of ``goodput_bps`` (bytes per second) carries within ``CHUNK_TIME_S``."""
    best = LADDER_BLOCKS[0]
    for blocks in LADDER_BLOCKS[1:]:
        if blocks * BLOCK_BYTES <= goodput_bps * CHUNK_TIME_S:
            best = blocks
    return best


def next_chunk_blocks(present_blocks: int, goodput_bps: float) -> int:
    """The chunk of the next segment: at most one step of the ladder from the present one.

    Goodput falls as well when the broker or this machine is crowded. Small chunks would crowd them more, so it has to stay low
    for longer than one segment before it is taken for the link's.
    """
    best = chunk_blocks(goodput_bps)
    at = LADDER_BLOCKS.index(present_blocks)
    if best < present_blocks:
        return LADDER_BLOCKS[at - 1]
    return LADDER_BLOCKS[at + 1] if best > present_blocks else present_blocks
