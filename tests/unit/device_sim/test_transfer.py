"""The transfer on the terminal's side: resume, acks, bad segments, and orders that do not fit the manifest."""

from __future__ import annotations

import pytest

from device_sim.faults import Faults
from device_sim.options import Options
from device_sim.outputs import CloseBulk, OpenBulk
from device_sim.transfer import MAX_BAD_SEGMENTS
from gateway.wire.codes import Code, OrderKind, Phase, What
from gateway.wire.messages import Chunk, Plain
from tests.unit.device_sim.build import payload_of
from tests.unit.device_sim.play import Play

PAYLOAD = payload_of(600_000)


def transferring(play: Play, blocks: int = 40) -> Play:
    """Bring a play to where so many blocks are held."""
    play.chunk_blocks = 1
    play.boot()
    assert play.run(lambda: bool(play.ack_log) and play.ack_log[-1].cum >= blocks)
    return play


def test_first_ack_comes_before_any_chunk_and_tells_the_truth() -> None:
    play = transferring(Play(PAYLOAD))
    first = play.ack_log[0]

    assert (first.seq, first.number, first.cum, first.ranges) == (1, 0, 0, ())
    assert first.credit_bytes == 256 * 1024


def test_acks_of_one_connection_rise_and_epochs_rise_with_connections_and_reboots() -> None:
    play = Play(PAYLOAD)
    play.window_blocks = 20
    transferring(play)
    play.break_bulk()
    play.run(lambda: play.ack_log[-1].epoch == 2)
    play.terminal.power_cut(play.now, 0.5)
    assert play.upgrade_to(What.STAGED)

    epochs = [ack.epoch for ack in play.ack_log]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2, 3}
    for epoch in (1, 2, 3):
        seqs = [ack.seq for ack in play.ack_log if ack.epoch == epoch]
        assert seqs == list(range(1, len(seqs) + 1))


def test_lost_bulk_connection_keeps_unverified_blocks() -> None:
    play = Play(PAYLOAD)
    play.window_blocks = 20
    transferring(play)
    held = play.ack_log[-1].cum
    play.break_bulk()
    play.run(lambda: play.ack_log[-1].epoch == 2)

    assert play.ack_log[-1].number == 0
    assert play.ack_log[-1].cum >= held > 0
    assert play.upgrade_to(What.STAGED)
    assert play.terminal.board.tally.useful_bytes == len(PAYLOAD)


def test_power_cut_loses_exactly_the_unverified_blocks_and_needs_no_order() -> None:
    play = Play(PAYLOAD)
    play.window_blocks = 20
    transferring(play, blocks=300)
    play.auto = False
    play.terminal.power_cut(play.now, 0.5)
    play.run(lambda: play.ack_log[-1].epoch == 2)

    resumed = next(ack for ack in play.ack_log if ack.epoch == 2)
    assert (resumed.cum, resumed.ranges) == (256, ())
    assert play.hellos[-1].upgrade is not None
    assert (play.hellos[-1].upgrade.phase, play.hellos[-1].upgrade.have) == (Phase.TRANSFERRING, ((0, 2),))
    assert play.upgrade_to(What.STAGED)


def test_lost_chunks_are_told_and_come_again() -> None:
    play = Play(PAYLOAD)
    play.drop_chunk = lambda chunk: chunk.number % 7 == 3

    assert play.upgrade_to(What.STAGED)
    assert any(ack.ranges for ack in play.ack_log)
    assert play.last_report(What.STAGED).detail["wasted_bytes"] == 0


def test_silent_gateway_hears_the_state_every_three_seconds() -> None:
    play = Play(PAYLOAD)
    play.drop_chunk = lambda chunk: True  # noqa: ARG005
    play.boot()
    play.run(lambda: bool(play.ack_log))
    start = len(play.ack_log)
    play.run(seconds=30.0)

    assert len(play.ack_log) - start in {9, 10}


