"""What the doctor says of files: a broker's configuration, the store, room on disks, clocks, keys and certificates."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.doctor.broker_file import PACKET_BYTES, check_broker_file
from gateway.doctor.finding import Finding, Status
from gateway.doctor.host import check_clock, check_disk, kernel_keeps_time
from gateway.doctor.keys import check_keys
from gateway.doctor.store import WITNESSES, check_store
from gateway.store.database import Database
from gateway.trust.keys import new_private_key, private_text, public_of, public_text
from tests.harness.authority import Authority
from tests.harness.broker import CONFIGURATION
from tests.integration.store.build import AT_US, entry, upgraded, writing_to


def statuses(found: list[Finding]) -> dict[str, str]:
    """By check. Whatever is not well says what to do."""
    assert all(bool(one.advice) is (one.status is not Status.OK) for one in found)
    return {one.check: one.status.value for one in found}


# -- the broker's configuration


def shipped(folder: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    """``mosquitto/mosquitto.conf`` with a change."""
    conf = folder / "mosquitto.conf"
    included = folder / "conf.d"
    included.mkdir(exist_ok=True)
    text = (CONFIGURATION / "mosquitto.conf").read_text().replace("/etc/mosquitto/conf.d", str(included))
    conf.write_text(change(text))
    return conf


def test_the_configuration_as_shipped_is_as_it_should_be(tmp_path: Path) -> None:
    assert statuses(check_broker_file(shipped(tmp_path))) == {"broker.conf": "ok"}


@pytest.mark.parametrize(
    ("line", "instead", "check", "status"),
    [
        ("set_tcp_nodelay true", "", "broker.set_tcp_nodelay", "warn"),
        ("max_queued_messages 10000", "", "broker.max_queued_messages", "warn"),
        ("max_queued_messages 10000", "max_queued_messages 100", "broker.max_queued_messages", "warn"),
        ("max_inflight_messages 1000", "", "broker.max_inflight_messages", "warn"),
        ("max_packet_size 66560", f"max_packet_size {PACKET_BYTES - 1}", "broker.max_packet_size", "fail"),
        ("queue_qos0_messages false", "queue_qos0_messages true", "broker.queue_qos0_messages", "warn"),
        ("allow_anonymous false", "allow_anonymous true", "broker.allow_anonymous", "fail"),
        ("acl_file /etc/mosquitto/acl", "", "broker.acl_file", "fail"),
        ("persistence true", "", "broker.persistence", "warn"),
        ("autosave_interval 60", "", "broker.autosave_interval", "warn"),
    ],
)
def test_a_setting_that_is_not_as_it_should_be_is_named(
    tmp_path: Path, line: str, instead: str, check: str, status: str
) -> None:
    conf = shipped(tmp_path, lambda text: text.replace(f"\n{line}\n", f"\n{instead}\n"))

    assert statuses(check_broker_file(conf)) == {check: status}


def test_an_included_file_has_the_last_word(tmp_path: Path) -> None:
    conf = shipped(tmp_path)
    (tmp_path / "conf.d" / "more.conf").write_text("# ours\nset_tcp_nodelay false\n")

    assert statuses(check_broker_file(conf)) == {"broker.set_tcp_nodelay": "warn"}


def test_only_the_main_file_includes_others(tmp_path: Path) -> None:
    """As in Mosquitto, or a file that includes its own folder would have no end."""
    conf = shipped(tmp_path)
    (tmp_path / "conf.d" / "more.conf").write_text(f"include_dir {tmp_path / 'conf.d'}\n")

    assert statuses(check_broker_file(conf)) == {"broker.conf": "ok"}


def test_a_configuration_that_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    assert statuses(check_broker_file(tmp_path / "none.conf")) == {"broker.conf": "warn"}


# -- the store


async def kept(store: Path, *, offset_s: float = 0.0, terminals: int = WITNESSES) -> None:
    """A store in which each terminal has reported once, its clock so far behind."""
    async with Database.open(store, readers=1) as db:
        names = await upgraded(db, terminals)
        async with writing_to(db) as writer:
            at_ms = int(AT_US / 1000 - offset_s * 1000)
            await writer.save([entry(AT_US, terminal=name, evidence={"at_ms": at_ms}) for name in names])


def changed(store: Path, statement: str) -> None:
    """Run one statement on a closed store."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(statement)
        connection.commit()


async def test_a_store_in_use_is_well_and_nothing_of_it_is_touched(tmp_path: Path) -> None:
    store = tmp_path / "tillgate.db"
    await kept(store)
    async with Database.open(store, readers=1):
        found = check_store(store, within_s=5, now_us=AT_US)

    assert statuses(found) == {
        "store.file": "ok",
        "store.version": "ok",
        "store.log": "ok",
        "store.whole": "ok",
        "clock.ledger": "ok",
        "clock.terminals": "ok",
    }


