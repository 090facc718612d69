"""The way out as a whole: a queue in the database, a fake DNS and fake mail servers on loopback."""

import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from a3mailer_site import env
from a3mailer_site.ids import to_text
from certificates import DAY, NOW, ROOT, Certified
from fakedns import servfail
from fakemx import DRIP, HANG, FakeMx
from fakemx import LETTER as CONTENT
from mailcore import tls
from mailcore.delivery import claims, connection, remote
from mailcore.delivery.scheduler import Scheduler
from mailcore.store.models import Message
from mailqueue.models import (
    Attempt,
    Body,
    MessageEvent,
    MessageTrace,
    QueueDestination,
    QueuedMessage,
    QueueEntry,
    Route,
)
from security.models import AuditEntry

pytestmark = pytest.mark.django_db


def entries(message):
    return {entry.recipient: entry for entry in QueueEntry.objects.filter(message_id=message)}


def kinds(message):
    return [event.kind for event in MessageEvent.objects.filter(message=message).order_by("id")]


def notices():
    """Messages in the queue that this server has written itself."""
    return [
        bytes(message.body.data).decode() for message in QueuedMessage.objects.filter(sender="").select_related("body")
    ]


def test_a_message_is_handed_on_and_leaves_the_queue(queue, deliver, mx):
    message = queue("bob@a.test")
    deliver()
    (received,) = mx.messages
    assert (received.sender, received.recipients, received.content) == ("me@example.org", ["bob@a.test"], CONTENT)
    assert "EHLO us.test" in mx.commands
    assert not QueuedMessage.objects.exists()
    assert not QueueEntry.objects.exists()
    assert not Body.objects.exists()
    trace = MessageTrace.objects.get(message=message)
    assert trace.status == "sent"
    attempt = Attempt.objects.get(message=message)
    assert (attempt.number, attempt.host, attempt.address) == (1, "mx.a.test", "127.0.0.1")
    assert (attempt.outcome, attempt.code, attempt.enhanced, attempt.reply) == ("sent", 250, "2.0.0", "queued")
    assert kinds(message) == ["received", "queued", "attempt", "sent"]
    events = MessageEvent.objects.get(message=message, kind="attempt").detail
    assert events.keys() == {
        "number", "host", "address", "tls", "code", "enhanced", "reply", "outcome", "duration_ms",
    }  # fmt: skip


def test_a_large_message_arrives_whole_and_its_file_goes(queue, deliver, mx, turner):
    content = CONTENT + b"".join(b"line %d\r\n.\r\n" % number for number in range(60_000))
    queue("bob@a.test", content=content)
    body = Body.objects.get()
    assert body.data is None
    deliver()
    assert mx.messages[0].content == content
    from mailqueue.bodies import open_body

    body.save(force_insert=True)
    with pytest.raises(FileNotFoundError):
        open_body(body.id)


def test_with_a_catch_all_nothing_leaves_the_queue(queue, deliver, mx, settings_of):
    queue("bob@a.test")
    settings_of(catch_all="dev@example.com")
    deliver()
    assert not mx.commands
    settings_of(catch_all="")
    deliver()
    assert len(mx.messages) == 1


def test_recipients_of_one_destination_share_a_transaction(queue, deliver, mx):
    queue("bob@a.test", "amy@a.test", "tom@a.test")
    deliver()
    assert [sorted(message.recipients) for message in mx.messages] == [["amy@a.test", "bob@a.test", "tom@a.test"]]


def test_a_long_list_is_divided_into_hundreds(queue, deliver, mx):
    queue(*(f"p{number}@a.test" for number in range(150)))
    deliver(rounds=2)
    assert sorted(len(message.recipients) for message in mx.messages) == [50, 100]
    assert not QueueEntry.objects.exists()


