"""What a decoder is to the fuzzers, and the one rule for all of them: read or refuse, by its own error, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

Read = Callable[[bytes], bool]
"""Whether the bytes were read; they were refused otherwise."""

ROOT: Final = Path(__file__).parents[2]
VECTORS: Final = ROOT / "tests" / "vectors"


@dataclass(frozen=True, slots=True)
class Decoder:
    """See the module."""

    name: str
    read: Read
    seeds: Callable[[], Sequence[bytes]]
    max_bytes: int = 4096
    """Longest input that a fuzzer makes; the limits of the format itself lie above or at it."""


class BrokenPromiseError(AssertionError):
    """A decoder did what none may do."""


def same(found: object, again: object) -> None:
    """What was read is what was written."""
    if found != again:
        raise BrokenPromiseError(f"{found!r:.200} came back as {again!r:.200}")


@cache
def vectors(name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """The frozen vectors of a kind."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def accepted(name: str) -> list[bytes]:
    """The well-formed ones among them."""
    return [bytes.fromhex(case["hex"]) for case in vectors(name)["accepted"]]
