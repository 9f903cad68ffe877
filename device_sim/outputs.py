"""Outputs: everything a terminal asks of the world around it. The mirror of the inputs of ``terminal.Terminal``.

The swarm carries them out over real sockets, a scenario test over a virtual line. An output leaves the machine only after
what it says is durable in the terminal's flash.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publish:
    """Send ``payload`` on the terminal's topic of ``kind``; lost silently when the connection is gone."""

    kind: str
    payload: bytes
    bulk: bool = False
    qos: int = 1


@dataclass(frozen=True, slots=True)
class ConnectControl:
    """Open the control connection; answer with ``on_control_up`` once subscribed, or ``on_control_down``."""

    epoch: int
    will: bytes
    """Payload of the will on the topic ``presence``, QoS 1."""


@dataclass(frozen=True, slots=True)
class DropControl:
    """Close the control connection, or give up opening it. No ``on_control_down`` is expected for it."""

    abort: bool
    """Without a DISCONNECT, so that the broker publishes the will; otherwise after all that was published before."""


@dataclass(frozen=True, slots=True)
class OpenBulk:
    """Open the bulk connection; answer with ``on_bulk_up`` once subscribed, or ``on_bulk_down``."""


@dataclass(frozen=True, slots=True)
class CloseBulk:
    """Close the bulk connection, or give up opening it. No ``on_bulk_down`` is expected for it."""

    abort: bool


@dataclass(frozen=True, slots=True)
class PauseBulk:
    """Stop (or go on) reading the bulk socket: a payment has the link to itself. Means nothing while there is none."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Rebooting:
    """The terminal is away until ``until``; both connections have been dropped by outputs before this one."""

    until: float
    why: str


Output = Publish | ConnectControl | DropControl | OpenBulk | CloseBulk | PauseBulk | Rebooting
