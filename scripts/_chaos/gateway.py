"""The gateway with a trap: ``table.GATEWAY_POINTS`` names the places and steps at which it may die. See ``crash``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any

from gateway.cli.app import main
from gateway.core.effects import Append, Save, SaveOrder, SaveTransfer
from gateway.core.events import Event, Heard
from gateway.core.terminal import Terminal
from gateway.engine.dispatcher import Dispatcher
from gateway.link.mqtt import MqttLink
from gateway.store import batch, meta
from gateway.store.connection import Connection
from gateway.store.writer import Writer
from gateway.wire.messages import Report
from scripts._chaos.crash import Trap


class _Steps:
    """What the calls around durable steps are about."""

    def __init__(self) -> None:
        self.committed: Collection[str] = ()
        """The steps of the last commit: what is published next follows from it."""

    def saved(self, saves: Sequence[Save]) -> Collection[str]:
        """The states that upgrades move to, and the other things that are kept."""
        found = {save.to_state for save in saves if isinstance(save, Append) and save.to_state != save.from_state}
        found |= {"progress" for save in saves if isinstance(save, SaveTransfer) and not save.ended}
        found |= {"order" for save in saves if isinstance(save, SaveOrder)}
        return found

    def commit(self, _: Writer, saves: Sequence[Save]) -> Collection[str]:
        """As ``saved``, remembered for what is published next."""
        self.committed = found = self.saved(saves)
        return found

    def applied(self, _: object, saves: Sequence[Save]) -> Collection[str]:
        """Inside the transaction."""
        return self.saved(saves)

    def published(self, _: MqttLink, messages: Sequence[tuple[str, bytes]], *, qos: int) -> Collection[str]:
        """On the control connection what follows from the last commit, on the other one chunks."""
        return self.committed if qos == 1 else {"chunk"} if any(topic.endswith("/chunk") for topic, _ in messages) else ()

    def heard(self, _: Dispatcher, session: Terminal, event: Event) -> Collection[str]:
        """A report has come in, and the broker believes it delivered."""
        del session
        return {event.message.what.value} if isinstance(event, Heard) and isinstance(event.message, Report) else ()

    def written(self, connection: Connection) -> Collection[str]:
        """A transaction of a person or of a campaign, not of the writer."""
        return {"person"} if connection._begin == "BEGIN IMMEDIATE" else ()  # noqa: SLF001 - tells readers from writers


def _epoch(*_: object, **__: Any) -> Collection[str]:  # noqa: ANN401 - any arguments
    return {"epoch"}


def lay(trap: Trap) -> None:
    """Wrap the functions around each durable step of the gateway."""
    steps = _Steps()
    trap.around(Writer, "save", steps.commit, before="decided", after="committed")
    trap.around(batch, "apply", steps.applied, after="written")
    trap.around(MqttLink, "publish_many", steps.published, after="published")
    trap.around(Dispatcher, "apply", steps.heard, before="heard")
    trap.around(Connection, "commit", steps.written, before="written", after="committed")
    trap.around(meta, "raise_counter", _epoch, before="decided", after="committed")


if __name__ == "__main__":
    lay(Trap())
    sys.exit(main())
