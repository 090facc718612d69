"""MTA-STS: what policies say, how they are fetched and kept, and what becomes of mail by them (RFC 8461)."""

import contextlib

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from certificates import DAY, NOW, ROOT, Certified
from fakedns import servfail
from fakehttps import FakeHttps
from mailcore.delivery import https
from mailcore.delivery.connection import ConnectError, Target, connect
from mailcore.delivery.https import PORT, FetchError, fetch
from mailcore.delivery.mta_sts import FETCH_AGAIN_AFTER, StsPolicies
from mailcore.delivery.sts_policy import HOST_LIMIT, LONGEST, Mode, Policy, PolicyError, read_id, read_policy
from mailcore.smtp.client import ClientPolicy, Tls
from mailqueue.models import StsPolicy
from security.networks import is_public
from server import free_ports

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("authority")]

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmx: *.b.test\r\nmax_age: 86400\r\n"


# -- Texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # section 3.1
        ([b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1;id=1;"], "1"),
        ([b"v=STSv1 ; other=x ; id = 1 ;"], "1"),
        ([b"something else", b"v=STSv1; id=1"], "1"),
        ([], None),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], None),
        ([b"v=STSv1"], None),
        ([b"v=STSv1;"], None),
        ([b"v=STSv2; id=1"], None),
        ([b" v=STSv1; id=1"], None),
        ([b"v=STSv1; id="], None),
        ([b"v=STSv1; id=a-b"], None),
        ([b"v=STSv1; id=" + b"1" * 33], None),
        ([b"v=STSv1; ID=1"], None),
        ([b"v=STSv1; id=\xff"], None),
    ],
)
def test_the_record_of_a_domain_names_its_policy(texts, found):
    assert read_id(texts) == found


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        (POLICY, Policy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)),
        (POLICY.replace(b"\r\n", b"\n"), Policy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)),
        (POLICY.removesuffix(b"\r\n"), Policy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)),
        (b"mx:M.A.Test.\nmax_age :1\nmode:testing\nversion:STSv1", Policy(Mode.TESTING, ("m.a.test",), 1)),
        (POLICY + b"new_thing: whatever it is\r\n\r\n", Policy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)),
        (POLICY + b"mode: none\r\nmax_age: 1\r\n", Policy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)),
        (b"version: STSv1\nmode: none\nmax_age: 0\n", Policy(Mode.NONE, (), 0)),
        (b"version: STSv1\nmode: none\nmax_age: 9999999999\n", Policy(Mode.NONE, (), LONGEST)),
        (
            "version: STSv1\nmode: enforce\nmx: *.bücher.test\nmax_age: 1\n".encode(),
            Policy(Mode.ENFORCE, ("*.xn--bcher-kva.test",), 1),
        ),
    ],
)
def test_a_policy_is_read(text, policy):
    assert read_policy(text) == policy


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "version"),
        (b"<html>404</html>", "not understood"),
        (POLICY.replace(b"STSv1", b"STSv2"), "version"),
        (POLICY.replace(b"enforce", b"Enforce"), "mode"),
        (POLICY.replace(b"mode: enforce\r\n", b""), "mode"),
        (POLICY.replace(b"86400", b"-1"), "max_age"),
        (POLICY.replace(b"86400", b"1" * 11), "max_age"),
        (POLICY.replace(b"max_age: 86400\r\n", b""), "max_age"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1\n", "no mail host"),
        (b"version: STSv1\nmode: testing\nmax_age: 1\n", "no mail host"),
        (POLICY.replace(b"mx.a.test", b"mx .a.test"), "no mail host"),
        (POLICY.replace(b"mx.a.test", b""), "no mail host"),
        (POLICY.replace(b"mx.a.test", b"mx.*.test"), "no mail host"),
        (POLICY + b"".join(b"mx: x%d.test\n" % number for number in range(HOST_LIMIT)), "too many"),
        (POLICY + b"\xff", "UTF-8"),
    ],
)
def test_what_is_no_policy_is_refused(text, reason):
    with pytest.raises(PolicyError, match=reason):
        read_policy(text)


