"""The terms of a campaign: their defaults, what they refuse, and that their stored form comes back whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.plan import DEADLINES_S
from gateway.core.states import UpgradeState
from gateway.errors import RequestError
from gateway.services.terms import Terms, of_settings


@pytest.mark.parametrize(("canaries", "needed"), [(0, 0), (1, 1), (2, 2), (4, 4), (5, 4), (10, 8), (11, 9)])
def test_four_of_five_canaries_have_to_pass_when_nothing_is_said(canaries: int, needed: int) -> None:
    assert needed == Terms(canary_count=canaries).rollout().canary_needed


def test_a_campaign_without_canaries_needs_none() -> None:
    assert Terms().rollout().canary_needed == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"canary_count": 1001}, "terms_invalid"),
        ({"canary_count": 2, "canary_needed": 0}, "rollout_invalid"),
        ({"max_active": 0}, "rollout_invalid"),
        ({"failure_ratio": 1.5}, "rollout_invalid"),
        ({"failure_ratio": float("nan")}, "rollout_invalid"),
        ({"soak_s": -1.0}, "terms_invalid"),
        ({"soak_s": float("inf")}, "terms_invalid"),
        ({"soak_s": float("nan")}, "terms_invalid"),
        ({"duration_s": 0.0}, "terms_invalid"),
        ({"attempts_max": 0}, "terms_invalid"),
        ({"retry_scale": 0.0}, "terms_invalid"),
        ({"first_chunk_kib": 8}, "terms_invalid"),
        ({"deadlines_s": {"scheduled": 5.0}}, "terms_invalid"),
        ({"deadlines_s": {"offered": 0.0}}, "terms_invalid"),
    ],
)
def test_terms_that_make_no_sense_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        Terms(**change)

    assert code == caught.value.code


def test_a_state_keeps_its_usual_deadline_unless_another_is_given() -> None:
    terms = Terms(deadlines_s={"offered": 60.0})

    assert terms.deadline_s(UpgradeState.OFFERED) == 60.0
    assert DEADLINES_S[UpgradeState.PREPARING] == terms.deadline_s(UpgradeState.PREPARING)
    assert terms.deadline_s(UpgradeState.SCHEDULED) is None


@given(
    canary_count=st.integers(0, 1000),
    max_active=st.integers(1, 10**6),
    soak_s=st.floats(0, 30 * 86_400),
    retry_scale=st.floats(0.001, 10),
    ask_merchant=st.booleans(),
    forgiven_count=st.integers(0, 10**6),
    deadlines_s=st.dictionaries(st.sampled_from([state.value for state in DEADLINES_S]), st.floats(1, 1e6)),
)
def test_the_stored_form_comes_back_whole(**change: Any) -> None:  # noqa: ANN401 - whatever the strategies draw
    terms = Terms(**change)
    stored = terms.as_settings() | {"selection": {"named_count": 3}}

    assert replace(terms, canary_needed=terms.needed) == of_settings(stored)
