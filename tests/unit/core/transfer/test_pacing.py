"""The policies, ack by ack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.transfer.pacing import (
    CEILING_BYTES,
    FIXED_WINDOW_BYTES,
    STOP_AND_WAIT_BYTES,
    TARGET_MS,
    DelayWindow,
    FixedWindow,
    Heard,
    PacingName,
    pacing_of,
)

CHUNK = 16 * 1024


def heard(window_bytes: int, queue_ms: float | None, now: float = 1.0, **other: float) -> Heard:
    """An ack of a whole window that was the limit."""
    given = {
        "newly_bytes": window_bytes,
        "lost_bytes": 0,
        "in_flight_bytes": window_bytes,
        "chunk_bytes": CHUNK,
        "unconfirmed_s": 0.0,
        "srtt_s": 0.14,
    }
    return Heard(now=now, queue_ms=queue_ms, **{**given, **other})  # type: ignore[arg-type]  # counts stay whole


def opened(rounds: int = 40, *, target_ms: float = TARGET_MS) -> DelayWindow:
    """A window that has grown on an empty queue."""
    pacing = DelayWindow(target_ms=target_ms)
    pacing.on_connection(0.0)
    for _ in range(rounds):
        pacing.on_ack(heard(pacing.window_bytes, 0.0))
    return pacing


@pytest.mark.parametrize(("name", "window_bytes"), [("fixed", FIXED_WINDOW_BYTES), ("stop_and_wait", STOP_AND_WAIT_BYTES)])
def test_a_fixed_window_learns_nothing(name: PacingName, window_bytes: int) -> None:
    """Whatever the acks say."""
    pacing = pacing_of(name)
    pacing.on_ack(heard(window_bytes, 9000.0, lost_bytes=99))
    pacing.on_silence()
    pacing.on_connection(2.0)

    assert isinstance(pacing, FixedWindow)
    assert pacing.window_bytes == window_bytes


def test_an_empty_queue_opens_the_window_up_to_its_ceiling() -> None:
    """By doubling up to four chunks, by one chunk a round trip from there on."""
    pacing = DelayWindow()
    pacing.on_connection(0.0)
    pacing.on_ack(heard(CHUNK, 0.0))
    sizes = []
    for _ in range(20):
        pacing.on_ack(heard(pacing.window_bytes, 0.0))
        sizes.append(pacing.window_bytes)
    assert [size // CHUNK for size in sizes[:5]] == [2, 4, 5, 6, 7]
    assert sizes[-1] == CEILING_BYTES


def test_at_the_target_the_window_stays() -> None:
    """Neither more nor less."""
    pacing = opened()
    before = pacing.window_bytes
    pacing.on_ack(heard(before, TARGET_MS))
    assert pacing.window_bytes == before


def test_a_long_queue_halves_the_window_at_most() -> None:
    """However long: a stall is not a slow link."""
    pacing = opened()
    pacing.on_ack(heard(pacing.window_bytes, 5000.0))
    assert pacing.window_bytes == CEILING_BYTES // 2


def test_what_was_not_the_limit_does_not_grow() -> None:
    """A transfer that sends less than its window learns nothing about a larger one (RFC 6817, 2.4.2)."""
    pacing = opened(5)
    before = pacing.window_bytes
    for _ in range(50):
        pacing.on_ack(heard(CHUNK, 0.0, in_flight_bytes=CHUNK))
    assert pacing.window_bytes == before


def test_loss_halves_once_in_a_round_trip() -> None:
    """Several acks tell of the same loss."""
    pacing = opened()
    for _ in range(3):
        pacing.on_ack(heard(CHUNK, 0.0, now=5.0, lost_bytes=CHUNK, newly_bytes=0))
    assert pacing.window_bytes == CEILING_BYTES // 2
    pacing.on_ack(heard(CHUNK, 0.0, now=5.2, lost_bytes=CHUNK, newly_bytes=0))
    assert pacing.window_bytes == CEILING_BYTES // 4


def test_an_ack_without_a_delay_teaches_nothing() -> None:
    """The chunk that woke the radio up."""
    pacing = opened(5)
    before = pacing.window_bytes
    pacing.on_ack(heard(before, None))
    assert pacing.window_bytes == before


def test_a_base_that_nothing_confirms_is_measured_by_letting_the_flight_run_out_once() -> None:
    """The window comes back as it was after two acks of a single chunk, and the next measurement is minutes away."""
    pacing = opened()
    before, old = pacing.window_bytes, DelayWindow.CHECK_S + 1
    pacing.on_ack(heard(before, TARGET_MS, now=1000.0, unconfirmed_s=old))
    assert pacing.window_bytes == CHUNK
    pacing.on_ack(heard(CHUNK, TARGET_MS, now=1000.1, unconfirmed_s=old, in_flight_bytes=before))
    assert pacing.window_bytes == CHUNK
    for _ in range(DelayWindow.CHECK_ACKS):
        pacing.on_ack(heard(CHUNK, TARGET_MS, now=1000.2, unconfirmed_s=old))
    assert pacing.window_bytes == before
    pacing.on_ack(heard(before, TARGET_MS, now=1001.0, unconfirmed_s=old))
    assert pacing.window_bytes == before


def test_a_new_connection_begins_small() -> None:
    """Nothing measured before holds."""
    pacing = opened()
    pacing.on_connection(9.0)
    assert pacing.window_bytes == CHUNK


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0, 60_000)),
            st.integers(0, CEILING_BYTES),
            st.sampled_from([1024, 4096, CHUNK]),
            st.floats(0, 1200),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_the_window_keeps_between_one_chunk_and_the_ceiling(acks: list[tuple[float | None, int, int, float, bool]]) -> None:
    """Whatever the acks say, and however silent it was."""
    pacing, now = DelayWindow(), 0.0
    pacing.on_connection(now)
    for queue_ms, newly_bytes, chunk_bytes, unconfirmed_s, is_silent in acks:
        now += 0.1
        if is_silent:
            pacing.on_silence()
        other = {"newly_bytes": newly_bytes, "chunk_bytes": chunk_bytes, "unconfirmed_s": unconfirmed_s}
        pacing.on_ack(heard(pacing.window_bytes, queue_ms, now, **other))
        assert chunk_bytes <= pacing.window_bytes <= CEILING_BYTES
