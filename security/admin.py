"""Blocks and the allow-list in the web administration; and what there is to look at, never to change."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from a3mailer_site.api.peers import client_address
from a3mailer_site.env import Network
from a3mailer_site.paging import BoundedPaginator
from security.audit_query import note_reading
from security.audited import ReadOnlyAdmin
from security.blocking import AlreadyError, allow, block, disallow, lift
from security.descriptions import describe
from security.guards import objection
from security.models import (
    AllowedNetwork,
    AuditCheckpoint,
    AuditEntry,
    BlockedAddress,
    Greylisted,
    LoginFailure,
    PostureResult,
    Tally,
)
from security.networks import parse_network, written
from security.posture import registered


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what, from where."""

    paginator = BoundedPaginator
    list_display = ["at", "severity", "action", "description", "outcome", "user_id", "source_ip", "is_sealed"]
    list_filter = ["event_type", "severity", "outcome"]
    search_fields = ["=action", "=user_id", "=source_ip", "=request_id"]
    search_help_text = _("Action, user id, address or request id, as a whole.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show a page, and write down who has read it."""
        page: HttpResponse = super().changelist_view(request, extra_context)
        if page.status_code == 200:
            note_reading(request, request.GET)
        return page

    @admin.display(description=_("description"))
    def description(self, entry: AuditEntry) -> str:
        """Say what happened."""
        return describe(entry.action, entry.metadata)

    @admin.display(boolean=True, description=_("sealed"))
    def is_sealed(self, entry: AuditEntry) -> bool:
        """Say whether the entry is in the hash chain yet."""
        return entry.seq is not None


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ReadOnlyAdmin):
    """Where the audit log begins after a purge."""

    list_display = ["seq", "hash", "purged_at"]


@admin.register(Greylisted)
class GreylistedAdmin(ReadOnlyAdmin):
    """Whose first message had to come again, and whether it did."""

    paginator = BoundedPaginator
    list_display = ["network", "sender", "recipient", "first_at", "passed_at", "last_at"]
    search_fields = ["=network", "=sender", "=recipient"]
    search_help_text = _("Network, sender or recipient, as a whole.")


@admin.register(LoginFailure)
class LoginFailureAdmin(ReadOnlyAdmin):
    """Logins that failed lately."""

    paginator = BoundedPaginator
    list_display = ["at", "login", "address", "protocol"]
    list_filter = ["protocol"]
    search_fields = ["=login", "=address"]
    search_help_text = _("Login or address, as a whole.")


class NetworkForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """Takes an address or a network in any spelling; the one that is stored must not be there yet."""

    parsed: Network

    def clean_network(self) -> str:
        """Bring the network into its one form."""
        try:
            self.parsed = parse_network(str(self.cleaned_data["network"]).strip())
        except ValueError as error:
            raise ValidationError(_("This is neither an IP address nor a network.")) from error
        return written(self.parsed)


class BlockForm(NetworkForm):
    """A new block, by the same rules as over the API."""

    caller = ""

    class Meta:
        model = BlockedAddress
        fields = ["network", "reason", "expires_at"]

    def clean_network(self) -> str:
        """Refuse what would lock somebody out who must come in."""
        name = super().clean_network()
        if reason := objection(self.parsed, caller=self.caller or None):
            raise ValidationError(reason)
        return name

    def clean_expires_at(self) -> Any:
        """Refuse an end that is past."""
        end = self.cleaned_data["expires_at"]
        if end is not None and end <= timezone.now():
            raise ValidationError(_("This is past."))
        return end

    def _get_validation_exclusions(self) -> set[str]:
        # A block that is over makes room for another one of the same network.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc] # Django's own
        name = self.cleaned_data.get("network")
        over = BlockedAddress.objects.over(timezone.now()).filter(network=name)
        return excluded | {"network"} if name and over.exists() else excluded


