"""Searches that are kept up (RFC 5267): what the client is told is what a new search would find."""

import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from imap_model import MESSAGE, Client, Store, asked

from mailcore.imap import questions as q
from mailcore.imap import updates
from mailcore.store.flags import DELETED, FLAGGED, SEEN


def with_mail(count=5, **options):
    store = Store("Work")
    for number in range(count):
        store.inbox.add(MESSAGE.replace(b"lunch", b"s%d" % number), date=number)
    return Client(store, select=b"INBOX", **options)


def lines(said, word=b"ESEARCH"):
    return [line for line in said.split(b"\r\n") if line.startswith(b"* ") and word in line]


# -- What is told -----------------------------------------------------------------------------------------------------


def test_messages_come_and_go_by_their_flags():
    client = with_mail()
    assert lines(client.do(b"B01 UID SEARCH RETURN (UPDATE COUNT) DELETED")) == [b'* ESEARCH (TAG "B01") UID COUNT 0']
    said = client.do(b"a STORE 1,2,4 +FLAGS (\\Deleted)")
    assert lines(said) == [b'* ESEARCH (TAG "B01") UID ADDTO (0 1:2,4)']
    assert said.index(b"FETCH") < said.index(b"ESEARCH") < said.index(b"a OK")
    assert lines(client.do(b"a STORE 2 -FLAGS (\\Deleted)")) == [b'* ESEARCH (TAG "B01") UID REMOVEFROM (0 2)']
    assert lines(client.do(b"a STORE 2 +FLAGS (\\Seen)")) == []


def test_what_is_expunged_leaves_before_its_number_does():
    client = with_mail()
    client.do(b"B01 SEARCH RETURN (UPDATE) 1:*")
    client.store.inbox.remove([2, 4])
    client.ring()
    assert lines(client.do(b"a FETCH 1 FLAGS")) == []  # EXPUNGE may not be said here
    said = client.do(b"a NOOP")
    assert said == (
        b'* ESEARCH (TAG "B01") REMOVEFROM (0 2,4)\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE\r\n* 3 RECENT\r\n'
        b"a OK NOOP completed\r\n"
    )
    client.store.inbox.add()
    client.ring()
    assert client.do(b"a NOOP").startswith(b'* 4 EXISTS\r\n* 4 RECENT\r\n* ESEARCH (TAG "B01") ADDTO (0 4)\r\n')


def test_new_mail_is_looked_into():
    client = with_mail()
    client.do(b"B01 UID SEARCH RETURN (UPDATE) SUBJECT news")
    client.store.inbox.add(MESSAGE)
    client.store.inbox.add(MESSAGE.replace(b"lunch", b"news"))
    client.ring()
    assert lines(client.do(b"a NOOP")) == [b'* ESEARCH (TAG "B01") UID ADDTO (0 7)']
    assert [list(question.uids) for question in asked(client, q.SearchMessages)] == [[1, 2, 3, 4, 5], [6, 7]]


@pytest.mark.parametrize(
    "command",
    [
        b"UID SEARCH RETURN (COUNT UPDATE (UID BODY[HEADER.FIELDS (SUBJECT)])) SUBJECT news",
        b"UID SORT RETURN (UPDATE(UID BODY[HEADER.FIELDS (SUBJECT)]) COUNT) (ARRIVAL) UTF-8 SUBJECT news",
        b"ESEARCH RETURN (COUNT UPDATE (UID BODY[HEADER.FIELDS (SUBJECT)])) SUBJECT news",
    ],
)
def test_new_messages_are_described_before_they_come_into_a_result(command):
    # RFC 5465 section 7
    client = with_mail()
    client.do(b"B01 " + command)
    client.store.inbox.add(MESSAGE)
    client.store.inbox.add(MESSAGE.replace(b"lunch", b"news"))
    client.ring()
    exists, fetch = client.do(b"a NOOP").split(b"* 7 RECENT\r\n")
    assert exists == b"* 7 EXISTS\r\n"
    described = b"* 7 FETCH (UID 7 BODY[HEADER.FIELDS (SUBJECT)] {17}\r\nSubject: news\r\n\r\n)\r\n"
    position = b"1" if b"SORT" in command else b"0"
    assert fetch == described + b'* ESEARCH (TAG "B01") UID ADDTO (%b 7)\r\na OK NOOP completed\r\n' % position


