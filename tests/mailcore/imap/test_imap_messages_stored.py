"""BINARY, PREVIEW, CATENATE and REPLACE on the real store, and what the message log keeps of a client's acts."""

import base64
import itertools

import pytest
from imap_model import MESSAGE
from test_imap_backend import LARGE, RealClient
from twisted.internet.defer import Deferred

from accounts.models import User
from mailcore.dialogue import UnavailableError
from mailcore.imap.answers.messages import _Begun, fetch_messages
from mailcore.imap.commands import fetch
from mailcore.imap.questions import FetchMessages, MailboxKey
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import Delivery, Plan
from mailcore.store import commit, mailboxes, pruning
from mailcore.store.models import Message, Preview
from mailcore.store.prepared import prepare
from mailcore.store.spool import budget
from mailqueue.acts import with_acts
from mailqueue.models import Body, MailboxAct, MessageEvent
from mailqueue.timeline import timeline

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_bodies_of_this_test")]


@pytest.fixture
def bob(make_user):
    return make_user("bob@example.com")


@pytest.fixture
def client(bob):
    return RealClient(bob, select=b"INBOX")


GLOBAL = (
    "From: ann@example.com\r\nSubject: two parts\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\none\r\n'
    "--x\r\nContent-Type: message/global\r\n\r\nSubject: zwölf\r\n\r\ntwo\r\n--x--\r\n"
).encode()


def used(user):
    return User.objects.values_list("used_quota", flat=True).get(pk=user.pk)


# -- Messages with headers in UTF-8 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [b"BODYSTRUCTURE", b"BODY", b"BODYSTRUCTURE BODY.PEEK[1]", b"BODYSTRUCTURE ENVELOPE"])
def test_what_is_inside_a_global_message_is_told_in_imap4rev2(client, item):
    client.append(GLOBAL, MESSAGE)
    line = b"a FETCH 1:2 (FLAGS %b)" % item
    assert b'("message" "global" NIL NIL NIL "7bit" 22' in client.do(line)
    assert "zwölf".encode() not in client.do(line)
    client.do(b"b ENABLE IMAP4rev2")
    said = client.do(line)
    assert b'("message" "global" NIL NIL NIL "7bit" 22 (NIL {6}\r\nzw\xc3\xb6lf NIL' in said
    assert said.count(b" FETCH (") == 2


def test_sections_go_into_a_global_message_as_into_any_other(client):
    client.append(GLOBAL)
    said = client.do(b"a FETCH 1 (BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.1])")
    assert said == (
        b"* 1 FETCH (BODY[2.HEADER] {19}\r\nSubject: zw\xc3\xb6lf\r\n\r\n BODY[2.TEXT] {3}\r\ntwo "
        b"BODY[2.1] {3}\r\ntwo)\r\na OK FETCH completed\r\n"
    )


# -- BINARY -----------------------------------------------------------------------------------------------------------


def test_a_large_attachment_comes_decoded_from_its_file(client):
    content = bytes(range(256)) * 4096
    header = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    client.append(header + base64.encodebytes(content).replace(b"\n", b"\r\n"))
    assert client.do(b"a FETCH 1 BINARY.SIZE[1]").startswith(b"* 1 FETCH (BINARY.SIZE[1] %d)" % len(content))
    assert b"~{%d}\r\n" % len(content) + content + b")\r\n" in client.do(b"b FETCH 1 BINARY.PEEK[1]")
    assert b"[1]<300000> ~{300}\r\n" + content[300000:300300] in client.do(b"c FETCH 1 BINARY.PEEK[1]<300000.300>")