class _ListAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Networks that are added and taken off, never edited; ``blocking.py`` writes it down."""

    actions = ["take_off"]
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Take off one by one: each has its entry in the audit log."""
        for row in queryset:
            self.delete_model(request, row)

    def take_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Take the selected ones off the list, at once."""
        rows = list(queryset)
        self.delete_queryset(request, queryset)
        text = gettext("Taken off the list: %(count)d.") % {"count": len(rows)}
        self.message_user(request, text, messages.SUCCESS)


@admin.register(BlockedAddress)
class BlockedAddressAdmin(_ListAdmin):
    """Blocks: in force at once, on every protocol."""

    form = BlockForm
    list_display = ["network", "reason", "source", "blocked_at", "expires_at", "is_in_force", "hits", "last_seen"]
    list_filter = ["source"]
    search_fields = ["network", "reason"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Tell the form who asks."""
        made = super().get_form(request, obj, change, **kwargs)
        return type(made.__name__, (made,), {"caller": client_address(request)})

    def save_model(self, request: HttpRequest, obj: BlockedAddress, form: Any, change: bool) -> None:  # noqa: ARG002
        """Block."""
        try:
            row = block(
                form.parsed,
                reason=obj.reason,
                source=BlockedAddress.Source.ADMIN,
                expires_at=obj.expires_at,
                now=timezone.now(),
                request=request,
            )
        except AlreadyError:
            row = BlockedAddress.objects.get(network=obj.network)  # by somebody else, in this very moment
        obj.pk = row.pk

    def delete_model(self, request: HttpRequest, obj: BlockedAddress) -> None:
        """Lift."""
        lift(obj, by=BlockedAddress.Source.ADMIN, request=request)

    @admin.display(boolean=True, description=_("in force"))
    def is_in_force(self, row: BlockedAddress) -> bool:
        """Say whether the block still holds."""
        return row.expires_at is None or row.expires_at > timezone.now()

    @admin.action(description=_("Lift the selected blocks"), permissions=["delete"])
    def take_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Lift the selected blocks."""
        super().take_off(request, queryset)


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(_ListAdmin):
    """What is never blocked."""

    form = NetworkForm
    fields = ["network", "reason"]
    list_display = ["network", "reason", "added_at"]
    search_fields = ["network", "reason"]

    def save_model(self, request: HttpRequest, obj: AllowedNetwork, form: Any, change: bool) -> None:  # noqa: ARG002
        """Allow."""
        try:
            row = allow(form.parsed, reason=obj.reason, request=request)
        except AlreadyError:
            row = AllowedNetwork.objects.get(network=obj.network)  # by somebody else, in this very moment
        obj.pk = row.pk

    def delete_model(self, request: HttpRequest, obj: AllowedNetwork) -> None:
        """Take off."""
        disallow(obj, request=request)

    @admin.action(description=_("Take off the allow-list"), permissions=["delete"])
    def take_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Take the selected networks off the list."""
        super().take_off(request, queryset)


@admin.register(Tally)
class TallyAdmin(ReadOnlyAdmin):
    """Requests that were refused, by minute."""

    paginator = BoundedPaginator
    list_display = ["minute", "kind", "count"]
    list_filter = ["kind"]


@admin.register(PostureResult)
class PostureResultAdmin(ReadOnlyAdmin):
    """What the posture checks found when they ran last."""

    list_display = ["title", "status", "detail", "advice", "ran_at"]
    list_filter = ["status"]
    fields = ["title", "status", "detail", "advice", "ran_at"]

    @admin.display(description=_("check"), ordering="check_id")
    def title(self, row: PostureResult) -> str:
        """Say what was checked."""
        one = registered().get(row.check_id)
        return str(one.title) if one else row.check_id

    @admin.display(description=_("details"))
    def detail(self, row: PostureResult) -> str:
        """Say what was found."""
        one = registered().get(row.check_id)
        return one.detail(row.text, row.facts) if one else ""

    @admin.display(description=_("what to do"))
    def advice(self, row: PostureResult) -> str:
        """Say what to do, where something is to be done."""
        one = registered().get(row.check_id)
        return str(one.advice) if one and row.status == PostureResult.Status.FAIL else ""