def test_what_comes_into_a_result_by_its_flags_is_known_already():
    client = with_mail()
    client.do(b"B01 UID SEARCH RETURN (UPDATE (RFC822.SIZE)) FLAGGED")
    client.store.inbox.flag([2], q.StoreMode.ADD, FLAGGED)
    client.ring()
    said = client.do(b"a NOOP")
    assert lines(said) == [b'* ESEARCH (TAG "B01") UID ADDTO (0 2)']
    assert b"RFC822.SIZE" not in said


def test_an_idling_client_hears_of_it_at_once():
    client = with_mail()
    client.do(b"B01 UID SEARCH RETURN (UPDATE) UNSEEN")
    client.do(b"a IDLE")
    client.store.inbox.flag([3], q.StoreMode.ADD, SEEN)
    assert lines(client.ring()) == [b'* ESEARCH (TAG "B01") UID REMOVEFROM (0 3)']


def test_positions_of_a_sorted_result():
    """RFC 5267 sections 4.3.3 and 4.3.4: the first of a set takes the position, those behind it move."""
    client = with_mail(4)
    said = client.do(b"C01 UID SORT RETURN (UPDATE) (REVERSE ARRIVAL) UTF-8 UNSEEN")
    assert lines(said) == [b'* ESEARCH (TAG "C01") UID ALL 4,3,2,1']
    client.store.inbox.add(date=100)
    client.store.inbox.add(date=99)
    client.store.inbox.add(date=1)  # as old as UID 2, and behind it in the mailbox
    client.ring()
    # 5 6 | 4 3 2 | 7 | 1
    assert lines(client.do(b"a NOOP")) == [b'* ESEARCH (TAG "C01") UID ADDTO (1 5:6 6 7)']
    assert lines(client.do(b"a UID STORE 4,5,3,1 +FLAGS (\\Seen)")) == [
        b'* ESEARCH (TAG "C01") UID REMOVEFROM (7 1 3 4,3 1 5)'
    ]
    client.store.inbox.remove([2, 7])
    client.ring()
    assert lines(client.do(b"a NOOP")) == [b'* ESEARCH (TAG "C01") UID REMOVEFROM (2 2,7)']


def test_a_sorted_result_keeps_what_is_gone_in_its_place_until_it_is_told():
    client = with_mail(4)
    client.do(b"C01 SORT RETURN (UPDATE) (REVERSE ARRIVAL) UTF-8 ALL")
    client.store.inbox.remove([3])
    client.store.inbox.add(date=2)
    client.ring()
    assert lines(client.do(b"a FETCH 1 FLAGS")) == [b'* ESEARCH (TAG "C01") ADDTO (2 5)']  # 4 5 3 2 1
    assert client.do(b"a NOOP").startswith(b'* ESEARCH (TAG "C01") REMOVEFROM (3 3)\r\n* 3 EXPUNGE\r\n')


@pytest.mark.parametrize(
    ("keys", "added"),
    [
        (b"2:4", b""),
        (b"2:*", b"6"),
        (b"9:*", b"6"),
        (b"*", b""),
        (b"UID 2:4", b""),
        (b"UID 6", b"6"),
        (b"UID 3:*", b"6"),
        (b"UID 100:*", b""),
        (b"UID *", b""),
        (b"NOT 2:4", b"6"),
        (b"OR 1 UID 6", b"6"),
        (b"$", b""),
        (b"(NOT $)", b"6"),
    ],
)
def test_sets_mean_what_they_meant_when_they_were_asked_for(keys, added):
    client = with_mail(5)
    client.do(b"a SEARCH RETURN (SAVE) 2:3")
    client.do(b"B01 UID SEARCH RETURN (UPDATE) " + keys)
    client.do(b"a SEARCH RETURN (SAVE) 1")
    client.store.inbox.remove([1])
    client.store.inbox.add()
    client.ring()
    said = client.do(b"a NOOP")
    assert re.findall(rb"ADDTO \(0 ([^)]*)\)", said) == ([added] if added else [])
    # What was in the result is still in it, and nothing else has come into it.
    assert lines(client.do(b"a UID STORE 2:5 +FLAGS (\\Flagged)")) == []


