"""What the questions of an IMAP session mean here: reads of the store in threads, changes through the group commit."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers import (
    acl,
    appending,
    connection,
    mailboxes,
    messages,
    metadata,
    notifying,
    origins,
    quota,
    searching,
    selection,
)
from mailcore.imap.answers.common import Answer
from mailcore.intake.login import verify_password
from mailcore.sasl.questions import VerifyPassword

ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    VerifyPassword: verify_password,
    **connection.ANSWERS,
    **mailboxes.ANSWERS,
    **acl.ANSWERS,
    **metadata.ANSWERS,
    **quota.ANSWERS,
    **selection.ANSWERS,
    **messages.ANSWERS,
    **notifying.ANSWERS,
    **origins.ANSWERS,
    **appending.ANSWERS,
    **searching.ANSWERS,
}
