"""What was wrong, in words that a person can use."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway import invalid
from gateway.api.campaign_models import CampaignIn
from gateway.config import Settings

CAMPAIGN = {"name": "n", "package": "p", "terminals": ["T1"], "canaries": ["T1"], "terms": {"canary_count": 1}}


def test_a_rule_of_our_own_speaks_for_itself() -> None:
    with pytest.raises(ValidationError) as refused:
        CampaignIn.model_validate(CAMPAIGN)

    assert invalid.first(refused.value) == ("", "give canaries or terms.canary_count, not both")


def test_the_path_leads_to_the_field() -> None:
    with pytest.raises(ValidationError) as refused:
        CampaignIn.model_validate(CAMPAIGN | {"terms": {"canary_count": "many"}})
    where, reason = invalid.first(refused.value)

    assert where == "terms.canary_count"
    assert reason.startswith("Input should be a valid integer")


def test_a_setting_is_refused_without_the_checkers_name() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(terminal_bytes_per_s=5)

    assert invalid.first(refused.value)[1] == f"expected 0 for no limit, or 1024 to {2**50}"
