"""The header fields that prove to the receiver of a webhook who speaks, and when: Standard Webhooks.

webhook-id: evt_5f0c…                 the same when the event comes again
webhook-timestamp: 1705314600         seconds since 1970: what is old is no answer to anything
webhook-signature: v1,K5oZfz…         HMAC-SHA256 of id, timestamp and body; several where the secret changes
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"


def signed(secrets: Iterable[str], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the fields for a body; ``secrets`` are ``whsec_`` and Base64."""
    content = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_mac(secret, content)}" for secret in secrets),
    }


def _mac(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
