"""Routes about packages: upload as a stream, list, show, withdraw."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from gateway.api.given import Actor, Cursor, Given, Limit, PackageId, PageLimit, problems
from gateway.api.package_models import ManifestOut, PackageDetailOut, PackageOut, UploadOut
from gateway.api.shapes import Page, moment, moment_or_none
from gateway.errors import RequestError
from gateway.services import packages
from gateway.services.packages import PackageDetail
from gateway.store.packages import PackageRow
from gateway.wire.codes import Component

MEDIA_TYPE: Final = "application/octet-stream"
_BODY: Final = {"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}

router = APIRouter(tags=["packages"])


@router.post(
    "/packages",
    operation_id="uploadPackage",
    summary="Upload a package",
    status_code=201,
    openapi_extra=_BODY,
    responses=problems(s409="Another package has this version", s413="Too large", s422="Not to be believed"),
)
async def upload(request: Request, response: Response, services: Given, actor: Actor) -> UploadOut:
    """Take in a signed package file (`.tgp`) while it streams.

    It is kept when signature, length and every hash hold, and leaves nothing behind otherwise, also when the connection breaks.
    The same file again is answered 200 with `created: false`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise RequestError(f"a package is sent as {MEDIA_TYPE}", code="media_type_unsupported")
    done = await packages.upload(services, request.stream(), actor=actor)
    if not done.created:
        response.status_code = 200
    return UploadOut(**package_out(done.row).model_dump(), created=done.created)


@router.get("/packages", operation_id="listPackages", summary="List packages", responses=problems(s422="Invalid"))
async def listing(
    services: Given,
    component: Annotated[Component | None, Query(description="Only packages of this component.")] = None,
    withdrawn: Annotated[bool | None, Query(description="Only withdrawn ones, or only those that are not.")] = None,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[PackageOut]:
    """Packages, newest first."""
    name = component.value if component else ""
    page = await packages.listing(services, component=name, withdrawn=withdrawn, cursor=cursor, limit=limit)
    return Page(items=[package_out(row) for row in page.rows], next=page.next)


@router.get(
    "/packages/{package}",
    operation_id="showPackage",
    summary="Show one package with its manifest",
    responses=problems(s404="There is none"),
)
async def show(package: PackageId, services: Given) -> PackageDetailOut:
    """One package with its manifest, and the campaigns that ship it."""
    return _detail(await packages.show(services, package))


@router.post(
    "/packages/{package}/withdraw",
    operation_id="withdrawPackage",
    summary="Withdraw a package",
    responses=problems(s404="There is none", s409="In use"),
)
async def withdraw(package: PackageId, services: Given, actor: Actor) -> PackageOut:
    """Let no new campaign use it. Refused while a campaign that is not over ships it."""
    return package_out(await packages.withdraw(services, package, actor=actor))


def package_out(row: PackageRow) -> PackageOut:
    """One package as an answer."""
    return PackageOut(
        id=row.id,
        component=row.component,
        version=row.version,
        release_counter=row.counter,
        models=list(row.models),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        notes=row.notes,
        uploaded_at=moment(row.uploaded_us),
        uploaded_by=row.uploaded_by,
        withdrawn_at=moment_or_none(row.withdrawn_us),
        withdrawn_by=row.withdrawn_by,
    )


def _detail(detail: PackageDetail) -> PackageDetailOut:
    manifest = detail.manifest
    return PackageDetailOut(
        **package_out(detail.row).model_dump(),
        manifest=ManifestOut(
            component=manifest.component.value,
            version=manifest.version,
            release_counter=manifest.counter,
            models=list(manifest.models),
            size_bytes=manifest.size_bytes,
            sha256=manifest.sha256.hex(),
            segments_count=len(manifest.segments),
            minimum_versions=dict(manifest.minimum_versions),
            battery_min_pct=manifest.battery_min_pct,
            storage_min_bytes=manifest.storage_min_bytes,
            created_at=moment_or_none(min(manifest.created_ms, 253_402_300_799_000) * 1000),
            notes=manifest.notes,
            signed_by=detail.signed_by,
        ),
        campaigns=list(detail.campaigns),
    )
