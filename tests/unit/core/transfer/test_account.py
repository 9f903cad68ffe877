"""Histograms of a transfer's account: how far a quantile may be off, what lies outside, what a snapshot keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.transfer.account import BUCKETS, DELAY_LOW_MS, GOODPUT_LOW_BPS, RATIO, Histogram

IN_RANGE = st.floats(min_value=1.0, max_value=0.999 * RATIO**BUCKETS)
PARTS = st.sampled_from((0.0, 0.10, 0.50, 0.90, 0.95, 0.99, 1.0))


def filled(values: list[float], low: float = 1.0) -> Histogram:
    histogram = Histogram(low)
    for value in values:
        histogram.add(value)
    return histogram


@given(values=st.lists(IN_RANGE, min_size=1, max_size=200), part=PARTS, low=st.sampled_from((DELAY_LOW_MS, GOODPUT_LOW_BPS)))
def test_quantile_is_within_half_a_bucket_of_the_sample_of_that_rank(values: list[float], part: float, low: float) -> None:
    exact = low * sorted(values)[max(1, math.ceil(part * len(values))) - 1]

    found = filled([low * value for value in values], low).quantile(part)

    assert found == pytest.approx(exact, rel=math.sqrt(RATIO) - 1 + 1e-9)


@given(values=st.lists(IN_RANGE, min_size=1))
def test_quantiles_rise(values: list[float]) -> None:
    found = filled(values).quantiles()

    assert found is not None
    assert found.p10 <= found.p50 <= found.p90 <= found.p95 <= found.p99
    assert found.count == len(values)


@given(values=st.lists(IN_RANGE), others=st.lists(IN_RANGE))
def test_merging_equals_having_seen_both(values: list[float], others: list[float]) -> None:
    merged = filled(values)
    merged.merge(filled(others))

    assert merged.counts() == filled(values + others).counts()
    assert len(merged) == len(values) + len(others)


@given(values=st.lists(st.floats(min_value=0.0, max_value=1e12)))
def test_what_is_kept_gives_the_same_histogram_again(values: list[float]) -> None:
    histogram = filled(values)

    again = Histogram.of(1.0, histogram.counts())

    assert again.counts() == histogram.counts()
    assert again.quantiles() == histogram.quantiles()
    assert len(histogram.counts()) <= BUCKETS


def test_a_weight_is_as_many_samples() -> None:
    weighted = Histogram(1.0)
    weighted.add(7.0, times=3)

    assert weighted.counts() == filled([7.0, 7.0, 7.0]).counts()


def test_what_lies_outside_counts_to_the_edge() -> None:
    histogram = filled([-3.0, 0.0, 1.0, 1e9])

    assert histogram.quantile(0.75) == pytest.approx(1.0, rel=0.04)
    assert histogram.quantile(1.0) == pytest.approx(RATIO**BUCKETS, rel=0.04)


def test_four_decades_hold_every_link_of_a_terminal() -> None:
    assert GOODPUT_LOW_BPS * RATIO**BUCKETS > 5_000_000
    assert DELAY_LOW_MS * RATIO**BUCKETS > 10_000


def test_nothing_measured_has_no_quantiles() -> None:
    assert Histogram(1.0).quantiles() is None
    assert Histogram(1.0).counts() == ()
    with pytest.raises(ValueError, match="empty"):
        Histogram(1.0).quantile(0.5)


def test_histograms_of_different_scales_do_not_mix() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Histogram(1.0).merge(Histogram(500.0))


@pytest.mark.parametrize("low", [0.0, -1.0, math.inf, math.nan])
def test_the_lowest_edge_is_above_zero(low: float) -> None:
    with pytest.raises(ValueError, match="lowest edge"):
        Histogram(low)


@pytest.mark.parametrize("counts", [(1,) * (BUCKETS + 1), (1, -1)])
def test_damaged_counters_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not the counters"):
        Histogram.of(1.0, counts)
