"""DANE: which certificates fit which TLSA records, and what becomes of mail when they do not."""

import hashlib
from dataclasses import replace

import pytest
from cryptography import x509

from certificates import DAY, NOW, ROOT, Certified
from fakedns import authentic, servfail, silent
from fakemx import FakeMx
from mailcore.delivery.dane import Dane, Tlsa, find_dane
from mailcore.resolver.answers import DnsFailureError
from mailcore.resolver.mail_hosts import MailHost
from mailqueue.models import Attempt, QueueEntry

NAMES = ("mx.a.test", "a.test")
MIDDLE = Certified("middle", ROOT, ca=True)
HOST = Certified("mx", MIDDLE, names=["mx.a.test"])
SELF = Certified("self", names=["elsewhere.example"], end=NOW - DAY / 2)
OTHER = Certified("other", ca=True)
# What nobody has heard of: a kind of key, and a version of certificates. Both are well-formed.
EC_KEY, UNKNOWN_KEY = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")
VERSION_3, VERSION_2 = bytes.fromhex("a003020102"), bytes.fromhex("a003020101")
STRANGE_KEY = x509.load_der_x509_certificate(ROOT.der.replace(EC_KEY, UNKNOWN_KEY))


def sha256(data):
    return hashlib.sha256(data).digest()


def sha512(data):
    return hashlib.sha512(data).digest()


def refusal(chain, *records, names=NAMES, now=NOW):
    return Dane(names[0], names, records).refusal([each.certificate for each in chain], now)


FITS = [
    # RFC 7672 section 3.1.1: neither the name nor the date of what the DNS names itself is looked at.
    ([SELF], Tlsa(3, 1, 1, sha256(SELF.spki))),
    ([SELF], Tlsa(3, 0, 1, sha256(SELF.der))),
    ([SELF], Tlsa(3, 1, 2, sha512(SELF.spki))),
    ([SELF], Tlsa(3, 0, 2, sha512(SELF.der))),
    ([SELF], Tlsa(3, 1, 0, SELF.spki)),
    ([SELF], Tlsa(3, 0, 0, SELF.der)),
    ([HOST, MIDDLE, ROOT], Tlsa(3, 1, 1, sha256(HOST.spki))),
    # section 3.1.2: an authority, which the host shows too
    ([HOST, MIDDLE, ROOT], Tlsa(2, 1, 1, sha256(ROOT.spki))),
    ([HOST, MIDDLE, ROOT], Tlsa(2, 0, 2, sha512(ROOT.der))),
    ([HOST, MIDDLE], Tlsa(2, 0, 1, sha256(MIDDLE.der))),
    ([HOST, ROOT, MIDDLE], Tlsa(2, 1, 1, sha256(ROOT.spki))),
    # ... or need not show
    ([HOST, MIDDLE], Tlsa(2, 0, 0, ROOT.der)),
    ([HOST], Tlsa(2, 0, 0, MIDDLE.der)),
]


@pytest.mark.parametrize(("chain", "record"), FITS)
def test_a_certificate_that_a_record_names_is_taken(chain, record):
    assert record.is_usable
    assert refusal(chain, record) is None
    assert refusal(chain, Tlsa(3, 1, 1, bytes(32)), record) is None


@pytest.mark.parametrize(
    ("chain", "record", "reason"),
    [
        ([SELF], Tlsa(3, 1, 1, sha256(HOST.spki)), "no TLSA record fits"),
        ([SELF], Tlsa(3, 0, 1, sha256(SELF.spki)), "no TLSA record fits"),
        ([HOST, MIDDLE, ROOT], Tlsa(3, 1, 1, sha256(ROOT.spki)), "no TLSA record fits"),
        ([HOST, MIDDLE, ROOT], Tlsa(2, 1, 1, sha256(HOST.spki)), "no TLSA record fits"),
        ([HOST, MIDDLE], Tlsa(2, 1, 1, sha256(ROOT.spki)), "no TLSA record fits"),
        ([HOST, MIDDLE, OTHER], Tlsa(2, 1, 1, sha256(OTHER.spki)), "not one for mx.a.test"),
        ([HOST, ROOT], Tlsa(2, 1, 1, sha256(ROOT.spki)), "not one for mx.a.test"),
        ([SELF, ROOT], Tlsa(2, 1, 1, sha256(ROOT.spki)), "not one for mx.a.test"),
        ([HOST, MIDDLE], Tlsa(2, 0, 0, OTHER.der), "not one for mx.a.test"),
        ([], Tlsa(3, 1, 1, sha256(SELF.spki)), "no certificate"),
    ],
)
def test_any_other_certificate_is_refused(chain, record, reason):
    assert reason in refusal(chain, record)


