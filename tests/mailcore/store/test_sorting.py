"""Messages in order and in threads, from the real store: against the plainest way to do the same."""

import random
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime

import pytest

from mailcore.imap.answers import searching
from mailcore.imap.questions import MailboxKey, SearchMessages, SortMessages, ThreadMessages
from mailcore.message.collation import casemap
from mailcore.message.subjects import base_subject
from mailcore.store import columns as columns_module
from mailcore.store import searching as searching_module
from mailcore.store import threading_mail
from mailcore.store.changes import Expunge, Mode, StoreFlags
from mailcore.store.columns import Gathering, Kind, columns, message_ids
from mailcore.store.commit import run
from mailcore.store.criteria import Not, Younger
from mailcore.store.flags import DELETED
from mailcore.store.remembered import Remembered
from mailcore.store.sort_keys import Algorithm, SortCriterion, SortKey
from mailcore.store.sorting import RUN, sort
from tests.mailcore.store.samples import append, make_user

pytestmark = pytest.mark.django_db


class Doors:
    """Doors without threads that count who goes through."""

    def __init__(self):
        self.calls = 0

    async def database(self, function, *args, **kwargs):
        self.calls += 1
        return function(*args, **kwargs)


def ask(question, doors=None):
    answer = searching.ANSWERS[type(question)](question, doors or Doors())
    with pytest.raises(StopIteration) as stop:
        answer.send(None)
    return stop.value.value


def in_order(owner, inbox, uids, *criteria):
    return list(ask(SortMessages(MailboxKey(owner, inbox), uids, criteria)))


def by(key, reverse=False):
    return SortCriterion(SortKey[key], reverse)


def mail(
    subject="x", sender="ann@example.com", to="bob@example.com", cc=None, date="Mon, 1 Jan 2024 10:00:00 +0000", **more
):
    lines = {"From": sender, "To": to, "Cc": cc, "Subject": subject, "Date": date, **more}
    return (
        "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value is not None).encode()
        + b"\r\nx\r\n"
    )


# -- SORT -------------------------------------------------------------------------------------------------------------


def test_dates_compare_as_moments_and_fall_back_to_arrival(user, inbox):
    dates = [
        "Mon, 1 Jan 2024 10:00:00 +0000",
        "Mon, 1 Jan 2024 10:00:00 +0200",
        None,
        "no date",
        "Mon, 1 Jan 2024 10:00:00",
    ]
    uids = []
    for number, date in enumerate(dates):
        uids += append(user, inbox, mail(date=date), internal_date=1704103200 + 600 * (number - 3))
    # 08:00, then 09:50 and 10:00 by arrival, 10:00, 10:00: equal ones stay in the order of the mailbox.
    assert in_order(user, inbox, uids, by("DATE")) == [uids[1], uids[2], uids[0], uids[3], uids[4]]
    assert in_order(user, inbox, uids, by("DATE", True)) == [uids[0], uids[3], uids[4], uids[2], uids[1]]
    assert in_order(user, inbox, uids, by("ARRIVAL", True)) == uids[::-1]


def test_subjects_compare_by_their_base_in_any_letter_case(user, inbox):
    subjects = ["Re: banana", "apple", "=?utf-8?q?=C3=84pfel?=", "Fwd: [list] APPLE (fwd)", "Zebra", "[x]", None]
    uids = [uid for subject in subjects for uid in append(user, inbox, mail(subject))]
    expected = sorted(range(7), key=lambda at: casemap(["banana", "apple", "Äpfel", "APPLE", "Zebra", "[x]", ""][at]))
    assert in_order(user, inbox, uids, by("SUBJECT")) == [uids[at] for at in expected]


def test_addresses_compare_by_their_first_mailbox(user, inbox):
    senders = [
        "Zoe <bert@z.example>",
        "anton@b.example, zzz@x",
        "=?utf-8?q?=C3=84nne?= <cesar@x.example>",
        "team: a@b, c@d;",
        "",
        "<@route:Dora@example.com>",
    ]
    uids = [uid for sender in senders for uid in append(user, inbox, mail(sender=sender, to=sender, cc=sender))]
    order = [uids[at] for at in (4, 1, 0, 2, 5, 3)]
    for key in ("FROM", "TO", "CC"):
        assert in_order(user, inbox, uids, by(key)) == order