BINARY = b"Subject: b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\xff-\x80\r\n\0"
MULTIPART = (
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: application/octet-stream\r\n'
    b"Content-Transfer-Encoding:\r\n binary\r\n\r\n\0one\r\n\r\n--x\r\n\r\ntwo\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("message", "part", "content"), [(BINARY, 1, b"\0\xff-\x80\r\n\0"), (MULTIPART, 1, b"\0one\r\n")]
)
def test_what_comes_as_binary_can_be_read_by_everybody(client, message, part, content):
    # RFC 3516 section 4.4: a literal that is no literal8 holds no NUL.
    assert client.do(b"a APPEND INBOX ~{%d+}\r\n" % len(message) + message).splitlines()[-1].startswith(b"a OK ")
    said = client.do(b"b FETCH 1 (BODY.PEEK[] BODYSTRUCTURE BINARY.SIZE[%d])" % part)
    assert b"\0" not in said
    assert b"base64" in said
    assert b"BINARY.SIZE[%d] %d" % (part, len(content)) in said
    assert b"~{%d}\r\n" % len(content) + content + b")\r\n" in client.do(b"c FETCH 1 BINARY.PEEK[%d]" % part)


@pytest.mark.parametrize("message", [b"a\0b: c\r\n\r\n", b"a: b\r\n\r\n\0", MULTIPART.replace(b"two", b"\0")])
def test_nul_where_it_cannot_be_is_refused(client, message):
    said = client.do(b"a APPEND INBOX ~{%d+}\r\n" % len(message) + message)
    assert said.splitlines()[-1].startswith(b"a NO [UNKNOWN-CTE] ")
    assert not Message.objects.exists()
    assert budget.used == 0


# -- PREVIEW ----------------------------------------------------------------------------------------------------------


def test_a_preview_is_made_once_and_goes_with_its_message(client):
    client.append(MESSAGE, LARGE)
    client.do(b"a COPY 1:2 Sent")
    said = client.do(b"b FETCH 1:2 (UID PREVIEW RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert b'* 1 FETCH (UID 1 PREVIEW "At noon?" RFC822.SIZE %d BODY[HEADER' % len(MESSAGE) in said
    assert b'PREVIEW "At noon? 0123456789abcde' in said
    assert Preview.objects.count() == 2
    Preview.objects.update(text="kept")
    client.do(b"c SELECT Sent")
    assert client.do(b"d FETCH 1:2 PREVIEW").count(b'PREVIEW "kept"') == 2
    for box in (b"INBOX", b"Sent"):
        client.do(b"e SELECT " + box)
        client.do(b"f STORE 1:* +FLAGS.SILENT (\\Deleted)")
        client.do(b"g CLOSE")
    pruning.prune(4_000_000_000.0)
    assert not Preview.objects.exists()
    assert not Body.objects.exists()


def test_a_lazy_preview_opens_no_file(client):
    client.append(MESSAGE, LARGE)
    said = client.do(b"a FETCH 1:2 PREVIEW (LAZY)")
    assert b'* 1 FETCH (PREVIEW "At noon?")' in said
    assert b"* 2 FETCH (PREVIEW NIL)" in said
    client.do(b"b FETCH 2 PREVIEW")
    assert b"NIL" not in client.do(b"c FETCH 1:2 PREVIEW (LAZY)")


def test_many_new_previews_are_made_a_part_at_a_time(client, monkeypatch):
    monkeypatch.setattr("mailcore.store.previews.EFFORT_LIMIT", 1)
    monkeypatch.setattr("mailcore.store.previews._SLICE", 2)
    client.append(*[MESSAGE] * 5)
    assert client.do(b"a FETCH 1:5 (UID PREVIEW)").count(b'PREVIEW "At noon?"') == 5


# -- CATENATE and REPLACE ---------------------------------------------------------------------------------------------


def test_a_message_is_put_together_from_large_and_small_ones(client):
    client.append(MESSAGE, LARGE)
    said = client.do(b'a APPEND INBOX CATENATE (URL "/INBOX/;UID=1/;SECTION=HEADER" URL ";UID=2/;SECTION=TEXT")')
    assert b"a OK [APPENDUID " in said
    whole = MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 4] + LARGE[LARGE.index(b"\r\n\r\n") + 4 :]
    assert b"BODY[] {%d}\r\n" % len(whole) + whole + b")\r\n" in client.do(b"b FETCH 3 BODY.PEEK[]")
    assert budget.used == 0


