"""What a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """The gateway works; this will hurt."""
    FAIL = "fail"
    """Something does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's table."""

    check: str
    """Such as ``broker.echo``; never renamed."""
    status: Status
    found: str
    advice: str = ""
    """What to do; empty when all is well."""


def well(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, status=Status.OK, found=found)


def warn(check: str, found: str, advice: str) -> Finding:
    """Something to see to."""
    return Finding(check=check, status=Status.WARN, found=found, advice=advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """Something that does not work."""
    return Finding(check=check, status=Status.FAIL, found=found, advice=advice)
