"""Budgets over HTTP and from the command line: set, shown, listed, refused; and in terminals, upgrades and estimates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.core.budgets import Scope
from gateway.core.effects import Append, SaveDay, SaveUpgrade
from gateway.core.states import UpgradeState
from gateway.services import campaigns
from gateway.store import upgrades
from tests.integration.http_gateway import HttpGateway, http_gateway
from tests.integration.test_cli import shell

MB = 10**6


async def _set(gateway: HttpGateway, scope: str, name: str = "", *, status: int = 200, **limits: int | None) -> dict[str, Any]:
    answer = await gateway.http.post(f"/api/v1/budgets/{scope}", json={"name": name, **limits})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _get(gateway: HttpGateway, path: str) -> dict[str, Any]:
    answer = await gateway.http.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_budget_is_set_part_by_part_and_given_back(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", site="north")
        first = await _set(gateway, "terminal", "T1", bytes_per_day=20 * MB)
        both = await _set(gateway, "terminal", "T1", bytes_per_s=20_000)
        general = await _set(gateway, "terminal", bytes_per_s=10_000, bytes_per_day=0)
        back = await _set(gateway, "terminal", "T1", bytes_per_s=None)
        none = await _set(gateway, "terminal", "T1", bytes_per_day=0)
        listed = (await _get(gateway, "/budgets?limit=1"))["items"]
        rest = await _get(gateway, f"/budgets?cursor={(await _get(gateway, '/budgets?limit=1'))['next']}")
        ledger = (await _get(gateway, "/terminals/T1/history"))["items"]

    assert (first["bytes_per_s"], first["bytes_per_day"], first["own"]) == (0, 20 * MB, ["bytes_per_day"])
    assert (both["bytes_per_s"], both["bytes_per_day"]) == (20_000, 20 * MB)
    assert both["set_by"] == "operator:api"
    assert general["own"] == ["bytes_per_s", "bytes_per_day"]
    assert (back["bytes_per_s"], back["own"]) == (10_000, ["bytes_per_day"])
    assert none["bytes_per_day"] == 0
    assert [(one["scope"], one["name"]) for one in listed + rest["items"]] == [("terminal", ""), ("terminal", "T1")]
    assert [entry["what"] for entry in ledger] == ["budget_set"] * 4
    assert ledger[0]["evidence"] == {
        "scope": "terminal",
        "name": "T1",
        "bytes_per_s": 10_000,
        "bytes_per_day": 0,
        "before_bytes_per_s": 10_000,
        "before_bytes_per_day": 20 * MB,
        "own": ["bytes_per_day"],
    }
    assert ledger[0]["actor"] == "operator:api"


@pytest.mark.parametrize(
    ("scope", "name", "limits", "status", "code"),
    [
        ("terminal", "T9", {"bytes_per_s": 2000}, 404, "terminal_unknown"),
        ("site", "south", {"bytes_per_s": 2000}, 404, "site_unknown"),
        ("campaign", "c-9", {"bytes_per_s": 2000}, 404, "campaign_unknown"),
        ("campaign", "", {"bytes_per_s": 2000}, 422, "budget_name_invalid"),
        ("gateway", "x", {"bytes_per_s": 2000}, 422, "budget_name_invalid"),
        ("gateway", "", {}, 422, "budget_invalid"),
        ("gateway", "", {"bytes_per_s": 1023}, 422, "budget_invalid"),
        ("gateway", "", {"bytes_per_day": 262_143}, 422, "budget_invalid"),
        ("gateway", "", {"bytes_per_day": -1}, 422, "validation_failed"),
        ("shop", "", {"bytes_per_s": 2000}, 422, "validation_failed"),
    ],
)
async def test_a_budget_about_nothing_or_under_which_nothing_arrives_is_refused(
    tmp_path: Path, scope: str, name: str, limits: dict[str, int], status: int, code: str
) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", site="north")
        refused = await _set(gateway, scope, name, status=status, **limits)
        listed = await _get(gateway, "/budgets")

    assert refused["code"] == code
    assert listed["items"] == []


async def test_a_campaigns_terms_are_its_budget_until_a_person_sets_another(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", bytes_per_s=50_000, bytes_per_day=400_000)
        before = await _get(gateway, f"/budgets/campaign?name={campaign}")
        await _set(gateway, "campaign", campaign, bytes_per_s=0)
        look = await _get(gateway, f"/campaigns/{campaign}/progress")
        bad = await gateway.http.post(
            "/api/v1/campaigns:estimate",
            json={"name": "x", "package": look["campaign"]["package"], "terminals": ["T1"], "terms": {"bytes_per_day": 1000}},
        )

    assert (before["bytes_per_s"], before["bytes_per_day"], before["own"]) == (50_000, 400_000, [])
    assert (look["budget"]["bytes_per_s"], look["budget"]["bytes_per_day"]) == (0, 400_000)
    assert look["campaign"]["terms"]["bytes_per_s"] == 50_000
    assert bad.json()["code"] == "budget_invalid"


async def test_a_terminal_shows_what_it_has_used_today_of_what(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", site="north, left")
        now_us = gateway.services.now_us()
        await _set(gateway, "terminal", bytes_per_day=20 * MB)
        await _set(gateway, "site", "north, left", bytes_per_s=30_000)
        day = SaveDay(scope=Scope.TERMINAL, name="T1", ends_us=now_us + 3_600_000_000, used_bytes=3 * MB)
        old = SaveDay(scope=Scope.GATEWAY, name="", ends_us=now_us - 1, used_bytes=9 * MB)
        await gateway.save(day, old)
        shown = (await _get(gateway, "/terminals/T1"))["budgets"]

    assert [(one["scope"], one["name"]) for one in shown] == [("terminal", "T1"), ("site", "north, left"), ("gateway", "")]
    assert [one["used_bytes"] for one in shown] == [3 * MB, 0, 0]
    assert shown[0]["bytes_per_day"] == 20 * MB
    assert datetime.fromisoformat(shown[0]["day_ends_at"]).timestamp() == pytest.approx(now_us / 1e6 + 3600, abs=0.01)
    ends = datetime.fromisoformat(shown[2]["day_ends_at"])
    assert (ends.hour, ends.minute) == (0, 0)
    assert 0 < (ends - datetime.now(UTC)).total_seconds() <= 86_400


async def test_a_deferred_upgrade_says_until_when_and_whose_budget_is_used_up(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", ask_merchant=False)
        [upgrade] = (await upgrades.load_open(gateway.services.db, ["T1"]))["T1"]
        now_us = gateway.services.now_us()
        await gateway.save(
            SaveUpgrade(
                upgrade=upgrade.id,
                terminal="T1",
                campaign=campaign,
                state=UpgradeState.DEFERRED,
                state_since_us=now_us,
                due_us=now_us + 3_700_000_000,
                attempt=1,
                code="terminal_budget_spent",
                have_bytes=131_072,
                snapshot=b"",
            ),
            Append(
                at_us=now_us,
                terminal="T1",
                campaign=campaign,
                upgrade=upgrade.id,
                actor="gateway",
                what="budget_spent",
                from_state="transferring",
                to_state="deferred",
                code="terminal_budget_spent",
                evidence={"limit_bytes": 20 * MB, "used_bytes": 19 * MB},
            ),
        )
        listed = (await _get(gateway, f"/campaigns/{campaign}/upgrades"))["items"][0]["waits"]
        shown = (await _get(gateway, f"/upgrades/{upgrade.id}"))["waits"]

    assert shown.startswith("deferred until ")
    assert shown.endswith(" UTC (in 1 h 2 min): the terminal's data budget of 20 MB for today is used up")
    assert listed.endswith("the terminal's data budget for today is used up")


async def test_estimates_take_budgets_in(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", "T2")
        package = (await gateway.upload(gateway.package_file(size_bytes=2_000_000))).json()["id"]
        body = {"name": "spring", "package": package, "terminals": ["T1", "T2"], "terms": {"soak_s": 0, "ask_merchant": False}}

        async def preview(**terms: int) -> dict[str, Any]:
            asked = body | {"terms": {"soak_s": 0, "ask_merchant": False, **terms}}
            answer = await gateway.http.post("/api/v1/campaigns:estimate", json=asked)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        free, slow, few = await preview(), await preview(bytes_per_s=4096), await preview(bytes_per_day=1_000_000)
        await _set(gateway, "terminal", bytes_per_day=1_000_000)
        own = await preview()
        campaign = (await gateway.http.post("/api/v1/campaigns", json=body)).json()["id"]
        [upgrade] = (await upgrades.load_open(gateway.services.db, ["T1"]))["T1"]
        detail = await _get(gateway, f"/upgrades/{upgrade.id}")
        assert (await campaigns.show(gateway.services, campaign)).state == "draft"

    assert slow["upgrade_phases"]["execute"]["low_s"] >= 2_000_000 / 4096
    assert slow["remaining"]["low_s"] >= 4_000_000 / 4096 - 0.001
    assert few["remaining"]["low_s"] >= 2 * 86_400  # four days' bytes, today's among them
    assert own["upgrade_phases"]["execute"]["high_s"] >= free["upgrade_phases"]["execute"]["high_s"] + 86_400
    assert detail["estimate"]["left"]["execute"]["high_s"] >= 86_400


async def test_budgets_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.register("T1", site="north")
        made = await run("budget", "set", "terminal", "T1", "--daily-bytes", "20MB", "--rate", "20kB/s", "--json")
        said = await run("budget", "set", "gateway", "--rate", "1MiB")
        back = await run("budget", "set", "terminal", "T1", "--rate", "default", "--json")
        none = await run("budget", "set", "terminal", "T1", "--daily-bytes", "none", "--json")
        table = await run("budget", "list")
        as_json = await run("budget", "list", "--scope", "site", "--json")
        shown = await run("budget", "show", "terminal", "T1")
        terminal = await run("terminal", "show", "T1")
        campaign = await run.gateway.campaign("T2", bytes_per_day=5 * MB)
        progress = await run("campaign", "show", campaign)
        package = (await _get(run.gateway, f"/campaigns/{campaign}"))["package"]
        created = await run(
            *("campaign", "create", "x", "--package", package, "--terminal", "T1", "--rate", "200kB", "--daily-bytes", "2GB"),
            "--json",
        )
        terms = (await _get(run.gateway, f"/campaigns/{created.value['id']}"))["terms"]
        refused = [
            await run("budget", "set", "shop", "--rate", "1MB"),
            await run("budget", "set", "gateway"),
            await run("budget", "set", "gateway", "--rate", "fast"),
            await run("budget", "set", "gateway", "--rate", "10"),
            await run("budget", "show", "site", "south"),
        ]

    assert (made.value["bytes_per_s"], made.value["bytes_per_day"], made.value["set_by"]) == (20_000, 20 * MB, "operator:alice")
    assert said.out == "gateway: 1.0 MiB per second, no limit per day\n"
    assert (back.value["bytes_per_s"], none.value["bytes_per_day"], none.value["own"]) == (0, 0, ["bytes_per_day"])
    assert [line.split()[:2] for line in table.out.splitlines()[1:]] == [
        ["site", "(all)"],
        ["terminal", "(all)"],
        ["gateway", "1.0"],
        ["terminal", "T1"],
    ]
    assert [one["scope"] for one in as_json.value] == ["site"]
    assert "no limit" in shown.out
    assert "data today, terminal" in terminal.out
    assert "4.8 MiB per day" in progress.out
    assert (terms["bytes_per_s"], terms["bytes_per_day"]) == (200_000, 2_000 * MB)
    assert [one.code for one in refused] == [2] * 5
    assert [one.err.splitlines()[0].partition(": ")[2] for one in refused] == [
        "a budget is one of a terminal, site, campaign or the gateway",
        "say what to set: --rate or --daily-bytes",
        "fast is not an amount of data such as 500kB, 20MB, 1GiB or none",
        "bytes_per_s must be 0 for no limit, or 1024 to 1125899906842624; it is 10 (budget_invalid)",
        "no terminal has the label site=south (site_unknown)",
    ]
