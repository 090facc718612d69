"""Users, aliases, groups and API keys in the web administration."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.forms import AdminPasswordChangeForm

from a3mailer_site.control import hint
from accounts import trash
from accounts.forms import ChangeUserForm, GroupForm, NewApiKeyForm, NewUserForm
from accounts.models import Alias, AliasTarget, ApiKey, DeletedUser, User
from accounts.powers import ForbiddenError, check_last_administrator, is_powerful, locked
from accounts.serializers import facts
from domains.names import to_unicode
from domains.trash_admin import ToTrashAdmin, TrashAdmin
from security.audit import changed, record
from security.audited import AuditedAdmin
from security.models import AuditEntry

admin.site.unregister(Group)


# What gives power: an administrator's alone to give, whatever else somebody on the staff may change.
_POWER = ["is_staff", "is_superuser", "groups", "user_permissions"]


def _is_administrator(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):
    """Groups; in this theme. They give permissions, so only an administrator changes them."""

    audited_type = AuditEntry.EventType.ADMINISTRATIVE
    form = GroupForm
    list_display = ["name", "born"]
    list_select_related = ["birth"]

    @admin.display(description=_("created"), ordering="birth__created_at")
    def born(self, group: Group) -> datetime | None:
        """Say when it was made; nobody knows of old ones."""
        return getattr(getattr(group, "birth", None), "created_at", None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Administrators."""
        return _is_administrator(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        """Administrators."""
        return _is_administrator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        """Administrators."""
        return _is_administrator(request)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ToTrashAdmin):  # type: ignore[type-arg, misc]
    """Users with or without a mailbox."""

    audited_type = AuditEntry.EventType.ADMINISTRATIVE
    form = ChangeUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["__str__", "username", "full_name", "is_active", "is_staff", "quota_use", "last_login"]
    list_filter = ["is_active", "is_staff", ("domain", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["username", "email", "full_name"]
    ordering = ["username"]
    readonly_fields = ["quota_use", "created_at", "last_login"]
    filter_horizontal = ["groups", "user_permissions"]
    fieldsets = [
        (None, {"fields": ["email", "username", "full_name", "password", "is_active"]}),
        (_("Quota"), {"fields": ["quota", "quota_use"]}),
        (_("Sending"), {"fields": ["undo_seconds", "send_limit_hour", "send_limit_day"]}),
        (_("Administration"), {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
        (_("Times"), {"fields": ["created_at", "last_login"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "username", "full_name", "password1", "password2", "quota"]}),
        (_("Administration"), {"fields": ["is_staff", "is_superuser"]}),
    ]
    actions = ["enable", "disable"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Return what cannot be changed: for staff that are no administrators, what gives power."""
        fixed = list(super().get_readonly_fields(request, obj))
        return fixed if _is_administrator(request) else fixed + _POWER

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only an administrator touches who has power, the password included."""
        return super().has_change_permission(request, obj) and self._is_within_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only an administrator deletes who has power."""
        return super().has_delete_permission(request, obj) and self._is_within_reach(request, obj)

    @staticmethod
    def _is_within_reach(request: HttpRequest, user: User | None) -> bool:
        return user is None or not is_powerful(user) or _is_administrator(request)

    @admin.display(description=_("used"), ordering="used_quota")
    def quota_use(self, user: User) -> str:
        """Say how full the mailbox is."""
        used = filesizeformat(user.used_quota)
        if not user.quota:
            return used
        share = {
            "used": used,
            "quota": filesizeformat(user.quota),
            "percent": round(100 * user.used_quota / user.quota),
        }
        return gettext("%(used)s of %(quota)s (%(percent)s %%)") % share

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save; who may not go on is cut off at once."""
        super().save_model(request, obj, form, change)
        if change and not obj.is_active:
            hint("cut", account_id=obj.pk)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """Change a password, and write that down; open sessions with the old one end."""
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            user = User.objects.get(pk=id)
            self.write_down(request, "updated", user, {"password_changed": True})
            hint("cut", account_id=user.pk)
        return response

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Put into the trash; nobody deletes themselves, and not the last administrator."""
        if obj.pk == request.user.pk:
            raise PermissionDenied(gettext("Nobody deletes themselves."))
        with transaction.atomic():
            user = locked(obj)
            if not self._is_within_reach(request, user):
                raise PermissionDenied(gettext("Only an administrator may delete or restore an administrator."))
            self.write_down(request, "deleted", user, {"before": self.facts(user)})
            trash.delete(user, timezone.now())
        hint("cut", account_id=user.pk)

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let the selected users log in and receive mail."""
        self._switch(request, queryset, on=True)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Lock the selected users out, and refuse their mail."""
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, users: QuerySet[User], *, on: bool) -> None:
        changed = 0
        for user in users.filter(is_active=not on):
            try:
                with transaction.atomic():
                    self._switch_one(request, locked(user), on=on)
            except PermissionDenied as error:
                self.message_user(request, f"{user}: {error}", messages.ERROR)
                continue
            except Http404:
                continue  # deleted in this very moment
            if not on:
                hint("cut", account_id=user.pk)
            changed += 1
        text = ngettext("%(count)d user changed.", "%(count)d users changed.", changed)
        self.message_user(request, text % {"count": changed}, messages.SUCCESS)

    def _switch_one(self, request: HttpRequest, user: User, *, on: bool) -> None:
        if not self._is_within_reach(request, user):
            raise ForbiddenError(gettext("Only an administrator may change an administrator."))
        if not on:
            check_last_administrator(user)
        user.is_active = on
        user.save()
        self.write_down(request, "updated", user, {"before": {"enabled": not on}, "after": {"enabled": on}})


@admin.register(DeletedUser)
class DeletedUserAdmin(TrashAdmin):
    """Users that can be had back, with all mail."""

    audited_type = AuditEntry.EventType.ADMINISTRATIVE
    list_display = ["__str__", "deleted_username", "full_name", "size", "deleted_at", "restorable_until"]
    list_filter = [("domain", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["deleted_username", "deleted_email", "full_name"]
    fields = ["deleted_email", "deleted_username", "full_name", "size", "created_at", "deleted_at", "last_login"]

    @admin.display(description=_("used"), ordering="used_quota")
    def size(self, user: User) -> str:
        """Say how much mail there is."""
        return filesizeformat(user.used_quota)

    @admin.display(description=_("restorable until"), ordering="deleted_at")
    def restorable_until(self, user: User) -> Any:
        """Say when it goes for good."""
        return user.restorable_until

    def restore_one(self, request: HttpRequest, pk: int) -> User:
        """Restore a user; only an administrator restores one who has power."""
        user = trash.find(pk, timezone.now())
        if is_powerful(user) and not _is_administrator(request):
            raise ForbiddenError(gettext("Only an administrator may delete or restore an administrator."))
        trash.restore(user, timezone.now())
        target = {"target": f"user_{user.pk}", "name": str(user), "by": "web admin"}
        detail = changed({}, facts(user))
        record("user_restored", self.audited_type, request=request, metadata={**target, **detail})
        return user


class AliasTargetInline(TabularInline):  # type: ignore[misc] # unfold has no types
    """The addresses that an alias stands for."""

    model = AliasTarget
    extra = 1
    min_num = 1


@admin.register(Alias)
class AliasAdmin(AuditedAdmin):
    """Addresses that stand for others."""

    inlines = [AliasTargetInline]
    list_display = ["address", "target_list", "enabled", "created_at"]
    list_filter = ["enabled", ("domain", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["address", "targets__address"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        """Read the targets with the aliases."""
        return super().get_queryset(request).prefetch_related("targets")  # type: ignore[no-any-return]

    @admin.display(description=_("targets"))
    def target_list(self, alias: Alias) -> str:
        """Name the first targets."""
        targets = [target.address for target in alias.targets.all()]
        return ", ".join(targets[:5]) + (f" … ({len(targets)})" if len(targets) > 5 else "")


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin):
    """API keys. The secret is on the page that follows the making of a key, and nowhere else."""

    audited_type = AuditEntry.EventType.ADMINISTRATIVE
    form = NewApiKeyForm
    list_display = [
        "name",
        "hint",
        "words",
        "bounds",
        "owner",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    search_fields = ["name", "=hint"]
    autocomplete_fields = ["owner"]
    list_select_related = ["owner"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Administrators: whoever makes keys could make themselves an administrator's."""
        return _is_administrator(request)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Say whether keys may be revoked; a key itself never changes."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:  # noqa: ARG002
        """Nobody: a revoked key stays, so that the audit log's ids keep their meaning."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: ARG002
        """Make the secret."""
        key, obj.secret = ApiKey.issue(  # type: ignore[attr-defined]
            obj.name,
            obj.permissions,
            owner=obj.owner,
            expires_at=obj.expires_at,
            allowed_networks=obj.allowed_networks,
            domains=obj.domains,
        )
        obj.pk = key.pk
        bounds = {"allowed_networks": key.allowed_networks, "domains": key.domains}
        self.write_down(request, "created", key, {"permissions": key.permissions, **bounds})

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002
        """Show the secret, once."""
        context = {**self.admin_site.each_context(request), "title": gettext("New API key"), "key": obj}
        # Django's admin has all its pages kept out of caches.
        return TemplateResponse(request, "admin/accounts/apikey/secret.html", context)

    @admin.display(description=_("permissions"))
    def words(self, key: ApiKey) -> str:
        """List what the key may do."""
        return ", ".join(key.permissions)

    @admin.display(description=_("only"))
    def bounds(self, key: ApiKey) -> str:
        """List the networks and domains that the key is bound to."""
        bounds = [*(key.allowed_networks or ()), *map(to_unicode, key.domains or ())]
        return ", ".join(bounds[:5]) + (f" … ({len(bounds)})" if len(bounds) > 5 else "")

    @admin.action(description=_("Revoke"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End the selected keys now and for good."""
        with transaction.atomic():
            keys = list(queryset.filter(revoked_at__isnull=True).select_for_update(of=("self",)))
            ApiKey.objects.filter(pk__in=[key.pk for key in keys]).revoke(timezone.now())
            for key in keys:
                self.write_down(request, "revoked", key, {})
        text = ngettext("%(count)d key revoked.", "%(count)d keys revoked.", len(keys))
        self.message_user(request, text % {"count": len(keys)}, messages.SUCCESS)
