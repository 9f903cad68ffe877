"""The closed lists of words on the air: what a report says, why something failed, which orders exist.

A word is never renamed or reused; new ones are added at the end of their list. docs/protocol.md 7 explains each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class What(StrEnum):
    """What a report says happened (``report.what``)."""

    ACCEPTED = "accepted"
    POSTPONED = "postponed"
    DECLINED = "declined"
    REJECTED = "rejected"
    NOT_READY = "not_ready"
    READY = "ready"
    STAGED = "staged"
    INSTALLING = "installing"
    BOOTED = "booted"
    SELFTEST = "selftest"
    VERIFIED = "verified"
    HEALTH = "health"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD = "held"


class Code(StrEnum):
    """Why (``report.code``, order refusals, failures in the ledger). ``ok`` when nothing went wrong."""

    OK = "ok"
    # readiness: passes by itself, costs no attempt
    BATTERY_LOW = "battery_low"
    STORAGE_FULL = "storage_full"
    IN_TRANSACTION = "in_transaction"
    UNSETTLED_BATCH = "unsettled_batch"
    # the package is not for this terminal, or not to be believed
    MODEL_MISMATCH = "model_mismatch"
    VERSION_TOO_LOW = "version_too_low"
    ALREADY_INSTALLED = "already_installed"
    BASE_VERSION_TOO_LOW = "base_version_too_low"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    LENGTH_MISMATCH = "length_mismatch"
    SIGNATURE_INVALID = "signature_invalid"
    MANIFEST_INVALID = "manifest_invalid"
    # installing and proving
    INSTALL_FAILED = "install_failed"
    BOOT_FAILED = "boot_failed"
    SELFTEST_PAYMENT_FAILED = "selftest_payment_failed"
    SELFTEST_REFUND_FAILED = "selftest_refund_failed"
    SELFTEST_QUERY_FAILED = "selftest_query_failed"
    VERSION_NOT_PROVEN = "version_not_proven"
    HEALTH_REGRESSED = "health_regressed"
    BACKUP_FAILED = "backup_failed"
    # time and people
    LINK_LOST = "link_lost"
    DEADLINE_PASSED = "deadline_passed"
    DECLINED_BY_MERCHANT = "declined_by_merchant"
    POSTPONED_BY_MERCHANT = "postponed_by_merchant"
    ROLLED_BACK_BY_TERMINAL = "rolled_back_by_terminal"
    ROLLED_BACK_BY_ORDER = "rolled_back_by_order"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    CAMPAIGN_ENDED = "campaign_ended"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    # orders refused by a terminal
    WRONG_TERMINAL = "wrong_terminal"
    COUNTER_REPLAYED = "counter_replayed"
    SHARD_EPOCH_OLD = "shard_epoch_old"
    NOT_YET_VALID = "not_yet_valid"
    ORDER_EXPIRED = "order_expired"
    KIND_UNSUPPORTED = "kind_unsupported"
    UPGRADE_UNKNOWN = "upgrade_unknown"
    BUSY = "busy"
    # no more bytes today
    TERMINAL_BUDGET_SPENT = "terminal_budget_spent"
    SITE_BUDGET_SPENT = "site_budget_spent"
    CAMPAIGN_BUDGET_SPENT = "campaign_budget_spent"
    GATEWAY_BUDGET_SPENT = "gateway_budget_spent"


class OrderKind(StrEnum):
    """What an order asks for (``order.kind``)."""

    UPGRADE_OFFER = "upgrade.offer"
    UPGRADE_PREPARE = "upgrade.prepare"
    UPGRADE_TRANSFER = "upgrade.transfer"
    UPGRADE_INSTALL = "upgrade.install"
    UPGRADE_COMMIT = "upgrade.commit"
    UPGRADE_ROLLBACK = "upgrade.rollback"
    UPGRADE_CANCEL = "upgrade.cancel"
    REBOOT = "reboot"
    LOGS = "logs"
    PARAMS_SET = "params.set"
    LOCK = "lock"
    UNLOCK = "unlock"
    MESSAGE = "message"
    INSPECT = "inspect"
    UPGRADE_HOLD = "upgrade.hold"


class ResultStatus(StrEnum):
    """How a non-upgrade order ended (``result.status``)."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Phase(StrEnum):
    """Where the terminal itself stands in its open upgrade (``hello.upgrade.phase``)."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    POSTPONED = "postponed"
    PREPARING = "preparing"
    READY = "ready"
    TRANSFERRING = "transferring"
    STAGED = "staged"
    INSTALLING = "installing"
    VERIFYING = "verifying"
    SOAKING = "soaking"
    ROLLING_BACK = "rolling_back"
    DONE = "done"


#: Phases in which a terminal can still drop its upgrade: nothing of it runs yet.
DROPPABLE: Final = frozenset(
    {Phase.OFFERED, Phase.ACCEPTED, Phase.POSTPONED, Phase.PREPARING, Phase.READY, Phase.TRANSFERRING, Phase.STAGED}
)
#: Refusals of an order by a terminal whose time is not the gateway's.
CLOCK_WRONG: Final = frozenset({Code.NOT_YET_VALID, Code.ORDER_EXPIRED})
#: Refusals of an order that was not let through (docs/protocol.md 5.2, steps 2 to 9): they say nothing of what it asked for.
AT_THE_DOOR: Final = CLOCK_WRONG | {Code.SIGNATURE_INVALID, Code.WRONG_TERMINAL, Code.COUNTER_REPLAYED, Code.SHARD_EPOCH_OLD}


class Component(StrEnum):
    """A part of a terminal that is upgraded by itself."""

    OS = "os"
    KERNEL = "kernel"
    APP = "app"
    PARAMS = "params"
