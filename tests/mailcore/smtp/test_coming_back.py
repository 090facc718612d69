"""Return paths of our own, what comes back to them, complaints, and the suppression list."""

import pytest
from answering import Doors, logged_in, now
from django.utils import timezone

from a3mailer_site.ids import to_text
from accounts.models import Alias, AliasTarget
from domains.models import Domain
from mailcore.delivery.settlement import without_extras
from mailcore.dialogue import Peer
from mailcore.intake import return_path
from mailcore.intake.routing import NO_SUCH_USER
from mailcore.message.envelope import Client, Envelope, Recipient
from mailcore.smtp.backend import accept_message
from mailcore.smtp.questions import AcceptMessage, CheckRecipients
from mailcore.smtp.recipients import ONLY_BOUNCES, check_recipients
from mailcore.store import spool
from mailcore.store.models import Message
from mailqueue import suppressions, webhooks
from mailqueue.models import MessageEvent, MessageTrace, QueuedMessage, QueueEntry, Suppression
from mailqueue.timeline import timeline
from queued import attempt, claim, settlement

pytestmark = pytest.mark.django_db(transaction=True)
OUTSIDE = Client(Peer("192.0.2.1", 4000), None, "mx.far.test", "ESMTP")
LETTER = b"From: <alice@example.com>\r\nMessage-ID: <1@example.com>\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.fixture(autouse=True)
def alice(make_user):
    return make_user("alice@example.com")


@pytest.fixture
def tracked():
    Domain.objects.update(track_bounces=True)


@pytest.fixture
def team():
    alias = Alias.objects.create(address="team@example.com", domain=Domain.objects.get())
    AliasTarget.objects.create(alias=alias, address="carol@elsewhere.example")


def asked(sender, *recipients, client=OUTSIDE):
    envelope = Envelope(client, sender, tuple(Recipient(address) for address in recipients))
    return now(check_recipients(CheckRecipients(envelope, envelope.recipients), Doors()))


def send(content, *recipients, sender="s@far.test", client=OUTSIDE):
    body = spool.Spool()
    body.write(content)
    envelope = Envelope(client, sender, tuple(Recipient(address) for address in recipients))
    reply = now(accept_message(AcceptMessage(envelope.with_size(body.size), body), Doors()))
    assert reply.code == 250, reply


def submit(alice, *recipients, content=LETTER):
    send(content, *recipients, sender="alice@example.com", client=logged_in(alice))


def bounce(final="bob@far.test", status="5.1.1", action="failed", message_id="<1@example.com>"):
    return (
        "From: <MAILER-DAEMON@far.test>\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.far.test\n\n"
        f"Final-Recipient: rfc822; {final}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; 550 {status} No"
        f"\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\n\n--b--\n"
    ).replace("\n", "\r\n").encode()  # fmt: skip


def complaint(mail_from="", kind="abuse", message_id="<1@example.com>"):
    return (
        "From: <fbl@far.test>\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n"
        f"--b\nContent-Type: message/feedback-report\n\nFeedback-Type: {kind}\nUser-Agent: Big/1\n"
        f"Original-Mail-From: <{mail_from}>\n\n--b\nContent-Type: text/rfc822-headers\n\n"
        f"Message-ID: {message_id}\n\n--b--\n"
    ).replace("\n", "\r\n").encode()  # fmt: skip


def events(kind):
    return list(MessageEvent.objects.filter(kind=kind).values_list("message", "trace_id", "detail"))


def path_of(recipient):
    return QueueEntry.objects.get(recipient=recipient).return_path


# ---- which mail gets one ----


def test_what_an_alias_passes_on_leaves_with_a_sender_of_ours_that_leads_back(team):
    send(LETTER, "team@example.com", sender="s@far.test")
    path = path_of("carol@elsewhere.example")
    entry = QueueEntry.objects.get()
    assert path.startswith("bounces+")
    assert path.endswith("@example.com")
    assert len(path.partition("@")[0]) <= 64
    assert return_path.read(path) == entry.trace_id
    assert QueuedMessage.objects.get().sender == "s@far.test"  # notices of ours go to him
    assert path in str(timeline(entry.message_id).steps)
    send(bounce("carol@elsewhere.example"), path, sender="")
    back = QueueEntry.objects.exclude(pk=entry.pk).get()
    assert (back.recipient, back.message.sender, back.return_path) == ("s@far.test", "", "")


@pytest.mark.parametrize("sender", ["", "alice@example.com"])
def test_a_bounce_and_a_sender_of_ours_stay_as_they_are(team, sender):
    send(LETTER, "team@example.com", sender=sender)
    assert path_of("carol@elsewhere.example") == ""


