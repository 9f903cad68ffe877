"""Pace and stop rules that contradict themselves are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.pace import Rollout
from gateway.errors import RequestError

GOOD = Rollout(canary_count=2, canary_needed=1, max_active=5, failure_ratio=0.1, failure_min=5, gate="verified")


def test_more_canaries_cannot_be_needed_than_there_are() -> None:
    with pytest.raises(RequestError, match="canary_needed"):
        replace(GOOD, canary_needed=3)


def test_a_share_is_between_nothing_and_all() -> None:
    with pytest.raises(RequestError, match="failure_ratio"):
        replace(GOOD, failure_ratio=1.1)