def test_a_url_never_leads_into_somebody_elses_mailbox(client, make_user):
    ann = RealClient(make_user("ann@example.com"))
    ann.do(b"a CREATE Private")
    ann.append(MESSAGE, box=b"Private")
    for name in (b"Private", b"ann@example.com/Private", b"../ann/Private", b"user/ann@example.com/Private"):
        said = client.do(b'a APPEND INBOX CATENATE (URL "/' + name + b'/;UID=1")')
        assert said.startswith(b"a NO [BADURL /")
    validity = ann.do(b"b STATUS Private (UIDVALIDITY)").split()[4].rstrip(b")")
    client.do(b"c CREATE Private")
    said = client.do(b'd APPEND INBOX CATENATE (URL "/Private;UIDVALIDITY=%b/;UID=1")' % validity)
    assert said.startswith(b"d NO [BADURL ")


def test_what_is_put_together_counts_against_the_quota(client, bob):
    client.append(MESSAGE)
    User.objects.filter(pk=bob.pk).update(quota=len(MESSAGE) * 2 - 1)
    assert client.do(b'a APPEND INBOX CATENATE (URL ";UID=1")').startswith(b"a NO [OVERQUOTA] ")
    assert used(bob) == len(MESSAGE)
    assert budget.used == 0


def test_replacing_needs_room_for_the_difference_only(client, bob):
    client.append(MESSAGE)
    User.objects.filter(pk=bob.pk).update(quota=len(MESSAGE) + 1)
    longer = MESSAGE + b"."
    said = client.do(b"a REPLACE 1 INBOX {%d+}\r\n" % len(longer) + longer)
    assert b"* 1 EXPUNGE\r\n" in said
    assert used(bob) == len(longer)
    longer += b"."
    said = client.do(b"b REPLACE 1 INBOX {%d+}\r\n" % len(longer) + longer)
    assert said.splitlines()[-1].startswith(b"b NO [OVERQUOTA] ")
    assert Message.objects.count() == 1
    assert budget.used == 0


def test_two_who_replace_the_same_draft_leave_one(client, bob):
    client.append(MESSAGE)
    other = RealClient(bob, select=b"INBOX")
    assert b"a OK " in client.do(b"a UID REPLACE 1 INBOX {3+}\r\na:1")
    assert other.do(b"b UID REPLACE 1 INBOX {3+}\r\nb:2").splitlines()[-1].startswith(b"b NO ")
    assert [message.body.data for message in Message.objects.select_related("body")] == [b"a:1"]


def test_a_replacement_may_go_to_another_mailbox(client):
    client.append(MESSAGE)
    assert b"a OK " in client.do(b"a REPLACE 1 Drafts {3+}\r\na:1")
    assert client.do(b"b STATUS INBOX (MESSAGES SIZE)").startswith(b"* STATUS INBOX (MESSAGES 0 SIZE 0)")
    assert client.do(b"c STATUS Drafts (MESSAGES SIZE)").startswith(b"* STATUS Drafts (MESSAGES 1 SIZE 3)")


# -- The message log --------------------------------------------------------------------------------------------------


def acts():
    return [(act.verb, act.uids) for act in MailboxAct.objects.order_by("pk")]


def test_a_command_leaves_one_row_however_many_messages_it_is_about(client):
    client.append(*[MESSAGE] * 30)
    client.do(b'a ID ("name" "Mail" "version" "3")')
    client.do(b"b STORE 1:20,25 +FLAGS.SILENT (\\Seen $Work)")
    client.do(b"c STORE 1:20 +FLAGS.SILENT (\\Seen)")  # changes nothing
    client.do(b"d FETCH 21:22 BODY[]")
    client.do(b"e COPY 1:2 Sent")
    client.do(b"f MOVE 3:5 Trash")
    client.do(b"g STORE 1:2 +FLAGS (\\Deleted)")
    client.do(b"h EXPUNGE")
    client.do(b"i REPLACE 1 INBOX {3+}\r\na:1")
    client.do(b"j EXPUNGE")  # nothing to remove
    assert acts() == [
        ("append", "1:30"), ("store", "1:20,25"), ("store", "21:22"), ("copy", "1:2"), ("move", "3:5"),
        ("store", "1:2"), ("expunge", "1:2"), ("replace", "6"),
    ]  # fmt: skip
    stored, moved = MailboxAct.objects.get(uids="1:20,25"), MailboxAct.objects.get(verb="move")
    assert stored.detail == {
        "mailbox": "INBOX", "login": "bob@example.com", "address": "192.0.2.1", "protocol": "imap", "device": "Mail 3",
        "mode": "+FLAGS", "flags": ["\\Seen", "$Work"],
    }  # fmt: skip
    assert (moved.detail["target"], moved.detail["target_uids"]) == ("Trash", "1:3")


