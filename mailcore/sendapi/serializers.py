"""What a program hands in to be sent, and what it is told."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.fields import StrictCharField
from mailcore.sendapi.letter import OPEN_FIELDS, Attachment, bare

MOST_RECIPIENTS = 1000
_MOST_ATTACHMENTS = 100


class Base64Field(serializers.CharField):
    """Bytes in Base64."""

    def to_internal_value(self, data: Any) -> Any:
        """Decode; blanks and line ends are passed over."""
        try:
            return base64.b64decode("".join(str(super().to_internal_value(data)).split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise serializers.ValidationError(_("This is not Base64.")) from error


class AddressField(StrictCharField):
    """An address, with or without a name before it."""

    def to_internal_value(self, data: Any) -> str:
        """Take exactly one address."""
        text = super().to_internal_value(data)
        try:
            bare(text)
        except ValueError as error:
            raise serializers.ValidationError(_("This is not an address.")) from error
        return text


class AttachmentSerializer(serializers.Serializer[Any]):
    """A file that goes along."""

    filename = StrictCharField(max_length=255)
    content = Base64Field(help_text="In Base64.", allow_blank=True)
    content_type = serializers.RegexField(
        r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,100}$",
        required=False,
        help_text="Left out, it is guessed from the name.",
    )
    content_id = serializers.RegexField(
        r"^[A-Za-z0-9._@+-]{1,200}$", required=False, help_text="For a picture that the HTML shows as `cid:…`."
    )

    def validate_filename(self, name: str) -> str:
        """One line."""
        if not name.isprintable():
            raise serializers.ValidationError(_("This must be printable."))
        return name


def _addresses(text: str = "", **options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=AddressField(max_length=400), required=False, max_length=MOST_RECIPIENTS, help_text=text, **options
    )


class SendSerializer(serializers.Serializer[Any]):
    """A message in its parts, or a whole one as ``raw``."""

    to = _addresses()
    cc = _addresses()
    bcc = _addresses("They get it, and it does not say so.")
    reply_to = _addresses()
    subject = StrictCharField(required=False, allow_blank=True, max_length=900, trim_whitespace=False)
    text = StrictCharField(required=False, allow_blank=True, trim_whitespace=False)
    html = StrictCharField(required=False, allow_blank=True, trim_whitespace=False)
    attachments = serializers.ListField(child=AttachmentSerializer(), required=False, max_length=_MOST_ATTACHMENTS)
    headers = serializers.DictField(
        child=StrictCharField(max_length=900), required=False, help_text="Further fields: `X-…`, `List-…` and the like."
    )
    raw = Base64Field(required=False, help_text="A whole message (RFC 5322) in Base64, instead of its parts.")
    send_at = serializers.DateTimeField(required=False, help_text="Not before this time.")

    def get_fields(self) -> dict[str, Any]:
        """Add ``from``, which is no name in Python."""
        return {"from": AddressField(max_length=400), **super().get_fields()}

    def validate_subject(self, text: str) -> str:
        """One line."""
        if not text.isprintable():
            raise serializers.ValidationError(_("This must be printable."))
        return text

    def validate_headers(self, fields: dict[str, str]) -> dict[str, str]:
        """Only those that nobody else is responsible for, and each in one line."""
        for name, value in fields.items():
            known = name.lower()
            if not (known in OPEN_FIELDS or known.startswith("x-")) or not all(
                "!" <= sign <= "~" and sign != ":" for sign in name
            ):
                raise serializers.ValidationError(_("The field %(name)s cannot be set here.") % {"name": name[:60]})
            if not value.isprintable():
                raise serializers.ValidationError(_("This must be printable."))
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Somebody must get it, and it is either whole or in parts."""
        recipients = [*attrs.get("to", ()), *attrs.get("cc", ()), *attrs.get("bcc", ())]
        if not recipients:
            raise serializers.ValidationError({"to": _("Somebody has to get it.")})
        if len(recipients) > MOST_RECIPIENTS:
            raise serializers.ValidationError({"to": _("There are more than %(most)s.") % {"most": MOST_RECIPIENTS}})
        if "raw" in attrs:
            for name in ("reply_to", "subject", "text", "html", "attachments", "headers"):
                if name in attrs:
                    raise serializers.ValidationError({name: _("This is in the message already.")})
        return attrs

    def attachments_of(self) -> list[Attachment]:
        """Return the attachments as a letter has them."""
        return [Attachment(**each) for each in self.validated_data.get("attachments", ())]

    def hold_until(self) -> int:
        """Return the Unix time before which nobody gets it; 0: at once."""
        at: datetime | None = self.validated_data.get("send_at")
        return int(at.astimezone(UTC).timestamp()) if at else 0


class SentSerializer(serializers.Serializer[Any]):
    """What was taken: it is on disk, in mailboxes and in the queue."""

    id = serializers.CharField(help_text="The queue id, as in logs and replies.")
    recipients = serializers.ListField(child=serializers.CharField())
    send_at = serializers.DateTimeField(allow_null=True)
    events = serializers.CharField(help_text="Where the story of the message is told.")
    page = serializers.CharField(help_text="The same for people, in the web administration.")
