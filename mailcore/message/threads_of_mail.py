"""Messages as threads: THREAD=ORDEREDSUBJECT and THREAD=REFERENCES (RFC 5256 section 3). Pure, and without recursion.

Message-IDs and subjects are only ever compared, so that here they are numbers: ``hash`` of what they are, which has a
secret of the process in it. 0 stands for none.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

# Steps up a tree that are taken, a message, to see whether a link would close a loop. Honest mail needs almost none: a
# message is linked below another before it has anything below itself. Beyond that a link is left out.
STEPS_A_MESSAGE = 200


@dataclass(slots=True)
class ThreadFacts:
    """What threading wants to know of messages, in parallel; in the order of the mailbox."""

    sent: "array[int]" = field(default_factory=lambda: array("q"))  # seconds since 1970
    subjects: "array[int]" = field(default_factory=lambda: array("q"))  # of the base subjects; 0: empty
    replies: bytearray = field(default_factory=bytearray)  # 1: a reply or a forward, by its subject
    ids: "array[int]" = field(default_factory=lambda: array("q"))  # Message-ID
    references: "array[int]" = field(default_factory=lambda: array("q"))  # of all messages, one after the other
    ends: "array[int]" = field(default_factory=lambda: array("I"))  # where each message's references end

    def __len__(self) -> int:
        """How many messages there are."""
        return len(self.sent)

    @property
    def bytes(self) -> int:
        """About what they take in memory."""
        return 29 * len(self.sent) + 8 * len(self.references) + 500

    def add(self, sent: int, subject: int, message_id: int, references: Sequence[int], *, is_reply: bool) -> None:
        """Add a message at the end."""
        self.sent.append(sent)
        self.subjects.append(subject)
        self.replies.append(is_reply)
        self.ids.append(message_id)
        self.references.extend(references)
        self.ends.append(len(self.references))

    def take(self, other: "ThreadFacts", places: Sequence[int]) -> None:
        """Add those of the messages of ``other``."""
        for place in places:
            begin = other.ends[place - 1] if place else 0
            self.sent.append(other.sent[place])
            self.subjects.append(other.subjects[place])
            self.replies.append(other.replies[place])
            self.ids.append(other.ids[place])
            self.references.extend(other.references[begin : other.ends[place]])
            self.ends.append(len(self.references))


@dataclass(frozen=True, slots=True)
class Threads:
    """Trees over messages, by their places in the facts. Places beyond the last message are dummies."""

    roots: Sequence[int]
    children: dict[int, list[int]]
    count: int  # messages

    def write(self, names: Sequence[bytes]) -> bytes:
        """Write them as a THREAD response does, each message by its name.

        ``thread-list = "(" (thread-members / thread-nested) ")"``, ``thread-members = nz-number *(SP nz-number) [SP
        thread-nested]``, ``thread-nested = 2*thread-list``
        """
        children, count = self.children, self.count
        pieces: list[bytes] = []
        # A place, or None for the end of a list.
        waiting: list[int | None] = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            if node is None:
                pieces.append(b")")
                continue
            below = children.get(node)
            if below is None:
                pieces.append(b"(%b)" % names[node])
                continue
            members = [names[node]] if node < count else []
            while below is not None and len(below) == 1:
                members.append(names[below[0]])
                below = children.get(below[0])
            if below is None:
                pieces.append(b"(%b)" % b" ".join(members))
                continue
            pieces.append(b"(" + b" ".join(members) + b" " if members else b"(")
            waiting.append(None)
            waiting.extend(reversed(below))
        return b"".join(pieces)


def ordered_subject(facts: ThreadFacts) -> Threads:
    """Put messages with one base subject together: the earliest, and below it the others by their dates."""
    first: dict[int, int] = {}
    roots: list[int] = []
    children: dict[int, list[int]] = {}
    for place in sorted(range(len(facts)), key=facts.sent.__getitem__):
        root = first.setdefault(facts.subjects[place], place)
        if root == place:
            roots.append(place)
        else:
            children.setdefault(root, []).append(place)
    return Threads(roots, children, len(facts))


def references(facts: ThreadFacts) -> Threads:
    """Put messages below those that they refer to; then put together what has the same subject."""
    count = len(facts)
    parents = _linked(facts)
    roots, children = _pruned(parents, count)
    # By sent date; where that is the same, in the order of the mailbox.
    ranks = [0] * count
    for rank, place in enumerate(sorted(range(count), key=facts.sent.__getitem__)):
        ranks[place] = rank
    forest = _Forest(facts, ranks, roots, children)
    forest.gather_subjects()
    return forest.sorted()


def _linked(facts: ThreadFacts) -> list[int]:
    """Do step (1): return the parent of each message and each dummy, -1 for none."""
    count = len(facts)
    nodes: dict[int, int] = {}
    for place, message_id in enumerate(facts.ids):
        if message_id:
            nodes.setdefault(message_id, place)  # of several with one Message-ID the first has it
    parents = [-1] * count
    # A message that has nothing below it cannot close a loop.
    above = bytearray(count)
    steps = STEPS_A_MESSAGE * count

    def closes_loop(parent: int, child: int) -> bool:
        nonlocal steps
        while parent != child:
            steps -= 1
            parent = parents[parent]
            if parent < 0 or steps < 0:
                return steps < 0
        return True

    begin = 0
    all_references = facts.references
    for place, end in enumerate(facts.ends):
        last = -1
        for reference in all_references[begin:end]:
            node = nodes.get(reference)
            if node is None:
                node = nodes[reference] = len(parents)
                parents.append(-1)
                above.append(0)
            # (A) first is parent of second, second of third …; existing links are not changed, loops not made.
            if last >= 0 and parents[node] < 0 and node != last and not (above[node] and closes_loop(last, node)):
                parents[node] = last
                above[last] = 1
            last = node
        begin = end
        # (B) The last reference is the parent of the message, whatever a truncated list has made of it before.
        parents[place] = -1
        if last >= 0 and last != place and not (above[place] and closes_loop(last, place)):
            parents[place] = last
            above[last] = 1
    return parents


def _pruned(parents: list[int], count: int) -> tuple[list[int], dict[int, list[int]]]:
    """Do steps (2) and (3): return what is at the top, and what is below each. Dummies stay at the top alone.

    The children of a dummy take its place. Where that would put them at the top it stays, unless there is only one.
    """
    children: dict[int, list[int]] = {}
    roots: list[int] = []
    for place in range(count):
        parent = parents[place]
        if parent >= count:
            parent = _nearest(parents, parent, count)
        if parent < 0:
            roots.append(place)
        elif parent in children:
            children[parent].append(place)
        else:
            children[parent] = [place]
    for dummy in [node for node in children if node >= count]:
        if len(children[dummy]) == 1:
            roots += children.pop(dummy)
        else:
            roots.append(dummy)
    return roots, children


def _nearest(parents: list[int], dummy: int, count: int) -> int:
    """Return the first message above a dummy, or the uppermost dummy. Shortens the way for those who come later."""
    path = []
    node = dummy
    while node >= count and parents[node] >= 0:
        path.append(node)
        node = parents[node]
    for passed in path:
        parents[passed] = node
    return node


class _Forest:
    """Threads on their way through steps (4) to (6)."""

    def __init__(self, facts: ThreadFacts, ranks: list[int], roots: list[int], children: dict[int, list[int]]) -> None:
        self._facts = facts
        self._ranks = ranks
        self._count = len(facts)
        self._children = children
        # (4) Sort the messages under the root by sent date; a dummy by its first child.
        self._roots = sorted(roots, key=self._rank)
        self._next_dummy = max([self._count, *(node + 1 for node in children)])

    def _rank(self, node: int) -> int:
        return self._ranks[node] if node < self._count else min(map(self._ranks.__getitem__, self._children[node]))

    def gather_subjects(self) -> None:
        """Do step (5): gather together messages under the root that have the same base subject."""
        subjects = [self._subject(node) for node in self._roots]
        table: dict[int, int] = {}
        # (B) Populate the subject table with one message for each base subject.
        for node, subject in zip(self._roots, subjects, strict=True):
            if subject:
                known = table.get(subject)
                if known is None or self._is_better(node, known):
                    table[subject] = node
        # (C) Merge threads with the same base subject.
        kept: dict[int, None] = dict.fromkeys(self._roots)
        for node, subject in zip(self._roots, subjects, strict=True):
            if not subject or table[subject] == node:
                continue
            known = table[subject]
            del kept[node]
            if known >= self._count:
                # (1) both are dummies, or (2) this one is a message: siblings below the dummy
                self._children[known] += self._children.pop(node) if node >= self._count else [node]
            elif self._facts.replies[node] and not self._facts.replies[known]:
                # (3) a reply to the message in the table
                self._children.setdefault(known, []).append(node)
            else:
                # (4) two of equal standing, below a new dummy
                dummy = self._next_dummy
                self._next_dummy += 1
                self._children[dummy] = [known, node]
                del kept[known]
                kept[dummy] = None
                table[subject] = dummy
        self._roots = list(kept)

    def _subject(self, node: int) -> int:
        if node >= self._count:
            node = min(self._children[node], key=self._ranks.__getitem__)
        return self._facts.subjects[node]

    def _is_better(self, node: int, known: int) -> bool:
        """Say whether a message, or a dummy, should stand for its subject instead of the one in the table.

        A dummy is neither reply nor forward: it gives way to nobody.
        """
        if node >= self._count or known >= self._count:
            return node >= self._count > known
        return bool(self._facts.replies[known]) and not self._facts.replies[node]

    def sorted(self) -> Threads:
        """Do step (6): sort each set of siblings by sent date."""
        for siblings in self._children.values():
            if len(siblings) > 1:
                siblings.sort(key=self._ranks.__getitem__)
        return Threads(sorted(self._roots, key=self._rank), self._children, self._count)
