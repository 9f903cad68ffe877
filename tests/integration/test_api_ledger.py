"""The ledger as a whole over HTTP: verified, exported, both a page at a time and never cut in silence."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import StoreError
from gateway.services import audit, export, seals
from gateway.services.days import DAY_US
from gateway.store import audit as rows
from gateway.store.schema import LEDGER_TRIGGERS
from tests.integration.http_gateway import HttpGateway, http_gateway, until
from tests.integration.test_api_events import append
from tests.integration.test_api_guard import assert_problem


def tamper(gateway: HttpGateway, statement: str) -> None:
    """Change the ledger as somebody with the file in hand does."""
    with closing(sqlite3.connect(gateway.folder / "tillgate.db")) as connection, connection:
        for trigger in LEDGER_TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        connection.execute(statement)


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    """Its lines of JSON."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_audit_says_how_far_it_is_what_it_finds_and_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE", 100)
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append(f"T{number % 3}", number) for number in range(250)))
        [seal] = await seals.seal_due(gateway.services)
        await gateway.save(append("T1", DAY_US))
        good = lines(await gateway.http.get("/api/v1/ledger/audit"))
        tamper(gateway, "UPDATE ledger SET code = 'x' WHERE seq = 42")
        bad = lines(await gateway.http.get("/api/v1/ledger/audit"))
        nothing = lines(await gateway.http.get("/api/v1/ledger/audit", params={"to": "2000-01-01"}))

    assert [one["entry_count"] for one in good if one["kind"] == "looked"] == [100, 200, 251]
    verdict = {
        "kind": "verdict",
        "entry_count": 251,
        "seal_count": 1,
        "finding_count": 0,
        "unsealed_count": 1,
        "stopped": False,
    }
    newest = {"number": 1, "day": seal.day, "first_seq": 1, "last_seq": 250, "hash": seal.hash.hex()}
    assert good[-1].pop("newest_seal").items() >= newest.items()
    assert good[-1] == verdict
    [found] = [one for one in bad if one["kind"] == "finding"]
    assert (found["what"], found["number"], found["last"], found["terminal"]) == ("changed", 42, 42, "T2")
    assert bad[-1]["finding_count"] == 1
    assert nothing[-1]["entry_count"] == 0


async def test_an_export_has_every_entry_in_both_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 7)
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append(f"T{number % 3}", number * DAY_US // 10) for number in range(30)))
        path = "/api/v1/ledger/export"
        whole = lines(await gateway.http.get(path))
        sheet = await gateway.http.get(path, params={"format": "csv"})
        one = lines(await gateway.http.get(path, params={"terminal": "T1"}))
        days = sorted({entry["at"][:10] for entry in whole})
        middle = lines(await gateway.http.get(path, params={"from": days[1], "to": days[2]}))
        empty = await gateway.http.get(path, params={"terminal": "T9", "format": "csv"})

    table = list(csv.DictReader(io.StringIO(sheet.text)))
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.headers["content-disposition"] == 'attachment; filename="ledger.csv"'
    assert [entry["seq"] for entry in whole] == [int(row["seq"]) for row in table] == list(range(1, 31))
    assert [entry["hash"] for entry in whole] == [row["hash"] for row in table]
    assert {entry["terminal"] for entry in one} == {"T1"}
    assert len(one) == 10
    assert [entry["seq"] for entry in middle] == [entry["seq"] for entry in whole if entry["at"][:10] in days[1:3]]
    assert empty.text.splitlines() == [",".join(export.HEADINGS)]


async def test_a_file_that_is_cut_short_has_no_proper_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = rows.kept

    async def failing(*args: Any, after_seq: int, **rest: Any) -> Any:  # noqa: ANN401 - as it is called
        if after_seq > 0:
            raise StoreError("the disk failed", code="store_io_failed")
        return await kept(*args, after_seq=after_seq, **rest)

    async with http_gateway(tmp_path) as gateway:
        await gateway.save(append("T1", 1))
        monkeypatch.setattr(rows, "kept", failing)
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.http.get("/api/v1/ledger/export")
        assert gateway.streams.count == 0


async def test_days_and_forms_that_are_none_are_refused(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        for path in ("/api/v1/ledger/audit", "/api/v1/ledger/export"):
            assert_problem(await gateway.http.get(path, params={"from": "today"}), 422, "day_invalid")
        answer = await gateway.http.get("/api/v1/ledger/export", params={"format": "xml"})
        assert_problem(answer, 422, "validation_failed")


async def test_files_take_places_of_streams(tmp_path: Path) -> None:
    async with http_gateway(tmp_path, streams_max=1) as gateway:
        async with gateway.http.stream("GET", "/api/v1/events"):
            assert_problem(await gateway.http.get("/api/v1/ledger/export"), 503, "busy")

        async def is_taken() -> int:
            return gateway.streams.count

        await until(is_taken, is_true=False)
        assert (await gateway.http.get("/api/v1/ledger/export")).status_code == 200
