"""Building and signing package files: a file as it is, or a folder as a tar that comes out the same on every machine.

Called by ``tillgate package build`` and ``tillgate package sign``, and by tests. Blocking: call it from a thread when a loop
runs. The file appears whole under its name or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NotRequired, TypedDict, Unpack

from gateway.errors import RequestError, TooLargeError, TrustError, WireError
from gateway.packages.format import head, split_head
from gateway.trust.manifest import MAX_MANIFEST_BYTES, MAX_PACKAGE_BYTES, Manifest, decode, sign_manifest
from gateway.wire.codec import decode_signed
from gateway.wire.codes import Code, Component
from gateway.wire.messages import SEGMENT_BYTES

_COPY_BYTES: Final = 1 << 20


class ManifestFields(TypedDict):
    """What the publisher says of a package; the rest of its manifest follows from the payload."""

    component: Component
    version: str
    counter: int
    models: tuple[str, ...]
    minimum_versions: NotRequired[Mapping[str, str]]
    battery_min_pct: NotRequired[int]
    storage_min_bytes: NotRequired[int]
    created_ms: NotRequired[int]
    notes: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Digests:
    size_bytes: int
    sha256: bytes
    segments: tuple[bytes, ...]


def build(source: Path, out: Path, *, private: bytes, **fields: Unpack[ManifestFields]) -> Manifest:
    """Write the package ``out`` from a file or folder, signed with the publisher's key; its manifest.

    Raises:
        RequestError: ``source_invalid`` when there is no such file or folder, a folder holds anything but files and folders, or
            the source changes meanwhile; ``target_invalid`` when ``out`` cannot be written.
        TooLargeError: the payload exceeds ``MAX_PACKAGE_BYTES``.
        TrustError: ``manifest_invalid`` when a field breaks its rule.
    """
    with _open_source(source) as payload:
        digests = _digest(payload)
        manifest = Manifest(size_bytes=digests.size_bytes, sha256=digests.sha256, segments=digests.segments, **fields)
        _write(out, sign_manifest(manifest, private), payload, 0, digests.sha256)
    return manifest


def sign(source: Path, out: Path, *, private: bytes) -> Manifest:
    """Write the package ``source`` again as ``out``, under another signature; its manifest. The old signature is not looked at.

    Raises:
        RequestError: ``source_invalid`` when the file cannot be read, or its payload is not the one of its manifest;
            ``target_invalid`` when ``out`` cannot be written.
        TrustError: ``magic_invalid``, ``manifest_too_long``, ``manifest_invalid`` or ``length_mismatch``.
    """
    manifest, offset = read_manifest(source)
    with _open_source(source) as file:
        _write(out, sign_manifest(manifest, private), file, offset, manifest.sha256)
    return manifest


def read_manifest(path: Path) -> tuple[Manifest, int]:
    """The manifest of a package file, *not* verified, and where its payload begins; raises as ``sign``."""
    with _open_source(path) as file:
        parts = split_head(file.read(len(head(b"")) + MAX_MANIFEST_BYTES))
    if parts is None:
        raise TrustError(f"{path.name} ends within its manifest", code=Code.LENGTH_MISMATCH)

    blob = parts[0]
    try:
        return decode(decode_signed(blob).body), len(head(blob))
    except WireError as exc:
        raise TrustError(f"not a signed envelope: {exc.message}", code=Code.MANIFEST_INVALID) from exc


def _open_source(source: Path) -> IO[bytes]:
    """A file as it is, a folder as its tar."""
    try:
        if not source.is_dir():
            return source.open("rb")
        with ExitStack() as undo:
            file = undo.enter_context(tempfile.TemporaryFile())
            _pack_folder(source, file)
            undo.pop_all()
    except OSError as exc:
        raise RequestError(f"cannot read {source}: {exc.strerror}", code="source_invalid") from exc
    return file


def _pack_folder(folder: Path, out: IO[bytes]) -> None:
    """A tar whose bytes depend on names, contents and the executable bit alone: sorted, without owners and times."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise RequestError(f"{path} is neither a file nor a folder", code="source_invalid")

            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_dir():
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                tar.addfile(entry)
                continue
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                entry.size = status.st_size
                entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
                tar.addfile(entry, file)


def _digest(payload: IO[bytes]) -> _Digests:
    if payload.seek(0, os.SEEK_END) > MAX_PACKAGE_BYTES:
        raise TooLargeError(f"the payload exceeds {MAX_PACKAGE_BYTES} bytes, the largest that one package may carry")

    whole = hashlib.sha256()
    segments: list[bytes] = []
    size_bytes = 0
    payload.seek(0)
    while piece := payload.read(SEGMENT_BYTES):
        size_bytes += len(piece)
        whole.update(piece)
        segments.append(hashlib.sha256(piece).digest())
    return _Digests(size_bytes=size_bytes, sha256=whole.digest(), segments=tuple(segments))


def _write(out: Path, blob: bytes, source: IO[bytes], offset: int, sha256: bytes) -> None:
    """Head and payload under a temporary name beside ``out``, checked, then renamed."""
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            file.write(head(blob))
            _copy(source, offset, file, sha256)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as exc:
        raise RequestError(f"cannot write {out}: {exc.strerror}", code="target_invalid") from exc
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], offset: int, out: IO[bytes], sha256: bytes) -> None:
    whole = hashlib.sha256()
    source.seek(offset)
    while piece := source.read(_COPY_BYTES):
        whole.update(piece)
        out.write(piece)
    if whole.digest() != sha256:
        raise RequestError("the payload is not the one that its manifest describes", code="source_invalid")
