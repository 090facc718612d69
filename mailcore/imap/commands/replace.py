"""REPLACE and UID REPLACE: a new message in the place of an old one, as drafts are saved (RFC 8508).

``replace = "REPLACE" SP seq-number SP mailbox append-message``, and the same with a UID after ``UID``. The new message
comes in as those of APPEND do (``append.py``); then it is stored and the old one removed in one transaction.
"""

from functools import partial

from mailcore.imap import responses
from mailcore.imap.changes import expunged
from mailcore.imap.commands import append
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import Appended, ReplaceMessage
from mailcore.imap.talk import Command, Exchange, Talk


def _replace(talk: Talk, arguments: Parser, *, uid: bool) -> Exchange:
    """Store the message; APPENDUID comes untagged, before the EXPUNGE that comes with the changes (section 3.3)."""
    name = b"UID REPLACE" if uid else b"REPLACE"
    appending, refusal = yield from append.finish(talk, arguments, name)
    if refusal:
        return refusal
    selected = talk.demand("te")
    assert appending.replaced is not None  # noqa: S101 - it begins a REPLACE
    replaced: Appended = yield ReplaceMessage(
        selected.key, appending.replaced, talk.account, appending.name, appending.messages[0], talk.device
    )
    talk.has_made(appending.name, replaced.uids)
    if code := append.appenduid(replaced):
        yield responses.untagged(responses.ok(b"Replacement is stored", code))
    return (yield from expunged(talk, name))  # section 4.5: as if UID EXPUNGE had removed the old one


COMMANDS = {
    b"REPLACE": Command(partial(_replace, uid=False)),
    b"UID REPLACE": Command(partial(_replace, uid=True)),
}
