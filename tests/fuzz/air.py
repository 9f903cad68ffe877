"""Decoders of what comes over the air or is believed by its signature: messages, topics, manifests, packages, keys."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from gateway.errors import TooLargeError, TrustError, WireError
from gateway.packages.format import head, split_head
from gateway.packages.ingest import ingest
from gateway.trust import manifest as manifests
from gateway.trust.keys import KeyRing, load_private, load_public, private_text, public_of, public_text
from gateway.trust.signed import sign
from gateway.wire.codec import TABLES, decode, decode_order, decode_signed, encode, encode_order, kind_of
from gateway.wire.ranges import RangeSet
from gateway.wire.topics import down, parse_down, parse_up, up
from tests.fuzz.decoder import Decoder, accepted, same, vectors

PRIVATE: Final = bytes(range(32))
PUBLISHER: Final = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")  # of the vectors
RING: Final = KeyRing([public_of(PRIVATE), PUBLISHER])
WIRE_CODES: Final = frozenset({"payload_too_large", "kind_unknown", "not_msgpack", "field_invalid"})
#: Largest payload of a package that the fuzzer makes: two segments, so that it sees an edge.
PAYLOAD_MAX_BYTES: Final = 200_000


# -- on the air


def _message(kind: str, data: bytes) -> bool:
    try:
        message = decode(kind, data)
    except WireError as exc:
        if exc.code not in WIRE_CODES:
            raise
        return False
    same(kind, kind_of(message))
    same(message, decode(kind, encode(message)))
    return True


def _order(data: bytes) -> bool:
    with suppress(WireError):
        order = decode_order(data)
        same(order, decode_order(encode_order(order)))
        return True
    return False


def _envelope(data: bytes) -> bool:
    with suppress(WireError):
        signed = decode_signed(data)
        same(signed, decode_signed(encode(signed)))
        return True
    return False


def _topics(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    with suppress(WireError):
        at = parse_up(text)
        same(text, up(at.terminal, at.kind, bulk=at.bulk))
        return True
    with suppress(WireError):
        at = parse_down(text)
        same(text, down(at.terminal, at.kind, bulk=at.bulk))
        return True
    return False


def _ranges(data: bytes) -> bool:
    data = data[:1024]
    numbers = [number for (number,) in struct.iter_unpack(">h", data[: len(data) // 2 * 2])]
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    with suppress(WireError):
        same(pairs, RangeSet.from_wire(pairs, stop=2**14).to_wire(len(pairs)))
        return True
    return False


# -- what is believed


def _manifest(data: bytes) -> bool:
    with suppress(TrustError):
        found = manifests.decode(data)
        same(found, manifests.decode(manifests.encode(found)))
        return True
    return False


def _signed_manifest(data: bytes) -> bool:
    with suppress(TrustError):
        manifests.open_manifest(data, RING)
        return True
    return False


def _package(data: bytes) -> bool:
    """A file as it is: nearly all of them end at the head or at the signature."""
    with suppress(TrustError):
        parts = split_head(data)
        if parts is not None:
            same(data, head(parts[0]) + parts[1])
    return _taken_in(data)


def _resealed_package(data: bytes) -> bool:
    """The manifest's body and the payload as the fuzzer wants them, under a signature that holds."""
    length = int.from_bytes(data[:2], "big")
    body, payload = data[2 : 2 + length], data[2 + length :]
    with suppress(WireError):
        return _taken_in(head(encode(sign("manifest", body, PRIVATE))) + payload)
    return False


def _taken_in(file: bytes) -> bool:
    async def stream() -> AsyncIterator[bytes]:
        yield file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            found = anyio.run(partial(ingest, stream(), folder, RING, max_bytes=PAYLOAD_MAX_BYTES))
        except (TrustError, TooLargeError):
            same([], list(folder.iterdir()))
            return False
        same(file, head(found.blob) + found.path.read_bytes())
        return True


def _private_key(data: bytes) -> bool:
    with suppress(TrustError):
        key = load_private(data)
        same(key, load_private(private_text(key).encode()))
        return True
    return False


def _public_key(data: bytes) -> bool:
    with suppress(TrustError):
        key = load_public(data)
        same(key, load_public(public_text(key).encode()))
        return True
    return False


# -- seeds


def _manifest_bodies() -> list[bytes]:
    return [decode_signed(blob).body for blob in _manifest_blobs()]


def _manifest_blobs() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in vectors("trust")["manifest"]["accepted"]]


def _package_files() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for part in ("accepted", "refused") for case in vectors("package")[part]]


def _parcels() -> list[tuple[bytes, bytes]]:
    parts = [split_head(bytes.fromhex(case["hex"])) for case in vectors("package")["accepted"]]
    return [(decode_signed(blob).body, payload) for blob, payload in (part for part in parts if part is not None)]


def _resealable() -> list[bytes]:
    return [len(body).to_bytes(2, "big") + body + payload for body, payload in _parcels()]


def _topic_names() -> list[bytes]:
    accepted = vectors("topics")["accepted"]
    names = [case[key] for case in accepted for key in ("up", "up_bulk", "down", "down_bulk")]
    return [name.encode() for name in [*names, *(case["topic"] for case in vectors("topics")["refused"])]]


def _range_lists() -> list[bytes]:
    return [struct.pack(f">{len(found)}h", *found) for found in ((0, 4), (0, 3, 5, 9, 100, 16_384), (3, 2), (0, 3, 3, 4))]


def _key_files() -> list[bytes]:
    return [private_text(PRIVATE).encode(), public_text(public_of(PRIVATE)).encode()]


def of_the_air() -> Iterable[Decoder]:
    """Messages, topics, manifests, packages and keys."""
    for kind in TABLES:
        yield Decoder(kind, partial(_message, kind), partial(accepted, kind))
    yield Decoder("order body", _order, partial(accepted, "order_body"))
    yield Decoder("envelope", _envelope, _manifest_blobs)
    yield Decoder("topics", _topics, _topic_names, 200)
    yield Decoder("range set", _ranges, _range_lists, 256)
    yield Decoder("manifest", _manifest, _manifest_bodies)
    yield Decoder("signed manifest", _signed_manifest, _manifest_blobs)
    yield Decoder("package file", _package, _package_files)
    yield Decoder("resealed package", _resealed_package, _resealable)
    yield Decoder("private key", _private_key, _key_files, 600)
    yield Decoder("public key", _public_key, _key_files, 600)