def test_sets_in_an_empty_mailbox():
    client = with_mail(0)
    for tag, keys in [(b"A", b"1:*"), (b"B", b"*"), (b"C", b"UID 1:*"), (b"D", b"$"), (b"E", b"1:3")]:
        client.do(tag + b" UID SEARCH RETURN (UPDATE) " + keys)
    client.store.inbox.add()
    client.ring()
    assert [line[16:17] for line in lines(client.do(b"a NOOP"))] == [b"A", b"C"]


# -- What is kept up, and for how long --------------------------------------------------------------------------------


def test_the_example_of_a_refusal():
    """RFC 5267 section 4.3.1: what else was asked for is answered all the same."""
    client = with_mail()
    for number in range(updates.CONTEXTS_LIMIT):
        assert b"NOUPDATE" not in client.do(b"B%d SEARCH RETURN (UPDATE) SEEN" % number)
    assert client.do(b"C01 SEARCH RETURN (UPDATE COUNT) SEEN") == (
        b'* ESEARCH (TAG "C01") COUNT 0\r\n* NO [NOUPDATE "C01"] Not kept up\r\nC01 OK SEARCH completed\r\n'
    )
    assert len(lines(client.do(b"a STORE 1 +FLAGS (\\Seen)"))) == updates.CONTEXTS_LIMIT


def test_results_are_bounded_but_the_first_is_always_kept_up(monkeypatch):
    monkeypatch.setattr(updates, "RESULTS_LIMIT", 6)
    monkeypatch.setattr(updates, "SORTED_LIMIT", 4)
    client = with_mail(7)
    assert b"NOUPDATE" in client.do(b"A SORT RETURN (UPDATE) (ARRIVAL) UTF-8 ALL")
    assert b"NOUPDATE" not in client.do(b"B SEARCH RETURN (UPDATE) ALL")
    assert b"NOUPDATE" in client.do(b"C SEARCH RETURN (UPDATE) 1:3")
    client.do(b'a CANCELUPDATE "B"')
    assert b"NOUPDATE" not in client.do(b"D SEARCH RETURN (UPDATE) 1:3")
    assert b"NOUPDATE" not in client.do(b"E SORT RETURN (UPDATE) (ARRIVAL) UTF-8 1:3")


def test_what_changes_by_mere_time_is_not_kept_up():
    assert b'* NO [NOUPDATE "A"]' in with_mail().do(b"A SEARCH RETURN (UPDATE) YOUNGER 60")


def test_cancelled_updates_end():
    client = with_mail()
    client.do(b"A SEARCH RETURN (UPDATE) SEEN")
    client.do(b"B SEARCH RETURN (UPDATE) SEEN")
    client.do(b"C SEARCH RETURN (UPDATE) SEEN")
    assert client.do(b'a CANCELUPDATE "A" "nope"').startswith(b"a BAD ")
    assert client.do(b'a CANCELUPDATE "A" "C"') == b"a OK CANCELUPDATE completed\r\n"
    assert lines(client.do(b"a STORE 1 +FLAGS (\\Seen)")) == [b'* ESEARCH (TAG "B") ADDTO (0 1)']
    assert client.do(b'a CANCELUPDATE "A"').startswith(b"a BAD ")


def test_a_tag_stands_for_one_search():
    client = with_mail()
    client.do(b"A SEARCH RETURN (UPDATE) SEEN")
    assert client.do(b"A SEARCH RETURN (UPDATE) DRAFT").startswith(b"A BAD ")
    assert client.do(b"A SORT RETURN (UPDATE) (ARRIVAL) UTF-8 ALL").startswith(b"A BAD ")
    assert client.do(b"A ESEARCH RETURN (UPDATE) DRAFT").startswith(b"A BAD ")
    client.do(b'a CANCELUPDATE "A"')
    assert b"A OK " in client.do(b"A SEARCH RETURN (UPDATE) DRAFT")


