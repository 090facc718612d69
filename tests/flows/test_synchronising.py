"""Clients that keep a copy, over real connections: QRESYNC, UIDONLY, NOTIFY, identifiers, what other processes do."""

import re
import threading
import time

import pytest
from running import running

from wire import Imap

pytestmark = pytest.mark.flow

CONTENT = b"Message-ID: <first@example.net>\r\nSubject: news\r\n\r\nx\r\n"
REPLY = b"Message-ID: <second@example.net>\r\nIn-Reply-To: <first@example.net>\r\nSubject: Re: news\r\n\r\ny\r\n"
# Promised is one second; these machines are shared.
SEEN_WITHIN = 1 * 5

# What another process does to the INBOX of somebody: it has no doorbell of the mail process, only the database.
ELSEWHERE = """
from accounts.models import User
from mailcore.store.changes import Mode, StoreFlags, Expunge
from mailcore.store.mailboxes import CreateMailbox, inbox_id
from mailcore.store.commit import run
from mailcore.store.metadata import SetMetadata
owner = User.objects.get(email={address!r}).pk
inbox = inbox_id(owner)
{act}
print("null")
"""


def elsewhere(server, person, act):
    server.python(ELSEWHERE.format(address=person.address, act=act))


def texts(untagged):
    return [text for text, _ in untagged]


def wait_for(imap, words):
    """The next line that begins so, and the seconds until it came."""
    began = time.monotonic()
    while not (line := imap.line()).startswith(words):
        pass
    return line, time.monotonic() - began


def fill(person, *messages):
    with person.imap() as imap:
        for message in messages:
            assert imap.append(b"INBOX", message).startswith(b"OK")


def test_a_client_that_was_away_is_brought_up_to_date(any_server, person):
    fill(person, *[CONTENT] * 5)
    with person.imap() as imap:
        status = imap.status(b"INBOX", b"UIDVALIDITY", b"HIGHESTMODSEQ")
        imap.fine(b"STORE 2 +FLAGS (\\Flagged)")
        imap.fine(b"STORE 3:4 +FLAGS.SILENT (\\Deleted)")
        imap.fine(b"EXPUNGE")
    fill(person, REPLY)
    with person.imap() as imap:
        assert b"* ENABLED QRESYNC" in texts(imap.fine(b"ENABLE QRESYNC"))
        known = b"%d %d" % (status["UIDVALIDITY"], status["HIGHESTMODSEQ"])
        said = texts(imap.fine(b"SELECT INBOX (QRESYNC (%b))" % known))
        assert b"* VANISHED (EARLIER) 3:4" in said
        assert any(re.match(rb"\* 2 FETCH \(UID 2 FLAGS \(\\Flagged[^)]*\) MODSEQ \(\d+\)\)", line) for line in said)
        assert any(line.startswith(b"* 4 FETCH (UID 6 FLAGS (") for line in said)
        assert len([line for line in said if b"FETCH" in line]) == 2
        assert b"* VANISHED (EARLIER) 3" in texts(
            imap.fine(b"UID FETCH 1:3 (FLAGS) (CHANGEDSINCE %d VANISHED)" % status["HIGHESTMODSEQ"])
        )


def test_a_client_without_message_numbers(any_server, person):
    fill(person, CONTENT, CONTENT)
    with person.imap() as imap:
        imap.fine(b"ENABLE UIDONLY")
        assert imap.command(b"FETCH 1 FLAGS")[0].startswith(b"BAD [UIDREQUIRED]")
        assert texts(imap.fine(b"UID FETCH 2 (RFC822.SIZE)")) == [b"* 2 UIDFETCH (RFC822.SIZE %d)" % len(CONTENT)]
        imap.fine(b"UID STORE 1 +FLAGS.SILENT (\\Deleted)")
        assert b"* VANISHED 1" in texts(imap.fine(b"EXPUNGE"))


def test_news_come_unasked_from_every_mailbox(any_server, person):
    with person.imap() as hearing, person.imap() as acting:
        hearing.fine(
            b"NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) (personal (MessageNew "
            b"MessageExpunge MailboxName SubscriptionChange))"
        )
        acting.fine(b"CREATE Work")
        assert wait_for(hearing, b"* LIST ")[0] == b'* LIST (\\HasNoChildren) "/" Work'
        assert acting.append(b"Work", CONTENT).startswith(b"OK")
        assert wait_for(hearing, b"* STATUS ")[0].startswith(b"* STATUS Work (MESSAGES 1 UIDNEXT 2 ")
        assert acting.append(b"INBOX", CONTENT).startswith(b"OK")
        assert wait_for(hearing, b"* 1 FETCH ")[0] == b"* 1 FETCH (UID 1)"
        acting.fine(b"NOOP")
        acting.fine(b"STORE 1 +FLAGS (\\Deleted)")
        wait_for(hearing, b"* 1 FETCH (UID 1 FLAGS (\\Deleted")
        acting.fine(b"EXPUNGE")
        wait_for(hearing, b"* 1 EXPUNGE")
        hearing.fine(b"NOOP")
        hearing.fine(b"NOTIFY NONE")
        acting.fine(b"DELETE Work")
        assert not any(b"Work" in line for line in texts(hearing.fine(b"NOOP")))


