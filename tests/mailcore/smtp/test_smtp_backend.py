"""What an SMTP session's questions are answered with a real database: who may send what, and what is made of it."""

import dataclasses
from datetime import timedelta

import pytest
from answering import Doors, logged_in, now
from django.utils import timezone
from twisted.internet.defer import Deferred

from a3mailer_site import env
from accounts.models import Alias, AliasTarget, User
from domains import greylisting as policies_module
from mailcore.conversation import CommandRefusedError
from mailcore.dialogue import Peer, UnavailableError
from mailcore.intake import once as once_module
from mailcore.intake.once import once
from mailcore.lines import LineBuffer
from mailcore.message.envelope import Client, Envelope, Recipient, Reply
from mailcore.message.headers import Headers
from mailcore.smtp import backend as backend_module
from mailcore.smtp import recipients as recipients_module
from mailcore.smtp import strangers as strangers_module
from mailcore.smtp.backend import (
    FROM_MISSING,
    FROM_NOT_YOURS,
    HEADER_TOO_LARGE,
    LOOP,
    NOT_YOURS,
    VANISHED,
    accept_for_each,
    accept_message,
    begin_session,
    check_sender,
    count_error,
    end_session,
)
from mailcore.smtp.grammar import parse_recipient, parse_sender
from mailcore.smtp.questions import (
    AcceptForEach,
    AcceptMessage,
    BeginSession,
    CheckRecipients,
    CheckSender,
    CountError,
    EndSession,
)
from mailcore.smtp.recipients import check_recipients
from mailcore.smtp.replies import TOO_MANY_ERRORS
from mailcore.smtp.reverse_names import ReverseNames
from mailcore.smtp.strangers import (
    MISTAKES_LATELY,
    TOO_MANY_ADDRESSES,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_MESSAGES,
    TOO_MANY_MISTAKES,
    TOO_MANY_UNKNOWN,
)
from mailcore.smtp.suspicion import UNKNOWN, Reverse
from mailcore.store import spool
from mailcore.store.batch import GoneError
from mailcore.store.commit import run
from mailcore.store.models import Message
from mailqueue.bodies import read_body
from mailqueue.models import Body, MessageEvent, MessageTrace, QueuedMessage, Submission
from mailqueue.timeline import steps
from security import greylisting as security_greylisting
from security.models import AuditEntry, Greylisted

pytestmark = pytest.mark.django_db(transaction=True)

OUTSIDE = Client(Peer("192.0.2.1", 4000), None, "mx.example.net", "ESMTP")


@pytest.fixture
def alice(make_user):
    return make_user("alice@example.com")


@pytest.fixture
def bob(make_user):
    return make_user("bob@example.com")


def send(client, content, *recipients, sender="s@example.net", notify=frozenset()):
    body = spool.Spool()
    body.write(content)
    envelope = Envelope(client, sender, tuple(Recipient(address, notify) for address in recipients))
    return now(accept_message(AcceptMessage(envelope.with_size(body.size), body), Doors()))


def delivered():
    """The bytes of the only message that there is."""
    (body,) = Body.objects.values_list("pk", flat=True)
    return read_body(body)


