"""The gateway as the commands see it: where it is, who asks, and every answer read into the model that the API declares.

All failures of a request end here as ``CommandError``. Times out rather than hangs; streams reconnect and go on where they
were.
"""

from __future__ import annotations

import getpass
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from gateway.api.shapes import Answer, EntryOut, Page
from gateway.cli.failures import CommandError, RefusedError, one_line
from gateway.config import FILE_NAME, load
from gateway.errors import ConfigError

TIMEOUT_S: Final = 30.0
PAGE: Final = 500
RECONNECT_S: Final = 1.0
SILENCE_S: Final = 40.0  # a stream beats every 15 s
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item", bound=Answer)
Params = Mapping[str, str | int | bool | Sequence[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What the options before the command say."""

    url: str | None = None
    token: str | None = None
    config: Path | None = None

    def settings_file(self) -> Path | None:
        """The settings file: named, from the environment, or the one in this folder."""
        if self.config is not None:
            return self.config
        named = os.environ.get("TILLGATE_CONFIG")
        if named:
            return Path(named)
        here = Path(FILE_NAME)
        return here if here.is_file() else None

    def resolve(self) -> tuple[str, str]:
        """URL and token: given, else from the environment (the options read it), else from the settings file."""
        url, token = self.url, self.token
        if url is None or token is None:
            file = self.settings_file()
            if file is None:
                missing = "--url" if url is None else "--token"
                raise CommandError(
                    f"which gateway? give {missing}, set TILLGATE{missing.upper().replace('--', '_')}, or --config FILE"
                )
            try:
                settings = load(file)
                host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
                host = "127.0.0.1" if host in {"0.0.0.0", "[::]"} else host  # noqa: S104 - compared, not bound
                url = url or f"http://{host}:{settings.http_port}"
                token = token or settings.bearer_token()
            except ConfigError as exc:
                raise CommandError(exc.message) from exc
        return url.rstrip("/"), token


class Client:
    """One gateway. A context manager."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        try:
            host = httpx.URL(url).host
        except httpx.InvalidURL as exc:
            raise CommandError(f"{one_line(url)} is not a URL: {exc}") from exc
        if not url.startswith(("http://", "https://")) or not host:
            raise CommandError(f"{one_line(url)} is not a URL such as http://127.0.0.1:8080")
        headers = {"Authorization": f"Bearer {token}", "X-Tillgate-Actor": actor()}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=host not in _LOOPBACK)
        except UnicodeEncodeError as exc:
            raise CommandError("the token has characters that no token has") from exc

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """The client for what the options say."""
        return cls(*connection.resolve())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def get(self, path: str, model: type[Model], params: Params | None = None) -> Model:
        """Ask for one thing."""
        return _read(self._send("GET", path, params=params), model)

    def post(self, path: str, model: type[Model], body: BaseModel | None = None) -> Model:
        """Ask for something to be done. Only what ``body`` was really given is sent, so that defaults stay the gateway's."""
        content = None if body is None else body.model_dump_json(exclude_unset=True)
        headers = {} if content is None else {"Content-Type": "application/json"}
        return _read(self._send("POST", path, content=content, headers=headers), model)

    def pages(self, path: str, item: type[Item], params: Params | None = None, *, limit: int = 0) -> Iterator[Item]:
        """Everything in a listing, or the first ``limit`` items."""
        left, cursor = limit, None
        while True:
            asked = dict(params or {}) | {"limit": min(PAGE, left) if limit else PAGE, "cursor": cursor}
            page = _read(self._send("GET", path, params=asked), Page[item])  # type: ignore[valid-type]  # a model made at run time
            yield from page.items
            left -= len(page.items)
            cursor = page.next
            if cursor is None or (limit and left <= 0):
                return

    def upload(self, path: str, model: type[Model], pieces: Iterator[bytes], size_bytes: int) -> Model:
        """Send a file as a stream."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        return _read(self._send("POST", path, content=pieces, headers=headers), model)

    def download(self, path: str, params: Params) -> Iterator[bytes]:
        """A file, piece by piece; ``CommandError`` also when it is cut short."""
        try:
            with self._http.stream("GET", path, params=_query(params)) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise _refusal(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as exc:
            raise CommandError(_unreachable(self.url, exc)) from exc

    def events(self, params: Params, *, after: int | None = None) -> Iterator[EntryOut]:
        """Ledger entries as they happen, for ever: reconnects by itself and goes on after the last entry seen.

        The first connection must succeed; from then on a gateway that is away is waited for.
        """
        place = None if after is None else str(after)
        begun = False
        while True:
            try:
                for event_id, entry in self._stream(params, place):
                    begun, place = True, event_id
                    if entry is not None:
                        yield entry
            except RefusedError:
                raise
            except CommandError:
                if not begun:
                    raise
            time.sleep(RECONNECT_S)

    def _stream(self, params: Params, place: str | None) -> Iterator[tuple[str, EntryOut | None]]:
        """One connection: the id of every piece, and its entry where it has one."""
        headers = {} if place is None else {"Last-Event-ID": place}
        timeout = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)
        event_id = place or ""
        try:
            with self._http.stream("GET", "/api/v1/events", params=_query(params), headers=headers, timeout=timeout) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise _refusal(answer)
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        event_id = value
                        yield event_id, None
                    elif name == "data":
                        yield event_id, EntryOut.model_validate_json(value)
        except (httpx.HTTPError, ValidationError) as exc:
            raise CommandError(_unreachable(self.url, exc)) from exc

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        content: str | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, params=_query(params or {}), content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise CommandError(_unreachable(self.url, exc)) from exc
        if not answer.is_success:
            raise _refusal(answer)
        return answer


def _read(answer: httpx.Response, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as exc:
        raise CommandError(f"{answer.url.copy_with(query=None)} does not answer as a Tillgate gateway does") from exc


def _refusal(answer: httpx.Response) -> CommandError:
    """What the gateway's problem says, in one line."""
    kind = RefusedError if answer.is_client_error else CommandError
    try:
        problem = answer.json()
        return kind(one_line(f"{problem['detail']} ({problem['code']})"))
    except (ValueError, KeyError, TypeError):
        return kind(one_line(f"{answer.url.copy_with(query=None)} answered {answer.status_code} {answer.reason_phrase}"))


def _unreachable(url: str, exc: Exception) -> str:
    if isinstance(exc, httpx.ConnectError):
        return f"no gateway answers at {url}; is `tillgate serve` running?"
    if isinstance(exc, httpx.TimeoutException):
        return f"the gateway at {url} did not answer in time"
    return one_line(f"the connection to {url} broke: {exc}")


def _query(params: Params) -> dict[str, str | int | list[str]]:
    """Without what was not given; booleans as the API reads them."""
    out: dict[str, str | int | list[str]] = {}
    for key, value in params.items():
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            out[key] = "true" if value else "false"
        elif isinstance(value, str | int):
            out[key] = value
        else:
            out[key] = list(value)
    return out


def actor() -> str:
    """Who the ledger will say asked: TILLGATE_ACTOR, else the name of the account."""
    try:
        name = os.environ.get("TILLGATE_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        name = "cli"
    return re.sub(r"[^A-Za-z0-9._@-]", "_", name)[:64].lstrip("._@-") or "cli"
