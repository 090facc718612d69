"""QRESYNC (RFC 7162 section 3.2): a client that was away hears in one round trip what it has missed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_model import MESSAGE, Client, Store, asked

from a3mailer_site.number_sets import runs
from mailcore.imap import questions as q
from mailcore.imap.resync import holes, matching, overlap
from mailcore.store.flags import DELETED, FLAGGED, SEEN


def with_mail(count=6, *, enable=b"QRESYNC", select=b"INBOX"):
    store = Store("Work")
    for _ in range(count):
        store.inbox.add(MESSAGE, SEEN)
    client = Client(store)
    if enable:
        client.do(b"e ENABLE " + enable)
    if select:
        client.do(b"s SELECT " + select)
    return client


def resynced(client, parameters):
    """What comes after the description of the mailbox."""
    said = client.do(b"r SELECT INBOX (QRESYNC (%b))" % parameters)
    assert said.endswith(b"\r\nr OK [READ-WRITE] SELECT completed\r\n"), said
    lines = said.split(b"\r\n")[:-2]
    return [line for line in lines if b"FETCH" in line or b"VANISHED" in line]


@pytest.mark.parametrize(
    "parameters",
    [
        b"QRESYNC",
        b"QRESYNC ()",
        b"QRESYNC (1001)",
        b"QRESYNC (1001 0)",
        b"QRESYNC (0 5)",
        b"QRESYNC (1001 x)",
        b"QRESYNC (1001 5 1:*)",
        b"QRESYNC (1001 5 (1 2 3))",
        b"QRESYNC (1001 5 1:6 (1,2 3))",
        b"QRESYNC (1001 5 1:6 (2,1 3,4))",
        b"QRESYNC (1001 5 1:6 (1,* 3,4))",
        b"QRESYNC (1001 5 1:6 1:6)",
        b"QRESYNC (1001 5 1:6",
        b"QRESYNC (1001 9223372036854775808)",
        b"FROB",
    ],
)
def test_malformed_parameters_are_refused_and_the_mailbox_stays(parameters):
    client = with_mail()
    assert client.do(b"a SELECT INBOX (%b)" % parameters).startswith(b"a BAD ")
    assert client.do(b"b CHECK").startswith(b"b OK ")
    assert len(asked(client, q.OpenMailbox)) == 1


def test_qresync_must_have_been_enabled():
    client = with_mail(enable=b"")
    assert client.do(b"a SELECT INBOX (QRESYNC (1001 5))").startswith(b"a BAD ")
    assert client.do(b"b UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)").startswith(b"b BAD ")


@pytest.mark.parametrize(
    "command",
    [b"FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)", b"UID FETCH 1:* FLAGS (VANISHED)", b"UID FETCH 1 FLAGS (FROB 1)"],
)
def test_vanished_goes_only_with_uid_and_changedsince(command):
    assert with_mail().do(b"a " + command).startswith(b"a BAD ")


def test_without_numbers_there_is_no_match_data():
    client = with_mail(enable=b"QRESYNC UIDONLY")
    assert client.do(b"a SELECT INBOX (QRESYNC (1001 5 1:6 (1 1)))").startswith(b"a BAD [UIDREQUIRED] ")
    assert client.do(b"b SELECT INBOX (QRESYNC (1001 5 (1 1)))").startswith(b"b BAD [UIDREQUIRED] ")


def test_a_client_hears_what_it_has_missed_and_nothing_else():
    client = with_mail()
    inbox = client.store.inbox
    then = inbox.modseq
    inbox.remove([2, 3])
    inbox.flag([5], q.StoreMode.ADD, FLAGGED)
    inbox.add()
    assert resynced(client, b"1001 %d" % then) == [
        b"* VANISHED (EARLIER) 2:3",
        b"* 3 FETCH (UID 5 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (9))".replace(b" \\Recent", b""),
        b"* 5 FETCH (UID 7 FLAGS (\\Recent) MODSEQ (10))",
    ]
    assert resynced(client, b"1001 %d 1:6" % then)[-1].startswith(b"* 3 FETCH (UID 5 ")
    assert resynced(client, b"1001 %d 3:4" % then) == [b"* VANISHED (EARLIER) 3"]
    assert resynced(client, b"1001 %d" % inbox.modseq) == []


def test_another_uidvalidity_makes_the_rest_void():
    client = with_mail()
    client.store.inbox.remove([2])
    assert resynced(client, b"999 1") == []


def test_what_is_forgotten_is_told_as_all_that_is_not_there():
    client = with_mail()
    inbox = client.store.inbox
    inbox.remove([2, 3, 6])
    inbox.history = inbox.modseq
    inbox.remove([5])
    assert resynced(client, b"1001 3")[0] == b"* VANISHED (EARLIER) 2:3,5:6"
    assert resynced(client, b"1001 3 1:2,6:4294967295")[0] == b"* VANISHED (EARLIER) 2,6"
    # What is known is told exactly.
    assert resynced(client, b"1001 %d" % inbox.history)[0] == b"* VANISHED (EARLIER) 5"


def test_a_database_that_is_away_is_no_reason_to_leave_the_client_alone():
    client = with_mail()
    client.store.inbox.remove([4])
    client.store.refuse[q.ReadVanished] = q.Refused.UNAVAILABLE
    assert resynced(client, b"1001 7") == [b"* VANISHED (EARLIER) 4"]


def test_match_data_spares_what_the_client_knows():
    """RFC 7162 section 3.2.5.2: up to the last pair that still matches it has missed nothing."""
    client = with_mail(8)
    inbox = client.store.inbox
    inbox.remove([1, 3])
    inbox.remove([7])
    inbox.history = inbox.modseq
    assert resynced(client, b"1001 9 1:8 (2,4,5 4,6,7)") == [b"* VANISHED (EARLIER) 7"]
    assert resynced(client, b"1001 9 1:8 (2:5 4:7)") == [b"* VANISHED (EARLIER) 7"]
    assert resynced(client, b"1001 9 (3 3)")[0] == b"* VANISHED (EARLIER) 1,3,7"


def test_expunges_are_told_as_vanished_and_with_the_modseq_reached():
    client = with_mail()
    client.do(b"a STORE 2:3 +FLAGS.SILENT (\\Deleted)")
    assert client.do(b"b EXPUNGE") == b"* VANISHED 2:3\r\n* 4 RECENT\r\nb OK [HIGHESTMODSEQ 9] EXPUNGE completed\r\n"
    client.do(b"c STORE 1 +FLAGS.SILENT (\\Deleted)")
    said = client.do(b"d UID EXPUNGE 1:9")
    assert said == b"* VANISHED 1\r\n* 3 RECENT\r\nd OK [HIGHESTMODSEQ 11] UID EXPUNGE completed\r\n"
    assert client.do(b"e EXPUNGE") == b"e OK EXPUNGE completed\r\n"
    said = client.do(b"f MOVE 1 Work")
    assert said.endswith(b"* VANISHED 4\r\n* 2 RECENT\r\nf OK [HIGHESTMODSEQ 12] MOVE completed\r\n")


def test_the_modseq_in_a_completion_covers_what_has_been_told():
    """Somebody else's change comes before it, or the client would never hear of it."""
    client = with_mail()
    client.store.inbox.flag([6], q.StoreMode.ADD, FLAGGED)
    client.store.inbox.flag([1], q.StoreMode.ADD, DELETED)
    said = client.do(b"a EXPUNGE")
    assert b"* 5 FETCH (UID 6 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (8))\r\na OK [HIGHESTMODSEQ 10] " in said


