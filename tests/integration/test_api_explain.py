"""Why an upgrade stands where it stands, over HTTP and from the command line; what is stored is what the real core decides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from gateway.core import snapshot
from gateway.core.attendance import Terms
from gateway.core.effects import Save
from gateway.core.events import Event, Start
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.engine.patience import PATIENCE_S
from gateway.store import campaigns, packages, upgrades
from gateway.store.terms import plan_of
from gateway.trust.manifest import decode
from gateway.wire.codec import decode_signed
from gateway.wire.codes import Code, What
from tests.integration.http_gateway import HttpGateway, http_gateway
from tests.integration.test_api_guard import assert_problem
from tests.integration.test_cli import shell
from tests.unit.core.build import hello, report

SAVES: Final = get_args(Save)


async def upgraded(gateway: HttpGateway, **terms: object) -> Terminal:
    """The core's view of T1, which has an upgrade of a campaign that runs."""
    campaign = await gateway.campaign("T1", **terms)
    await gateway.http.post(f"/api/v1/campaigns/{campaign}/start")
    db = gateway.services.db
    [row] = await upgrades.page(db, campaign)
    drawn_up = await campaigns.get(db, campaign)
    assert drawn_up is not None
    package = await packages.get(db, drawn_up.package)
    assert package is not None
    plan = plan_of(drawn_up, package, decode(decode_signed(package.manifest).body))
    return Terminal("T1", Terms(), upgrade=Upgrade(row.id, "T1", plan))


async def tell(gateway: HttpGateway, terminal: Terminal, *events: Event) -> dict[str, Any]:
    """Let the core take these in, store what it decides, and ask for the explanation."""
    for event in events:
        effects = terminal.handle(event, gateway.services.now_us() / 1e6)
        await gateway.save(*(effect for effect in effects if isinstance(effect, SAVES)))
    assert terminal.upgrade is not None
    answer = await gateway.http.get(f"/api/v1/upgrades/{terminal.upgrade.id}/explain")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_last_word_each_way_and_what_comes_next(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        terminal = await upgraded(gateway, attempts_max=3)
        waiting = await tell(gateway, terminal)
        offered = await tell(gateway, terminal, hello(), Start())
        upgrade = offered["id"]
        moving = await tell(
            gateway, terminal, report(What.ACCEPTED, 1, upgrade=upgrade), report(What.READY, 2, upgrade=upgrade)
        )
        again = await tell(gateway, terminal, report(What.FAILED, 3, Code.CHECKSUM_MISMATCH, upgrade=upgrade))
        unknown = await gateway.http.get("/api/v1/upgrades/u-none/explain")

    assert (waiting["sent"], waiting["reported"], waiting["awaits"]) == (None, None, "a place in its campaign")
    assert waiting["holds_up"] == ["the terminal is offline, never heard"]
    assert (waiting["then"]["state"], waiting["then"]["code"]) == ("expired", "campaign_ended")
    assert offered["awaits"] == "the merchant's answer to the offer"
    assert (offered["sent"]["kind"], offered["sent"]["times"]) == ("upgrade.offer", 1)
    assert offered["sent"]["again_at"] > offered["sent"]["at"]
    assert {one["what"]: one["leads_to"] for one in offered["awaited"]} == {
        "accepted": "preparing",
        "postponed": "deferred",
        "refused": "rejected",
    }
    assert re.fullmatch(
        r"it has failed with deadline_passed and is scheduled again, tried from about .* UTC on; that costs no attempt",
        offered["then_text"],
    )
    assert offered["holds_up"] == []
    assert (moving["state"], moving["reported"]["what"], moving["reported"]["report"]) == ("transferring", "ready", 2)
    assert (moving["acked"]["verified_bytes"], moving["acked"]["package_bytes"]) == (0, 200_000)
    assert moving["order"]["kind"] == moving["sent"]["kind"] == "upgrade.transfer"
    assert (again["state"], again["attempt"], again["acked"]) == ("scheduled", 2, None)
    assert again["holds_up"][0].startswith("tried again from ")
    assert_problem(unknown, 404, "upgrade_unknown")


async def test_a_deadline_that_has_passed_and_did_nothing_yet_is_explained(tmp_path: Path) -> None:
    """After a start of the gateway, or an outage of its own, it waits for the terminal's word some minutes longer."""
    async with http_gateway(tmp_path) as gateway:
        terminal = await upgraded(gateway)
        in_time = await tell(gateway, terminal, hello(), Start())
        assert terminal.upgrade is not None
        terminal.upgrade.since -= terminal.upgrade.plan.deadline_s(terminal.upgrade.state)
        await gateway.save(snapshot.save(terminal.upgrade, 0))
        late = await tell(gateway, terminal)

    assert in_time["holds_up"] == []
    [reason] = late["holds_up"]
    assert reason.startswith("its time is up")
    assert f"{PATIENCE_S / 60:.0f} min" in reason


async def test_the_command_says_it_in_a_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shell(tmp_path, capsys, monkeypatch) as run:
        terminal = await upgraded(run.gateway, ask_merchant=False)
        found = await tell(run.gateway, terminal, hello(), Start())
        assert terminal.upgrade is not None
        said = await run("upgrade", "explain", terminal.upgrade.id)
        as_json = await run("upgrade", "explain", terminal.upgrade.id, "--json")
        await run("campaign", "pause", found["campaign"])

    lines = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in said.out.splitlines())
    assert lines["state"] == "offered"
    assert lines["last sent"].startswith(f"upgrade.offer ({terminal.upgrade.id}-1) at ")
    assert lines["last sent"].endswith(" on unless answered")
    assert lines["awaits"] == "the terminal's answer to the offer"
    assert lines["held up"] == "-"
    assert as_json.value["awaits"] == lines["awaits"]
