"""A copy taken while the store is in use is whole, is checked, and comes back marked; nothing is ever overwritten."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import StoreError, StoreInUseError
from gateway.store import backup, campaigns, ledger, meta, terminals
from gateway.store.backup import Manifest, examine, manifest_of, put_back, take
from gateway.store.database import Database
from tests.integration.store.build import AT_US, saved_terminal, upgraded, writing_to

LATER_US = AT_US + 3_600_000_000


def integer(store: Path, statement: str) -> int:
    """One number from a closed store."""
    with closing(sqlite3.connect(store)) as connection:
        return int(connection.execute(statement).fetchone()[0])


def names_in(folder: Path) -> set[str]:
    """Of everything in it."""
    return {one.name for one in folder.iterdir()}


def torn(store: Path) -> Path:
    """Make garbage of a store, and leave it a log; the log."""
    store.write_bytes(b"no database" * 1000)
    log = store.with_name(store.name + "-wal")
    log.write_bytes(b"its log")
    return log


async def backed_up(store: Path, file: Path) -> Manifest:
    """A store with three terminals and a running campaign, copied while it is open; one more terminal comes after."""
    async with Database.open(store, readers=1) as db:
        await upgraded(db, 3)
        async with writing_to(db) as writer:
            await writer.save([saved_terminal("T000", online=False)])
        await meta.put(db, backup.EPOCH_KEY, "7")
        manifest = take(store, file, now_us=AT_US)
        await terminals.register(db, [terminals.Registration(id="later")], at_us=AT_US)
        await meta.put(db, backup.EPOCH_KEY, str(LATER_US))  # far ahead of any clock
    return manifest


async def test_a_copy_of_a_store_in_use_is_whole_private_and_one_file(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy" / "one.backup"
    file.parent.mkdir()
    manifest = await backed_up(store_file, file)

    assert names_in(file.parent) == {"one.backup", "one.backup.json"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()} == {0o600}
    assert manifest == examine(file)
    assert (manifest.rows["terminals"], manifest.rows["upgrades"], manifest.payloads) == (3, 3, ("p1.tgp",))
    assert manifest.last_seq == manifest.rows["ledger"] == 3
    assert integer(file, "SELECT count(*) FROM terminals") == 3


async def test_a_store_that_nobody_has_open_is_copied_too(store_file: Path, tmp_path: Path) -> None:
    assert take(store_file, tmp_path / "one.backup", now_us=AT_US).rows["terminals"] == 0


async def test_what_comes_back_is_marked_as_restored(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    manifest = await backed_up(store_file, file)
    done = await put_back(file, store_file, actor="operator:li", now_us=LATER_US)

    assert (done.manifest, done.running, done.paused) == (manifest, ("c1",), ())
    async with Database.open(store_file, readers=1) as db:
        kept = {key: int(await meta.get(db, key) or 0) for key in (backup.EPOCH_KEY, backup.STEP_KEY, backup.RESTORED_KEY)}
        rows = await terminals.page(db)
        [entry] = await ledger.tail(db, after_seq=manifest.last_seq)
    assert (
        kept[backup.EPOCH_KEY] == kept[backup.STEP_KEY] == LATER_US + 1
    )  # above the replaced store's, which is above the clock
    assert kept[backup.RESTORED_KEY] == LATER_US
    assert [(row.id, row.online) for row in rows] == [("T000", True), ("T001", True), ("T002", True)]
    assert (entry.actor, entry.what, entry.evidence["taken_ms"]) == ("operator:li", "store_restored", AT_US // 1000)
    assert done.aside is not None
    assert integer(done.aside, "SELECT count(*) FROM terminals") == 4
    assert names_in(tmp_path) == {"one.backup", "one.backup.json", store_file.name, f"{store_file.name}.lock", done.aside.name}


async def test_campaigns_that_ran_may_be_made_to_wait(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    await backed_up(store_file, file)
    done = await put_back(file, store_file, actor="operator:li", now_us=LATER_US, pause=True)

    assert (done.running, done.paused) == ((), ("c1",))
    async with Database.open(store_file, readers=1) as db:
        row = await campaigns.get(db, "c1")
    assert row is not None
    assert (row.state, row.reason) == ("paused", "restored from a backup")


async def test_a_store_in_use_is_not_replaced(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    async with Database.open(store_file, readers=1) as db:
        take(store_file, file, now_us=AT_US)
        await meta.put(db, "a", "1")
        with pytest.raises(StoreInUseError, match="stop that process"):
            await put_back(file, store_file, actor="operator:li", now_us=LATER_US)
        assert await meta.get(db, "a") == "1"


async def test_a_store_may_be_restored_where_there_is_none(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    await backed_up(store_file, file)
    done = await put_back(file, tmp_path / "new.db", actor="operator:li", now_us=LATER_US)

    assert done.aside is None
    assert integer(tmp_path / "new.db", "SELECT count(*) FROM terminals") == 3


async def test_the_log_of_a_killed_gateway_goes_into_the_store_that_is_kept(store_file: Path, tmp_path: Path) -> None:
    file, killed = tmp_path / "one.backup", tmp_path / "killed.db"
    async with Database.open(store_file, readers=1) as db:
        take(store_file, file, now_us=AT_US)
        await terminals.register(db, [terminals.Registration(id="T1")], at_us=AT_US)
        for suffix in ("", "-wal"):
            shutil.copy(f"{store_file}{suffix}", f"{killed}{suffix}")
    done = await put_back(file, killed, actor="operator:li", now_us=LATER_US)

    assert done.aside is not None
    assert {name for name in names_in(tmp_path) if name.startswith("killed")} == {
        "killed.db",
        "killed.db.lock",
        done.aside.name,
    }
    assert integer(done.aside, "SELECT count(*) FROM terminals") == 1
    assert integer(killed, "SELECT count(*) FROM terminals") == 0


async def test_a_damaged_store_is_replaced_and_kept_with_its_log(store_file: Path, tmp_path: Path) -> None:
    """It is what restores are for. A log left in place would be taken for the new store's."""
    file = tmp_path / "one.backup"
    await backed_up(store_file, file)
    log = torn(store_file)
    done = await put_back(file, store_file, actor="operator:li", now_us=LATER_US)

    assert done.aside is not None
    assert done.aside.read_bytes().startswith(b"no database")
    assert done.aside.with_name(done.aside.name + "-wal").read_bytes() == b"its log"
    assert not log.exists()
    assert integer(store_file, "SELECT count(*) FROM terminals") == 3


