"""Quotas as clients are told them (RFC 9208, RFC 7889), on the real store."""

import pytest
from imap_model import MESSAGE, Client
from test_imap_backend import RealClient

from a3mailer_site import env

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_bodies_of_this_test")]


@pytest.fixture
def bob(make_user):
    return RealClient(make_user("bob@example.com", quota=10 * 1024))


@pytest.fixture
def ann(make_user):
    return RealClient(make_user("ann@example.com"))


@pytest.fixture
def message_limit(monkeypatch):
    """Let a user have three messages."""
    monkeypatch.setenv("A3MAILER_USER_MESSAGE_LIMIT", "3")
    env.reload()
    yield 3
    monkeypatch.delenv("A3MAILER_USER_MESSAGE_LIMIT")
    env.reload()


def test_a_root_is_named_as_its_user_is_and_counts_in_kibibytes(bob):
    bob.append(MESSAGE)
    answer = b"* QUOTA bob@example.com (STORAGE 1 10)\r\n"
    assert bob.do(b"a GETQUOTAROOT Sent") == (
        b"* QUOTAROOT Sent bob@example.com\r\n" + answer + b"a OK GETQUOTAROOT completed\r\n"
    )
    assert bob.do(b'b GETQUOTA "bob@example.com"') == answer + b"b OK GETQUOTA completed\r\n"


def test_who_has_no_limit_has_no_root(ann):
    assert ann.do(b"a GETQUOTAROOT INBOX") == b"* QUOTAROOT INBOX\r\na OK GETQUOTAROOT completed\r\n"
    assert ann.do(b"b GETQUOTA ann@example.com").startswith(b"b NO [NONEXISTENT]")


def test_the_number_of_messages_is_told_where_it_is_limited(ann, bob, message_limit):
    ann.append(MESSAGE)
    assert b"* QUOTA ann@example.com (MESSAGE 1 3)\r\n" in ann.do(b"a GETQUOTAROOT INBOX")
    assert b"* QUOTA bob@example.com (STORAGE 0 10 MESSAGE 0 3)\r\n" in bob.do(b"a GETQUOTAROOT INBOX")


@pytest.mark.parametrize("root", [b"bob@example.com", b"nobody@example.com", b'""', b"x"])
def test_the_roots_of_others_are_as_if_there_were_none(bob, ann, root):
    assert ann.do(b"a GETQUOTA " + root).startswith(b"a NO [NONEXISTENT]")


def test_who_reads_a_mailbox_and_who_administers_may_see_its_root(bob, ann, make_user):
    bob.do(b"0 SETACL INBOX ann@example.com l")
    box = b'"Other Users/bob@example.com/INBOX"'
    assert ann.do(b"a GETQUOTAROOT " + box).startswith(b"a NO [NOPERM]")
    assert ann.do(b"b GETQUOTA bob@example.com").startswith(b"b NO [NONEXISTENT]")
    bob.do(b"0 SETACL INBOX ann@example.com +r")
    assert b"* QUOTAROOT %b bob@example.com\r\n* QUOTA bob@example.com (" % box in ann.do(b"c GETQUOTAROOT " + box)
    assert ann.do(b"d GETQUOTA bob@example.com").startswith(b"* QUOTA ")
    root = RealClient(make_user("root@example.com", is_superuser=True))
    assert root.do(b"e GETQUOTA bob@example.com").startswith(b"* QUOTA ")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"GETQUOTA", b"a BAD "),
        (b"GETQUOTA x y", b"a BAD "),
        (b"GETQUOTA {1+}\r\n\xff", b"a BAD "),
        (b"GETQUOTAROOT", b"a BAD "),
        (b"GETQUOTAROOT INBOX x", b"a BAD "),
        (b"SETQUOTA", b"a BAD "),
        (b"SETQUOTA bob@example.com (STORAGE 100)", b"a NO [NOPERM]"),
    ],
)
def test_refusals(line, answer):
    client = Client()
    before = len(client.store.asked)
    assert client.do(b"a " + line).startswith(answer)
    assert len(client.store.asked) == before


def test_a_mailbox_that_is_not_there_has_no_root(bob):
    assert bob.do(b"a GETQUOTAROOT Nope").startswith(b"a NO [NONEXISTENT]")


def test_quotas_are_announced_and_setting_quotas_is_not():
    said = Client().do(b"a CAPABILITY").split()
    assert {b"QUOTA", b"QUOTA=RES-STORAGE", b"QUOTA=RES-MESSAGE", b"APPENDLIMIT=100000"} <= set(said)
    assert b"QUOTASET" not in said


def test_too_many_messages_are_refused(ann, bob, message_limit):
    assert b"OK [APPENDUID" in ann.append(MESSAGE, MESSAGE)
    assert ann.append(MESSAGE, MESSAGE).startswith(b"p NO [OVERQUOTA]")
    ann.do(b"a SELECT INBOX")
    assert ann.do(b"b COPY 1:2 Trash").startswith(b"b NO [OVERQUOTA]")
    assert b"COPYUID" in ann.do(b"c COPY 1 Trash")
    assert b"COPYUID" in ann.do(b"d MOVE 1:2 Trash")
    assert b"OK [APPENDUID" in bob.append(MESSAGE)


def test_what_can_be_had_back_by_expunging_is_counted(bob):
    bob.append(MESSAGE, MESSAGE, MESSAGE)
    bob.do(b"a SELECT INBOX")
    bob.do(b"b STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    said = b"STATUS INBOX (MESSAGES 3 DELETED 2 DELETED-STORAGE %d)\r\n" % (2 * len(MESSAGE))
    assert bob.do(b"c STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)").startswith(b"* " + said)
    lines = bob.do(b'd LIST "" (INBOX Sent) RETURN (STATUS (DELETED))').splitlines()
    assert lines[1] == b"* STATUS INBOX (DELETED 2)"
    assert lines[3] == b"* STATUS Sent (DELETED 0)"


def test_the_largest_message_is_a_status_item():
    # RFC 7889 section 3.2
    assert Client().do(b"a STATUS INBOX (APPENDLIMIT)").startswith(b"* STATUS INBOX (APPENDLIMIT 100000)\r\n")
