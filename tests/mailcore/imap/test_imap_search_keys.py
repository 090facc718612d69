"""What a SEARCH may cost: others have their turn in between, and memory has an end, however many keys there are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.conversation import CommandRefusedError
from mailcore.imap.grammar import Parser
from mailcore.imap.questions import MailboxKey, Opened, Pause, SearchMessages
from mailcore.imap.search_keys import NAMED_LIMIT, WORK_LIMIT, Searcher, SearchReader, _among
from mailcore.imap.selected import Selected
from mailcore.imap.sequences import slices_of_numbers
from mailcore.store.criteria import And, Criterion, Not, Or, UidIn
from mailcore.store.snapshot import build

COUNT = 100_000


@pytest.fixture(scope="module")
def selected():
    rows = [(uid, uid % 2, "", 1) for uid in range(1, COUNT + 1)]
    opened = Opened(MailboxKey(1, 1), build(rows, 2, 1, COUNT + 1), COUNT + 1, "")
    return Selected("INBOX", opened, read_only=True)


def search(selected, text):
    """The questions of a search, and the longest time between two of them, in seconds."""
    key = SearchReader(Parser(text)).read()
    questions, longest = [], 0.0
    steps = Searcher(selected).find(key)
    answer = None
    while True:
        started = time.perf_counter()
        try:
            question = steps.send(answer)
        except StopIteration:
            return questions, longest
        finally:
            longest = max(longest, time.perf_counter() - started)
        questions.append(question)
        answer = question.uids if isinstance(question, SearchMessages) else None


def named(criterion: Criterion) -> int:
    """How many messages the criterion holds in sets."""
    match criterion:
        case UidIn(uids):
            return len(uids)
        case Not(key):
            return named(key)
        case And(keys) | Or(keys):
            return sum(map(named, keys))
    return 0


@pytest.mark.parametrize(
    "text",
    [
        b" ".join([b"NOT TEXT a"] * 300),
        b" ".join([b"OR TEXT a TEXT b"] * 300),
        b" ".join([b"NOT NOT BODY a"] * 200),
    ],
)
def test_keys_for_every_message_name_none(selected, text):
    questions, _ = search(selected, text)
    assert named(questions[-1].criterion) == 0


def test_a_search_that_would_name_messages_without_end_is_refused(selected):
    with pytest.raises(CommandRefusedError) as refused:
        search(selected, b" ".join([b"NOT (SEEN TEXT a)"] * 300))
    assert refused.value.reply.startswith(b"NO [LIMIT]")
    questions, _ = search(selected, b" ".join([b"NOT (SEEN TEXT a)"] * 20))
    assert 0 < named(questions[-1].criterion) <= NAMED_LIMIT


@pytest.mark.parametrize(
    "text",
    [
        b"1 " + b" ".join([b"1:*"] * 900),
        b"1 " + b" ".join([b"UID 1:*"] * 900),
        b"1 " + b" ".join([b"KEYWORD x"] * 900),
        b" ".join([b"OR SEEN UNSEEN"] * 300),
        b" ".join([b"NOT (SEEN TEXT a)"] * 30),
    ],
)
def test_no_step_of_a_search_takes_long(selected, text):
    _, longest = search(selected, text)
    assert longest < 0.25  # 0.05 s is promised


def test_others_have_their_turn(selected):
    questions, _ = search(selected, b" ".join([b"OR SEEN UNSEEN"] * 50))
    assert len([each for each in questions if isinstance(each, Pause)]) >= 50 * COUNT // WORK_LIMIT


RUNS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5).map(
    lambda ranges: slices_of_numbers(tuple(ranges), 25)
)
PLACES = st.one_of(st.integers(0, 25).map(range), st.frozensets(st.integers(0, 24)))


@given(RUNS, PLACES)
def test_places_among_runs_are_those_in_both(runs, places):
    assert _among(runs, places) == set(places) & {place for run in runs for place in run}
