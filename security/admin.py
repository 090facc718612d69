"""The audit log and the failed logins in the web administration: to look at, never to change."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from a3mailer_site.paging import BoundedPaginator
from security.audited import ReadOnlyAdmin
from security.models import AuditEntry, LoginFailure


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what, from where."""

    paginator = BoundedPaginator
    list_display = ["at", "severity", "action", "outcome", "user_id", "source_ip", "is_sealed"]
    list_filter = ["event_type", "severity", "outcome"]
    search_fields = ["=action", "=user_id", "=source_ip", "=request_id"]
    search_help_text = _("Action, user id, address or request id, as a whole.")

    @admin.display(boolean=True, description=_("sealed"))
    def is_sealed(self, entry: AuditEntry) -> bool:
        """Say whether the entry is in the hash chain yet."""
        return entry.seq is not None


@admin.register(LoginFailure)
class LoginFailureAdmin(ReadOnlyAdmin):
    """Logins that failed lately."""

    paginator = BoundedPaginator
    list_display = ["at", "login", "address", "protocol"]
    list_filter = ["protocol"]
    search_fields = ["=login", "=address"]
    search_help_text = _("Login or address, as a whole.")
