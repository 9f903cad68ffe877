"""The manifest: the publisher's signed word on one package, and the rules by which gateway and terminal refuse it.

``open_manifest`` turns bytes into a believed manifest, ``check`` says whether it suits one terminal. Called by ``packages`` at
the upload, by the core before an offer, and by the terminal at the offer and again before it installs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import TrustError, WireError
from gateway.trust.keys import KeyRing
from gateway.trust.signed import sign, verify
from gateway.trust.versions import compare_versions, is_version
from gateway.wire.codec import MAX_SEGMENTS, decode_signed, read_table, write_table
from gateway.wire.codec import encode as encode_message
from gateway.wire.codes import Code, Component
from gateway.wire.fields import MAX_INTEGER, Field, Table, binary, integer, mapping, sequence, text, word
from gateway.wire.messages import SEGMENT_BYTES

HASH_BYTES: Final = hashlib.sha256().digest_size
MAX_MANIFEST_BYTES: Final = 56 * 1024  # signed and packed; leaves room in an order for the rest of an offer
MAX_PACKAGE_BYTES: Final = MAX_SEGMENTS * SEGMENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a package is, for whom, and the hash of every piece of it."""

    component: Component
    version: str
    counter: int
    """Release counter: rises with each release of the component; a terminal never installs one below its floor."""
    models: tuple[str, ...]
    """The terminal models that it is made for, at least one."""
    size_bytes: int
    sha256: bytes
    """Of the whole payload."""
    segments: tuple[bytes, ...]
    """SHA-256 of each 128 KiB segment, the last one of what remains."""
    minimum_versions: Mapping[str, str] = field(default_factory=dict)
    """Lowest version of each named component on the terminal."""
    battery_min_pct: int = 0
    storage_min_bytes: int = 0
    created_ms: int = 0
    notes: str = ""


def encode(manifest: Manifest) -> bytes:
    """The bytes that are signed.

    Raises:
        TrustError: ``manifest_invalid`` when the manifest breaks its own rules.
    """
    try:
        return write_table(TABLE, manifest)
    except WireError as exc:
        raise TrustError(f"manifest: {exc.message}", code=Code.MANIFEST_INVALID) from exc


def decode(body: bytes) -> Manifest:
    """The manifest that was signed; raises only ``TrustError`` (``manifest_invalid``). Check the signature first."""
    try:
        return read_table(TABLE, body)
    except WireError as exc:
        raise TrustError(f"manifest: {exc.message}", code=Code.MANIFEST_INVALID) from exc


def sign_manifest(manifest: Manifest, private: bytes) -> bytes:
    """A manifest as it travels: an encoded envelope, at most ``MAX_MANIFEST_BYTES`` long.

    Raises:
        TrustError: ``manifest_invalid``.
    """
    blob = encode_message(sign("manifest", encode(manifest), private))
    if len(blob) > MAX_MANIFEST_BYTES:
        raise TrustError(
            f"the signed manifest has {len(blob)} bytes, at most {MAX_MANIFEST_BYTES} allowed", code=Code.MANIFEST_INVALID
        )
    return blob


def open_manifest(blob: bytes, ring: KeyRing) -> Manifest:
    """The manifest in an envelope, believed to come from a publisher of the ring.

    Raises:
        TrustError: ``signature_invalid`` when it is not believed, ``manifest_invalid`` when it is no envelope with a manifest.
    """
    if len(blob) > MAX_MANIFEST_BYTES:
        raise TrustError(f"{len(blob)} bytes, at most {MAX_MANIFEST_BYTES} allowed", code=Code.MANIFEST_INVALID)

    try:
        signed = decode_signed(blob)
    except WireError as exc:
        raise TrustError(f"not a signed envelope: {exc.message}", code=Code.MANIFEST_INVALID) from exc
    return decode(verify("manifest", signed, ring))


def check(manifest: Manifest, *, model: str, components: Mapping[str, str], floors: Mapping[str, int]) -> Code:
    """Whether a terminal may install the package: ``ok``, or the first reason why not.

    ``components`` and ``floors`` are the terminal's own facts. A component that the terminal has not got yet may be installed.
    """
    name = manifest.component.value
    running = components.get(name)
    if model not in manifest.models:
        return Code.MODEL_MISMATCH
    if running is not None and compare_versions(running, manifest.version) == 0:
        return Code.ALREADY_INSTALLED
    if manifest.counter < floors.get(name, 0) or (running is not None and compare_versions(running, manifest.version) > 0):
        return Code.VERSION_TOO_LOW
    for needed, lowest in manifest.minimum_versions.items():
        if compare_versions(components.get(needed, ""), lowest) < 0:
            return Code.BASE_VERSION_TOO_LOW
    return Code.OK


def segment_size(manifest: Manifest, index: int) -> int:
    """Bytes of segment ``index``."""
    return min(SEGMENT_BYTES, manifest.size_bytes - index * SEGMENT_BYTES)


def _version(value: object) -> str:
    if not isinstance(value, str) or not is_version(value):
        raise ValueError("expected a version such as 2.1.0 or 2.1.0-rc.1")
    return value


def _digests(value: object) -> tuple[bytes, ...]:
    """Segment hashes travel as one byte string, so that 1,536 of them still fit into an order."""
    if type(value) is not bytes or len(value) % HASH_BYTES or not 1 <= len(value) // HASH_BYTES <= MAX_SEGMENTS:
        raise ValueError(f"expected 1..{MAX_SEGMENTS} hashes of {HASH_BYTES} bytes, one after another")
    return tuple(value[at : at + HASH_BYTES] for at in range(0, len(value), HASH_BYTES))


def _joined(value: tuple[bytes, ...]) -> bytes:
    joined = b"".join(value)
    _digests(joined)
    return joined


def _agrees(manifest: Manifest) -> str | None:
    if not manifest.models:
        return "md (models): expected at least one"
    expected = -(-manifest.size_bytes // SEGMENT_BYTES)
    if len(manifest.segments) != expected:
        return f"sg (segments): {manifest.size_bytes} bytes are {expected} segments, found {len(manifest.segments)}"
    return None


TABLE: Final = Table(
    Manifest,
    Field("co", "component", word(Component)),
    Field("v", "version", _version),
    Field("c", "counter", integer(1, MAX_INTEGER)),
    Field("md", "models", sequence(text(64, least=1), 64)),
    Field("sz", "size_bytes", integer(1, MAX_PACKAGE_BYTES)),
    Field("h", "sha256", binary(HASH_BYTES, least=HASH_BYTES)),
    Field("sg", "segments", _digests, _joined),
    Field("mv", "minimum_versions", mapping(_version, 16)),
    Field("bp", "battery_min_pct", integer(0, 100)),
    Field("sf", "storage_min_bytes", integer(0, MAX_INTEGER)),
    Field("at", "created_ms", integer(0, MAX_INTEGER)),
    Field("n", "notes", text(1024)),
    agree=_agrees,
)
