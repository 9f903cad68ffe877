"""Stands before every request: who has no token comes no further, and no body is too long or stops coming for ever.

A plain ASGI middleware, so that it acts before a route is looked up and before a byte of the body is read. Health questions
pass without a token. The comparison takes the same time for every wrong token. The token itself is kept as a digest only.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problems import of_error
from gateway.errors import TooLargeError, UnauthorizedError

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
BODY_IDLE_S: Final = 30.0  # between two pieces of a body; a 4G modem that hands over needs less


class Guard:
    """See the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        body_max_bytes: int,
        larger: Mapping[str, int],
        body_idle_s: float = BODY_IDLE_S,
    ) -> None:
        """``larger`` names the paths that take longer bodies than ``body_max_bytes``."""
        self._app = app
        self._body_max_bytes = body_max_bytes
        self._larger = larger
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

        limit = self._larger.get(scope["path"], self._body_max_bytes)
        if _announced(scope) > limit:
            await of_error(TooLargeError(_too_large(limit)))(scope, receive, send)
            return
        await self._app(scope, self._watched(receive, limit), send)

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        return scheme.lower() == b"bearer" and hmac.compare_digest(digest, self._digest)

    def _watched(self, receive: Receive, limit: int) -> Receive:
        """``receive``, but 413 past the limit and 408 when the body pauses for too long; a wait for the end has no limit."""
        done = False
        taken = 0

        async def watched() -> Message:
            nonlocal done, taken
            if done:
                return await receive()
            message: Message | None = None
            with anyio.move_on_after(self._body_idle_s):
                message = await receive()
            if message is None:
                raise HTTPException(408)
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, _too_large(limit))
            done = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return watched


def _announced(scope: Scope) -> int:
    """The body's length as its header gives it; 0 when it does not (the server has refused what is no number)."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _too_large(limit: int) -> str:
    return f"the request's body exceeds {limit} bytes, the most allowed here"
