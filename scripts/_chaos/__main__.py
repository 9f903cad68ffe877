"""A run of chaos: exit code 0 when every invariant holds, 1 when one is broken, 2 when it could not be run."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from scripts._chaos import show
from scripts._chaos.evidence import Struck, gather
from scripts._chaos.house import House
from scripts._chaos.invariants import judge
from scripts._chaos.strike import Strike
from scripts._chaos.table import Fault, deal, round_size
from scripts._chaos.work import Work
from tests.harness.broker import BrokerError

#: Faults under way at the same time, on different targets: a point that waits for somebody to come by counts too.
AT_ONCE: Final = 3
#: Dealt faults from which the next one is taken: the first whose target is whole.
HAND: Final = 8
#: How long everything may take to come to its end once nothing is broken any more (seconds).
SETTLE_S: Final = 180.0
#: The longest that a short run breaks things; on an idle machine its one round of faults takes a third of it.
SHORT_S: Final = 90.0
#: Faults wait until there is something to break, no longer than this.
WARM_UP_S: Final = 20.0
_STEP_S: Final = 0.05
_LINE_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    seconds: float
    seed: int
    short: bool
    terminals: int


class Run:
    """One run, from a whole house to the verdict."""

    def __init__(self, options: Options, house: House, out: Console) -> None:
        self._options = options
        self._house = house
        self._out = out
        faults = deal(options.seed, short=options.short)
        self._faults = islice(faults, round_size(short=True)) if options.short else faults
        self._hand: list[Fault] = []
        self._next_at = 0.0
        self._strikes: list[Strike] = []
        self._under_way: list[Strike] = []
        self._work = Work(house, in_turn=options.short)
        self._began_at = time.monotonic()
        self._lined_at = 0.0
        self.settled_s = float("nan")

    def carry_out(self) -> bool:
        """All of it; whether every invariant holds."""
        with self._picture() as draw:
            self._break_things(draw)
            self._settle(draw)
        house = self._house
        house.final()
        house.close()
        struck = [Struck(name=str(one.fault), began_at=one.began_at, ended_at=one.ended_at) for one in self._strikes if one.hit]
        found = gather(
            house.store,
            house.simulator.flash,
            house.ring,
            again_bytes=house.again_bytes,
            struck=struck,
            fell=[*house.fell, *(f"unexpected answer: {text}" for text in self._work.refused)],
        )
        breaches = judge(found)
        show.faults(self._out, self._strikes)
        show.verdicts(self._out, breaches)
        self._sum_up(sum(len(life["said"]) for life in found.lives.values()))
        return not any(breaches.values())

    # -- inside

    def _break_things(self, draw: show.Draw) -> None:
        while (elapsed_s := time.monotonic() - self._began_at) < self._options.seconds:
            self._step(draw, "breaking", elapsed_s, self._options.seconds)
            if (self._work.moving or elapsed_s > WARM_UP_S) and not self._strike():
                return
            time.sleep(_STEP_S)

    def _settle(self, draw: show.Draw) -> None:
        """Nothing is broken any more, and no work is added: how long until everything has ended."""
        while self._under_way:
            self._step(draw, "mending", time.monotonic() - self._began_at, self._options.seconds)
            time.sleep(_STEP_S)
        since = time.monotonic()
        while (waited_s := time.monotonic() - since) < SETTLE_S:
            self._step(draw, "settling", waited_s, SETTLE_S, closing=True)
            if self._quiet():
                self.settled_s = waited_s
                return
            time.sleep(10 * _STEP_S)

    def _step(self, draw: show.Draw, phase: str, elapsed_s: float, of_s: float, *, closing: bool = False) -> None:
        now = time.monotonic()
        over = [one for one in self._under_way if one.over()]
        for one in over:
            self._note(f"over{'' if one.hit else ' (not reached)'}: {one.fault}")
        self._under_way = [one for one in self._under_way if one not in over]
        killed = {one.fault.target for one in self._under_way if one.kills}
        for target in self._house.processes - killed:
            self._house.mend(target)
        self._work.step(now, closing=closing)
        self._house.sample(now)
        look = show.Look(
            elapsed_s=elapsed_s,
            of_s=of_s,
            under_way=[str(one.fault) for one in self._under_way],
            struck=len(self._strikes),
            done=self._work.done,
            open=self._work.open,
            phase=phase,
        )
        draw(look)

    def _strike(self) -> bool:
        """Begin the next fault when its time has come: the first in the hand whose target is whole. Whether any are left."""
        self._hand += islice(self._faults, HAND - len(self._hand))
        busy = {one.fault.target for one in self._under_way}
        fault = next((fault for fault in self._hand if fault.target not in busy), None)
        if fault is None or time.monotonic() < self._next_at or len(busy) >= AT_ONCE:
            return bool(self._hand)
        self._hand.remove(fault)
        self._next_at = time.monotonic() + fault.gap_s
        self._note(f"{fault} for {fault.lasts_s:.1f} s")
        strike = Strike(self._house, fault)
        strike.begin()
        self._strikes.append(strike)
        self._under_way.append(strike)
        return True

    def _note(self, text: str) -> None:
        with (self._house.folder / "faults.log").open("a") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {text}\n")

    def _quiet(self) -> bool:
        """Whether there is nothing more to wait for."""
        house = self._house
        if self._work.open or not house.answering or not house.listening:
            return False
        if house.query("SELECT 1 FROM campaigns WHERE state <> 'finished' UNION SELECT 1 FROM terminals WHERE NOT online"):
            return False
        if house.query("SELECT 1 FROM orders WHERE status IN ('pending', 'sent')"):
            return False
        accounts = house.simulator.accounts()
        return all(account["on"] and account["unreceipted"] == 0 for account in accounts.values())

    def _sum_up(self, said: int) -> None:
        house, work = self._house, self._work
        self._out.print(
            f"{work.done} upgrades of {self._options.terminals} terminals ended, {said} reports and results were journalled; "
            f"{house.power_cuts} power cuts of single terminals; "
            f"deaths: {', '.join(f'{target} {count}' for target, count in sorted(house.deaths.items()))}; "
            f"{house.refusals} starts were refused on a locked or full store; "
            f"{work.unanswered} requests without an answer; settled {self.settled_s:.0f} s after the last fault\n"
            f"the disk was {'a file system of its own' if house.disk.real else 'a limit on file sizes, no mount is allowed'}",
            soft_wrap=True,
        )

    @contextmanager
    def _picture(self) -> Iterator[show.Draw]:
        out = self._out
        if not out.is_terminal:
            yield self._draw_line
            return
        with Live(console=out, refresh_per_second=4, transient=True) as live:
            yield lambda look: live.update(show.line(look))

    def _draw_line(self, look: show.Look) -> None:
        now = time.monotonic()
        if now - self._lined_at >= _LINE_EVERY_S:
            self._lined_at = now
            self._out.print(show.line(look), soft_wrap=True)


def main(
    *,
    minutes: Annotated[float, typer.Option(help="How long things are broken.", min=0.1, max=24 * 60)] = 10.0,
    seed: Annotated[int, typer.Option(help="Which faults, in which order, for how long.")] = 1,
    short: Annotated[bool, typer.Option("--short", help="About a minute in all, for CI; no stops beyond keepalive.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder with logs, store and flash.")] = False,
) -> None:
    """Break a gateway, its broker, its terminals, its lines and its disk, and check that nothing is lost, doubled or stuck."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    out = Console(soft_wrap=True) if not sys.stdout.isatty() else Console()
    options = Options(seconds=SHORT_S if short else minutes * 60, seed=seed, short=short, terminals=8 if short else 16)
    folder = Path(tempfile.mkdtemp(prefix="tillgate-chaos-"))
    whole = False
    try:
        with House(folder, seed=seed, terminals=options.terminals) as house:
            run = Run(options, house, out)
            whole = run.carry_out()
            if not whole or keep:
                shutil.copytree(
                    house.store.parent, folder / "store-at-the-end", ignore=shutil.ignore_patterns("filler", "packages")
                )
    except BrokerError as exc:
        out.print(f"chaos broke off: {exc}", style="red")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        out.print("interrupted; everything is stopped")
        raise typer.Exit(130) from None
    finally:
        if whole and not keep:
            shutil.rmtree(folder)
        else:
            out.print(f"logs, store and flash stay in {folder}")
    length = "--short" if short else f"--minutes {minutes:g}"
    out.print(f"{'all invariants hold' if whole else 'BROKEN'}; the same faults again: scripts/chaos {length} --seed {seed}")
    raise typer.Exit(0 if whole else 1)


def _as_interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
