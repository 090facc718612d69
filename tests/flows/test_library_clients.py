"""Libraries that other programs are built on: Perl's Mail::IMAPClient and node's imapflow, each in a small client.

(Python's imapclient is in ``test_real_clients``.)
"""

import base64

import pytest
from running import deliver, without_trace

from peers import programs

pytestmark = [pytest.mark.flow, pytest.mark.peer]

OWN = b"Subject: own\r\n\r\nhello\r\n"


def letter(subject):
    head = f"From: Friend <friend@example.net>\r\nTo: you@example.test\r\nSubject: {subject}\r\n"
    mime = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    return f"{head}{mime}Message-ID: <{subject}@example.net>\r\n\r\nGrüße von {subject}\r\n".encode()


SENT = [letter(subject) for subject in ("Erste", "Zweite", "Dritte")]


def have_three(server, person):
    for content in SENT:
        assert deliver(server, person, content).startswith(b"250")


def contents(person, folder):
    """Octets and flags of the messages of a mailbox, by UID."""
    found = {}
    with person.imap() as imap:
        imap.fine(b"EXAMINE " + folder)
        for text, literals in imap.fine(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[])"):
            uid = int(text.partition(b"UID ")[2].split(b" ")[0])
            flags = text.partition(b"FLAGS (")[2].partition(b")")[0].decode().split()
            found[uid] = literals[0], set(flags) - {"\\Recent"}
    return found


def test_mail_imapclient_reads_files_deletes_and_waits(any_server, person, tmp_path):
    have_three(any_server, person)
    saw = programs.perl_imapclient(tmp_path, any_server, person, lambda: deliver(any_server, person, letter("Vierte")))
    assert "IDLE" in saw["capabilities"]
    assert saw["uids"] == [1, 2, 3]
    assert saw["subjects"] == ["Erste", "Zweite", "Dritte"]
    assert saw["sizes"] == saw["lengths"]
    assert saw["found"] == [2]
    assert (saw["type"], saw["from"]) == ("TEXT", "Friend <friend@example.net>")
    assert set(saw["flags"]) - {"\\Recent"} == {"\\Flagged"}
    assert (saw["appended"], saw["copied"], saw["archive"]) == (1, 2, 3)
    assert saw["left"] == [1]
    assert {"INBOX", "Archiv", "Drafts", "Trash"} <= set(saw["folders"])
    assert saw["news"] == ["* 2 EXISTS"]

    inbox, archive = contents(person, b"INBOX"), contents(person, b"Alt")
    assert [(without_trace(octets), flags) for octets, flags in inbox.values()] == [
        (SENT[0], {"\\Flagged"}),
        (letter("Vierte"), set()),
    ]
    assert archive.pop(1) == (OWN, {"\\Seen"})
    assert [without_trace(octets) for octets, _ in archive.values()] == SENT[1:]


def test_imapflow_reads_files_deletes_and_waits(any_server, person, tmp_path):
    have_three(any_server, person)
    saw = programs.imapflow(tmp_path, any_server, person, lambda: deliver(any_server, person, letter("Vierte")))
    assert {"IDLE", "MOVE", "CONDSTORE"} <= set(saw["capabilities"])
    assert "CONDSTORE" in saw["enabled"]
    assert saw["exists"] == 3
    for number, (seen, sent) in enumerate(zip(saw["messages"], SENT, strict=True), 1):
        source = base64.b64decode(seen["source"])
        assert without_trace(source) == sent
        assert (seen["uid"], seen["size"], seen["type"]) == (number, len(source), "text/plain")
        assert seen["from"] == "friend@example.net"
        assert seen["subject"].encode() in sent
    assert saw["found"] == [2]
    assert saw["text"] == "Grüße von Erste\n" or saw["text"] == "Grüße von Erste\r\n"
    assert (saw["appended"]["uid"], saw["copied"], saw["moved"]) == (1, [[2, 2]], [[3, 3]])
    assert saw["left"] == 1
    assert {"INBOX", "Entwürfe", "Entwürfe/Neue"} <= set(saw["folders"])
    assert (saw["status"]["messages"], saw["status"]["unseen"], saw["status"]["uidNext"]) == (3, 3, 4)
    assert saw["arrived"] == 2

    inbox, drafts = contents(person, b"INBOX"), contents(person, b'"Entw&APw-rfe/Neue"')
    assert [(without_trace(octets), flags) for octets, flags in inbox.values()] == [
        (SENT[0], {"\\Seen", "$Label1"}),
        (letter("Vierte"), set()),
    ]
    assert drafts.pop(1) == (OWN, {"\\Draft"})
    assert [without_trace(octets) for octets, _ in drafts.values()] == SENT[1:]
