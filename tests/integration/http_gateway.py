"""A gateway's HTTP half on a real socket: store, services and API, with no engine behind them.

What the engine would write is written by ``save``. Used as a context manager inside a test, since the server's task group must
begin and end in the test's own task.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import httpx

from gateway.api.app import create_app
from gateway.api.server import HttpServer
from gateway.api.streams import EventStreams
from gateway.core.effects import Append, Save, SaveUpgrade
from gateway.core.states import UpgradeState
from gateway.packages.build import ManifestFields, build
from gateway.services.context import Services
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.store.upgrades import UpgradeRow
from gateway.store.writer import Writer
from gateway.trust.keys import KeyRing, new_private_key, public_of
from gateway.trust.seals import sign_seal
from gateway.wire.codes import Component

TOKEN: Final = "token-of-the-test-gateway"
MODEL: Final = "lakala-4g-esign"
OTHER_MODEL: Final = "shengpay-4g-esign"


@dataclass(kw_only=True)
class HttpGateway:
    """The running half."""

    folder: Path
    url: str
    services: Services
    http: httpx.AsyncClient
    publisher: bytes
    writer: Writer
    streams: EventStreams
    not_ready: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def package_file(self, *, version: str = "2.0.0", counter: int = 2, size_bytes: int = 200_000, seed: int = 1) -> Path:
        """A signed package file for ``MODEL``."""
        source = self.folder / f"payload-{version}-{seed}"
        source.write_bytes(bytes((seed + at * 7) % 251 for at in range(size_bytes)))
        out = source.with_suffix(".tgp")
        fields = ManifestFields(component=Component.APP, version=version, counter=counter, models=(MODEL,))
        build(source, out, private=self.publisher, **fields)
        return out

    async def upload(self, file: Path) -> httpx.Response:
        """Send a package file as the command line does."""

        async def pieces() -> AsyncIterator[bytes]:
            data = await anyio.Path(file).read_bytes()
            for start in range(0, len(data), 65_536):
                yield data[start : start + 65_536]

        headers = {"content-type": "application/octet-stream"}
        return await self.http.post("/api/v1/packages", content=pieces(), headers=headers)

    async def register(self, *ids: str, model: str = MODEL, **labels: str) -> None:
        """Make terminals known."""
        rows = [{"id": one, "model": model, "labels": labels} for one in ids]
        answer = await self.http.post("/api/v1/terminals", json={"terminals": rows})
        assert answer.status_code == 200, answer.text

    async def campaign(self, *ids: str, **terms: object) -> str:
        """Draw up a campaign of terminals that are registered on the way; its id."""
        await self.register(*ids)
        package = (await self.upload(self.package_file())).json()["id"]
        body = {"name": "spring", "package": package, "terminals": list(ids), "terms": terms}
        answer = await self.http.post("/api/v1/campaigns", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def save(self, *saves: Save) -> None:
        """What the engine would commit."""
        await self.writer.save(saves)
        self.services.doorbell.ring("ledger")

    async def walk(self, upgrade: UpgradeRow, states: Sequence[UpgradeState], *, at_us: int, step_us: int = 1_000_000) -> None:
        """Bring an upgrade through ``states``, each ``step_us`` after the one before, the first at ``at_us``."""
        saves: list[Save] = []
        before = upgrade.state
        for number, state in enumerate(states):
            moment_us = at_us + number * step_us
            saves += [_entry(upgrade, moment_us, before, state), _row(upgrade, moment_us, state)]
            before = state
        await self.save(*saves)


@asynccontextmanager
async def http_gateway(
    folder: Path, *, streams_max: int = 4, body_idle_s: float = 5.0, package_max_bytes: int = 1 << 24
) -> AsyncIterator[HttpGateway]:
    """Run it for the length of the block."""
    publisher, order_key = new_private_key(), new_private_key()
    async with Database.open(folder / "tillgate.db") as db, anyio.create_task_group() as tasks:
        services = Services(
            db=db,
            doorbell=Doorbell(),
            packages_path=folder / "packages",
            ring=KeyRing([public_of(publisher)]),
            sign_seal=lambda seal: sign_seal(seal, order_key),
            seal_ring=KeyRing([public_of(order_key)]),
            package_max_bytes=package_max_bytes,
        )
        not_ready: list[str] = []
        counters: dict[str, int] = {}
        app = create_app(
            services,
            token=TOKEN,
            not_ready=lambda: not_ready,
            stats=lambda: counters,
            streams_max=streams_max,
            request_max_bytes=1 << 21,
            body_idle_s=body_idle_s,
        )
        server = HttpServer(app, app.state.streams, host="127.0.0.1", port=0)
        server.bind()
        writer = Writer(db)
        tasks.start_soon(writer.run)
        tasks.start_soon(server.run)
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=20) as http:
            yield HttpGateway(
                folder=folder,
                url=url,
                services=services,
                http=http,
                publisher=publisher,
                writer=writer,
                streams=app.state.streams,
                not_ready=not_ready,
                counters=counters,
            )
        tasks.cancel_scope.cancel()


async def until(look: Callable[[], Awaitable[object]], *, is_true: bool = True, timeout_s: float = 5.0) -> None:
    """Look again and again until the answer is (not) empty; ``TimeoutError`` when it never is."""
    with anyio.fail_after(timeout_s):
        for _ in itertools.repeat(None):
            if bool(await look()) is is_true:
                return
            await anyio.sleep(0.01)


def _entry(upgrade: UpgradeRow, at_us: int, before: UpgradeState, state: UpgradeState) -> Append:
    return Append(
        at_us=at_us,
        terminal=upgrade.terminal,
        campaign=upgrade.campaign,
        upgrade=upgrade.id,
        actor="terminal",
        what=state.value,
        from_state=before.value,
        to_state=state.value,
        code="ok",
    )


def _row(upgrade: UpgradeRow, at_us: int, state: UpgradeState, code: str = "ok") -> SaveUpgrade:
    return SaveUpgrade(
        upgrade=upgrade.id,
        terminal=upgrade.terminal,
        campaign=upgrade.campaign,
        state=state,
        state_since_us=at_us,
        due_us=0,
        attempt=1,
        code=code,
        have_bytes=0,
        snapshot=b"",
    )