@pytest.mark.parametrize("usage", [2, 3])
def test_a_key_of_a_kind_that_is_not_known_fits_no_record(usage):
    chain = [STRANGE_KEY, STRANGE_KEY]
    dane = Dane(NAMES[0], NAMES, (Tlsa(usage, 1, 1, sha256(ROOT.spki)),))
    assert dane.refusal(chain, NOW) == "no TLSA record fits the certificate"


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["mx.a.test"], True),
        (["A.TEST"], True),
        (["*.a.test"], True),
        (["b.test"], False),
        (["mx.a.test.evil.example"], False),
        ([], False),
    ],
)
def test_an_authority_vouches_for_names(names, fits):
    host = Certified("mx", ROOT, names=names)
    assert (refusal([host, ROOT], Tlsa(2, 1, 1, sha256(ROOT.spki))) is None) is fits


@pytest.mark.parametrize("dates", [{"end": NOW - DAY / 2}, {"begin": NOW + DAY / 2}])
def test_an_authority_vouches_for_a_time(dates):
    host = Certified("mx", ROOT, names=["mx.a.test"], **dates)
    assert "not one for" in refusal([host, ROOT], Tlsa(2, 1, 1, sha256(ROOT.spki)))
    assert refusal([host, ROOT], Tlsa(3, 1, 1, sha256(host.spki))) is None


def test_who_is_no_authority_vouches_for_nobody():
    leaf = Certified("leaf", ROOT, names=["x.test"])
    host = Certified("mx", leaf, names=["mx.a.test"])
    for record in (Tlsa(2, 1, 1, sha256(ROOT.spki)), Tlsa(2, 1, 1, sha256(leaf.spki)), Tlsa(2, 0, 0, leaf.der)):
        assert "not one for" in refusal([host, leaf, ROOT], record)


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 1, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(4, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 0, 0, b"no certificate"),
        Tlsa(3, 1, 0, b"no key"),
        Tlsa(3, 0, 0, SELF.der.replace(VERSION_3, VERSION_2)),
        Tlsa(3, 1, 0, SELF.spki.replace(EC_KEY, UNKNOWN_KEY)),
    ],
)
def test_a_record_that_says_nothing_over_smtp_is_not_usable(record):
    assert not record.is_usable


def test_with_unusable_records_tls_is_required_and_no_more():
    # RFC 7672 section 2.2
    assert refusal([SELF]) is None


# -- Looking up -------------------------------------------------------------------------------------------------------

MX = MailHost("mx.a.test", ("127.0.0.1",), authentic=True)
RECORD = f"3 1 1 {sha256(HOST.spki).hex()}"
OWNER = "_25._tcp.mx.a.test"


def look_up(turner, resolver, host=MX, domain="a.test"):
    return turner.run(find_dane(resolver, host, 25, domain))


def test_records_that_dnssec_proves_are_believed(turner, resolver, dns):
    dns.default = authentic
    dns.add(OWNER, "TLSA", RECORD, f"1 1 1 {bytes(32).hex()}")
    dane = look_up(turner, resolver)
    assert dane == Dane("mx.a.test", ("mx.a.test", "a.test"), (Tlsa(3, 1, 1, sha256(HOST.spki)),))


def test_records_that_nothing_proves_are_none(turner, resolver, dns):
    dns.add(OWNER, "TLSA", RECORD)
    assert look_up(turner, resolver) is None


def test_a_host_that_nothing_proves_is_not_even_asked_about(turner, resolver, dns):
    dns.default = authentic
    dns.add(OWNER, "TLSA", RECORD)
    assert look_up(turner, resolver, replace(MX, authentic=False)) is None
    assert f"{OWNER} TLSA" not in dns.asked


@pytest.mark.parametrize("there", [True, False])
def test_a_host_without_records_has_nothing_to_prove(turner, resolver, dns, there):
    dns.default = authentic
    dns.add(OWNER if there else "mx.a.test", "TXT", "x")
    assert look_up(turner, resolver) is None


def test_records_that_cannot_be_looked_up_are_an_error(turner, resolver, dns):
    dns.misbehave(OWNER, servfail)
    with pytest.raises(DnsFailureError):
        look_up(turner, resolver)