def test_names_are_what_people_read(user, inbox):
    """RFC 5957 section 3: the display name, decoded; without one the address; of a group its name."""
    senders = ["Zoe <a@z.example>", "anton@b.example", "=?utf-8?q?=C3=84nne?= <z@x.example>", "Team: a@b, c@d;", None]
    uids = [uid for sender in senders for uid in append(user, inbox, mail(sender=sender, to=sender))]
    order = (
        [uids[at] for at in (4, 2, 1, 3, 0)]
        if casemap("Änne") < casemap("anton")
        else [uids[at] for at in (4, 1, 2, 3, 0)]
    )
    assert in_order(user, inbox, uids, by("DISPLAYFROM")) == order
    assert in_order(user, inbox, uids, by("DISPLAYTO")) == order


def naive_keys(content, key):
    """What a message is compared by, from the standard library's reading of it."""
    parsed = message_from_bytes(content)
    if key is SortKey.SIZE:
        return len(content)
    if key is SortKey.SUBJECT:
        return casemap(base_subject(str(make_header(decode_header(parsed["Subject"])))).text)
    if key is SortKey.DATE:
        return parsedate_to_datetime(parsed["Date"]).timestamp()
    field = {"CC": "Cc", "FROM": "From", "TO": "To"}[key.value]
    return casemap((parsed[field] or "").partition("@")[0])


@pytest.mark.parametrize("seed", range(6))
def test_any_order_is_the_naive_one(user, inbox, seed):
    dice = random.Random(seed)
    contents = [
        mail(
            dice.choice(["Re: ", "", "Fwd: [x] "])
            + dice.choice(["alpha", "Beta", "gamma", "=?iso-8859-1?q?=E9t=E9?="]),
            dice.choice("abcAB") + "@example.com",
            dice.choice("xyz") + "@example.com",
            dice.choice([None, "k@example.com", "K@example.com"]),
            f"Mon, {dice.randint(1, 5)} Jan 2024 1{dice.randint(0, 3)}:00:00 +0{dice.randint(0, 3)}00",
        )
        + b"x" * dice.randint(0, 3)
        for _ in range(60)
    ]
    uids = append(user, inbox, *contents)
    for _ in range(5):
        keys = dice.sample([key for key in SortKey if key.value not in {"ARRIVAL", "DISPLAYFROM", "DISPLAYTO"}], 3)
        criteria = [SortCriterion(key, dice.random() < 0.5) for key in keys]
        wanted = sorted(dice.sample(uids, 40))
        expected = wanted
        for criterion in reversed(criteria):
            own = {uid: naive_keys(contents[uids.index(uid)], criterion.key) for uid in wanted}
            expected = sorted(expected, key=own.__getitem__, reverse=criterion.reverse)
        assert in_order(user, inbox, wanted, *criteria) == expected


def test_runs_are_put_together(monkeypatch):
    dice = random.Random(1)
    count = 5 * RUN // 2
    numbers = [dice.randrange(1000) for _ in range(count)]
    uids = range(1, count + 1)
    for reverse in (False, True):
        order = sort(uids, [SortCriterion(SortKey.SIZE, reverse)], {SortKey.SIZE: (uids, numbers)})
        assert list(order) == sorted(uids, key=lambda uid: numbers[uid - 1], reverse=reverse)


def test_another_users_messages_have_no_values(user, inbox):
    uids = append(user, inbox, mail())
    stranger = make_user()
    assert in_order(stranger, inbox, uids, by("DATE")) == []
    assert ask(ThreadMessages(MailboxKey(stranger, inbox), uids, uids, Algorithm.REFERENCES)) == b""


# -- What is remembered -----------------------------------------------------------------------------------------------


def gathered(owner, inbox, uids, kind):
    gathering = Gathering(owner, inbox, uids, kind)
    steps = 1
    while gathering.step():
        steps += 1
    return gathering, steps