@given(st.binary(max_size=300) | st.integers(0, len(POLICY)).map(lambda cut: POLICY[:cut] + b"x" + POLICY[cut:]))
def test_any_text_is_a_policy_or_none(text):
    try:
        policy = read_policy(text)
    except PolicyError:
        return
    assert policy.max_age <= LONGEST


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mx.a.test", True),
        ("MX.A.TEST.", True),
        ("mx2.a.test", False),
        ("x.mx.a.test", False),
        ("x.b.test", True),
        ("x.y.b.test", False),  # section 4.1: one label
        ("b.test", False),
        ("test", False),
        ("", False),
    ],
)
def test_a_policy_names_hosts(host, named):
    assert read_policy(POLICY).names(host) is named


# -- Fetching ---------------------------------------------------------------------------------------------------------

POLICY_HOST = Certified("policies", ROOT, names=["mta-sts.a.test"])
MX_HOST = Certified("mx", ROOT, names=["mx.a.test"])
SELF = Certified("self", names=["mta-sts.a.test"])
EXPIRED = Certified("old", ROOT, names=["mta-sts.a.test"], begin=NOW - 3 * DAY, end=NOW - DAY)
STRANGER = Certified("stranger", ROOT, names=["elsewhere.test"])
PATH = "/.well-known/mta-sts.txt"


@pytest.fixture
def web(dns, tmp_path):
    dns.add("mta-sts.a.test", "A", "127.0.0.1")
    with FakeHttps(POLICY_HOST.context(tmp_path)) as server:
        server.answers[PATH] = (200, POLICY)
        yield server


def get(turner, resolver, web, limit=1000, **options):
    return turner.run(
        fetch(turner.reactor, resolver, "mta-sts.a.test", PATH, limit=limit, **{"port": web.port, **options})
    )


def test_a_text_is_fetched(turner, resolver, web):
    assert get(turner, resolver, web) == POLICY
    assert web.asked == [("mta-sts.a.test", PATH)]


@pytest.mark.parametrize("shown", [SELF, EXPIRED, STRANGER])
def test_only_from_a_host_with_a_valid_certificate(turner, resolver, dns, tmp_path, shown):
    dns.add("mta-sts.a.test", "A", "127.0.0.1")
    with FakeHttps(shown.context(tmp_path)) as web, pytest.raises(FetchError, match=r"certificate|match|verif"):
        get(turner, resolver, web)
    assert web.asked == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, b""), "answers 404"),
        ((500, POLICY), "answers 500"),
        ((302, POLICY), "answers 302"),
        ((200, b"x" * 1001), "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nversion: STSv1\r\n", "cut off"),
        (b"HTTP/1.0 200 OK\r\n\r\nversion: STSv1\r\n", "cut off"),
        (b"220 mx.a.test ESMTP\r\n", "mta-sts.a.test"),
    ],
)
def test_only_a_plain_answer_that_is_whole_and_small(turner, resolver, web, answer, reason):
    web.answers[PATH] = answer
    with pytest.raises(FetchError, match=reason):
        get(turner, resolver, web)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\nnot here, and more to come",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nversion: STSv1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntext",
    ],
    ids=["refused", "refused without end", "too much", "cut off", "no answer", "whole"],
)
def test_no_connection_stays_behind(turner, resolver, web, monkeypatch, answer):
    monkeypatch.setattr(https, "PATIENCE", 0.5)
    monkeypatch.setattr(https, "CONNECT_PATIENCE", 1.0)
    web.holds, web.answers[PATH] = True, answer
    with contextlib.suppress(FetchError):
        get(turner, resolver, web)
    turner.until(web.ended.is_set)


# Names of the DNS that cannot be a host's (RFC 5891 section 4.2.3; an underscore is in no host's name).
NO_HOSTS = ["mx_1.a.test", "-mx.a.test", "ab--cd.a.test"]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_never_from_a_host_whose_certificate_could_not_be_checked(turner, resolver, dns, web, host):
    dns.add(host, "A", "127.0.0.1")
    with pytest.raises(FetchError, match=f"no certificate for {host} can be checked: "):
        turner.run(fetch(turner.reactor, resolver, host, PATH, limit=1000, port=web.port))
    assert web.asked == []