@pytest.mark.parametrize(
    "path",
    [
        "victim@elsewhere.example",
        "victim%elsewhere.example@example.com",
        "elsewhere.example!victim@example.com",
        '"victim@elsewhere.example"@example.com',
        '"victim%elsewhere.example"@example.com',
        '"elsewhere.example!victim"@example.com',
        "@example.com:victim@elsewhere.example",
        "@example.com,@elsewhere.example:victim%elsewhere.example@example.com",
        "victim@elsewhere.example@example.com",
        "alice@example.com@elsewhere.example",
        "victim@elsewhere.example.",
        "alice@example.com.",
        "alice@example.com.elsewhere.example",
        "alice@notexample.com",
        "alice@sub.example.com",
        "alice@[127.0.0.1]",
        "alice@[192.0.2.9]",
        "alice@[IPv6:::1]",
        "alice@",
        "alice",
        '""@example.com',
        "victim:elsewhere.example@example.com",
    ],
)
@pytest.mark.parametrize("sender", ["", "s@example.net", "alice@example.com", "postmaster@example.com"])
def test_no_disguise_makes_a_relay_for_strangers(alice, path, sender):
    envelope = Envelope(OUTSIDE, sender)
    try:
        address, _ = parse_recipient(f"TO:<{path}>")
    except CommandRefusedError as refused:
        verdict = refused.reply
    else:
        (verdict,) = now(check_recipients(CheckRecipients(envelope, (Recipient(address),)), Doors()))
    assert verdict is not None
    assert 500 <= verdict.code < 600


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("alice@example.com", None),
        ("ALICE+tag@EXAMPLE.com", None),
        ("team@example.com", None),
        ("", None),
        ("bob@example.com", NOT_YOURS),
        ("alice@elsewhere.example", NOT_YOURS),
        ("alice@example.com.elsewhere.example", NOT_YOURS),
        ("nobody@example.com", NOT_YOURS),
        ("alice%example.com@elsewhere.example", NOT_YOURS),
        ('"alice@example.com"@elsewhere.example', NOT_YOURS),
        ("alice@[127.0.0.1]", NOT_YOURS),
    ],
)
def test_the_envelope_sender_belongs_to_the_login(alice, bob, domain, sender, expected):
    alias = Alias.objects.create(address="team@example.com", domain=domain)
    AliasTarget.objects.create(alias=alias, address="alice@example.com")
    assert now(check_sender(CheckSender(Envelope(logged_in(alice), sender)), Doors())) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"From: Alice <alice@example.com>", None),
        (b"From: alice+tag@example.com", None),
        (b'From: "bob@example.com" <alice@example.com>', None),
        (b"From: bob@example.com", FROM_NOT_YOURS),
        (b"From: alice@example.com, bob@example.com", FROM_NOT_YOURS),
        (b"From: team: alice@example.com, bob@example.com;", FROM_NOT_YOURS),
        (b"From: team: alice@example.com;", None),
        (b"From: undisclosed:;", FROM_MISSING),
        (b"From: bob@example.com (<alice@example.com>)", FROM_NOT_YOURS),
        (b"From: (alice@example.com) bob@example.com", FROM_NOT_YOURS),
        (b"From: <alice@example.com> <bob@example.com>", FROM_NOT_YOURS),
        (b"From: bob@example.com <alice@example.com>", FROM_NOT_YOURS),
        (b"From: =?utf-8?q?bob=40example.com?=", FROM_NOT_YOURS),
        (b"From: =?utf-8?q?bob?=@example.com", FROM_NOT_YOURS),
        (b"From: alice@example.com;bob@example.com", FROM_NOT_YOURS),
        (b"From: alice@example.com\r\nFROM : bob@example.com", FROM_MISSING),
        (b"From: alice@example.com\r\nfrom:alice@example.com", FROM_MISSING),
        (b"From:\r\n bob@example.com", FROM_NOT_YOURS),
        (b"From: alice", FROM_NOT_YOURS),
        (b"From: \xff@example.com", FROM_NOT_YOURS),
        (b"From: alice@example.com" + b" " * 300_000 + b", bob@example.com", FROM_NOT_YOURS),
        (b"From: alice@example.com\r\n" + b"X: y\r\n" * 1000 + b"From: bob@example.com", HEADER_TOO_LARGE),
        (b"From:", FROM_MISSING),
        (b"Subject: none", FROM_MISSING),
        (b" From: alice@example.com", FROM_MISSING),
        (b"\r\nFrom: alice@example.com", FROM_MISSING),
    ],
)
def test_the_sender_that_people_see_belongs_to_the_login(alice, bob, header, expected):
    reply = send(logged_in(alice), header + b"\r\n\r\nbody\r\n", "bob@example.com", sender="alice@example.com")
    if expected is None:
        assert reply.code == 250
    else:
        assert reply == expected
        assert not MessageTrace.objects.exists()


@pytest.mark.parametrize("first", [b" forged (by a stranger) with ESMTPA", b"\tid 1; x", b" "])
def test_a_message_that_begins_with_white_space_does_not_go_on_with_our_trace_fields(alice, first):
    assert send(OUTSIDE, first + b"\r\nSubject: x\r\n\r\nbody\r\n", "alice@example.com").code == 250
    headers = Headers(delivered())
    assert [field.name for field in headers] == [b"return-path", b"received"]
    assert b"forged" not in headers.get(b"received")
    assert delivered().endswith(b"\r\n\r\n" + first + b"\r\nSubject: x\r\n\r\nbody\r\n")


def test_a_forged_return_path_stands_below_ours(alice):
    assert send(OUTSIDE, b"Return-Path: <forged@example.net>\r\n\r\nx\r\n", "alice@example.com").code == 250
    assert Headers(delivered()).get(b"return-path") == b"<s@example.net>"


