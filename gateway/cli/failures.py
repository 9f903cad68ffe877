"""Failures of the command line: one line on standard error, and what the exit codes mean.

0    done; a watched campaign finished
1    a watched campaign was paused by its stop rule or aborted; an order that was waited for did not succeed; the ledger is not
     what was written
2    the command could not be carried out: wrong usage, refused by the gateway, gateway not reachable
130  interrupted by the person
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
ENDED_BADLY: Final = 1
FAILED: Final = 2
INTERRUPTED: Final = 130


class CommandError(Exception):
    """The command cannot be carried out; its text is the one line that the person sees."""


class RefusedError(CommandError):
    """The gateway answered, and asking again will not change its mind."""


def one_line(text: str) -> str:
    """``text`` without line breaks and control characters, so that nothing a server says can play with the terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
