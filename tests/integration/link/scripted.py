"""A broker made of a script: for what no real broker does on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream

from gateway.link import LinkSettings

WELCOME: Final = b"\x20\x02\x00\x00"
GRANTED: Final = b"\x90\x03\x00\x01\x00"  # packet id 1, QoS 0
FILTER: Final = "t/#"

Script = Callable[[SocketStream], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script, *, answers: tuple[bytes, ...] = (WELCOME, GRANTED)) -> AsyncIterator[LinkSettings]:
    """Answer the first packets of each client with ``answers``, then run ``script``, then wait for the client to close."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            for answer in answers:
                await stream.receive()
                await stream.send(answer)
            await script(stream)
            while True:
                await stream.receive()

    async def patient(stream: SocketStream) -> None:
        try:
            await serve(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  # anyio's, not Django's
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, patient)
        yield settings(port)
        group.cancel_scope.cancel()


def settings(port: int) -> LinkSettings:
    """A link to ``port`` of the loopback that is quick to give up."""
    return LinkSettings(host="127.0.0.1", port=port, client_id="gateway", filters=((FILTER, 0),), answer_timeout_s=0.5)


async def silence(_: SocketStream) -> None:
    """Say nothing more."""


async def goodbye(stream: SocketStream) -> None:
    """Close the connection."""
    await stream.aclose()
