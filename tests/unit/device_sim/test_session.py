"""The control connection: epochs, birth and will, hello until welcome, reconnecting, coverage."""

from __future__ import annotations

from itertools import pairwise

import pytest

from device_sim.faults import Duty, Faults
from device_sim.options import Options
from device_sim.outputs import ConnectControl, DropControl, Publish
from device_sim.session import HELLO_AGAIN_S, covered, next_coverage_change
from gateway.wire.codec import decode
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Hello, Presence, Welcome
from tests.unit.device_sim.play import Play


def online() -> Play:
    play = Play()
    play.auto = False
    play.boot()
    play.run(lambda: bool(play.hellos))
    return play


def test_birth_comes_first_then_hello_and_the_will_is_of_the_same_epoch() -> None:
    play = online()
    connect = next(output for output in play.outputs if isinstance(output, ConnectControl))
    kinds = [output.kind for output in play.outputs if isinstance(output, Publish)]

    assert kinds[:2] == ["presence", "hello"]
    assert decode("presence", connect.will) == Presence(epoch=1, online=False)
    assert play.presences == [Presence(epoch=1, online=True)]


def test_epoch_rises_with_every_connect_even_one_that_fails_or_is_cut() -> None:
    play = Play()
    play.auto = False
    play.broker_up = False
    play.boot()
    play.run(seconds=20.0)
    tried = [output.epoch for output in play.outputs if isinstance(output, ConnectControl)]
    play.terminal.power_cut(play.now)
    play.broker_up = True
    play.run(lambda: bool(play.presences), seconds=600)

    assert len(tried) >= 3
    assert tried == list(range(1, len(tried) + 1))
    assert play.presences[-1].epoch > tried[-1]


def test_hello_is_repeated_with_patience_until_a_welcome_of_the_same_epoch() -> None:
    play = Play()
    play.auto = False
    said: list[float] = []
    play.on_uplink = lambda message: said.append(play.now) if isinstance(message, Hello) else None
    play.down = lambda _message, **_: None  # type: ignore[method-assign]  # the gateway is mute
    play.boot()
    play.run(seconds=260.0)

    assert [round(at - said[0]) for at in said] == [0, 10, 30, 70, 130, 190, 250]


def test_hello_is_said_again_hours_after_the_last_answer() -> None:
    """A gateway may have lost sight of a terminal that has nothing to say and nothing to reconnect for."""
    play = online()
    play.run(seconds=5.0)
    count, since = len(play.hellos), play.now
    play.run(lambda: len(play.hellos) > count, seconds=7 * 3600.0)

    assert len(play.hellos) == count + 1
    assert abs(play.now - since - HELLO_AGAIN_S) < 10


def test_welcome_of_another_epoch_counts_for_nothing() -> None:
    play = online()
    play.down(Welcome(epoch=0, now_ms=1))
    play.run(seconds=1.0)

    assert play.terminal.board.tally.events["welcome_stale"] == 1


def test_a_gateway_that_knows_an_older_epoch_only_may_ask_for_hello_and_nothing_else() -> None:
    """Its store was restored from a backup; its other hints, and its time, are of no account before it knows this epoch."""
    play = online()
    play.run(seconds=5.0)
    said: list[int] = []
    play.on_uplink = lambda message: said.append(message.epoch) if isinstance(message, Hello) else None
    offset_ms = play.terminal.board.clock.offset_ms
    play.down(Welcome(epoch=0, now_ms=1, keepalive_s=10, hello=True))
    play.run(seconds=2.0)

    assert said == [play.presences[-1].epoch]
    assert abs(play.terminal.board.clock.offset_ms - offset_ms) < 1000
    assert play.terminal.keepalive_s != 10


