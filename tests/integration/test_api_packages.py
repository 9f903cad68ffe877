"""Packages over HTTP: streamed uploads that are kept whole or not at all, and withdrawal."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

from gateway.packages.build import sign
from gateway.trust.keys import new_private_key
from tests.integration.http_gateway import HttpGateway, http_gateway, until
from tests.integration.test_api_guard import AUTHORIZATION, assert_problem, raw

OCTETS = {"content-type": "application/octet-stream"}


async def kept(gateway: HttpGateway) -> list[str]:
    """The names in the package folder."""
    folder = anyio.Path(gateway.services.packages_path)
    return sorted([path.name async for path in folder.iterdir()]) if await folder.exists() else []


async def test_a_package_is_taken_in_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        file = gateway.package_file()
        first = await gateway.upload(file)
        again = await gateway.upload(file)
        package = first.json()["id"]
        shown = (await gateway.http.get(f"/api/v1/packages/{package}")).json()
        listed = (await gateway.http.get("/api/v1/packages?component=app&withdrawn=false")).json()["items"]
        files = await kept(gateway)

    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"], again.json()["id"]) == (200, False, package)
    assert (shown["component"], shown["version"], shown["size_bytes"]) == ("app", "2.0.0", 200_000)
    assert shown["manifest"]["segments_count"] == 2
    assert shown["campaigns"] == []
    assert [item["id"] for item in listed] == [package]
    assert files == [f"{shown['sha256']}.payload"]


async def test_what_is_not_to_be_believed_leaves_nothing(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        file = gateway.package_file()
        foreign = tmp_path / "foreign.tgp"
        sign(file, foreign, private=new_private_key())
        whole = await anyio.Path(file).read_bytes()
        refused = {
            "signature_invalid": await anyio.Path(foreign).read_bytes(),
            "magic_invalid": b"PK\x03\x04" + whole,
            "length_mismatch": whole[:-1],
            "checksum_mismatch": whole[:-1] + bytes([whole[-1] ^ 1]),
            "manifest_too_long": whole[:6] + b"\xff\xff\xff\xff" + whole[10:],
        }
        for code, content in refused.items():
            assert_problem(await gateway.http.post("/api/v1/packages", content=content, headers=OCTETS), 422, code)
        longer = await gateway.http.post("/api/v1/packages", content=whole + b"x", headers=OCTETS)
        assert_problem(longer, 422, "length_mismatch")
        as_json = await gateway.http.post("/api/v1/packages", content=whole, headers={"content-type": "application/json"})
        assert_problem(as_json, 422, "media_type_unsupported")

        assert (await gateway.http.get("/api/v1/packages")).json()["items"] == []
        assert await kept(gateway) == []


async def test_an_upload_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    async with http_gateway(tmp_path, package_max_bytes=100_000) as gateway:
        assert_problem(await gateway.upload(gateway.package_file()), 413, "too_large")
        assert await kept(gateway) == []


async def test_an_upload_broken_off_leaves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with http_gateway(tmp_path) as gateway:
        whole = await anyio.Path(gateway.package_file(size_bytes=3_000_000)).read_bytes()
        head = b"POST /api/v1/packages HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(whole)
        stream = await anyio.connect_tcp("127.0.0.1", httpx.URL(gateway.url).port or 0)
        await stream.send(head + AUTHORIZATION + length + whole[: len(whole) // 2])
        await until(lambda: kept(gateway), is_true=True)  # it has begun to write
        await stream.aclose()
        await until(lambda: kept(gateway), is_true=False)

        assert (await gateway.http.get("/api/v1/packages")).json()["items"] == []
        assert (await gateway.upload(gateway.package_file())).status_code == 201
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # nobody's fault, no traceback


async def test_an_upload_that_stops_coming_leaves_nothing(tmp_path: Path) -> None:
    async with http_gateway(tmp_path, body_idle_s=0.2) as gateway:
        whole = await anyio.Path(gateway.package_file(size_bytes=3_000_000)).read_bytes()

        head = b"POST /api/v1/packages HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(whole)
        answer = await raw(gateway.url, head + AUTHORIZATION + length + whole[: len(whole) // 2])

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert await kept(gateway) == []


async def test_one_version_is_one_package(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        first = await gateway.upload(gateway.package_file(seed=1))
        other = await gateway.upload(gateway.package_file(seed=2))
        files = await kept(gateway)
        withdrawn = await gateway.http.post(f"/api/v1/packages/{first.json()['id']}/withdraw")
        then = await gateway.upload(gateway.package_file(seed=2))

    assert_problem(other, 409, "package_exists")
    assert len(files) == 1
    assert withdrawn.json()["withdrawn_at"] is not None
    assert then.status_code == 201


async def test_a_package_in_use_is_not_withdrawn(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1")
        package = (await gateway.http.get(f"/api/v1/campaigns/{campaign}")).json()["package"]
        refused = await gateway.http.post(f"/api/v1/packages/{package}/withdraw")
        await gateway.http.post(f"/api/v1/campaigns/{campaign}/abort")
        withdrawn = await gateway.http.post(f"/api/v1/packages/{package}/withdraw")
        again = await gateway.http.post(f"/api/v1/packages/{package}/withdraw")
        body = {"name": "late", "package": package, "terminals": ["T1"]}
        late = await gateway.http.post("/api/v1/campaigns", json=body)
        missing = await gateway.http.post("/api/v1/packages/p-none/withdraw")

    assert_problem(refused, 409, "package_in_use")
    assert refused.json()["facts"]["campaigns"] == [campaign]
    assert withdrawn.json()["withdrawn_by"] == "operator:api"
    assert again.json() == withdrawn.json()
    assert_problem(late, 409, "package_withdrawn")
    assert_problem(missing, 404, "package_unknown")
