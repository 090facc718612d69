"""REQUIRETLS: mail that goes only to servers that prove themselves and promise the same of the next one (RFC 8689)."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certificates import Certified
from fakedns import authentic
from fakemx import FakeMx
from mailcore.delivery.scheduler import Scheduler
from mailqueue.models import Attempt, MessageTrace, QueuedMessage

pytestmark = pytest.mark.django_db

ROOT = Certified("root", ca=True)
HOST = Certified("mx", ROOT, names=["mx.a.test"])
SELF = Certified("self", names=["mx.a.test"])
OFFERS = ("PIPELINING", "REQUIRETLS")


@pytest.fixture(autouse=True)
def authority(monkeypatch, tmp_path):
    path = tmp_path / "root.pem"
    path.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture
def mx(settings_of, dns, tmp_path):
    with FakeMx(offers=OFFERS, tls=HOST.context(tmp_path)) as server:
        settings_of(remote_smtp_port=server.port, hostname="us.test", mta_sts=False)
        dns.default = authentic
        dns.add("a.test", "MX", "10 mx.a.test")
        dns.add("mx.a.test", "A", "127.0.0.1")
        yield server


@pytest.fixture
def scheduler(turner, doors, resolver, mx):
    return Scheduler(turner.reactor, doors, resolver)


@pytest.fixture
def deliver(turner, scheduler, queue):
    def go(**fields):
        queue("bob@a.test", **fields)
        turner.run(scheduler._look())
        turner.until(lambda: scheduler.in_hand == 0)
        return Attempt.objects.latest("id")

    return go


def test_it_goes_to_a_host_with_a_name_that_dnssec_proves_and_a_certificate_for_it(deliver, mx):
    attempt = deliver(requiretls=True)
    assert attempt.outcome == "sent"
    assert attempt.tls.endswith(", proved by its certificate")
    assert mx.messages[0].mail == "MAIL FROM:<me@example.org> REQUIRETLS"


def test_other_mail_asks_for_nothing(deliver, mx):
    attempt = deliver()
    assert "proved" not in attempt.tls
    assert "REQUIRETLS" not in mx.messages[0].mail


def test_it_does_not_go_to_a_host_that_does_not_promise_the_same(deliver, mx):
    mx.offers = ("PIPELINING",)
    attempt = deliver(requiretls=True)
    assert (attempt.outcome, attempt.enhanced) == ("failed", "5.7.30")
    assert not mx.messages


def test_it_does_not_go_where_nothing_proves_the_name(deliver, mx, dns):
    from fakedns import honest

    dns.default = honest
    attempt = deliver(requiretls=True)
    assert (attempt.outcome, attempt.enhanced) == ("failed", "5.7.30")
    assert "nothing proves who takes mail for a.test" in attempt.reply
    assert not mx.commands


def test_it_waits_for_a_host_with_another_certificate(deliver, mx, tmp_path):
    mx.tls = SELF.context(tmp_path)
    attempt = deliver(requiretls=True)
    assert attempt.outcome == "deferred"
    assert not any(command.startswith("MAIL") for command in mx.commands)


def test_it_does_not_go_over_a_connection_that_proves_nothing(deliver, mx):
    deliver()
    deliver(requiretls=True)
    deliver()
    assert [message.connection for message in mx.messages] == [1, 2, 2]


@pytest.mark.parametrize(("tls", "outcome"), [("required", "sent"), ("opportunistic", "failed"), ("never", "failed")])
def test_over_a_route_it_goes_where_that_requires_tls(deliver, mx, tls, outcome):
    from mailqueue.models import Route

    Route.objects.create(domain="a.test", host="mx.a.test", port=mx.port, tls=tls)
    assert deliver(requiretls=True).outcome == outcome


def test_the_notice_of_its_failure_keeps_to_the_same(deliver, mx):
    mx.offers = ("PIPELINING",)
    content = b"Subject: secret\r\n\r\nthe text\r\n"
    deliver(requiretls=True, content=content)
    notice = QueuedMessage.objects.select_related("body").get(sender="")
    assert notice.requiretls
    told = bytes(notice.body.data)
    assert b"Subject: secret" in told
    assert b"the text" not in told  # section 5: the header alone
    assert MessageTrace.objects.filter(direction="int").count() == 1
