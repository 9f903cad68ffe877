"""The demo from beginning to end; exit code 0 when every terminal ended as demanded, 1 when not, 2 when it could not be run."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from gateway.cli.failures import CommandError, one_line
from scripts._demo import payload, show
from scripts._demo.campaign import MAX_ACTIVE, Run, fleet_speed
from scripts._demo.demands import CANARIES
from scripts._demo.evidence import Ending
from scripts._demo.forecast import Forecast, forecast
from scripts._demo.house import DemoError, House
from scripts._demo.judge import differences
from tests.harness.broker import BrokerError

CAMPAIGN_AIM_S: Final = 60.0
TOTAL_AIM_S: Final = 180.0


def main(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, and say where.")] = False,
    seed: Annotated[int, typer.Option(help="Another package, other chance.")] = 1,
    set_up_since: Annotated[float, typer.Option(hidden=True)] = 0.0,
) -> None:
    """Upgrade 24 simulated terminals, with all that can go wrong, and check how each of them ends."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    demo = Demo(seed=seed, keep=keep, since=set_up_since or time.time())
    try:
        raise typer.Exit(demo.run())
    except KeyboardInterrupt:
        demo.say("interrupted; everything is stopped")
        raise typer.Exit(130) from None


class Demo:
    """One run."""

    def __init__(self, *, seed: int, keep: bool, since: float) -> None:
        self._seed = seed
        self._keep = keep
        self._since = since
        self._out: Console = show.console()
        self._folder = Path(tempfile.mkdtemp(prefix="tillgate-demo-"))

    def run(self) -> int:
        """All of it; the exit code."""
        code = 2
        try:
            with House(self._folder, seed=self._seed) as house:
                code = self._run(house)
        except (DemoError, BrokerError, CommandError) as exc:
            self._out.print(Text(f"the demo broke off: {exc}", style="red"))
        finally:
            if code == 0 and not self._keep:
                shutil.rmtree(self._folder)
            else:
                self.say(f"files and logs stay in {self._folder}")
        return code

    def say(self, text: str) -> None:
        """One step, with the seconds since the beginning."""
        self._out.print(Text.assemble((f"{time.time() - self._since:6.1f} s  ", "dim"), one_line(text)))

    def _run(self, house: House) -> int:
        size_bytes = payload.collect(self._folder / "payload", self._seed)
        fleet = house.found()
        self.say(f"broker on port {house.broker.port}; {len(fleet)} terminals; {size_bytes} bytes of files for the package")
        house.start_gateway()
        run = Run(house, fleet, self.say)
        package = run.publish()
        house.start_terminals()
        self.say(f"gateway at {house.url}; package {package.id}; {run.await_fleet()} terminals have said hello")

        preview, campaign = run.draw_up(package.id)
        speed = fleet_speed(house)
        said = forecast(preview, speed=speed, canary_count=len(CANARIES), max_active=MAX_ACTIVE)
        self.say(f"estimate: {said.campaign_field} in the field; {said.campaign_here} here, where all but radio is x{speed:g}")
        set_up_s = time.time() - self._since
        ending = run.carry_out(campaign)
        self._show(ending, said, fleet, speed)
        return self._judge(ending, fleet, set_up_s, house, campaign)

    def _show(self, ending: Ending, said: Forecast, fleet: list[str], speed: float) -> None:
        out = self._out
        out.print()
        show.terminals(out, ending, said, fleet)
        out.print()
        show.phases(out, ending, said, speed)
        out.print()
        show.proof(out, ending)

    def _judge(self, ending: Ending, fleet: list[str], set_up_s: float, house: House, campaign: str) -> int:
        out = self._out
        wrong = differences(ending, fleet)
        total_s = time.time() - self._since
        out.print(f"time: set-up {set_up_s:.1f} s, campaign {ending.seconds:.1f} s, all {total_s:.1f} s (seed {self._seed})")
        if ending.seconds > CAMPAIGN_AIM_S or total_s > TOTAL_AIM_S:
            out.print(Text("slower than meant: the campaign aims at 60 s, all of it at three minutes", style="yellow"))
        code = show.verdict(out, wrong, len(fleet))
        if self._keep:
            self._stay(house, campaign)
        return code

    def _stay(self, house: House, campaign: str) -> None:
        """Leave everything running until Ctrl-C."""
        settings = house.settings
        self._out.print(
            f"""
everything is still running; Ctrl-C stops it
  gateway   {house.url}  (API below /api/v1, described by /api/v1/openapi.json)
  token     {house.token}
  broker    {house.broker.host}:{house.broker.port}  (user {house.broker.gateway_user}, password in broker-password)
  files     {self._folder}
try in another shell:
  export TILLGATE_CONFIG={settings}
  .venv/bin/tillgate terminal list
  .venv/bin/tillgate campaign show {campaign}
  .venv/bin/tillgate upgrade list {campaign}
  .venv/bin/tillgate terminal show sp-refund
  .venv/bin/tillgate order --help
  curl -H "Authorization: Bearer $(cat {self._folder}/token)" {house.url}/api/v1/campaigns
""",
            soft_wrap=True,
            markup=False,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            self.say("stopping everything")


def _as_interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
