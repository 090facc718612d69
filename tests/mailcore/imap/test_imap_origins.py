"""Object identifiers (RFC 8474) and save dates (RFC 8514)."""

import re

import pytest
from imap_model import MESSAGE, Client, Store

from mailcore.imap import questions as q
from mailcore.message.thread_root import thread_root
from mailcore.store.models import Message
from tests.mailcore.imap.test_imap_backend import RealClient

FIRST = b"Message-ID: <first@example.com>\r\nSubject: a\r\n\r\n1\r\n"
REPLY = b"Message-ID: <reply@example.com>\r\nReferences: <first@example.com>\r\nSubject: Re: a\r\n\r\n2\r\n"
LATER = (
    b"Message-ID: <later@example.com>\r\nIn-Reply-To: <reply@example.com>\r\n"
    b"References: <first@example.com>\r\n\t<reply@example.com>\r\nSubject: Re: a\r\n\r\n3\r\n"
)


@pytest.fixture
def client(make_user, _bodies_of_this_test):
    return RealClient(make_user("bob@example.com"), select=b"INBOX")


def identifiers(client, name, which=b"1:*"):
    said = client.do(b"f UID FETCH %b (%b)" % (which, name))
    return re.findall(rb"%b \(([A-Za-z0-9_-]{1,255})\)" % name, said)


# -- The protocol alone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        b"SEARCH EMAILID",
        b"SEARCH SAVEDON",
        b"SEARCH SAVEDON 1-1-2024",
        b"SEARCH SAVEDBEFORE 31-Feb-2024",
        b"SEARCH SAVEDATESUPPORTED 1-Jan-2024",
        b"STATUS INBOX (MAILBOXID())",
        b"FETCH 1 (SAVEDATE.PEEK)",
    ],
)
def test_what_the_grammar_does_not_know_is_refused(command):
    assert Client(Store(), select=b"INBOX").do(b"a " + command).startswith(b"a BAD ")


def test_items_are_told_among_others_and_in_slices():
    store = Store()
    for _ in range(3):
        store.inbox.add()
    store.answer_limit = 2
    client = Client(store, select=b"INBOX")
    said = client.do(b"a FETCH 1:3 (SAVEDATE UID EMAILID RFC822.SIZE THREADID)")
    size = len(MESSAGE)
    line = b'* %d FETCH (SAVEDATE "14-Nov-2023 22:13:20 +0000" UID %d EMAILID (M%d) RFC822.SIZE %d THREADID (T%d))'
    assert said.split(b"\r\n")[:3] == [line % (number, number, size, size, size) for number in (1, 2, 3)]


def test_a_message_that_goes_in_between_is_left_out():
    store = Store()
    for _ in range(3):
        store.inbox.add()
    client = Client(store, select=b"INBOX")
    rows = store.read_origins
    store.read_origins = lambda question: rows(question)[1:]
    assert client.do(b"a UID FETCH 1:* EMAILID").count(b" FETCH (") == 2
    assert client.do(b"b FETCH 1:* EMAILID").endswith(b"b NO [EXPUNGEISSUED] Some of the messages no longer exist\r\n")


def test_search_keys_go_with_all_others():
    store = Store()
    for data in (MESSAGE, MESSAGE + b"x", MESSAGE):
        store.inbox.add(data)
    client = Client(store, select=b"INBOX")
    email = b"M%d" % len(MESSAGE)
    for keys, found in (
        (b"EMAILID " + email, b" 1 3"),
        (b"NOT EMAILID " + email, b" 2"),
        (b"OR EMAILID %b 2" % email, b" 1 2 3"),
        (b"2:3 THREADID T%d" % len(MESSAGE), b" 3"),
        (b"EMAILID nobody", b""),
        (b"SAVEDON 14-Nov-2023", b" 1 2 3"),
        (b"SAVEDBEFORE 14-Nov-2023", b""),
        (b"NOT SAVEDSINCE 15-Nov-2023 SUBJECT lunch", b" 1 2 3"),
        (b"SAVEDATESUPPORTED", b" 1 2 3"),
    ):
        assert client.do(b"a SEARCH " + keys).startswith(b"* SEARCH%b\r\n" % found), keys


# -- On the store -----------------------------------------------------------------------------------------------------