async def test_what_is_wrong_with_a_store_is_said(tmp_path: Path) -> None:
    store = tmp_path / "tillgate.db"
    assert statuses(check_store(store, within_s=5)) == {"store.file": "warn"}
    store.write_bytes(b"no database" * 1000)
    assert statuses(check_store(store, within_s=5)) == {"store.file": "fail"}
    store.unlink()
    store.touch()
    empty = statuses(check_store(store, within_s=5))
    assert (empty["store.version"], empty["store.log"]) == ("fail", "warn")
    store.unlink()

    await kept(store)
    changed(store, "UPDATE alembic_version SET version_num = '9999'")
    assert statuses(check_store(store, within_s=5, now_us=AT_US))["store.version"] == "fail"
    assert statuses(check_store(store, within_s=-1, now_us=AT_US))["store.whole"] == "warn"
    early = statuses(check_store(store, within_s=5, now_us=AT_US - 120_000_000))
    assert early["clock.ledger"] == "fail"
    with closing(sqlite3.connect(store)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'upgrades'").fetchone()[0]
    with store.open("r+b") as content:
        content.seek((page - 1) * 4096)
        content.write(b"\xff" * 4096)
    assert statuses(check_store(store, within_s=5, now_us=AT_US))["store.whole"] == "fail"


@pytest.mark.parametrize(("offset_s", "status"), [(3.0, "ok"), (3600.0, "warn"), (-3600.0, "warn")])
async def test_terminals_that_agree_are_witnesses_of_the_gateways_clock(tmp_path: Path, offset_s: float, status: str) -> None:
    store = tmp_path / "tillgate.db"
    await kept(store, offset_s=offset_s)

    assert statuses(check_store(store, within_s=5, now_us=AT_US))["clock.terminals"] == status


async def test_few_terminals_are_no_witnesses(tmp_path: Path) -> None:
    store = tmp_path / "tillgate.db"
    await kept(store, offset_s=3600, terminals=WITNESSES - 1)

    assert "clock.terminals" not in statuses(check_store(store, within_s=5, now_us=AT_US))


# -- the machine


@pytest.mark.parametrize(("free_bytes", "status"), [(10**12, "ok"), (150 * 10**6, "warn"), (50 * 10**6, "fail")])
def test_room_is_compared_with_what_will_be_needed(tmp_path: Path, free_bytes: int, status: str) -> None:
    store = tmp_path / "var" / "tillgate.db"
    store.parent.mkdir()
    store.write_bytes(bytes(60 * 10**6))
    found = check_disk(store, tmp_path / "none" / "packages", package_max_bytes=1 << 30, free_of=lambda _: free_bytes)

    assert statuses(found) == {"disk.store": status, "disk.packages": status}


def test_this_machine_has_some_room(tmp_path: Path) -> None:
    found = check_disk(tmp_path / "tillgate.db", tmp_path, package_max_bytes=1024)

    assert f"{shutil.disk_usage(tmp_path).free / 1e9:.0f}"[:1] in found[0].found


@pytest.mark.parametrize(("says", "status"), [(True, "ok"), (False, "warn"), (None, "warn")])
def test_a_clock_that_nobody_keeps_is_found(*, says: bool | None, status: str) -> None:
    assert statuses(check_clock(lambda: says)) == {"clock.kept": status}


def test_the_kernel_is_asked() -> None:
    assert kernel_keeps_time() in {True, False, None}


# -- keys and certificates


def settings(folder: Path, **more: object) -> Settings:
    """As ``tillgate init`` makes them."""
    private = new_private_key()
    for name, text in (("order.key", private_text(private)), ("publisher.pub", public_text(public_of(private)))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    given: dict[str, object] = {
        "token": "t" * 20,
        "order_key_file": folder / "order.key",
        "publisher_key_files": (folder / "publisher.pub",),
    }
    return Settings(**(given | more))  # type: ignore[arg-type]  # as from a file


def test_keys_as_made_are_well(tmp_path: Path) -> None:
    assert statuses(check_keys(settings(tmp_path))) == {"keys.order": "ok", "keys.publishers": "ok", "keys.token": "ok"}


def test_keys_that_are_missing_exposed_or_out_of_place_are_found(tmp_path: Path) -> None:
    made = settings(tmp_path, token="short")
    (tmp_path / "order.key").chmod(0o644)
    (tmp_path / "publisher.pub").unlink()
    (tmp_path / "publisher.key").touch()

    assert statuses(check_keys(made)) == {
        "keys.order": "fail",
        "keys.publishers": "fail",
        "keys.token": "fail",
        "keys.publisher_private": "warn",
    }


@pytest.mark.parametrize(("days", "status"), [(0, "warn"), (2, "fail"), (-2, "fail"), (-40, "fail")])
def test_certificates_that_end_or_have_not_begun_are_found(tmp_path: Path, days: int, status: str) -> None:
    """They hold from yesterday until tomorrow; seen from ``days`` later."""
    authority = Authority(tmp_path / "certs")
    mine = authority.issue("tillgate")
    files = {"broker_ca_file": authority.certificate, "broker_cert_file": mine.certificate, "broker_key_file": mine.key}
    found = statuses(check_keys(settings(tmp_path, **files), datetime.now(UTC) + timedelta(days=days)))

    assert (found["keys.broker_ca"], found["keys.broker_cert"], found["keys.broker_key"]) == (status, status, "ok")


def test_a_key_of_another_certificate_and_files_that_are_none_are_found(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certs")
    mine, other = authority.issue("tillgate"), authority.issue("other")
    files = {"broker_ca_file": mine.key, "broker_cert_file": mine.certificate, "broker_key_file": other.key}
    found = statuses(check_keys(settings(tmp_path, **files)))
    missing = statuses(check_keys(settings(tmp_path, broker_ca_file=tmp_path / "none.pem")))

    assert (found["keys.broker_ca"], found["keys.broker_key"]) == ("fail", "fail")
    assert missing["keys.broker_ca"] == "fail"