def test_it_can_be_switched_off(team, monkeypatch):
    from dataclasses import replace

    from a3mailer_site import env

    monkeypatch.setattr(env, "_current", replace(env.current(), rewrite_forwarded=False))
    send(LETTER, "team@example.com")
    assert path_of("carol@elsewhere.example") == ""


def test_only_a_domain_that_wants_to_know_gives_each_recipient_his_own(alice):
    submit(alice, "bob@far.test", "amy@far.test")
    assert set(QueueEntry.objects.values_list("return_path", flat=True)) == {""}
    Domain.objects.update(track_bounces=True)
    submit(alice, "bob@far.test", "amy@far.test", content=LETTER.replace(b"<1@", b"<2@"))
    paths = QueueEntry.objects.exclude(return_path="").values_list("trace_id", "return_path")
    assert len(paths) == 2
    assert all(return_path.read(path) == trace for trace, path in paths)


# ---- who may write to one ----


def test_only_bounces_come_to_it_and_only_to_one_that_we_have_written(alice, tracked):
    submit(alice, "bob@far.test")
    path = path_of("bob@far.test")
    assert asked("", path) == [None]
    assert asked("", path.upper()) == [None]
    assert asked("x@far.test", path) == [ONLY_BOUNCES]
    local, _at, domain = path.partition("@")
    wrong = [
        f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}",
        f"{local}@example.net",
        f"bounces+{to_text(QueueEntry.objects.get().trace_id)}@{domain}",
        f"bounces+@{domain}",
        f"bounces+{'é' * 21}@{domain}",
    ]
    for address in wrong:
        assert asked("", address)[0] is not None, address
    MessageTrace.objects.all().delete()
    assert asked("", path) == [NO_SUCH_USER]


# ---- what comes back ----


def test_a_bounce_is_in_the_timeline_and_in_the_mailbox_of_the_sender(alice, tracked):
    submit(alice, "bob@far.test")
    trace = MessageTrace.objects.get(recipient="bob@far.test")
    path = path_of("bob@far.test")
    attempt("sent", "250 2.0.0 ok")
    send(bounce(), path, sender="")
    ((message, about, detail),) = events("returned")
    assert (message, about) == (trace.message, trace.pk)
    assert detail["proved"] is True
    assert (detail["action"], detail["enhanced"], detail["reply"]) == ("failed", "5.1.1", "550 5.1.1 No")
    assert detail["host"] == "mx.far.test"
    trace.refresh_from_db()
    assert trace.status == "failed"
    assert Message.objects.count() == 1
    assert webhooks.name_of("returned", detail) == "bounced"
    step = timeline(trace.message).steps[-1]
    assert (step.title, step.tone) == ("Came back: it could not be delivered", "bad")
    row = Suppression.objects.get()
    assert (row.domain, row.address, row.reason, row.message) == (
        "example.com", "bob@far.test", "bounce", trace.message,
    )  # fmt: skip


@pytest.mark.parametrize(("action", "status"), [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("failed", "5.2.2")])
def test_what_is_no_end_of_the_address_suppresses_nothing(alice, tracked, action, status):
    submit(alice, "bob@far.test")
    send(bounce(action=action, status=status), path_of("bob@far.test"), sender="")
    ((_message, _trace, detail),) = events("returned")
    assert (detail["action"], detail["enhanced"]) == (action, status)
    assert not Suppression.objects.exists()


def test_something_without_form_is_noted_and_changes_nothing(alice, tracked):
    submit(alice, "bob@far.test")
    send(b"Subject: failure notice\r\n\r\nHi. This is qmail.\r\n", path_of("bob@far.test"), sender="")
    ((message, _trace, detail),) = events("returned")
    assert detail == {"proved": True, "notice": detail["notice"]}
    assert timeline(message).steps[-1].title == "Something came back"
    assert MessageTrace.objects.get(recipient="bob@far.test").status == "queued"


def test_a_report_without_proof_is_matched_and_believed_by_nobody(alice):
    Domain.objects.update(track_bounces=False)
    submit(alice, "bob@far.test")
    Domain.objects.update(track_bounces=True)
    send(bounce(), "alice@example.com", sender="")
    ((message, _trace, detail),) = events("returned")
    assert detail["proved"] is False
    assert MessageTrace.objects.get(recipient="bob@far.test").status == "queued"
    assert not Suppression.objects.exists()
    assert webhooks.name_of("returned", detail) == ""
    assert "Nothing proves" in timeline(message).steps[-1].text


def test_what_moves_a_cursor_is_made_harmless_and_a_nul_is_left_out(alice, tracked):
    submit(alice, "bob@far.test")
    content = bounce().replace(b" No\r\n", b" N\0o\x1b[2J\r\n").replace(b"mx.far.test", b"mx\0.far.test")
    send(content, path_of("bob@far.test"), sender="")
    ((_message, _trace, detail),) = events("returned")
    assert (detail["reply"], detail["host"]) == ("550 5.1.1 No?[2J", "mx.far.test")
    assert Suppression.objects.get().reply == "550 5.1.1 No?[2J"


