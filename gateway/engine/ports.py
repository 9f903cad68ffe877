"""The ports of the engine: what it needs from the doors below it, as protocols. ``gateway.link`` implements ``Link``.

The engine imports this and never the implementation, so that it runs against a broker or an in-memory line alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Inbound(NamedTuple):
    """One message from the air, undecoded. A named tuple, since one is made for every message received."""

    topic: str
    payload: bytes


class Link(Protocol):
    """One connection to the broker that mends itself. At-most-once towards us: whatever matters is repeated by its sender."""

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and granted every subscription."""

    @property
    def generation(self) -> int:
        """Raised by one at each successful connect and subscribe; 0 before the first."""

    @property
    def reason(self) -> str:
        """Why the link is down, in words for a person; empty while it is up."""

    @property
    def arrived(self) -> int:
        """How many messages were kept for ``receive`` since the start, those not taken yet among them."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Totals since the start, by name; for readiness, logs and metrics."""

    async def run(self) -> None:
        """Connect, subscribe, and do so again after each loss, until cancelled. A broker that is away is normal, no error."""

    async def receive(self) -> list[Inbound]:
        """Wait for at least one message, then return all that are queued, oldest first, at most 512.

        Goes on while the link is down. A cancelled call has taken nothing.
        """

    async def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Publish one message; at QoS 1 return only after the broker's acknowledgement.

        Raises:
            LinkError: the link is down (``link_down``), went down meanwhile, or the broker did not answer in time
                (``link_timeout``). The message may have arrived all the same.
        """

    async def publish_many(self, messages: Sequence[tuple[str, bytes]], *, qos: int) -> int:
        """Hand ``(topic, payload)`` pairs over in order, at a fraction of the cost of ``publish``.

        Waits while the outgoing buffer is full, or too many QoS 1 messages are unacknowledged. Returns how many were handed
        over: all, or fewer when the link is down or goes down. Handed over is not delivered: no acknowledgement is waited for
        at either QoS. Never raises ``LinkError``.
        """

    async def wait_change(self, *, generation: int, connected: bool) -> tuple[int, bool]:
        """Return ``(generation, connected)`` once it differs from what the caller has seen, or at once."""

    async def echo(self, timeout_s: float) -> bool:
        """Whether every subscription really delivers: a broker grants a filter that its ACL denies, and then stays silent."""
