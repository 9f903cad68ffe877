"""Packages for the tests: built with the publisher's key of a stage, or of a stranger; and their manifests, bent at will."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Final

from gateway.config import read_private_key
from gateway.packages.build import build
from gateway.packages.format import split_head
from gateway.trust.keys import new_private_key
from gateway.wire.codes import Component
from tests.harness.stage import MODEL, OTHER_MODEL, Stage

#: Every package has a version of its own, since tests share a gateway.
_NUMBERS: Final = itertools.count(1)


def parcel(
    stage: Stage,
    *,
    size: int = 300_000,
    models: tuple[str, ...] = (MODEL, OTHER_MODEL),
    version: str = "",
    stranger: bool = False,
) -> Path:
    """A package file of the app; signed by a ``stranger``, or by the publisher whom the stage believes."""
    number = next(_NUMBERS)
    folder = stage.folder / "parcels"
    folder.mkdir(exist_ok=True)
    source, out = folder / f"{number}.bin", folder / f"{number}.tgp"
    source.write_bytes(Random(number).randbytes(size))
    private = new_private_key() if stranger else read_private_key(stage.home / "keys" / "publisher.key")
    build(
        source,
        out,
        private=private,
        component=Component.APP,
        version=version or f"2.0.{number}",
        counter=100 + number,
        models=models,
        battery_min_pct=20,
        storage_min_bytes=1_000_000,
    )
    return out


def uploaded(stage: Stage, package: Path) -> str:
    """The id of a package that the gateway has taken in."""
    answer = stage.upload(package)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def manifest_of(package: Path) -> bytes:
    """The signed manifest of a package file."""
    parts = split_head(package.read_bytes())
    assert parts is not None
    return parts[0]


def version_of(stage: Stage, package: str) -> str:
    """The version that a package brings."""
    return str(stage.get(f"/packages/{package}")["version"])