@pytest.mark.parametrize("helo", ["a>b", "x)(y", "<script>", "a;b", "=?utf-8?q?x?="])
def test_what_a_client_calls_itself_cannot_break_out_of_received(alice, helo):
    client = Client(Peer("192.0.2.1", 4000), None, helo, "ESMTP")
    assert send(client, b"Subject: x\r\n\r\nx\r\n", "alice@example.com").code == 250
    received = Headers(delivered()).get(b"received").decode()
    assert received.startswith("from ")
    assert not set("<>();=") & set(received.split(" ")[1])
    assert received.split(" ")[2] == "([192.0.2.1])"


def test_more_than_a_hundred_hops_are_a_loop(alice):
    hops = b"Received: from a by b; Mon, 1 Jan 2024 10:00:00 +0000\r\n"
    assert send(OUTSIDE, hops * 99 + b"\r\nx\r\n", "alice@example.com").code == 250
    assert send(OUTSIDE, hops * 100 + b"\r\nx\r\n", "alice@example.com") == LOOP


def test_the_longest_sender_fits_into_our_return_path(alice):
    domain = ".".join(["\u4f8b" * 20] * 4)
    local = "\U0001f4ee" * ((320 - 1 - len(domain.encode())) // 4)
    address, _ = parse_sender(f"FROM:<{local}@{domain}>")
    assert send(OUTSIDE, b"Subject: x\r\n\r\nx\r\n", "alice@example.com", sender=address).code == 250
    with pytest.raises(CommandRefusedError):
        parse_sender(f"FROM:<{local}\u4f8b\u4f8b@{domain}>")


@pytest.mark.parametrize(
    ("sender", "told"), [("victim@elsewhere.example", 0), ("bob@example.com", 1), ("nobody@example.com", 0), ("", 0)]
)
def test_nobody_elsewhere_is_told_of_success_on_the_word_of_a_stranger(alice, bob, sender, told):
    reply = send(OUTSIDE, b"Subject: x\r\n\r\nx\r\n", "alice@example.com", sender=sender, notify=frozenset({"SUCCESS"}))
    assert reply.code == 250
    assert MessageTrace.objects.filter(direction="int").count() == told
    assert not QueuedMessage.objects.exists()


@pytest.mark.parametrize("recipient", ["alice@example.com", "far@elsewhere.example"])
def test_a_notice_of_success_without_room_costs_itself_and_not_the_message(alice, bob, recipient):
    User.objects.filter(pk=bob.pk).update(quota=1000, used_quota=999)
    content = b"From: bob@example.com\r\nSubject: x\r\n\r\nx\r\n"
    reply = send(
        logged_in(bob), content, "alice@example.com", recipient, sender=bob.email, notify=frozenset({"SUCCESS"})
    )
    assert reply.code == 250
    assert set(MessageTrace.objects.values_list("recipient", flat=True)) == {"alice@example.com", recipient}


def test_the_room_of_a_message_is_given_back_whatever_becomes_of_it(alice):
    before = spool.budget.used
    assert send(OUTSIDE, b"x" * 1000, "alice@example.com").code == 250
    assert send(logged_in(alice), b"x" * 1000, "alice@example.com").code == 550
    assert spool.budget.used == before


def test_a_line_without_end_keeps_no_memory():
    buffer = LineBuffer()
    for _ in range(100):
        buffer.feed(b"x" * 65536)
        try:
            assert buffer.next_line(4096) is None
        except ValueError:
            continue
    assert len(buffer) <= 1


class ChangingDoors(Doors):
    """Somebody is changed just when the message for all of them is to be written, and ann is gone for good."""

    async def commit(self, work):
        if len(work.plan.deliveries) != 1 or work.plan.deliveries[0].recipient == "ann@example.com":
            raise GoneError
        return run(work)


class CountingDoors(Doors):
    """Counts the commits."""

    commits = 0

    async def commit(self, work):
        self.commits += 1
        return run(work)


def over_lmtp(doors, *recipients):
    body = spool.Spool()
    body.write(b"Subject: x\r\n\r\nhello\r\n")
    envelope = Envelope(OUTSIDE, "s@example.net", recipients, body.size)
    return [reply.code for reply in now(accept_for_each(AcceptForEach(envelope, body), doors))]


def test_over_lmtp_a_message_for_which_nobody_has_room_is_tried_once(alice, bob):
    User.objects.update(quota=1000, used_quota=999)
    doors = CountingDoors()
    assert over_lmtp(doors, Recipient(alice.email), Recipient(bob.email)) == [452, 452]
    assert doors.commits == 1


@pytest.mark.parametrize(("doors", "codes"), [(Doors(), [250, 250, 250]), (ChangingDoors(), [250, 451, 250])])
def test_over_lmtp_one_who_is_in_the_way_stops_nobody_else(make_user, doors, codes):
    people = [make_user(f"{name}@example.com").email for name in ("alice", "ann", "bob")]
    assert over_lmtp(doors, *map(Recipient, people)) == codes
    assert sorted(MessageTrace.objects.values_list("recipient", flat=True)) == sorted(
        person for person, code in zip(people, codes, strict=True) if code == 250
    )
    assert VANISHED.code == 451


# -- Handing in again -------------------------------------------------------------------------------------------------

LETTER = b"From: <alice@example.com>\r\nMessage-ID: <1@example.com>\r\nSubject: x\r\n\r\nhello\r\n"


def hand_in(user, content=LETTER, recipients=("far@elsewhere.example",), sender="alice@example.com"):
    reply = send(logged_in(user), content, *recipients, sender=sender)
    assert reply.code == 250, reply
    return reply.text


def test_what_is_handed_in_again_is_not_sent_again(alice):
    first, second = hand_in(alice), hand_in(alice)
    assert second == f"{first} before"
    assert QueuedMessage.objects.count() == 1
    assert MessageTrace.objects.count() == 1
    assert hand_in(alice) == second


def test_the_order_of_recipients_makes_no_difference(alice):
    hand_in(alice, recipients=("a@elsewhere.example", "b@elsewhere.example"))
    hand_in(alice, recipients=("b@elsewhere.example", "a@elsewhere.example", "b@elsewhere.example"))
    assert QueuedMessage.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"content": LETTER.replace(b"hello", b"hallo")},
        {"content": LETTER.replace(b"<1@", b"<2@")},
        {"recipients": ("far@elsewhere.example", "too@elsewhere.example")},
        {"recipients": ("too@elsewhere.example",)},
        {"sender": ""},
    ],
)
def test_what_differs_in_anything_is_another_message(alice, other):
    hand_in(alice)
    hand_in(alice, **other)
    assert QueuedMessage.objects.count() == 2


