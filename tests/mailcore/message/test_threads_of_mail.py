"""Threads (RFC 5256 section 3): the RFC's own examples, the steps one by one, and the plainest way to do the same."""

import random
import time

import pytest

from mailcore.message.threads_of_mail import ThreadFacts, Threads, ordered_subject, references


class Mail:
    """One message of a test: its date, subject, id and references."""

    def __init__(self, sent, subject="", message_id=0, refs=(), is_reply=False):
        self.sent, self.subject, self.message_id, self.refs, self.is_reply = sent, subject, message_id, refs, is_reply


def facts_of(mails):
    facts = ThreadFacts()
    for mail in mails:
        facts.add(mail.sent, hash(mail.subject), mail.message_id, mail.refs, is_reply=mail.is_reply)
    return facts


def shown(algorithm, *mails):
    names = [b"%d" % number for number in range(1, len(mails) + 1)]
    return algorithm(facts_of(mails)).write(names).decode()


# -- Writing ----------------------------------------------------------------------------------------------------------


def write(roots, children, count=300):
    return Threads(roots, children, count).write([b"%d" % number for number in range(count)])


def test_the_examples_of_thread_responses():
    """RFC 5256 section 4: THREAD response."""
    assert write([2, 3], {3: [6], 6: [4, 44], 4: [23], 44: [7], 7: [96]}) == b"(2)(3 6 (4 23)(44 7 96))"
    assert write([300], {300: [3, 5]}) == b"((3)(5))"  # a parent that is missing
    assert write([300, 1], {300: [3, 5], 3: [4], 1: [2]}) == b"((3 4)(5))(1 2)"
    assert write([], {}) == b""
    assert write([166, 172, 174], {174: [175, 176, 178], 172: [170]}) == b"(166)(172 170)(174 (175)(176)(178))"


def test_a_thread_of_any_depth_is_made_and_written():
    count = 50_000
    mails = [Mail(at, "x", at + 1, (at,) if at else ()) for at in range(count)]
    names = b" ".join(b"%d" % number for number in range(count))
    assert references(facts_of(mails)).write(names.split()) == b"(" + names + b")"
    # every message but the last has two below it
    deep = {at: [at + 1, at + count] for at in range(count - 1)}
    written = Threads([0], deep, 2 * count).write([b"1"] * 2 * count)
    assert written.count(b"(") == written.count(b")") == 2 * count - 1


# -- ORDEREDSUBJECT ---------------------------------------------------------------------------------------------------


def test_messages_of_one_subject_stand_below_the_earliest():
    mails = [Mail(5, "a"), Mail(3, "b"), Mail(1, "a"), Mail(4, "b"), Mail(2, "c"), Mail(3, "a")]
    assert shown(ordered_subject, *mails) == "(3 (6)(1))(5)(2 4)"


def test_the_same_date_leaves_the_order_of_the_mailbox():
    assert shown(ordered_subject, Mail(1, "a"), Mail(1, "b"), Mail(1, "a"), Mail(1, "a")) == "(1 (3)(4))(2)"


# -- REFERENCES, step by step -----------------------------------------------------------------------------------------

A, B, C, D, E, F = range(101, 107)


