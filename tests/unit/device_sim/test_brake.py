"""The payment brake in virtual time: lost, late and reordered words, and everything that can happen while it is on.

The gateway here reads docs/protocol.md 6.4 and 6.6 and nothing else: it ignores old acks, rests for 5 s after the newest one
that raised ``p``, and then sends one chunk as a probe.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.brake import RENEW_S, REPEAT_S, Brake, Due, State
from device_sim.outputs import OpenBulk
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Ack
from tests.unit.device_sim.shopping import LEASE_S, QUIET_S, SLACK_S, Line, Shopping


def released(play: Shopping) -> float:
    """Run until the socket is read again; when that was."""
    assert play.run(lambda: bool(play.switches) and not play.switches[-1][1], seconds=60)
    return play.switches[-1][0]


def nothing(ack: Ack) -> float | None:
    """All is lost."""
    del ack
    return None


# -- the machine alone


def test_brake_goes_through_its_states_and_numbers_rise() -> None:
    brake = Brake(0.3)

    assert (brake.press(10.0), brake.state, brake.seq) == (True, State.HELD, 1)
    assert (brake.on_time(10.0 + RENEW_S), brake.seq) == (Due.RENEW, 2)
    brake.ease(13.0)
    assert (brake.state, brake.deadline) == (State.QUIET, 13.3)
    assert (brake.press(13.1), brake.state, brake.seq) == (False, State.HELD, 3)
    brake.ease(13.2)
    assert (brake.on_time(13.4), brake.on) == (Due.NOTHING, True)
    assert (brake.on_time(13.5), brake.on, brake.deadline) == (Due.RELEASE, False, None)


def test_brake_that_is_off_is_not_eased_and_a_long_quiet_time_is_renewed() -> None:
    brake = Brake(10.0)
    brake.ease(1.0)
    off = brake.on
    brake.press(2.0)
    brake.ease(3.0)

    assert not off
    assert [brake.on_time(at) for at in (4.5, 7.0, 9.5, 12.0, 13.0)] == [Due.RENEW] * 4 + [Due.RELEASE]


# -- a transfer beside payments


def test_payment_stops_the_socket_and_the_gateway_from_card_to_quiet() -> None:
    play = Shopping(payment_s=8.0).flowing()
    card_at = play.card(0.5)
    ends_at = released(play)
    play.run(seconds=1.0)

    assert ends_at == pytest.approx(card_at + 8.0 + QUIET_S)
    assert [paused for _, paused in play.switches] == [True, False]
    assert not [at for at in play.read_at if card_at < at < ends_at]
    assert not [at for at in play.sent_at if card_at + SLACK_S < at < ends_at]
    assert play.gap_after(ends_at) < SLACK_S


def test_pause_is_renewed_in_time_with_a_rising_number_and_no_credit() -> None:
    play = Shopping(payment_s=8.0).flowing()
    play.card()
    released(play)

    braked = [(at, ack) for at, ack in play.said if ack.foreground]
    assert [ack.pause_seq for _, ack in braked] == [1, 2, 3, 4]
    assert all(ack.credit_bytes == 0 for _, ack in braked)
    assert all(later[0] - earlier[0] <= RENEW_S + 0.01 for earlier, later in itertools.pairwise(braked))
    assert play.said[-1][1].credit_bytes > 0
    assert not play.said[-1][1].foreground


def test_lost_pause_costs_until_the_next_one_and_the_socket_takes_nothing_meanwhile() -> None:
    line = Line(lambda ack: None if ack.pause_seq == 1 and ack.foreground else 0.0)
    play = Shopping(line, payment_s=8.0).flowing()
    play.window_blocks = 1000
    card_at = play.card()
    ends_at = released(play)

    assert max(at for at in play.sent_at if at < ends_at) < card_at + RENEW_S + SLACK_S
    assert not [at for at in play.read_at if card_at < at < ends_at]


def test_lost_release_is_made_good_by_the_ack_of_what_was_left_unread() -> None:
    lost: list[Ack] = []

    def fate(ack: Ack) -> float | None:
        if ack.pause_seq == 2 and not ack.foreground and not lost:
            lost.append(ack)
            return None
        return 0.0

    play = Shopping(Line(fate)).flowing()
    play.card()
    ends_at = released(play)
    play.run(seconds=3.0)

    assert len(lost) == 1
    assert play.gap_after(ends_at) < SLACK_S


def test_release_is_said_again_after_a_second_though_a_chunk_was_left_unread() -> None:
    play = Shopping().flowing()
    play.card()
    ends_at = released(play)
    play.line.fate = lambda _ack: None if play.now < ends_at + 0.9 else 0.0
    play.run(seconds=3.0)

    assert REPEAT_S - 0.01 < play.gap_after(ends_at) < REPEAT_S + SLACK_S


def test_all_words_lost_after_a_pause_cost_five_seconds_from_it() -> None:
    play = Shopping(payment_s=0.5).flowing()
    card_at = play.card()
    play.run(lambda: any(ack.foreground for ack in play.ack_log))
    play.line.fate = nothing
    play.run(seconds=8.0)

    assert play.gap_after(card_at + SLACK_S) < LEASE_S + SLACK_S


def test_late_pause_that_comes_after_its_release_brakes_nothing() -> None:
    play = Shopping(Line(lambda ack: 3.0 if ack.foreground else 0.0), payment_s=0.5).flowing()
    play.card()
    ends_at = released(play)
    play.run(seconds=6.0)

    assert play.stale == 1
    after = [at for at in play.sent_at if at > ends_at]
    assert max(later - earlier for earlier, later in itertools.pairwise(after)) < 0.5


def test_late_release_that_comes_after_the_next_pause_releases_nothing() -> None:
    """The release of the first payment is 2 s late; the second card comes 1 s after it."""
    play = Shopping(Line(lambda ack: 2.0 if ack.pause_seq == 2 and not ack.foreground else 0.0), payment_s=3.0).flowing()
    play.card()
    ends_at = released(play)
    second_at = play.card(1.0)
    again_at = released_again(play, ends_at)

    assert play.stale >= 1
    assert not [at for at in play.sent_at if second_at + SLACK_S < at < again_at]


def released_again(play: Shopping, after: float) -> float:
    """Run until the socket is read again once more."""
    assert play.run(lambda: play.switches[-1][0] > after and not play.switches[-1][1], seconds=60)
    return play.switches[-1][0]


def test_payment_in_the_quiet_time_keeps_the_brake_on() -> None:
    play = Shopping(payment_s=1.0).flowing()
    card_at = play.card()
    play.run(seconds=1.0 + QUIET_S / 2)
    second_at = play.card()
    ends_at = released(play)

    assert card_at + 1.0 < second_at < card_at + 1.0 + QUIET_S
    assert ends_at == pytest.approx(second_at + 1.0 + QUIET_S, abs=0.01)
    assert [paused for _, paused in play.switches] == [True, False]
    braked = [ack.pause_seq for _, ack in play.said if ack.foreground]
    assert braked[0] == 1
    assert braked[-1] == 2


def test_power_cut_while_braked_ends_the_brake_with_the_payment() -> None:
    play = Shopping(payment_s=30.0).flowing()
    play.card()
    play.run(lambda: play.ack_log[-1].foreground)
    play.terminal.power_cut(play.now, 0.5)
    assert play.run(lambda: play.ack_log[-1].epoch == 2, seconds=120)
    up_at = play.now

    first = next(ack for ack in play.ack_log if ack.epoch == 2)
    assert (first.foreground, first.credit_bytes) == (False, 256 * 1024)
    assert play.terminal.board.shop.failed_count == 1
    play.run(seconds=1.0)
    assert play.gap_after(up_at - 0.001) < SLACK_S


def test_card_while_the_bulk_connection_opens_is_in_its_first_ack() -> None:
    play = Shopping()
    play.boot()
    assert play.run(lambda: any(isinstance(output, OpenBulk) for output in play.outputs))
    assert not play.bulk_up
    play.card()
    ends_at = released(play)

    first = play.said[0][1]
    assert (first.foreground, first.credit_bytes, first.seq) == (True, 0, 1)
    assert play.switches[0][1]
    assert not [at for at in play.sent_at if at < ends_at]


def test_transfer_that_is_ordered_during_a_payment_opens_nothing_before_its_end() -> None:
    play = Shopping(payment_s=6.0)
    play.on_uplink = lambda _message: setattr(play, "auto", play.newest is not What.READY)
    assert play.upgrade_to(What.READY)
    card_at = play.card()
    play.run(seconds=0.5)
    play.send(OrderKind.UPGRADE_TRANSFER)
    play.on_uplink = lambda _message: None
    assert play.run(lambda: play.bulk_up, seconds=30)

    assert card_at + 6.0 + QUIET_S <= play.now < card_at + 6.0 + QUIET_S + SLACK_S
    play.run(seconds=1.0)
    assert not play.said[0][1].foreground


@settings(max_examples=60, deadline=None)
@given(
    fates=st.lists(st.one_of(st.none(), st.floats(0.0, 1.0)), min_size=1, max_size=40),
    payment_s=st.floats(0.3, 7.0),
)
def test_whatever_happens_to_the_words_of_one_payment_costs_at_most_five_seconds(
    fates: list[float | None], payment_s: float
) -> None:
    """Acks from the card on are lost or late and overtake each other; five seconds after the line is good again it moves."""
    play = Shopping(payment_s=payment_s).flowing()
    waiting = list(fates)
    good_at = card_at = play.card()

    def fate(_ack: Ack) -> float | None:
        nonlocal good_at
        if not waiting:
            return 0.0
        late_s = waiting.pop()
        good_at = max(good_at, play.now + (late_s or 0.0))
        return late_s

    play.line.fate = fate
    ends_at = released(play)
    play.run(lambda: not waiting, seconds=200)
    play.run(seconds=LEASE_S + 2.0)

    assert not [at for at in play.read_at if card_at < at < ends_at]
    assert play.gap_after(max(ends_at, good_at)) < LEASE_S + 1.0 + SLACK_S
