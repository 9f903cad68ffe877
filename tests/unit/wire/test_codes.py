"""The closed lists only ever grow: a word that has been on the air is never renamed, reordered or taken away."""

from __future__ import annotations

from enum import StrEnum

import pytest

from gateway.wire.codes import Code, Component, OrderKind, Phase, ResultStatus, What

LISTS = [What, Code, OrderKind, ResultStatus, Phase, Component]


@pytest.mark.parametrize("words", LISTS)
def test_words_are_short_and_in_lower_case(words: type[StrEnum]) -> None:
    for member in words:
        assert member.value == member.value.lower()
        assert member.value.replace("_", "").replace(".", "").isalpha()
        assert len(member.value) <= 32


@pytest.mark.parametrize("words", LISTS)
def test_names_follow_words(words: type[StrEnum]) -> None:
    for member in words:
        assert member.name == member.value.upper().replace(".", "_")


def test_each_list_begins_as_it_always_did() -> None:
    assert list(What)[:17] == [
        "accepted", "postponed", "declined", "rejected", "not_ready", "ready", "staged", "installing",
        "booted", "selftest", "verified", "health", "committed", "rolled_back", "failed", "cancelled",
        "held",
    ]  # fmt: skip
    assert list(Code)[:42] == [
        "ok", "battery_low", "storage_full", "in_transaction", "unsettled_batch", "model_mismatch", "version_too_low",
        "already_installed", "base_version_too_low", "checksum_mismatch", "length_mismatch", "signature_invalid",
        "manifest_invalid", "install_failed", "boot_failed", "selftest_payment_failed", "selftest_refund_failed",
        "selftest_query_failed", "version_not_proven", "health_regressed", "backup_failed", "link_lost", "deadline_passed",
        "declined_by_merchant", "postponed_by_merchant", "rolled_back_by_terminal", "rolled_back_by_order",
        "cancelled_by_operator", "campaign_ended", "attempts_exhausted", "wrong_terminal", "counter_replayed",
        "shard_epoch_old", "not_yet_valid", "order_expired", "kind_unsupported", "upgrade_unknown", "busy",
        "terminal_budget_spent", "site_budget_spent", "campaign_budget_spent", "gateway_budget_spent",
    ]  # fmt: skip
    assert list(OrderKind)[:15] == [
        "upgrade.offer", "upgrade.prepare", "upgrade.transfer", "upgrade.install", "upgrade.commit", "upgrade.rollback",
        "upgrade.cancel", "reboot", "logs", "params.set", "lock", "unlock", "message", "inspect",
        "upgrade.hold",
    ]  # fmt: skip
    assert list(ResultStatus)[:3] == ["done", "refused", "failed"]
    assert list(Phase)[:12] == [
        "offered", "accepted", "postponed", "preparing", "ready", "transferring", "staged", "installing", "verifying",
        "soaking", "rolling_back", "done",
    ]  # fmt: skip
    assert list(Component)[:4] == ["os", "kernel", "app", "params"]