def test_a_modseq_is_not_promised_where_changes_could_not_be_read():
    client = with_mail()
    client.store.inbox.flag([1], q.StoreMode.ADD, DELETED)
    client.store.refuse[q.ReadChanges] = q.Refused.UNAVAILABLE
    assert client.do(b"a EXPUNGE") == b"a OK EXPUNGE completed\r\n"


def test_close_promises_no_modseq():
    """RFC 7162 section 3.2.8."""
    client = with_mail()
    client.store.inbox.flag([1], q.StoreMode.ADD, DELETED)
    assert client.do(b"a CLOSE") == b"a OK CLOSE completed\r\n"


def test_uid_fetch_tells_what_vanished_before_anything_else():
    client = with_mail()
    client.store.inbox.remove([2])
    client.do(b"a NOOP")
    client.store.inbox.flag([3], q.StoreMode.ADD, FLAGGED)
    client.do(b"b NOOP")
    said = client.do(b"c UID FETCH 1:* (FLAGS) (CHANGEDSINCE 7 VANISHED)")
    assert said == (
        b"* VANISHED (EARLIER) 2\r\n* 2 FETCH (UID 3 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (9))\r\n"
        b"c OK UID FETCH completed\r\n"
    )
    assert b"VANISHED" not in client.do(b"d UID FETCH 3:* (FLAGS) (CHANGEDSINCE 7 VANISHED)")


def test_the_last_uid_is_among_all_even_when_it_is_gone():
    client = with_mail()
    client.store.inbox.remove([6])
    client.do(b"a NOOP")
    assert b"* VANISHED (EARLIER) 6\r\n" in client.do(b"b UID FETCH 1:* (FLAGS) (CHANGEDSINCE 7 VANISHED)")


