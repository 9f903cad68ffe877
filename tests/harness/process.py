"""A child process of ours, with its output in a file: started, killed or ended by its own process id, never by a name."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

#: How long a process may take to end by itself before it is killed (seconds).
GRACE_S = 10.0


class Process:
    """Runs ``argv`` from construction to ``stop``; a context manager. Its output is appended to ``log``."""

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start it. ``env`` adds to the environment that we have ourselves."""
        self.argv = tuple(argv)
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(env or {})}, cwd=cwd
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    @property
    def output(self) -> str:
        """What this process has written so far."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone: no clean-up, no last words, as in a power cut."""
        self._child.kill()
        self._child.wait()

    def stop(self, grace_s: float = GRACE_S) -> int:
        """End it as an operator would (SIGTERM), by force after ``grace_s``; its exit code, negative when a signal ended it."""
        self._child.terminate()
        try:
            return self._child.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._child.returncode

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; its exit code. ``subprocess.TimeoutExpired`` when it goes on."""
        return self._child.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
