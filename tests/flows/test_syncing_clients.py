"""Programs that keep a copy of the mailbox, both ways, again and again: mbsync and offlineimap."""

import re

import pytest
from running import deliver, without_trace

from peers import programs

pytestmark = [pytest.mark.flow, pytest.mark.peer]

MANY = 300
FLAGS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft", "T": "\\Deleted"}
# What a program puts into a message to find it again.
_MARKS = re.compile(rb"(?m)^X-(?:TUID|OfflineIMAP): .*\r\n")


def letter(number, subject="sync"):
    """A message whose size and octets depend on its number."""
    head = f"From: friend@example.net\r\nTo: you@example.test\r\nSubject: {subject}-{number}\r\n"
    identity = f"Message-ID: <{subject}-{number}@example.net>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n"
    return (head + identity + "Grüße aus Köln\r\n" * (number % 7 + 1) + f".{number}\r\n").encode()


def fill(person, count):
    """Put so many messages into INBOX by one APPEND (RFC 3502)."""
    with person.imap() as imap:
        imap.fine(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%s" % (len(one), one) for one in map(letter, range(count))))


def there(person, folder=b"INBOX"):
    """What the server has: octets and flags of each message, by subject."""
    found = {}
    with person.imap() as imap:
        imap.fine(b"EXAMINE " + folder)
        for text, literals in imap.fine(b"UID FETCH 1:* (FLAGS BODY.PEEK[])"):
            if literals:
                flags = {flag.decode() for flag in text.partition(b"FLAGS (")[2].partition(b")")[0].split()}
                _note(found, literals[0], flags - {"\\Recent"})
    return found


def here(folder):
    """What a Maildir has: the same."""
    found = {}
    for path in _files(folder):
        octets = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        _note(found, octets, {FLAGS[one] for one in path.name.partition(":2,")[2]})
    return found


def modseq(person):
    """A number that grows with every change of INBOX (RFC 7162)."""
    with person.imap() as imap:
        return imap.status(b"INBOX", b"HIGHESTMODSEQ")


def _note(found, octets, flags):
    subject = octets.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
    assert subject not in found, f"{subject} is there twice"
    found[subject] = _MARKS.sub(b"", octets), flags


def _files(folder):
    return [path for part in ("cur", "new") for path in (folder / part).iterdir()]


def flag(folder, subject, flags):
    """Give a message in a Maildir other flags, as a mail reader does: by another name of its file."""
    path = _file(folder, subject)
    path.rename(folder / "cur" / f"{path.name.partition(':')[0]}:2,{flags}")


def _file(folder, subject):
    return next(path for path in _files(folder) if f"\nSubject: {subject}\n".encode() in path.read_bytes())


@pytest.mark.parametrize(
    ("synchronise", "root"),
    [(programs.mbsync, "mail"), (programs.offlineimap, "offline")],
    ids=["mbsync", "offlineimap"],
)
def test_three_hundred_messages_stay_alike_on_both_sides(server, person, tmp_path, synchronise, root):
    fill(person, MANY)
    synchronise(tmp_path, server, person)
    inbox = tmp_path / root / "INBOX"
    assert here(inbox) == there(person) == {f"sync-{number}": (letter(number), set()) for number in range(MANY)}

    # Nothing to do: no file of ours changes its name, nothing happens to the mailbox.
    before = sorted(_files(inbox)), modseq(person)
    synchronise(tmp_path, server, person)
    assert (sorted(_files(inbox)), modseq(person)) == before

    # Here: three are read, one of them is important; two are thrown away; one is written; a folder is made.
    for number, flags in ((0, "S"), (1, "FS"), (2, "RS")):
        flag(inbox, f"sync-{number}", flags)
    for number in (3, 4):
        _file(inbox, f"sync-{number}").unlink()
    (inbox / "cur" / "1.own.here:2,S").write_bytes(letter(0, "own").replace(b"\r\n", b"\n"))
    for part in ("cur", "new", "tmp"):
        (tmp_path / root / "Archiv" / part).mkdir(parents=True)
    (tmp_path / root / "Archiv" / "cur" / "2.own.here:2,F").write_bytes(letter(1, "own").replace(b"\r\n", b"\n"))
    # There: one is answered, one is deleted, one loses what it never had here, one arrives.
    with person.imap() as imap:
        imap.fine(b"UID STORE 6 +FLAGS (\\Answered)")
        imap.fine(b"UID STORE 7,8 +FLAGS (\\Deleted)")
        imap.fine(b"UID EXPUNGE 7,8")
    deliver(server, person, letter(0, "new"))
    synchronise(tmp_path, server, person)

    far = there(person)
    arrived, flags = far.pop("new-0")
    assert (without_trace(arrived), flags) == (letter(0, "new"), set())
    expected = {f"sync-{number}": (letter(number), set()) for number in range(MANY) if number not in {3, 4, 6, 7}}
    for subject, flags in {"sync-0": {"\\Seen"}, "sync-1": {"\\Flagged", "\\Seen"}, "sync-5": {"\\Answered"}}.items():
        expected[subject] = expected[subject][0], flags
    expected["sync-2"] = letter(2), {"\\Answered", "\\Seen"}
    expected["own-0"] = letter(0, "own"), {"\\Seen"}
    assert far == expected
    assert here(inbox) == there(person)
    assert here(tmp_path / root / "Archiv") == there(person, b"Archiv") == {"own-1": (letter(1, "own"), {"\\Flagged"})}

    before = sorted(_files(inbox)), modseq(person)
    synchronise(tmp_path, server, person)
    assert (sorted(_files(inbox)), modseq(person)) == before
