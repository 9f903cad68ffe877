"""The commands against a gateway on a real socket: every group, as tables and as JSON, and its failures in one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_thread
import pytest

from gateway.cli.app import main
from gateway.core.effects import Append, SaveOrder, SaveTerminal
from gateway.core.states import UpgradeState
from gateway.store import campaigns, orders, upgrades
from gateway.trust.keys import private_text, public_of, public_text
from tests.integration.http_gateway import MODEL, TOKEN, HttpGateway, http_gateway, until
from tests.unit.core.build import FACTS

GOOD: Final = [state for state in UpgradeState if state not in {UpgradeState.SCHEDULED, UpgradeState.DEFERRED}][:9]


@dataclass(frozen=True, slots=True)
class Said:
    """How one command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:  # noqa: ANN401 - whatever the command printed as JSON
        """Its output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Shell:
    """Types commands at a gateway, each in a thread, so that the gateway can answer."""

    gateway: HttpGateway
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *arguments: object) -> Said:
        """Run one command."""
        self.capture.readouterr()
        code = await anyio.to_thread.run_sync(main, [str(one) for one in arguments])
        out, err = self.capture.readouterr()
        return Said(code, out, "".join(line for line in err.splitlines(keepends=True) if line.startswith("tillgate:")))


@asynccontextmanager
async def shell(folder: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    """A gateway, and the environment that points commands to it."""
    async with http_gateway(folder) as gateway:
        monkeypatch.setenv("TILLGATE_URL", gateway.url)
        monkeypatch.setenv("TILLGATE_TOKEN", TOKEN)
        monkeypatch.setenv("TILLGATE_ACTOR", "alice")
        await gateway.http.get("/healthz")  # it listens, and has said so
        yield Shell(gateway, capture)


async def test_terminals_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        registered = await run("terminal", "register", "T1", "T2", "--model", MODEL, "--label", "region=east")
        file = anyio.Path(tmp_path / "fleet.csv")
        await file.write_text("id, model, region\nT3,m-1,west\n\nT4,m-1,\n")
        lines = anyio.Path(tmp_path / "fleet.jsonl")
        await lines.write_text('{"id": "T5", "model": "m-1", "labels": {"region": "north"}}\n')
        from_csv = await run("terminal", "import", file)
        from_lines = await run("terminal", "import", lines)
        listed = await run("terminal", "list", "--json")
        west = await run("terminal", "list", "--label", "region=west", "--json")
        table = await run("terminal", "list", "--limit", "2")
        only = replace(FACTS, single_connection=True)
        await run.gateway.save(SaveTerminal(terminal="T1", epoch=1, online=True, seen_us=1, counter=0, facts=only))
        shown = await run("terminal", "show", "T1")
        unknown = await run("terminal", "unknown")

    assert registered == Said(0, "2 registered, 0 known before and updated\n", "")
    assert from_csv.out == "2 registered, 0 known before and updated\n"
    assert from_lines.out == "1 registered, 0 known before and updated\n"
    assert [item["id"] for item in listed.value] == ["T1", "T2", "T3", "T4", "T5"]
    assert [item["id"] for item in west.value] == ["T3"]
    assert table.out.splitlines()[0].split()[:2] == ["id", "model"]
    assert len(table.out.splitlines()) == 3
    assert "region=east" in shown.out
    assert re.search(r"^connections +1 *$", shown.out, flags=re.MULTILINE)
    assert unknown.out == "nobody unknown has spoken\n"


async def test_history_shows_all_the_evidence_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.register("T1")
        for number, count in enumerate((2, 20)):
            evidence = {**{f"line{at}": "x" * 100 for at in range(count)}, "zone": "at-the-end"}
            await run.gateway.save(
                Append(at_us=number, terminal="T1", upgrade="u1", actor="terminal", what="failed", code="ok", evidence=evidence)
            )
        shown = await run("terminal", "show", "T1")

    assert shown.out.count("zone=at-the-end") == 1
    assert shown.out.count("(--json") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,model\nT1,m\n", "line 1: expected a header with the columns id and model, or JSON lines"),
        (b"id,model\nT1,m\nT2\n", "line 3: 1 columns, the header has 2"),
        (b"id,model\n../T1,m\n", "line 2: id: String should match pattern"),
        (b'{"id": "T1"\n', "line 1: not JSON"),
        (b'{"id": "T1", "model": "m", "colour": 1}\n', "line 1: colour: Extra inputs are not permitted"),
        (b"id,model\n\xff\xfe,m\n", "is not UTF-8 text"),
        (b"", "expected a header"),
        (b"id,model\n", "there is no terminal to register"),
    ],
)
def test_a_bad_list_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str) -> None:
    file = tmp_path / "fleet"
    file.write_bytes(content)
    code = main(["--url", "http://127.0.0.1:1", "--token", "x" * 16, "terminal", "import", str(file)])
    out, err = capsys.readouterr()

    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


async def test_packages_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        source = tmp_path / "app"
        source.mkdir()
        await anyio.Path(source / "main.bin").write_bytes(b"x" * 300_000)
        key = tmp_path / "publisher.key"
        await anyio.Path(key).write_text(private_text(run.gateway.publisher))
        key.chmod(0o600)
        out = tmp_path / "app.tgp"
        fields = ("--component", "app", "--version", "2.0.0", "--counter", 2, "--model", MODEL, "--minimum", "os=10")
        built = await run("package", "build", source, out, "--key", key, *fields)
        uploaded = await run("package", "upload", out, "--json")
        package = uploaded.value["id"]
        again = await run("package", "upload", out)
        listed = await run("package", "list", "--component", "app", "--json")
        shown = await run("package", "show", package)
        withdrawn = await run("package", "withdraw", package)
        wrong_half = tmp_path / "publisher.pub"
        await anyio.Path(wrong_half).write_text(public_text(public_of(run.gateway.publisher)))
        public_key = await run("package", "sign", out, tmp_path / "b.tgp", "--key", wrong_half)
        missing_key = await run("package", "sign", out, tmp_path / "b.tgp", "--key", tmp_path / "none.key")
        missing_file = await run("package", "upload", tmp_path / "none.tgp")
        no_package = await run("package", "upload", key)

    assert built.code == 0
    assert "app 2.0.0, " in built.out
    assert again.out == f"{package}: app 2.0.0, which was there already\n"
    assert [item["id"] for item in listed.value] == [package]
    assert "os=10" in shown.out
    assert withdrawn.out == f"{package}: withdrawn\n"
    assert missing_key.code == missing_file.code == no_package.code == public_key.code == 2
    assert public_key.err == (f"tillgate: {wrong_half}: this is the public half of a key; the private half is needed here\n")
    assert not (tmp_path / "b.tgp").exists()
    assert "there is no publisher's key" in missing_key.err
    assert "No such file" in missing_file.err
    assert "(magic_invalid)" in no_package.err


async def test_a_campaign_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        gateway = run.gateway
        await gateway.register("T1", "T2", "T3", region="east")
        package = (await gateway.upload(gateway.package_file())).json()["id"]
        options = ("--package", package, "--label", "region=east", "--soak", "90s", "--no-ask", "--term", "attempts_max=5")
        estimate = await run("campaign", "create", "spring", *options, "--estimate")
        none_yet = await run("campaign", "list")
        created = await run("campaign", "create", "spring", *options, "--canary", 1, "--start", "--json")
        campaign = created.value["id"]
        shown = await run("campaign", "show", campaign)
        paused = await run("campaign", "pause", campaign, "--note", "lunch")
        resumed = await run("campaign", "resume", campaign)
        listed = await run("campaign", "list", "--state", "running", "--json")
        states = await run("upgrade", "list", campaign, "--json")
        upgrade = await run("upgrade", "show", states.value[0]["id"])
        aborted = await run("campaign", "abort", campaign)
        twice = await run("campaign", "abort", campaign)
        both = await run("campaign", "create", "x", "--package", package, "--terminal", "T1", "--model", MODEL)
        watched = await run("campaign", "watch", campaign)
        history = await run("events", "--campaign", campaign, "--json")

    assert "3, 0 of them online" in estimate.out
    assert none_yet.out == "no campaigns\n"
    assert created.value["terms"]["attempts_max"] == 5
    assert created.value["terms"]["soak_s"] == 90
    assert "0 of 3" in shown.out
    assert paused.out == f"{campaign}: paused\n"
    assert resumed.out.startswith(f"{campaign}: running, ends ")
    assert [item["id"] for item in listed.value] == [campaign]
    assert [item["terminal"] for item in states.value] == ["T1", "T2", "T3"]
    assert "operator:alice" in upgrade.out
    assert aborted.out == f"{campaign}: aborted\n"
    assert (twice.code, twice.out) == (2, "")
    assert twice.err.endswith("can be aborted (campaign_state)\n")
    assert "one of both" in both.err
    assert watched.code == 1
    assert [json.loads(line)["what"] for line in history.out.splitlines()][-1] == "campaign_aborted"


async def test_a_watched_campaign_shows_lines_until_it_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        gateway = run.gateway
        campaign = await gateway.campaign("T1", "T2", soak_s=0)
        await gateway.http.post(f"/api/v1/campaigns/{campaign}/start")
        await run("campaign", "show", campaign)  # all is imported now: the first look of the next command comes at once
        said: list[Said] = []

        async def watch() -> None:
            said.append(await run("campaign", "watch", campaign, "--every", "0.1"))

        async def begun() -> bool:
            return " running 0/2 " in cast("StringIO", sys.stdout).getvalue()  # pytest's: looked at, not taken

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await until(begun, timeout_s=60)
            for row in await upgrades.page(gateway.services.db, campaign):
                await gateway.walk(row, GOOD, at_us=gateway.services.now_us())
                await anyio.sleep(0.3)
            await campaigns.set_state(gateway.services.db, campaign, "finished", expected=("running",), at_us=1)

    assert said[0].code == 0
    lines = said[0].out.splitlines()
    assert " running 0/2 scheduled=2 | " in lines[0]
    assert " finished 2/2 succeeded=2 | " in lines[-1]
    assert all("| remaining " in line for line in lines)


async def test_a_campaign_stopped_by_its_rule_ends_the_watch_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        db = run.gateway.services.db
        campaign = await run.gateway.campaign("T1")
        await run.gateway.http.post(f"/api/v1/campaigns/{campaign}/start")
        why = "3 of 5 judged upgrades failed"
        await campaigns.set_state(db, campaign, "paused", expected=("running",), at_us=1, reason=why)
        watched = await run("campaign", "show", campaign, "--watch")

    assert watched.code == 1
    assert why in watched.out


async def test_orders_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        gateway = run.gateway
        await gateway.register("T1")
        await gateway.save(SaveTerminal(terminal="T1", epoch=1, online=True, seen_us=1, counter=0))

        async def answer(status: str) -> None:
            async def pending() -> list[orders.OrderRow]:
                return list(await orders.page(gateway.services.db, status="pending"))

            await until(pending)
            [row] = await pending()
            data = {"battery_pct": 70}
            await gateway.save(SaveOrder(order=row.id, terminal="T1", status=status, code="ok", at_us=1, data=data))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, "done")
            done = await run("order", "inspect", "T1", "--wait", "--json")
            tasks.start_soon(answer, "refused")
            refused = await run("order", "reboot", "T1", "--wait", "--expires", "2h")
        listed = await run("order", "list", "T1", "--json")
        shown = await run("order", "show", done.value["id"])
        stranger = await run("order", "reboot", "T9")

    assert (done.code, done.value["status"], done.value["result"]) == (0, "done", {"battery_pct": 70})
    assert (refused.code, "refused" in refused.out) == (1, True)
    assert [item["kind"] for item in listed.value] == ["reboot", "inspect"]
    assert "battery_pct=70" in shown.out
    assert stranger == Said(2, "", "tillgate: terminal T9 is not registered (terminal_unknown)\n")


async def test_events_are_followed_from_a_place(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1")
        options = ["--url", gateway.url, "--token", TOKEN]
        command = [sys.executable, "-m", "gateway", *options, "events", "--follow", "--after", "0", "--json"]
        async with await anyio.open_process(command) as process:
            assert process.stdout is not None
            with anyio.fail_after(20):
                first = await process.stdout.receive()
                await gateway.register("T2")
                second = await process.stdout.receive()
            process.terminate()

    assert [json.loads(line)["evidence"]["first"] for line in (first, second)] == ["T1", "T2"]


async def test_events_show_the_newest_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        for number in range(5):
            await run.gateway.register(f"T{number}")
        newest = await run("events", "--limit", "2", "--json")
        placed = await run("events", "--after", "1", "--limit", "2", "--json")
        everything = await run("events", "--limit", "0", "--json")

    def numbers(out: str) -> list[int]:
        return [json.loads(line)["seq"] for line in out.splitlines()]

    assert numbers(newest.out) == [4, 5]
    assert numbers(placed.out) == [2, 3]
    assert numbers(everything.out) == [1, 2, 3, 4, 5]


async def test_status_says_whether_it_is_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        run.gateway.counters["commits"] = 5
        run.gateway.not_ready.append("the broker is away")
        said = await run("status")

    assert said.code == 0
    assert "no: the broker is away (not_ready)" in said.out
    assert "commits" in said.out
