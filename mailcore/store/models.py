"""Mailboxes and what is in them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from mailqueue.models import Body


class Mailbox(models.Model):
    """A folder of a user. Its row is the lock and the counter of everything in it.

    ``uidnext`` and ``highestmodseq`` only grow, in the transaction that uses the values, with the row locked: whoever
    sees a value sees everything below it. ``messages``, ``unseen`` and ``size`` are kept in the same transactions.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mailboxes")
    name = models.CharField(_("name"), max_length=1000)  # Unicode, "/" between levels; INBOX in capitals
    uidvalidity = models.PositiveBigIntegerField()
    uidnext = models.PositiveBigIntegerField(default=1)
    highestmodseq = models.BigIntegerField(default=1)
    history = models.BigIntegerField(default=0)  # ``Expunged`` has all that were expunged after this MODSEQ
    first_recent_uid = models.PositiveBigIntegerField(default=1)  # RFC 3501 section 2.3.2, \Recent
    special_use = models.CharField(max_length=100, blank=True)  # RFC 6154: \Sent, \Drafts, …; spaces between several
    messages = models.PositiveIntegerField(_("messages"), default=0)
    unseen = models.PositiveIntegerField(_("unread"), default=0)
    size = models.PositiveBigIntegerField(_("size"), default=0)

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        ordering = ["owner_id", "name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="mailbox_owner_name")]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """A name that a user subscribed to; it may outlive its mailbox (RFC 3501 section 6.3.6)."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="subscriptions")
    name = models.CharField(max_length=1000)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="subscription_owner_name")]

    def __str__(self) -> str:
        return self.name


class AccessRight(models.Model):
    """An entry in the access control list of a mailbox (RFC 4314 section 2); ``access.py`` has the rules.

    It refers to a user or to a group and keeps no name: who is renamed keeps the rights, and whoever gets an address
    that was somebody else's has none of them. With neither it is for anyone in the owner's domain. A negative entry
    takes rights away that others give.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="access_rights")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="access_rights",
        verbose_name=_("user"),
    )
    group = models.ForeignKey(
        "auth.Group",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="access_rights",
        verbose_name=_("group"),
    )
    negative = models.BooleanField(_("taken away"), default=False)
    rights = models.CharField(_("rights"), max_length=16)  # letters of rights.py, in their order

    class Meta:
        verbose_name = _("access right")
        verbose_name_plural = _("access rights")
        ordering = ["mailbox_id", "pk"]
        constraints = [
            models.UniqueConstraint(
                "mailbox", Coalesce("user", 0), Coalesce("group", 0), "negative", name="access_right_entry"
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(group__isnull=True), name="access_right_of_one_kind"
            ),
        ]
        indexes = [
            models.Index(
                fields=["mailbox"], name="access_right_anyone", condition=Q(user__isnull=True, group__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return self.rights


class Metadata(models.Model):
    """An annotation (RFC 5464) of a mailbox, or of the server where there is no mailbox.

    With a ``user`` it is that user's alone (``/private``), otherwise for all who may read the mailbox (``/shared``).
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, null=True, related_name="metadata")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="metadata")
    entry = models.CharField(max_length=255)  # with "/private" or "/shared", in lower case
    value = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(Coalesce("mailbox", 0), Coalesce("user", 0), "entry", name="metadata_entry")
        ]

    def __str__(self) -> str:
        return self.entry


class Structure(models.Model):
    """What clients ask of every message, computed once at delivery from its body (``message/summary.py``)."""

    body = models.OneToOneField(Body, on_delete=models.CASCADE, primary_key=True, related_name="structure")
    envelope = models.BinaryField()  # the value of ENVELOPE, as IMAP sends it
    bodystructure = models.BinaryField()  # the value of BODYSTRUCTURE
    fields = models.BinaryField()  # raw header lines of the fields in CACHED_FIELDS, in their order
    header_size = models.PositiveIntegerField()
    sent_at = models.BigIntegerField(null=True)  # the Date field, seconds since 1970

    def __str__(self) -> str:
        return str(self.body_id)


class Preview(models.Model):
    """The beginning of a message's text (RFC 8970), made when it is first asked for, and kept as long as its body.

    Delivery does not make it: most messages are never asked for one, and taking a message apart is what delivery
    spends its time on.
    """

    body = models.OneToOneField(Body, on_delete=models.CASCADE, primary_key=True, related_name="preview")
    text = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.text


class SearchEntry(models.Model):
    """What SEARCH knows of a body without reading it. The worker makes it after delivery (``indexing.py``).

    Without a row, or with one by other rules, a body is searched all the same, only more slowly. Texts are folded; the
    values of several fields, or several forms of one, stand in one column (``entries.py``).
    """

    body = models.OneToOneField(Body, on_delete=models.CASCADE, primary_key=True, related_name="search_entry")
    rules = models.PositiveSmallIntegerField()  # collation.RULES of the time
    sent_on = models.IntegerField(null=True)  # the day in the Date field, as written there: days since 1970
    # null: there is no such field
    subject = models.TextField(null=True)
    sender = models.TextField(null=True)  # From
    recipients = models.TextField(null=True)  # To
    cc = models.TextField(null=True)
    bcc = models.TextField(null=True)
    signature = models.BinaryField(null=True)  # of header and body (message/trigrams.py); null: has to be looked into

    def __str__(self) -> str:
        return str(self.body_id)


# What was found in a body: goes when nothing refers to the body any more.
FOUND_IN_BODIES = (Structure, Preview, SearchEntry)


class Message(models.Model):
    """A message in a mailbox: the narrow row that changes. Its body and structure are shared and never change."""

    pk = models.CompositePrimaryKey("mailbox_id", "uid")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, db_index=False)
    uid = models.PositiveBigIntegerField()
    body = models.ForeignKey(Body, on_delete=models.PROTECT, related_name="messages")
    modseq = models.BigIntegerField()
    flags = models.PositiveSmallIntegerField(default=0)  # bits of store/flags.py
    keywords = models.TextField(default="", blank=True)  # sorted, separated by spaces
    internal_date = models.BigIntegerField()  # seconds since 1970
    saved_at = models.BigIntegerField()  # seconds since 1970: when it came into this mailbox
    size = models.BigIntegerField()

    class Meta:
        ordering = ["mailbox_id", "uid"]
        indexes = [models.Index(fields=["mailbox", "modseq"], name="message_modseq")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"


class Expunged(models.Model):
    """A UID that is gone, and since when: open sessions and QRESYNC (RFC 7162) ask for them; see ``history.py``."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.BigIntegerField()
    at = models.BigIntegerField(default=0)  # seconds since 1970

    class Meta:
        indexes = [models.Index(fields=["mailbox", "modseq"], name="expunged_modseq")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"


class MailboxChange(models.Model):
    """A doorbell on SQLite: "this mailbox of this user has reached this modseq". Rows are forgotten after a minute.

    With 0 for the mailbox it is the user's names and subscriptions that have changed, and ``modseq`` is an id of the
    change; with -2 annotations have (``batch.ANNOTATIONS``). No foreign keys: a change may be the mailbox's end.
    """

    mailbox_id = models.BigIntegerField()
    modseq = models.BigIntegerField()
    at = models.BigIntegerField()  # seconds since 1970
    owner_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.mailbox_id}@{self.modseq}"
