"""What one connection to the broker needs to know. Made by the runtime from ``gateway.config``; read once."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from gateway.wire.codec import MAX_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """One connection: where, as whom, what it listens to, and the bounds of what it holds in memory."""

    host: str
    port: int
    client_id: str
    """Unique at the broker; a second client with the same id and this one would throw each other out."""
    filters: tuple[tuple[str, int], ...]
    """Subscriptions as ``(topic filter, QoS)``; all in one SUBSCRIBE, so at most 8."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    """Encrypt and check the broker's certificate; implied by any of the three files."""
    ca_file: str | None = None
    """The authority that signed the broker's certificate; the system's authorities when absent."""
    cert_file: str | None = None
    key_file: str | None = None

    keepalive_s: int = 15
    """A broker that froze is noticed after at most twice this."""
    answer_timeout_s: float = 5.0
    """How long the broker may take for the handshake, the CONNACK, the SUBACK, and the acknowledgement of one ``publish``."""
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 30.0
    """Between a connection that did not last and the next try, at most."""
    backoff_away_cap_s: float = 5.0
    """Between two tries while the broker does not answer, at most."""
    stable_s: float = 60.0
    """A connection that lasted as long as this was a good one: the next loss starts again at ``backoff_base_s``."""

    inbox_messages: int = 20_000
    inbox_bytes: int = 16 * 1024 * 1024
    payload_bytes: int = MAX_PAYLOAD_BYTES
    """Larger payloads are dropped and counted, undecoded."""
    outgoing_bytes: int = 256 * 1024
    """Handed over to the client library and not yet taken by the kernel."""
    unconfirmed_messages: int = 256
    """QoS 1 messages that wait for the broker's acknowledgement; below 65,535, the number of packet ids."""

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS context, read anew at each connect so that renewed certificates are picked up; ``None`` for plain TCP.

        Raises:
            OSError: a file cannot be read, or is not what it should be (``ssl.SSLError`` is an ``OSError``).
        """
        if not (self.tls or self.ca_file or self.cert_file):
            return None

        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context
