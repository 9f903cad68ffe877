"""Settings: one frozen object, read once at start from a TOML file and from ``TILLGATE_*`` variables, which win over the file.

``tillgate init`` writes the file, ``runtime.serve`` and the command line read it; docs/operations.md has the table of all keys.
A relative path in the file is relative to the file, so a folder made by ``init`` may be moved. An unknown key, a contradiction
or a missing file is a ``ConfigError`` in one line, before anything is opened. This module never logs and never shows a secret.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from gateway import invalid
from gateway.errors import ConfigError, TrustError
from gateway.trust.keys import load_private, load_public

FILE_NAME: Final = "tillgate.toml"
TOKEN_MIN_CHARS: Final = 16

#: A secret, and the file that may hold it instead.
_EITHER: Final = (("token", "token_file"), ("broker_password", "broker_password_file"))
#: 0, or what ``core.budgets.Limit`` takes.
BytesPerS = Annotated[int, AfterValidator(lambda value: _nothing_or(value, 1024))]
BytesPerDay = Annotated[int, AfterValidator(lambda value: _nothing_or(value, 256 * 1024))]
#: A key that is a path of thousands of parts takes the parser gigabytes; no line of a settings file has so many dots.
_DOTS_MAX: Final = 64
_PATH_SUFFIXES: Final = ("_path", "_file", "_files")


def _nothing_or(value: int, least: int) -> int:
    if value and not least <= value <= 2**50:
        raise ValueError(f"expected 0 for no limit, or {least} to {2**50}")
    return value


class Settings(BaseSettings):
    """All that an operator may set. Made by ``load``; keyword arguments stand for the file."""

    model_config = SettingsConfigDict(env_prefix="TILLGATE_", extra="forbid", frozen=True, hide_input_in_errors=True)

    store_path: Path = Path("tillgate.db")
    """The SQLite file; made when missing. One gateway process at a time."""
    packages_path: Path = Path("packages")
    """Folder of package files; made when missing."""

    broker_host: str = Field(default="127.0.0.1", min_length=1)
    broker_port: int = Field(default=1883, ge=1, le=65535)
    broker_client_id: str = Field(default="tillgate", min_length=1, max_length=64)
    """MQTT client id; two gateways must not share one."""
    broker_username: str | None = None
    broker_password: SecretStr | None = None
    broker_password_file: Path | None = None
    """Instead of ``broker_password``: a file that holds it."""
    broker_ca_file: Path | None = None
    """PEM of the authority that signed the broker's certificate; setting it turns TLS on."""
    broker_cert_file: Path | None = None
    broker_key_file: Path | None = None

    http_host: str = Field(default="127.0.0.1", min_length=1)
    http_port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free port."""
    token: SecretStr | None = None
    """Bearer token of the HTTP API, at least 16 characters."""
    token_file: Path | None = None
    """Instead of ``token``: a file that holds it."""

    order_key_file: Path | None = None
    """Private key that signs orders and the seals of the ledger, PEM."""
    former_order_key_files: Annotated[tuple[Path, ...], NoDecode] = ()
    """Public halves of order keys that were used before, PEM: the seals that they signed stay good."""
    publisher_key_files: Annotated[tuple[Path, ...], NoDecode] = ()
    """Public keys whose packages are believed, PEM."""

    gateway_bytes_per_s: BytesPerS = 0
    """Most bytes of chunks sent per second to all terminals together; 0: no limit. All budgets can be set at run time too."""
    gateway_bytes_per_day: BytesPerDay = 0
    site_bytes_per_s: BytesPerS = 0
    """To all terminals with the same label ``site`` together."""
    site_bytes_per_day: BytesPerDay = 0
    terminal_bytes_per_s: BytesPerS = 0
    """To one terminal."""
    terminal_bytes_per_day: BytesPerDay = 0
    budget_zone: str = "UTC"
    """IANA name of the zone whose midnight begins the day of sites, campaigns and the gateway; a terminal's day is its own."""
    transfer_pacing: Literal["delay", "fixed", "stop_and_wait"] = "delay"
    """How much of a transfer may be in flight: ``delay`` keeps the queue before each terminal's link short; ``fixed`` (64 KiB)
    and ``stop_and_wait`` (4 KiB) are there to be compared with it."""
    transfer_target_ms: int = Field(default=60, ge=25, le=100)
    """Queueing delay before a terminal's link that ``delay`` aims at."""
    births_per_s: int = Field(default=200, ge=1, le=100_000)
    """New sessions of terminals that go on to orders and transfers in a second; the others wait for their turn."""
    terminal_messages_per_s: int = Field(default=20, ge=0, le=100_000)
    """Messages of one kind that one terminal may send, ten seconds' worth of them at once; 0: no limit."""
    terminal_acks_per_s: int = Field(default=2_000, ge=0, le=100_000)
    """The same for its acks, two seconds' worth at once."""
    reconnect_hint_ms: int = Field(default=5_000, ge=0, le=3_600_000)
    """Terminals to which the broker said goodbye come back spread over so long (docs/protocol.md 2.3); 0: by their own rule."""
    package_max_bytes: int = Field(default=1 << 30, ge=1 << 10)
    request_max_bytes: int = Field(default=4 << 20, ge=1 << 10)
    """Largest body of any HTTP request but a package upload."""
    streams_max: int = Field(default=64, ge=1, le=10_000)
    """Event streams open at once."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; nothing else is read."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @field_validator("publisher_key_files", "former_order_key_files", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        """From the environment: paths joined as in ``PATH``."""
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("budget_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected an IANA time zone such as Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for one, other in _EITHER:
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"set {one} or {other}, not both")
        if (self.broker_cert_file is None) != (self.broker_key_file is None):
            raise ValueError("broker_cert_file and broker_key_file go together")
        return self

    @property
    def broker_tls(self) -> bool:
        """Whether the link to the broker is TLS."""
        return self.broker_ca_file is not None

    def broker_secret(self) -> str | None:
        """The broker's password from wherever it is kept; ``ConfigError`` when its file cannot be read."""
        if self.broker_password is not None:
            return self.broker_password.get_secret_value()
        return None if self.broker_password_file is None else _read_text(self.broker_password_file, "broker_password_file")

    def bearer_token(self) -> str:
        """The token that HTTP callers must show; ``ConfigError`` when none is set, or it is too short."""
        if self.token is not None:
            token = self.token.get_secret_value()
        elif self.token_file is not None:
            token = _read_text(self.token_file, "token_file")
        else:
            raise ConfigError("no bearer token: set token_file (or TILLGATE_TOKEN); `tillgate init` makes one")
        if len(token) < TOKEN_MIN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"the bearer token must be at least {TOKEN_MIN_CHARS} printable ASCII characters without spaces")
        return token

    def order_key(self) -> bytes:
        """The raw private key that signs orders and seals; ``ConfigError`` when unset or unreadable."""
        if self.order_key_file is None:
            raise ConfigError("no key to sign orders: set order_key_file; `tillgate init` makes one")
        return read_private_key(self.order_key_file)

    def former_order_keys(self) -> tuple[bytes, ...]:
        """The raw public halves of order keys that were used before; ``ConfigError`` when one is unreadable."""
        return tuple(read_public_key(path) for path in self.former_order_key_files)

    def publisher_keys(self) -> tuple[bytes, ...]:
        """The raw public keys whose packages are believed; ``ConfigError`` when none is set or one is unreadable."""
        if not self.publisher_key_files:
            raise ConfigError("no publisher is believed: set publisher_key_files; `tillgate init` makes one")
        return tuple(read_public_key(path) for path in self.publisher_key_files)