def test_without_a_message_id_two_are_two(alice):
    content = LETTER.replace(b"Message-ID: <1@example.com>\r\n", b"")
    hand_in(alice, content)
    hand_in(alice, content)
    assert QueuedMessage.objects.count() == 2


@pytest.mark.parametrize(("seconds", "count"), [(0, 2), (60, 2), (7200, 1)])
def test_only_for_a_while(alice, monkeypatch, seconds, count):
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), submit_once=seconds))
    hand_in(alice)
    Submission.objects.update(at=timezone.now() - timedelta(hours=1))
    hand_in(alice)
    assert QueuedMessage.objects.count() == count
    assert Submission.objects.count() == (count if seconds else 0)


@pytest.mark.parametrize("status", [MessageTrace.Status.FAILED, MessageTrace.Status.PURGED, None])
def test_what_did_not_arrive_is_sent_when_it_is_handed_in_again(alice, status):
    hand_in(alice, recipients=("a@elsewhere.example", "b@elsewhere.example"))
    one = MessageTrace.objects.filter(recipient="b@elsewhere.example")
    one.update(status=status) if status else MessageTrace.objects.all().delete()
    hand_in(alice, recipients=("a@elsewhere.example", "b@elsewhere.example"))
    assert QueuedMessage.objects.count() == 2


def test_the_last_of_several_is_the_one_that_counts(alice):
    first = hand_in(alice)
    MessageTrace.objects.update(status=MessageTrace.Status.FAILED)
    second = hand_in(alice)
    assert second != f"{first} before"
    assert hand_in(alice) == f"{second} before"


def test_what_was_refused_is_taken_when_it_comes_again(alice, bob):
    type(bob).objects.filter(pk=bob.pk).update(quota=10, used_quota=10)
    content = LETTER
    assert send(logged_in(alice), content, "bob@example.com", sender="alice@example.com").code == 452
    type(bob).objects.filter(pk=bob.pk).update(quota=0)
    assert send(logged_in(alice), content, "bob@example.com", sender="alice@example.com").code == 250
    assert Message.objects.count() == 1