@pytest.mark.parametrize(
    ("mails", "threads"),
    [
        # (1) links
        ([Mail(1, "a", A), Mail(2, "b", B, (A,)), Mail(3, "c", C, (A, B))], "(1 2 3)"),
        ([Mail(1, "a", A), Mail(2, "b", B, (A,)), Mail(3, "c", C, (A,))], "(1 (2)(3))"),
        ([Mail(3, "a", A), Mail(2, "b", B, (A,)), Mail(1, "c", C, (B,))], "(1 2 3)"),
        # a truncated list: C names A alone, D knows that B is between them, and C's own list is the truth
        ([Mail(1, "d", D, (A, B, C)), Mail(2, "c", C, (A,)), Mail(3, "a", A), Mail(4, "b", B, (A,))], "(3 (2 1)(4))"),
        # no loops
        ([Mail(1, "a", A, (A,))], "(1)"),
        ([Mail(1, "a", A, (B,)), Mail(2, "b", B, (A,))], "(2 1)"),
        ([Mail(1, "a", A, (C,)), Mail(2, "b", B, (A,)), Mail(3, "c", C, (B,))], "(3 1 2)"),
        ([Mail(1, "a", A, (B, C, B))], "(1)"),
        # without an id, or with that of another
        ([Mail(1, "a"), Mail(2, "b"), Mail(3, "c", 0, (A,))], "(1)(2)(3)"),
        ([Mail(1, "a", A), Mail(2, "b", A), Mail(3, "c", C, (A,))], "(1 3)(2)"),
        # (3) dummies: one child takes their place, several stay below them at the top, and go up elsewhere
        ([Mail(1, "a", A, (F,))], "(1)"),
        ([Mail(1, "a", A, (F,)), Mail(2, "b", B, (F,))], "((1)(2))"),
        ([Mail(1, "a", A, (E, F)), Mail(2, "b", B, (E, F))], "((1)(2))"),
        ([Mail(1, "a", A, (E, F)), Mail(2, "b", B, (E,))], "((1)(2))"),
        ([Mail(1, "c", C), Mail(2, "a", A, (C, F)), Mail(3, "b", B, (C, F))], "(1 (2)(3))"),
        # (4) and (6) dates, those of a dummy's first child for a dummy
        ([Mail(9, "a", A), Mail(1, "b", B)], "(2)(1)"),
        ([Mail(5, "a", A), Mail(9, "b", B, (F,)), Mail(1, "c", C, (F,))], "((3)(2))(1)"),
        ([Mail(1, "a", A), Mail(9, "b", B, (A,)), Mail(5, "c", C, (A,))], "(1 (3)(2))"),
        ([Mail(1, "a"), Mail(1, "b"), Mail(1, "c")], "(1)(2)(3)"),
        # (5) subjects: a reply below what it replies to
        ([Mail(1, "a"), Mail(2, "a", is_reply=True)], "(1 2)"),
        ([Mail(1, "a", is_reply=True), Mail(2, "a")], "(2 1)"),
        ([Mail(1, "a"), Mail(2, "a", is_reply=True), Mail(3, "a", is_reply=True)], "(1 (2)(3))"),
        # two of equal standing below a dummy
        ([Mail(1, "a"), Mail(2, "a")], "((1)(2))"),
        ([Mail(1, "a", is_reply=True), Mail(2, "a", is_reply=True)], "((1)(2))"),
        ([Mail(1, "a"), Mail(2, "a"), Mail(3, "a")], "((1)(2)(3))"),
        ([Mail(1, "a"), Mail(2, "a"), Mail(3, "a", is_reply=True)], "((1)(2)(3))"),
        # an empty subject says nothing
        ([Mail(1, ""), Mail(2, "", is_reply=True)], "(1)(2)"),
        # a dummy takes in what has the subject of its first child
        ([Mail(3, "a", A, (F,)), Mail(4, "b", B, (F,)), Mail(1, "a")], "((3)(1)(2))"),
        (
            [Mail(1, "a", A, (F,)), Mail(4, "b", B, (F,)), Mail(2, "a", C, (E,)), Mail(3, "d", D, (E,))],
            "((1)(3)(4)(2))",
        ),
        # what is below a thread's top has no say
        ([Mail(1, "a", A), Mail(2, "b", B, (A,)), Mail(3, "b", C)], "(1 2)(3)"),
    ],
)
def test_the_steps(mails, threads):
    assert shown(references, *mails) == threads


# -- The plainest way: objects, recursion, every step to the letter ---------------------------------------------------


class Node:
    def __init__(self, mail=None, number=0):
        self.mail, self.number, self.parent, self.children = mail, number, None, []

    def is_above(self, other):
        while other is not None:
            if other is self:
                return True
            other = other.parent
        return False

    def hang_below(self, parent):
        if self.parent is not None:
            self.parent.children.remove(self)
        self.parent = parent
        if parent is not None:
            parent.children.append(self)


def by_date(node):
    if node.mail is None:
        return min(map(by_date, node.children))
    return node.mail.sent, node.number


def naive(mails):
    by_id, nodes = {}, []
    for number, mail in enumerate(mails, 1):
        node = Node(mail, number)
        nodes.append(node)
        if mail.message_id and mail.message_id not in by_id:
            by_id[mail.message_id] = node
    for node in nodes:
        last = None
        for reference in node.mail.refs:
            one = by_id.setdefault(reference, Node())
            if last is not None and one.parent is None and not one.is_above(last):
                one.hang_below(last)
            last = one
        node.hang_below(None)
        if last is not None and not node.is_above(last):
            node.hang_below(last)
    every = {id(node): node for node in [*nodes, *by_id.values()]}.values()
    root = Node()
    for node in every:
        if node.parent is None:
            node.hang_below(root)
    for node in list(root.children):
        prune(node, root)
    root.children.sort(key=by_date)
    gather(root)
    order(root)
    return "".join(map(written, root.children))


