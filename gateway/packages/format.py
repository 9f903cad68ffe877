"""The package file ``.tgp`` (docs/protocol.md, "Package file"): magic, length of the signed manifest, manifest, payload.

``build`` writes it, ``ingest`` reads it as it streams in. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from typing import Final

from gateway.errors import TrustError
from gateway.trust.manifest import MAX_MANIFEST_BYTES

MAGIC: Final = b"TGPK1\n"
SUFFIX: Final = ".tgp"

_LENGTH: Final = struct.Struct(">I")
_START: Final = len(MAGIC) + _LENGTH.size


def head(blob: bytes) -> bytes:
    """All that stands before the payload; ``blob`` is the signed manifest."""
    return MAGIC + _LENGTH.pack(len(blob)) + blob


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """The signed manifest and what follows it, or ``None`` while ``data`` is too short to hold it.

    Raises:
        TrustError: ``magic_invalid`` or ``manifest_too_long``, as soon as the bytes show it.
    """
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise TrustError(f"not a package: it starts with {data[: len(MAGIC)]!r}, expected {MAGIC!r}", code="magic_invalid")
    if len(data) < _START:
        return None

    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    if length > MAX_MANIFEST_BYTES:
        raise TrustError(f"a manifest of {length} bytes, at most {MAX_MANIFEST_BYTES} allowed", code="manifest_too_long")
    if len(data) < _START + length:
        return None
    return data[_START : _START + length], data[_START + length :]