def test_the_same_from_two_people_is_two(make_user, alice):
    domain = alice.domain
    alias = Alias.objects.create(address="team@example.com", domain=domain)
    carol = make_user("carol@example.com")
    for user in (alice, carol):
        AliasTarget.objects.create(alias=alias, address=user.email)
        content = LETTER.replace(b"alice@example.com", b"team@example.com")
    for user in (alice, carol):
        hand_in(user, content, sender="team@example.com")
    assert QueuedMessage.objects.count() == 2


def test_strangers_may_say_the_same_as_often_as_they_like(bob):
    for _ in range(2):
        assert send(OUTSIDE, LETTER, "bob@example.com").code == 250
    assert Message.objects.count() == 2


def test_who_hands_in_the_same_at_the_same_time_waits():
    order = []

    async def one(name, turn):
        async with once(7, b"mark"):
            order.append(f"{name} begins")
            await turn
            order.append(f"{name} ends")

    turns = {name: Deferred() for name in "abc"}
    for name, turn in turns.items():
        Deferred.fromCoroutine(one(name, turn))
    assert order == ["a begins"]
    turns["a"].callback(None)
    assert order[1:3] == ["a ends", "b begins"]
    turns["b"].callback(None)
    turns["c"].callback(None)
    assert order[-3:] == ["b ends", "c begins", "c ends"]
    assert not once_module._under_way


def test_marks_that_nobody_looks_for_are_removed(alice):
    hand_in(alice)
    Submission.objects.update(at=timezone.now() - timedelta(hours=2))
    assert Submission.objects.forget_outlived(3600) == 1


STRANGER = dataclasses.replace(OUTSIDE, stranger=True)


def may_send(client):
    return now(check_sender(CheckSender(Envelope(client, "s@example.net")), Doors()))


def verdicts(client, *addresses):
    recipients = tuple(map(Recipient, addresses))
    return now(check_recipients(CheckRecipients(Envelope(client, "s@example.net"), recipients), Doors()))


@pytest.fixture
def limits(monkeypatch):
    """Put settings in force."""
    return lambda **changes: monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **changes))


@pytest.mark.parametrize(("client", "expected"), [(OUTSIDE, None), (STRANGER, TOO_MANY_MESSAGES)])
def test_only_strangers_have_a_limit_of_messages(limits, client, expected):
    limits(inbound_messages="2/0")
    assert [may_send(client) for _ in range(3)] == [None, None, expected]


def test_after_too_many_errors_a_stranger_starts_no_more_messages(limits):
    limits(inbound_errors="2/0")
    assert may_send(STRANGER) is None
    for number in (1, 2):
        assert now(count_error(CountError(STRANGER, number), Doors())) is None
    assert may_send(STRANGER) == MISTAKES_LATELY
    assert may_send(OUTSIDE) is None
    assert now(begin_session(BeginSession(STRANGER), Doors())) == TOO_MANY_MISTAKES
    assert now(begin_session(BeginSession(OUTSIDE), Doors())) is None


def test_recipients_beyond_the_limit_are_put_off_and_only_those_that_would_be_taken_count(alice, limits):
    limits(inbound_recipients="3/0")
    mine = ["alice@example.com", "nobody@example.com", "x@elsewhere.example", "alice+b@example.com"]
    assert [verdict and verdict.code for verdict in verdicts(STRANGER, *mine)] == [None, 550, 550, None]
    assert verdicts(STRANGER, "alice@example.com", "alice@example.com") == [None, TOO_MANY_ADDRESSES]
    assert verdicts(STRANGER, "nobody@example.com")[0].code == 550
    assert verdicts(OUTSIDE, "alice@example.com") == [None]


def test_a_place_is_given_back_at_the_end(limits):
    limits(inbound_connections="1/0")
    first, second = (dataclasses.replace(STRANGER, peer=Peer("192.0.2.1", port)) for port in (1, 2))
    assert now(begin_session(BeginSession(first), Doors())) is None
    assert now(begin_session(BeginSession(second), Doors())) == TOO_MANY_CONNECTIONS
    now(end_session(EndSession(second), Doors()))
    assert now(begin_session(BeginSession(second), Doors())) == TOO_MANY_CONNECTIONS
    now(end_session(EndSession(first), Doors()))
    assert now(begin_session(BeginSession(second), Doors())) is None


