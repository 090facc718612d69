"""Domains as the API shows and takes them."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.errors import ConflictError, from_django
from a3mailer_site.api.fields import PrefixedIdField, StrictBooleanField, StrictCharField, StrictIntegerField
from domains.models import Domain
from domains.names import to_ascii, to_unicode, validate_domain

# Largest value of a PositiveIntegerField on every database.
_MAX_USERS = _MOST = 2**31 - 1
_LIMIT = "Of all users together. Mail to more recipients elsewhere is held. 0: no limit."


class DomainSerializer(serializers.ModelSerializer[Domain]):
    """A domain, with what its users take together. What is left out of a change stays as it is."""

    id = PrefixedIdField("domain_")
    domain = StrictCharField(source="name", max_length=253)
    enabled = StrictBooleanField(required=False)
    max_users = StrictIntegerField(required=False, max_value=_MAX_USERS, null_is_zero=True)
    max_quota = StrictIntegerField(required=False, null_is_zero=True)
    send_limit_hour = StrictIntegerField(required=False, max_value=_MOST, null_is_zero=True, help_text=_LIMIT)
    send_limit_day = StrictIntegerField(required=False, max_value=_MOST, null_is_zero=True, help_text=_LIMIT)
    user_count = serializers.IntegerField(read_only=True)
    used_quota = serializers.IntegerField(read_only=True)

    class Meta:
        model = Domain
        fields = [
            "id",
            "domain",
            "enabled",
            "max_users",
            "max_quota",
            "send_limit_hour",
            "send_limit_day",
            "user_count",
            "used_quota",
            "created_at",
        ]
        read_only_fields = ["created_at"]

    def to_representation(self, instance: Domain) -> dict[str, Any]:
        """Show the name in readable form (U-labels)."""
        return {**super().to_representation(instance), "domain": to_unicode(instance.deleted_name or instance.name)}

    def validate_domain(self, name: str) -> str:
        """Bring the name into its one form."""
        try:
            validate_domain(name)
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.messages) from error
        return to_ascii(name)

    def create(self, validated_data: dict[str, Any]) -> Domain:
        """Make a domain; one that is there already is a conflict."""
        if Domain.objects.filter(name=validated_data["name"]).exists():
            raise ConflictError(_("The domain %(name)s is here already.") % {"name": validated_data["name"]})
        return self._save(Domain(), validated_data)

    def update(self, instance: Domain, validated_data: dict[str, Any]) -> Domain:
        """Change limits; the name is what addresses are made of and stays."""
        if validated_data.get("name", instance.name) != instance.name:
            raise serializers.ValidationError({"domain": _("A domain cannot be renamed.")})
        return self._save(instance, validated_data)

    def _save(self, domain: Domain, given: dict[str, Any]) -> Domain:
        for name, value in given.items():
            setattr(domain, name, value)
        try:
            domain.full_clean()
        except DjangoValidationError as error:
            raise from_django(error, {"name": "domain"}) from error
        domain.save()
        return domain


class DeletedDomainSerializer(DomainSerializer):
    """A domain in the trash. Its name may be another one's by now."""

    # Only in the trash, hence not required; nobody sends them.
    deleted_at = serializers.DateTimeField(required=False)
    restorable_until = serializers.DateTimeField(required=False)

    class Meta(DomainSerializer.Meta):
        fields = [*DomainSerializer.Meta.fields, "deleted_at", "restorable_until"]
