"""Messages are values: frozen, compared by content, and cut to the same measures everywhere."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from gateway.wire import messages as m
from gateway.wire.codec import TABLES, kind_of


def test_uplink_and_downlink_are_all_messages_there_are() -> None:
    assert set(get_args(m.Uplink)) | set(get_args(m.Downlink)) == set(get_args(m.Message))
    assert len(get_args(m.Message)) == len(TABLES)


def test_messages_are_values() -> None:
    first, second = m.Presence(epoch=1, online=True), m.Presence(epoch=1, online=True)

    assert first == second
    assert hash(first) == hash(second)
    assert kind_of(first) == "presence"
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.epoch = 2  # type: ignore[misc]  # that it cannot be set is the point


def test_a_segment_is_a_whole_number_of_blocks_and_of_chunks() -> None:
    assert m.SEGMENT_BYTES == m.BLOCKS_PER_SEGMENT * m.BLOCK_BYTES == 131_072
    assert [m.BLOCKS_PER_SEGMENT % blocks for blocks in (1, 4, 16)] == [0, 0, 0]