class SlowDoors(Doors):
    """Writes down how long somebody has to wait."""

    def __init__(self):
        self.waits = []

    async def pause(self, seconds):
        self.waits.append(seconds)


def test_who_makes_many_mistakes_waits_for_the_answers(limits):
    limits(tarpit_after=2, tarpit_longest=3)
    doors = SlowDoors()
    assert [now(count_error(CountError(STRANGER, number), doors)) for number in range(1, 7)] == [None] * 6
    assert doors.waits == [1, 2, 3, 3]


def test_where_too_many_wait_already_there_is_no_more_answer(limits, monkeypatch):
    monkeypatch.setattr(strangers_module, "HELD_AT_ONCE", 0)
    doors = SlowDoors()
    assert now(count_error(CountError(STRANGER, 3), doors)) is None
    assert now(count_error(CountError(STRANGER, 4), doors)) == TOO_MANY_ERRORS
    assert doors.waits == []


def test_beyond_the_limit_nobody_learns_which_addresses_there_are(alice, limits):
    limits(inbound_unknown="4/0")
    doors = SlowDoors()

    def codes(client, *addresses):
        question = CheckRecipients(Envelope(client, "s@example.net"), tuple(map(Recipient, addresses)))
        return now(check_recipients(question, doors))

    assert [verdict and verdict.code for verdict in codes(STRANGER, "a1@example.com", "alice@example.com")] == [
        550,
        None,
    ]
    assert doors.waits == []
    assert codes(STRANGER, "a2@example.com")[0].code == 550
    assert doors.waits == []
    # Half of it is used: now each answer takes its time, whatever it says.
    assert codes(STRANGER, "alice@example.com") == [None]
    assert doors.waits == [1]
    mixed = codes(STRANGER, "a3@example.com", "a4@example.com", "alice@example.com", "a5@example.com")
    assert [verdict.code for verdict in mixed] == [550, 550, 450, 450]
    everybody = ("alice@example.com", "a6@example.com", "x@elsewhere.example", "postmaster", "x@")
    assert codes(STRANGER, *everybody) == [TOO_MANY_UNKNOWN] * 5
    assert codes(STRANGER, *everybody) == [TOO_MANY_UNKNOWN] * 5
    (entry,) = AuditEntry.objects.filter(action="addresses_probed")
    assert (entry.source_ip, entry.event_type, entry.severity) == ("192.0.2.1", "security_violation", "warning")
    assert entry.metadata == {"source": "192.0.2.1/32", "limit": 4, "seconds": 600, "protocol": "smtp"}
    assert codes(OUTSIDE, "alice@example.com") == [None]
    elsewhere = dataclasses.replace(STRANGER, peer=Peer("198.51.100.1", 1))
    assert codes(elsewhere, "alice@example.com") == [None]


def test_an_audit_log_that_is_away_changes_no_answer(alice, limits):
    limits(inbound_unknown="1/0")

    class Away(SlowDoors):
        async def database(self, function, *args, **kwargs):
            if function.__name__ == "_record_probing":
                raise UnavailableError("x")
            return function(*args, **kwargs)

    recipients = tuple(map(Recipient, ("a1@example.com", "alice@example.com")))
    found = now(check_recipients(CheckRecipients(Envelope(STRANGER, "s@example.net"), recipients), Away()))
    assert [verdict.code for verdict in found] == [550, 450]
    assert not AuditEntry.objects.filter(action="addresses_probed").exists()


@pytest.fixture
def greylisting(domain, limits):
    """Give the domain a policy."""
    security_greylisting.forget()
    policies_module.forget()
    limits(greylist_wait=300, suspicious_from=3)

    def put(policy):
        domain.greylisting = policy
        domain.save()
        policies_module.policies()

    yield put
    security_greylisting.forget()
    policies_module.forget()


def knows(monkeypatch, reverse):
    names = ReverseNames()
    names._known.put("192.0.2.1", reverse)
    for module in (recipients_module, backend_module):
        monkeypatch.setattr(module, "reverse_names", names)


HONEST = Reverse(known=True, names=("mx.example.net",), confirmed="mx.example.net")
DUBIOUS = Reverse(known=True)