def test_no_more_recipients_than_the_server_takes_are_named_at_once(queue, deliver, mx):
    # RFC 9422
    mx.offers = ("PIPELINING", "LIMITS MAILMAX=100 RCPTMAX=2 RCPTDOMAINMAX=1")
    queue(*(f"p{number}@a.test" for number in range(5)))
    deliver()
    assert sorted(len(message.recipients) for message in mx.messages) == [1, 2, 2]
    assert mx.connections == 1
    assert not QueueEntry.objects.exists()


@pytest.mark.parametrize("offered", ["LIMITS", "LIMITS RCPTMAX=0", "LIMITS RCPTMAX=x", "LIMITS RCPTMAX=2;"])
def test_a_limit_that_is_none_limits_nothing(queue, deliver, mx, offered):
    mx.offers = (offered,)
    queue(*(f"p{number}@a.test" for number in range(5)))
    deliver()
    assert [len(message.recipients) for message in mx.messages] == [5]


def test_no_more_messages_than_the_server_takes_go_over_one_connection(queue, deliver, mx, turner):
    mx.offers = ("LIMITS MAILMAX=2",)
    for _message in range(3):
        queue("bob@a.test")
        deliver()
    assert [message.connection for message in mx.messages] == [1, 1, 2]
    turner.until(lambda: mx.open == 1)


def test_recipients_that_a_connection_has_no_turn_for_go_over_the_next_one(queue, deliver, mx, dns):
    mx.offers = ("LIMITS MAILMAX=1 RCPTMAX=2",)
    dns.add("a.test", "MX", "20 mx2.a.test")
    dns.add("mx2.a.test", "A", "127.0.0.1")
    queue(*(f"p{number}@a.test" for number in range(5)))
    deliver()
    assert [(len(message.recipients), message.connection) for message in mx.messages] == [(2, 1), (2, 2)]
    (left,) = QueueEntry.objects.exclude(state="delivered")
    assert "before it was this recipient's turn" in left.last_reply


def test_a_connection_is_used_again(queue, deliver, mx):
    for _message in range(3):
        queue("bob@a.test")
        deliver()
    assert len(mx.messages) == 3
    assert mx.connections == 1


def test_an_idle_connection_that_is_dead_costs_nothing(queue, deliver, mx, turner):
    queue("bob@a.test")
    deliver()
    mx.says["MAIL"] = "421 4.4.2 idle for too long"
    queue("bob@a.test")
    mx.drop_all()
    mx.says.clear()
    deliver()
    assert len(mx.messages) == 2
    assert Attempt.objects.filter(outcome="deferred").count() == 0


def test_no_more_connections_than_allowed_go_to_one_destination(queue, deliver, mx, settings_of):
    settings_of(destination_concurrency=4)
    for number in range(40):
        queue(f"p{number}@a.test")
    deliver()
    assert len(mx.messages) == 40
    assert mx.most_open <= 4


# ---- refusals ----


def test_each_recipient_is_settled_by_itself(queue, deliver, mx, later):
    mx.says = {"RCPT TO:<amy": "550 5.1.1 no such user", "RCPT TO:<tom": "450 4.2.1 try later"}
    message = queue("bob@a.test", "amy@a.test", "tom@a.test")
    deliver()
    left = entries(message)
    assert {address: entry.state for address, entry in left.items()} == {
        "bob@a.test": "delivered",
        "amy@a.test": "failed",
        "tom@a.test": "queued",
    }
    tom = left["tom@a.test"]
    assert tom.attempts == 1
    assert tom.last_reply == "450 4.2.1 try later"
    assert later(250) < tom.next_attempt_at < later(350)
    assert (tom.lease_owner, tom.lease_until) == ("", None)
    statuses = dict(MessageTrace.objects.filter(message=message).values_list("recipient", "status"))
    assert statuses == {"bob@a.test": "sent", "amy@a.test": "failed", "tom@a.test": "deferred"}
    (bounce,) = notices()
    assert "Final-Recipient: rfc822; amy@a.test" in bounce
    assert "Diagnostic-Code: smtp; 550 5.1.1 no such user" in bounce
    assert "Remote-MTA: dns; mx.a.test" in bounce
    assert "tom@a.test" not in bounce
    notice = QueuedMessage.objects.get(sender="")
    assert MessageEvent.objects.get(message=message, kind="bounced").detail == {"notice": to_text(notice.id)}


