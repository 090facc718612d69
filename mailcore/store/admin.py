"""Shared mailboxes in the web administration: who may do what in whose mail, and an end to it."""

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from a3mailer_site.api.peers import client_address
from a3mailer_site.paging import BoundedPaginator
from mailcore.store.access import AccessChange, identifier_of, label
from mailcore.store.batch import GoneError
from mailcore.store.commit import run
from mailcore.store.models import AccessRight
from mailcore.store.refusals import StoreRefusedError
from mailcore.store.rights import ALL_RIGHTS
from security.audited import ReadOnlyAdmin

# RFC 4314 section 2.1, for people.
_WORDS = {
    "l": _("see the name"),
    "r": _("read"),
    "s": _("mark as read"),
    "w": _("mark"),
    "i": _("add messages"),
    "p": _("send to it"),
    "k": _("add mailboxes"),
    "x": _("delete the mailbox"),
    "t": _("mark as deleted"),
    "e": _("delete messages"),
    "a": _("share further"),
}


@admin.register(AccessRight)
class AccessRightAdmin(ReadOnlyAdmin):
    """What users have shared. They do so in their mail program; here it is seen and ended."""

    paginator = BoundedPaginator
    list_display = ["owner", "mailbox_name", "who", "can", "rights"]
    list_display_links = None
    list_select_related = ["mailbox__owner", "user", "group"]
    search_fields = ["=mailbox__owner__email", "=mailbox__owner__username", "=user__email", "=user__username"]
    search_help_text = _("Address or user name, as a whole: of the owner, or of who is let in.")
    ordering = ["mailbox_id", "pk"]
    actions = ["stop_sharing"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessRight]:
        """Leave out whose owner or whose user is in the trash: nobody gets anything by them."""
        rows: QuerySet[AccessRight] = super().get_queryset(request)
        here = Q(user__isnull=True) | Q(user__deleted_at__isnull=True)
        return rows.filter(here, mailbox__owner__deleted_at__isnull=True)

    @admin.display(description=_("owner"))
    def owner(self, entry: AccessRight) -> str:
        """Say whose mailbox it is."""
        return label(entry.mailbox.owner.email, entry.mailbox.owner.username)

    @admin.display(description=_("mailbox"))
    def mailbox_name(self, entry: AccessRight) -> str:
        """Say which mailbox it is."""
        return entry.mailbox.name

    @admin.display(description=_("for"))
    def who(self, entry: AccessRight) -> str:
        """Say who is let in."""
        if entry.user is not None:
            return label(entry.user.email, entry.user.username)
        return entry.group.name if entry.group is not None else gettext("everybody in the owner's domain")

    @admin.display(description=_("may"))
    def can(self, entry: AccessRight) -> str:
        """Say what may be done, in words."""
        if entry.rights == ALL_RIGHTS:
            words = gettext("everything")
        else:
            words = ", ".join(str(_WORDS[right]) for right in entry.rights)
        return gettext("not: %(rights)s") % {"rights": words} if entry.negative else words

    def has_stop_sharing_permission(self, request: HttpRequest) -> bool:
        """Say whether this person may end what others have shared."""
        return bool(request.user.has_perm("store.delete_accessright"))

    @admin.action(description=_("Stop sharing"), permissions=["stop_sharing"])
    def stop_sharing(self, request: HttpRequest, queryset: QuerySet[AccessRight]) -> None:
        """Take the selected rights away; sessions that use them end with their next command."""
        ended, by = 0, request.user.pk
        assert by is not None  # noqa: S101 - whoever is here has logged in
        for entry in queryset:
            work = AccessChange(
                entry.mailbox.owner_id,
                entry.mailbox_id,
                identifier_of(entry),
                mode="",
                rights="",
                by=by,
                address=client_address(request),
                administrator=True,
            )
            try:
                run(work)
            except (GoneError, StoreRefusedError):
                continue  # deleted in this very moment
            ended += 1
        text = ngettext("%(count)d right taken away.", "%(count)d rights taken away.", ended)
        self.message_user(request, text % {"count": ended}, messages.SUCCESS)
