"""Aliases as the API shows and takes them."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.errors import from_django
from a3mailer_site.api.fields import PrefixedIdField, StrictBooleanField, StrictCharField
from a3mailer_site.api.permissions import domains_of
from accounts.addresses import normalize
from accounts.models import Alias, AliasTarget
from accounts.powers import ForbiddenError
from domains.names import to_ascii

# Whoever writes to more people at once wants a list server.
MOST_TARGETS = 500


class TargetsField(serializers.ListField):
    """The addresses that an alias stands for, here or elsewhere."""

    def get_attribute(self, instance: Alias) -> list[str]:
        """Read the rows, in the order of the alphabet."""
        return sorted(target.address for target in instance.targets.all())

    def to_internal_value(self, data: Any) -> list[str]:
        """Bring each address into its one form; the same one twice is once."""
        texts = super().to_internal_value(data)
        try:
            return list(dict.fromkeys(normalize(text) for text in texts))
        except ValueError as error:
            raise serializers.ValidationError(_("This is not a mail address.")) from error


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """An address that stands for others. What is left out of a change stays as it is."""

    id = PrefixedIdField("alias_")
    address = StrictCharField(max_length=320, help_text="`@example.com` takes what nothing else of the domain takes.")
    targets = TargetsField(child=StrictCharField(max_length=320), allow_empty=False, max_length=MOST_TARGETS)
    enabled = StrictBooleanField(required=False)

    class Meta:
        model = Alias
        fields = ["id", "address", "targets", "enabled", "created_at"]
        read_only_fields = ["created_at"]

    def create(self, validated_data: dict[str, Any]) -> Alias:
        """Make an alias."""
        return self._save(Alias(), validated_data)

    def update(self, instance: Alias, validated_data: dict[str, Any]) -> Alias:
        """Change an alias; the targets that are given take the place of all that were there."""
        return self._save(instance, validated_data)

    def _save(self, alias: Alias, given: dict[str, Any]) -> Alias:
        targets = given.pop("targets", None)
        for name, value in given.items():
            setattr(alias, name, value)
        # First of all: what is there beyond its domains is not for a key to learn.
        self._check_reach(alias.address)
        with transaction.atomic():
            try:
                alias.full_clean()
            except DjangoValidationError as error:
                raise from_django(error) from error
            if targets is not None:
                _check_targets(alias, targets)
            alias.save()
            if targets is not None:
                _set_targets(alias, targets)
        return alias

    def _check_reach(self, address: str) -> None:
        within = domains_of(self.context["request"])
        try:
            name = to_ascii(address.rpartition("@")[2])
        except ValueError:
            return  # no address at all: full_clean has the words for it
        if within is not None and name not in within:
            raise ForbiddenError(_("This key does not reach that domain."))


def _check_targets(alias: Alias, targets: list[str]) -> None:
    # Longer circles do no harm: the resolver follows each alias once, and refuses mail that has nowhere else to go.
    if alias.address in targets:
        raise serializers.ValidationError({"targets": _("An alias cannot stand for itself.")})


def _set_targets(alias: Alias, wanted: list[str]) -> None:
    there = set(alias.targets.values_list("address", flat=True))
    alias.targets.exclude(address__in=wanted).delete()
    AliasTarget.objects.bulk_create(AliasTarget(alias=alias, address=one) for one in wanted if one not in there)
    # The rows that a view has read beforehand are old now.
    getattr(alias, "_prefetched_objects_cache", {}).pop("targets", None)


def facts(alias: Alias) -> Mapping[str, Any]:
    """Return what the audit log keeps of an alias."""
    targets = sorted(target.address for target in alias.targets.all())
    return {"address": alias.address, "enabled": alias.enabled, "targets": targets}