def test_what_the_session_has_still_to_hear_does_not_vanish_earlier():
    """RFC 7162 section 3.2.10: the two forms of VANISHED are never mixed."""
    client = with_mail()
    client.store.inbox.remove([2])
    client.store.inbox.flag([3], q.StoreMode.ADD, FLAGGED)
    client.ring()
    client.do(b"a STORE 4 +FLAGS (\\Answered)")  # reads the changes, and may not tell of the expunge
    said = client.do(b"b UID FETCH 1:* (FLAGS) (CHANGEDSINCE 7 VANISHED)")
    assert b"EARLIER" not in said
    assert b"* VANISHED 2\r\n" in said


@pytest.mark.parametrize("cut", range(1, 80))
def test_a_cut_anywhere_changes_nothing(cut):
    stream = b"a SELECT INBOX (QRESYNC (1001 3 1:6 (1 1)))\r\nb UID FETCH 1:* FLAGS (CHANGEDSINCE 2 VANISHED)\r\n"

    def talk(*pieces):
        client = with_mail(select=b"")
        client.store.inbox.remove([2])
        for piece in pieces:
            client.send(piece)
        return client.read()

    assert talk(stream[:cut], stream[cut:]) == talk(stream)


# -- Ranges -----------------------------------------------------------------------------------------------------------

SETS = st.sets(st.integers(1, 60))


@given(SETS, SETS)
def test_overlap_and_holes_are_intersection_and_difference(some, others):
    def members(ranges):
        return [number for low, high in ranges for number in range(low, high + 1)]

    left, right = list(runs(sorted(some))), list(runs(sorted(others)))
    assert members(overlap(left, right)) == sorted(some & others)
    assert members(holes(left, sorted(others))) == sorted(some - others)


@given(st.sets(st.integers(1, 40), min_size=1), st.data())
def test_nothing_before_the_match_is_gone(before, data):
    """The client tells numbers and UIDs of some messages as they were; some are gone now."""
    old = sorted(before)
    now = sorted(data.draw(st.sets(st.sampled_from(old))))
    sample = sorted(data.draw(st.sets(st.integers(0, len(old) - 1), min_size=1)))
    numbers = tuple(runs([place + 1 for place in sample]))
    uids = tuple(runs([old[place] for place in sample]))
    matched = matching(numbers, uids, now)
    assert [uid for uid in old if uid <= matched] == [uid for uid in now if uid <= matched]
    right = [old[place] for place in sample if now[place : place + 1] == [old[place]]]
    assert matched == max(right, default=0)


def test_a_range_of_four_thousand_million_is_no_work():
    client = with_mail()
    client.store.inbox.remove([2])
    assert resynced(client, b"1001 7 1:4294967295 (1:4294967295 1:4294967295)") == [b"* VANISHED (EARLIER) 2"]


# -- A client that keeps a copy ---------------------------------------------------------------------------------------


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add")),
        st.tuples(st.just("flag"), st.integers(1, 12), st.sampled_from([SEEN, FLAGGED])),
        st.tuples(st.just("remove"), st.integers(1, 12)),
        st.tuples(st.just("forget")),
    ),
    max_size=20,
)


def act(inbox, what):
    match what:
        case ("add",):
            inbox.add()
        case ("flag", uid, flag):
            inbox.flag([uid], q.StoreMode.ADD, flag)
        case ("remove", uid):
            inbox.remove([uid])
        case ("forget",):
            inbox.history = inbox.modseq


@given(ACTS, ACTS, st.booleans())
def test_a_copy_is_the_same_after_resynchronising_from_any_point(before, after, knows_uids):
    store = Store()
    for what in before:
        act(store.inbox, what)
    copy = {uid: message[0] for uid, message in store.inbox.messages.items()}
    modseq = store.inbox.modseq
    for what in after:
        act(store.inbox, what)
    client = Client(store)
    client.do(b"e ENABLE QRESYNC")
    known = b" " + b",".join(b"%d" % uid for uid in copy) if knows_uids and copy else b""
    said = client.do(b"s SELECT INBOX (QRESYNC (1001 %d%b))" % (modseq, known))
    for gone in re.findall(rb"VANISHED \(EARLIER\) (\S+)", said):
        for pair in gone.split(b","):
            first, _, last = pair.partition(b":")
            for uid in range(int(first), int(last or first) + 1):
                copy.pop(uid, None)
    bits = {b"\\Seen": SEEN, b"\\Flagged": FLAGGED}
    for uid, flags in re.findall(rb"UID (\d+) FLAGS \(([^)]*)\)", said):
        copy[int(uid)] = sum(bits.get(flag, 0) for flag in flags.split())
    now = {uid: message[0] for uid, message in store.inbox.messages.items()}
    if known:
        now = {uid: flags for uid, flags in now.items() if uid in copy}
    assert copy == now