@pytest.mark.parametrize("line", [b"SELECT INBOX", b"EXAMINE INBOX", b"SELECT Work"])
def test_updates_end_with_the_mailbox(line):
    client = with_mail()
    client.do(b"A SEARCH RETURN (UPDATE) SEEN")
    client.do(b"a " + line)
    client.do(b"a SELECT INBOX")
    assert lines(client.do(b"a STORE 1 +FLAGS (\\Seen)")) == []


def test_a_search_of_the_selected_mailbox_by_esearch_is_kept_up_too():
    client = with_mail()
    client.do(b"A ESEARCH RETURN (UPDATE) SEEN")
    assert lines(client.do(b"a STORE 1 +FLAGS (\\Seen)")) == [b'* ESEARCH (TAG "A") UID ADDTO (0 1)']


def test_what_could_not_be_looked_at_is_looked_at_later():
    client = with_mail()
    client.do(b"A UID SEARCH RETURN (UPDATE) SUBJECT lunch")
    client.store.inbox.add()
    client.store.refuse = {q.SearchMessages: q.Refused.UNAVAILABLE}
    client.ring()
    said = client.do(b"a NOOP")
    assert said.endswith(b"a OK NOOP completed\r\n")
    assert lines(said) == []
    client.store.refuse = {}
    assert lines(client.do(b"a NOOP")) == [b'* ESEARCH (TAG "A") UID ADDTO (0 6)']


def test_others_have_their_turn_when_very_many_change(monkeypatch):
    monkeypatch.setattr(updates, "SLICE", 10)
    client = with_mail(25)
    client.do(b"A UID SEARCH RETURN (UPDATE) SEEN")
    said = lines(client.do(b"a STORE 1:* +FLAGS.SILENT (\\Seen)"))
    assert [line.rpartition(b"(")[2] for line in said] == [b"0 1:10)", b"0 11:20)", b"0 21:25)"]
    assert len(asked(client, q.Pause)) >= 2


# -- Whatever happens, the client's result is what a new search finds ------------------------------------------------

SEARCHES = [
    b"SEEN",
    b"NOT SEEN",
    b"OR FLAGGED SUBJECT odd",
    b"SUBJECT odd UNSEEN",
    b"UID 3:4294967295",
    b"KEYWORD x",
    b"ALL",
]
SORTS = [b"ARRIVAL", b"REVERSE ARRIVAL", b"SUBJECT REVERSE ARRIVAL", b"REVERSE SUBJECT"]


class Kept:
    """The result of one search as a client keeps it: a list, changed by what it is told."""

    def __init__(self, command, result):
        self.command = command
        self.is_sorted = b"SORT" in command
        self.result = result

    def take(self, data):
        for action, items in re.findall(rb"(ADDTO|REMOVEFROM) \(([^)]*)\)", data):
            words = items.split()
            for position, written in zip(words[::2], words[1::2], strict=True):
                self.change(action, int(position), numbers_in(written))

    def change(self, action, position, numbers):
        assert (position > 0) is self.is_sorted
        if action == b"ADDTO":
            assert not set(numbers) & set(self.result)
            if position:
                self.result[position - 1 : position - 1] = numbers
            else:
                self.result = sorted(self.result + numbers)
        elif position:
            assert self.result[position - 1 : position - 1 + len(numbers)] == numbers
            del self.result[position - 1 : position - 1 + len(numbers)]
        else:
            assert set(numbers) <= set(self.result)
            self.result = [number for number in self.result if number not in numbers]


def numbers_in(written):
    numbers = []
    for piece in written.split(b","):
        first, _, last = piece.partition(b":")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


