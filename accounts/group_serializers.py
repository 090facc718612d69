"""Groups as the API shows and takes them."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from a3mailer_site.api.errors import from_django
from a3mailer_site.api.fields import PrefixedIdField, StrictCharField
from accounts.groups import MOST_SIGNS, check_name


class GroupSerializer(serializers.ModelSerializer[Group]):
    """A group. Who is in it stands with each user, as ``groups``."""

    id = PrefixedIdField("group_")
    name = StrictCharField(max_length=MOST_SIGNS)
    members = serializers.SerializerMethodField(help_text="How many users are in it.")
    built_in = serializers.SerializerMethodField(help_text="Whether it always is, under this name.")
    created_at = serializers.SerializerMethodField(help_text="`null` for the one that was always there.")

    class Meta:
        model = Group
        fields = ["id", "name", "members", "built_in", "created_at"]

    def get_members(self, group: Any) -> int:
        """Return what the query counted; a group just made has nobody in it."""
        return int(getattr(group, "members", 0))

    def get_built_in(self, group: Any) -> bool:
        """Say whether it is no row."""
        return bool(getattr(group, "built_in", False))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_created_at(self, group: Any) -> str | None:
        """Return what the query found; of a group just made, what was written down with it."""
        at = group.created_at if hasattr(group, "created_at") else group.birth.created_at
        return at and serializers.DateTimeField().to_representation(at)

    def create(self, validated_data: dict[str, Any]) -> Group:
        """Make a group that carries nothing."""
        return self._save(Group(), validated_data)

    def update(self, instance: Group, validated_data: dict[str, Any]) -> Group:
        """Rename a group."""
        return self._save(instance, validated_data)

    def _save(self, group: Group, given: dict[str, Any]) -> Group:
        with transaction.atomic():
            try:
                if "name" in given:
                    group.name = check_name(given["name"], group)
            except DjangoValidationError as error:
                raise from_django(DjangoValidationError({"name": error})) from error
            group.save()
        return group
