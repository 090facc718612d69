"""Several sessions on the same mailboxes: what each is told always adds up to what is there.

A state machine lets clients of all forms (message numbers, QRESYNC, UIDONLY) act on the real store in any order, and
keeps for each the mailbox that it can know from what it heard. Clients that were away bring their copies up to date.
"""

import re

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from imap_model import MESSAGE

from mailcore.store import changes, commit
from mailcore.store.models import Mailbox
from mailcore.store.notices import doorbells
from mailcore.store.prepared import prepare
from tests.mailcore.imap.test_imap_backend import RealClient

FLAGS = (b"\\Seen", b"\\Flagged", b"\\Deleted", b"$Work")
BOXES = ("INBOX", "Work", "Archive")
FORMS = (b"", b"QRESYNC", b"UIDONLY", b"QRESYNC UIDONLY")
FETCH = re.compile(rb"\* (\d+) (FETCH|UIDFETCH) \((.*)\)")


def numbers(text):
    for pair in text.split(b","):
        first, _, last = pair.partition(b":")
        yield from range(int(first), int(last or first) + 1)


class Box:
    """A mailbox as it is: flags by UID."""

    def __init__(self, mailbox):
        self.id = mailbox
        self.messages = {}
        self.changes = 0  # how often something has changed

    @property
    def row(self):
        return Mailbox.objects.get(pk=self.id)


class Person:
    """A client, and what it can know."""

    def __init__(self, user, form):
        self.form = form
        self.client = RealClient(user)
        if form:
            assert b"* ENABLED " + form in self.client.do(b"e ENABLE " + form)
        self.box = None
        self.uids = []
        self.end = 1  # UIDs from here on were not announced yet
        self.flags = {}
        self.idles = False

    @property
    def uidonly(self):
        return b"UIDONLY" in self.form

    def hear(self, said, *, expunges=True):
        """Take what was said; return whether the connection goes on."""
        for line in said.split(b"\r\n"):
            words = line.split()
            if line.startswith(b"* BYE"):
                return False
            if line.endswith(b" EXPUNGE") and words[0] == b"*":
                assert expunges, "EXPUNGE where message numbers must stay"
                assert b"QRESYNC" not in self.form
                assert not self.uidonly
                self.flags.pop(self.uids.pop(int(words[1]) - 1), None)
            elif line.startswith(b"* VANISHED (EARLIER) "):
                pass
            elif line.startswith(b"* VANISHED "):
                assert expunges, "VANISHED where message numbers must stay"
                assert b"QRESYNC" in self.form or self.uidonly
                for uid in numbers(words[2]):
                    self.uids.remove(uid)  # nothing that it has not been told of
                    self.flags.pop(uid, None)
            elif line.endswith(b" EXISTS"):
                new = [uid for uid in sorted(self.box.messages) if uid >= self.end]
                self.uids += new
                self.end = max([self.end, *(uid + 1 for uid in new)])
                assert len(self.uids) == int(words[1])
            elif found := FETCH.match(line):
                self._hear_fetch(found)
        return True

    def _hear_fetch(self, found):
        number, kind, items = int(found[1]), found[2], found[3]
        assert (kind == b"UIDFETCH") is self.uidonly
        uid = number if self.uidonly else self.uids[number - 1]
        assert uid in self.uids
        named = re.search(rb"UID (\d+)", items)
        assert named is None or int(named[1]) == uid
        if flags := re.search(rb"FLAGS \(([^)]*)\)", items):
            self.flags[uid] = {flag for flag in flags[1].split() if flag != b"\\Recent"}


