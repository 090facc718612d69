"""The base subject: what is left of a subject when replying and forwarding has added nothing (RFC 5256 section 2.1).

Sorting and threading compare it. The steps are the RFC's, in its words; servers and clients must agree on them to the
letter.
"""

import re
from typing import Final, NamedTuple

# Longer ones are cut: they come from nobody who writes to be read.
SUBJECT_LIMIT: Final = 2000

_SPACES: Final = re.compile(r"[ \t\r\n]+")
# subj-trailer = "(fwd)" / WSP
_TRAILER: Final = re.compile(r"(?:\(fwd\)| )\Z", re.IGNORECASE)
# 1*subj-blob, where subj-blob = "[" *BLOBCHAR "]" *WSP and BLOBCHAR is anything but "[" and "]"
_BLOBS: Final = re.compile(r"(?:\[[^\[\]]*+\] *+)++")
# subj-leader = (*subj-blob subj-refwd) / WSP; subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_LEADER: Final = re.compile(r" |(?:\[[^\[\]]*+\] *+)*+(?:re|fwd?) *+(?:\[[^\[\]]*+\] *+)?+:", re.IGNORECASE)
# subj-fwd-hdr = "[fwd:"; subj-fwd-trl = "]"
_FORWARD: Final = "[fwd:"
# Most subjects: words and single spaces without brackets, behind any number of plain leaders. One look is enough.
_COMMON: Final = re.compile(
    r"((?:(?:re|fwd?) ?: )*+)((?!(?:re|fwd?) *:)[^ \t\r\n\[\]]++(?: [^ \t\r\n\[\]]++)*+)\Z(?<!\(fwd\))", re.IGNORECASE
)


class BaseSubject(NamedTuple):
    """A base subject, and whether something was taken off that replying or forwarding had put there (section 3)."""

    text: str
    is_reply: bool


def base_subject(subject: str) -> BaseSubject:
    """Take off what replying and forwarding add. ``subject`` is decoded (step 1 of the RFC's first half)."""
    if common := _COMMON.match(subject, 0, SUBJECT_LIMIT):
        return BaseSubject(common[2], bool(common[1]))
    # (1) Convert all tabs and continuations to space. Convert all multiple spaces to a single space.
    text = _SPACES.sub(" ", subject[:SUBJECT_LIMIT])
    is_reply = False
    while True:
        # (2) Remove all trailing text that matches subj-trailer; repeat until there is none.
        while trailer := _TRAILER.search(text, max(len(text) - 5, 0)):
            is_reply = is_reply or trailer[0] != " "
            text = text[: trailer.start()]
        text, was_reply = _without_leaders(text)
        is_reply = is_reply or was_reply
        # (6) If the text begins with subj-fwd-hdr and ends with subj-fwd-trl, remove both and repeat from step (2).
        if not (text[:5].lower() == _FORWARD and text.endswith("]")):
            return BaseSubject(text, is_reply)
        is_reply = True
        text = text[5:-1]


def _without_leaders(text: str) -> tuple[str, bool]:
    at = 0
    is_reply = False
    # (3) Remove all prefix text that matches subj-leader.
    while leader := _LEADER.match(text, at):
        is_reply = is_reply or leader[0] != " "
        at = leader.end()
    # (4) If there is prefix text that matches subj-blob, and removing it leaves a non-empty subj-base, remove it.
    # (5) Repeat (3) and (4) until no matches remain. What follows these blobs is no subj-refwd, or (3) had taken it
    # with them: all of them go at once.
    if blobs := _BLOBS.match(text, at):
        at = blobs.end() if blobs.end() < len(text) else text.rindex("[", at)
    return text[at:], is_reply
