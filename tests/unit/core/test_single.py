"""A transfer over a terminal's only connection: what may stand in the broker's queue, whatever breaks or is lost."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from random import Random
from typing import Final

import pytest

from gateway.core.attendance import Terms
from gateway.core.single import CEILING_BYTES, HOLD_S, IN_FLIGHT_BYTES, SingleTransfer
from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import FixedWindow
from gateway.core.transfer.plan import LADDER_BLOCKS
from gateway.core.transfer.window import Piece, Transfer
from gateway.errors import WireError
from gateway.wire.codec import MAX_CHUNK_BYTES
from gateway.wire.messages import BLOCK_BYTES, SEGMENT_BYTES, Ack
from gateway.wire.ranges import RangeSet

CONF: Final = (Path(__file__).parents[3] / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
BLOCKS: Final = 4 * SEGMENT_BYTES // BLOCK_BYTES


def _transfer(*, chunk_blocks: int = 4, first_number: int = 1000) -> SingleTransfer:
    return SingleTransfer(
        7,
        BLOCKS * BLOCK_BYTES,
        FixedWindow(10**9),
        have_segments=RangeSet(),
        first_number=first_number,
        meter=Meter(0.0),
        first_chunk_blocks=chunk_blocks,
    )


def _ack(seq: int, number: int, cum: int, *, epoch: int = 3, ranges: tuple[tuple[int, int], ...] = ()) -> Ack:
    return Ack(
        transfer=7,
        epoch=epoch,
        seq=seq,
        number=number,
        cum=cum,
        ranges=ranges,
        credit_bytes=10**9,
        delay_ms=0,
        echo_ms=0,
    )


def _all(transfer: Transfer, now: float) -> list[Piece]:
    out = []
    while (piece := transfer.next_chunk(now)) is not None:
        out.append(piece)
    return out


def _opened(*, chunk_blocks: int = 4) -> tuple[SingleTransfer, list[Piece]]:
    """A transfer whose first block is through, and all that it sent then."""
    transfer = _transfer(chunk_blocks=chunk_blocks)
    transfer.acked(_ack(1, 0, 0), 0.0)
    [first] = _all(transfer, 0.0)
    transfer.acked(_ack(2, first.number, 1), 0.1)
    return transfer, _all(transfer, 0.1)


def test_all_that_may_be_on_the_way_is_far_below_what_the_broker_queues() -> None:
    """In messages of the smallest chunk; orders, receipts and PINGRESPs have more than ninety-nine hundredths left."""
    [queued_max] = re.findall(r"^max_queued_messages (\d+)$", CONF, flags=re.MULTILINE)
    messages_max = IN_FLIGHT_BYTES // (min(LADDER_BLOCKS) * BLOCK_BYTES)

    assert messages_max == 64
    assert messages_max * 100 < int(queued_max)
    assert CEILING_BYTES + MAX_CHUNK_BYTES == IN_FLIGHT_BYTES


def test_a_dead_connection_is_dropped_before_the_hold_ends() -> None:
    """The broker gives it one and a half keepalives."""
    assert 1.5 * Terms().keepalive_s < HOLD_S


def test_a_transfer_with_its_own_connection_has_another_ceiling() -> None:
    """The bound is of this one alone."""
    other = Transfer(7, BLOCKS * BLOCK_BYTES, FixedWindow(10**9), have_segments=RangeSet(), first_number=1, meter=Meter(0.0))
    other.acked(_ack(1, 0, 0), 0.0)
    _all(other, 0.0)

    assert other.in_flight_bytes == 256 * 1024


@pytest.mark.parametrize("chunk_blocks", LADDER_BLOCKS)
def test_one_block_goes_ahead_and_its_ack_opens_the_window(chunk_blocks: int) -> None:
    transfer, sent = _opened(chunk_blocks=chunk_blocks)

    assert transfer.in_flight_bytes == sum(piece.length_bytes for piece in sent)
    assert CEILING_BYTES - MAX_CHUNK_BYTES < transfer.in_flight_bytes <= CEILING_BYTES
    assert len(sent) <= IN_FLIGHT_BYTES // BLOCK_BYTES


def test_an_ack_of_an_older_chunk_does_not_open_the_window() -> None:
    """A gateway that died has left chunks in the queue: their acks say nothing of what is behind them."""
    transfer = _transfer()
    transfer.acked(_ack(10, 900, 200), 0.0)
    [first] = _all(transfer, 0.0)
    transfer.acked(_ack(11, 990, 240), 0.1)

    assert (first.length_bytes, _all(transfer, 0.1)) == (BLOCK_BYTES, [])


def test_a_new_connection_begins_with_one_block_again() -> None:
    """What was sent before the gateway knew of it may stand in its queue."""
    transfer, _ = _opened()
    transfer.acked(_ack(1, 0, 1, epoch=4), 1.0)
    [first] = _all(transfer, 1.0)
    transfer.acked(_ack(9, first.number, 1, epoch=3), 1.1)  # of the old connection, late

    assert first.length_bytes == BLOCK_BYTES
    assert _all(transfer, 1.1) == []


def test_a_probe_takes_the_room_that_is_left_for_it_and_the_next_one_waits() -> None:
    """Silence with a full window: one chunk more after three seconds, another only when nothing of ours can be queued."""
    transfer, sent = _opened(chunk_blocks=16)
    probe = [piece for second in range(1, 60) for piece in _all(transfer, 0.1 + second)]

    assert [(piece.block, piece.length_bytes) for piece in probe] == [(sent[0].block, MAX_CHUNK_BYTES)]
    assert transfer.in_flight_bytes == IN_FLIGHT_BYTES
    sent_at = 0.1 + 3
    assert [_all(transfer, sent_at + HOLD_S - 1), len(_all(transfer, sent_at + HOLD_S))] == [[], 1]


def test_a_new_life_adds_one_block_to_what_an_older_one_may_have_left() -> None:
    """Even its probe waits, for what stands before the first block is not known."""
    transfer = _transfer()
    transfer.acked(_ack(1, 900, 0), 0.0)
    [first] = _all(transfer, 0.0)

    assert [piece for second in range(1, int(HOLD_S)) for piece in _all(transfer, float(second))] == []
    assert [(piece.block, piece.length_bytes) for piece in _all(transfer, HOLD_S)] == [(first.block, BLOCK_BYTES)]


def test_a_new_connection_waits_when_all_that_is_allowed_may_have_gone_there() -> None:
    transfer, _ = _opened(chunk_blocks=16)
    assert len(_all(transfer, 4.0)) == 1  # the probe: now 64 KiB are on the way
    transfer.acked(_ack(1, 0, 1, epoch=4), 5.0)

    assert _all(transfer, 5.0) == []
    assert [piece.length_bytes for piece in _all(transfer, 4.0 + HOLD_S)] == [BLOCK_BYTES]


def test_a_bad_ack_changes_nothing() -> None:
    """Least of all the connection that it claims to come by."""
    transfer, sent = _opened()
    with pytest.raises(WireError):
        transfer.acked(_ack(1, 0, BLOCKS + 1, epoch=9), 1.0)
    transfer.acked(_ack(3, sent[-1].number, sent[-1].block + 4), 1.0)

    assert sum(piece.length_bytes for piece in _all(transfer, 1.0)) == CEILING_BYTES


class _Queue:
    """The broker's queue of one connection: in order, gone with the connection; chunks are not."""

    def __init__(self) -> None:
        self.waiting: deque[Piece] = deque()
        self.held = RangeSet()
        self.epoch, self.seq, self.number = 1, 0, 0

    @property
    def size_bytes(self) -> int:
        return sum(piece.length_bytes for piece in self.waiting)

    def reconnect(self) -> None:
        """The terminal has a new connection, of which the gateway hears with the next ack."""
        self.waiting.clear()
        self.epoch, self.seq, self.number = self.epoch + 1, 0, 0

    def deliver(self) -> None:
        """The terminal takes the oldest."""
        if self.waiting:
            piece = self.waiting.popleft()
            self.number = piece.number
            self.held.add(piece.block, piece.block + -(-piece.length_bytes // BLOCK_BYTES))

    def ack(self) -> Ack:
        """What the terminal holds."""
        self.seq += 1
        first = self.held.first
        cum = first[1] if first is not None and first[0] == 0 else 0
        ranges = self.held.to_wire(17)
        return _ack(self.seq, self.number, cum, epoch=self.epoch, ranges=ranges[1:] if cum else ranges[:16])


@pytest.mark.parametrize("seed", range(60))
def test_the_queue_is_bounded_whatever_is_lost_and_whoever_dies(seed: int) -> None:
    """Acks late or lost, connections new, chunks lost before the broker, probes due, and a gateway that forgets everything."""
    rng = Random(seed)
    queue, late = _Queue(), deque[Ack]()
    transfer = _transfer(chunk_blocks=rng.choice(LADDER_BLOCKS))
    now, deaths = 0.0, 0
    for _ in range(3000):
        now += rng.choice([0.01, 0.01, 1.0])
        match rng.choices(["deliver", "ack", "hear", "reconnect", "die", "stall"], [8, 4, 4, 0.1, 0.02, 0.05])[0]:
            case "deliver":
                queue.deliver()
            case "ack":
                late.append(queue.ack())
            case "hear" if late:
                ack = late.popleft()
                if rng.random() < 0.9:
                    transfer.acked(ack, now)
            case "reconnect":
                queue.reconnect()
            case "die":
                deaths += 1
                transfer = _transfer(chunk_blocks=rng.choice(LADDER_BLOCKS), first_number=1000 + int(now * 1000))
            case "stall":  # almost as long as a connection lives without a PINGRESP, which then comes behind the rest
                for _ in range(85):
                    now += 1.0
                    transfer.acked(queue.ack(), now)
                    queue.waiting += _all(transfer, now)
                assert queue.size_bytes <= IN_FLIGHT_BYTES + deaths * BLOCK_BYTES
                while queue.waiting:
                    queue.deliver()
        queue.waiting += [piece for piece in _all(transfer, now) if rng.random() < 0.95]
        assert queue.size_bytes <= IN_FLIGHT_BYTES + deaths * BLOCK_BYTES
        assert len(queue.waiting) <= IN_FLIGHT_BYTES // BLOCK_BYTES + deaths

    assert transfer.held_bytes > SEGMENT_BYTES or deaths
