"""Reports and results on their way: repeated until the receipt, over reboots, in order; health may be dropped."""

from __future__ import annotations

from device_sim.outbox import MAX_HEALTH
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Message, Report
from tests.unit.device_sim.build import payload_of
from tests.unit.device_sim.play import Play


def test_report_is_repeated_with_growing_patience_until_its_receipt() -> None:
    play = Play(payload_of(100_000))
    heard: list[float] = []

    def listen(message: Message) -> None:
        if isinstance(message, Report):
            heard.append(play.now)

    play.on_uplink = listen
    play.receipts = play.auto = False
    play.boot()
    play.run(seconds=1)
    play.send(OrderKind.UPGRADE_OFFER)
    play.run(seconds=200)
    assert [round(at - heard[0]) for at in heard] == [0, 2, 6, 14, 30, 62, 122, 182]

    play.receipts = True
    play.run(seconds=200)
    count = len(heard)
    play.run(seconds=500)
    assert len(heard) == count


def test_everything_unreceipted_is_sent_again_in_order_after_a_reconnect_and_after_a_reboot() -> None:
    play = Play(payload_of(100_000))
    play.receipts = False
    assert play.upgrade_to(What.STAGED)
    play.due = None
    for interrupt in (play.break_control, lambda: play.terminal.power_cut(play.now)):
        heard: list[int] = []
        play.on_uplink = lambda message, heard=heard: heard.append(message.seq) if isinstance(message, Report) else None  # type: ignore[misc]  # bound now
        interrupt()
        play.run(lambda heard=heard: len(heard) >= 3, seconds=120)  # type: ignore[misc]  # bound now
        assert heard[:3] == [1, 2, 3]


def test_result_is_repeated_until_its_receipt() -> None:
    play = Play()
    play.receipts = play.auto = False
    play.boot()
    play.run(seconds=1)
    play.order(OrderKind.INSPECT, {}, order_id="i1")
    play.run(seconds=10)
    assert len(play.results) == 3

    play.receipts = True
    play.run(seconds=60)
    count = len(play.results)
    play.run(seconds=300)
    assert len(play.results) == count
    assert {result.order for result in play.results} == {"i1"}


def test_health_reports_of_a_long_time_offline_do_not_fill_the_flash() -> None:
    """The newest stay; no number is used twice."""
    play = Play(payload_of(100_000))
    play.soak_s = 1e9
    assert play.upgrade_to(What.VERIFIED)
    play.run(seconds=1)
    play.broker_up = False
    play.break_control()
    play.run(seconds=1000)
    assert play.terminal.firmware is not None
    assert len(play.terminal.firmware.outbox) == MAX_HEALTH

    play.broker_up = True
    play.run(seconds=700)
    seqs = sorted(play.reports)
    assert len(seqs) == len(set(seqs))
    assert seqs[-1] - len(seqs) > 50, "the older ones are gone"
    assert play.terminal.board.tally.events["health_dropped"] > 50