@pytest.mark.parametrize(
    ("policy", "reverse", "client", "waits"),
    [
        ("off", DUBIOUS, STRANGER, False),
        ("suspicious", HONEST, STRANGER, False),
        ("suspicious", UNKNOWN, STRANGER, False),
        ("suspicious", DUBIOUS, STRANGER, True),
        ("suspicious", HONEST, dataclasses.replace(STRANGER, helo="mail.test.invalid"), False),
        ("suspicious", HONEST, dataclasses.replace(STRANGER, helo="example.com"), True),
        ("always", HONEST, STRANGER, True),
        ("always", DUBIOUS, OUTSIDE, False),
    ],
)
def test_greylisting_is_for_strangers_as_the_domain_wants_it(
    alice, monkeypatch, greylisting, policy, reverse, client, waits
):
    greylisting(policy)
    knows(monkeypatch, reverse)
    (verdict,) = verdicts(client, "alice@example.com")
    assert (verdict == Reply(450, "4.7.1", "Greylisted, try again in 300 seconds")) is waits
    assert (verdict is None) is not waits
    assert Greylisted.objects.count() == int(waits)


def test_a_message_that_comes_again_after_its_time_comes_in(alice, greylisting):
    greylisting("always")
    assert [verdict and verdict.code for verdict in verdicts(STRANGER, "alice@example.com", "nobody@example.com")] == [
        450,
        550,
    ]
    assert Greylisted.objects.get().recipient == "alice@example.com"
    assert verdicts(STRANGER, "alice@example.com")[0].code == 450
    Greylisted.objects.update(first_at=timezone.now() - timedelta(seconds=301))
    assert verdicts(STRANGER, "ALICE@EXAMPLE.COM") == [None]
    assert verdicts(dataclasses.replace(STRANGER, peer=Peer("192.0.2.99", 1)), "alice@example.com") == [None]
    assert verdicts(dataclasses.replace(STRANGER, peer=Peer("192.0.3.1", 1)), "alice@example.com")[0].code == 450


def test_the_event_of_a_message_says_what_is_known_of_a_stranger(alice, monkeypatch):
    knows(monkeypatch, dataclasses.replace(HONEST, names=("dyn-1.isp.example",), confirmed="dyn-1.isp.example"))
    assert send(dataclasses.replace(STRANGER, helo="user"), b"Subject: x\r\n\r\nx\r\n", "alice@example.com").code == 250
    detail = MessageEvent.objects.get(kind="received").detail
    assert detail["reverse_name"] == "dyn-1.isp.example"
    assert detail["suspicion"] == {"points": 4, "reasons": ["helo_not_qualified", "reverse_name_dynamic"]}
    assert b"Received: from user (dyn-1.isp.example [192.0.2.1])" in delivered()
    step = next(iter(steps(MessageEvent.objects.filter(kind="received"), {})))
    assert "Its address has the name dyn-1.isp.example." in step.text
    assert "Points that speak against it: 4 (it calls itself by no full name; " in step.text


def test_of_others_nothing_of_the_kind_is_said(alice):
    send(OUTSIDE, b"Subject: x\r\n\r\nx\r\n", "alice@example.com")
    assert not {"reverse_name", "suspicion"} & set(MessageEvent.objects.get(kind="received").detail)


def test_a_recipient_that_is_greylisted_is_not_counted(alice, greylisting, limits):
    greylisting("always")
    limits(inbound_recipients="1/0")
    assert {verdicts(STRANGER, "alice@example.com")[0].text[:10] for _ in range(3)} == {"Greylisted"}
    Greylisted.objects.update(first_at=timezone.now() - timedelta(seconds=301))
    assert verdicts(STRANGER, "alice@example.com") == [None]
    assert verdicts(STRANGER, "alice@example.com") == [TOO_MANY_ADDRESSES]


def test_a_message_waits_for_the_name_of_the_host_that_is_being_asked_for(alice, monkeypatch):
    knows(monkeypatch, UNKNOWN)
    names = backend_module.reverse_names
    names._known.clear()
    names._waiting["192.0.2.1"] = []
    body = spool.Spool()
    body.write(b"Subject: x\r\n\r\nx\r\n")
    envelope = Envelope(STRANGER, "s@example.net", (Recipient("alice@example.com"),))
    answers = []
    taken = Deferred.fromCoroutine(accept_message(AcceptMessage(envelope.with_size(body.size), body), Doors()))
    taken.addCallback(answers.append)
    assert not answers
    names._land(HONEST, "192.0.2.1")
    assert answers[0].code == 250
    assert b"(mx.example.net [192.0.2.1])" in delivered()