@pytest.mark.parametrize(
    ("host", "status"),
    [("nowhere.test", "5.1.2"), ("null.test", "5.1.10"), ("addressless.test", "5.4.4")],
)
def test_a_domain_that_takes_no_mail_fails_at_once(queue, deliver, dns, host, status):
    dns.add("null.test", "MX", "0 .")
    dns.add("addressless.test", "MX", "10 nothing.test")
    message = queue(f"bob@{host}")
    deliver()
    assert Attempt.objects.get(message=message).enhanced == status
    assert MessageTrace.objects.get(message=message).status == "failed"
    assert f"Status: {status}" in notices()[0]


def test_dns_that_does_not_answer_only_defers(queue, deliver, dns):
    dns.default = servfail
    message = queue("bob@b.test")
    deliver()
    assert entries(message)["bob@b.test"].state == "queued"
    assert Attempt.objects.get().enhanced == "4.4.3"
    assert notices() == []


def test_a_host_that_cannot_be_reached_defers(queue, deliver, dns, settings_of, mx):
    settings_of(remote_smtp_port=1)
    message = queue("bob@a.test")
    deliver()
    entry = entries(message)["bob@a.test"]
    assert entry.state == "queued"
    assert entry.last_reply.startswith("4.4.1 cannot connect")
    attempt = Attempt.objects.get()
    assert (attempt.code, attempt.host) == (None, "mx.a.test")


def test_the_second_host_is_tried_when_the_first_is_not_there(queue, deliver, dns, mx):
    dns.add("b.test", "MX", "10 dead.b.test", "20 mx.a.test")
    dns.add("dead.b.test", "A", "127.0.0.77")
    queue("bob@b.test")
    deliver()
    assert Attempt.objects.get().outcome == "sent"


@pytest.mark.parametrize("greeting", ["554 5.7.1 not you", "421 4.3.2 busy", "nonsense", None])
def test_a_host_that_does_not_greet_us_defers(queue, deliver, mx, greeting):
    mx.says["GREETING"] = greeting
    message = queue("bob@a.test")
    deliver()
    assert entries(message)["bob@a.test"].state == "queued"
    assert Attempt.objects.get().enhanced[0] == "4"


def test_a_lost_connection_is_tried_with_the_next_host_but_not_after_the_end_of_the_message(queue, deliver, dns, mx):
    dns.add("b.test", "MX", "10 mx.a.test", "20 mx2.b.test")
    dns.add("mx2.b.test", "A", "127.0.0.1")
    mx.says["DATA"] = None
    queue("bob@b.test")
    deliver()
    assert mx.connections == 2
    mx.says = {"DOT": None}
    queue("amy@b.test")
    deliver()
    assert mx.connections == 3
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"deferred"}


def test_a_silent_host_is_given_up_after_its_time(queue, deliver, mx, monkeypatch):
    from mailcore.smtp import client

    monkeypatch.setattr(client, "_PATIENCE_ELSE", 0.3)
    mx.says["GREETING"] = HANG
    message = queue("bob@a.test")
    deliver()
    assert entries(message)["bob@a.test"].last_reply == "4.4.2 time-out while waiting for the greeting"


