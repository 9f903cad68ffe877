"""A scenario: which terminals there are, what is wrong with them, and where the broker is; from one TOML file.

``device_sim/example.toml`` shows every key with its meaning. Reading is strict: an unknown key, a wrong type or a missing
file is a ``ConfigError`` of one line. Paths are relative to the scenario's folder.
"""

from __future__ import annotations

import hashlib
import ssl
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from device_sim.groups import MAX_TERMINALS, Entry, read_group
from device_sim.member import Credentials
from device_sim.options import Identity
from device_sim.reading import Reader, read_toml
from device_sim.swarm import BrokerAddress, Plan
from gateway.errors import ConfigError, TrustError
from gateway.trust.keys import KeyRing, load_public


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How terminals log in; exactly one of the three ways to a password."""

    user: str = "{id}"
    bulk_user: str = "{id}"
    password: str = ""
    password_seed: str = ""
    password_file: Path | None = None

    def credentials(self, terminal: str, listed: Mapping[str, str]) -> Credentials:
        """User names and password of a terminal; ``listed`` is what the password file holds."""
        user = self.user.replace("{id}", terminal)
        password = self.password
        if self.password_seed:
            password = hashlib.sha256(f"{self.password_seed}/{terminal}".encode()).hexdigest()[:32]
        if self.password_file is not None:
            password = listed.get(user, "")
            if not password:
                raise ConfigError(f"{self.password_file} has no line for {user}", code="scenario_invalid")
        bulk_user = self.bulk_user.replace("{id}", terminal)
        return Credentials(username=user, bulk_username=bulk_user, password=password.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and the certificates for TLS."""

    host: str = "127.0.0.1"
    port: int = 1883
    ca: Path | None = None
    """Whose certificates are believed; turns TLS on."""
    certificate: str = ""
    """File of the client's certificate; ``{id}`` stands for the terminal."""
    key: str = ""
    server_name: str = ""
    connects_at_once: int = 100

    def address(self, terminals: Iterable[str]) -> BrokerAddress:
        """For the swarm; reads the certificates. Terminals with certificates of their own cost some 50 kB of TLS state each."""
        own = terminals if "{id}" in self.certificate else ()
        return BrokerAddress(
            host=self.host,
            port=self.port,
            tls=self._context(self.certificate, self.key) if not own else None,
            own_tls={
                name: self._context(self.certificate.replace("{id}", name), self.key.replace("{id}", name)) for name in own
            },
            server_hostname=self.server_name or self.host,
            connects_at_once=self.connects_at_once,
        )

    def _context(self, certificate: str, key: str) -> ssl.SSLContext | None:
        if self.ca is None:
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            if certificate:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"certificate {certificate or self.ca}: {exc}", code="scenario_invalid") from exc
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it."""

    seed: int
    broker: Broker
    login: Login
    order_keys: tuple[Path, ...]
    publisher_keys: tuple[Path, ...]
    entries: tuple[Entry, ...]

    def logins(self) -> Iterator[tuple[str, str]]:
        """User and password of every connection, each once; for the broker's password file."""
        listed = _listed(self.login.password_file)
        seen: set[str] = set()
        for entry in self.entries:
            found = self.login.credentials(entry.id, listed)
            for user in (found.username, found.bulk_username):
                if user not in seen:
                    seen.add(user)
                    yield user, found.password.decode()

    def seed_of(self, terminal: str) -> int:
        """All chance of a terminal follows from it, that of its bearer and its shop too."""
        return zlib.crc32(f"{self.seed}/{terminal}".encode())

    def plans(self, unix_base_ms: int) -> list[Plan]:
        """What the swarm starts; reads keys and passwords. ``unix_base_ms``: Unix time at zero of the event loop's clock."""
        orders, publishers = _ring(self.order_keys, "orders"), _ring(self.publisher_keys, "publishers")
        listed = _listed(self.login.password_file)
        return [
            Plan(
                profile=entry.profile,
                identity=Identity(id=entry.id, orders=orders, publishers=publishers),
                options=replace(entry.options, unix_base_ms=unix_base_ms),
                faults=entry.faults,
                credentials=self.login.credentials(entry.id, listed),
                seed=self.seed_of(entry.id),
            )
            for entry in self.entries
        ]


def load_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ConfigError: ``scenario_invalid`` or ``profile_unknown``; the text names the place.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc}", code="scenario_invalid") from exc
    return read_scenario(read_toml(content, str(path)), folder=path.parent, where=path.name)


def read_scenario(data: Mapping[str, object], *, folder: Path, where: str) -> Scenario:
    """A scenario from the content of its file."""
    top = Reader(data, where)
    speed = top.number("speed", 1.0, low=0.001)
    keys = top.table("keys")
    entries: dict[str, Entry] = {}
    for group in top.tables("group"):
        for entry in read_group(group, speed):
            if entry.id in entries:
                raise ConfigError(f"{group.where}: terminal {entry.id} exists already", code="scenario_invalid")
            entries[entry.id] = entry
        if len(entries) > MAX_TERMINALS:
            raise ConfigError(f"{group.where}: more than {MAX_TERMINALS} terminals in all", code="scenario_invalid")
    scenario = Scenario(
        seed=top.integer("seed", 1),
        broker=_broker(top.table("broker"), folder),
        login=_login(top.table("login"), folder),
        order_keys=tuple(folder / name for name in keys.texts("orders", ("keys/order.pub",))),
        publisher_keys=tuple(folder / name for name in keys.texts("publishers", ("keys/publisher.pub",))),
        entries=tuple(entries.values()),
    )
    keys.done()
    top.done()
    if not entries:
        raise ConfigError(f"{where}: no [[group]] with terminals", code="scenario_invalid")
    return scenario


def _broker(table: Reader, folder: Path) -> Broker:
    default = Broker()

    def file(key: str) -> str:
        return str(folder / table.text(key)) if key in table else ""

    found = Broker(
        host=table.text("host", default.host),
        port=table.integer("port", default.port, low=1, high=65_535),
        ca=folder / table.text("ca") if "ca" in table else None,
        certificate=file("certificate"),
        key=file("key"),
        server_name=table.text("server_name", ""),
        connects_at_once=table.integer("connects_at_once", default.connects_at_once, low=1, high=200),
    )
    table.done()
    return found


def _login(table: Reader, folder: Path) -> Login:
    default = Login()
    found = Login(
        user=table.text("user", default.user),
        bulk_user=table.text("bulk_user", default.bulk_user),
        password=table.text("password", ""),
        password_seed=table.text("password_seed", ""),
        password_file=folder / table.text("password_file") if "password_file" in table else None,
    )
    if sum((bool(found.password), bool(found.password_seed), found.password_file is not None)) > 1:
        raise ConfigError(
            f"{table.where}: password, password_seed and password_file exclude each other", code="scenario_invalid"
        )
    table.done()
    return found


def _listed(file: Path | None) -> dict[str, str]:
    """The lines ``user:password`` of a password file."""
    if file is None:
        return {}
    try:
        lines = file.read_text().splitlines()
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}", code="scenario_invalid") from exc
    return {user: password for user, _, password in (line.partition(":") for line in lines if line.strip())}


def _ring(files: tuple[Path, ...], which: str) -> KeyRing:
    return KeyRing([_public(file, which) for file in files])


def _public(file: Path, which: str) -> bytes:
    try:
        return load_public(file.read_bytes())
    except OSError as exc:
        raise ConfigError(f"keys.{which}: {file}: {exc.strerror}", code="scenario_invalid") from exc
    except TrustError as exc:
        raise ConfigError(f"keys.{which}: {file}: {exc.message}", code="scenario_invalid") from exc
