"""Forms of the web administration, with the same rules as the API: limits of domains, and the last administrator."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

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


class NewApiKeyForm(forms.ModelForm):  # type: ignore[type-arg] # no subscript at run time
    """What may be said of a key before it is made."""

    permissions = forms.MultipleChoiceField(
        choices=[(word, word) for word in ApiKey.PERMISSIONS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=["read"],
        label=_("permissions"),
    )

    class Meta:
        model = ApiKey
        fields = ["name", "permissions", "owner", "expires_at"]

    def clean_permissions(self) -> list[Any]:
        """Keep the order of power."""
        return [word for word in ApiKey.PERMISSIONS if word in self.cleaned_data["permissions"]]