@pytest.mark.parametrize(
    ("behaviour", "phase"),
    [
        ({"says": {"GREETING": DRIP}}, "waiting for the greeting"),
        ({"says": {"EHLO": DRIP}}, "saying EHLO"),
        ({"says": {"RCPT": DRIP}}, "sending RCPT TO"),
        ({"read_every": 0.05}, "sending the message"),
    ],
)
def test_a_host_that_is_slow_without_end_is_given_up(queue, deliver, mx, monkeypatch, behaviour, phase):
    for limit in ("OPENING_PATIENCE", "MESSAGE_PATIENCE"):
        monkeypatch.setattr(connection, limit, 0.5)
    monkeypatch.setattr(connection, "SLOWEST", 1e9)
    mx.drip_every = 0.05
    for name, value in behaviour.items():
        setattr(mx, name, value)
    queue("bob@a.test", content=b"Subject: long\r\n\r\n" + (b"x" * 998 + b"\r\n") * 9_000)
    deliver()
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.enhanced, attempt.reply) == ("deferred", "4.4.2", f"time-out while {phase}")


@pytest.mark.parametrize("at_once", [1, 20])
def test_a_dead_destination_costs_one_attempt_however_much_waits_for_it(queue, deliver, settings_of, mx, at_once):
    settings_of(remote_smtp_port=1, destination_concurrency=at_once)
    for number in range(250):
        queue(f"p{number}@a.test")
    deliver(rounds=4)
    assert Attempt.objects.count() == 1
    assert not QueueEntry.objects.exclude(state="queued").exists()
    away = QueueDestination.objects.get()
    assert (away.name, away.failures, away.state) == ("a.test", 1, "away")
    assert "refused" in away.last_reply
    assert QueueEntry.objects.filter(parked__gt=0, attempts=0, lease_owner="").count() == 249


def test_a_connection_too_many_is_no_dead_destination(queue, deliver, mx):
    mx.most = 1
    mx.read_every = 0.02
    for number in range(20):
        queue(f"p{number}@a.test", notify=("NEVER",))
    deliver()
    assert not QueueDestination.objects.exists()
    assert len(mx.messages) == 20
    assert mx.most_open > 1
    assert mx.connections <= 4  # it is not tried again and again


def test_what_was_delivered_is_written_down_though_it_cannot_be_noted_who_is_there(queue, deliver, mx, monkeypatch):
    async def stumble(*_args):
        raise RuntimeError("no")

    monkeypatch.setattr(Scheduler, "_learn", stumble)
    message = queue("bob@a.test", notify=("NEVER",))
    deliver()
    assert len(mx.messages) == 1
    assert kinds(message) == ["received", "queued", "attempt", "sent"]
    assert not QueueEntry.objects.exists()


def test_a_probe_that_is_about_its_message_alone_leaves_it_open_whether_anybody_is_there(
    queue, deliver, scheduler, settings_of, mx
):
    port = mx.port
    settings_of(remote_smtp_port=1, destination_concurrency=1)
    queue("bob@a.test")
    deliver()
    secured = queue("amy@a.test", requiretls=True)
    queue("tom@a.test")
    settings_of(remote_smtp_port=port)
    deliver()
    QueueEntry.objects.filter(recipient="bob@a.test").delete()
    later = QueueDestination.objects.get().next_attempt_at
    scheduler._now = lambda: later
    deliver(rounds=4)
    assert Attempt.objects.filter(message=secured).count() == 1
    assert [message.recipients for message in mx.messages] == [["tom@a.test"]]


def test_when_it_is_back_one_probe_finds_out_and_everything_goes(queue, deliver, scheduler, settings_of, mx):
    port = mx.port
    settings_of(remote_smtp_port=1, destination_concurrency=1)
    numbers = [queue(f"p{number}@a.test", notify=("NEVER",)) for number in range(30)]
    deliver(rounds=2)
    later = timezone.now()
    for failures in (2, 3):
        later += timedelta(hours=2)
        scheduler._now = lambda later=later: later
        QueueEntry.objects.filter(parked=0).delete()  # those that have been tried
        deliver(rounds=3)
        assert QueueDestination.objects.get().failures == failures
        assert Attempt.objects.count() == failures
    settings_of(remote_smtp_port=port)
    later += timedelta(hours=2)
    scheduler._now = lambda: later
    QueueEntry.objects.filter(parked=0).delete()
    deliver(rounds=4)
    assert not QueueEntry.objects.filter(parked__gt=0).exists()
    assert len(mx.messages) == len(numbers) - 3
    assert not QueueDestination.objects.exists()


