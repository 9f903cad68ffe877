"""Which failures are tried again, and what that costs."""

from __future__ import annotations

from gateway.core.retry import BROKEN, NEVER, RULES, SILENCE, WAIT, rule_for
from gateway.wire.codes import Code


def test_what_passes_by_itself_and_silence_cost_no_attempt() -> None:
    """A gateway that was busy is not the terminal's fault."""
    assert {rule.costs_attempt for rule in (WAIT, SILENCE)} == {False}
    assert rule_for(Code.BUSY) is WAIT
    assert rule_for(Code.LINK_LOST) is SILENCE


def test_a_package_that_does_not_fit_or_fails_its_proof_is_never_tried_again() -> None:
    """It would break the terminal again."""
    for code in Code:
        if code.value.startswith(("selftest", "model", "version", "signature", "boot", "health", "declined")):
            assert rule_for(code) is NEVER, code


def test_every_rule_that_tries_again_waits_first() -> None:
    """No tight loops."""
    assert all(rule.delay_s > 0 for rule in RULES.values() if rule.again)
    assert BROKEN.costs_attempt