def test_only_new_messages_are_read(user, inbox, django_assert_num_queries):
    uids = append(user, inbox, *[mail(str(number)) for number in range(20)])
    with django_assert_num_queries(1):
        gathered(user, inbox, uids, Kind.SUBJECT)
    with django_assert_num_queries(0):
        again, _ = gathered(user, inbox, uids, Kind.SUBJECT)
    assert again.values.values == [str(number) for number in range(20)]
    uids += append(user, inbox, mail("new"))
    with django_assert_num_queries(1):
        more, _ = gathered(user, inbox, uids, Kind.SUBJECT)
    assert (list(more.uids), more.values.values[-1]) == (uids, "NEW")
    with django_assert_num_queries(0):
        few, _ = gathered(user, inbox, uids[3:6], Kind.SUBJECT)
    assert few.values.values == ["3", "4", "5"]
    with django_assert_num_queries(0):  # asking for a few has not forgotten the others
        gathered(user, inbox, uids, Kind.SUBJECT)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("seed", range(3))
def test_whatever_was_asked_before_the_values_are_the_same(user, inbox, kind, seed):
    dice = random.Random(seed)
    uids = append(
        user,
        inbox,
        *[
            mail(
                f"Re: {number % 5}",
                f"{number}@x",
                f"{number % 3}@y",
                Message_ID=f"<{number}@x>",
                References=f"<{number - 1}@x> <{number // 2}@x>",
            )
            for number in range(30)
        ],
    )
    whole, _ = gathered(user, inbox, uids, kind)
    values = values_by_uid(whole)
    columns.clear()
    for _ in range(8):
        wanted = sorted(dice.sample(uids, dice.randint(1, 30)))
        part, _ = gathered(user, inbox, wanted, kind)
        assert values_by_uid(part) == {uid: values[uid] for uid in wanted}


def values_by_uid(gathering):
    if not hasattr(gathering.values, "facts"):
        return dict(zip(gathering.uids, gathering.values.values, strict=True))
    facts, begin, found = gathering.values.facts, 0, {}
    for place, uid in enumerate(gathering.uids):
        own = facts.sent[place], facts.subjects[place], facts.replies[place], facts.ids[place]
        found[uid] = *own, tuple(facts.references[begin : facts.ends[place]])
        begin = facts.ends[place]
    return found


def test_expunged_messages_are_left_out(user, inbox):
    uids = append(user, inbox, *[mail(str(number)) for number in range(5)])
    run(StoreFlags(user, inbox, uids[1:3], Mode.ADD, DELETED, ()))
    run(Expunge(user, inbox, None))
    assert in_order(user, inbox, uids, by("SUBJECT"), by("SIZE")) == [uids[0], uids[3], uids[4]]
    key = MailboxKey(user, inbox)
    assert ask(ThreadMessages(key, uids, [1, 2, 3, 4, 5], Algorithm.REFERENCES)) == b"(1)(4)(5)"


def test_one_key_may_know_more_than_another(user, inbox):
    """A message that goes between two readings is known by one key only, and left out."""
    uids = append(user, inbox, *[mail(str(number)) for number in range(4)])
    in_order(user, inbox, uids, by("SUBJECT"))
    run(StoreFlags(user, inbox, uids[:1], Mode.ADD, DELETED, ()))
    run(Expunge(user, inbox, None))
    assert in_order(user, inbox, uids, by("SUBJECT"), by("SIZE", True)) == uids[1:]


def test_a_thread_is_held_for_a_slice_at_a_time(user, inbox, monkeypatch):
    monkeypatch.setattr(columns_module, "FIRST_SLICE", 3)
    monkeypatch.setattr(columns_module, "SLICE", 4)
    uids = append(user, inbox, *[mail(str(number)) for number in range(22)])
    for kind, least in [(Kind.SUBJECT, 6), (Kind.SENT, 6), (Kind.THREAD, 6)]:
        _, steps = gathered(user, inbox, uids, kind)
        assert steps >= least
    monkeypatch.setattr(searching, "SLICE", 0.0)
    monkeypatch.setattr(searching_module, "NARROWED", 5)
    doors = Doors()
    assert ask(SearchMessages(MailboxKey(user, inbox), uids, Younger(3600)), doors) == uids
    assert doors.calls >= 22 / 5


def test_large_headers_make_small_slices(user, inbox, monkeypatch):
    monkeypatch.setattr(columns_module, "FIRST_SLICE", 2)
    monkeypatch.setattr(columns_module, "SLICE_BYTES", 10_000)
    uids = append(user, inbox, *[mail("x" * 20_000) for _ in range(6)])
    _, steps = gathered(user, inbox, uids, Kind.SUBJECT)
    assert steps >= 5


