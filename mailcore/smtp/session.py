"""The SMTP server's side of a conversation: MX and submission, told apart by their ``Policy``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a session behaves; made by the service once for each listener and reload."""

    hostname: str  # how we call ourselves
    submission: bool = False  # AUTH is offered, and required before MAIL
    tls_available: bool = False  # there is a certificate: STARTTLS can be offered
    plaintext_auth_ok: bool = False  # this client may send its password without TLS
    message_limit: int = 50 * 1024 * 1024  # octets
    recipient_limit: int = 1000  # in one message
    # Errors, and commands that bring no mail forward, before 421. An accepted message sets both back to 0.
    error_limit: int = 20
    idle_limit: int = 100
