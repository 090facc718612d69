"""Sections are cut without holding more of a message than an answer needs."""

import pytest

from mailcore.imap.questions import Section, SectionText, Span
from mailcore.imap.sections import HELD_LIMIT, LARGE, Cutter
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
