"""Fields that take exactly what they say: ``true`` is no number, ``"1"`` is none either, ``1`` is no text.

And ids with a prefix that says what they are of: ``user_12``.
"""

import re
from typing import Any

from django.http import Http404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

# Databases have 63 bits for a number that is not negative.
MAX_INTEGER = 2**63 - 1
_DIGITS = re.compile(r"[1-9][0-9]{0,17}")


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction, from 0 to 2^63-1 unless said otherwise; with ``null_is_zero`` also null."""

    def __init__(self, *, null_is_zero: bool = False, **kwargs: Any) -> None:
        self._null_is_zero = null_is_zero
        kwargs.setdefault("min_value", 0)
        kwargs.setdefault("max_value", MAX_INTEGER)
        kwargs.setdefault("allow_null", null_is_zero)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Take a number; ``True`` and ``1.0`` and ``"1"`` are none."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Read ``null`` as 0 where that is what it means."""
        value = super().run_validation(data)
        return 0 if value is None and self._null_is_zero else value


class StrictBooleanField(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        """Take a JSON boolean and nothing that looks like one."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictCharField(serializers.CharField):
    """A JSON string; numbers are not turned into one."""

    def to_internal_value(self, data: Any) -> str:
        """Take a string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


@extend_schema_field({"type": "string", "readOnly": True})
class PrefixedIdField(serializers.Field[Any, Any, str, Any]):
    """An opaque id such as ``user_12``, read from ``source`` (default: the primary key)."""

    default_error_messages = {"invalid": _("This is not an id.")}

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.setdefault("source", "pk")
        kwargs["read_only"] = True
        super().__init__(**kwargs)

    def to_representation(self, value: Any) -> str:
        """Put the prefix before the number."""
        return f"{self.prefix}{value}"


def number_of(text: str, prefix: str) -> int:
    """Return the number in an id from a path; raises ``Http404`` for everything that is no id of ours."""
    digits = text.removeprefix(prefix)
    if digits == text or not _DIGITS.fullmatch(digits):
        raise Http404
    return int(digits)
