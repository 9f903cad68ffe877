"""Versions: the usual order, and a total order over whatever a terminal may call its version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.versions import compare_versions, is_version

ASCENDING = [
    "",
    "0.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-rc.2",
    "1.0.0-rc.10",
    "1.0",
    "1.0.1",
    "1.2",
    "1.10",
]
ANY_TEXT = st.text(alphabet="0123456789abc.-\u0663", max_size=12)


def test_versions_stand_in_their_usual_order() -> None:
    for index, left in enumerate(ASCENDING):
        for at, right in enumerate(ASCENDING):
            assert compare_versions(left, right) == (index > at) - (index < at)


@pytest.mark.parametrize(("a", "b"), [("1.2", "1.2.0"), ("01.2", "1.2"), ("2-rc", "2.0.0-rc"), ("1-", "1")])
def test_some_versions_are_written_in_two_ways(a: str, b: str) -> None:
    assert compare_versions(a, b) == 0


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    assert compare_versions(a, a) == 0
    assert compare_versions(a, b) == -compare_versions(b, a)
    if compare_versions(a, b) <= 0 and compare_versions(b, c) <= 0:
        assert compare_versions(a, c) <= 0


@pytest.mark.parametrize("text", ["1", "1.2", "2.1.0", "1.2.3.4", "2.1.0-rc.1", "20260101.5", "1.0-beta"])
def test_a_manifest_may_carry_it(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "text", ["", "v1", "1.", ".1", "1..2", "1.2.3.4.5", "1.2-", "1.2-rc..1", "1 2", "1.2\n", "\u0661.2", "1" * 10]
)
def test_a_manifest_may_not_carry_it(text: str) -> None:
    assert not is_version(text)
