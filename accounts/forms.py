"""Forms of the web administration, with the same rules as the API: limits of domains, and the last administrator."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from accounts.groups import check_name
from accounts.key_bounds import check_expiry, domain_names, networks
from accounts.limits import check_limits
from accounts.models import ApiKey, User
from accounts.powers import check_last_administrator


class _WithinLimits(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """Checks what spans rows, once the row itself is right. The caller's transaction holds the locks to the save."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc] # Django's own hook, unknown to the stubs
        if self.errors:
            return
        try:
            check_limits(self.instance)
            if self.instance.pk and not (self.instance.is_superuser and self.instance.is_active):
                check_last_administrator(self.instance)
        except ValidationError as error:
            self.add_error(None, ValidationError(error.messages))
        except PermissionDenied as error:
            self.add_error(None, str(error))


class NewUserForm(_WithinLimits, UserCreationForm):  # type: ignore[misc] # unfold has no types
    """A user with a password."""

    class Meta:
        model = User
        fields = ["username", "email", "full_name", "quota", "is_staff", "is_superuser"]


class ChangeUserForm(_WithinLimits, UserChangeForm):  # type: ignore[misc] # unfold has no types
    """A user; the password has a page of its own."""

    class Meta:
        model = User
        fields = "__all__"  # noqa: DJ007 - the admin says which are shown


class GroupForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """A group; its name follows the API's rules."""

    class Meta:
        model = Group
        fields = ["name", "permissions"]

    def clean_name(self) -> str:
        """Bring the name into its one form; ``admin`` is built in."""
        return check_name(self.cleaned_data["name"], self.instance)


class NewApiKeyForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """What may be said of a key before it is made."""

    permissions = forms.MultipleChoiceField(
        choices=[(word, word) for word in ApiKey.PERMISSIONS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=["read"],
        label=capfirst(_("permissions")),
    )

    allowed_networks = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        required=False,
        label=capfirst(_("networks")),
        help_text=_(
            "Addresses and networks that the key may be used from, separated by commas. Empty: from everywhere."
        ),
    )
    domains = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        required=False,
        label=capfirst(_("domains")),
        help_text=_("Domains that the key reaches, separated by commas. Empty: all, and what belongs to no domain."),
    )

    class Meta:
        model = ApiKey
        fields = ["name", "permissions", "owner", "expires_at", "allowed_networks", "domains"]

    def clean_permissions(self) -> list[Any]:
        """Keep the order of power."""
        return [word for word in ApiKey.PERMISSIONS if word in self.cleaned_data["permissions"]]

    def clean_expires_at(self) -> datetime | None:
        """See that the key ends in the future, and within the days that the server allows."""
        end: datetime | None = self.cleaned_data["expires_at"]
        check_expiry(end, timezone.now())
        return end

    def clean_allowed_networks(self) -> list[str] | None:
        """Bring networks into their one form."""
        return _bound(self.cleaned_data["allowed_networks"], networks)

    def clean_domains(self) -> list[str] | None:
        """Bring domains into their one form."""
        return _bound(self.cleaned_data["domains"], domain_names)


def _bound(text: str, rule: Callable[[Iterable[str]], list[str]]) -> list[str] | None:
    parts = [part for part in text.replace(",", " ").split() if part]
    return rule(parts) if parts else None
