"""The main job over a real broker: a fleet is upgraded, and everyone who wrote something down wrote down the same."""

from __future__ import annotations

import json
import re
import threading

import httpx

from tests.e2e.accounts import check_bytes, check_ledger, check_reports
from tests.e2e.parcels import parcel, uploaded, version_of
from tests.harness.stage import MODEL, OTHER_MODEL, UNSHAPED, Stage

SIZE = 700_000


class Listener:
    """Reads a campaign's event stream in a thread until it has seen its end."""

    def __init__(self, stage: Stage, campaign: str) -> None:
        self.entries: list[dict[str, str]] = []
        self._stage = stage
        self._campaign = campaign
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def finish(self) -> list[dict[str, str]]:
        """All entries up to the one that ended the campaign."""
        self._thread.join(timeout=10)
        assert not self._thread.is_alive(), "the stream did not show the campaign's end"
        return self.entries

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._stage.token}", "Last-Event-ID": "0"}
        url = f"{self._stage.url}/api/v1/events?campaign={self._campaign}"
        with httpx.stream("GET", url, headers=headers, timeout=40) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.entries.append(json.loads(line.removeprefix("data: ")))
                    if self.entries[-1]["what"] == "campaign_finished":
                        return


async def test_a_fleet_of_both_models_is_upgraded_and_every_account_agrees(stage: Stage) -> None:
    """Canary, then the rest, by the command line; states, ledger, event stream and terminals' journals tell one story."""
    names = stage.broker.new_terminals(6)
    simulator = stage.start_simulator(
        f'model = "{MODEL}"\nids = {names[:3]}\n{UNSHAPED}', f'model = "{OTHER_MODEL}"\nids = {names[3:]}\n{UNSHAPED}'
    )
    stage.register(names[:3], MODEL)
    stage.register(names[3:], OTHER_MODEL)
    package = uploaded(stage, parcel(stage, size=SIZE))
    await stage.until(lambda: all(stage.get(f"/terminals/{name}")["online"] for name in names), "the terminals to come online")

    options = ["--package", package, "--canary", "1", "--no-ask", "--soak", "1s", "--health-every", "1s", "--start"]
    made = stage.run("campaign", "create", "spring", *options, *(f"--terminal={name}" for name in names))
    assert made.returncode == 0, made.stderr
    found = re.match(r"(\S+): 6 upgrades, started", made.stdout)
    assert found, made.stdout
    campaign = found[1]
    listener = Listener(stage, campaign)
    watched = stage.run("campaign", "watch", campaign)

    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert stage.states(campaign) == dict.fromkeys(names, "succeeded")
    listed = json.loads(stage.run("campaign", "list", "--json").stdout)
    assert [row["state"] for row in listed if row["id"] == campaign] == ["finished"]
    check_ledger(stage, campaign)
    entries = stage.pages("/entries", campaign=campaign)
    assert listener.finish() == entries
    canaries = [row["terminal"] for row in stage.pages(f"/campaigns/{campaign}/upgrades") if row["wave"] == 0]
    starts = [entry["terminal"] for entry in entries if entry["what"] == "start"]
    assert len(canaries) == 1
    assert starts[0] == canaries[0]
    assert sorted(starts) == names

    accounts = simulator.finish()
    check_reports(stage, campaign, accounts)
    check_bytes(accounts, SIZE)
    version = version_of(stage, package)
    for name in names:
        assert accounts[name]["versions"]["app"] == version
        assert accounts[name]["slot"] == "b"
        assert stage.get(f"/terminals/{name}")["facts"]["components"]["app"] == version
