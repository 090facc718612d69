"""Message numbers while others change the mailbox: two clients that believe only what they are told must be right."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_model import Client, Store

from mailcore.imap import questions as q
from mailcore.store.flags import DELETED, FLAGGED, SEEN

LINE = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH \((.*)\))")
NAMES = {b"\\Seen": SEEN, b"\\Flagged": FLAGGED, b"\\Deleted": DELETED}


class Believer:
    """A client that keeps UIDs and flags by number, only from what the server says."""

    def __init__(self, store):
        self.client = Client(store)
        self.uids = []
        self.flags = []
        self.hear(self.client.do(b"s SELECT INBOX"))
        self.learn()
        self.idling = False

    def hear(self, said, *, expunges=True):
        for line in said.split(b"\r\n"):
            match = LINE.fullmatch(line)
            if match is None:
                continue
            number = int(match[1])
            if match[2] == b"EXISTS":
                assert number >= len(self.uids), "EXISTS never shrinks"
                while len(self.uids) < number:
                    self.uids.append(None)
                    self.flags.append(None)
            elif match[2] == b"EXPUNGE":
                assert expunges, "EXPUNGE where it is not allowed"
                assert number <= len(self.uids)
                del self.uids[number - 1], self.flags[number - 1]
            else:
                self.fetched(number, match[3])

    def fetched(self, number, items):
        assert number <= len(self.uids), "FETCH of a number that was not announced"
        uid = re.search(rb"UID (\d+)", items)
        flags = re.search(rb"FLAGS \(([^)]*)\)", items)
        if uid:
            assert self.uids[number - 1] in {None, int(uid[1])}, "a number never changes its message"
            self.uids[number - 1] = int(uid[1])
        if flags:
            self.flags[number - 1] = sum(NAMES.get(name, 0) for name in flags[1].split())

    def learn(self):
        if self.uids:
            self.hear(self.client.do(b"l UID FETCH 1:* (UID FLAGS)"))

    def run(self, line, *, expunges=True):
        self.rest()
        said = self.client.do(b"c " + line)
        self.hear(said, expunges=expunges)
        return said

    def idle(self):
        if not self.idling:
            self.idling = True
            self.hear(self.client.do(b"i IDLE"))

    def rest(self):
        if self.idling:
            self.idling = False
            self.hear(self.client.do(b"DONE"))

    def ring(self):
        said = self.client.ring()
        assert self.idling or not said, "a word between commands"
        self.hear(said)


def some(numbers, dice):
    chosen = [number for number in numbers if dice.draw(st.booleans())] or [numbers[0]]
    return b",".join(b"%d" % number for number in chosen)


def act(name, actor, store, dice):  # noqa: C901 - a table of deeds
    """One thing that happens; ``actor`` is the client that does it, where a client does."""
    box = store.inbox
    numbers = range(1, len(actor.uids) + 1)
    match name:
        case "deliver":
            box.add()
        case "remove" if box.messages:
            box.remove([dice.draw(st.sampled_from(sorted(box.messages)))])
        case "mark" if box.messages:
            mode = dice.draw(st.sampled_from([q.StoreMode.ADD, q.StoreMode.REMOVE]))
            box.flag([dice.draw(st.sampled_from(sorted(box.messages)))], mode, FLAGGED)
        case "noop":
            actor.run(b"NOOP")
        case "idle":
            actor.idle()
        case "fetch" if numbers:
            actor.run(b"FETCH " + some(numbers, dice) + b" (UID FLAGS)", expunges=False)
        case "uid fetch" if numbers:
            actor.run(b"UID FETCH 1:* (FLAGS RFC822.SIZE)")
        case "search" if numbers:
            actor.run(b"SEARCH ALL", expunges=False)
        case "store" if numbers:
            item = dice.draw(st.sampled_from([b" +FLAGS ", b" -FLAGS ", b" FLAGS "]))
            flag = dice.draw(st.sampled_from([b"(\\Deleted)", b"(\\Seen)"]))
            actor.run(b"STORE " + some(numbers, dice) + item + flag, expunges=False)
        case "uid store" if numbers:
            uid = dice.draw(st.sampled_from([uid for uid in actor.uids if uid] or [1]))
            actor.run(b"UID STORE %d +FLAGS (\\Deleted)" % uid)
        case "expunge":
            actor.run(b"EXPUNGE")
        case "move" if numbers:
            actor.run(b"MOVE " + some(numbers, dice) + b" Work")
        case "append":
            actor.run(b"APPEND INBOX {1+}\r\nx")


ACTS = [
    "deliver", "remove", "mark", "noop", "idle", "fetch", "uid fetch", "search", "store", "uid store", "expunge",
    "move", "append",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.booleans()), max_size=25), st.booleans(), st.data())
def test_whoever_believes_what_they_are_told_knows_the_mailbox(acts, rings, dice):
    store = Store("Work")
    for _ in range(3):
        store.inbox.add()
    clients = [Believer(store), Believer(store)]
    for name, first in acts:
        act(name, clients[first], store, dice)
        if rings:
            for client in clients:
                client.ring()
    for client in clients:
        client.run(b"NOOP")
        assert len(client.uids) == len(store.inbox.messages)
        told = list(client.flags)
        client.learn()
        assert client.uids == sorted(store.inbox.messages)
        assert client.flags == [message[0] for _, message in sorted(store.inbox.messages.items())]
        # Flags that were told before the last look at everything are the true ones already.
        assert [flags for flags in told if flags is not None] == [
            flags for flags, before in zip(client.flags, told, strict=True) if before is not None
        ]


@pytest.mark.parametrize("line", [b"FETCH 2 FLAGS", b"STORE 2 +FLAGS (\\Seen)", b"COPY 2 Work", b"SEARCH 2"])
def test_a_number_means_the_message_that_it_was_announced_for(line):
    store = Store("Work")
    for _ in range(3):
        store.inbox.add()
    client = Believer(store)
    store.inbox.remove([1])
    client.client.ring()
    client.run(line, expunges=not line.startswith((b"FETCH", b"STORE", b"SEARCH")))
    client.run(b"NOOP")
    assert client.uids == [2, 3]
