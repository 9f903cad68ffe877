"""What every service works on, made once by the runtime; and the names that new things get."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.core.budgets import NO_DEFAULTS, Defaults
from gateway.errors import RequestError
from gateway.services.measured import MeasuredCache
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.trust.keys import KeyRing
from gateway.trust.seals import Seal
from gateway.wire.messages import Signed

PACKAGE_MAX_BYTES: Final = 1 << 30

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no two letters that look alike
_TIME_CHARS: Final = 9
_CHANCE_CHARS: Final = 7
_ACTOR: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def _system_now_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The store, the bell that tells the engine, where packages lie and who may publish them."""

    db: Database
    doorbell: Doorbell
    packages_path: Path
    ring: KeyRing
    sign_seal: Callable[[Seal], Signed]
    """Puts the gateway's own signature under a day of the ledger."""
    seal_ring: KeyRing
    """The public halves of that key, and of those before it."""
    package_max_bytes: int = PACKAGE_MAX_BYTES
    now_us: Callable[[], int] = _system_now_us
    """Unix time in microseconds."""
    budgets: Defaults = NO_DEFAULTS
    """What the settings say of budgets of bytes."""
    measured: MeasuredCache = field(default_factory=MeasuredCache)
    """What running campaigns measured, kept for a few seconds."""


def new_id(prefix: str, now_us: int) -> str:
    """A name that sorts by time of making: prefix, 45 bits of milliseconds, 35 bits of chance, e.g. ``c-1jq3x5k0m7f2q9ab``."""
    stamp = now_us // 1000
    digits = "".join(_ALPHABET[stamp >> 5 * place & 31] for place in range(_TIME_CHARS - 1, -1, -1))
    return f"{prefix}-{digits}{''.join(secrets.choice(_ALPHABET) for _ in range(_CHANCE_CHARS))}"


def operator(name: str) -> str:
    """Who is asking, as the ledger writes it; ``RequestError`` (``actor_invalid``) for a name that would not fit there."""
    if _ACTOR.fullmatch(name) is None:
        raise RequestError(
            "the acting person's name is 1 to 64 characters of A-Z a-z 0-9 . _ @ -, beginning with a letter or digit",
            code="actor_invalid",
        )
    return f"operator:{name}"
