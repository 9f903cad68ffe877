"""Campaigns over HTTP: drawn up, estimated, started, watched, stopped by rule, resumed, aborted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gateway.core.effects import Append, SaveTerminal, SaveUpgrade
from gateway.core.states import UpgradeState
from gateway.store import campaigns, upgrades
from gateway.store.upgrades import UpgradeRow
from tests.integration.http_gateway import MODEL, OTHER_MODEL, HttpGateway, http_gateway
from tests.integration.test_api_guard import assert_problem

GOOD: Final = (
    UpgradeState.OFFERED,
    UpgradeState.PREPARING,
    UpgradeState.READY,
    UpgradeState.TRANSFERRING,
    UpgradeState.STAGED,
    UpgradeState.INSTALLING,
    UpgradeState.VERIFYING,
    UpgradeState.SOAKING,
)


async def rows_of(gateway: HttpGateway, campaign: str) -> dict[str, UpgradeRow]:
    """The campaign's upgrades by terminal."""
    return {row.terminal: row for row in await upgrades.page(gateway.services.db, campaign, limit=500)}


async def progress(gateway: HttpGateway, campaign: str) -> dict[str, Any]:
    """How it stands."""
    answer = await gateway.http.get(f"/api/v1/campaigns/{campaign}/progress")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def act(gateway: HttpGateway, campaign: str, verb: str, **body: object) -> dict[str, Any]:
    """Start, pause, resume or abort it."""
    answer = await gateway.http.post(f"/api/v1/campaigns/{campaign}/{verb}", json=body or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def online(gateway: HttpGateway, *ids: str) -> None:
    """Let terminals be seen."""
    await gateway.save(
        *(SaveTerminal(terminal=one, epoch=1, online=True, seen_us=gateway.services.now_us(), counter=0) for one in ids)
    )


async def test_a_campaign_is_drawn_up_with_its_canaries_and_defaults(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register(*(f"T{number}" for number in range(10)), region="east")
        await gateway.register("X1", model=OTHER_MODEL, region="east")
        await online(gateway, "T4", "T7")
        package = (await gateway.upload(gateway.package_file())).json()["id"]
        body = {
            "name": "spring",
            "package": package,
            "terminals": {"labels": {"region": "east"}},
            "terms": {"canary_count": 3, "soak_s": 60},
        }
        made = (await gateway.http.post("/api/v1/campaigns", json=body)).json()
        listed = (await gateway.http.get("/api/v1/campaigns?state=draft")).json()["items"]
        canaries = (await gateway.http.get(f"/api/v1/campaigns/{made['id']}/upgrades?wave=0")).json()["items"]
        stored = await campaigns.get(gateway.services.db, made["id"])

    assert (made["state"], made["upgrades_count"], made["excluded_count"]) == ("draft", 10, 1)
    assert {
        key: made["terms"][key] for key in ("canary_count", "canary_needed", "gate", "soak_s", "ask_merchant", "max_active")
    } == {
        "canary_count": 3,
        "canary_needed": 3,
        "gate": "succeeded",
        "soak_s": 60,
        "ask_merchant": True,
        "max_active": 50,
    }
    assert made["selection"] == {"filter": {"labels": {"region": "east"}}}
    assert [item["id"] for item in listed] == [made["id"]]
    assert len(canaries) == 3
    assert {"T4", "T7"} <= {item["terminal"] for item in canaries}  # online ones first
    assert stored is not None
    assert stored.settings["boot_budget_s"] == 600


NONSENSE: Final[tuple[tuple[dict[str, object], int, str], ...]] = (
    ({"package": "p-none"}, 404, "package_unknown"),
    ({"terminals": ["T1", "T9"]}, 422, "terminals_unknown"),
    ({"terminals": ["T1", "X1"]}, 422, "model_mismatch"),
    ({"terminals": []}, 422, "validation_failed"),
    ({"terminals": {}}, 422, "filter_empty"),
    ({"terminals": {"model": OTHER_MODEL}}, 422, "no_terminals"),
    ({"terminals": {"id_prefix": "Z"}}, 422, "no_terminals"),
    ({"terminals": {"colour": "red"}}, 422, "validation_failed"),
    ({"canaries": ["T2"]}, 422, "canary_unknown"),
    ({"canaries": ["T1"], "terms": {"canary_count": 1}}, 422, "validation_failed"),
    ({"ends_at": "2020-01-01T00:00:00Z"}, 422, "ends_in_past"),
    ({"ends_at": "2020-01-01T00:00:00"}, 422, "validation_failed"),
    ({"terms": {"failure_ratio": 2}}, 422, "validation_failed"),
    ({"terms": {"canary_count": 2, "canary_needed": 3}}, 422, "rollout_invalid"),
    ({"terms": {"soak_s": 1e12}}, 422, "terms_invalid"),
    ({"terms": {"soak_s": "NaN"}}, 422, "validation_failed"),
    ({"terms": {"deadlines_s": {"sleeping": 5}}}, 422, "terms_invalid"),
    ({"terms": {"wave_count": 5}}, 422, "validation_failed"),
    ({"terms": {"install_window": {"start": "25:00", "end": "05:00"}}}, 422, "window_invalid"),
    ({"terms": {"install_window": {"start": "02:00"}}}, 422, "validation_failed"),
    ({"terms": {"install_window": {"start": "02:00", "end": "05:00", "days": []}}}, 422, "window_invalid"),
    ({"terms": {"install_window": {"start": "02:00", "end": "05:00", "days": ["someday"]}}}, 422, "window_invalid"),
    ({"terms": {"install_window": {"start": "02:00", "end": "05:00", "zone": "Mars/Olympus"}}}, 422, "zone_unknown"),
    ({"name": "a\nb"}, 422, "validation_failed"),
)


async def test_named_canaries_count_as_many_as_are_named(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", "T2", "T3")
        package = (await gateway.upload(gateway.package_file())).json()["id"]
        body = {
            "name": "named",
            "package": package,
            "terminals": ["T1", "T2", "T3"],
            "canaries": ["T2", "T3"],
            "terms": {"canary_needed": 2},
        }
        made = (await gateway.http.post("/api/v1/campaigns", json=body)).json()

    assert (made["terms"]["canary_count"], made["terms"]["canary_needed"]) == (2, 2)


async def test_a_campaign_that_makes_no_sense_is_not_drawn_up(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", "T2")
        await gateway.register("X1", model=OTHER_MODEL)
        package = (await gateway.upload(gateway.package_file())).json()["id"]
        body = {"name": "x", "package": package, "terminals": ["T1"]}
        for change, status, code in NONSENSE:
            assert_problem(await gateway.http.post("/api/v1/campaigns", json=body | change), status, code)
        assert (await gateway.http.get("/api/v1/campaigns")).json()["items"] == []


async def test_an_estimate_comes_before_the_campaign(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1", "T2", "T3")
        await online(gateway, "T1", "T2")
        package = (await gateway.upload(gateway.package_file())).json()["id"]
        body = {"name": "x", "package": package, "terminals": {"model": MODEL}, "terms": {"soak_s": 600, "ask_merchant": False}}
        preview = (await gateway.http.post("/api/v1/campaigns:estimate", json=body)).json()
        none = (await gateway.http.get("/api/v1/campaigns")).json()["items"]

    assert (preview["terminals_count"], preview["online_count"], none) == (3, 2, [])
    assert preview["remaining"]["reachable_count"] == 2
    assert preview["remaining"]["unreachable_count"] == 1
    assert preview["remaining"]["text"].endswith(", unknown for 1 out of reach")
    assert preview["upgrade_phases"]["operate"]["low_s"] == 600
    assert preview["upgrade_phases"]["operate"]["basis"] == "computed"
    assert 600 <= preview["remaining"]["low_s"] < preview["remaining"]["high_s"]
    assert preview["remaining"]["ends_earliest_at"] < preview["remaining"]["ends_latest_at"]


async def test_its_way_from_start_to_abort(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2", duration_s=3600)
        too_early = await gateway.http.post(f"/api/v1/campaigns/{campaign}/pause")
        seen = gateway.services.doorbell.version("campaigns")
        started = await act(gateway, campaign, "start")
        twice = await gateway.http.post(f"/api/v1/campaigns/{campaign}/start")
        paused = await act(gateway, campaign, "pause", note="the shop called")
        resumed = await act(gateway, campaign, "resume")
        aborted = await act(gateway, campaign, "abort", note="wrong package")
        after = await gateway.http.post(f"/api/v1/campaigns/{campaign}/resume")
        entries = (await gateway.http.get(f"/api/v1/entries?campaign={campaign}")).json()["items"]
        rings = gateway.services.doorbell.version("campaigns") - seen

    assert_problem(too_early, 409, "campaign_state")
    assert started["state"] == "running"
    length = datetime.fromisoformat(started["ends_at"]) - datetime.fromisoformat(started["started_at"])
    assert length == timedelta(hours=1)
    assert_problem(twice, 409, "campaign_state")
    assert (paused["reason"], paused["stopped_by_rule"]) == ("operator:api: the shop called", False)
    assert (resumed["state"], resumed["reason"]) == ("running", "")
    assert (aborted["state"], aborted["reason"]) == ("aborted", "operator:api: wrong package")
    assert_problem(after, 409, "campaign_state")
    assert rings == 4
    told = [(entry["what"], entry["from_state"], entry["to_state"]) for entry in entries if not entry["upgrade"]]
    assert told == [
        ("campaign_created", "", "draft"),
        ("campaign_started", "draft", "running"),
        ("campaign_paused", "running", "paused"),
        ("campaign_resumed", "paused", "running"),
        ("campaign_aborted", "running", "aborted"),
    ]


async def test_a_stop_rule_is_overruled_only_by_an_explicit_word(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2", canary_count=1, soak_s=0)
        await act(gateway, campaign, "start")
        canary = next(row for row in (await rows_of(gateway, campaign)).values() if row.wave == 0)
        await gateway.walk(canary, [*GOOD[:7], UpgradeState.ROLLED_BACK], at_us=gateway.services.now_us())
        db = gateway.services.db
        await campaigns.set_state(db, campaign, "paused", expected=("running",), at_us=1, reason="1 of 1 canary failed")
        stopped = await progress(gateway, campaign)
        refused = await gateway.http.post(f"/api/v1/campaigns/{campaign}/resume")
        resumed = await act(gateway, campaign, "resume", accept_failures=True, note="known fault of one terminal")
        running = await progress(gateway, campaign)

    assert stopped["campaign"]["stopped_by_rule"] is True
    assert stopped["why"] == "1 of 1 canary failed"
    assert_problem(refused, 409, "stop_rule")
    assert (resumed["state"], resumed["terms"]["canary_waived"]) == ("running", True)
    assert running["why_code"] not in {"canary_failed", "canary_inconclusive"}


async def test_progress_counts_measures_and_estimates(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        ids = [f"T{number}" for number in range(8)]
        campaign = await gateway.campaign(*ids, canary_count=2, soak_s=60, ask_merchant=False)
        await online(gateway, *ids[:7])
        await act(gateway, campaign, "start")
        rows = list((await rows_of(gateway, campaign)).values())
        now_us = gateway.services.now_us()
        for row in rows[:5]:
            await gateway.walk(row, [*GOOD, UpgradeState.SUCCEEDED], at_us=now_us, step_us=4_000_000)
        await gateway.walk(rows[5], GOOD[:4], at_us=now_us)
        await fail(gateway, rows[6], "selftest_payment_failed")
        look = await progress(gateway, campaign)
        detail = (await gateway.http.get(f"/api/v1/upgrades/{rows[0].id}")).json()
        moving = (await gateway.http.get(f"/api/v1/upgrades/{rows[5].id}")).json()
        failed = (await gateway.http.get(f"/api/v1/campaigns/{campaign}/upgrades?state=rolled_back&state=failed")).json()

    assert look["by_state"] == {"succeeded": 5, "transferring": 1, "rolled_back": 1, "scheduled": 1}
    assert (look["total_count"], look["settled_count"], look["places_taken_count"]) == (8, 6, 1)
    assert [(wave["name"], wave["total_count"]) for wave in look["waves"]] == [("canary", 2), ("rest", 6)]
    assert look["codes"] == [{"state": "rolled_back", "code": "selftest_payment_failed", "count": 1}]
    assert look["verified_bytes"] == 6 * 200_000
    assert look["wanted_bytes"] == 8 * 200_000
    assert look["measured"]["execute"] == {"count": 5, "low_s": 12.0, "median_s": 12.0, "high_s": 12.0}
    assert look["upgrade_phases"]["verify"]["basis"] == "measured"
    assert look["upgrade_phases"]["execute"]["basis"] == "measured"
    assert look["remaining"]["low_s"] <= look["remaining"]["high_s"]

    assert {phase["phase"]: phase["spent_s"] for phase in detail["phases"] if phase["phase"] != "plan"} == {
        "prepare": 12.0,
        "execute": 12.0,
        "verify": 4.0,
        "operate": 4.0,
    }
    assert detail["estimate"] is None
    assert [entry["to_state"] for entry in detail["history"]][:3] == ["scheduled", "offered", "preparing"]
    assert moving["estimate"]["left"]["prepare"]["high_s"] == 0
    assert moving["estimate"]["remaining"]["high_s"] > 0
    assert [item["id"] for item in failed["items"]] == [rows[6].id]


async def test_a_draft_has_its_estimate_too(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2")
        await online(gateway, "T1")
        look = await progress(gateway, campaign)

    assert (look["why_code"], look["by_state"]) == ("draft", {"scheduled": 2})
    assert (look["remaining"]["reachable_count"], look["remaining"]["unreachable_count"]) == (1, 1)
    assert look["remaining"]["low_s"] >= 86_400  # the soak


async def test_nothing_is_promised_for_a_fleet_that_is_away(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2")
        look = await progress(gateway, campaign)

    assert look["remaining"]["text"] == "unknown for 2 out of reach"


async def test_what_is_not_due_yet_is_not_said_to_be_starting(tmp_path: Path) -> None:
    """One is to be tried again later, one was postponed: both are online, and there is a place for them."""
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2")
        await online(gateway, "T1", "T2")
        await act(gateway, campaign, "start")
        rows = await rows_of(gateway, campaign)
        now_us = gateway.services.now_us()
        for row, state, code in ((rows["T1"], "scheduled", "battery_low"), (rows["T2"], "deferred", "postponed_by_merchant")):
            await gateway.save(save_of(row, UpgradeState(state), code, at_us=now_us, due_us=now_us + 300_000_000))
        look = await progress(gateway, campaign)
        listed = (await gateway.http.get(f"/api/v1/campaigns/{campaign}/upgrades")).json()["items"]

    assert look["why_code"] == "waiting_for_terminals"
    assert look["remaining"]["unreachable_count"] == 0
    assert [row["waits"].split(" from ")[0] for row in listed] == ["tried again", "offered again"]
    assert all(row["waits"].endswith(" (in 5 min)") for row in listed)


async def test_questions_about_what_is_not_there(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1")
        get = gateway.http.get

        for path in ("", "/progress", "/upgrades"):
            assert_problem(await get(f"/api/v1/campaigns/c-none{path}"), 404, "campaign_unknown")
        assert_problem(await get("/api/v1/upgrades/u-none"), 404, "upgrade_unknown")
        assert_problem(await get(f"/api/v1/campaigns/{campaign}/upgrades?state=sleeping"), 422, "state_unknown")
        assert_problem(await get("/api/v1/campaigns?state=sleeping"), 422, "state_unknown")
        assert_problem(await gateway.http.post("/api/v1/campaigns/c-none/start"), 404, "campaign_unknown")


async def fail(gateway: HttpGateway, row: UpgradeRow, code: str) -> None:
    """Let an upgrade roll back with a code."""
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    entry = Append(
        at_us=now_us,
        terminal=row.terminal,
        campaign=row.campaign,
        upgrade=row.id,
        actor="terminal",
        what="rolled_back",
        from_state=row.state.value,
        to_state="rolled_back",
        code=code,
    )
    await gateway.save(entry, save_of(row, UpgradeState.ROLLED_BACK, code, at_us=now_us))


def save_of(row: UpgradeRow, state: UpgradeState, code: str, *, at_us: int, due_us: int = 0) -> SaveUpgrade:
    """The row of an upgrade that has come to ``state``."""
    return SaveUpgrade(
        upgrade=row.id,
        terminal=row.terminal,
        campaign=row.campaign,
        state=state,
        state_since_us=at_us,
        due_us=due_us,
        attempt=1,
        code=code,
        have_bytes=0,
        snapshot=b"",
    )