@pytest.mark.parametrize(
    "content",
    [bounce(final="x@far.test"), bounce(message_id="<9@example.com>"), LETTER],
)
def test_what_is_about_nothing_of_ours_is_only_mail(alice, content):
    submit(alice, "bob@far.test")
    send(content, "alice@example.com", sender="")
    assert events("returned") == []
    assert Message.objects.count() == 1


def test_an_answer_to_the_sender_is_no_bounce(alice):
    submit(alice, "bob@far.test")
    send(bounce(), "alice@example.com", sender="bob@far.test")
    assert events("returned") == []


# ---- complaints ----


def test_a_complaint_that_quotes_our_return_path_is_proved_and_suppresses(alice, tracked):
    submit(alice, "bob@far.test")
    trace = MessageTrace.objects.get(recipient="bob@far.test")
    send(complaint(path_of("bob@far.test")), "alice@example.com", sender="fbl@far.test")
    ((message, about, detail),) = events("complained")
    assert (message, about, detail["proved"], detail["feedback_type"]) == (trace.message, trace.pk, True, "abuse")
    assert webhooks.name_of("complained", detail) == "complained"
    assert Suppression.objects.get().reason == "complaint"
    assert timeline(message).steps[-1].title == "A recipient has complained"


def test_a_complaint_without_one_is_shown_and_suppresses_nothing(alice, tracked):
    submit(alice, "bob@far.test")
    send(complaint(), "alice@example.com", sender="fbl@far.test")
    ((_message, _trace, detail),) = events("complained")
    assert detail["proved"] is False
    assert not Suppression.objects.exists()


def test_not_spam_is_no_reason_to_write_no_more(alice, tracked):
    submit(alice, "bob@far.test")
    send(complaint(path_of("bob@far.test"), kind="not-spam"), "alice@example.com", sender="fbl@far.test")
    assert not Suppression.objects.exists()


# ---- the list ----


def test_who_is_on_the_list_is_refused_at_once_whatever_the_case(alice):
    suppressions.add("example.com", "Bob@Far.Test", "bounce", "550 5.1.1 No", 1, timezone.now())
    suppressions.add("example.com", "bob@far.test", "complaint", "again", 2, timezone.now())
    assert Suppression.objects.get().reason == "bounce"  # the first one counts
    verdicts = asked("alice@example.com", "bOb@far.test", "amy@far.test", client=logged_in(alice))
    assert [verdict and verdict.status for verdict in verdicts] == ["5.7.1", None]
    assert "suppression list" in verdicts[0].text
    assert "bounced" in verdicts[0].text
    odd = ["bob@far.test", "BOB@far.test", "x@-bad-.test", "x@[192.0.2.1]", "postmaster"]
    statuses = [verdict and verdict.status for verdict in asked("alice@example.com", *odd, client=logged_in(alice))]
    assert statuses[:3] == ["5.7.1", "5.7.1", "5.1.2"]
    # It is the list of that domain, and about what it sends.
    Suppression.objects.update(domain="other.example")
    assert asked("alice@example.com", "bob@far.test", client=logged_in(alice)) == [None]


@pytest.mark.parametrize(
    ("words", "count"),
    [("550 5.1.1 No such user", 1), ("550 5.7.1 Spam", 0), ("550 5.2.2 Full", 0), ("554 5.2.1 Disabled", 1)],
)
def test_a_refusal_for_good_at_once_is_noted_too(alice, tracked, words, count):
    submit(alice, "bob@far.test")
    attempt("failed", words)
    assert Suppression.objects.count() == count


def test_a_refusal_of_an_address_literal_is_written_down_and_suppresses_nothing(alice, tracked):
    submit(alice, "bob@[192.0.2.7]")
    attempt("failed", "550 5.1.1 No such user")
    assert MessageTrace.objects.get(recipient="bob@[192.0.2.7]").status == "failed"
    assert not Suppression.objects.exists()


def test_the_list_is_never_in_the_way_of_writing_an_outcome_down(alice, tracked):
    submit(alice, "bob@far.test")
    decided = settlement(claim()[0], "failed", "550 5.1.1 No such user")
    assert decided.decisions[0].suppressed == "example.com"
    assert without_extras(decided, timezone.now()).decisions[0].suppressed == ""


def test_a_domain_that_does_not_track_notes_nothing(alice):
    submit(alice, "bob@far.test")
    attempt("failed", "550 5.1.1 No such user")
    assert not Suppression.objects.exists()
