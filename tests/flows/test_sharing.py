"""Mailboxes that people share, and what is kept beside them, over real connections and on both databases."""

import time

import pytest

pytestmark = pytest.mark.flow

CONTENT = b"Subject: shared\r\n\r\nx\r\n"
# Promised is one second; these machines are shared.
CUT_WITHIN = 1 * 5


def test_a_mailbox_is_shared_used_and_taken_back(any_server, person, friend):
    with person.imap() as owner, friend.imap() as other:
        name = b'"Other Users/%b/Work"' % person.address.encode()
        owner.fine(b"CREATE Work")
        assert owner.append(b"Work", CONTENT).startswith(b"OK")
        assert other.command(b"SELECT " + name)[0].startswith(b"NO [NONEXISTENT]")
        owner.fine(b"SETACL Work %b lrsi" % friend.address.encode())
        assert (b"* MYRIGHTS " + name + b" lrsi", []) in other.fine(b'LIST "" * RETURN (MYRIGHTS)')
        other.fine(b"SELECT " + name)
        assert list(other.bodies().values()) == [CONTENT]
        assert other.append(name, CONTENT).startswith(b"OK")
        assert owner.status(b"Work", b"MESSAGES", b"UNSEEN") == {"MESSAGES": 2, "UNSEEN": 2}
        other.send_command(b"IDLE")
        while not other.line().startswith(b"+"):
            pass
        owner.fine(b"DELETEACL Work " + friend.address.encode())
        began = time.monotonic()
        while not other.line().startswith(b"* BYE"):
            pass
        assert time.monotonic() - began < CUT_WITHIN


def test_annotations_are_kept(any_server, person):
    with person.imap() as imap:
        imap.fine(b'SETMETADATA INBOX (/private/comment "mine" /shared/comment {3+}\r\n\r\n! /private/x "y")')
        imap.fine(b"SETMETADATA INBOX (/private/x NIL)")
        assert imap.fine(b"GETMETADATA (DEPTH infinity) INBOX (/private /shared)") == [
            (b'* METADATA INBOX (/private/comment "mine" /shared/comment {3} )', [b"\r\n!"])
        ]


def test_quota_and_special_use_are_told(any_server, person):
    with person.imap() as imap:
        assert imap.fine(b"GETQUOTAROOT INBOX")[0][0].startswith(b"* QUOTAROOT INBOX")
        imap.fine(b"DELETE Sent")
        imap.fine(b"CREATE gone/out (USE (\\Sent))")
        assert b'\\Sent) "/" gone/out' in b"".join(text for text, _ in imap.fine(b'LIST (SPECIAL-USE) "" *'))
        imap.fine(b"RENAME gone here")
        assert imap.status(b"here/out", b"MESSAGES", b"DELETED", b"DELETED-STORAGE") == {
            "MESSAGES": 0,
            "DELETED": 0,
            "DELETED-STORAGE": 0,
        }