def test_a_worker_that_is_started_anew_knows_who_is_away(queue, deliver, turner, doors, resolver, settings_of, mx):
    settings_of(remote_smtp_port=1)
    queue("bob@a.test")
    deliver()
    settings_of(remote_smtp_port=mx.port)
    queue("amy@a.test")
    other = Scheduler(turner.reactor, doors, resolver)
    turner.run(other._look())
    turner.until(lambda: other.in_hand == 0)
    assert mx.messages == []
    assert QueueEntry.objects.get(recipient="amy@a.test").parked


def test_one_host_that_answers_is_no_dead_destination(queue, deliver, mx):
    mx.says["RCPT"] = "450 4.2.0 Not yet"
    queue("bob@a.test")
    deliver()
    assert not QueueDestination.objects.exists()


def test_who_waits_for_a_dead_destination_is_told_and_given_up_in_time(
    queue, deliver, turner, scheduler, settings_of, mx
):
    settings_of(remote_smtp_port=1, destination_concurrency=1)
    queue("bob@a.test")
    number = queue("amy@a.test")
    deliver()
    QueueEntry.objects.exclude(message=number).delete()
    start = timezone.now()

    def tidy(after):
        scheduler._now = lambda: start + after
        turner.run(scheduler._tidy())
        turner.until(lambda: scheduler.in_hand == 0)

    tidy(timedelta(hours=1))
    assert not MessageEvent.objects.filter(message=number, kind="delay").exists()
    tidy(timedelta(hours=5))
    assert MessageEvent.objects.filter(message=number, kind="delay").count() <= 1
    entry = QueueEntry.objects.get(message=number)
    assert entry.delay_notified_at is not None
    assert entry.last_reply.startswith("4.4.1 a.test has been away since ")
    assert Attempt.objects.filter(message=number).count() == 0  # nobody has tried, and nobody says so
    QueueEntry.objects.update(parked=2)
    tidy(timedelta(days=6))
    assert not QueueEntry.objects.filter(message=number).exists()
    assert (
        MessageEvent.objects.get(message=number, kind="failed")
        .detail["reply"]
        .startswith("given up, last reply: 4.4.1 ")
    )


# ---- TLS, routes ----


@pytest.fixture
def certificate(tmp_path, settings_of):
    settings_of(data_dir=tmp_path)
    tls.ensure_pair(env.current())
    chain, key = tls.certificate_paths(env.current())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def test_tls_is_used_when_offered_whatever_the_certificate(queue, deliver, mx, certificate):
    mx.tls = certificate
    queue("bob@a.test")
    deliver()
    assert mx.messages[0].tls
    assert Attempt.objects.get().tls.startswith("TLSv1.3 ")


def test_tls_that_does_not_work_is_done_without(queue, deliver, mx, certificate):
    mx.tls = certificate
    mx.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    mx.tls.set_ciphers("PSK")
    queue("bob@a.test")
    deliver()
    assert [message.tls for message in mx.messages] == [False]


