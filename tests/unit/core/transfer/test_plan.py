"""Blocks and the chunk ladder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.transfer.plan import CHUNK_TIME_S, LADDER_BLOCKS, blocks_of, chunk_blocks
from gateway.wire.messages import BLOCK_BYTES


@given(size=st.integers(1, 10**9))
def test_blocks_cover_the_package_and_no_more(size: int) -> None:
    """The last one may be short."""
    assert (blocks_of(size) - 1) * BLOCK_BYTES < size <= blocks_of(size) * BLOCK_BYTES


@given(rate=st.floats(0, 1e9))
def test_a_chunk_occupies_the_link_no_longer_than_it_should(rate: float) -> None:
    """But for the smallest, which is all that is left on a slow link."""
    blocks = chunk_blocks(rate)

    assert blocks in LADDER_BLOCKS
    assert blocks == LADDER_BLOCKS[0] or blocks * BLOCK_BYTES <= rate * CHUNK_TIME_S


def test_the_ladder_steps_at_the_rates_of_slow_usual_and_fast_links() -> None:
    """256 kbit/s, 1 Mbit/s, 10 Mbit/s."""
    assert [chunk_blocks(rate) for rate in (32_000, 125_000, 1_250_000)] == [1, 4, 16]