def test_what_is_remembered_has_an_end():
    kept: Remembered = Remembered(100)
    for name in "abc":
        kept.put(name, name, 40)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), kept.bytes) == (None, "b", "c", 80)
    kept.get("b")
    kept.put("d", "d", 40)
    assert (kept.get("b"), kept.get("c")) == ("b", None)
    kept.put("b", "too large", 101)
    assert (kept.get("b"), kept.bytes) == (None, 40)
    kept.clear()
    assert (kept.get("d"), kept.bytes) == (None, 0)


def test_the_same_threads_are_not_made_twice(user, inbox, monkeypatch):
    uids = append(user, inbox, *[mail(str(number)) for number in range(4)])
    key = MailboxKey(user, inbox)
    question = ThreadMessages(key, uids, uids, Algorithm.REFERENCES)
    answer = ask(question)
    monkeypatch.setattr(threading_mail, "thread", None)
    assert ask(question) == answer
    monkeypatch.undo()
    assert ask(ThreadMessages(key, uids, [5, 6, 7, 8], Algorithm.REFERENCES)) == b"(5)(6)(7)(8)"
    assert ask(ThreadMessages(key, uids[1:], uids[1:], Algorithm.REFERENCES)) == b"".join(
        b"(%d)" % uid for uid in uids[1:]
    )


def test_time_is_that_of_the_answer(user, inbox, monkeypatch):
    uids = [uid for date in (900, 950, 1000) for uid in append(user, inbox, mail(), internal_date=date)]
    monkeypatch.setattr(searching.time, "time", lambda: 1000.9)
    key = MailboxKey(user, inbox)
    assert ask(SearchMessages(key, uids, Younger(50))) == uids[1:]
    assert ask(SearchMessages(key, uids, Not(Younger(49)))) == uids[:2]


# -- THREAD -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (b" <a@b>", [b"a@b"]),
        (b"<a@b> <c@d>\r\n\t<e@f>", [b"a@b", b"c@d", b"e@f"]),
        (b"<a@b><c@d>", [b"a@b", b"c@d"]),
        (b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', [b"01KF8JCEOCBS0045PS@xxx.yyy.com"]),  # RFC 5256 section 3
        (b'<"a \\"b\\\\"@c>', [b'a "b\\@c']),
        (b"Your message of <Monday> <a@b>", [b"a@b"]),
        (b"<ab> <@b> <a@> <> < a@b >", [b"a@b"]),
        (b"<A@b>", [b"A@b"]),  # letter case matters
        (b"", []),
        (b"<" * 1000, []),
    ],
)
def test_message_ids_are_found(value, ids):
    assert message_ids(value) == ids


def test_threads_from_header_lines(user, inbox):
    contents = [
        mail("one", Message_ID="<1@x>", date="Mon, 1 Jan 2024 10:00:00 +0000"),
        mail("Re: one", Message_ID='<"2"@x>', References="<1@x>", date="Mon, 1 Jan 2024 11:00:00 +0000"),
        mail(
            "other", Message_ID="<3@x>", In_Reply_To="(your letter) <2@x> <9@x>", date="Mon, 1 Jan 2024 12:00:00 +0000"
        ),
        mail("Re: other", References="<3@x> <2@x> <zz@x>", In_Reply_To="<1@x>", date="Mon, 1 Jan 2024 13:00:00 +0000"),
        mail("=?utf-8?q?Re:_gr=C3=BC=C3=9Fe?=", date="Mon, 1 Jan 2024 15:00:00 +0000"),
        mail("GRÜßE", date="Mon, 1 Jan 2024 14:00:00 +0000"),
    ]
    uids = append(user, inbox, *contents)
    key = MailboxKey(user, inbox)
    names = [1, 2, 3, 4, 5, 6]
    assert ask(ThreadMessages(key, uids, names, Algorithm.REFERENCES)) == b"(1 2 (3)(4))(6 5)"
    assert ask(ThreadMessages(key, uids, names, Algorithm.ORDEREDSUBJECT)) == b"(1 2)(3 4)(6 5)"