@pytest.mark.parametrize("offered", [False, True])
def test_a_route_that_requires_tls_takes_no_other(queue, deliver, mx, certificate, offered):
    mx.tls = certificate if offered else None  # its certificate is valid for nobody
    Route.objects.create(domain="b.test", host="127.0.0.1", port=mx.port, tls="required")
    message = queue("bob@b.test")
    deliver()
    assert mx.messages == []
    assert entries(message)["bob@b.test"].state == "queued"


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Certified("mx", ROOT, names=["mx.a.test"]), None),
        (Certified("mx", ROOT, names=["mx.b.test"]), "the certificate is for another name than mx.a.test"),
        (Certified("mx", ROOT), "the certificate is for another name than mx.a.test"),
        (Certified("mx", names=["mx.a.test"]), "the certificate is self-signed"),
        (
            Certified("mx", ROOT, names=["mx.a.test"], begin=NOW - 3 * DAY, end=NOW - DAY),
            "the certificate has expired",
        ),
        (
            Certified("mx", Certified("nobody", ca=True), names=["mx.a.test"]),
            "the certificate is by an authority that is not trusted",
        ),
    ],
    ids=["valid", "another name", "no name", "self-signed", "expired", "unknown authority"],
)
@pytest.mark.usefixtures("authority")
def test_what_is_wrong_with_a_certificate_is_said_plainly(queue, deliver, mx, tmp_path, shown, words):
    mx.tls = shown.context(tmp_path)
    Route.objects.create(domain="b.test", host="mx.a.test", port=mx.port, tls="required")
    queue("bob@b.test")
    deliver()
    attempt = Attempt.objects.get()
    if words is None:
        assert attempt.outcome == "sent"
        assert attempt.tls.endswith("proved by its certificate")
    else:
        assert (attempt.outcome, attempt.enhanced, attempt.reply) == ("deferred", "4.7.5", words)
        assert not any(command.startswith("MAIL") for command in mx.commands)


def test_a_route_goes_before_mx_and_the_smart_host_takes_the_rest(queue, deliver, mx, dns):
    Route.objects.create(domain="b.test", host="route.test", port=mx.port)
    dns.add("route.test", "A", "127.0.0.1")
    with FakeMx(offers=("AUTH PLAIN",)) as smart:
        route = Route(domain="*", host="localhost", port=smart.port, tls="never", username="ann")
        route.password = "s3cret"
        route.save()
        queue("bob@b.test", "amy@c.test", "tom@d.test")
        deliver()
        assert [message.recipients for message in mx.messages] == [["bob@b.test"]]
        assert [sorted(message.recipients) for message in smart.messages] == [["amy@c.test", "tom@d.test"]]
        assert "AUTH PLAIN AGFubgBzM2NyZXQ=" in smart.commands


def test_a_disabled_route_does_not_count(queue, deliver, mx):
    Route.objects.create(domain="a.test", host="127.0.0.1", port=1, enabled=False)
    queue("bob@a.test")
    deliver()
    assert len(mx.messages) == 1


def test_a_route_to_ourselves_leads_nowhere(queue, deliver, mx, settings_of):
    settings_of(smtp_listen=f"127.0.0.1:{mx.port}")
    Route.objects.create(domain="b.test", host="127.0.0.1", port=mx.port)
    queue("bob@b.test")
    deliver()
    assert mx.messages == []
    assert Attempt.objects.get().enhanced == "4.4.6"


# ---- notices ----


def test_a_null_sender_hears_nothing(queue, deliver):
    queue("bob@nowhere.test", sender="")
    deliver()
    assert not QueuedMessage.objects.exists()


@pytest.mark.parametrize(("notify", "told"), [((), 1), (("NEVER",), 0), (("SUCCESS",), 0), (("FAILURE",), 1)])
def test_failure_is_told_unless_it_is_not_wanted(queue, deliver, notify, told):
    queue("bob@nowhere.test", notify=notify)
    deliver()
    assert len(notices()) == told


def test_a_failure_gives_back_the_original_recipient_and_envelope_id(queue, deliver):
    queue("bob@nowhere.test", orcpt="rfc822;robert@old.test", envid="abc", ret="HDRS", eight_bit=False)
    deliver()
    (bounce,) = notices()
    assert "Original-Recipient: rfc822; robert@old.test" in bounce
    assert "Original-Envelope-Id: abc" in bounce
    assert "last" not in bounce


