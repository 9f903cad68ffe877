"""Which of two versions is later: a total order over any two strings, so that no version on a terminal can break a comparison.

Numbers compare as numbers, ``1.2`` equals ``1.2.0``, and a pre-release (after the first ``-``) comes before its release, as in
Semantic Versioning 2.0.0, section 11.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

#: What a manifest may call a version. What terminals report of themselves may be any text.
VERSION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}(-[0-9A-Za-z]{1,16}(\.[0-9A-Za-z]{1,16}){0,3})?")

_Part = tuple[int, int, str]
_NOTHING: Final[_Part] = (-1, 0, "")  # before every number and word; the shorter of two pre-releases is the earlier
_ZERO: Final[_Part] = (0, 0, "")  # a number that is not written: 1.2 is 1.2.0


def is_version(text: str) -> bool:
    """Whether a manifest may carry ``text`` as a version."""
    return VERSION.fullmatch(text) is not None


def compare_versions(a: str, b: str) -> int:
    """-1, 0 or 1: ``a`` is earlier than, equal to, or later than ``b``. The empty string is earlier than every version."""
    release_a, _, pre_a = a.partition("-")
    release_b, _, pre_b = b.partition("-")
    order = _compare(release_a, release_b, _ZERO)
    if order:
        return order
    if not pre_a or not pre_b:
        return (not pre_a) - (not pre_b)
    return _compare(pre_a, pre_b, _NOTHING)


def _compare(a: str, b: str, missing: _Part) -> int:
    for left, right in zip_longest(_parts(a), _parts(b), fillvalue=missing):
        if left != right:
            return 1 if left > right else -1
    return 0


def _parts(text: str) -> list[_Part]:
    return [_part(part) for part in text.split(".")]


def _part(text: str) -> _Part:
    if not text:
        return _NOTHING
    return (0, int(text), "") if text.isascii() and text.isdigit() else (1, 0, text)
