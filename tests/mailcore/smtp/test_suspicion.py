"""What looks suspicious about a host and what does not; both sides of each fact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.smtp.suspicion import POINTS, UNKNOWN, Ours, Reverse, is_dynamic, is_ours, is_qualified, judge

OURS = Ours("mx.example.com", {"192.0.2.25", "2001:db8::25"}, {"example.com": "off"})
HONEST = Reverse(known=True, names=("mail.example.net",), confirmed="mail.example.net")


@pytest.mark.parametrize(
    "helo",
    ["mail.example.net", "MAIL.Example.NET", "mail.example.net.", "a.b", "x_1.example.net", "m-1.xn--bcher-kva.example",
     "[192.0.2.1]", "[IPv6:2001:db8::1]", "[ipv6:2001:DB8::1]"],
)  # fmt: skip
def test_full_names_and_literals_are_as_the_rfc_wants_them(helo):
    assert is_qualified(helo)


@pytest.mark.parametrize(
    "helo",
    ["localhost", "WIN-ABC123", "user", "192.0.2.1", "2001:db8::1", "[192.0.2.1", "[x]", "[]", "a..b", ".a.b", "a.b..",
     "-a.b", "a.-b", "a b.c", "a.1", "", "x" * 300 + ".example"],
)  # fmt: skip
def test_everything_else_is_not(helo):
    assert not is_qualified(helo)


@pytest.mark.parametrize(
    ("helo", "ours"),
    [
        ("mx.example.com", True),
        ("MX.EXAMPLE.COM.", True),
        ("example.com", True),
        ("[192.0.2.25]", True),
        ("192.0.2.25", True),
        ("[IPv6:2001:db8:0::25]", True),
        ("[IPv6:::ffff:192.0.2.25]", True),
        ("mail.example.com", False),
        ("example.net", False),
        ("mx.example.com.example.net", False),
        ("[192.0.2.26]", False),
        ("", False),
    ],
)
def test_what_is_ours_nobody_else_is(helo, ours):
    assert is_ours(helo, OURS) is ours


@pytest.mark.parametrize(
    ("name", "address", "dynamic"),
    [
        ("host-192-0-2-77.example.net", "192.0.2.77", True),
        ("77.2.0.192.isp.example", "192.0.2.77", True),
        ("ip192.0.2.77.isp.example", "192.0.2.77", True),
        ("host192-000-002-077.isp.example", "192.0.2.77", True),
        ("c000024d.isp.example", "192.0.2.77", True),
        ("dyn-7.isp.example", "192.0.2.77", True),
        ("x.dynamic.isp.example", "192.0.2.77", True),
        ("dsl.isp.example", "192.0.2.77", True),
        ("pool-1-2.isp.example", "192.0.2.77", True),
        ("20010db8000000000000000000000077.isp.example", "2001:db8::77", True),
        ("mail.example.net", "192.0.2.77", False),
        ("mail-192.example.net", "192.0.2.77", False),
        ("mx2-77.example.net", "192.0.2.77", False),
        ("dynamics.example.net", "192.0.2.77", False),
        ("carpool.example.net", "192.0.2.77", False),
        ("liverpool.example.net", "192.0.2.77", False),
        ("mail-ed1-f41.google.example", "192.0.2.77", False),
        ("", "192.0.2.77", False),
    ],
)
def test_names_that_providers_make_by_the_thousand(name, address, dynamic):
    assert is_dynamic(name, address) is dynamic


@pytest.mark.parametrize(
    ("helo", "reverse", "reasons"),
    [
        ("mail.example.net", HONEST, ()),
        ("[192.0.2.77]", HONEST, ()),
        ("mail.example.net", UNKNOWN, ()),
        ("user", UNKNOWN, ("helo_not_qualified",)),
        ("mx.example.com", HONEST, ("helo_is_ours",)),
        ("192.0.2.25", HONEST, ("helo_is_ours",)),
        ("mail.example.net", Reverse(known=True), ("no_reverse_name",)),
        ("mail.example.net", Reverse(known=True, names=("a.example",)), ("reverse_name_unconfirmed",)),
        (
            "user",
            Reverse(known=True, names=("dyn-1.isp.example",)),
            ("helo_not_qualified", "reverse_name_unconfirmed", "reverse_name_dynamic"),
        ),
        ("mail.example.net", Reverse(True, ("dyn-1.isp.example",), "dyn-1.isp.example"), ("reverse_name_dynamic",)),
    ],
)
def test_the_points_are_the_sum_of_the_reasons(helo, reverse, reasons):
    suspicion = judge(helo, "192.0.2.77", reverse, OURS)
    assert suspicion.reasons == reasons
    assert suspicion.points == sum(POINTS[reason] for reason in reasons)


@given(
    st.text(max_size=300),
    st.ip_addresses().map(str),
    st.builds(Reverse, st.booleans(), st.lists(st.text(max_size=300), max_size=4).map(tuple), st.text(max_size=9)),
)
def test_whatever_a_host_says_there_is_a_sum(helo, address, reverse):
    suspicion = judge(helo, address, reverse, OURS)
    assert 0 <= suspicion.points <= sum(POINTS.values())
    assert set(suspicion.reasons) <= set(POINTS)


@given(st.ip_addresses().map(str), st.sampled_from(["[%s]", "[IPv6:%s]"]))
def test_every_address_literal_is_qualified(address, form):
    if not (form == "[%s]" and ":" in address):
        assert is_qualified(form % address)
