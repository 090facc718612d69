"""SASL exchanges without a protocol around them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.sasl.mechanisms import (
    MECHANISMS,
    RESPONSE_LIMIT,
    BadResponseError,
    CancelledError,
    Credentials,
    ForeignIdentityError,
    SaslError,
    begin,
)


def exchange(mechanism: str, initial: bytes | None, *lines: bytes) -> tuple[list[bytes], Credentials | None]:
    """Return the challenges, and the credentials if it came so far."""
    steps = begin(mechanism, initial)
    assert steps is not None
    challenges = []
    try:
        challenges.append(next(steps))
        for line in lines:
            challenges.append(steps.send(line))  # noqa: PERF401
    except StopIteration as stop:
        return challenges, stop.value
    return challenges, None


@pytest.mark.parametrize("name", ["CRAM-MD5", "", "PLAIN\0", "EXTERNAL"])
def test_a_mechanism_that_we_do_not_have_is_none(name):
    assert begin(name, None) is None


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


@pytest.mark.parametrize(
    ("mechanism", "initial", "lines", "error"),
    [
        ("PLAIN", b"*", [], CancelledError),
        ("PLAIN", None, [b"*"], CancelledError),
        ("LOGIN", None, [b64(b"bob"), b"*"], CancelledError),
        ("PLAIN", b"!!!!", [], BadResponseError),
        ("PLAIN", b"AGJvYgBz ZWNyZXQ=", [], BadResponseError),
        ("PLAIN", b"AGJvYgBzZWNyZXQ", [], BadResponseError),
        ("PLAIN", b"=", [], BadResponseError),
        ("PLAIN", b"", [], BadResponseError),
        ("PLAIN", b64(b"bob\0secret"), [], BadResponseError),
        ("PLAIN", b64(b"\0bob\0secret\0"), [], BadResponseError),
        ("PLAIN", b64(b"\0\0secret"), [], BadResponseError),
        ("PLAIN", b64(b"\0bob\0\xff"), [], BadResponseError),
        ("PLAIN", b64(b"\0bob\0" + b"x" * RESPONSE_LIMIT), [], BadResponseError),
        ("PLAIN", b64(b"root\0bob\0secret"), [], ForeignIdentityError),
        ("LOGIN", None, [b64(b"b\0ob"), b64(b"secret")], BadResponseError),
        ("LOGIN", None, [b"=", b64(b"secret")], BadResponseError),
        ("LOGIN", b"=", [b64(b"secret")], BadResponseError),
    ],
)
def test_a_wrong_response_ends_the_exchange(mechanism, initial, lines, error):
    with pytest.raises(error):
        exchange(mechanism, initial, *lines)


@pytest.mark.parametrize(
    ("mechanism", "initial", "lines", "challenges"),
    [
        ("PLAIN", b64(b"\0bob\0secret"), [], []),
        ("plain", b64(b"bob\0bob\0secret"), [], []),
        ("PLAIN", None, [b64(b"\0bob\0secret")], [b""]),
        ("LOGIN", None, [b64(b"bob"), b64(b"secret")], [b64(b"Username:"), b64(b"Password:")]),
        ("LOGIN", b64(b"bob"), [b64(b"secret")], [b64(b"Password:")]),
    ],
)
def test_credentials_come_out(mechanism, initial, lines, challenges):
    assert exchange(mechanism, initial, *lines) == (challenges, Credentials("bob", "secret", mechanism.upper()))


def test_a_password_is_never_shown():
    assert "secret" not in repr(Credentials("bob", "secret", "PLAIN"))


@given(st.sampled_from(MECHANISMS), st.none() | st.binary(max_size=20), st.lists(st.binary(max_size=20), max_size=3))
def test_whatever_comes_only_sasl_errors_are_raised(mechanism, initial, lines):
    try:
        exchange(mechanism, initial, *lines)
    except SaslError:
        return


@given(st.text(min_size=1), st.text())
def test_plain_carries_any_text_but_nul(login, password):
    response = b64(f"\0{login}\0{password}".encode("utf-8", "surrogatepass"))
    valid = "\0" not in login + password and not any("\ud800" <= letter <= "\udfff" for letter in login + password)
    if valid and len(response) <= RESPONSE_LIMIT:
        assert exchange("PLAIN", response)[1] == Credentials(login, password, "PLAIN")
