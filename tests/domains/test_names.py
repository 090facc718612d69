"""Domain names: one form, and nothing that is none."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from domains.names import to_ascii, to_unicode, validate_domain


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "-a.example", "a-.example", "a b.example", "a_b.example", "[192.0.2.1]", "a\0b.example",
     "x" * 64 + ".example", ".".join(["abcdefgh"] * 32), "*.example", "exa\u00admple\u3002\u3002com", "\ud800.example"],
)  # fmt: skip
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="no domain name"):
        to_ascii(name)


@pytest.mark.parametrize("name", ["com", "", "a b", "localdomain"])
def test_a_mail_domain_has_two_labels(name):
    with pytest.raises(ValidationError):
        validate_domain(name)


def test_localhost_is_for_trying_things_out():
    validate_domain("localhost")


@given(st.text(max_size=80))
def test_the_form_is_its_own_form_and_comes_back_readable(text):
    try:
        name = to_ascii(text)
    except ValueError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert to_ascii(name) == name
    to_unicode(name)
