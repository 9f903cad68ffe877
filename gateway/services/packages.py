"""Packages as people see them: take one in while it streams, list, look at the manifest, withdraw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import anyio

from gateway.core.effects import Append
from gateway.errors import ConflictError, NotFoundError, StoreError
from gateway.packages.ingest import Ingested, ingest
from gateway.services import cursors
from gateway.services.context import Services, new_id
from gateway.services.pages import Page, page_of
from gateway.store import ledger, packages
from gateway.store.connection import Transaction
from gateway.store.database import Source
from gateway.store.packages import PackageRow
from gateway.trust.manifest import Manifest, decode
from gateway.wire.codec import decode_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A package that is in the store now; ``created`` is false when exactly this one was there before."""

    row: PackageRow
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageDetail:
    """One package with what its publisher signed, and the campaigns that are not over and ship it."""

    row: PackageRow
    manifest: Manifest
    signed_by: str
    campaigns: Sequence[str]


async def upload(services: Services, stream: AsyncIterator[bytes], *, actor: str) -> Uploaded:
    """Take in a package file as it streams. Whatever fails, nothing of it is left; the same file again is no error.

    Raises:
        TrustError: the file or its signature is not to be believed; the code says why.
        TooLargeError: its payload exceeds the limit.
        ConflictError: ``package_exists``: another package of this component has the same version.
        StoreError: it cannot be kept.
    """
    taken = await ingest(stream, services.packages_path, services.ring, max_bytes=services.package_max_bytes)
    async with services.db.write() as tx:
        try:
            known = await _same(tx, taken)
        except ConflictError:
            await _drop_payload(tx, taken)
            raise
        if known is not None:
            return Uploaded(row=known, created=False)
        if not await anyio.Path(taken.path).exists():
            raise StoreError(
                "an equal upload was refused meanwhile and took the payload along; try again", code="package_missing"
            )
        row = _row(taken, services.now_us(), actor)
        await packages.add(tx, row)
        await ledger.append(tx, [_entry(row, row.uploaded_us, actor, "package_uploaded")])
    services.doorbell.ring("ledger")
    return Uploaded(row=row, created=True)


async def listing(
    services: Services, *, component: str = "", withdrawn: bool | None = None, cursor: str | None, limit: int
) -> Page[PackageRow]:
    """Packages, newest first."""
    after = cursors.decode("packages", cursor)
    rows = await packages.page(services.db, component=component, withdrawn=withdrawn, after=after, limit=limit + 1)
    return page_of("packages", rows, limit, lambda row: row.id)


async def show(services: Services, package: str) -> PackageDetail:
    """One package; ``NotFoundError`` (``package_unknown``)."""
    async with services.db.read() as tx:
        row = await known_package(tx, package)
        users = await packages.used_by(tx, package)
    signed = decode_signed(row.manifest)
    return PackageDetail(row=row, manifest=decode(signed.body), signed_by=signed.key, campaigns=users)


async def withdraw(services: Services, package: str, *, actor: str) -> PackageRow:
    """Let no new campaign use it; a second time is no error.

    Raises:
        NotFoundError: ``package_unknown``.
        ConflictError: ``package_in_use``, with the campaigns that are not over and ship it.
    """
    async with services.db.write() as tx:
        row = await known_package(tx, package)
        if row.withdrawn_us is not None:
            return row
        users = await packages.used_by(tx, package)
        if users:
            raise ConflictError(
                f"package {package} is shipped by {', '.join(users[:5])}{' and others' if len(users) > 5 else ''}; "
                "abort or finish them first",
                code="package_in_use",
                campaigns=list(users),
            )
        now_us = services.now_us()
        await packages.withdraw(tx, package, at_us=now_us, by=actor)
        await ledger.append(tx, [_entry(row, now_us, actor, "package_withdrawn")])
        row = await known_package(tx, package)
    services.doorbell.ring("ledger")
    return row


async def known_package(db: Source, package: str) -> PackageRow:
    """The row of a package; ``NotFoundError`` (``package_unknown``)."""
    row = await packages.get(db, package)
    if row is None:
        raise NotFoundError(f"there is no package {package}", code="package_unknown", package=package)
    return row


async def _same(tx: Transaction, taken: Ingested) -> PackageRow | None:
    """The package that this one repeats; ``ConflictError`` when it contradicts one that is there."""
    found = await packages.of_sha256(tx, taken.sha256hex)
    same = [row for row in found if row.withdrawn_us is None and decode(decode_signed(row.manifest).body) == taken.manifest]
    if same:
        return same[0]

    manifest = taken.manifest
    after = ""
    while True:  # versions of one component are few
        rows = await packages.page(tx, component=manifest.component.value, withdrawn=False, after=after, limit=500)
        for row in rows:
            if row.version == manifest.version and set(row.models) & set(manifest.models):
                raise ConflictError(
                    f"package {row.id} already is {manifest.component} {manifest.version} for {', '.join(row.models)}; "
                    "withdraw it first, or give this one its own version",
                    code="package_exists",
                    package=row.id,
                )
        if len(rows) < 500:
            return None
        after = rows[-1].id


async def _drop_payload(tx: Transaction, taken: Ingested) -> None:
    """Remove the file of a refused upload, unless a package has the same payload."""
    if not await packages.of_sha256(tx, taken.sha256hex):
        await anyio.Path(taken.path).unlink(missing_ok=True)


def _row(taken: Ingested, now_us: int, actor: str) -> PackageRow:
    manifest = taken.manifest
    return PackageRow(
        id=new_id("p", now_us),
        component=manifest.component.value,
        version=manifest.version,
        counter=manifest.counter,
        models=manifest.models,
        size_bytes=manifest.size_bytes,
        sha256=taken.sha256hex,
        file=taken.path.name,
        manifest=taken.blob,
        notes=manifest.notes,
        uploaded_us=now_us,
        uploaded_by=actor,
    )


def _entry(row: PackageRow, at_us: int, actor: str, what: str) -> Append:
    return Append(
        at_us=at_us,
        terminal="",
        campaign="",
        upgrade="",
        actor=actor,
        what=what,
        from_state="",
        to_state="",
        code="ok",
        evidence={"package": row.id, "component": row.component, "version": row.version, "sha256": row.sha256},
    )
