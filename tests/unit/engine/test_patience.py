"""For how long silence may be our own deafness: as long as needed, and no longer."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.engine.patience import PATIENCE_S, Patience
from tests.unit.engine.line import Line, SetClock


class Ears:
    """Two links, a clock and counters, with a patience that has been asked for the first time long ago."""

    def __init__(self) -> None:
        self.control, self.bulk = Line(), Line()
        self.clock = SetClock(1000.0)
        self.counters: Counter[str] = Counter()
        self.is_behind = False
        self.patience = Patience((self.control, self.bulk), self.clock, lambda: self.is_behind, self.counters)
        self.first = self.patience.until()
        self.clock.time = 10_000.0


def test_a_gateway_that_has_just_begun_is_patient_and_then_no_more() -> None:
    ears = Ears()

    assert ears.first == 1000.0 + PATIENCE_S
    assert ears.patience.until() == ears.first


@pytest.mark.parametrize("what", ["away", "back", "full", "failed", "behind"])
def test_whatever_kept_a_terminals_word_from_us_is_a_reason(what: str) -> None:
    """Found out at the next look, however short it was."""
    ears = Ears()
    match what:
        case "away":
            ears.bulk.connected = False
        case "back":
            ears.control.generation += 1
        case "full":
            ears.control.counters = {"dropped_inbox_full": 1}
        case "failed":
            ears.counters["commits_failed"] += 1
        case _:
            ears.is_behind = True

    assert ears.patience.until() == 10_000.0 + PATIENCE_S


def test_a_row_that_is_refused_again_and_again_is_no_reason() -> None:
    """Or one damaged campaign would keep all deadlines from passing, for ever."""
    ears = Ears()
    ears.counters["store_failed"] += 1

    assert ears.patience.until() == ears.first