def test_delay_is_told_once(queue, deliver, mx, settings_of):
    settings_of(delay_notice_after=0)
    mx.says["RCPT"] = "450 4.2.1 later"
    message = queue("bob@a.test")
    deliver()
    (notice,) = notices()
    assert "Action: delayed" in notice
    assert "Will-Retry-Until:" in notice
    for _attempt in range(2):
        QueueEntry.objects.filter(message_id=message).update(next_attempt_at="2020-01-01T00:00Z")
        deliver()
    assert kinds(message).count("delay") == 1


def test_at_the_end_of_its_life_a_message_fails_with_the_last_reply(queue, deliver, mx, later):
    mx.says["RCPT"] = "450 4.2.1 later"
    message = queue("bob@a.test")
    QueuedMessage.objects.filter(id=message).update(expires_at=later(-1))
    deliver()
    assert not QueuedMessage.objects.filter(id=message).exists()
    assert MessageTrace.objects.get(message=message).status == "failed"
    assert Attempt.objects.get(message=message).outcome == "deferred"
    assert "Action: failed" in notices()[0]
    assert "Status: 4.2.1" in notices()[0]


@pytest.mark.parametrize(("offers", "relayed"), [((), 1), (("DSN",), 0)])
def test_success_is_told_by_us_only_where_the_next_server_does_not(queue, deliver, mx, offers, relayed):
    mx.offers = offers
    queue("bob@a.test", notify=("SUCCESS",), envid="x y")
    deliver()
    assert len(notices()) == relayed
    if relayed:
        assert "Action: relayed" in notices()[0]
    else:
        assert mx.messages[0].rcpts == ["RCPT TO:<bob@a.test> NOTIFY=SUCCESS"]
        assert mx.messages[0].mail == "MAIL FROM:<me@example.org> ENVID=x+20y"


def test_a_notice_to_a_mailbox_here_is_in_it_with_the_outcome(queue, deliver, make_user):
    make_user("me@example.com")
    queue("bob@nowhere.test", sender="me@example.com")
    deliver()
    assert Message.objects.count() == 1
    assert not QueuedMessage.objects.exists()


# ---- mail that is for us by now ----


def test_mail_for_a_domain_that_is_ours_by_now_goes_into_the_mailbox(queue, deliver, mx, make_user):
    make_user("bob@example.com")
    message = queue("bob@example.com", "nobody@example.com")
    deliver()
    assert Message.objects.get().body.size == len(CONTENT)
    assert Body.objects.filter(messages__isnull=False).count() == 1
    statuses = dict(MessageTrace.objects.filter(message=message).values_list("recipient", "status"))
    assert statuses == {"bob@example.com": "delivered", "nobody@example.com": "failed"}
    assert mx.messages == []


# ---- trouble of our own ----


def test_a_message_that_makes_us_stumble_is_set_aside_and_the_others_go_on(queue, deliver, mx, monkeypatch):
    poison = queue("poison@a.test")
    say = connection.OutboundConnection.deliver

    def stumble(self, envelope, pieces):
        if envelope.recipients[0].address == "poison@a.test":
            raise ZeroDivisionError
        return say(self, envelope, pieces)

    monkeypatch.setattr(connection.OutboundConnection, "deliver", stumble)
    for number in range(3):
        queue(f"p{number}@a.test")
        QueueEntry.objects.update(next_attempt_at="2020-01-01T00:00Z")
        deliver()
    assert len(mx.messages) == 3
    entry = entries(poison)["poison@a.test"]
    assert (entry.state, entry.crashes) == ("held", 3)
    assert kinds(poison).count("held") == 1
    assert MessageTrace.objects.get(message=poison).status == "held"
    audit = AuditEntry.objects.get(action="message_held")
    assert audit.metadata["queue_id"] == to_text(poison)


def test_a_message_whose_body_is_gone_is_set_aside_too(queue, deliver, mx):
    message = queue("bob@a.test", content=CONTENT * 1000)
    from mailqueue.bodies import delete_file

    delete_file(Body.objects.get().id)
    for _attempt in range(3):
        QueueEntry.objects.update(next_attempt_at="2020-01-01T00:00Z")
        deliver()
    assert entries(message)["bob@a.test"].state == "held"
    assert mx.messages == []


