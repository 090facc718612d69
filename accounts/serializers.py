"""Users as the API shows and takes them."""

import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from a3mailer_site.api.errors import from_django
from a3mailer_site.api.etags import etag_of
from a3mailer_site.api.fields import PrefixedIdField, StrictBooleanField, StrictCharField, StrictIntegerField
from a3mailer_site.api.permissions import domains_of, granted
from accounts.addresses import fold, normalize
from accounts.groups import check_new
from accounts.limits import save_within_limits
from accounts.models import User
from accounts.passwords import MAX_PASSWORD
from accounts.powers import (
    ADMIN_GROUP,
    ForbiddenError,
    check_groups,
    check_last_administrator,
    group_names,
    is_powerful,
    set_groups,
)

# The API's names of a user's fields, where the model has others.
NAMES = {"is_active": "enabled", "domain": "email"}


class GroupsField(serializers.ListField):
    """Names of groups, ``admin`` among them for administrators."""

    def get_attribute(self, instance: User) -> list[str]:
        """Read the names from the memberships and the flag."""
        return group_names(instance)

    def to_internal_value(self, data: Any) -> list[str]:
        """Bring names into one form."""
        names = {unicodedata.normalize("NFC", name.strip()) for name in super().to_internal_value(data)}
        return sorted({ADMIN_GROUP if fold(name) == ADMIN_GROUP else name for name in names})


_MOST = 2**31 - 1
_LIMIT = "Mail to more recipients elsewhere is held. 0: no limit; `null`: as set for the server."


class UserSerializer(serializers.ModelSerializer[User]):
    """A user. What is left out of a change stays as it is, whatever the method."""

    id = PrefixedIdField("user_")
    username = StrictCharField(max_length=254)
    email = StrictCharField(max_length=320)
    password = StrictCharField(write_only=True, max_length=MAX_PASSWORD, trim_whitespace=False)
    quota = StrictIntegerField(required=False)
    used_quota = serializers.IntegerField(read_only=True)
    undo_seconds = StrictIntegerField(
        required=False, max_value=600, help_text="What the user sends waits so long, and can be taken back meanwhile."
    )
    send_limit_hour = StrictIntegerField(required=False, allow_null=True, max_value=_MOST, help_text=_LIMIT)
    send_limit_day = StrictIntegerField(required=False, allow_null=True, max_value=_MOST, help_text=_LIMIT)
    enabled = StrictBooleanField(source="is_active", required=False)
    groups = GroupsField(child=StrictCharField(max_length=150), required=False, max_length=50)

    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "password",
            "quota",
            "used_quota",
            "undo_seconds",
            "send_limit_hour",
            "send_limit_day",
            "enabled",
            "groups",
            "created_at",
            "last_login",
        ]
        read_only_fields = ["created_at", "last_login"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hash the password here, before any transaction: it takes 20 ms, and others would wait for them."""
        if "password" in attrs:
            given = {"username": attrs.get("username"), "email": attrs.get("email")}
            known = {name: value or getattr(self.instance, name, "") for name, value in given.items()}
            try:
                validate_password(attrs["password"], User(**known))
            except DjangoValidationError as error:
                raise serializers.ValidationError({"password": error.messages}) from error
            # A list of users has its passwords hashed elsewhere, several at once.
            if self.context.get("hashes", True):
                attrs["password"] = make_password(attrs["password"])
        return attrs

    def create(self, validated_data: dict[str, Any]) -> User:
        """Make a user."""
        return self._save(User(), validated_data)

    def update(self, instance: User, validated_data: dict[str, Any]) -> User:
        """Change a user."""
        return self._save(instance, validated_data)

    def _save(self, user: User, given: dict[str, Any]) -> User:
        """Save within the rules; for a change ``user`` is locked (``powers.locked``) by the caller's transaction."""
        groups = given.pop("groups", None)
        with transaction.atomic():
            self.set_fields(user, given, groups)
            try:
                save_within_limits(user)
            except DjangoValidationError as error:
                raise from_django(error, NAMES) from error
            if groups is not None:
                set_groups(user, groups)
            prefetch_related_objects([user], "groups")  # read once for the log, the ETag and the answer
        return user

    def set_fields(self, user: User, given: Mapping[str, Any], groups: list[str] | None) -> None:
        """Give a user these fields if the caller may; raises ``ForbiddenError``."""
        request = self.context["request"]
        by_admin = is_administrator(request)
        check_domain(given.get("email"), domains_of(request))
        # A name of the form of an address keeps that address from everybody else, and tells whether it is taken.
        check_domain(given.get("username"), domains_of(request))
        if groups is not None:
            check_groups(group_names(user), groups, by_admin=by_admin)
            try:
                check_new(groups)
            except DjangoValidationError as error:
                raise from_django(DjangoValidationError({"groups": error})) from error
        if user.pk and is_powerful(user) and not by_admin:
            raise ForbiddenError(_("Only an administrator may change an administrator."))
        if user.is_superuser and (
            given.get("is_active") is False or (groups is not None and ADMIN_GROUP not in groups)
        ):
            check_last_administrator(user)
        for name, value in given.items():
            setattr(user, name, value)
        if groups is not None and (ADMIN_GROUP in groups) != user.is_superuser:
            user.is_superuser = user.is_staff = ADMIN_GROUP in groups


class DeletedUserSerializer(UserSerializer):
    """A user in the trash. The names may be somebody else's by now."""

    # Only in the trash, hence not required; nobody sends them.
    deleted_at = serializers.DateTimeField(required=False)
    restorable_until = serializers.DateTimeField(required=False)

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "deleted_at", "restorable_until"]


def is_administrator(request: Request) -> bool:
    """Say whether the caller may touch who has power. A key for some domains may not: power is not bound to any."""
    return "admin" in granted(request) and domains_of(request) is None


def check_domain(address: str | None, within: frozenset[str] | None) -> None:
    """Raise ``ForbiddenError`` when a caller who is restricted to some domains gives an address elsewhere."""
    if address is None or within is None:
        return
    with suppress(ValueError):  # what is no address is refused in its own words
        if normalize(address.strip()).rpartition("@")[2] not in within:
            raise ForbiddenError(_("This key is for some domains only, and the address is in none of them."))


def facts(user: User) -> Mapping[str, Any]:
    """Return what the audit log keeps of a user; ``password`` says only whether it is another one."""
    return {
        "username": user.username,
        "email": user.email,
        "quota": user.quota,
        "undo_seconds": user.undo_seconds,
        "send_limit_hour": user.send_limit_hour,
        "send_limit_day": user.send_limit_day,
        "enabled": user.is_active,
        "groups": group_names(user),
    }


def user_etag(user: User) -> str:
    """Return the ETag of a user: of the id and everything that a caller can change, the password too."""
    return etag_of({"id": user.pk, **facts(user), "password": user.password})
