"""Keys, token and certificates: readable, private where they must be, and for how long they still hold."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.config import Settings
from gateway.doctor.finding import Finding, fail, warn, well
from gateway.errors import ConfigError

#: Time to have a certificate renewed.
SOON: Final = timedelta(days=30)


def check_keys(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """Every secret and certificate that the settings name."""
    at = now or datetime.now(UTC)
    out = [
        _readable("keys.order", "the key that signs orders", settings.order_key),
        _readable("keys.publishers", f"{len(settings.publisher_key_files)} publishers are believed", settings.publisher_keys),
        _readable("keys.token", "the API's token", settings.bearer_token),
        *_strays(settings),
    ]
    if settings.broker_ca_file is not None:
        out += _certificates("keys.broker_ca", settings.broker_ca_file, at)
    if settings.broker_cert_file is not None and settings.broker_key_file is not None:
        out += _certificates("keys.broker_cert", settings.broker_cert_file, at)
        out.append(_pair(settings.broker_cert_file, settings.broker_key_file))
    return out


def expiry(check: str, what: str, certificate: x509.Certificate, now: datetime) -> Finding:
    """How long a certificate still holds."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    text = f"{what} holds until {ends:%Y-%m-%d %H:%M} UTC"
    if now >= ends:
        return fail(check, f"{what} ended at {ends:%Y-%m-%d %H:%M} UTC", "renew it now: every new connection is refused")
    if now < begins:
        return fail(check, f"{what} begins at {begins:%Y-%m-%d %H:%M} UTC", "is this machine's clock right?")
    if ends - now < SOON:
        return warn(check, f"{text}, {(ends - now).days} days", "renew it; the gateway reads it anew at its next connect")
    return well(check, text)


def _readable(check: str, what: str, read: Callable[[], object]) -> Finding:
    try:
        read()
    except ConfigError as exc:
        return fail(check, exc.message, "mend what the text names; `tillgate init` shows how it should look")
    return well(check, what)


def _strays(settings: Settings) -> list[Finding]:
    """A publisher's private half beside the public one: whoever has this machine could sign packages."""
    found = [one.with_suffix(".key") for one in settings.publisher_key_files if one.with_suffix(".key").is_file()]
    advice = "move it to where packages are signed: whoever takes this machine could sign packages with it"
    return [warn("keys.publisher_private", f"{one} lies on the gateway's machine", advice) for one in found]


def _certificates(check: str, file: Path, now: datetime) -> list[Finding]:
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as exc:
        return [fail(check, f"{file}: {exc.strerror}", "put the file there, or mend its permissions")]
    except ValueError:
        return [fail(check, f"{file} holds no certificate in PEM", "put the right file there")]
    soonest = min(found, key=lambda one: one.not_valid_after_utc)
    return [expiry(check, f"{file.name} ({soonest.subject.rfc4514_string()})", soonest, now)]


def _pair(certificate: Path, key: Path) -> Finding:
    """Whether the two belong together, as the link will load them."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
    except OSError as exc:
        return fail(
            "keys.broker_key",
            f"{key.name} does not go with {certificate.name}: {exc}",
            "make both anew, or name the right ones",
        )
    return well("keys.broker_key", f"{key.name} goes with {certificate.name}")