def load(path: Path | None = None) -> Settings:
    """Read the settings from ``path``, else from the file that ``TILLGATE_CONFIG`` names, else from the environment alone.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, wrong or contradicts another; the text names it.
    """
    if path is None and os.environ.get("TILLGATE_CONFIG"):
        path = Path(os.environ["TILLGATE_CONFIG"])
    try:
        return Settings(**({} if path is None else _read_toml(path)))
    except ValidationError as exc:
        where, reason = invalid.first(exc)
        where = where or "settings"
        raise ConfigError(f"{where}: {reason}", setting=where) from exc
    except SettingsError as exc:
        raise ConfigError(f"environment: {exc}") from exc


def read_private_key(path: Path) -> bytes:
    """The 32 raw bytes of a private key's file.

    As of PostgreSQL's and OpenSSH's keys: nobody but its owner may have a right to the file; one of root's may be read by its
    group, as secrets that are mounted into a container are.

    Raises:
        ConfigError: ``key_exposed`` for rights that are too wide, ``key_invalid`` for anything but a private key, or the file
            cannot be read; the text names the file, never its content.
    """
    key = _key(path, load_private)
    status = path.stat()
    too_wide = 0o027 if status.st_uid == 0 else 0o077
    if stat.S_IMODE(status.st_mode) & too_wide:
        raise ConfigError(
            f"{path}: others than its owner have rights to this private key; chmod 600 it, or make a new one if they read it",
            code="key_exposed",
            path=str(path),
        )
    return key


def read_public_key(path: Path) -> bytes:
    """The 32 raw bytes of a public key's file; ``ConfigError`` names the file: ``key_invalid``, or it cannot be read."""
    return _key(path, load_public)


def _key(path: Path, load_key: Callable[[bytes], bytes]) -> bytes:
    content = _read_bytes(path, "key file")
    try:
        return load_key(content)
    except TrustError as exc:
        raise ConfigError(f"{path}: {exc.message}", code=exc.code, path=str(path)) from exc


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{what} {path}: {exc.strerror}", path=str(path)) from exc


def _read_text(path: Path, what: str) -> str:
    try:
        return _read_bytes(path, what).decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{what} {path}: not text", path=str(path)) from exc


def _read_toml(path: Path) -> dict[str, Any]:
    """The keys of the file, its relative paths made relative to the file's folder."""
    text = _read_text(path, "settings file")
    if any(line.count(".") > _DOTS_MAX for line in text.splitlines()):
        raise ConfigError(f"settings file {path}: a line with more than {_DOTS_MAX} dots", path=str(path))
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"settings file {path}: {exc}", path=str(path)) from exc
    for key in values:
        if key.startswith("_"):  # pydantic takes some of them, `_env_file` for one, as words to itself
            raise ConfigError(f"{key}: there is no such setting", path=str(path), setting=key)

    folder = path.resolve().parent
    for key, value in values.items():
        if not key.endswith(_PATH_SUFFIXES):
            continue
        if isinstance(value, str):
            values[key] = folder / value
        elif isinstance(value, list):
            values[key] = tuple(folder / item if isinstance(item, str) else item for item in value)
    for pair in _EITHER:  # one from the environment wins over the other from the file
        if any(f"TILLGATE_{key.upper()}" in os.environ for key in pair):
            values = {key: value for key, value in values.items() if key not in pair}
    return values
