"""Plain values to JSON text and back, as the store keeps them: the same value always gives the same text.

Called by ``batch`` for every ledger entry and by the aggregates. Evidence may hold whatever a terminal sent: bytes become
``hex:…`` texts, what JSON cannot say becomes text, and what is too long is cut with a marker that says how long it was.
Writing never fails on a value that the wire lets through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.errors import StoreError
from gateway.wire.messages import Facts

EVIDENCE_MAX_CHARS: Final = 4096
TEXT_MAX_CHARS: Final = 512  # one text inside evidence that is too long as a whole
ITEMS_MAX: Final = 32  # entries of one list or map inside evidence that is too long as a whole


def _foreign(value: object) -> object:
    """What the encoder does not know: bytes, other mappings, anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "hex:" + bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return str(value)


# ASCII only: a lone surrogate in a text must not refuse the whole transaction.
_encode: Final = json.JSONEncoder(
    default=_foreign, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
).encode


def dump(value: object) -> str:
    """The JSON text of ``value``, keys sorted, without spaces."""
    try:
        return _encode(value)
    except (TypeError, ValueError):  # keys that are no texts, or a number that JSON cannot say
        return _encode(_sayable(value))


def dump_evidence(evidence: Mapping[str, object]) -> str:
    """As ``dump``, in at most ``EVIDENCE_MAX_CHARS`` characters; always a JSON object."""
    if not evidence:
        return "{}"
    text = dump(evidence)
    if len(text) <= EVIDENCE_MAX_CHARS:
        return text

    marker = {"_cut": f"{len(text)} characters"}
    shorter = dump({**marker, **{str(key): _shortened(item) for key, item in list(evidence.items())[:ITEMS_MAX]}})
    if len(shorter) <= EVIDENCE_MAX_CHARS:
        return shorter
    # A quarter: escaping may make four characters... of one backslash and its like, never more than six of an ASCII text.
    return dump({**marker, "head": text[: EVIDENCE_MAX_CHARS // 4]})


def load(text: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """The value that ``dump`` wrote; ``StoreError`` when the text is no JSON, so the file was changed by another hand."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise StoreError(f"the store holds text that is not JSON: {exc}", code="store_corrupt") from exc


def dump_facts(facts: Facts) -> str:
    """The JSON text of a terminal's facts."""
    return dump(asdict(facts))


def load_facts(text: str) -> Facts:
    """The facts that ``dump_facts`` wrote; keys that this version does not know are left out, later ones have their default."""
    value = load(text)
    try:
        return Facts(**{name: value[name] for name in Facts.__dataclass_fields__ if name in value})
    except TypeError as exc:
        raise StoreError(f"the store holds facts of another shape: {exc}", code="store_corrupt") from exc


def _sayable(value: object) -> object:
    """``value`` with text keys and finite numbers only."""
    if isinstance(value, Mapping):
        return {str(key): _sayable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _shortened(value: object) -> object:
    """``value`` with long texts cut and long lists and maps ended early, each with what is missing."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = _foreign(value)
    if isinstance(value, str) and len(value) > TEXT_MAX_CHARS:
        return f"{value[:TEXT_MAX_CHARS]}… ({len(value)} characters)"
    if isinstance(value, Mapping):
        kept = {str(key): _shortened(item) for key, item in list(value.items())[:ITEMS_MAX]}
        return kept if len(value) <= ITEMS_MAX else {**kept, "_cut": f"{len(value)} entries"}
    if isinstance(value, (list, tuple)):
        items = [_shortened(item) for item in value[:ITEMS_MAX]]
        return items if len(value) <= ITEMS_MAX else [*items, f"… ({len(value)} entries)"]
    return value
