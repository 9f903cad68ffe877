"""``MqttLink``: one connection to the broker that mends itself, behind the port ``gateway.engine.ports.Link``.

The runtime makes two: control (presence, hello, report, result, log at QoS 1) and bulk (acks at QoS 0; chunks out). Delivery
towards us is at most once by design: QoS 1 messages are acknowledged on arrival, and the inbox drops when it is full.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import structlog
from anyio.lowlevel import checkpoint

from gateway.engine.ports import Inbound
from gateway.errors import LinkError
from gateway.link.backoff import Backoff
from gateway.link.inbox import Inbox
from gateway.link.session import Session, open_session
from gateway.link.settings import LinkSettings

BATCH_MESSAGES: Final = 512

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Echo:
    """One round of probes: which have not come back yet."""

    missing: set[str]
    complete: anyio.Event


class MqttLink:
    """Implements ``gateway.engine.ports.Link``; see there for the contracts of its public methods."""

    def __init__(self, settings: LinkSettings, *, admit: Callable[[str], bool] = lambda _: True) -> None:
        """``admit`` says whether a message on a topic may come in; it counts what it refuses."""
        self._settings = settings
        self._inbox = Inbox(
            max_messages=settings.inbox_messages,
            max_bytes=settings.inbox_bytes,
            max_payload=settings.payload_bytes,
            admit=admit,
        )
        self._probes = frozenset(probe_topic(name) for name, _ in settings.filters)
        self._echoes: dict[bytes, _Echo] = {}
        # Where the connection stands.
        self._session: Session | None = None
        self._generation = 0
        self._reason = "not connected yet"
        self._change = anyio.Event()
        # Totals since the start.
        self._counts = dict.fromkeys(
            ("connect_failed", "lost", "published", "publish_failed", "unconfirmed_lost", "rival_suspected"), 0
        )

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and granted every subscription."""
        return self._session is not None

    @property
    def generation(self) -> int:
        """Raised by one at each successful connect and subscribe."""
        return self._generation

    @property
    def reason(self) -> str:
        """Why the link is down; empty while it is up."""
        return self._reason

    @property
    def arrived(self) -> int:
        """Messages kept since the start."""
        return self._inbox.arrived

    @property
    def counters(self) -> Mapping[str, int]:
        """Totals since the start, and the inbox's present length."""
        return self._counts | {
            "reconnects": max(0, self._generation - 1),
            "received": self._inbox.received,
            "dropped_inbox_full": self._inbox.dropped_full,
            "oversized": self._inbox.oversized,
            "inbox_messages": len(self._inbox),
        }

    async def run(self) -> None:
        """Connect, and again after each loss with full jitter, until cancelled."""
        backoff = Backoff(
            base_s=self._settings.backoff_base_s,
            cap_s=self._settings.backoff_cap_s,
            away_cap_s=self._settings.backoff_away_cap_s,
            stable_s=self._settings.stable_s,
        )
        was_up = True
        while True:
            lived_s = await self._live()
            chance = random.random()  # noqa: S311  # spreads reconnects, guards nothing
            if lived_s is None:
                self._counts["connect_failed"] += 1
                delay_s = backoff.failed(chance=chance)
            else:
                self._counts["lost"] += 1
                delay_s = backoff.ended(lived_s=lived_s, chance=chance)
                self._counts["rival_suspected"] += backoff.rival
            log = _log.warning if lived_s is not None or was_up else _log.debug  # a broker that stays away is said once
            was_up = lived_s is not None
            log(
                "link_down",
                client_id=self._settings.client_id,
                reason=self._reason,
                lived_s=lived_s and round(lived_s, 3),
                retry_in_s=round(delay_s, 3),
                rival_suspected=backoff.rival,  # another client seems to use our id
            )
            await anyio.sleep(delay_s)

    async def receive(self) -> list[Inbound]:
        """A batch of what has arrived."""
        return await self._inbox.take(BATCH_MESSAGES)

    async def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Publish one message; at QoS 1 with the broker's acknowledgement."""
        try:
            with anyio.fail_after(self._settings.answer_timeout_s):
                await self._publish(topic, payload, qos)
        except TimeoutError:
            self._counts["publish_failed"] += 1
            raise LinkError("the broker did not answer in time", code="link_timeout") from None
        except LinkError:
            self._counts["publish_failed"] += 1
            raise
        self._counts["published"] += 1

    async def publish_many(self, messages: Sequence[tuple[str, bytes]], *, qos: int) -> int:
        """Hand messages over in slices that fit the outgoing buffer, letting others run between two slices."""
        session = self._session
        done = 0
        while done < len(messages) and session is not None and await session.room():
            before, done = done, session.write(messages, done, qos=qos)
            if done == before:
                break
            if done < len(messages):
                await checkpoint()
        self._counts["published"] += done
        self._counts["publish_failed"] += len(messages) - done
        return done

    async def wait_change(self, *, generation: int, connected: bool) -> tuple[int, bool]:
        """Wait until the link differs from what the caller has seen."""
        while (self._generation, self.connected) == (generation, connected):
            await self._change.wait()
        return self._generation, self.connected

    async def echo(self, timeout_s: float) -> bool:
        """Publish a nonce to a topic under each of our filters and wait for all of them to come back."""
        nonce = os.urandom(8)
        echo = self._echoes[nonce] = _Echo(set(self._probes), anyio.Event())
        try:
            if await self.publish_many([(topic, nonce) for topic in self._probes], qos=0) == len(self._probes):
                with anyio.move_on_after(timeout_s):
                    await echo.complete.wait()
        finally:
            del self._echoes[nonce]
        return not echo.missing

    async def _publish(self, topic: str, payload: bytes, qos: int) -> None:
        session = self._session
        if session is None:
            raise LinkError(f"the link is down: {self._reason}", client_id=self._settings.client_id)
        if qos == 1:
            await session.publish_confirmed(topic, payload)
        elif await session.room():
            session.write([(topic, payload)], 0, qos=0)
        else:
            raise LinkError("the connection was lost before the message was sent", client_id=self._settings.client_id)

    async def _live(self) -> float | None:
        """One connection from start to end; seconds that it was up, or ``None`` when it never was. Leaves the reason."""
        up_at: float | None = None
        try:
            async with open_session(self._settings, self._deliver) as session:
                up_at = time.monotonic()
                self._session = session
                self._generation += 1
                self._reason = ""
                self._changed()
                _log.info("link_up", client_id=self._settings.client_id, generation=self._generation)
                self._reason = await session.wait_lost()
        except LinkError as exc:
            self._reason = exc.message
        finally:
            if self._session is not None:
                self._counts["unconfirmed_lost"] += self._session.unconfirmed
                self._session = None
                self._reason = self._reason or "stopped"
                self._changed()
        return None if up_at is None else time.monotonic() - up_at

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()

    def _deliver(self, topic: str, payload: bytes) -> None:
        if topic not in self._probes:
            self._inbox.put(topic, payload)
            return
        echo = self._echoes.get(payload)
        if echo is not None:
            echo.missing.discard(topic)
            if not echo.missing:
                echo.complete.set()


def probe_topic(topic_filter: str) -> str:
    """A topic that ``topic_filter`` matches and no terminal uses: ``tg1/up/+/+/ack`` gives ``tg1/up/0/_gateway/ack``."""
    head, plus, tail = topic_filter.rpartition("+")
    return head.replace("+", "0") + ("_gateway" if plus else "") + tail.replace("#", "_gateway")
