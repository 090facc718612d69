"""The floor's tables in the web administration: to look at, never to change."""

from django.contrib import admin

from a3mailer_site.models import KeptAnswer
from a3mailer_site.paging import BoundedPaginator
from security.audited import ReadOnlyAdmin


@admin.register(KeptAnswer)
class KeptAnswerAdmin(ReadOnlyAdmin):
    """Requests that will be answered again as they were the first time. The answers themselves are for nobody."""

    paginator = BoundedPaginator
    list_display = ["claimed_at", "caller", "key"]
    search_fields = ["=caller", "=key"]
    fields = ["claimed_at", "caller", "key"]