class Sessions(RuleBasedStateMachine):
    make_user = None
    count = 0

    @initialize()
    def begin(self):
        Sessions.count += 1
        self.user = Sessions.make_user(f"bob{Sessions.count}@example.com")
        self.people = [Person(self.user, form) for form in FORMS]
        self.people[0].client.do(b"a CREATE Work")
        self.boxes = {name: Box(Mailbox.objects.get(owner=self.user, name=name).pk) for name in BOXES}
        self.copies = []
        self.known = {}  # MODSEQ and number of changes, by mailbox
        self.validities = {}
        for person in self.people:
            self.select(person, "INBOX")

    # How a step is made.

    def select(self, person, name, command=b"SELECT"):
        person.box, person.uids, person.flags, person.end = None, [], {}, 1
        said = person.client.do(b"s %b %b" % (command, name.encode()))
        if b"s OK" not in said:
            assert b"s NO [NONEXISTENT]" in said
            return
        person.box = self.boxes[name]
        assert person.hear(said[said.rindex(b"* FLAGS") :] if b"* FLAGS" in said else said)
        assert person.uids == sorted(person.box.messages)

    def do(self, who, command, *, expunges=True):
        person = self.people[who]
        said = person.client.do(b"c " + command)
        if not person.hear(said, expunges=expunges):
            self.reconnect(who)
            return b"BYE"
        self.hear_others()
        return said

    def hear_others(self):
        """Those who idle have heard already."""
        for who, person in enumerate(self.people):
            said = person.client.read()
            assert not said or person.idles
            if not person.hear(said):
                self.reconnect(who)

    def reconnect(self, who):
        person = self.people[who]
        assert person.box not in self.boxes.values(), "a mailbox that is there was called gone"
        self.people[who] = Person(self.user, person.form)
        self.select(self.people[who], "INBOX")

    def free(self, who):
        """The person, once it idles no more."""
        person = self.people[who]
        if person.idles:
            person.idles = False
            if not person.hear(person.client.do(b"DONE")):
                self.reconnect(who)
        return self.people[who]

    def chosen(self, person, places):
        """UIDs of some messages as this person sees them, and how to name them to a command."""
        uids = sorted({person.uids[place % len(person.uids)] for place in places}) if person.uids else []
        return uids, b",".join(b"%d" % uid for uid in uids)

    def name_of(self, box):
        return next((name for name, each in self.boxes.items() if each is box), None)

    def changed(self, box):
        box.changes += 1

    # What people do.

    WHO = st.integers(0, len(FORMS) - 1)
    SOME = st.lists(st.integers(0, 9), min_size=1, max_size=4)
    NAME = st.sampled_from(BOXES)
    SIGN = st.sampled_from([b"+", b"-", b""])

    @rule(who=WHO, name=NAME, flag=st.sampled_from(FLAGS))
    def append(self, who, name, flag):
        self.free(who)
        box = self.boxes.get(name)
        if box is not None:
            row = box.row
            assert row.uidnext not in box.messages
            box.messages[row.uidnext] = {flag}
            self.changed(box)
        said = self.do(who, b"APPEND %b (%b) {%d+}\r\n%b" % (name.encode(), flag, len(MESSAGE), MESSAGE))
        told = b"[APPENDUID %d %d]" % (row.uidvalidity, row.uidnext) if box is not None else b"[TRYCREATE]"
        assert said == b"BYE" or told in said

    @rule(name=NAME)
    def deliver(self, name):
        """Mail comes in, from nobody's session."""
        if name not in self.boxes:
            return
        box = self.boxes[name]
        uid = box.row.uidnext
        box.messages[uid] = set()
        self.changed(box)
        commit.run(changes.Append(self.user.pk, box.id, [changes.NewMessage(prepare(MESSAGE))]))
        self.hear_others()

    @rule(
        who=WHO, places=SOME, flag=st.sampled_from(FLAGS), sign=st.sampled_from([b"+", b"-", b""]), by_uid=st.booleans()
    )
    def store(self, who, places, flag, sign, by_uid):
        person = self.free(who)
        if person.box is None or not person.uids:
            return
        uids, named = self.chosen(person, places)
        box, there = person.box, [uid for uid in uids if uid in person.box.messages]
        for uid in there:
            old = box.messages[uid]
            new = {flag} if sign == b"" else old | {flag} if sign == b"+" else old - {flag}
            if new != old:
                box.messages[uid] = new
                self.changed(box)
        if by_uid or person.uidonly:
            self.do(who, b"UID STORE %b %bFLAGS (%b)" % (named, sign, flag))
            return
        by_number = b",".join(b"%d" % (person.uids.index(uid) + 1) for uid in uids)
        self.do(who, b"STORE %b %bFLAGS (%b)" % (by_number, sign, flag), expunges=False)

    @rule(who=WHO)
    def fetch_by_number(self, who):
        person = self.free(who)
        if person.uids and not person.uidonly:
            self.do(who, b"FETCH 1:* (UID FLAGS)", expunges=False)

    @rule(who=WHO)
    def search_by_number(self, who):
        person = self.free(who)
        if person.box is None or person.uidonly:
            return
        said = self.do(who, b"SEARCH UNDELETED", expunges=False)
        if said != b"BYE":
            found = re.search(rb"\* SEARCH([0-9 ]*)", said)[1].split()
            assert all(1 <= int(number) <= len(person.uids) for number in found)

    @rule(who=WHO, places=SOME, by_uid=st.booleans())
    def expunge(self, who, places, by_uid):
        person = self.free(who)
        if person.box is None:
            return
        uids, named = self.chosen(person, places)
        gone = [uid for uid, flags in person.box.messages.items() if b"\\Deleted" in flags]
        if by_uid:
            if not uids:
                return
            gone = [uid for uid in gone if uid in uids]
        box = person.box
        for uid in gone:
            del box.messages[uid]
        if gone:
            self.changed(box)
        self.do(who, b"UID EXPUNGE " + named if by_uid else b"EXPUNGE")

    @rule(who=WHO, places=SOME, name=NAME, move=st.booleans())
    def transfer(self, who, places, name, move):
        person = self.free(who)
        if person.box is None or not person.uids or name not in self.boxes or person.box is self.boxes[name]:
            return
        if person.box not in self.boxes.values():
            return
        uids, named = self.chosen(person, places)
        source, target = person.box, self.boxes[name]
        first = target.row.uidnext
        there = [uid for uid in uids if uid in source.messages]
        for number, uid in enumerate(there):
            assert first + number not in target.messages
            target.messages[first + number] = set(source.messages[uid])
            if move:
                del source.messages[uid]
        if there:
            self.changed(target)
            if move:
                self.changed(source)
        said = self.do(who, b"UID %b %b %b" % (b"MOVE" if move else b"COPY", named, name.encode()))
        assert (b"[COPYUID " in said) is bool(there)

    @rule(who=WHO, name=NAME, command=st.sampled_from([b"SELECT", b"EXAMINE"]))
    def go_to(self, who, name, command):
        self.free(who)
        # With EXAMINE the commands that change something would only be refused.
        self.select(self.people[who], name, b"SELECT" if command == b"EXAMINE" and who else command)
        if command == b"EXAMINE" and not who:
            self.select(self.people[who], "INBOX")

    @rule(who=WHO)
    def look(self, who):
        """After NOOP a client knows exactly what there is."""
        person = self.free(who)
        if person.box is None:
            return
        if self.do(who, b"NOOP") == b"BYE":
            return
        assert person.uids == sorted(person.box.messages)
        for uid, flags in person.flags.items():
            assert flags == person.box.messages[uid], "a change of flags that nobody told"
        self.do(who, b"UID FETCH 1:* (FLAGS)")
        assert person.flags == person.box.messages

    @rule(who=WHO)
    def wait(self, who):
        person = self.free(who)
        if person.box is None:
            return
        said = person.client.do(b"i IDLE")
        person.idles = True
        if not person.hear(said):
            self.reconnect(who)
        else:
            assert person.uids == sorted(person.box.messages)

    # What happens to mailboxes.

    @rule(who=WHO)
    def delete(self, who):
        self.free(who)
        if "Work" not in self.boxes:
            return
        box = self.boxes.pop("Work")
        self.validities["Work"] = box.row.uidvalidity
        person = self.people[who]
        if person.box is box:
            person.box = None
        self.do(who, b"DELETE Work")

    @rule(who=WHO)
    def create(self, who):
        self.free(who)
        if "Work" in self.boxes:
            return
        self.do(who, b"CREATE Work")
        self.boxes["Work"] = Box(Mailbox.objects.get(owner=self.user, name="Work").pk)
        if "Work" in self.validities:
            assert self.boxes["Work"].row.uidvalidity > self.validities["Work"]

    @rule(who=WHO, name=st.sampled_from(["Work", "INBOX"]))
    def rename(self, who, name):
        """What is in a mailbox stays with it; INBOX gives its messages away (RFC 3501 section 6.3.5)."""
        self.free(who)
        if name not in self.boxes:
            return
        Sessions.count += 1
        new = f"Old/{Sessions.count}"
        if name == "INBOX":
            if self.boxes["INBOX"].messages:
                self.changed(self.boxes["INBOX"])
            self.boxes["INBOX"].messages = {}
        else:
            self.boxes[new] = self.boxes.pop(name)
            self.validities[name] = self.boxes[new].row.uidvalidity
        self.do(who, b"RENAME %b %b" % (name.encode(), new.encode()))

    # Clients that come and go.

    @rule(name=NAME)
    def keep_a_copy(self, name):
        if name in self.boxes:
            row = self.boxes[name].row
            copy = {uid: set(flags) for uid, flags in self.boxes[name].messages.items()}
            self.copies = [*self.copies[-5:], (row.uidvalidity, row.highestmodseq, copy, self.boxes[name])]

    @rule(place=st.integers(0, 5), form=st.sampled_from([b"QRESYNC", b"QRESYNC UIDONLY"]), knows=st.booleans())
    def resynchronise(self, place, form, knows):
        if not self.copies:
            return
        uidvalidity, modseq, copy, box = self.copies[place % len(self.copies)]
        name = self.name_of(box)
        if name is None:
            return
        copy = {uid: set(flags) for uid, flags in copy.items()}
        client = RealClient(self.user)
        client.do(b"e ENABLE " + form)
        known = b" " + b",".join(b"%d" % uid for uid in copy) if knows and copy else b""
        said = client.do(b"s EXAMINE %b (QRESYNC (%d %d%b))" % (name.encode(), uidvalidity, modseq, known))
        assert b"s OK " in said
        if known:
            said += client.do(b"t UID FETCH %d:* (FLAGS)" % (max(copy) + 1))
        for gone in re.findall(rb"\* VANISHED \(EARLIER\) (\S+)", said):
            for uid in numbers(gone):
                copy.pop(uid, None)
        for number, kind, items in FETCH.findall(said):
            uid = int(number) if kind == b"UIDFETCH" else int(re.search(rb"UID (\d+)", items)[1])
            flags = re.search(rb"FLAGS \(([^)]*)\)", items)[1].split()
            copy[uid] = {flag for flag in flags if flag != b"\\Recent"}
        assert copy == box.messages
        client.take(client.session.lost())

    # What always holds.

    @invariant()
    def every_change_has_a_greater_modseq(self):
        for name, box in getattr(self, "boxes", {}).items():
            row = box.row
            assert row.name == name
            assert row.messages == len(box.messages)
            assert row.unseen == sum(b"\\Seen" not in flags for flags in box.messages.values())
            modseq, seen = self.known.get(box.id, (0, 0))
            assert row.highestmodseq >= modseq
            if box.changes > seen:
                assert row.highestmodseq > modseq
            self.known[box.id] = row.highestmodseq, box.changes

    def teardown(self):
        for person in getattr(self, "people", ()):
            person.client.take(person.client.session.lost())


def _play(make_user, monkeypatch, examples, steps):
    monkeypatch.setattr(commit, "_listeners", [*commit._listeners, doorbells.ring])
    monkeypatch.setattr(Sessions, "make_user", staticmethod(make_user))
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Sessions, settings=how)


@pytest.mark.usefixtures("_bodies_of_this_test")
@pytest.mark.django_db(transaction=True)
def test_what_each_session_hears_adds_up(make_user, monkeypatch):
    _play(make_user, monkeypatch, 10, 30)


@pytest.mark.long
@pytest.mark.usefixtures("_bodies_of_this_test")
@pytest.mark.django_db(transaction=True)
def test_what_each_session_hears_adds_up_for_long(make_user, monkeypatch):
    _play(make_user, monkeypatch, 300, 80)


@pytest.mark.usefixtures("_bodies_of_this_test")
@pytest.mark.django_db(transaction=True)
def test_it_adds_up_too_where_changes_are_known_from_memory(make_user, monkeypatch):
    """As in the mail process on SQLite: while it looks, sessions are answered without the database."""
    monkeypatch.setattr(doorbells, "looking_since", 0.0)
    _play(make_user, monkeypatch, 10, 30)