def test_bad_segment_vanishes_from_the_ack_and_is_counted_as_wasted() -> None:
    play = Play(PAYLOAD, faults=Faults(bad_segments=2))

    assert play.upgrade_to(What.STAGED)
    detail = play.last_report(What.STAGED).detail
    assert detail["wasted_bytes"] == 2 * 128 * 1024
    assert detail["received_bytes"] == len(PAYLOAD) + 2 * 128 * 1024


def test_too_many_bad_segments_end_the_transfer() -> None:
    play = Play(PAYLOAD, faults=Faults(bad_segments=MAX_BAD_SEGMENTS + 1))

    assert play.upgrade_to(What.FAILED)
    assert play.last_report(What.FAILED).code is Code.CHECKSUM_MISMATCH
    assert play.terminal.firmware is not None
    assert play.terminal.firmware.dossier.phase is Phase.READY


@pytest.mark.parametrize(
    ("changes", "code"), [({"size": 5}, Code.LENGTH_MISMATCH), ({"sha256": bytes(32)}, Code.CHECKSUM_MISMATCH)]
)
def test_order_that_differs_from_the_manifest_fails(changes: dict[str, Plain], code: Code) -> None:
    """The terminal believes the publisher, not the gateway."""
    play = Play(PAYLOAD)
    play.on_uplink = lambda _message: setattr(play, "auto", play.newest is not What.READY)
    assert play.upgrade_to(What.READY)
    play.order(OrderKind.UPGRADE_TRANSFER, {**play.args_of(OrderKind.UPGRADE_TRANSFER), "x": 99, **changes})

    assert play.upgrade_to(What.FAILED, seconds=30)
    assert play.last_report(What.FAILED).code is code
    assert not any(isinstance(output, OpenBulk) for output in play.outputs)


def test_chunks_of_another_transfer_or_outside_are_counted_and_dropped() -> None:
    play = Play(PAYLOAD)
    play.window_blocks = 20
    transferring(play)
    held = play.ack_log[-1].cum
    for changes in ({"transfer": 4242}, {"index": 586}, {"data": b"x" * 1025}):
        fields = {"transfer": play.transfer, "number": 10**6, "index": 100, "stamp_ms": 0, "data": b"x" * 1024}
        play.down(Chunk(**{**fields, **changes}), bulk=True)  # type: ignore[arg-type]  # the right types by hand
    play.drop_chunk = lambda chunk: True  # noqa: ARG005
    play.run(seconds=1.0)

    events = play.terminal.board.tally.events
    assert (events["chunk_unknown_transfer"], events["chunk_outside"], events["chunk_length"]) == (1, 1, 1)
    assert play.ack_log[-1].number < 10**6
    assert play.ack_log[-1].cum >= held


def test_chunk_on_the_control_connection_is_dropped() -> None:
    play = transferring(Play(PAYLOAD))
    play.down(Chunk(transfer=play.transfer, number=1, index=500, stamp_ms=0, data=b"x" * 1024), kind="chunk")
    play.run(seconds=0.1)

    assert play.terminal.board.tally.events["wrong_connection"] == 1


def test_transfer_order_with_a_new_id_keeps_what_is_held() -> None:
    play = Play(PAYLOAD)
    play.window_blocks = 20
    transferring(play, blocks=300)
    play.send(OrderKind.UPGRADE_TRANSFER)

    assert play.upgrade_to(What.STAGED)
    assert play.ack_log[-1].transfer == play.transfer
    assert play.terminal.board.tally.useful_bytes == len(PAYLOAD)


def test_bulk_connection_is_closed_when_the_package_is_staged() -> None:
    play = Play(PAYLOAD)
    assert play.upgrade_to(What.STAGED)

    assert not play.bulk_up
    assert sum(isinstance(output, OpenBulk) for output in play.outputs) == 1
    assert sum(isinstance(output, CloseBulk) for output in play.outputs) == 1
    assert play.ack_log[-1].cum == -(-len(PAYLOAD) // 1024)


def test_hashes_alone_are_enough_for_thousands_of_terminals() -> None:
    play = Play(PAYLOAD, options=Options(speed=20.0, keep_payload=False))

    assert play.upgrade_to(What.COMMITTED)
    assert all(not isinstance(blob, bytes) for blob in play.terminal.board.flash.areas["slot_b"].values())
