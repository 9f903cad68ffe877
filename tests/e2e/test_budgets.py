"""A day's budget that is smaller than the package, over the real broker: said, kept over a kill, and raised by an operator."""

from __future__ import annotations

from tests.e2e.accounts import check_ledger
from tests.e2e.parcels import parcel, uploaded
from tests.harness.stage import MODEL, UNSHAPED, Stage

SEGMENT = 131_072
SIZE = 4 * SEGMENT + 1000
DAY = 400_000  # room for two segments


async def test_a_used_up_day_defers_the_upgrade_and_a_raised_budget_lets_it_go_on(own_stage: Stage) -> None:
    stage = own_stage
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    simulator = stage.start_simulator(f'model = "{MODEL}"\n{UNSHAPED}\nids = ["{name}"]')
    await stage.until(lambda: stage.get(f"/terminals/{name}")["online"], "the terminal")
    stage.post("/budgets/terminal", {"name": name, "bytes_per_day": DAY})
    campaign = stage.campaign(uploaded(stage, parcel(stage, size=SIZE)), [name])

    await stage.until_states(campaign, {name: "deferred"})
    await stage.until(lambda: "held" in _whats(stage, campaign, name), "the terminal to say that it holds")
    history = stage.upgrade_of(campaign, name)["history"]
    [spent] = [one for one in history if one["what"] == "budget_spent"]
    upgrade = stage.upgrade_of(campaign, name)
    assert (spent["code"], spent["evidence"]["limit_bytes"]) == ("terminal_budget_spent", DAY)
    assert "the terminal's data budget of 0.4 MB for today is used up" in upgrade["waits"]
    assert upgrade["verified_bytes"] == 2 * SEGMENT
    assert stage.get(f"/campaigns/{campaign}/progress")["places_taken_count"] == 0
    assert stage.counters["transfers_open"] == 0

    # What was used is known after a kill, so the new life sends nothing either.
    await stage.until(
        lambda: stage.get(f"/terminals/{name}")["budgets"][0]["used_bytes"] > 2 * SEGMENT, "what was used to be saved"
    )
    stage.kill_gateway()
    stage.start_gateway()
    await stage.ready()
    used_bytes = stage.get(f"/terminals/{name}")["budgets"][0]["used_bytes"]
    assert 2 * SEGMENT < used_bytes <= DAY
    assert stage.states(campaign) == {name: "deferred"}
    assert stage.counters.get("chunks_sent", 0) == 0

    said = stage.run("budget", "set", "terminal", name, "--daily-bytes", "2MB")
    assert said.returncode == 0, said.stderr
    await stage.until_states(campaign, {name: "succeeded"})
    check_ledger(stage, campaign)
    upgrade = stage.upgrade_of(campaign, name)
    assert _whats(stage, campaign, name).count("budget_eased") == 1
    assert (upgrade["attempt"], upgrade["wasted_bytes"], upgrade["received_bytes"]) == (1, 0, SIZE)
    assert simulator.finish()[name]["versions"]["app"] != "1.0.0"


async def test_a_rate_of_a_site_slows_its_terminals_and_no_others(stage: Stage) -> None:
    names = stage.broker.new_terminals(3)
    rows = [{"id": name, "model": MODEL, "labels": {"site": names[0]} if name != names[2] else {}} for name in names]
    stage.post("/terminals", {"terminals": rows})
    stage.start_simulator(f'model = "{MODEL}"\n{UNSHAPED}\nids = {list(names)}')
    await stage.until(lambda: all(stage.get(f"/terminals/{name}")["online"] for name in names), "terminals")
    stage.post("/budgets/site", {"name": names[0], "bytes_per_s": 60_000})
    campaign = stage.campaign(uploaded(stage, parcel(stage, size=SEGMENT)), names)

    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"))
    took_s = {name: _transfer_s(stage, campaign, name) for name in names}
    assert max(took_s[names[0]], took_s[names[1]]) > (2 * SEGMENT - 33_000) / 60_000
    assert took_s[names[2]] < 1.5
    pauses = [stage.get(f"/terminals/{name}")["transfers"][0]["pauses"] for name in names]
    assert pauses[0]["budget"]["total_s"] > 0.5
    assert pauses[1]["budget"]["total_s"] > 0.5
    assert "budget" not in pauses[2]


def _whats(stage: Stage, campaign: str, terminal: str) -> list[str]:
    return [one["what"] for one in stage.upgrade_of(campaign, terminal)["history"]]


def _transfer_s(stage: Stage, campaign: str, terminal: str) -> float:
    [one] = [one for one in stage.upgrade_of(campaign, terminal)["phases"] if one["phase"] == "execute"]
    return float(one["spent_s"])
