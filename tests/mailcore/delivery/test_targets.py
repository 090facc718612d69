from types import SimpleNamespace

import pytest

from a3mailer_site.env import Env
from mailcore.delivery.jobs import Nexthop
from mailcore.delivery.targets import find_targets, ourselves
from mailcore.resolver.mail_hosts import NoMailHostError
from mailcore.smtp.client import Credentials, Tls

ENV = Env(hostname="us.test", smtp_listen="127.0.0.1:2525")


@pytest.fixture(autouse=True)
def _addresses_of_this_machine(monkeypatch):
    found = {"eth0": ["198.51.100.7", "fe80::1%eth0", "00:00:5e:00:53:01"], "lo": ["127.0.0.1", "::1"]}
    addresses = {name: [SimpleNamespace(address=text) for text in texts] for name, texts in found.items()}
    monkeypatch.setattr("mailcore.delivery.targets.psutil.net_if_addrs", lambda: addresses)


@pytest.fixture
def targets(turner, resolver, dns):
    dns.add("a.test", "MX", "10 mx1.a.test", "20 mx2.a.test")
    dns.add("mx1.a.test", "A", "192.0.2.1", "192.0.2.2")
    dns.add("mx2.a.test", "AAAA", "2001:db8::2")
    dns.add("loop.test", "A", "127.0.0.1")

    def find(env=ENV, **fields):
        return turner.run(find_targets(Nexthop(**fields), resolver, env))

    return find


def test_mx_hosts_are_tried_in_order_with_any_tls(targets):
    found = targets(domain="a.test", port=25)
    assert [(target.host, target.port) for target in found] == [("mx1.a.test", 25)] * 2 + [("mx2.a.test", 25)]
    assert {target.address for target in found[:2]} == {"192.0.2.1", "192.0.2.2"}
    assert {(target.policy.hostname, target.policy.tls, target.implicit_tls) for target in found} == {
        ("us.test", Tls.OPPORTUNISTIC, False)
    }


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("192.0.2.9", ["192.0.2.9"]),
        ("[2001:db8::9]", ["2001:db8::9"]),
        ("mx1.a.test", {"192.0.2.1", "192.0.2.2"}),
        ("localhost", ["127.0.0.1", "::1"]),
    ],
)
def test_a_route_is_a_host_without_mx(targets, host, addresses):
    found = targets(host=host, port=2626)
    assert type(addresses)(target.address for target in found) == addresses


def test_a_route_to_port_465_begins_with_tls(targets):
    login = Credentials("ann", "s3cret")
    (target,) = targets(host="192.0.2.9", port=465, tls=Tls.REQUIRED, login=login)
    assert target.implicit_tls
    assert (target.policy.tls, target.policy.login, target.policy.plaintext_auth_ok) == (Tls.REQUIRED, login, False)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"domain": "loop.test", "port": 25}, "5.4.6"),
        ({"domain": "us.test", "port": 25}, "5.1.2"),
        ({"host": "127.0.0.1", "port": 25}, "4.4.6"),
        ({"host": "127.0.0.1", "port": 2525}, "4.4.6"),
        ({"host": "loop.test", "port": 2525}, "4.4.6"),
        ({"host": "nowhere.test", "port": 25}, "4.4.4"),
    ],
)
def test_a_way_back_to_ourselves_is_no_way_and_a_wrong_route_only_defers(targets, fields, status):
    with pytest.raises(NoMailHostError) as caught:
        targets(**fields)
    assert caught.value.status == status


def test_another_server_on_this_machine_is_reached_at_its_port(targets):
    assert [target.address for target in targets(host="127.0.0.1", port=2626)] == ["127.0.0.1"]
    assert [target.address for target in targets(domain="loop.test", port=2626)] == ["127.0.0.1"]


def test_whoever_bears_our_name_is_this_server_at_any_port(targets, dns):
    dns.add("b.test", "MX", "10 US.test")
    dns.add("us.test", "A", "192.0.2.3")
    with pytest.raises(NoMailHostError, match=r"mail for b\.test loops back to this server") as raised:
        targets(domain="b.test", port=2626)
    assert raised.value.status == "5.4.6"


def test_the_addresses_of_this_machine_are_ours_at_our_ports():
    us = ourselves(ENV, 25)
    assert us.has_address("127.0.0.1")
    assert us.has_address("127.8.8.8")
    assert us.has_address("::1")
    assert us.has_address("198.51.100.7")
    assert us.has_address("fe80::1")
    assert not us.has_address("192.0.2.1")
    assert not ourselves(ENV, 2626).has_address("127.0.0.1")