def prune(node, root):
    for child in list(node.children):
        prune(child, root)
    if node.mail is None and (node.parent is not root or len(node.children) < 2):
        parent = node.parent
        for child in list(node.children):
            child.hang_below(parent)
        node.hang_below(None)


def subject_of(node):
    return node.mail.subject if node.mail else min(node.children, key=by_date).mail.subject


def is_reply(node):
    return node.mail is not None and node.mail.is_reply


def gather(root):
    table = {}
    for node in root.children:
        subject = subject_of(node)
        if not subject:
            continue
        known = table.get(subject)
        if (
            known is None
            or (node.mail is None and known.mail is not None)
            or (node.mail is not None and is_reply(known) and not is_reply(node))
        ):
            table[subject] = node
    for node in list(root.children):
        subject = subject_of(node)
        known = table.get(subject)
        if not subject or known is node:
            continue
        if known.mail is None and node.mail is None:
            for child in list(node.children):
                child.hang_below(known)
            node.hang_below(None)
        elif known.mail is None or (is_reply(node) and not is_reply(known)):
            node.hang_below(known)
        else:
            dummy = table[subject] = Node()
            dummy.hang_below(root)
            known.hang_below(dummy)
            node.hang_below(dummy)


def order(node):
    for child in node.children:
        order(child)
    node.children.sort(key=by_date)


def written(node):
    head = [str(node.number)] if node.mail else []
    while node.mail is not None and len(node.children) == 1:
        node = node.children[0]
        head.append(str(node.number))
    return "(" + " ".join(head) + (" " if head and node.children else "") + "".join(map(written, node.children)) + ")"


@pytest.mark.parametrize("seed", range(400))
def test_any_mailbox_has_the_threads_of_the_plainest_way(seed):
    dice = random.Random(seed)
    ids = dice.choice([4, 12, 30])
    mails = [
        Mail(
            dice.randint(0, dice.choice([3, 50])),
            dice.choice(["", "a", "b", "c", "d"]) if dice.random() < 0.5 else f"s{number}",
            dice.choice([0, dice.randint(1, ids), dice.randint(1, ids)]),
            tuple(dice.randint(1, ids) for _ in range(dice.choice([0, 0, 1, 1, 2, 3, 5]))),
            is_reply=dice.random() < 0.5,
        )
        for number in range(dice.randint(0, 30))
    ]
    assert shown(references, *mails) == naive(mails)


# -- Mail that means harm ---------------------------------------------------------------------------------------------


def chain_with_many_looks():
    """A long chain, and many messages that each ask whether its end is below them."""
    count = 3000
    chain = [Mail(at, "x", at + 1, (at,) if at else ()) for at in range(count)]
    pairs = []
    for at in range(count):
        parent, child = 10**6 + at, 2 * 10**6 + at
        pairs += [Mail(0, "y", child, (parent,)), Mail(0, "z", parent, (count,))]
    return chain + pairs


@pytest.mark.parametrize(
    "mails",
    [
        chain_with_many_looks(),
        [Mail(0, "x", at + 1, tuple(range(10_000, 11_000))) for at in range(100)],
        [Mail(0, "x", at + 1, tuple(range(at * 1000 + 10**6, at * 1000 + 10**6 + 1000))) for at in range(100)],
        [Mail(0, "x", 0, (1, 2) * 500) for _ in range(100)],
    ],
    ids=["many looks", "the same list", "other lists", "to and fro"],
)
def test_no_mailbox_takes_long(mails):
    started = time.perf_counter()
    written = references(facts_of(mails)).write([b"%d" % number for number in range(len(mails))])
    assert time.perf_counter() - started < 10
    numbers = written.replace(b"(", b" ").replace(b")", b" ").split()
    assert sorted(map(int, numbers)) == list(range(len(mails)))


def test_facts_can_be_taken_over():
    facts = facts_of([Mail(at, f"{at}", at, tuple(range(at)), is_reply=at % 2 == 1) for at in range(6)])
    some = ThreadFacts()
    some.take(facts, [1, 4])
    some.take(facts, [0])
    assert (list(some.sent), list(some.ids), list(some.replies)) == ([1, 4, 0], [1, 4, 0], [1, 0, 0])
    assert (list(some.references), list(some.ends), len(some)) == ([0, 0, 1, 2, 3], [1, 5, 5], 3)
