"""Blocks, the allow-list, the audit log and the rate limits as the API shows and takes them."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from a3mailer_site.api.fields import PrefixedIdField, StrictBooleanField, StrictCharField, StrictIntegerField
from a3mailer_site.env import Network
from security.blocking import LONGEST_DURATION
from security.descriptions import describe
from security.models import AllowedNetwork, AuditEntry, BlockedAddress
from security.networks import parse_network, written


@extend_schema_field({"type": "string", "maxLength": 49})
class NetworkField(serializers.Field[Network, Any, str, Any]):
    """An IPv4 or IPv6 address, or a network in CIDR notation."""

    default_error_messages = {"invalid": gettext_lazy("This is neither an IP address nor a network.")}

    def to_internal_value(self, data: Any) -> Network:
        """Parse it."""
        try:
            return parse_network(data if isinstance(data, str) else "")
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: Network) -> str:
        """Write it in its one form."""
        return written(value)


class ReasonField(StrictCharField):
    """Why, in one line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, required=False, allow_blank=True, default="", **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Take a text that cannot forge a line of a log."""
        text = super().to_internal_value(data)
        if not text.isprintable():
            raise serializers.ValidationError(_("This must be printable text."))
        return text


class BlockSerializer(serializers.Serializer[Any]):
    """What is to be blocked, and for how long."""

    ip_address = NetworkField()
    reason = ReasonField()
    duration = StrictIntegerField(required=False, min_value=1, max_value=LONGEST_DURATION, null_is_zero=True)
    permanent = StrictBooleanField(default=False)
    force = StrictBooleanField(default=False, help_text="Block the caller's own address too.")


class BlockedAddressSerializer(serializers.ModelSerializer[BlockedAddress]):
    """A block in force. ``hits`` are connections and requests refused because of it."""

    ip_address = serializers.CharField(source="network")
    permanent = serializers.SerializerMethodField()

    class Meta:
        model = BlockedAddress
        fields = ["ip_address", "reason", "source", "blocked_at", "expires_at", "permanent", "hits", "last_seen"]

    def get_permanent(self, row: BlockedAddress) -> bool:
        """Say whether it has no end."""
        return row.expires_at is None


class AllowSerializer(serializers.Serializer[Any]):
    """What is never to be blocked."""

    ip_address = NetworkField()
    reason = ReasonField()


class AllowedNetworkSerializer(serializers.ModelSerializer[AllowedNetwork]):
    """An entry of the allow-list."""

    ip_address = serializers.CharField(source="network")

    class Meta:
        model = AllowedNetwork
        fields = ["ip_address", "reason", "added_at"]


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """An entry of the audit log. ``sealed``: it is in the hash chain, as number ``seq``."""

    id = PrefixedIdField("audit_")
    timestamp = serializers.DateTimeField(source="at")
    source_ip = serializers.IPAddressField(allow_null=True)
    user_id = serializers.SerializerMethodField()
    description = serializers.SerializerMethodField()
    metadata = serializers.DictField()
    sealed = serializers.SerializerMethodField()

    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "timestamp",
            "event_type",
            "severity",
            "outcome",
            "source_ip",
            "user_id",
            "action",
            "description",
            "metadata",
            "sealed",
            "seq",
            "request_id",
        ]

    def get_user_id(self, entry: AuditEntry) -> str | None:
        """Return whose act it was; ``None`` where nobody is known."""
        return entry.user_id or None

    def get_description(self, entry: AuditEntry) -> str:
        """Say in the caller's language what happened."""
        return describe(entry.action, entry.metadata)

    def get_sealed(self, entry: AuditEntry) -> bool:
        """Say whether the entry is in the hash chain yet."""
        return entry.seq is not None
