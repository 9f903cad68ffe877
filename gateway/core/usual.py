"""What the field usually takes: plain numbers for ``estimate``, used until a campaign has measured its own. Decides nothing.

Every entry is (low, high): seconds for durations, kB per second for rates. The lengths are those of docs/architecture.md,
"The five phases"; the rates are those of a background transfer that yields to payments, not of an idle link. They are
deliberately wide: a promise that the field breaks costs more than a vague one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Span = tuple[float, float]

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0

PLAN_S: Final[Span] = (0.0, 24 * _HOUR_S)  # hours to a day; an upgrade of a running campaign may start at once
CONSENT_S: Final[Span] = (10.0, 4 * _HOUR_S)  # a merchant answers at once, after the rush, or postpones to closing time
TOLD_S: Final[Span] = (1.0, _MINUTE_S)  # the same step when nobody is asked
SETTLE_S: Final[Span] = (5.0, 30 * _MINUTE_S)  # settle and upload the batch, back up, close apps
HANDOVER_S: Final[Span] = (0.0, _MINUTE_S)  # an order on its way, a report on its way back
SOAK_GRACE_S: Final = 2 * _MINUTE_S  # the last health report and the commit come after the soak

#: By the radio technology of ``hello`` facts, lower case.
RATE_KB_PER_S: Final[Mapping[str, Span]] = {
    "2g": (1, 5),
    "gprs": (1, 5),
    "edge": (5, 20),
    "3g": (20, 250),
    "nb-iot": (1, 5),
    "lte-m": (10, 60),
    "4g": (50, 600),
    "lte": (50, 600),
    "5g": (100, 2000),
    "wifi": (100, 2000),
}
#: A technology that the table does not know may be any of them.
ANY_RATE_KB_PER_S: Final[Span] = (1, 2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What depends on the make of a terminal."""

    write_kb_per_s: Span
    """The spare slot written, read back and checked."""
    reboot_s: Span
    """From the order to reboot until the new version is connected again."""
    self_tests_s: Span
    """Payment, refund and query, up to the report that they passed."""


USUAL_PACE: Final = Pace(write_kb_per_s=(200, 4000), reboot_s=(20, 300), self_tests_s=(10, 600))
#: By model name; a model that is missing here has ``USUAL_PACE``.
PACES: Final[Mapping[str, Pace]] = {
    "lakala-4g-esign": Pace(write_kb_per_s=(500, 3000), reboot_s=(30, 180), self_tests_s=(15, 300)),
    "shengpay-4g-esign": Pace(write_kb_per_s=(300, 2000), reboot_s=(40, 240), self_tests_s=(15, 300)),
}