def test_the_records_of_a_cname_go_first(turner, resolver, dns):
    # RFC 7672 section 2.2.2
    dns.default = authentic
    dns.add("_25._tcp.real.b.test", "TLSA", RECORD)
    dns.add(OWNER, "TLSA", RECORD.replace("3 1 1", "2 1 1"))
    host = replace(MX, canonical="real.b.test")
    dane = look_up(turner, resolver, host)
    assert (dane.base, dane.names) == ("real.b.test", ("real.b.test", "mx.a.test", "a.test"))
    dns.remove("_25._tcp.real.b.test")
    resolver.use(resolver._servers)
    assert look_up(turner, resolver, host).base == "mx.a.test"


# -- Delivering -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mx(mx, dns):
    dns.default = authentic
    return mx


@pytest.fixture
def publish(dns, mx):
    """Publish TLSA records for the mail server."""
    return lambda *records: dns.add(f"_{mx.port}._tcp.mx.a.test", "TLSA", *records)


pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "record",
    [RECORD, f"2 1 1 {sha256(ROOT.spki).hex()}", f"2 0 1 {sha256(MIDDLE.der).hex()}"],
    ids=["host", "root", "middle"],
)
def test_mail_goes_to_the_host_that_the_dns_names(send, mx, publish, tmp_path, record):
    mx.tls = HOST.context(tmp_path, MIDDLE, ROOT)
    publish(record)
    attempt = send()
    assert attempt.outcome == "sent"
    assert attempt.tls.startswith("TLSv1.3 ")
    assert attempt.tls.endswith(", proved by DANE")
    assert mx.messages[0].tls


def test_mail_never_goes_to_another_host(send, mx, publish, tmp_path):
    mx.tls = SELF.context(tmp_path)
    publish(RECORD)
    attempt = send()
    assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.7.5")
    assert attempt.reply == "DANE: no TLSA record fits the certificate"
    assert not mx.messages
    assert not any(command.startswith("MAIL") for command in mx.commands)


def test_mail_never_goes_to_a_host_whose_certificate_cannot_be_read(send, mx, publish, tmp_path):
    mx.tls = SELF.context_of(tmp_path, SELF.der.replace(VERSION_3, VERSION_2))
    publish(RECORD)
    attempt = send()
    assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.7.5")
    assert attempt.reply == "DANE: the host shows a certificate that cannot be read: 1 is not a valid X509 version"
    assert not mx.messages


def test_mail_never_goes_in_the_clear_where_there_are_records(send, mx, publish):
    publish(RECORD)
    assert (send().outcome, mx.messages) == ("deferred", [])
    assert "TLS is required" in Attempt.objects.get().reply


def test_tls_that_breaks_is_not_done_without_where_there_are_records(send, mx, publish, tmp_path):
    mx.tls = HOST.context(tmp_path, MIDDLE)
    mx.tls.set_ciphers("PSK")
    mx.tls.maximum_version = mx.tls.minimum_version
    publish(RECORD)
    assert (send().outcome, mx.messages) == ("deferred", [])


def test_unusable_records_ask_for_tls_alone(send, mx, publish, tmp_path):
    mx.tls = SELF.context(tmp_path)
    publish(f"1 1 1 {bytes(32).hex()}")
    attempt = send()
    assert attempt.outcome == "sent"
    assert "DANE" not in attempt.tls


@pytest.mark.parametrize("failure", [servfail, silent])
def test_a_host_whose_records_cannot_be_looked_up_gets_no_mail(send, mx, dns, failure):
    dns.misbehave(f"_{mx.port}._tcp.mx.a.test", failure)
    attempt = send()
    assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.4.3")
    assert "cannot look up the TLSA records of mx.a.test" in attempt.reply
    assert not mx.commands


def test_the_next_host_is_tried_when_the_first_cannot_prove_itself(send, mx, dns, publish, tmp_path):
    dns.add("a.test", "MX", "20 mx2.a.test")
    dns.add("mx2.a.test", "A", "127.0.0.2")
    publish(RECORD)
    with FakeMx(host="127.0.0.2", port=mx.port) as second:
        assert send().host == "mx2.a.test"
        assert len(second.messages) == 1
    assert not mx.messages


def test_dane_can_be_switched_off(send, mx, dns, publish, settings_of):
    settings_of(dane=False)
    publish(RECORD)
    assert send().outcome == "sent"
    assert not any(question.endswith("TLSA") for question in dns.asked)


def test_an_entry_waits_for_a_host_that_proves_itself(send, mx, publish, tmp_path):
    mx.tls = SELF.context(tmp_path)
    publish(RECORD)
    send()
    assert QueueEntry.objects.get().last_reply == "4.7.5 DANE: no TLSA record fits the certificate"
