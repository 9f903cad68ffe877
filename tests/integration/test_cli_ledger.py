"""``tillgate ledger``: what a person sees of a ledger that is in order, and of one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from gateway.errors import StoreError
from gateway.services import seals
from gateway.services.days import DAY_US
from gateway.store import audit as rows
from tests.integration.test_api_events import append
from tests.integration.test_api_ledger import tamper
from tests.integration.test_cli import Said, shell


async def test_verify_names_what_is_wrong_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.save(*(append(f"T{number % 2}", number) for number in range(9)))
        [seal] = await seals.seal_due(run.gateway.services)
        good = await run("ledger", "verify")
        for statement in (
            "UPDATE ledger SET evidence = '{}' WHERE seq = 3",
            "DELETE FROM ledger WHERE seq = 6",
            "CREATE TABLE copy AS SELECT * FROM ledger WHERE seq = 1",
            "UPDATE copy SET seq = 20, terminal = 'T7'",
            "INSERT INTO ledger SELECT * FROM copy",
        ):
            tamper(run.gateway, statement)
        bad = await run("ledger", "verify")
        as_json = await run("ledger", "verify", "--json")
        wrong = await run("ledger", "verify", "--from", "monday")

    assert good.code == 0
    assert good.out.splitlines() == [
        "9 entries and 1 seals verified; not sealed yet: 0",
        f"newest seal 1 of {seal.day}, up to entry 9: {seal.hash.hex()}",
        "nothing is wrong",
    ]
    assert bad.code == as_json.code == 1
    said = bad.out.splitlines()
    assert [line.split(":")[0] for line in said[:5]] == [
        "changed entry 3 of T0",
        "missing entry 6 of T1",
        "changed entry 20 of T7",
        "broken seal 1",
        "missing entry 10 to 19",
    ]
    assert said[-1] == "5 findings"
    values = [json.loads(line) for line in as_json.out.splitlines()]
    assert [one["kind"] for one in values] == ["finding"] * 5 + ["verdict"]
    assert wrong == Said(2, "", "tillgate: 'monday' is not a day in UTC such as 2026-11-26 (day_invalid)\n")


async def test_export_writes_a_whole_file_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object, after_seq: int, **rest: object) -> object:
        if after_seq > 0:
            raise StoreError("the disk failed", code="store_io_failed")
        return await kept(run.gateway.services.db, after_seq=after_seq, from_us=0, until_us=2**60, limit=1)

    kept = rows.kept
    sheet, cut = anyio.Path(tmp_path / "ledger.csv"), anyio.Path(tmp_path / "cut.jsonl")
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.save(*(append(f"T{number % 2}", number * DAY_US) for number in range(4)))
        written = await run("ledger", "export", "--format", "csv", "-o", sheet)
        wrong = await run("ledger", "export", "--format", "xml")
        nowhere = await run("ledger", "export", "-o", tmp_path / "none" / "ledger.jsonl")
        monkeypatch.setattr(rows, "kept", failing)
        broken = await run("ledger", "export", "-o", cut)
        content = await sheet.read_text()
        left = [path.name async for path in anyio.Path(tmp_path).glob("cut*")]

    assert written == Said(0, "", "")
    assert len(content.splitlines()) == 5
    assert wrong == Said(2, "", "tillgate: --format xml: expected jsonl or csv\n")
    assert nowhere.code == broken.code == 2
    assert "cannot write" in nowhere.err
    assert "broke" in broken.err
    assert left == []


async def test_export_goes_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.save(append("T1", 1), append("T2", 2))
        said = await run("ledger", "export", "--terminal", "T2")

    assert (said.code, said.value["seq"], said.value["terminal"]) == (0, 2, "T2")