class Updates(RuleBasedStateMachine):
    """A client with searches that are kept up, and others who change the mailbox."""

    messages = Bundle("messages")

    @initialize()
    def begin(self):
        self.client = with_mail(3)
        self.box = self.client.store.inbox
        self.kept = {}
        self.tags = 0

    def say(self, line):
        self.hear(self.client.do(b"x " + line))

    def hear(self, said):
        for line in said.split(b"\r\n"):
            if found := re.match(rb'\* ESEARCH \(TAG "([^"]*)"\)', line):
                if b"ADDTO" in line or b"REMOVEFROM" in line:
                    self.kept[found[1]].take(line)
            elif found := re.match(rb"\* (\d+) EXPUNGE", line):
                self.renumber(int(found[1]))

    def renumber(self, gone):
        """A client that keeps message numbers counts again."""
        for kept in self.kept.values():
            if b"UID" not in kept.command.split()[0]:
                assert gone not in kept.result
                kept.result = [number - (number > gone) for number in kept.result]

    @rule(uid=st.booleans(), keys=st.sampled_from(SEARCHES))
    def search(self, uid, keys):
        self.keep((b"UID SEARCH" if uid else b"SEARCH"), b" RETURN (%b) " + keys)

    @rule(uid=st.booleans(), criteria=st.sampled_from(SORTS), keys=st.sampled_from(SEARCHES))
    def sort(self, uid, criteria, keys):
        self.keep((b"UID SORT" if uid else b"SORT"), b" RETURN (%b) (" + criteria + b") UTF-8 " + keys)

    def keep(self, command, rest):
        # What has changed since is told first: the search may be of an older state than its first update.
        self.hear(self.client.do(b"x NOOP"))
        if len(self.kept) >= 6:
            return
        self.tags += 1
        tag = b"T%d" % self.tags
        said = self.client.do(tag + b" " + command + rest % b"UPDATE ALL")
        found = re.search(rb" ALL (\S+)", said)
        self.kept[tag] = Kept(command + rest, numbers_in(found[1]) if found else [])

    @rule(target=messages, date=st.integers(0, 5), odd=st.booleans(), flags=st.sampled_from([0, SEEN, FLAGGED]))
    def arrive(self, date, odd, flags):
        self.box.add(MESSAGE.replace(b"lunch", b"odd" if odd else b"even"), flags, date=date)
        self.hear(self.client.ring())
        return self.box.uidnext - 1

    @rule(
        uid=messages, mode=st.sampled_from([q.StoreMode.ADD, q.StoreMode.REMOVE]), flag=st.sampled_from([SEEN, FLAGGED])
    )
    def flag(self, uid, mode, flag):
        self.box.flag([uid], mode, flag, ("x",) if flag == FLAGGED else ())
        self.hear(self.client.ring())

    @rule(uids=st.sets(st.integers(1, 12), max_size=4))
    def vanish(self, uids):
        self.box.remove(uids)
        self.hear(self.client.ring())

    @rule(uids=st.sets(st.integers(1, 12), min_size=1, max_size=4), sign=st.sampled_from([b"+", b"-"]))
    def store(self, uids, sign):
        self.say(b"UID STORE %b %bFLAGS (\\Seen)" % (b",".join(b"%d" % uid for uid in sorted(uids)), sign))

    @rule()
    def fetch(self):
        if self.client.session._talk.selected.exists:
            self.say(b"FETCH 1:* (FLAGS)")  # no EXPUNGE may come here, updates may

    @rule(data=st.data())
    def cancel(self, data):
        if self.kept:
            tag = data.draw(st.sampled_from(sorted(self.kept)))
            self.say(b'CANCELUPDATE "%b"' % tag)
            del self.kept[tag]

    @invariant()
    def results_are_what_a_new_search_finds(self):
        if not hasattr(self, "client"):
            return
        self.say(b"NOOP")
        for kept in self.kept.values():
            found = re.search(rb" ALL (\S+)", self.client.do(b"y " + kept.command % b"ALL"))
            assert kept.result == (numbers_in(found[1]) if found else []), kept.command


TestUpdates = Updates.TestCase
TestUpdates.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_deleted_and_expunged_in_one_command():
    client = with_mail(3)
    client.do(b"A SEARCH RETURN (UPDATE) DELETED")
    client.store.inbox.flag([1, 2], q.StoreMode.ADD, DELETED)
    client.ring()
    client.do(b"a NOOP")
    assert client.do(b"a EXPUNGE").startswith(
        b'* ESEARCH (TAG "A") REMOVEFROM (0 1:2)\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n'
    )
