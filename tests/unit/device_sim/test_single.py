"""A transfer over the only connection: whole, resumed, acked in order, and braked without a deaf ear for orders."""

from __future__ import annotations

from itertools import pairwise

import pytest

from device_sim.faults import CutAt, Duty, Faults, PowerCut
from device_sim.options import Options, Shop
from device_sim.outputs import OpenBulk, Publish
from device_sim.summary import summarize
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Ack, Chunk, Message, Welcome
from tests.unit.device_sim.build import payload_of
from tests.unit.device_sim.play import Play

PAYLOAD = payload_of(600_000)
ONE = Options(speed=20.0, connections=1)


def _transferring(*, faults: Faults | None = None, options: Options = ONE, blocks: int = 40) -> Play:
    play = Play(PAYLOAD, options=options, faults=faults or Faults())
    play.chunk_blocks = 1
    play.window_blocks = 20
    play.boot()
    assert play.run(lambda: bool(play.ack_log) and play.ack_log[-1].cum >= blocks)
    return play


def _check_acks(play: Play) -> None:
    """Under the epoch of a control connection each, counted on without a gap in it."""
    acks = play.ack_log
    assert all(earlier.epoch <= later.epoch for earlier, later in pairwise(acks))
    for epoch in {ack.epoch for ack in acks}:
        seqs = [ack.seq for ack in acks if ack.epoch == epoch]
        assert seqs == sorted(set(seqs))
        assert seqs[0] == 1
    assert {ack.epoch for ack in acks} <= {presence.epoch for presence in play.presences}


def test_a_whole_package_comes_over_the_control_connection() -> None:
    """No bulk connection is ever opened, and the hello says why."""
    play = Play(PAYLOAD, options=ONE)
    assert play.upgrade_to(What.COMMITTED)

    assert all(hello.facts.single_connection for hello in play.hellos)
    assert not [output for output in play.outputs if isinstance(output, OpenBulk)]
    assert not [output for output in play.outputs if isinstance(output, Publish) and output.bulk]
    assert all(output.qos == 0 for output in play.outputs if isinstance(output, Publish) and output.kind == "ack")
    assert play.terminal.board.tally.useful_bytes == len(PAYLOAD)
    assert summarize(play.terminal)["connections"] == 1
    _check_acks(play)


def test_the_first_ack_of_a_connection_comes_behind_its_hello_and_tells_what_is_held() -> None:
    """So the gateway knows the way before it hears by it; unverified blocks are kept over a drop-out."""
    play = _transferring()
    held = play.ack_log[-1].cum
    play.break_control()
    at = len(play.outputs)
    assert play.run(lambda: play.ack_log[-1].epoch == 2)

    said = [output.kind for output in play.outputs[at:] if isinstance(output, Publish)]
    assert said[:3] == ["presence", "hello", "ack"]
    first = next(ack for ack in play.ack_log if ack.epoch == 2)
    assert (first.seq, first.number) == (1, 0)
    assert first.cum >= held
    assert play.upgrade_to(What.STAGED)
    assert play.terminal.board.tally.repeated_bytes == 0
    _check_acks(play)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(power_cuts=(PowerCut(at=CutAt.BYTES, value=300_000),)),
        Faults(power_cuts=(PowerCut(at=CutAt.WRITTEN, value=250_000),)),
        Faults(duty=Duty(period_s=6.0, fraction=0.5)),
        Faults(bad_segments=2),
    ],
    ids=["power", "torn write", "coverage", "bad segments"],
)
def test_it_resumes_without_an_order_and_takes_nothing_verified_twice(faults: Faults) -> None:
    play = _transferring(faults=faults)

    assert play.upgrade_to(What.STAGED)
    assert play.terminal.board.tally.repeated_bytes == 0
    _check_acks(play)


def test_nothing_is_acked_while_the_connection_is_down() -> None:
    play = _transferring()
    play.broker_up = False
    play.break_control()
    at = len(play.outputs)
    play.run(seconds=20.0)

    assert not [output for output in play.outputs[at:] if isinstance(output, Publish)]


def test_a_second_transfer_on_one_connection_counts_on() -> None:
    """A gateway that knows the epoch already would take a lower number for an old ack."""
    play = _transferring(blocks=300)
    play.send(OrderKind.UPGRADE_PREPARE)
    play.run(lambda: play.newest is What.READY, seconds=60)
    assert play.upgrade_to(What.STAGED)

    assert len({ack.transfer for ack in play.ack_log}) == 2
    assert {ack.epoch for ack in play.ack_log} == {1}
    _check_acks(play)


def test_a_terminal_whose_epoch_was_lost_acks_under_the_new_one() -> None:
    """Its epoch is that of its acks, so what mends the one mends the other."""
    play = _transferring()
    play.down(Welcome(epoch=40, now_ms=0))
    assert play.run(lambda: play.ack_log[-1].epoch == 41)

    _check_acks(play)


def test_a_payment_brakes_by_credit_and_orders_are_heard_meanwhile() -> None:
    """What is in flight still comes, and is taken."""
    shop = Shop(payment_every_s=(12, 12), lead_s=(8, 8), declined_p=0.0)
    play = Play(PAYLOAD, options=Options(speed=1.0, shop=shop, connections=1))
    play.chunk_blocks = 1
    play.window_blocks = 4
    braked: list[Ack] = []

    def heard(message: Message) -> None:
        if isinstance(message, Ack) and message.foreground:
            braked.append(message)

    play.on_uplink = heard
    play.boot()
    assert play.run(lambda: bool(braked))
    held = braked[0].cum
    play.down(Chunk(transfer=play.transfer, number=play.number + 9, index=held + 8, stamp_ms=0, data=bytes(1024)))
    play.order(OrderKind.INSPECT, {}, order_id="o-1")
    assert play.run(lambda: bool(play.results), seconds=2.0)

    assert (play.results[0].order, {ack.credit_bytes for ack in braked}) == ("o-1", {0})
    assert play.run(lambda: braked[-1].ranges != (), seconds=3.0)
    assert play.terminal.board.tally.events["wrong_connection"] == 0


def test_a_chunk_on_a_bulk_topic_is_dropped() -> None:
    play = _transferring()
    chunk = Chunk(transfer=play.transfer, number=1, index=500, stamp_ms=0, data=b"x" * 1024)
    play.bulk_up = True
    play.down(chunk, bulk=True)
    play.run(seconds=0.1)

    assert play.terminal.board.tally.events["wrong_connection"] == 1