def test_never_from_a_private_network(turner, resolver, dns, web):
    with pytest.raises(FetchError, match="private network"):
        get(turner, resolver, web, port=PORT)
    assert web.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("192.0.2.1", False),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
    ],
)
def test_which_addresses_are_somebody_elses(address, public):
    assert is_public(address) is public


def test_a_host_that_is_not_there_is_named(turner, resolver, dns, web):
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: .*refused"):
        get(turner, resolver, web, port=free_ports(1)[0])
    dns.remove("mta-sts.a.test")
    resolver.use(resolver._servers)
    with pytest.raises(FetchError, match="has no address"):
        get(turner, resolver, web)


# -- Keeping ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def record(dns, resolver):
    """Publish the id of a policy."""

    def publish(policy_id):
        dns.remove("_mta-sts.a.test")
        if policy_id is not None:
            dns.add("_mta-sts.a.test", "TXT", f'"v=STSv1; id={policy_id};"')
        resolver.use(resolver._servers)

    publish("1")
    return publish


@pytest.fixture
def policies(turner, doors, resolver, web, record):
    return StsPolicies(turner.reactor, doors, resolver, port=web.port)


def find(turner, policies, now=1000.0):
    return turner.run(policies.find("a.test", now))


def test_a_policy_is_fetched_once_and_kept(turner, doors, resolver, policies, web):
    assert find(turner, policies) == read_policy(POLICY)
    assert find(turner, policies, 1000.0 + 86399) == read_policy(POLICY)
    again = StsPolicies(turner.reactor, doors, resolver, port=web.port)
    assert find(turner, again) == read_policy(POLICY)
    assert len(web.asked) == 1
    assert StsPolicy.objects.get().ends_at.timestamp() == 1000 + 86400


def test_a_new_id_means_a_new_policy(turner, policies, web, record):
    find(turner, policies)
    web.answers[PATH] = (200, POLICY.replace(b"enforce", b"none"))
    assert find(turner, policies).mode is Mode.ENFORCE
    record("2")
    assert find(turner, policies).mode is Mode.NONE
    assert StsPolicy.objects.get().policy_id == "2"


def test_without_a_record_nothing_is_fetched(turner, policies, web, record):
    record(None)
    assert find(turner, policies) is None
    assert web.asked == []


@pytest.mark.parametrize("gone", ["record", "dns", "host"])
def test_a_policy_holds_to_its_end_whatever_is_held_back(turner, policies, dns, web, record, resolver, gone):
    find(turner, policies)
    record({"record": None, "host": "2"}.get(gone, "1"))
    if gone == "dns":
        dns.misbehave("_mta-sts.a.test", servfail)
    web.answers.clear()
    assert find(turner, policies, 1000.0 + 86399) == read_policy(POLICY)
    assert find(turner, policies, 1000.0 + 86400) is None


def test_a_policy_that_is_over_is_fetched_again(turner, policies, web):
    find(turner, policies)
    assert find(turner, policies, 1000.0 + 86400) == read_policy(POLICY)
    assert len(web.asked) == 2


def test_a_policy_that_cannot_be_had_is_not_asked_for_all_the_time(turner, policies, web):
    web.answers[PATH] = (200, b"nonsense")
    assert find(turner, policies) is None
    assert find(turner, policies, 1000.0 + FETCH_AGAIN_AFTER - 1) is None
    assert len(web.asked) == 1
    web.answers[PATH] = (200, POLICY)
    assert find(turner, policies, 1000.0 + FETCH_AGAIN_AFTER) == read_policy(POLICY)


