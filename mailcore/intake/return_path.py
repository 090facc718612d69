"""Return paths of our own: an envelope sender that says which message to which recipient a bounce is about.

    bounces+0123456789abcXXXXXXXX@example.com

Behind the ``+`` stand the id of the trace (13 signs) and the proof that this server has written it (8 signs, 40 bits).
Two kinds of mail leave with one:

- what an alias passes on to another server. With its own sender it would fail the SPF of that sender's domain there.
  Others use SRS for that; an id instead of the coded address keeps it short, whatever the address.
- mail of a domain that wants to know which addresses bounce (``Domain.track_bounces``): VERP.

What comes back goes to the sender of the message, and into its timeline (``returned.py``). Only bounces may, mail with
the null reverse-path.
"""

import hashlib
import hmac
import secrets
from functools import cache
from pathlib import Path
from typing import Final

from a3mailer_site.env import current
from a3mailer_site.ids import ALPHABET, from_text, to_text
from a3mailer_site.keys import keep
from accounts.addresses import Resolution, is_local_domain, resolve
from mailqueue.models import MessageTrace

PREFIX: Final = "bounces+"
_ID: Final = 13
_PROOF: Final = 8
_UNKNOWN: Final = Resolution("unknown")


def write(trace: int, domain: str) -> str:
    """Return the return path for a trace; ``domain`` is one of ours, in A-labels."""
    text = to_text(trace)
    return f"{PREFIX}{text}{_proof(text, domain)}@{domain}"


def read(address: str) -> int | None:
    """Return the id of the trace that an address is a return path for; ``None`` when we have not written it."""
    local, _at, domain = address.lower().rpartition("@")
    token = local.removeprefix(PREFIX)
    if local == token or len(token) != _ID + _PROOF:
        return None
    text, proof = token[:_ID], token[_ID:]
    if not token.isascii() or not hmac.compare_digest(proof, _proof(text, domain)):
        return None
    return from_text(text)


def resolved(address: str) -> Resolution | None:
    """Say where a bounce goes: to the sender of what it is about; ``None`` when the address is no return path.

    Reads the database. When the log has forgotten the message nobody is there.
    """
    trace = read(address)
    if trace is None:
        return None
    sender = MessageTrace.objects.filter(pk=trace).values_list("sender", flat=True).first()
    if not sender or not is_local_domain(address.rpartition("@")[2]):
        return _UNKNOWN
    found = resolve(sender)
    return Resolution("ok", (), (sender,)) if found.status == "not_local" else found


def _proof(text: str, domain: str) -> str:
    digest = hmac.digest(_key(current().data_dir / "return_path_key"), f"{text}@{domain}".encode(), hashlib.sha256)
    number = int.from_bytes(digest[:5], "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in range(35, -5, -5))


@cache
def _key(path: Path) -> bytes:
    return keep(path, secrets.token_hex(32).encode()).strip()
