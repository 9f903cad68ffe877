"""The air: a function of seed and time, with the mean, the stalls and the hand-overs that were asked for."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.air import BLOCK_S, Air
from device_sim.profiles import LinkProfile

LIVELY = LinkProfile(rate_sigma=0.35, stalls_per_h=60, handovers_per_h=10)


def test_air_is_the_same_whoever_asks_for_what() -> None:
    asked, fresh = Air(LIVELY, 3, 0.0), Air(LIVELY, 3, 0.0)
    for at in (5.0, 900.0, 63.9, 10_000.0, 64.0):
        asked.after(at, 7.0)

    assert [asked.after(at, 0.5) for at in (100.0, 20_000.0)] == [fresh.after(at, 0.5) for at in (100.0, 20_000.0)]
    assert asked.moved_s(0.0, 1000.0) == fresh.moved_s(0.0, 1000.0)
    assert Air(LIVELY, 4, 0.0).after(100.0, 0.5) != fresh.after(100.0, 0.5)


@given(start=st.floats(0.0, 300.0), air_s=st.floats(0.001, 200.0), origin=st.sampled_from([0.0, 1234.5]))
def test_what_moved_until_the_answer_is_what_was_asked_for(start: float, air_s: float, origin: float) -> None:
    air = Air(LIVELY, 5, origin)

    end = air.after(origin + start, air_s)

    assert air.moved_s(origin + start, end) == pytest.approx(air_s, abs=1e-6)


@given(at=st.lists(st.floats(0.0, 500.0), min_size=2, max_size=20), air_s=st.floats(0.0, 5.0))
def test_who_starts_later_is_never_done_earlier(at: list[float], air_s: float) -> None:
    air = Air(LIVELY, 6, 0.0)
    ends = [air.after(start, air_s) for start in sorted(at)]

    assert ends == sorted(ends)


def test_mean_of_the_rate_is_one_and_its_changes_are_log_normal() -> None:
    air = Air(LinkProfile(rate_sigma=0.35), 7, 0.0)
    seconds = [air.moved_s(at, at + 1.0) for at in range(20_000)]

    assert statistics.fmean(seconds) == pytest.approx(1.0, abs=0.05)
    assert statistics.stdev(seconds) == pytest.approx(0.36, abs=0.05)  # of a log-normal with mean 1 and sigma 0.35
    assert min(seconds) > 0


def test_change_of_the_rate_fades_within_its_memory() -> None:
    air = Air(LinkProfile(rate_sigma=0.35, rate_memory_s=4.5), 8, 0.0)
    seconds = [air.moved_s(at, at + 1.0) for at in range(20_000)]

    assert statistics.correlation(seconds[:-1], seconds[1:]) == pytest.approx(0.8, abs=0.05)
    assert statistics.correlation(seconds[:-30], seconds[30:]) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("link", "share"),
    [
        (LinkProfile(stalls_per_h=60, stall_s=(0.15, 1.2)), 0.675 / 60),
        (LinkProfile(handovers_per_h=60, handover_s=(1.0, 3.0)), 2.0 / 60),
    ],
)
def test_pauses_take_their_share_of_the_time(link: LinkProfile, share: float) -> None:
    assert 1 - Air(link, 9, 0.0).moved_s(0.0, 200_000.0) / 200_000 == pytest.approx(share, rel=0.15)


def test_nothing_arrives_within_a_hand_over() -> None:
    air = Air(LinkProfile(handovers_per_h=600, handover_s=(2.0, 2.0)), 10, 0.0)
    ends = [air.after(at / 10, 0.0) for at in range(6000)]
    late = [end - at / 10 for at, end in enumerate(ends) if end > at / 10 + 0.01]

    assert late
    assert max(late) <= 4.0
    assert all(air.moved_s(end, end + 0.001) > 0 for end in ends if end % BLOCK_S < BLOCK_S - 1)
