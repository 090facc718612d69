"""Programs that people read their mail with: mutt reads, deletes, answers and keeps a copy; getmail takes all away."""

import re

import pytest
from running import deliver, without_trace

from peers import programs
from wire import until

pytestmark = [pytest.mark.flow, pytest.mark.peer]


def letter(subject, body="Hello\r\n"):
    head = f"From: Friend <friend@example.net>\r\nTo: you@example.test\r\nSubject: {subject}\r\n"
    return f"{head}Message-ID: <{subject}@example.net>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n{body}".encode()


def there(person, folder=b"INBOX"):
    """Flags of the messages of a mailbox, by subject."""
    found = {}
    with person.imap() as imap:
        imap.fine(b"EXAMINE " + folder)
        for text, literals in imap.fine(b"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"):
            flags = set(text.partition(b"FLAGS (")[2].partition(b")")[0].decode().split())
            found[literals[0].decode().strip().removeprefix("Subject: ")] = flags - {"\\Recent"}
    return found


def test_mutt_reads_flags_deletes_answers_and_keeps_a_copy(server, person, friend, tmp_path):
    for subject in ("read", "important", "rubbish"):
        deliver(server, person, letter(subject))
    editor = programs.written(tmp_path / "editor", '#!/bin/sh\necho "to be sent" >>"$1"\n', 0o700)
    commands = f"""
set from = "{person.address}"
set smtp_url = "smtps://{person.address}@localhost:{server.ports["submissions"]}/"
set smtp_pass = "{person.password}"
set smtp_authenticators = "plain"
set record = "=Sent"
set copy = yes
set editor = "{editor}"
set fast_reply = yes
set include = no
set abort_unmodified = no
set hostname = client.example
push "<display-message><exit><next-entry><flag-message><next-entry><delete-message><sync-mailbox>\
<first-entry><mail>{friend.address}<enter>from mutt<enter><send-message><sync-mailbox><exit>"
"""
    programs.mutt(tmp_path, server, person, commands)
    assert there(person) == {"read": {"\\Seen"}, "important": {"\\Flagged"}}
    assert there(person, b"Sent") == {"from mutt": {"\\Seen"}}
    (content,) = friend.wait_for()
    assert b"\r\n\r\nto be sent\r\n" in content
    with person.imap() as imap:
        imap.fine(b"EXAMINE Sent")
        (kept,) = imap.bodies().values()
    # The copy and what was sent are one message: same identity, same text.
    assert kept.partition(b"\r\n\r\n")[2] == content.partition(b"\r\n\r\n")[2]
    assert identity(kept) == identity(content)


def identity(content):
    return re.search(rb"(?im)^Message-ID: (<\S+>)", content)[1]


@pytest.mark.parametrize("protocol", ["IMAP", "POP3"])
def test_getmail_takes_everything_away(server, person, tmp_path, protocol):
    sent = [letter(f"getmail-{number}", ".dot\r\n\r\nFrom here\r\n" * number) for number in range(1, 4)]
    for content in sent:
        deliver(server, person, content)
    programs.getmail(tmp_path, server, person, protocol)
    got = [re.sub(rb"\r?\n", b"\r\n", path.read_bytes()) for path in (tmp_path / "got").iterdir()]
    # It adds where it has a message from.
    got = [one.replace(b"X-getmail-retrieved-from-mailbox: INBOX\r\n", b"") for one in got]
    assert sorted(map(without_trace, got)) == sent
    until(lambda: person.mail() == [])
    programs.getmail(tmp_path, server, person, protocol)
    assert len(list((tmp_path / "got").iterdir())) == 3