def test_what_another_process_does_is_heard(any_server, person, record_property):
    """By IDLE in the selected mailbox, and by NOTIFY in names and in mailboxes that are not selected."""
    fill(person, CONTENT, CONTENT)
    with person.imap() as waiting, person.imap() as hearing:
        hearing.fine(b"UNSELECT")
        hearing.fine(b"NOTIFY SET (personal (MessageNew MessageExpunge FlagChange MailboxName MailboxMetadataChange))")
        waiting.send_command(b"IDLE")
        assert waiting.line().startswith(b"+")
        elsewhere(any_server, person, "run(StoreFlags(owner, inbox, [1], Mode.ADD, 1))")
        _, seconds = wait_for(waiting, b"* 1 FETCH (FLAGS (\\Seen")
        record_property("seconds_after_the_other_process_ended", round(seconds, 3))
        assert seconds < SEEN_WITHIN
        assert b"UNSEEN 1 " in wait_for(hearing, b"* STATUS INBOX ")[0]
        elsewhere(any_server, person, "run(Expunge(owner, inbox, [1], flagged_only=False))")
        wait_for(waiting, b"* 1 EXPUNGE")
        wait_for(hearing, b"* STATUS INBOX (MESSAGES 1 ")
        elsewhere(any_server, person, "run(CreateMailbox(owner, 'Made/Elsewhere'))")
        wait_for(hearing, b'* LIST (\\HasNoChildren) "/" Made/Elsewhere')
        elsewhere(any_server, person, "run(SetMetadata(owner, owner, inbox, {'/shared/comment': b'x'}))")
        wait_for(hearing, b"* METADATA INBOX /shared/comment")


def test_identifiers_stay_with_what_they_name(any_server, person):
    fill(person, CONTENT, REPLY)

    def of_all(imap):
        said = b"\n".join(texts(imap.fine(b"FETCH 1:* (EMAILID THREADID SAVEDATE)")))
        assert said.count(b'SAVEDATE "') == 2
        return re.findall(rb"EMAILID \((\S+)\)", said), re.findall(rb"THREADID \((\S+)\)", said)

    with person.imap() as imap:
        emails, threads = of_all(imap)
        assert len(set(emails)) == 2
        assert len(set(threads)) == 1
        imap.fine(b"MOVE 1:2 Archive")
        (status,) = texts(imap.fine(b"STATUS Archive (MAILBOXID)"))
        imap.fine(b"RENAME Archive Attic")
        assert texts(imap.fine(b"STATUS Attic (MAILBOXID)")) == [status.replace(b"Archive", b"Attic")]
        imap.fine(b"SELECT Attic")
        assert of_all(imap) == (emails, threads)
        assert b"* SEARCH 2" in texts(imap.fine(b"SEARCH EMAILID " + emails[1]))
        assert b"* SEARCH 1 2" in texts(imap.fine(b"SEARCH SAVEDATESUPPORTED SAVEDSINCE 1-Jan-2024"))


# What makes a large mailbox in one go: a hundred thousand rows that share one body.
LARGE = """
from accounts.models import User
from mailcore.store.changes import Append, NewMessage
from mailcore.store.commit import run
from mailcore.store.mailboxes import inbox_id
from mailcore.store.models import Mailbox, Message
from mailcore.store.prepared import prepare
owner = User.objects.get(email={address!r}).pk
inbox = inbox_id(owner)
run(Append(owner, inbox, [NewMessage(prepare({content!r}))]))
first = Message.objects.get(mailbox_id=inbox)
size = first.size
Message.objects.bulk_create(
    [Message(mailbox_id=inbox, uid=uid, body_id=first.body_id, modseq=first.modseq, internal_date=0, saved_at=0,
             size=size) for uid in range(2, {count} + 1)], batch_size=1000)
Mailbox.objects.filter(pk=inbox).update(
    uidnext={count} + 1, messages={count}, unseen={count}, size={count} * size)
User.objects.filter(pk=owner).update(used_quota={count} * size)
print("null")
"""


@pytest.mark.long
def test_a_hundred_thousand_messages(record_property):
    """Each step is timed, with the longest NOOP of somebody else beside it."""
    count = 100_000
    with running("large", people=2) as server:
        person, other = server.people
        server.python(LARGE.format(address=person.address, content=CONTENT, count=count))
        imap = Imap(server.ports["imaps"], tls=True, timeout=300)
        imap.login(person.address, person.password)
        with Bystander(other) as bystander:

            def step(command):
                began, bystander.longest = time.monotonic(), 0.0
                imap.fine(command)
                taken, longest = time.monotonic() - began, bystander.longest
                record_property(command.decode(), f"{taken:.2f} s, NOOP of others up to {longest * 1000:.0f} ms")

            step(b"SELECT INBOX")
            step(b"FETCH 1:* FLAGS")
            step(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
            step(b"NOOP")
            step(b"EXPUNGE")
        assert imap.status(b"INBOX", b"MESSAGES")["MESSAGES"] == 0
        imap.close()


class Bystander(threading.Thread):
    """Somebody who does nothing but NOOP, and remembers the longest."""

    def __init__(self, person):
        super().__init__()
        self._imap = person.imap()
        self._ended = threading.Event()
        self.longest = 0.0

    def run(self):
        while not self._ended.wait(0.01):
            began = time.monotonic()
            self._imap.fine(b"NOOP")
            self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        self.join()
        self._imap.close()
