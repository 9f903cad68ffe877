"""Install windows and releases over HTTP and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.effects import SaveUpgrade
from gateway.core.states import UpgradeState
from gateway.store import upgrades
from tests.integration.http_gateway import MODEL, HttpGateway, http_gateway
from tests.integration.test_api_campaigns import act, progress
from tests.integration.test_api_guard import assert_problem
from tests.integration.test_cli import shell

HOUR_US = 3_600_000_000


async def drawn_up(gateway: HttpGateway, **terms: object) -> str:
    """A running campaign of one terminal."""
    await gateway.register("T1")
    package = (await gateway.upload(gateway.package_file())).json()["id"]
    body = {"name": "night", "package": package, "terminals": ["T1"], "terms": terms}
    answer = await gateway.http.post("/api/v1/campaigns", json=body)
    assert answer.status_code == 201, answer.text
    campaign = str(answer.json()["id"])
    await act(gateway, campaign, "start")
    return campaign


async def staged(gateway: HttpGateway, campaign: str, in_us: int) -> None:
    """Its terminal holds the package and is to install ``in_us`` from now."""
    [row] = await upgrades.page(gateway.services.db, campaign)
    now_us = gateway.services.now_us()
    await gateway.save(
        SaveUpgrade(
            upgrade=row.id,
            terminal="T1",
            campaign=campaign,
            state=UpgradeState.STAGED,
            state_since_us=now_us,
            due_us=now_us + in_us,
            attempt=1,
            code="ok",
            have_bytes=0,
            snapshot=b"",
        )
    )


async def test_a_window_is_stored_in_full_and_its_wait_is_said(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await drawn_up(gateway, install_window={"start": "02:00", "end": "05:00"})
        await staged(gateway, campaign, 3 * HOUR_US)
        shown = (await gateway.http.get(f"/api/v1/campaigns/{campaign}")).json()
        look = await progress(gateway, campaign)
        [listed] = (await gateway.http.get(f"/api/v1/campaigns/{campaign}/upgrades")).json()["items"]
        detail = (await gateway.http.get(f"/api/v1/upgrades/{listed['id']}")).json()

    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert shown["terms"]["install_window"] == {"days": days, "start": "02:00", "end": "05:00", "zone": "terminal"}
    assert look["places_taken_count"] == 0
    assert look["install_waits"].startswith("1 staged; the next installs from ")
    assert listed["waits"].endswith("(in 3 h)")
    assert detail["waits"] == listed["waits"]
    assert detail["estimate"]["left"]["execute"]["low_s"] > 10_000


async def test_an_operator_releases_once_and_is_named(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await drawn_up(gateway, install_on_release=True)
        await staged(gateway, campaign, 0)
        held = await progress(gateway, campaign)
        released = await act(gateway, campaign, "install", note="audit over")
        assert_problem(await gateway.http.post(f"/api/v1/campaigns/{campaign}/install"), 409, "install_released")
        events = (await gateway.http.get(f"/api/v1/entries?campaign={campaign}")).json()["items"]
        await act(gateway, campaign, "abort")
        assert_problem(await gateway.http.post(f"/api/v1/campaigns/{campaign}/install"), 409, "campaign_state")

    assert held["install_waits"].endswith("once an operator releases the install")
    assert released["terms"]["install_released_by"].startswith("operator:")
    [entry] = [one for one in events if one["what"] == "install_released"]
    assert entry["actor"] == released["terms"]["install_released_by"]


async def test_a_campaign_that_waits_for_nobody_is_not_released(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await drawn_up(gateway)
        assert_problem(await gateway.http.post(f"/api/v1/campaigns/{campaign}/install"), 409, "install_not_held")


async def test_windows_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        await run.gateway.register("T1")
        package = (await run.gateway.upload(run.gateway.package_file())).json()["id"]
        options = ("campaign", "create", "night", "--package", package, "--model", MODEL)
        window = ("--install-window", "22:00-02:30", "--install-days", "fri-mon", "--install-zone", "Asia/Shanghai")
        made = await run(*options, *window, "--install-on-release", "--start", "--json")
        campaign = made.value["id"]
        shown = await run("campaign", "show", campaign)
        released = await run("campaign", "install", campaign)
        after = await run("campaign", "show", campaign)
        bad_day = await run(*options, "--install-window", "22:00-02:30", "--install-days", "someday")
        no_window = await run(*options, "--install-days", "mon")
        bad_time = await run(*options, "--install-window", "22:00-26:00")

    days = ["mon", "fri", "sat", "sun"]
    assert made.value["terms"]["install_window"] == {"days": days, "start": "22:00", "end": "02:30", "zone": "Asia/Shanghai"}
    assert "22:00-02:30 mon,fri,sat,sun (Asia/Shanghai); once an operator releases them" in shown.out
    assert released.out.startswith(f"{campaign}: running")
    assert "released by operator:" in after.out
    for refused, word in ((bad_day, "mon-fri"), (no_window, "--install-window"), (bad_time, "26:00")):
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert word in refused.err
