"""A backup taken in the middle of a campaign comes back to terminals that are ahead of it: in transfer, in soak, and done."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.accounts import check_ledger
from tests.e2e.parcels import parcel, uploaded, version_of
from tests.harness.stage import MODEL, UNSHAPED, Stage

pytestmark = pytest.mark.timeout(240)

SIZE = 700_000
LONG_S = 60.0  # on a machine that does much else
#: 500 kbit/s: the package takes eleven seconds.
SLOW = "link = { bare = true, down_bps = 500_000, up_bps = 500_000, delay_ms = 5 }"


def states_in(file: Path) -> dict[str, str]:
    """Terminals and the states of their upgrades in a store or backup that is closed."""
    with closing(sqlite3.connect(file)) as store:
        return dict(store.execute("SELECT terminal, state FROM upgrades"))


async def test_a_campaign_ends_right_after_a_restore_of_the_middle_of_it(own_stage: Stage) -> None:
    """The backup knows nothing of what three terminals did next: one ended, one soaks, one is further in its transfer.

    Their reports were receipted by the gateway that is lost, their counters and order ids are ahead of the restored one's. No
    terminal installs twice, none is said to have succeeded without its report, and no verified byte is sent again.
    """
    stage = own_stage
    names = done, soaking, slow = stage.broker.new_terminals(3)
    simulator = stage.start_simulator(
        f'model = "{MODEL}"\nids = {[done, soaking]}\n{UNSHAPED}', f'model = "{MODEL}"\nids = ["{slow}"]\n{SLOW}'
    )
    stage.register(names)
    await stage.ready()
    await stage.until(lambda: all(stage.get(f"/terminals/{name}")["online"] for name in names), "the terminals", LONG_S)
    package = uploaded(stage, parcel(stage, size=SIZE))
    campaign = stage.campaign(package, [done, slow])
    long_soak = stage.campaign(package, [soaking], soak_s=6)
    await stage.until(lambda: {"scheduled"}.isdisjoint(stage.states(campaign).values()), "the offers", LONG_S)
    await stage.until(lambda: stage.states(long_soak)[soaking] != "scheduled", "the third offer", LONG_S)

    simulator.process.signal(signal.SIGSTOP)  # nobody moves while the copy is made
    file = stage.folder / "middle.backup"
    taken = stage.run("backup", str(file), timeout_s=LONG_S)
    refused = stage.run("restore", str(file), timeout_s=LONG_S)
    simulator.process.signal(signal.SIGCONT)
    assert taken.returncode == 0, taken.stderr
    assert refused.returncode == 2, refused.stdout
    assert re.search(r"^tillgate: the store .* is open in another gateway .*; stop that process", refused.stderr)
    early = states_in(file)
    assert {"scheduled", "soaking", "succeeded"}.isdisjoint(early.values()), early

    await stage.until(lambda: stage.states(campaign)[done] == "succeeded", "the first to end", LONG_S)
    await stage.until(lambda: stage.states(long_soak)[soaking] == "soaking", "the second to soak", LONG_S)
    stage.kill_gateway()
    restored = stage.run("restore", str(file), timeout_s=LONG_S)
    assert restored.returncode == 0, restored.stderr
    assert campaign in restored.stdout
    assert long_soak in restored.stdout
    assert states_in(stage.home / "var" / "tillgate.db") == early
    stage.start_gateway()

    await stage.until_states(campaign, {done: "succeeded", slow: "succeeded"}, LONG_S)
    await stage.until_states(long_soak, {soaking: "succeeded"}, LONG_S)
    for one in (campaign, long_soak):
        check_ledger(stage, one)
        history = stage.pages("/entries", campaign=one)
        ends = {entry["terminal"]: entry for entry in history if entry["to_state"] == "succeeded" != entry["from_state"]}
        assert {entry["actor"] for entry in ends.values()} == {"terminal"}
        assert {entry["what"] for entry in ends.values()} == {"committed"}
    assert [entry["actor"] for entry in stage.pages("/entries") if entry["what"] == "store_restored"]
    audited = [json.loads(line) for line in stage.http.get("/api/v1/ledger/audit").text.splitlines()]
    assert (audited[-1]["kind"], audited[-1]["finding_count"]) == ("verdict", 0)
    await stage.until(lambda: simulator.status["phases"].get("done") == len(names), "all terminals to be done", LONG_S)
    accounts = simulator.finish()
    for name in names:
        assert accounts[name]["boots"] == 2, f"{name} was not installed exactly once"
        assert accounts[name]["slot"] == "b"
        assert accounts[name]["versions"]["app"] == version_of(stage, package)
        assert accounts[name]["repeated_bytes"] == 0
        assert "counter_replayed" not in accounts[name]["events"], accounts[name]["events"]
        assert "shard_epoch_old" not in accounts[name]["events"]
