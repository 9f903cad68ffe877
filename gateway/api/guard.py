"""Stands before every request: who has no token comes no further, and a body that stops coming is given up.

A plain ASGI middleware, so that it acts before a route is looked up and before a byte of the body is read. Health questions
pass without a token. The comparison takes the same time for every wrong token. The token itself is kept as a digest only.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problems import of_error
from gateway.errors import UnauthorizedError

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
BODY_IDLE_S: Final = 30.0  # between two pieces of a body; a 4G modem that hands over needs less


class Guard:
    """See the module."""

    def __init__(self, app: ASGIApp, *, token: str, body_idle_s: float = BODY_IDLE_S) -> None:
        self._app = app
        self._digest = hashlib.sha256(token.encode()).digest()
        self._body_idle_s = body_idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or let the request through with its body under watch."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a websocket is refused by not being accepted

        if scope["path"] not in OPEN_PATHS and not self._is_known(scope):
            refusal = of_error(
                UnauthorizedError("this needs the header 'Authorization: Bearer <token>' with the gateway's token")
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, self._watched(receive), send)

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        return scheme.lower() == b"bearer" and hmac.compare_digest(digest, self._digest)

    def _watched(self, receive: Receive) -> Receive:
        """``receive``, but 408 when the body pauses for too long; waiting for a disconnect afterwards has no limit."""
        done = False

        async def watched() -> Message:
            nonlocal done
            if done:
                return await receive()
            message: Message | None = None
            with anyio.move_on_after(self._body_idle_s):
                message = await receive()
            if message is None:
                raise HTTPException(408)
            done = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return watched
