"""Transferred at once, installed in a window that opens a few seconds later, over the real broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.e2e.accounts import check_ledger
from tests.e2e.parcels import parcel, uploaded
from tests.harness.stage import MODEL, UNSHAPED, Stage

OPENS_IN_S = 6


async def test_a_fleet_installs_when_its_window_opens_and_not_before(stage: Stage) -> None:
    names = stage.broker.new_terminals(3)
    stage.register(names)
    simulator = stage.start_simulator(f'model = "{MODEL}"\n{UNSHAPED}\nids = {list(names)}')
    await stage.until(lambda: all(stage.get(f"/terminals/{name}")["online"] for name in names), "terminals")
    package = uploaded(stage, parcel(stage))
    opens = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=OPENS_IN_S)
    closes = opens + timedelta(minutes=3)
    window = {"start": f"{opens:%H:%M:%S}", "end": f"{closes:%H:%M:%S}", "zone": "UTC"}
    campaign = stage.campaign(package, names, max_active=2, install_window=window)

    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"))
    for name in names:
        history = stage.upgrade_of(campaign, name)["history"]
        at = {entry["what"]: datetime.fromisoformat(entry["at"]) for entry in history}
        assert at["staged"] < opens <= at["install"] < closes
    check_ledger(stage, campaign)
    assert {state["versions"]["app"] for state in simulator.finish().values()} != {"1.0.0"}


async def test_a_staged_terminal_waits_until_an_operator_releases_it(stage: Stage) -> None:
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    stage.start_simulator(f'model = "{MODEL}"\n{UNSHAPED}\nids = ["{name}"]')
    await stage.until(lambda: stage.get(f"/terminals/{name}")["online"], "the terminal")
    campaign = stage.campaign(uploaded(stage, parcel(stage)), [name], install_on_release=True)
    await stage.until_states(campaign, {name: "staged"})
    assert "releases" in stage.upgrade_of(campaign, name)["waits"]

    stage.post(f"/campaigns/{campaign}/install")
    await stage.until_states(campaign, {name: "succeeded"})
    [install] = [entry for entry in stage.upgrade_of(campaign, name)["history"] if entry["what"] == "install"]
    assert install["actor"].startswith("operator")
