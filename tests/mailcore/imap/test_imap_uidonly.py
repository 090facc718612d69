"""UIDONLY (RFC 9586): no message number goes either way. And the one place that writes FETCH, EXPUNGE and VANISHED."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_model import MESSAGE, Client, Store

from a3mailer_site.number_sets import runs
from mailcore.imap import questions as q
from mailcore.imap.forms import Form, vanished
from mailcore.imap.session import COMMANDS
from mailcore.store.flags import DELETED, FLAGGED, SEEN


def with_mail(count=4, *, gone=(1,), enable=b"UIDONLY"):
    """A client without message numbers, in a mailbox where number and UID differ."""
    store = Store("Work")
    for _ in range(count):
        store.inbox.add(MESSAGE, SEEN)
    store.inbox.remove(gone)
    client = Client(store, log_in=True)
    client.do(b"e ENABLE " + enable)
    client.do(b"s SELECT INBOX")
    return client


def test_enable_says_what_is_on_now():
    client = Client()
    assert client.do(b"a ENABLE UIDONLY QRESYNC X-NO") == b"* ENABLED UIDONLY QRESYNC\r\na OK ENABLE completed\r\n"
    assert client.do(b"b ENABLE UIDONLY") == b"* ENABLED\r\nb OK ENABLE completed\r\n"


@pytest.mark.parametrize(
    "command",
    [
        b"FETCH 1 FLAGS",
        b"STORE 1 +FLAGS (\\Seen)",
        b"COPY 1 Work",
        b"MOVE 1 Work",
        b"SEARCH ALL",
        b"UID SEARCH 1:*",
        b"UID SEARCH NOT 1",
        b"UID SEARCH OR SEEN (UNSEEN 2)",
    ],
)
def test_what_uses_message_numbers_is_refused(command):
    client = with_mail()
    assert client.do(b"a " + command).startswith(b"a BAD [UIDREQUIRED] ")
    assert [message[0] for message in client.store.inbox.messages.values()] == [SEEN] * 3


def test_every_command_with_a_uid_form_is_refused_without_it_but_expunge():
    client = with_mail()
    for name in COMMANDS:
        said = client.do(b"a " + name.removeprefix(b"UID ")) if name.startswith(b"UID ") else b"BAD [UIDREQUIRED]"
        assert (b"BAD [UIDREQUIRED]" in said) is (name != b"UID EXPUNGE")


def test_fetch_and_store_answer_with_uidfetch():
    client = with_mail()
    assert client.do(b"a UID FETCH 2:3 FLAGS") == (
        b"* 2 UIDFETCH (FLAGS (\\Seen \\Recent))\r\n* 3 UIDFETCH (FLAGS (\\Seen \\Recent))\r\n"
        b"a OK UID FETCH completed\r\n"
    )
    assert client.do(b"b UID FETCH 4 (UID RFC822.SIZE)").startswith(b"* 4 UIDFETCH (UID 4 RFC822.SIZE ")
    assert client.do(b"c UID FETCH 4 BODY[TEXT]").startswith(b"* 4 UIDFETCH (BODY[TEXT] {")
    assert client.do(b"d UID STORE 2 +FLAGS (\\Flagged)").startswith(
        b"* 2 UIDFETCH (FLAGS (\\Flagged \\Seen \\Recent))\r\n"
    )


def test_a_read_message_tells_its_new_flags_with_its_uid():
    client = with_mail(enable=b"UIDONLY CONDSTORE")
    client.store.inbox.flag([3], q.StoreMode.REMOVE, SEEN)
    client.do(b"a NOOP")
    said = client.do(b"b UID FETCH 3 BODY[TEXT]")
    assert said.startswith(b"* 3 UIDFETCH (BODY[TEXT] {")
    assert b" FLAGS (\\Seen \\Recent) MODSEQ (8))\r\nb OK" in said


def test_what_others_do_is_told_by_uid():
    client = with_mail()
    client.store.inbox.flag([3], q.StoreMode.ADD, FLAGGED)
    client.store.inbox.remove([2, 4])
    client.store.inbox.add()
    assert client.do(b"a NOOP") == (
        b"* VANISHED 2,4\r\n* 2 EXISTS\r\n* 2 RECENT\r\n* 3 UIDFETCH (FLAGS (\\Flagged \\Seen \\Recent))\r\n"
        b"a OK NOOP completed\r\n"
    )


def test_expunge_answers_with_vanished():
    client = with_mail()
    client.store.inbox.flag([2, 3], q.StoreMode.ADD, DELETED)
    client.do(b"a NOOP")
    assert client.do(b"b EXPUNGE").startswith(b"* VANISHED 2:3\r\n* 1 RECENT\r\nb OK ")
    client.store.inbox.flag([4], q.StoreMode.ADD, DELETED)
    assert client.do(b"c UID EXPUNGE 4").startswith(b"* VANISHED 4\r\n")


def test_select_names_no_message_number():
    client = with_mail()
    client.store.inbox.flag([4], q.StoreMode.REMOVE, SEEN)
    assert b"UNSEEN" not in client.do(b"a SELECT INBOX")


def test_a_client_that_knows_modseq_hears_the_uid_with_it():
    """RFC 7162 section 3.2.4."""
    client = with_mail(enable=b"CONDSTORE")
    client.store.inbox.flag([3], q.StoreMode.ADD, FLAGGED)
    assert b"* 2 FETCH (UID 3 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (7))\r\n" in client.do(b"a NOOP")
    assert client.do(b"b STORE 2 -FLAGS (\\Flagged)").startswith(
        b"* 2 FETCH (UID 3 FLAGS (\\Seen \\Recent) MODSEQ (8))"
    )


# -- Forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (Form(), b"* 4 FETCH (FLAGS ())\r\n"),
        (Form(condstore=True), b"* 4 FETCH (UID 17 FLAGS ())\r\n"),
        (Form(condstore=True, qresync=True), b"* 4 FETCH (UID 17 FLAGS ())\r\n"),
        (Form(rev2=True), b"* 4 FETCH (UID 17 FLAGS ())\r\n"),
        (Form(uidonly=True), b"* 17 UIDFETCH (FLAGS ())\r\n"),
        (Form(condstore=True, uidonly=True), b"* 17 UIDFETCH (FLAGS ())\r\n"),
    ],
)
def test_each_client_hears_of_a_message_in_its_form(form, written):
    assert form.fetch(4, 17, [b"FLAGS ()"]) == written


@given(st.sets(st.integers(1, 400)), st.data())
def test_expunge_and_vanished_lead_to_the_same_messages(uids, data):
    there = sorted(uids)
    gone = sorted(data.draw(st.sets(st.sampled_from(there)))) if there else []
    pairs = [(there.index(uid) + 1, uid) for uid in gone]
    left = list(there)
    for line in Form().expunged(pairs):
        del left[int(line.split()[1]) - 1]
    assert left == [uid for uid in there if uid not in gone]
    told = []
    for line in Form(qresync=True).expunged(pairs):
        for pair in re.fullmatch(rb"\* VANISHED ([0-9:,]+)\r\n", line)[1].split(b","):
            first, _, last = pair.partition(b":")
            told += range(int(first), int(last or first) + 1)
    assert told == gone


def test_many_that_vanished_take_several_short_lines():
    lines = list(vanished(runs(range(1, 5000, 2)), earlier=True))
    assert len(lines) == 5
    assert all(line.startswith(b"* VANISHED (EARLIER) ") and len(line) < 8192 for line in lines)
