"""What becomes of the mail of a user who is removed: it goes in slices, so that nobody waits for it.

Bodies stay: other users may share them, and ``prunebodies`` removes those that nobody refers to any more.
"""

from django.db import transaction

from mailcore.store.models import Expunged, Mailbox, Message

# Messages deleted in one transaction.
SLICE = 500


def empty_mailboxes(user_id: int) -> None:
    """Delete all messages in a user's mailboxes. The mailboxes themselves go with the user's row."""
    for mailbox in Mailbox.objects.filter(owner_id=user_id).order_by("pk").values_list("pk", flat=True):
        while True:
            uids = list(
                Message.objects.filter(mailbox_id=mailbox).order_by("uid").values_list("uid", flat=True)[:SLICE]
            )
            if not uids:
                break
            with transaction.atomic():
                Message.objects.filter(mailbox_id=mailbox, uid__lte=uids[-1]).delete()
        Expunged.objects.filter(mailbox_id=mailbox).delete()
