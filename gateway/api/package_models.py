"""Bodies about packages."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.shapes import Answer


class PackageOut(Answer):
    """One package."""

    id: str
    component: str
    version: str
    release_counter: int = Field(description="Rises with each release of the component.")
    models: list[str]
    size_bytes: int
    sha256: str = Field(description="Of the payload, in hex.")
    notes: str
    uploaded_at: datetime
    uploaded_by: str
    withdrawn_at: datetime | None = Field(description="Null while campaigns may use it.")
    withdrawn_by: str


class ManifestOut(Answer):
    """What the publisher signed."""

    component: str
    version: str
    release_counter: int
    models: list[str]
    size_bytes: int
    sha256: str
    segments_count: int = Field(description="Pieces of 128 KiB, each with a hash of its own.")
    minimum_versions: dict[str, str]
    battery_min_pct: int
    storage_min_bytes: int
    created_at: datetime | None
    notes: str
    signed_by: str = Field(description="Id of the publisher's key.")


class PackageDetailOut(PackageOut):
    """One package with its manifest."""

    manifest: ManifestOut
    campaigns: list[str] = Field(description="Campaigns that ship it and are not over.")


class UploadOut(PackageOut):
    """What an upload led to."""

    created: bool = Field(description="False when exactly this package was there already.")