def refused(code: str, file: Path, store: Path) -> None:
    """Examining and taking again are refused."""
    with pytest.raises(StoreError) as caught:
        examine(file)
    assert caught.value.code == code
    assert store.exists()


async def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    take(store_file, file, now_us=AT_US)
    before = file.read_bytes()
    for again in (file, tmp_path / "two.backup"):
        manifest_of(again).touch()
        with pytest.raises(StoreError, match="is there already and is not overwritten") as caught:
            take(store_file, again, now_us=AT_US)
        assert caught.value.code == "backup_exists"
    with pytest.raises(StoreError, match="No such file") as caught:
        take(store_file, tmp_path / "none" / "x", now_us=AT_US)
    assert caught.value.code == "backup_failed"
    with pytest.raises(StoreError, match="check store_path") as caught:
        take(tmp_path / "none.db", tmp_path / "x", now_us=AT_US)
    assert caught.value.code == "store_missing"
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        take(garbage, tmp_path / "x", now_us=AT_US)
    manifest_of(tmp_path / "x").symlink_to(tmp_path / "nowhere")  # the manifest is what cannot be written
    with pytest.raises(StoreError, match="cannot write the backup"):
        take(store_file, tmp_path / "x", now_us=AT_US)

    assert file.read_bytes() == before
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.part").exists()


async def test_a_store_with_a_torn_page_is_not_backed_up(store_file: Path, tmp_path: Path) -> None:
    async with Database.open(store_file, readers=1) as db:
        await upgraded(db, 3)
    page = integer(store_file, "SELECT rootpage FROM sqlite_master WHERE name = 'upgrades'")
    with store_file.open("r+b") as content:
        content.seek((page - 1) * 4096 + 8)
        content.write(os.urandom(64))
    with pytest.raises(StoreError) as caught:
        take(store_file, tmp_path / "x", now_us=AT_US)

    assert caught.value.code == "store_corrupt"
    assert not (tmp_path / "x").exists()


async def test_a_backup_that_is_not_what_it_says_is_not_restored(store_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    take(store_file, file, now_us=AT_US)
    said = json.loads(manifest_of(file).read_text())
    refused("backup_missing", tmp_path / "none.backup", store_file)
    for changes, code in (
        ({"sha256": "0" * 64}, "backup_damaged"),
        ({"size_bytes": 1}, "backup_damaged"),
        ({"format": 2}, "backup_damaged"),
        ({"colour": "red"}, "backup_damaged"),
        ({"revision": "9999"}, "store_too_new"),
    ):
        manifest_of(file).write_text(json.dumps({**said, **changes}))
        refused(code, file, store_file)
    manifest_of(file).write_text("no manifest")
    refused("backup_damaged", file, store_file)
    manifest_of(file).unlink()
    refused("backup_missing", file, store_file)
