"""Webhooks as the API shows and takes them."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.fields import PrefixedIdField, StrictBooleanField, StrictCharField
from a3mailer_site.api.permissions import domains_of
from a3mailer_site.ids import to_text
from domains.models import Domain
from domains.names import to_ascii, to_unicode
from mailqueue.models import Webhook, WebhookDelivery
from mailqueue.webhooks import check_url, name_of

_MOST_DOMAINS = 1000
EVENTS = [event.value for event in Webhook.Event if event is not Webhook.Event.TEST]


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """A webhook. The secret is in the answer to its making, and to its rotation, and nowhere else."""

    id = PrefixedIdField("webhook_")
    url = StrictCharField(max_length=500, help_text="Where events are sent by POST; `https` only.")
    description = StrictCharField(max_length=200, required=False, allow_blank=True)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EVENTS), allow_empty=False, max_length=len(EVENTS)
    )
    domains = serializers.ListField(
        child=StrictCharField(max_length=253),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=_MOST_DOMAINS,
        help_text="Domains whose mail is told, as sender's or recipient's. `null`: all.",
    )
    enabled = StrictBooleanField(required=False)
    waiting = serializers.SerializerMethodField(help_text="Events that it has not been told yet, counted to 10,000.")
    replaying = serializers.SerializerMethodField(help_text="Whether a replay is under way.")

    class Meta:
        model = Webhook
        fields = [
            "id",
            "url",
            "description",
            "events",
            "domains",
            "enabled",
            "created_at",
            "waiting",
            "last_success_at",
            "failing_since",
            "last_error",
            "next_attempt_at",
            "replaying",
        ]
        read_only_fields = ["created_at", "last_success_at", "failing_since", "last_error"]

    next_attempt_at = serializers.DateTimeField(
        source="not_before", read_only=True, allow_null=True, help_text="Until when it is left alone, while it fails."
    )

    def get_waiting(self, webhook: Webhook) -> int:
        """Return what the view has counted."""
        return int(self.context.get("waiting", {}).get(webhook.pk, 0))

    def get_replaying(self, webhook: Webhook) -> bool:
        """Say whether events of the log are still to be told again."""
        return webhook.replay_after is not None

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        """Show domains in readable form (U-labels)."""
        names = instance.domains
        return {**super().to_representation(instance), "domains": names and [to_unicode(name) for name in names]}

    def validate_url(self, url: str) -> str:
        """One that events may be sent to."""
        try:
            return check_url(url)
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.messages) from error

    def validate_description(self, text: str) -> str:
        """One line that people can read."""
        if not text.isprintable():
            raise serializers.ValidationError(_("This must be at most 200 printable characters."))
        return text

    def validate_events(self, names: list[str]) -> list[str]:
        """Each once, in the order of ``EVENTS``."""
        return [name for name in EVENTS if name in names]

    def validate_domains(self, texts: list[str] | None) -> list[str] | None:
        """Domains of this server; none that the caller's key does not reach."""
        within = domains_of(self.context["request"])
        if texts is None:
            if within is not None:
                raise serializers.ValidationError(_("Your key does not reach all domains: name those of the webhook."))
            return None
        try:
            names = list(dict.fromkeys(to_ascii(text) for text in texts))
        except ValueError as error:
            raise serializers.ValidationError(_("This is not a domain name.")) from error
        here = set(Domain.objects.filter(name__in=names).values_list("name", flat=True))
        for name in names:
            if name not in here or (within is not None and name not in within):
                raise serializers.ValidationError(_("There is no domain %(name)s here.") % {"name": name})
        return names

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What a bounded key makes is bounded as the key is."""
        within = domains_of(self.context["request"])
        if self.instance is None and within is not None:
            attrs.setdefault("domains", sorted(within))
        return attrs


class NewWebhookSerializer(WebhookSerializer):
    """A webhook just made, or with a new secret."""

    secret = serializers.CharField(read_only=True, help_text="Signs what is sent. It is shown this one time.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class WebhookDeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """An event that a webhook has not taken."""

    id = PrefixedIdField("delivery_")
    event = serializers.SerializerMethodField()
    queue_id = serializers.SerializerMethodField(help_text="Of the message. `null` for a test.")
    happened_at = serializers.DateTimeField(source="at")
    next_attempt_at = serializers.SerializerMethodField(help_text="`null` once it was given up.")

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "event",
            "queue_id",
            "happened_at",
            "replayed",
            "attempts",
            "next_attempt_at",
            "last_error",
            "failed_at",
        ]

    def get_event(self, row: WebhookDelivery) -> str:
        """Return its name."""
        return name_of(row.kind, row.detail)

    def get_queue_id(self, row: WebhookDelivery) -> str | None:
        """Return the message's id."""
        return to_text(row.message) if row.message else None

    def get_next_attempt_at(self, row: WebhookDelivery) -> str | None:
        """Return when it is tried again."""
        if row.failed_at is not None:
            return None
        return str(serializers.DateTimeField().to_representation(row.next_attempt_at))


class ReplaySerializer(serializers.Serializer[Any]):
    """A span of time whose events are to be told again."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="`null`: up to now.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The end comes after the beginning."""
        until = attrs.get("until")
        if until is not None and until <= attrs["since"]:
            raise serializers.ValidationError({"until": _("This must be later than since.")})
        return attrs


class ReplayingSerializer(serializers.Serializer[Any]):
    """Whether there is anything to tell again."""

    replaying = serializers.BooleanField()
