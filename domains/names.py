"""Domain names: one canonical form (lower-case A-labels) and one check."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# RFC 1123 section 2.1: letters, digits and hyphens, not at the ends; RFC 1035 section 2.3.4: 63 octets a label.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def to_ascii(name: str) -> str:
    """Return the name as lower-case A-labels without a trailing dot; raises ``ValueError`` for what is no name."""
    text = name.strip().rstrip(".").lower()
    if not text.isascii():
        # The codec implements IDNA 2003; its results differ from UTS 46 only for ß, ς and the joiners.
        try:
            text = text.encode("idna").decode("ascii").lower()
        except UnicodeError as error:
            raise ValueError(f"{name!r} is no domain name: {error}") from error
    if len(text) > 253 or not text or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(f"{name!r} is no domain name")
    return text


def to_unicode(name: str) -> str:
    """Return an A-label name in readable form (U-labels); what cannot be decoded stays as it is."""
    try:
        return name.encode("ascii").decode("idna")
    except UnicodeError:
        return name


def validate_domain(name: str) -> None:
    """Raise ``ValidationError`` when ``name`` cannot be a mail domain."""
    try:
        ascii_name = to_ascii(name)
    except ValueError as error:
        raise ValidationError(_("%(name)s is not a domain name."), params={"name": name}) from error
    if "." not in ascii_name and ascii_name != "localhost":
        raise ValidationError(_("%(name)s has only one label; a mail domain has at least two."), params={"name": name})