def test_an_outcome_is_written_down_when_the_database_is_back_and_nothing_is_sent_twice(
    queue, mx, turner, scheduler, doors, monkeypatch
):
    from mailcore.delivery import recorder
    from mailcore.delivery import scheduler as module

    monkeypatch.setattr(recorder, "AGAIN_AFTER", 0.05)
    monkeypatch.setattr(module, "AGAIN_AFTER", 0.05)
    queue("bob@a.test")
    doors.away_after = "open_body"
    turner.run(scheduler._look())
    turner.until(lambda: mx.messages)
    for _turn in range(30):
        turner.reactor.iterate(0.01)
    assert scheduler.in_hand == 1
    doors.away, doors.away_after = False, None
    turner.until(lambda: scheduler.in_hand == 0)
    assert not QueuedMessage.objects.exists()
    assert len(mx.messages) == 1


def test_a_database_that_goes_away_before_anything_is_sent_costs_no_attempt(queue, turner, scheduler, doors, mx):
    message = queue("bob@a.test")
    doors.away_after = "claim"
    scheduler._calmly("look", scheduler._look())
    turner.until(lambda: scheduler.in_hand == 0)
    assert mx.messages == []
    assert entries(message)["bob@a.test"].attempts == 0


def test_a_notice_that_cannot_be_accepted_does_not_cost_the_outcome(queue, deliver, monkeypatch):
    from mailcore.delivery import settlement

    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(settlement, "make_notice", fail)
    message = queue("bob@nowhere.test")
    deliver()
    assert MessageTrace.objects.get(message=message).status == "failed"


def test_an_entry_that_is_deleted_meanwhile_does_not_come_back(queue, turner, scheduler, mx):
    message = queue("bob@a.test")
    turner.run(scheduler._look())
    QueuedMessage.objects.filter(id=message).delete()
    turner.until(lambda: scheduler.in_hand == 0)
    assert not QueueEntry.objects.exists()


# ---- beginning and end ----


def test_start_takes_over_from_the_dead_and_wake_looks_at_once(queue, turner, scheduler, mx, monkeypatch):
    from mailcore.delivery import scheduler as module

    queue("bob@a.test")
    dead = claims.owner_name().rpartition("/")[0] + "/1"
    QueueEntry.objects.update(lease_owner=dead, lease_until="2999-01-01T00:00Z")
    scheduler.start()
    turner.until(lambda: mx.messages)
    scheduler._calls[module.LOOK_EVERY].call.reset(1000)
    queue("amy@a.test")
    scheduler.wake()
    turner.until(lambda: len(mx.messages) == 2)
    turner.run(scheduler.drain())


def test_drain_finishes_what_is_in_flight_and_gives_back_the_rest(queue, turner, scheduler, mx, settings_of):
    settings_of(destination_concurrency=1)
    for number in range(3):
        queue(f"p{number}@a.test")
    scheduler.start()
    turner.until(lambda: scheduler.in_hand == 3)
    turner.run(scheduler.drain())
    assert len(mx.messages) == 1
    assert QueueEntry.objects.count() == 2
    assert not QueueEntry.objects.exclude(lease_owner="").exists()
    assert not QueueEntry.objects.exclude(attempts=0).exists()


def test_idle_connections_are_closed_in_order(queue, deliver, mx, turner, monkeypatch):
    monkeypatch.setattr(remote, "IDLE_SECONDS", 0.1)
    queue("bob@a.test")
    deliver()
    turner.until(lambda: mx.open == 0)
    assert mx.commands[-1] == "QUIT"


def test_credentials_are_in_no_log_of_a_job():
    from mailcore.delivery.jobs import Nexthop
    from mailcore.smtp.client import Credentials

    assert "s3cret" not in repr(replace(Nexthop(host="x"), login=Credentials("ann", "s3cret")))
