"""What pydantic found wrong with a value from outside, in the words of the rule that was broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError


def reason(error: Mapping[str, Any]) -> str:
    """What was expected, of one of pydantic's errors; a rule of our own speaks for itself, without "Value error, "."""
    raised = error.get("ctx", {}).get("error")
    return str(raised) if isinstance(raised, ValueError | AssertionError) else str(error["msg"])


def first(exc: ValidationError) -> tuple[str, str]:
    """The path to the first field that was wrong (empty: the whole), and the reason."""
    error = exc.errors(include_url=False, include_input=False)[0]
    return ".".join(str(part) for part in error["loc"]), reason(error)


def text(exc: ValidationError) -> str:
    """Both in one line."""
    return ": ".join(filter(None, first(exc)))
