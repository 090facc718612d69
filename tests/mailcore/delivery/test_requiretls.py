"""REQUIRETLS: mail that goes only to servers that prove themselves and promise the same of the next one (RFC 8689)."""

import pytest

from certificates import ROOT, Certified
from fakedns import authentic
from mailqueue.models import MessageTrace, QueuedMessage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("authority")]

HOST = Certified("mx", ROOT, names=["mx.a.test"])
SELF = Certified("self", names=["mx.a.test"])
OFFERS = ("PIPELINING", "REQUIRETLS")


@pytest.fixture
def mx(mx, settings_of, dns, tmp_path):
    settings_of(mta_sts=False)
    dns.default = authentic
    mx.offers, mx.tls = OFFERS, HOST.context(tmp_path)
    return mx


def test_it_goes_to_a_host_with_a_name_that_dnssec_proves_and_a_certificate_for_it(send, mx):
    attempt = send(requiretls=True)
    assert attempt.outcome == "sent"
    assert attempt.tls.endswith(", proved by its certificate")
    assert mx.messages[0].mail == "MAIL FROM:<me@example.org> REQUIRETLS"


def test_other_mail_asks_for_nothing(send, mx):
    attempt = send()
    assert "proved" not in attempt.tls
    assert "REQUIRETLS" not in mx.messages[0].mail


def test_it_does_not_go_to_a_host_that_does_not_promise_the_same(send, mx):
    mx.offers = ("PIPELINING",)
    attempt = send(requiretls=True)
    assert (attempt.outcome, attempt.enhanced) == ("failed", "5.7.30")
    assert not mx.messages


def test_it_does_not_go_where_nothing_proves_the_name(send, mx, dns):
    from fakedns import honest

    dns.default = honest
    attempt = send(requiretls=True)
    assert (attempt.outcome, attempt.enhanced) == ("failed", "5.7.30")
    assert "nothing proves who takes mail for a.test" in attempt.reply
    assert not mx.commands


def test_it_waits_for_a_host_with_another_certificate(send, mx, tmp_path):
    mx.tls = SELF.context(tmp_path)
    attempt = send(requiretls=True)
    assert attempt.outcome == "deferred"
    assert not any(command.startswith("MAIL") for command in mx.commands)


def test_it_does_not_go_over_a_connection_that_proves_nothing(send, mx):
    send()
    send(requiretls=True)
    send()
    assert [message.connection for message in mx.messages] == [1, 2, 2]


@pytest.mark.parametrize(("tls", "outcome"), [("required", "sent"), ("opportunistic", "failed"), ("never", "failed")])
def test_over_a_route_it_goes_where_that_requires_tls(send, mx, tls, outcome):
    from mailqueue.models import Route

    Route.objects.create(domain="a.test", host="mx.a.test", port=mx.port, tls=tls)
    assert send(requiretls=True).outcome == outcome


def test_the_notice_of_its_failure_keeps_to_the_same(send, mx):
    mx.offers = ("PIPELINING",)
    content = b"Subject: secret\r\n\r\nthe text\r\n"
    send(requiretls=True, content=content)
    notice = QueuedMessage.objects.select_related("body").get(sender="")
    assert notice.requiretls
    told = bytes(notice.body.data)
    assert b"Subject: secret" in told
    assert b"the text" not in told  # section 5: the header alone
    assert MessageTrace.objects.filter(direction="int").count() == 1
