"""People who wait: new mail is seen at once, from every side, and waiting costs next to nothing."""

import time
from pathlib import Path

import pytest
from running import deliver, running

from wire import Imap

pytestmark = pytest.mark.flow

CONTENT = b"Subject: news\r\n\r\nx\r\n"
# Promised is one second; these machines are shared.
SEEN_WITHIN = 1 * 5
KIB = 1024


def idle(person):
    imap = person.imap()
    imap.send_command(b"IDLE")
    assert imap.line().startswith(b"+")
    return imap


def news(imap, word):
    """Seconds until an untagged response with this word comes."""
    began = time.monotonic()
    while word not in imap.line():
        pass
    return time.monotonic() - began


def test_new_mail_is_seen_by_everybody_who_idles(any_server, person, record_property):
    idlers = [idle(person) for _ in range(3)]
    slowest = 0.0
    for number in range(1, 4):
        assert deliver(any_server, person, CONTENT).startswith(b"250")
        slowest = max(slowest, *(news(imap, b"* %d EXISTS" % number) for imap in idlers))
    record_property("seconds_until_seen", round(slowest, 3))
    assert slowest < SEEN_WITHIN
    for imap in idlers:
        imap.close()


def test_what_others_do_to_the_mailbox_is_seen_too(any_server, person):
    deliver(any_server, person, CONTENT)
    with idle(person) as waiting, person.imap() as acting:
        acting.fine(b"STORE 1 +FLAGS (\\Flagged)")
        assert news(waiting, b"* 1 FETCH") < SEEN_WITHIN
        assert acting.append(b"INBOX", CONTENT).startswith(b"OK")
        assert news(waiting, b"* 2 EXISTS") < SEEN_WITHIN
        acting.fine(b"STORE 1 +FLAGS (\\Deleted)")
        acting.fine(b"EXPUNGE")
        assert news(waiting, b"* 1 EXPUNGE") < SEEN_WITHIN


def test_mail_submitted_here_is_seen_by_its_recipient(any_server, person, friend):
    with idle(friend) as waiting, person.submission() as smtp:
        smtp.envelope(person.address, friend.address)
        assert smtp.data(b"From: " + person.address.encode() + b"\r\n" + CONTENT).startswith(b"250")
        assert news(waiting, b"* 1 EXISTS") < SEEN_WITHIN


def memory(server):
    """Proportional set size of all processes, in bytes: shared pages count once."""
    total = 0
    for pid in server.tree():
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * KIB
    return total


@pytest.mark.long
def test_500_idle_connections_cost_little(record_property):
    with running("idle", {"A3MAILER_CONNECTION_LIMIT_PER_ADDRESS": "2000"}, people=50) as server:
        person = server.people[0]
        # What is made once, at first use, is no part of what a connection costs.
        for other in server.people:
            with idle(other):
                pass
        time.sleep(2)  # not a wait for something: the server is to have come to rest before it is weighed
        before = memory(server)
        record_property("whole_server_idle_mib", round(before / KIB / KIB))
        assert before < 360 * KIB * KIB
        crowd = []
        for number in range(500):
            imap = Imap(server.ports["imaps"], tls=True)
            who = server.people[number % 50]
            assert imap.login(who.address, who.password).startswith(b"OK")
            imap.fine(b"SELECT INBOX")
            imap.send_command(b"IDLE")
            assert imap.line().startswith(b"+")
            crowd.append(imap)
        time.sleep(2)
        each = (memory(server) - before) / 500
        record_property("kib_a_connection", round(each / KIB, 1))
        assert each < 64 * KIB
        assert deliver(server, person, CONTENT).startswith(b"250")
        mine = [imap for number, imap in enumerate(crowd) if number % 50 == 0]
        assert max(news(imap, b"* 1 EXISTS") for imap in mine) < SEEN_WITHIN
        for imap in crowd:
            imap.close()