def test_what_is_refused_leaves_no_row(client, bob):
    client.append(MESSAGE)
    User.objects.filter(pk=bob.pk).update(quota=1)
    client.do(b"a COPY 1 Sent")
    client.do(b"b COPY 1 Nope")
    client.append(MESSAGE)
    assert acts() == [("append", "1")]


def deliver(user, *others):
    prepared = prepare(MESSAGE)
    deliveries = [
        Delivery(100 + place, box.email, box.pk, mailboxes.inbox_id(box.pk), quota=0)
        for place, box in enumerate((user, *others))
    ]
    plan = Plan(tuple(deliveries), (), ())
    commit.run(Acceptance(message=7, prepared=prepared, plan=plan, sender="ann@example.com", direction="in"))


def story():
    return [(step.title, step.recipient) for step in timeline(7).steps]


def test_the_timeline_of_a_message_tells_what_was_done_to_it_and_by_which_device(client, bob, make_user):
    ann = make_user("ann@example.com")
    client.append(MESSAGE)
    deliver(bob, ann)
    phone = RealClient(bob, select=b"INBOX")
    phone.do(b'a ID ("name" "Phone")')
    phone.do(b"b FETCH 2 BODY[]")
    phone.do(b"c STORE 1 +FLAGS (\\Flagged)")  # another message
    phone.do(b"d MOVE 1:2 Archive")
    client.do(b"e SELECT Archive")
    client.do(b"f STORE 2 FLAGS (\\Answered $Work)")
    client.do(b"g COPY 2 Sent")
    client.do(b"h STORE 1:2 +FLAGS (\\Deleted)")
    client.do(b"i UID EXPUNGE 2")
    client.do(b"j UID EXPUNGE 1")
    client.do(b"k SELECT Sent")
    client.do(b"l STORE 1 -FLAGS (\\Flagged)")  # changes nothing
    client.do(b"m REPLACE 1 Sent {3+}\r\na:1")
    bobs = "bob@example.com"
    assert story()[3:] == [
        ("Marked as read", bobs),
        ("Moved to Archive", bobs),
        ("Changed in the mailbox", bobs),
        ("Copied to Sent", bobs),
        ("Marked as deleted", bobs),
        ("Deleted from the mailbox", bobs),
        ("Replaced by a newer version", bobs),
    ]
    texts = [step.text for step in timeline(7).steps]
    assert texts[3] == "Flags: +FLAGS (\\Seen). By bob@example.com from 192.0.2.1 (imap, Phone)."
    assert texts[5] == "Flags: FLAGS (\\Answered $Work). By bob@example.com from 192.0.2.1 (imap)."


def test_acts_before_a_delivery_and_of_other_messages_are_none_of_its_story(client, bob):
    client.append(MESSAGE, MESSAGE)
    client.do(b"a STORE 1:2 +FLAGS (\\Deleted)")
    client.do(b"b EXPUNGE")
    deliver(bob)
    client.do(b"c NOOP")
    client.append(MESSAGE)
    client.do(b"d STORE 2 +FLAGS (\\Seen)")
    events = MessageEvent.objects.filter(message=7).order_by("pk")
    assert with_acts(events) is events


def test_a_message_that_goes_in_circles_is_followed_only_so_far(client, bob, monkeypatch):
    monkeypatch.setattr("mailqueue.acts.PLACES_LIMIT", 5)
    deliver(bob)
    for _ in range(3):
        client.do(b"a NOOP")
        client.do(b"b COPY 1:* INBOX")
    told = with_acts(MessageEvent.objects.filter(message=7).order_by("pk"))
    assert 0 < len(told) < 20


# -- One after the other ----------------------------------------------------------------------------------------------