@pytest.mark.parametrize("slow", [False, True])
def test_many_who_want_it_at_once_ask_once(turner, doors, policies, web, slow):
    from twisted.internet.defer import Deferred, gatherResults

    doors.reactor = turner.reactor if slow else None

    async def all_at_once():
        return await gatherResults([Deferred.fromCoroutine(policies.find("a.test", 1000.0)) for _ in range(20)])

    assert turner.run(all_at_once()) == [read_policy(POLICY)] * 20
    assert len(web.asked) == 1


def test_without_the_database_a_policy_is_used_all_the_same(turner, policies, doors, web):
    doors.away = True
    assert find(turner, policies) == read_policy(POLICY)
    assert find(turner, policies) == read_policy(POLICY)
    assert len(web.asked) == 1
    assert not StsPolicy.objects.exists()


def test_policies_that_are_over_are_removed(turner, policies):
    find(turner, policies)
    assert StsPolicy.objects.forget_outlived(timezone.now()) == 1


# -- Delivering -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mx(mx, settings_of, web, record):
    settings_of(remote_https_port=web.port)
    return mx


def test_mail_goes_to_a_host_that_the_policy_names_and_that_proves_it(send, mx, tmp_path):
    mx.tls = MX_HOST.context(tmp_path)
    attempt = send()
    assert attempt.outcome == "sent"
    assert attempt.tls.endswith(", proved by MTA-STS")
    assert mx.messages[0].tls


@pytest.mark.parametrize("shown", [SELF, STRANGER, None])
def test_mail_waits_for_a_host_that_proves_nothing(send, mx, tmp_path, shown):
    mx.tls = shown and shown.context(tmp_path)
    attempt = send()
    assert attempt.outcome == "deferred"
    assert not any(command.startswith("MAIL") for command in mx.commands)


def test_mail_waits_when_the_policy_names_other_hosts(send, mx, web, tmp_path):
    web.answers[PATH] = (200, POLICY.replace(b"mx.a.test", b"mail.a.test"))
    mx.tls = MX_HOST.context(tmp_path)
    attempt = send()
    assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.7.0")
    assert attempt.reply == "the MTA-STS policy of a.test does not name its mail hosts (mx.a.test)"
    assert not mx.commands


@pytest.mark.parametrize("host", NO_HOSTS)
def test_mail_waits_where_the_certificate_of_the_mail_host_could_not_be_checked(send, mx, dns, web, tmp_path, host):
    dns.remove("a.test")
    dns.add("a.test", "MX", f"10 {host}")
    dns.add(host, "A", "127.0.0.1")
    web.answers[PATH] = (200, POLICY.replace(b"mx.a.test", b"*.a.test"))
    mx.tls = MX_HOST.context(tmp_path)
    attempt = send()
    assert (attempt.outcome, attempt.enhanced) == ("deferred", "4.7.5")
    assert attempt.reply.startswith(f"no certificate for {host} can be checked: ")
    assert not any(command.startswith("MAIL") for command in mx.commands)


def test_nor_does_it_begin_where_tls_comes_first(turner, mx):
    policy = ClientPolicy(hostname="us.test", tls=Tls.REQUIRED)
    target = Target("mx_1.a.test", "127.0.0.1", mx.port, policy, implicit_tls=True)

    async def open_it():
        await connect(turner.reactor, target)

    with pytest.raises(ConnectError, match=r"no certificate for mx_1\.a\.test can be checked") as refused:
        turner.run(open_it())
    assert refused.value.outcome.status == "4.7.5"
    turner.until(lambda: mx.open == 0)


@pytest.mark.parametrize("mode", [b"testing", b"none"])
def test_other_modes_hinder_nothing(send, mx, web, mode):
    web.answers[PATH] = (200, POLICY.replace(b"enforce", mode).replace(b"mx.a.test", b"mail.a.test"))
    assert send().outcome == "sent"
    assert not mx.messages[0].tls


def test_a_policy_that_cannot_be_had_hinders_nothing(send, mx, web):
    web.answers.clear()
    assert send().outcome == "sent"


def test_mta_sts_can_be_switched_off(send, mx, web, settings_of):
    settings_of(mta_sts=False)
    assert send().outcome == "sent"
    assert web.asked == []
