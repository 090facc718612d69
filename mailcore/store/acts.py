"""Who changed messages in a mailbox, for the message log: one row a command, in the transaction of the change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a3mailer_site import number_sets
from mailcore.store import flags as system_flags
from mailcore.store.batch import Batch, LockedMailbox
from mailqueue.models import MailboxAct

Verb = MailboxAct.Verb


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it."""

    login: str
    address: str
    protocol: str  # "imap", "pop3s", …
    device: str = ""  # what the client calls itself


def record(
    batch: Batch, by: Actor | None, verb: Verb, mailbox: LockedMailbox, uids: Sequence[int], **detail: Any
) -> None:
    """Write down that somebody has done this to these messages (UIDs ascending); nothing where nobody did."""
    if by is None or not uids:
        return
    who = {"login": by.login, "address": by.address, "protocol": by.protocol}
    if by.device:
        who["device"] = by.device
    batch.add_act(mailbox.id, verb, number_sets.write(uids), {"mailbox": mailbox.name, **who, **detail})


def delivered(mailbox: LockedMailbox, user_id: int, uid: int) -> dict[str, Any]:
    """Return what the event of a delivery tells: from here on the message log finds what is done to the message."""
    return {"mailbox": mailbox.name, "user": user_id, "uid": uid, "mailbox_id": mailbox.id}


def flagging(mode: str, flags: int, keywords: Sequence[str]) -> dict[str, Any]:
    """Return what a STORE asked for, in IMAP's words."""
    return {"mode": mode, "flags": [*system_flags.names(flags), *keywords]}


def target(mailbox: LockedMailbox, uids: Sequence[int]) -> dict[str, Any]:
    """Return where messages were copied or moved to; their UIDs there are parallel to those in the source."""
    return {"target": mailbox.name, "target_id": mailbox.id, "target_uids": number_sets.write(uids)}
