"""API keys as the API shows and takes them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.fields import PrefixedIdField, StrictCharField
from a3mailer_site.api.permissions import domains_of, granted
from accounts import key_bounds
from accounts.models import ApiKey
from domains.names import to_unicode

T = TypeVar("T")


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key. The secret is in the answer to its making, and nowhere else ever."""

    key_id = PrefixedIdField("key_")
    name = StrictCharField(max_length=100)
    permissions = serializers.ListField(
        child=serializers.ChoiceField(choices=ApiKey.PERMISSIONS),
        allow_empty=False,
        max_length=len(ApiKey.PERMISSIONS),
        help_text="`admin` brings `write` with it, and `write` brings `read`.",
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="`null`: never, where the server allows that."
    )
    allowed_networks = serializers.ListField(
        child=StrictCharField(max_length=60),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=key_bounds.MOST_NETWORKS,
        help_text="Addresses and networks that the key may be used from. `null`: from everywhere.",
    )
    domains = serializers.ListField(
        child=StrictCharField(max_length=253),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=key_bounds.MOST_DOMAINS,
        help_text="Domains that the key reaches; what is not about one of them is closed to it. `null`: all.",
    )

    class Meta:
        model = ApiKey
        fields = [
            "key_id",
            "name",
            "permissions",
            "created_at",
            "expires_at",
            "last_used_at",
            "allowed_networks",
            "domains",
        ]
        read_only_fields = ["created_at", "last_used_at"]

    def to_representation(self, instance: ApiKey) -> dict[str, Any]:
        """Show domains in readable form (U-labels)."""
        names = instance.domains
        shown = None if names is None else [to_unicode(name) for name in names]
        return {**super().to_representation(instance), "domains": shown}

    def validate_name(self, name: str) -> str:
        """A name is one line that people can read."""
        if not name.isprintable():
            raise serializers.ValidationError(_("This must be at most 100 printable characters."))
        return name

    def validate_permissions(self, words: list[str]) -> list[str]:
        """Each word once, in the order of their power; no more than the caller has."""
        if not set(words) <= granted(self.context["request"]):
            raise serializers.ValidationError(_("A key cannot have permissions that its maker lacks."))
        return [word for word in ApiKey.PERMISSIONS if word in words]

    def validate_expires_at(self, end: datetime | None) -> datetime | None:
        """A key ends in the future, and within the days that the server allows."""
        _checked(key_bounds.check_expiry, end, timezone.now())
        return end

    def validate_allowed_networks(self, texts: list[str] | None) -> list[str] | None:
        """Networks in canonical form; none that the caller's own key cannot be used from."""
        found = None if texts is None else _checked(key_bounds.networks, texts)
        _checked(key_bounds.check_networks_within, found, self._makers_networks)
        return found

    def validate_domains(self, texts: list[str] | None) -> list[str] | None:
        """Domains of this server as A-labels; none beyond those of the caller's own key."""
        found = None if texts is None else _checked(key_bounds.domain_names, texts)
        _checked(key_bounds.check_domains_within, found, domains_of(self.context["request"]))
        return found

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What is left out is as it is with the caller's own key: nobody makes a wider one by saying nothing."""
        within = domains_of(self.context["request"])
        attrs.setdefault("allowed_networks", self._makers_networks)
        attrs.setdefault("domains", None if within is None else sorted(within))
        return attrs

    @property
    def _makers_networks(self) -> list[str] | None:
        return getattr(self.context["request"].auth, "allowed_networks", None)


class NewApiKeySerializer(ApiKeySerializer):
    """A key just made, with its secret."""

    api_key = serializers.CharField(read_only=True, help_text="The secret. It is shown this one time.")

    class Meta(ApiKeySerializer.Meta):
        fields = ["key_id", "api_key", "name", "permissions", "created_at", "expires_at", "allowed_networks", "domains"]
        read_only_fields = ["created_at"]


def _checked(rule: Callable[..., T], *args: Any) -> T:
    try:
        return rule(*args)
    except DjangoValidationError as error:
        raise serializers.ValidationError(error.messages) from error


def facts(key: ApiKey) -> Mapping[str, Any]:
    """Return what the audit log keeps of a key."""
    return {
        "name": key.name,
        "permissions": key.permissions,
        "allowed_networks": key.allowed_networks,
        "domains": key.domains,
        "expires_at": key.expires_at and key.expires_at.isoformat(),
    }
