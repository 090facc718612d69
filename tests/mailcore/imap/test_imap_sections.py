"""Sections are cut without holding more of a message than an answer needs."""

import pytest

from mailcore.imap.fetch_items import read_plan
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.imap.questions import Section, SectionText, Span
from mailcore.imap.sections import HELD_LIMIT, LARGE, Cutter
from mailcore.message.structure import DEPTH_LIMIT, walk
from mailcore.store.refusals import LimitError

HEADER = b"Subject: x\r\n" * 100_000
MESSAGE = HEADER + b"\r\n" + b"y" * LARGE * 2


def test_a_large_section_is_not_held():
    assert Cutter(MESSAGE).cut(Section((), SectionText.ALL)) == Span(0, len(MESSAGE))
    assert Cutter(MESSAGE).cut(Section((), SectionText.HEADER)) == Span(0, len(HEADER) + 2)


def test_many_sections_of_one_message_are_held_up_to_a_limit():
    cutter = Cutter(MESSAGE)
    others = Section((), SectionText.HEADER_FIELDS_NOT, (b"from",))
    for _ in range(HELD_LIMIT // (len(HEADER) + 2)):
        assert len(cutter.cut(others)) == len(HEADER) + 2
    with pytest.raises(LimitError):
        cutter.cut(others)


@pytest.mark.parametrize(
    "header", [b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"]
)
def test_every_part_that_a_structure_shows_can_be_asked_for(header):
    levels = (header % ((level,) * header.count(b"%d")) for level in range(DEPTH_LIMIT * 2))
    cutter = Cutter(b"".join(levels) + b"\nx")
    deepest = list(walk(cutter.root))[-1]
    numbers = b".".join([b"1"] * (DEPTH_LIMIT + (b"rfc822" in header)))
    plan = read_plan(Parser(b"BODY.PEEK[%b]" % numbers), uid=False)
    assert len(cutter.cut(plan.sections[0].section)) == deepest.size


def test_a_part_deeper_than_any_structure_is_refused():
    with pytest.raises(SyntaxRefusedError):
        read_plan(Parser(b"BODY.PEEK[%b]" % b".".join([b"1"] * (DEPTH_LIMIT + 2))), uid=False)
