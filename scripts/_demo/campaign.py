"""The campaign from upload to end: typed as an operator types it, watched, and the gateway killed in the middle of it."""

from __future__ import annotations

import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gateway.api.campaign_models import CreatedOut, PreviewOut, ProgressOut
from gateway.api.package_models import UploadOut
from gateway.api.terminal_models import TerminalOut
from gateway.api.upgrade_models import UpgradeOut
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from scripts._demo.demands import CANARIES, MOVING_LEAST, NEW_VERSION
from scripts._demo.evidence import Ending, Kill, Own, upgrades_of
from scripts._demo.house import DemoError, House, polls

MAX_ACTIVE: Final = 20
#: Two of the judged upgrades may fail: one is meant to.
TERMS: Final = (
    *(f"--max-active={MAX_ACTIVE}", "--failure-ratio=0.2", "--failure-min=5", "--soak=2s", "--health-every=1s"),
    *("--boot-budget=60s", "--duration=10min", "--ask", "--term=recheck_s=2", "--term=retry_scale=0.02"),
    "--term=progress_every_s=1",
    *(f"--canary-terminal={one}" for one in CANARIES),
)
ONLINE_S: Final = 30.0
CAMPAIGN_S: Final = 180.0
RECEIPTS_S: Final = 15.0
#: Transfers run this long before the gateway is killed.
INTO_TRANSFER_S: Final = 1.5
#: How long nobody starts the gateway again.
DOWN_S: Final = 1.0
_LOOK_S: Final = 0.25


class Run:
    """One campaign of one house."""

    def __init__(self, house: House, fleet: list[str], say: Callable[[str], None]) -> None:
        self._house = house
        self._fleet = fleet
        self._say = say

    def publish(self) -> UploadOut:
        """Build and upload the package, register the fleet."""
        house = self._house
        package = house.folder / f"app-{NEW_VERSION}.tgp"
        models = ("--model=lakala-4g-esign", "--model=shengpay-4g-esign")
        what = ("--component=app", f"--version={NEW_VERSION}", "--counter=2", "--minimum=app=1.0.0", "--battery-min-pct=30")
        key = f"--key={house.folder / 'keys' / 'publisher.key'}"
        self._say(house.tillgate("package", "build", str(house.folder / "payload"), str(package), *what, *models, key))
        self._say(house.tillgate("terminal", "import", str(house.folder / "fleet.csv")))
        return UploadOut.model_validate_json(house.tillgate("package", "upload", str(package), "--json"))

    def await_fleet(self) -> int:
        """Wait for the terminals' first hello; those out of coverage are not waited for."""
        count = 0
        with self._house.client() as client:
            for _ in polls(ONLINE_S, 0.2):
                count = sum(one.facts is not None for one in client.pages("/api/v1/terminals", TerminalOut))
                if count == len(self._fleet):
                    return count
        raise DemoError(f"only {count} of {len(self._fleet)} terminals said hello within {ONLINE_S:.0f} s")

    def draw_up(self, package: str) -> tuple[PreviewOut, str]:
        """The estimate beforehand, and the id of the campaign."""
        asked = ("campaign", "create", f"app {NEW_VERSION}", f"--package={package}", "--label=fleet=demo", *TERMS, "--json")
        preview = PreviewOut.model_validate_json(self._house.tillgate(*asked, "--estimate"))
        return preview, CreatedOut.model_validate_json(self._house.tillgate(*asked)).id

    def carry_out(self, campaign: str) -> Ending:
        """Start it, watch it, kill the gateway in the middle, and gather what both sides say of its end."""
        self._say(self._house.tillgate("campaign", "start", campaign))
        kill = self._until_kill(campaign)
        if kill is not None:
            watcher = self._house.watch(campaign)
            try:
                watcher.wait(CAMPAIGN_S)
            except subprocess.TimeoutExpired:
                self._say(f"the campaign is not over after {CAMPAIGN_S:.0f} s")
                _interrupt(watcher)
        own = self._receipted()
        with self._house.client() as client:
            look = client.get(f"/api/v1/campaigns/{campaign}/progress", ProgressOut)
            upgrades = upgrades_of(client, campaign)
        begun, ended = look.campaign.started_at, look.campaign.finished_at or look.at
        seconds = (ended - begun).total_seconds() if begun else 0.0
        return Ending(look=look, upgrades=upgrades, own=own, kill=kill, seconds=seconds)

    # -- inside

    def _until_kill(self, campaign: str) -> Kill | None:
        """Watch until enough transfers of the second wave are well under way, then kill; ``None`` when that never came."""
        watcher = self._house.watch(campaign)
        with self._house.client() as client:
            since = 0.0
            for _ in polls(CAMPAIGN_S, _LOOK_S):
                if watcher.poll() is not None:
                    return None
                try:
                    look = client.get(f"/api/v1/campaigns/{campaign}/progress", ProgressOut)
                except CommandError:  # a busy machine: the next look may succeed
                    self._house.check_gateway()
                    continue
                moving = sum(wave.by_state.get("transferring", 0) for wave in look.waves if wave.wave > 0)
                since = (since or time.monotonic()) if moving >= MOVING_LEAST else 0.0
                if since and time.monotonic() - since >= INTO_TRANSFER_S:
                    _interrupt(watcher)
                    return self._kill(client, campaign)
        _interrupt(watcher)
        return None

    def _kill(self, client: Client, campaign: str) -> Kill:
        house = self._house
        path = f"/api/v1/campaigns/{campaign}"
        look = client.get(f"{path}/progress", ProgressOut)
        moving = tuple(client.pages(f"{path}/upgrades", UpgradeOut, {"state": "transferring"}))
        pid = house.kill_gateway()
        at, killed = datetime.now(UTC), time.monotonic()
        self._say(f"kill -9 {pid}: the gateway is gone, with {len(moving)} transfers under way")
        own = house.accounts()
        time.sleep(max(0.0, DOWN_S - (time.monotonic() - killed)))
        pid = house.start_gateway()
        back_after_s = time.monotonic() - killed
        self._say(f"the gateway is back as process {pid}, ready after {back_after_s:.1f} s")
        return Kill(at=at, look=look, moving=moving, own=own, back_after_s=back_after_s)

    def _receipted(self) -> dict[str, Own]:
        """The terminals' accounts, once they have all their receipts; as they are when that takes too long."""
        own = self._house.accounts()
        for _ in polls(RECEIPTS_S, 0.2):
            if all(one.unreceipted == 0 for one in own.values()):
                break
            own = self._house.accounts()
        return own


def fleet_speed(house: House) -> float:
    """How much faster than in the field shops and terminals run here."""
    speed = tomllib.loads(house.scenario.read_text())["speed"]
    return float(speed)


def _interrupt(watcher: subprocess.Popen[bytes]) -> None:
    """Ctrl-C to the watching command: it leaves its last picture on the screen."""
    watcher.send_signal(signal.SIGINT)
    try:
        watcher.wait(5.0)
    except subprocess.TimeoutExpired:
        watcher.kill()
        watcher.wait()