def test_messages_fetched_one_after_the_other_are_read_ahead_and_stay_what_they_are(client, monkeypatch):
    messages = [MESSAGE + b"%d\r\n" % number for number in range(12)]
    messages[5] = LARGE
    client.append(*messages)
    read = []
    database = client.doors.database

    async def counted(function, *args, **kwargs):
        read.append(function)
        return await database(function, *args, **kwargs)

    monkeypatch.setattr(client.doors, "database", counted)
    for number, message in enumerate(messages, 1):
        said = client.do(b"a UID FETCH %d (UID BODY.PEEK[])" % number)
        assert b"BODY[] {%d}\r\n" % len(message) + message + b")\r\n" in said
    # The first two, and the one that is so large that it is read piece by piece.
    assert len([function for function in read if function.__name__ == "_fetch_one"]) == 3
    assert client.do(b"b UID FETCH 3 BODY.PEEK[HEADER.FIELDS (SUBJECT)]").startswith(b"* 3 FETCH (UID 3 BODY[HEADER")


def test_what_was_read_ahead_of_a_message_is_told_only_while_the_client_knows_of_it(client, bob):
    client.append(*[MESSAGE] * 4)
    client.do(b"a FETCH 1 BODY.PEEK[]")
    client.do(b"b FETCH 2 BODY.PEEK[]")
    other = RealClient(bob, select=b"INBOX")
    other.do(b"c STORE 4 +FLAGS (\\Deleted)")
    other.do(b"d EXPUNGE")
    client.do(b"e NOOP")
    assert client.do(b"f UID FETCH 4 BODY.PEEK[]") == b"f OK UID FETCH completed\r\n"


# -- The next piece ---------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(client, monkeypatch):
    """What has been read of the database for FETCH: the UIDs of each piece."""
    monkeypatch.setattr(fetch, "SLICE", 3)
    pieces = []
    database = client.doors.database

    async def counted(function, question, *args, **kwargs):
        if function.__name__ == "_fetch":
            pieces.append(list(question.uids))
        return await database(function, question, *args, **kwargs)

    monkeypatch.setattr(client.doors, "database", counted)
    return pieces


def test_every_piece_is_read_once_and_the_next_before_it_is_asked_for(client, asked):
    messages = [MESSAGE + b"%d\r\n" % number for number in range(8)]
    client.append(*messages)
    said = client.do(b"a UID FETCH 1:8 (UID BODY.PEEK[])")
    assert said.count(b"FETCH (") == 8
    for message in messages:
        assert b"BODY[] {%d}\r\n" % len(message) + message + b")\r\n" in said
    assert asked == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert client.doors.begun is None


def test_a_piece_that_could_not_be_read_beforehand_is_read_when_it_is_needed(client, asked, monkeypatch):
    client.append(*[MESSAGE] * 5)
    database, calls = client.doors.database, itertools.count()

    async def failing(function, *args, **kwargs):
        if function.__name__ == "_fetch" and next(calls) == 1:
            raise UnavailableError("just now")
        return await database(function, *args, **kwargs)

    monkeypatch.setattr(client.doors, "database", failing)
    assert client.do(b"a FETCH 1:5 (RFC822.SIZE BODY.PEEK[])").count(b"FETCH (") == 5
    assert asked == [[1, 2, 3], [4, 5]]


@pytest.mark.usefixtures("asked")
def test_what_was_begun_for_another_question_is_no_answer(client, bob):
    client.append(*[MESSAGE] * 5)
    key = MailboxKey(bob.pk, mailboxes.inbox_id(bob.pk))
    for first, second in (
        (FetchMessages(key, [1, 2], headers=True), FetchMessages(key, [1, 2], envelope=True)),
        (FetchMessages(key, [1, 2], headers=True), FetchMessages(key, [1, 3], headers=True)),
        (FetchMessages(key, [1, 2], headers=True), FetchMessages(key._replace(account=0), [1, 2], headers=True)),
    ):
        begun = Deferred()
        client.doors.begun = _Begun(first, begun)
        with pytest.raises(StopIteration) as answered:
            fetch_messages(second, client.doors).send(None)
        assert [row[0] for row in answered.value.value.rows] == ([] if second.key != key else second.uids)
        assert client.doors.begun is None
