"""Messages as threads: THREAD (RFC 5256). What was answered last for a mailbox is remembered, as long as it holds.

A message's place among the threads depends on those that are asked for and on nothing that changes. So the answer to
the same question about the same messages is the same.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mailcore.message.threads_of_mail import ThreadFacts, Threads, ordered_subject, references
from mailcore.store.remembered import Remembered
from mailcore.store.sort_keys import Algorithm

# Bytes of answers that are remembered.
ANSWERS_LIMIT = 16 * 1024 * 1024

_ALGORITHMS: Final[Mapping[Algorithm, Callable[[ThreadFacts], Threads]]] = {
    Algorithm.ORDEREDSUBJECT: ordered_subject,
    Algorithm.REFERENCES: references,
}

# By owner, mailbox and algorithm: UIDs, how they were named, and the answer.
answers: Remembered[tuple[int, int, Algorithm], tuple["array[int]", "array[int]", bytes]] = Remembered(ANSWERS_LIMIT)


def remembered(
    owner: int, mailbox: int, algorithm: Algorithm, uids: Sequence[int], names: Sequence[int]
) -> bytes | None:
    """Return the answer to the same question, if it was the last one about this mailbox."""
    known = answers.get((owner, mailbox, algorithm))
    if known is not None and known[0] == array("I", uids) and known[1] == array("I", names):
        return known[2]
    return None


def thread(
    owner: int,
    mailbox: int,
    algorithm: Algorithm,
    uids: Sequence[int],
    names: Sequence[int],
    present: Sequence[int],
    facts: ThreadFacts,
) -> bytes:
    """Return the threads as a THREAD response has them, each message by its name: its number, or its UID.

    ``facts`` are of the messages ``present``; those of the ``uids`` that are not among them are gone, and left out.
    """
    written = [b"%d" % name for name in names]
    if len(present) < len(uids):
        known = dict(zip(uids, written, strict=True))
        written = [known[uid] for uid in present]
    answer = _ALGORITHMS[algorithm](facts).write(written)
    known_as = array("I", uids), array("I", names), answer
    answers.put((owner, mailbox, algorithm), known_as, 8 * len(uids) + len(answer))
    return answer