def test_welcome_may_ask_for_hello_but_not_more_than_once_a_second() -> None:
    play = online()
    play.run(seconds=5.0)
    count = len(play.hellos)
    for _ in range(5):
        play.down(Welcome(epoch=1, now_ms=play.options.unix_base_ms, hello=True))
    play.run(seconds=3.0)

    assert len(play.hellos) == count + 2


def test_terminal_with_a_lost_epoch_takes_over_the_gateways() -> None:
    """Only one beyond it is heard."""
    play = online()
    play.down(Welcome(epoch=500, now_ms=play.options.unix_base_ms))
    play.run(lambda: play.presences[-1].epoch > 500, seconds=30)

    assert play.presences[-1] == Presence(epoch=501, online=True)


def test_orderly_reboot_says_goodbye_and_power_loss_leaves_it_to_the_will() -> None:
    play = online()
    play.order(OrderKind.REBOOT, {})
    play.run(lambda: len(play.presences) >= 3, seconds=60)
    assert play.presences[1:3] == [Presence(epoch=1, online=False), Presence(epoch=2, online=True)]
    assert [output.abort for output in play.outputs if isinstance(output, DropControl)] == [False]

    play.terminal.power_cut(play.now)
    play.run(lambda: len(play.presences) >= 5, seconds=60)
    assert play.presences[3:5] == [Presence(epoch=2, online=False), Presence(epoch=3, online=True)]


def test_reconnecting_waits_a_random_time_below_the_doubling_limit() -> None:
    """1, 2, 4, ... up to the cap, over many terminals."""
    waits: list[list[float]] = []
    for seed in range(40):
        play = Play(options=Options(reconnect_base_s=1.0, reconnect_cap_s=8.0), seed=seed)
        play.auto = play.broker_up = False
        play.boot()
        times: list[float] = [0.0]
        while len(times) < 8:
            play.run(seconds=0.05)
            if len([output for output in play.outputs if isinstance(output, ConnectControl)]) > len(times):
                times.append(play.now)
        waits.append([later - earlier for earlier, later in pairwise(times)])

    for number, limit in enumerate([1, 2, 4, 8, 8, 8]):
        longest = max(wait[number] for wait in waits)
        assert limit * 0.7 < longest < limit + 0.2


def test_orderly_close_by_the_broker_uses_the_hint() -> None:
    waits = [wait_after_clean_close(seed) for seed in range(30)]

    assert max(waits) > 30
    assert all(wait < 61 for wait in waits)


def wait_after_clean_close(seed: int) -> float:
    play = Play(seed=seed)
    play.auto = False
    play.boot()
    play.run(lambda: bool(play.hellos))
    play.run(seconds=1.0)
    play.down(Welcome(epoch=1, now_ms=play.options.unix_base_ms, reconnect_hint_ms=60_000))
    play.run(seconds=1.0)
    play.terminal.on_control_down(play.now, clean=True)
    play.control_up = False
    start = play.now
    play.run(lambda: len(play.presences) >= 2, seconds=100)
    return play.now - start


@pytest.mark.parametrize("offset_s", [0.0, 3.0, 1e6 / 7])
def test_coverage_comes_and_goes_and_every_change_lies_ahead(offset_s: float) -> None:
    duty = Duty(period_s=10.0, fraction=0.3, offset_s=offset_s)
    now, on_s = 0.0, 0.0
    while now < 1000.0:
        at = next_coverage_change(duty, now)
        assert at is not None
        assert at > now
        on_s += (at - now) * covered(duty, (now + at) / 2)
        now = at

    assert on_s == pytest.approx(300, abs=10)


def test_terminal_out_of_coverage_keeps_still_and_its_will_tells() -> None:
    play = Play(faults=Faults(duty=Duty(period_s=20.0, fraction=0.5)))
    play.auto = False
    play.boot()
    play.run(seconds=19.0)

    assert play.presences == [Presence(epoch=1, online=True), Presence(epoch=1, online=False)]
    play.run(seconds=10.0)
    assert play.presences[-1] == Presence(epoch=2, online=True)
