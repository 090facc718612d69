"""What a FETCH asks for, from the grammar to a plan (RFC 3501 section 9, ``fetch-att``).

A plan knows which columns the store must give, and has a template with one hole for each value of a message. Sections
(``BODY[…]``) come after the template, each under its name.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from mailcore.imap import responses
from mailcore.imap.forms import PLAIN, Form
from mailcore.imap.grammar import MODSEQ_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.questions import (
    Content,
    Encoded,
    FetchMessages,
    MailboxKey,
    MessageRow,
    Section,
    SectionText,
    Span,
)
from mailcore.imap.search_results import Partial, read_partial
from mailcore.message.headers import select_fields
from mailcore.message.structure import DEPTH_LIMIT
from mailcore.message.summary import CACHED_FIELDS

# How each value is written.
_FORMS = {
    "UID": b"UID %d",
    "FLAGS": b"FLAGS %b",
    "MODSEQ": b"MODSEQ (%d)",
    "RFC822.SIZE": b"RFC822.SIZE %d",
    "INTERNALDATE": b"INTERNALDATE %b",
    "ENVELOPE": b"ENVELOPE %b",
    "BODYSTRUCTURE": b"BODYSTRUCTURE %b",
    "BODY": b"BODY %b",
    "EMAILID": b"EMAILID (%b)",
    "THREADID": b"THREADID (%b)",
    "SAVEDATE": b"SAVEDATE %b",
    "PREVIEW": b"PREVIEW %b",
}
# What comes of ``ReadOrigins`` (RFC 8474 section 5.3, RFC 8514 section 4.2).
ORIGINS = frozenset({"EMAILID", "THREADID", "SAVEDATE"})
# Where a row of the store has it. HEADER is what comes of a lone BODY[HEADER.FIELDS (...)].
COLUMNS = {
    item: MessageRow._fields.index(column)
    for item, column in {
        "RFC822.SIZE": "size",
        "INTERNALDATE": "internal_date",
        "ENVELOPE": "envelope",
        "BODYSTRUCTURE": "structure",
        "BODY": "plain_structure",
        "HEADER": "headers",
        "PREVIEW": "preview",
    }.items()
}

# RFC 3501 section 6.4.5: macros stand alone.
_MACROS = {
    b"ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    b"FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    b"FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_SIMPLE = frozenset(name.encode("ascii") for name in _FORMS)

_SECTIONS_LIMIT = 100
_FIELDS_LIMIT = 200
# Numbers in one section's part specifier: one for each level that a structure can show.
_PART_NUMBERS_LIMIT = DEPTH_LIMIT + 1

_NAME = re.compile(rb"[A-Za-z0-9.]+")
# preview-mod = "LAZY" (RFC 8970 section 6), the only one there is
_LAZY = re.compile(rb" \(LAZY\)", re.IGNORECASE)
# section-part = nz-number *("." nz-number)
_PART = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*")
# section-text = section-msgtext / "MIME"; section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
_SECTION_TEXT = re.compile(rb"(?:HEADER(?:\.FIELDS(?:\.NOT)?)?|TEXT|MIME)(?![A-Za-z.])", re.IGNORECASE)
# header-fld-name = astring; what could not be a field's name matches nothing anyway (RFC 5322 section 2.2)
_FIELD_NAME = re.compile(rb"[\x21-\x39\x3b-\x7e]+")


@dataclass(frozen=True, slots=True)
class WantedSection:
    """One ``BODY[…]`` or one of its older names, with the part of it that is wanted."""

    section: Section
    name: bytes  # as it is written in the response, with the space that follows
    partial: tuple[int, int] | None = None  # first octet, most octets (RFC 3501 section 6.4.5)

    def cut(self, content: Content) -> Content:
        """Return the wanted octets of the section."""
        if self.partial is None:
            return content
        first, most = self.partial
        if isinstance(content, Span):
            rest = max(content.length - first, 0)
            return Span(content.offset + first, min(most, rest)) if rest else b""
        if isinstance(content, Encoded):
            rest = max(content.size - first, 0)
            return content._replace(first=first, most=min(most, rest)) if rest else b""
        return content[first : first + most] if isinstance(content, bytes) else content

    @property
    def is_binary(self) -> bool:
        """The octets may be sent as ``literal8``."""
        return self.section.text is SectionText.BINARY


@dataclass(slots=True)
class FetchPlan:
    """How to answer one FETCH."""

    items: list[str] = field(default_factory=list)  # in the order asked for
    sections: list[WantedSection] = field(default_factory=list)
    sets_seen: bool = False
    changed_since: int | None = None
    vanished: bool = False  # and what was expunged since
    partial: Partial | None = None  # RFC 9394: only so many of the messages
    lazy: bool = False  # PREVIEW (LAZY)
    rev2: bool = False  # BODY and BODYSTRUCTURE are those of IMAP4rev2
    pick_header: Callable[[bytes], bytes] | None = None
    template: bytes = b""  # of a message's number and the values of its items
    _header_name: bytes = b""

    @property
    def flags(self) -> bool:
        """FLAGS are asked for."""
        return "FLAGS" in self.items

    @property
    def knows_modseq(self) -> bool:
        """The client shows that it knows MODSEQ."""
        return "MODSEQ" in self.items or self.changed_since is not None

    @property
    def needs_store(self) -> bool:
        """Memory does not suffice."""
        return bool(self.sections) or self.needs_origins or not COLUMNS.keys().isdisjoint(self.items)

    @property
    def needs_origins(self) -> bool:
        """Identifiers or save dates are asked for."""
        return not ORIGINS.isdisjoint(self.items)

    def question(self, key: MailboxKey, uids: Sequence[int], following: Sequence[int] = ()) -> FetchMessages:
        """Ask for the columns of some messages; those of others will be asked for after that."""
        return FetchMessages(
            key,
            uids,
            envelope="ENVELOPE" in self.items,
            structure="BODYSTRUCTURE" in self.items,
            plain_structure="BODY" in self.items,
            rev2=self.rev2,
            headers="HEADER" in self.items,
            preview="PREVIEW" in self.items,
            lazy=self.lazy,
            sections=tuple(wanted.section for wanted in self.sections),
            following=following,
        )

    def finish(self, form: Form) -> None:
        """Make the template, when all items are known."""
        self._use_cached_header()
        self.rev2 = form.rev2
        forms = {**_FORMS, "HEADER": self._header_name + b"%b"}
        body = b" ".join([forms[item] for item in self.items])
        self.template = form.template + body + (b"" if self.sections else b")\r\n")

    def _use_cached_header(self) -> None:
        """Answer a lone HEADER.FIELDS from the cached header lines, without opening any body."""
        if len(self.sections) != 1:
            return
        (wanted,) = self.sections
        section = wanted.section
        if section.part or section.text is not SectionText.HEADER_FIELDS or wanted.partial or self.sets_seen:
            return
        fields = frozenset(name.lower() for name in section.fields)
        if fields <= CACHED_FIELDS:
            self.sections = []
            self.items.append("HEADER")
            self._header_name = wanted.name.replace(b"%", b"%%")
            self.pick_header = _picker(fields)


def _picker(fields: frozenset[bytes]) -> Callable[[bytes], bytes]:
    """Return what picks these fields out of the cached header lines: ``select_fields`` for thousands of messages."""
    # field = name ":" text, and lines that begin with white space go on with it (RFC 5322 section 2.2.3).
    # Beginning with a line end and one look at the next letter makes it a third faster, and so does naming the letters
    # of both cases.
    names = b"|".join(map(_in_any_case, sorted(fields)))
    letters = re.escape(b"".join(sorted({letter for name in fields for letter in (name[:1], name[:1].upper())})))
    form = re.compile(rb"\n(?=[%b])(?:%b)[^\S\n]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+" % (letters, names))

    def pick(lines: bytes) -> bytes:
        if not lines.endswith(b"\n"):
            return responses.literal(select_fields(lines, fields))
        found = b"".join(form.findall(b"\n" + lines))
        return responses.literal(found[1:] + b"\n\r\n" if found else b"\r\n")

    return pick


def _in_any_case(name: bytes) -> bytes:
    """Write an expression for a name in whatever case."""
    letters = (bytes([octet]) for octet in name)
    return b"".join(b"[%b%b]" % (each.lower(), each.upper()) if each.isalpha() else re.escape(each) for each in letters)


# Octets of a FETCH after its message set whose plan is remembered: programs ask for the same again and again.
_REMEMBERED = 1000


def read_plan(arguments: Parser, *, uid: bool, form: Form = PLAIN) -> FetchPlan:
    """Take the items and modifiers of a FETCH, to its end. The plan may be shared: it stays as it is."""
    text = arguments.rest
    if len(text) <= _REMEMBERED and b"{" not in text:
        try:
            return _remembered(text, uid, form)
        except SyntaxRefusedError:
            pass  # said again below, with the place in the whole command
    return _read_plan(arguments, uid=uid, form=form)


@lru_cache(maxsize=1000)
def _remembered(text: bytes, uid: bool, form: Form) -> FetchPlan:
    return _read_plan(Parser(text), uid=uid, form=form)


def _read_plan(arguments: Parser, *, uid: bool, form: Form) -> FetchPlan:
    """Do so.

    ``("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") [fetch-modifiers]``
    """
    plan = FetchPlan()
    if arguments.at(b"("):
        arguments.parenthesized(lambda: _take_item(plan, arguments))
    else:
        macro = arguments.accept_word(*_MACROS)
        if macro:
            plan.items = list(_MACROS[macro])
        else:
            _take_item(plan, arguments)
    if arguments.accept(b" "):
        _take_modifiers(plan, arguments, uid=uid, form=form)
    # A UIDFETCH begins with the UID (RFC 9586 section 3).
    if uid and "UID" not in plan.items and not form.uidonly:
        plan.items.insert(0, "UID")
    # RFC 7162 section 3.1.4.1: MODSEQ is implied by CHANGEDSINCE.
    if plan.changed_since is not None and "MODSEQ" not in plan.items:
        plan.items.append("MODSEQ")
    arguments.end()
    plan.finish(form)
    return plan


def read_items(arguments: Parser, *, form: Form) -> FetchPlan:
    """Take ``"(" fetch-att *(SP fetch-att) ")"``: what to tell of messages that nobody has fetched.

    So told a message is not seen, whatever is told of it, and a FETCH that was not asked for has the items that the
    client can expect in one.
    """
    plan = FetchPlan()
    arguments.parenthesized(lambda: _take_item(plan, arguments))
    plan.sets_seen = False
    plan.finish(form)
    return plan


def _take_modifiers(plan: FetchPlan, arguments: Parser, *, uid: bool, form: Form) -> None:
    """Take ``"(" fetch-modifier *(SP fetch-modifier) ")"`` (RFC 4466 section 2.4)."""
    arguments.parenthesized(lambda: _take_modifier(plan, arguments, uid=uid))
    if plan.vanished and (not uid or not form.qresync or plan.changed_since is None):
        raise SyntaxRefusedError("VANISHED needs UID, QRESYNC and CHANGEDSINCE")  # RFC 7162 section 3.2.6


def _take_modifier(plan: FetchPlan, arguments: Parser, *, uid: bool) -> None:
    modifier = arguments.word()
    # fetch-modifier =/ "CHANGEDSINCE" SP mod-sequence-value, and "VANISHED" (RFC 7162 section 7)
    if modifier == b"CHANGEDSINCE" and plan.changed_since is None:
        arguments.space()
        plan.changed_since = arguments.number(least=1, most=MODSEQ_LIMIT)
    elif modifier == b"VANISHED":
        plan.vanished = True
    # uid-fetch-modifier =/ "PARTIAL" SP partial-range (RFC 9394 section 4)
    elif modifier == b"PARTIAL" and uid and plan.partial is None:
        arguments.space()
        plan.partial = read_partial(arguments)
    else:
        raise SyntaxRefusedError("Unknown modifier")


def _take_item(plan: FetchPlan, arguments: Parser) -> None:
    name = arguments.take(_NAME, "a FETCH item")[0].upper()
    if name in {b"BODY", b"BODY.PEEK"} and arguments.accept(b"["):
        section = take_section(arguments)
        partial = _take_partial(arguments)
        shown = b"BODY[%b]" % _section_name(section) + (b"<%d>" % partial[0] if partial else b"") + b" "
        _add_section(plan, WantedSection(section, shown, partial), peek=name == b"BODY.PEEK")
    elif name in {b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"} and arguments.accept(b"["):
        _take_binary(plan, arguments, name)
    elif name in _SIMPLE:
        if name.decode("ascii") not in plan.items:
            plan.items.append(name.decode("ascii"))
        if name == b"PREVIEW":
            plan.lazy = arguments.accept_form(_LAZY) is not None
    elif name in _OLD_NAMES:
        _add_section(plan, WantedSection(_OLD_NAMES[name], name + b" "), peek=name == b"RFC822.HEADER")
    else:
        raise SyntaxRefusedError("Unknown FETCH item")


def _take_binary(plan: FetchPlan, arguments: Parser, name: bytes) -> None:
    """Take what stands after ``BINARY[``, ``BINARY.PEEK[`` or ``BINARY.SIZE[`` (RFC 3516 section 6).

    ``section-binary = "[" [section-part] "]"``; a part of it may be wanted, except of its size.
    """
    part = _take_part(arguments)
    arguments.expect(b"]")
    shown = b"[%b]" % b".".join([b"%d" % number for number in part])
    if name == b"BINARY.SIZE":
        section = Section(part, SectionText.BINARY_SIZE)
        _add_section(plan, WantedSection(section, b"BINARY.SIZE" + shown + b" "), peek=True)
        return
    partial = _take_partial(arguments)
    shown = b"BINARY" + shown + (b"<%d>" % partial[0] if partial else b"") + b" "
    wanted = WantedSection(Section(part, SectionText.BINARY), shown, partial)
    _add_section(plan, wanted, peek=name == b"BINARY.PEEK")


def _take_part(arguments: Parser) -> tuple[int, ...]:
    """Take ``[section-part]``."""
    match = arguments.accept_form(_PART)
    part = tuple(int(number) for number in match[0].split(b".")) if match else ()
    if len(part) > _PART_NUMBERS_LIMIT:
        raise SyntaxRefusedError("Section is too deep")
    return part


# RFC 3501 section 6.4.5: RFC822 is BODY[] under another name, and so on.
_OLD_NAMES = {
    b"RFC822": Section(),
    b"RFC822.HEADER": Section(text=SectionText.HEADER),
    b"RFC822.TEXT": Section(text=SectionText.TEXT),
}


def _add_section(plan: FetchPlan, wanted: WantedSection, *, peek: bool) -> None:
    plan.sets_seen = plan.sets_seen or not peek
    if wanted in plan.sections:
        return
    if len(plan.sections) >= _SECTIONS_LIMIT:
        raise SyntaxRefusedError("Too many sections")
    plan.sections.append(wanted)


def take_section(arguments: Parser) -> Section:
    """Take what stands after ``BODY[``: ``[section-spec] "]"``."""
    part: tuple[int, ...] = ()
    text = SectionText.ALL
    fields: tuple[bytes, ...] = ()
    if not arguments.at(b"]"):
        part = _take_part(arguments)
        if not part or arguments.accept(b"."):
            text = SectionText(arguments.take(_SECTION_TEXT, "a section")[0].decode("ascii").upper())
        if text is SectionText.MIME and not part:
            raise SyntaxRefusedError("MIME needs a part number")
        if text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
            arguments.space()
            fields = tuple(arguments.parenthesized(lambda: _field_name(arguments)))
            if len(fields) > _FIELDS_LIMIT:
                raise SyntaxRefusedError("Too many fields")
    arguments.expect(b"]")
    return Section(part, text, fields)


def _field_name(arguments: Parser) -> bytes:
    name = arguments.astring()
    if not _FIELD_NAME.fullmatch(name):
        raise SyntaxRefusedError("Not a field name")
    return name.upper()


def _take_partial(arguments: Parser) -> tuple[int, int] | None:
    """Take ``["<" number64 "." nz-number64 ">"]`` (RFC 9051 section 9); those of RFC 3501 have 32 bits."""
    if not arguments.accept(b"<"):
        return None
    first = arguments.number(most=MODSEQ_LIMIT)
    arguments.expect(b".")
    most = arguments.number(least=1, most=MODSEQ_LIMIT)
    arguments.expect(b">")
    return first, most


def _section_name(section: Section) -> bytes:
    part = b".".join([b"%d" % number for number in section.part])
    text = section.text.value.encode("ascii")
    if section.fields:
        text += b" (%b)" % b" ".join([responses.astring(name) for name in section.fields])
    return b".".join([piece for piece in (part, text) if piece])
