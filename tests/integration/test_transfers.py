"""What transfers cost, from a committed save to the answers of the API, the command line, and the next estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.core.effects import SaveTransfer
from gateway.core.transfer.account import Account, Pause, PauseCause, Quantiles
from tests.integration.http_gateway import HttpGateway, http_gateway
from tests.integration.test_cli import shell

AT_US = 1_790_000_000_000_000


def saved(upgrade: str, terminal: str, campaign: str, *, goodput: float = 50_000.0) -> SaveTransfer:
    """A transfer of 20 s, a quarter of which a payment took."""
    spread = Quantiles(p10=goodput / 2, p50=goodput, p90=goodput * 2, p95=goodput * 2, p99=goodput * 2, count=9)
    return SaveTransfer(
        upgrade=upgrade,
        terminal=terminal,
        campaign=campaign,
        transfer=7,
        started_us=AT_US,
        at_us=AT_US + 20_000_000,
        ended="staged",
        account=Account(
            useful_bytes=1 << 20,
            sent_bytes=(1 << 20) + 4096,
            resent_bytes=4096,
            overhead_bytes=12_000,
            chunks=65,
            acks=10,
            probes=1,
            connections=2,
            pauses={PauseCause.PAYMENT: Pause(count=2, seconds=5.0)},
            goodput_bps=spread,
            delay_ms=Quantiles(p10=1, p50=12.3, p90=40, p95=55.5, p99=80, count=9),
        ),
    )


async def got(gateway: HttpGateway, path: str) -> Any:  # noqa: ANN401 - JSON
    """The answer to GET, which must be 200."""
    answer = await gateway.http.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_transfer_shows_with_its_upgrade_its_terminal_and_its_campaign(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1", "T2")
        await gateway.save(*(saved(f"{campaign}-{number}", f"T{number}", campaign) for number in (1, 2)))
        [row] = (await got(gateway, f"/upgrades/{campaign}-1/transfers"))["items"]
        terminal = await got(gateway, "/terminals/T1")
        progress = await got(gateway, f"/campaigns/{campaign}/progress")
        missing = await gateway.http.get("/api/v1/upgrades/none/transfers")

    assert (row["useful_bytes"], row["resent_bytes"], row["overhead_bytes"], row["ended"]) == (1 << 20, 4096, 12_000, "staged")
    assert row["pauses"] == {"payment": {"count": 2, "total_s": 5.0}}
    assert (row["goodput_bps"]["p50"], row["delay_ms"]["p95"], row["connections_count"]) == (50_000.0, 55.5, 2)
    assert terminal["transfers"] == [row]
    total = progress["transfers"]
    assert (total["transfers_count"], total["sent_bytes"], total["resent_bytes"]) == (2, 2 * ((1 << 20) + 4096), 8192)
    assert total["wasted_ratio"] == pytest.approx(4096 / ((1 << 20) + 4096), abs=1e-6)
    assert (total["pauses"], total["goodput_p50_bps"]) == ({"payment": {"count": 4, "total_s": 10.0}}, 50_000.0)
    assert (missing.status_code, missing.json()["code"]) == (404, "upgrade_unknown")


async def test_the_command_line_shows_them_with_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        campaign = await run.gateway.campaign("T1")
        before = await run("campaign", "show", campaign)
        fresh = await run("terminal", "show", "T1")
        run.gateway.services.measured._kept.clear()  # noqa: SLF001 - else the campaign's totals are the empty ones for 5 s
        await run.gateway.save(saved(f"{campaign}-1", "T1", campaign))
        upgrade = await run("upgrade", "show", f"{campaign}-1")
        terminal = await run("terminal", "show", "T1")
        shown = await run("campaign", "show", campaign)

    assert "stood still" not in before.out + fresh.out
    for one in (upgrade, terminal):
        assert "1.0 MiB" in one.out
        assert "24.4 KiB / 48.8 KiB / 97.7 KiB" in one.out
        assert "12 / 56 ms" in one.out
        assert "payment 2x 5.0 s" in one.out
    assert "1, 1.0 MiB sent, 4.0 KiB of it again (0.39 %), overhead 11.7 KiB" in shown.out
    assert "48.8 KiB per s (median)" in shown.out


async def test_the_next_estimate_begins_with_the_rates_of_earlier_transfers(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        first = await gateway.campaign("T1", "T2")
        guessed = await got(gateway, f"/upgrades/{first}-1")
        await gateway.save(saved(f"{first}-1", "T1", first, goodput=400.0), saved(f"{first}-2", "T2", first, goodput=4e4))
        gateway.services.measured._kept.clear()  # noqa: SLF001 - as above
        slow, fast = [await got(gateway, f"/upgrades/{first}-{number}") for number in (1, 2)]
        body = {"name": "next", "package": guessed["package"], "terminals": ["T2"]}
        preview = (await gateway.http.post("/api/v1/campaigns:estimate", json=body)).json()

    execute = [one["estimate"]["phases"]["execute"] for one in (guessed, slow, fast)]
    assert [one["basis"] for one in execute] == ["usual", "computed", "computed"]
    assert execute[1]["high_s"] > execute[2]["high_s"]
    assert preview["upgrade_phases"]["execute"]["basis"] == "computed"