def test_a_mailbox_keeps_its_identifier_through_a_rename(client):
    made = re.search(rb"a OK \[MAILBOXID \((F\d+)\)\]", client.do(b"a CREATE Work"))[1]
    told = b"* STATUS %b (MAILBOXID (%b) MESSAGES 0)\r\n"
    assert client.do(b"b STATUS Work (MAILBOXID MESSAGES)").startswith(told % (b"Work", made))
    client.do(b"c RENAME Work Play")
    assert client.do(b"d STATUS Play (MAILBOXID MESSAGES)").startswith(told % (b"Play", made))
    assert b"* OK [MAILBOXID (%b)]" % made in client.do(b"e SELECT Play")
    assert b"* STATUS Play (MAILBOXID (%b))" % made in client.do(b'f LIST "" * RETURN (STATUS (MAILBOXID))')
    client.do(b"g DELETE Play")
    assert re.search(rb"MAILBOXID \((F\d+)\)", client.do(b"h CREATE Work"))[1] != made


def test_copies_and_moved_messages_keep_theirs(client):
    client.append(FIRST, REPLY, FIRST)
    client.do(b"a NOOP")
    emails, threads = identifiers(client, b"EMAILID"), identifiers(client, b"THREADID")
    assert len(set(emails)) == 3
    client.do(b"b COPY 1:2 Archive")
    client.do(b"c MOVE 3 Archive")
    client.do(b"d SELECT Archive")
    assert identifiers(client, b"EMAILID") == emails
    assert identifiers(client, b"THREADID") == threads
    assert client.do(b"e SEARCH EMAILID " + emails[1]).startswith(b"* SEARCH 2\r\n")
    for other in (emails[1].upper(), emails[1][1:], b"M", threads[1], b"{2+}\r\n\xc3\xa4"):
        assert client.do(b"f SEARCH EMAILID " + other).startswith(b"* SEARCH\r\n")


def test_a_thread_has_one_identifier(client):
    client.append(FIRST, MESSAGE, REPLY, LATER, b"Subject: nothing\r\n\r\n", b"Subject: nothing\r\n\r\n")
    client.do(b"a NOOP")
    threads = identifiers(client, b"THREADID")
    assert threads[0] == threads[2] == threads[3]
    assert len(set(threads)) == 4
    assert not set(threads) & set(identifiers(client, b"EMAILID"))
    assert client.do(b"b SEARCH THREADID " + threads[0]).startswith(b"* SEARCH 1 3 4\r\n")
    assert client.do(b"c UID SEARCH UNSEEN 2:* THREADID " + threads[0]).startswith(b"* SEARCH 3 4\r\n")


def test_the_save_date_is_that_of_the_mailbox_and_not_the_internal_date(client):
    client.do(b'a APPEND INBOX "01-Jan-2001 00:00:00 +0000" {%d+}\r\n%b' % (len(FIRST), FIRST))
    client.append(REPLY)
    client.do(b"b NOOP")
    Message.objects.filter(uid=2).update(saved_at=1_700_000_000)
    assert b'SAVEDATE "14-Nov-2023 22:13:20 +0000"' in client.do(b"c FETCH 2 SAVEDATE")
    assert b"2001" not in client.do(b"d FETCH 1 SAVEDATE")
    for key, found in (
        (b"SAVEDON 14-Nov-2023", b" 2"),
        (b"SAVEDBEFORE 14-Nov-2023", b""),
        (b"SAVEDBEFORE 15-Nov-2023", b" 2"),
        (b"SAVEDSINCE 15-Nov-2023", b" 1"),
        (b"SAVEDSINCE 14-Nov-2023", b" 1 2"),
    ):
        assert client.do(b"e SEARCH " + key).startswith(b"* SEARCH%b\r\n" % found), key


def test_nobody_finds_what_is_in_the_mailbox_of_another(client, make_user):
    client.append(FIRST)
    client.do(b"a NOOP")
    (email,) = identifiers(client, b"EMAILID")
    other = RealClient(make_user("eve@example.com"), select=b"INBOX")
    other.append(REPLY)
    other.do(b"a NOOP")
    assert other.do(b"b SEARCH EMAILID " + email).startswith(b"* SEARCH\r\n")
    key = q.MailboxKey(other.user.pk, client.session._talk.selected.key.mailbox)
    assert other.answer(q.ReadOrigins(key, [1], threads=True)) == []
    assert other.answer(q.FindOrigins(key, [1], q.OriginKey.EMAIL, email.decode())) == []


# -- Roots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "root"),
    [
        (FIRST, b"<first@example.com>"),
        (REPLY, b"<first@example.com>"),
        (LATER, b"<first@example.com>"),
        (b"in-reply-to: yours of Monday <a@b>\r\nmessage-id: <c@d>\r\n", b"<a@b>"),
        (b"References: none\r\nIn-Reply-To:\r\nMessage-ID:\r\n <c@d>\r\n", b"<c@d>"),
        (b"X-References: <a@b>\r\nSubject: <c@d>\r\n", None),
        (b"Message-ID: < a b >\r\n", None),
        (b"", None),
    ],
)
def test_the_root_of_a_thread(lines, root):
    assert thread_root(lines) == root
