"""The tables of usual lengths: every entry is a usable span, and together they match the phases that the documents promise."""

from __future__ import annotations

import math

import pytest

from gateway.core import usual
from gateway.core.estimate import Goodput, Phase, Range, estimate_upgrade
from gateway.core.states import UpgradeState

SPANS = {
    name: span
    for name, span in vars(usual).items()
    if name.isupper() and isinstance(span, tuple)  # the constants; the tables are below
}
PACES = [usual.USUAL_PACE, *usual.PACES.values()]
MINUTE_S, HOUR_S = 60, 3600


@pytest.mark.parametrize("span", [*SPANS.values(), *usual.RATE_KB_PER_S.values()], ids=[*SPANS, *usual.RATE_KB_PER_S])
def test_every_span_has_a_low_and_a_higher_finite_end(span: usual.Span) -> None:
    assert 0 <= span[0] < span[1] < math.inf


@pytest.mark.parametrize("pace", PACES)
def test_every_pace_takes_time_and_writes_something(pace: usual.Pace) -> None:
    for span in (pace.write_kb_per_s, pace.reboot_s, pace.self_tests_s):
        assert 0 < span[0] < span[1] < math.inf


def test_rates_are_found_by_lower_case_names_and_never_zero() -> None:
    assert all(rat == rat.lower() and rate[0] > 0 for rat, rate in usual.RATE_KB_PER_S.items())


def test_the_models_paces_lie_within_the_usual_one() -> None:
    """So a model that gets its own row becomes better known, not different from what was promised before."""
    for pace in usual.PACES.values():
        assert Range(*usual.USUAL_PACE.reboot_s).union(Range(*pace.reboot_s)) == Range(*usual.USUAL_PACE.reboot_s)
        assert Range(*usual.USUAL_PACE.self_tests_s).union(Range(*pace.self_tests_s)) == Range(*usual.USUAL_PACE.self_tests_s)


def test_the_usual_lengths_are_those_of_the_five_phases() -> None:
    """docs/architecture.md, "The five phases", for 20 MB over a slow 4G link with a merchant to ask."""
    phases = estimate_upgrade(
        size_bytes=20_000_000,
        bytes_left=20_000_000,
        goodput=Goodput(low_bytes_per_s=10_000, high_bytes_per_s=30_000),
        ask_merchant=True,
        model="",
        soak_s=0,
        measured=None,
        state=UpgradeState.SCHEDULED,
        in_state_s=0,
    ).phases

    assert phases[Phase.PLAN].high_s == 24 * HOUR_S
    assert HOUR_S < phases[Phase.PREPARE].high_s < 24 * HOUR_S
    assert 10 * MINUTE_S < phases[Phase.EXECUTE].low_s < phases[Phase.EXECUTE].high_s < 12 * HOUR_S
    assert MINUTE_S < phases[Phase.VERIFY].high_s < 6 * HOUR_S
