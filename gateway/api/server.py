"""Listens for HTTP and serves one application, within the caller's task group, until cancelled.

Called by ``runtime`` and by tests. ``bind`` fails before anything else has started when the address is taken. Cancelling
``run`` is the orderly way to end: no new connections, event streams end, requests under way get ``GRACE_S``. It never handles
signals: the process belongs to the runtime.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import structlog
import uvicorn
from fastapi import FastAPI

from gateway.api.streams import EventStreams
from gateway.errors import ConfigError

log = structlog.get_logger()

GRACE_S: Final = 3
KEEP_ALIVE_S: Final = 30
CONNECTIONS_MAX: Final = 1000  # beyond it a request is answered 503; terminals do not come this way
BACKLOG: Final = 512


class HttpServer:
    """One listening socket and what answers on it."""

    def __init__(self, app: FastAPI, streams: EventStreams, *, host: str, port: int) -> None:
        self._streams = streams
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)

    @property
    def port(self) -> int:
        """The port listened on; after ``bind`` the real one even when 0 was asked for."""
        return self._port

    def bind(self) -> None:
        """Take the address; ``ConfigError`` (``http_cannot_listen``) when it cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        except OSError as exc:
            text = f"cannot listen on {self._host} port {self._port}: {exc.strerror or exc}; set http_host and http_port"
            raise ConfigError(text, code="http_cannot_listen") from exc
        self._port = self._socket.getsockname()[1]

    async def run(self) -> None:
        """Serve until cancelled; binds first when that has not been done."""
        if self._socket is None:
            self.bind()
        log.info("http_listening", host=self._host, port=self._port)
        async with anyio.create_task_group() as group:
            group.start_soon(self._serve)
            try:
                await anyio.sleep_forever()
            finally:
                self._streams.close()
                self._server.should_exit = True

    async def _serve(self) -> None:
        """Shielded: cancellation reaches it as ``should_exit``, so that answers under way are not cut in half."""
        if self._socket is None:
            raise AssertionError(self._port)
        with anyio.CancelScope(shield=True):
            await self._server.serve(sockets=[self._socket])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers alone."""
        yield
