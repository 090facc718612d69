"""What the questions of an IMAP session mean here: reads of the store in threads, changes through the group commit."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers import acl, appending, mailboxes, messages, metadata, quota, searching, selection
from mailcore.imap.answers.common import Answer
from mailcore.intake.login import verify_password
from mailcore.sasl.questions import VerifyPassword

ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    VerifyPassword: verify_password,
    **mailboxes.ANSWERS,
    **acl.ANSWERS,
    **metadata.ANSWERS,
    **quota.ANSWERS,
    **selection.ANSWERS,
    **messages.ANSWERS,
    **appending.ANSWERS,
    **searching.ANSWERS,
}
