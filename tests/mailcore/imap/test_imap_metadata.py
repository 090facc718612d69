"""Annotations of mailboxes and of the server (RFC 5464, RFC 9590), on the real store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_model import Client
from test_imap_backend import RealClient

from mailcore.imap.commands.metadata import take_entries
from mailcore.imap.grammar import Parser, SyntaxRefusedError
from mailcore.store import metadata
from mailcore.store.models import Mailbox, Metadata

pytestmark = pytest.mark.django_db

WORK = b'"Other Users/bob@example.com/Work"'


@pytest.fixture
def bob(make_user):
    client = RealClient(make_user("bob@example.com"))
    client.do(b"0 CREATE Work")
    return client


@pytest.fixture
def ann(make_user):
    return RealClient(make_user("ann@example.com"))


def write(client, box, *pairs):
    assert client.do(b"s SETMETADATA %b (%b)" % (box, b" ".join(pairs))) == b"s OK SETMETADATA completed\r\n"


def read(client, arguments):
    said = client.do(b"g GETMETADATA " + arguments)
    assert b"g OK" in said
    return said.split(b"\r\ng OK")[0] if said.startswith(b"*") else b""


@pytest.mark.parametrize("box", [b"Work", b'""'])
def test_a_value_comes_back(bob, box):
    write(bob, box, b"/private/comment", b'"my \\"own\\" one"', b"/private/vendor/x/y", b"{3+}\r\n\r\n\xff")
    assert read(bob, box + b" (/Private/COMMENT /private/vendor/x/y)") == (
        b'* METADATA %b (/private/comment "my \\"own\\" one" /private/vendor/x/y {3}\r\n\r\n\xff)' % box
    )
    write(bob, box, b"/private/comment", b"NIL")
    assert read(bob, box + b" /private/comment") == b"* METADATA %b (/private/comment NIL)" % box
    write(bob, box, b"/private/vendor/x/y", b'""')
    assert read(bob, box + b" /private/vendor/x/y") == b'* METADATA %b (/private/vendor/x/y "")' % box


def test_a_value_may_hold_nul(bob):
    write(bob, b"Work", b"/private/comment", b"~{2+}\r\n\0x")
    assert read(bob, b"Work /private/comment") == b"* METADATA Work (/private/comment ~{2}\r\n\0x)"


@pytest.mark.parametrize(
    "line",
    [
        b"GETMETADATA",
        b"GETMETADATA Work",
        b"GETMETADATA Work ()",
        b"GETMETADATA Work /comment",
        b"GETMETADATA Work private/comment",
        b"GETMETADATA Work /private//x",
        b"GETMETADATA Work /private/x/",
        b'GETMETADATA Work "/private/x*"',
        b'GETMETADATA Work "/private/x%"',
        b"GETMETADATA Work {10+}\r\n/private/\xc3",
        b"GETMETADATA Work /private/" + b"x" * 250,
        b"GETMETADATA (MAXSIZE) Work /private/x",
        b"GETMETADATA (DEPTH 2) Work /private/x",
        b"GETMETADATA (FROB 2) Work /private/x",
        b"GETMETADATA () Work /private/x",
        b"GETMETADATA Work (DEPTH 1)",
        b"GETMETADATA Work (FROB 2) /private/x",
        b"GETMETADATA (DEPTH 1) Work (MAXSIZE 5) /private/x",
        b"GETMETADATA Work /private/x more",
        b"GETMETADATA Work (" + b" ".join(b"/private/%d" % n for n in range(101)) + b")",
        b"SETMETADATA Work",
        b"SETMETADATA Work ()",
        b"SETMETADATA Work /private/comment x",
        b"SETMETADATA Work (/private/comment)",
        b"SETMETADATA Work (/private/comment x)",
        b'SETMETADATA Work (/private "x")',
        b'SETMETADATA Work (/private/comment "x") more',
        b"SETMETADATA Work (" + b" ".join(b"/private/%d NIL" % n for n in range(101)) + b")",
    ],
)
def test_what_is_not_the_grammar_is_refused(line):
    client = Client()
    before = len(client.store.asked)
    assert client.do(b"a " + line).startswith(b"a BAD ")
    assert len(client.store.asked) == before


@given(st.binary(max_size=40))
def test_whatever_stands_for_an_entry_is_one_or_refused(octets):
    try:
        (entry,) = take_entries(Parser(b"{%d}\r\n" % len(octets), [octets]))
    except SyntaxRefusedError:
        return
    assert entry == octets.decode("ascii").lower()
    assert entry.startswith(("/private/", "/shared/"))
    assert not entry.endswith("/")
    assert "//" not in entry


def test_a_mailbox_has_a_new_modseq_when_it_is_described(bob):
    # RFC 7162 section 3.2
    def told():
        return bob.do(b"h STATUS Work (HIGHESTMODSEQ)").split(b"\r\n")[-3]

    assert told() == b"* STATUS Work (HIGHESTMODSEQ 1)"
    write(bob, b"Work", b"/private/comment", b'"x"')
    assert told() == b"* STATUS Work (HIGHESTMODSEQ 2)"
    write(bob, b"Work", b"/private/comment", b"NIL", b"/shared/comment", b'"x"')
    assert told() == b"* STATUS Work (HIGHESTMODSEQ 3)"
    write(bob, b'""', b"/private/comment", b'"x"')
    assert told() == b"* STATUS Work (HIGHESTMODSEQ 3)"
    bob.do(b"i SELECT Work")
    assert bob.do(b'j SETMETADATA Work (/private/comment "y")') == b"j OK SETMETADATA completed\r\n"
    assert bob.do(b"k NOOP") == b"k OK NOOP completed\r\n"
    assert b"[HIGHESTMODSEQ 4]" in bob.do(b"l SELECT Work")


@pytest.mark.parametrize(
    ("arguments", "entries"),
    [
        (b"Work /private/a", [b"/private/a"]),
        (b"(DEPTH 1) Work /private/a", [b"/private/a", b"/private/a/b"]),
        (b"(DEPTH infinity) Work /private/a", [b"/private/a", b"/private/a/b", b"/private/a/b/c"]),
        (b"(DEPTH 1) Work /private", [b"/private/a", b"/private/ab"]),
        (b"(DEPTH 1 MAXSIZE 1) Work /private", [b"/private/a"]),
        (b"(DEPTH infinity) Work (/shared /private/ab)", [b"/private/ab", b"/shared/z"]),
        (b"(DEPTH 1) Work /private/nothing", []),
    ],
)
def test_depth_says_how_much_below_is_meant(bob, arguments, entries):
    write(bob, b"Work", b"/private/a", b'"1"', b"/private/a/b", b'"1"', b"/private/a/b/c", b'"1"')
    write(bob, b"Work", b"/private/ab", b'"22"', b"/shared/z", b'"1"')
    said = read(bob, arguments)
    assert [word for word in said.replace(b"(", b"").split() if word.startswith(b"/")] == entries


@pytest.mark.parametrize("options", [b"(DEPTH 1)", b"(maxsize 2 depth infinity)", b"(MAXSIZE 2)"])
@pytest.mark.parametrize("entries", [b"/private/a", b"(/private/a /private/b)", b'("/private/a")'])
def test_options_may_stand_after_the_mailbox_as_in_the_examples_of_the_rfc(bob, options, entries):
    write(bob, b"Work", b"/private/a", b'"1"', b"/private/a/b", b'"12345"')
    before = bob.do(b"a GETMETADATA %b Work %b" % (options, entries))
    assert b"a OK" in before
    assert bob.do(b"a GETMETADATA Work %b %b" % (options, entries)) == before


def test_what_is_too_long_to_tell_is_said_to_be(bob):
    write(bob, b"Work", b"/private/a", b'"12345"', b"/private/b", b'"1"', b"/private/c", b'"123"')
    said = bob.do(b"a GETMETADATA (MAXSIZE 2) Work (/private/a /private/b /private/c)")
    assert said == (b'* METADATA Work (/private/b "1")\r\na OK [METADATA LONGENTRIES 5] GETMETADATA completed\r\n')


def test_too_much_is_refused_and_changes_nothing(bob, monkeypatch):
    for wait in (b"", b"+"):  # RFC 5464 section 4.3: also what is too long for any literal
        said = bob.do(
            b"a SETMETADATA Work (/private/a {%d%b}" % (10**6, wait) + (b"\r\n%b)" % bytes(10**6) if wait else b"")
        )
        assert said == b"a NO [METADATA MAXSIZE 32768] Value is too long\r\n"
    long = b"{%d+}\r\n" % (metadata.VALUE_LIMIT + 1) + b"x" * (metadata.VALUE_LIMIT + 1)
    said = bob.do(b'a SETMETADATA Work (/private/a "1" /private/b ' + long + b")")
    assert said.startswith(b"a NO [METADATA MAXSIZE 32768] ")
    monkeypatch.setattr(metadata, "ENTRY_LIMIT", 2)
    said = bob.do(b'a SETMETADATA Work (/private/a "1" /private/b "1" /private/c "1")')
    assert said.startswith(b"a NO [METADATA TOOMANY] ")
    assert not Metadata.objects.exists()
    write(bob, b"Work", b"/private/a", b'"1"', b"/private/b", b'"1"', b"/shared/c", b'"1"')
    write(bob, b"Work", b"/private/a", b"NIL", b"/private/c", b'"1"')
    monkeypatch.setattr(metadata, "TOTAL_LIMIT", 5)
    assert bob.do(b'a SETMETADATA INBOX (/private/a "1234")').startswith(b"a NO [METADATA TOOMANY] ")
    write(bob, b"INBOX", b"/private/a", b'"123"')


@pytest.mark.parametrize("line", [b"GETMETADATA %b /private/x", b'SETMETADATA %b (/private/x "1")'])
def test_a_mailbox_that_is_not_there_has_none(bob, ann, line):
    assert bob.do(b"a " + line % b"Nope").startswith(b"a NO [NONEXISTENT]")
    assert ann.do(b"a " + line % WORK).startswith(b"a NO [NONEXISTENT]")
    bob.do(b"0 SETACL Work ann@example.com r")
    assert ann.do(b"a " + line % WORK).startswith(b"a NO [NONEXISTENT]")
    bob.do(b"0 SETACL Work ann@example.com lkxa")
    assert ann.do(b"a " + line % WORK).startswith(b"a NO [NOPERM]")  # RFC 5464 section 3.3
    bob.do(b"0 SETACL Work ann@example.com lp")
    assert b"a OK" in ann.do(b"a " + line % WORK)


def test_private_entries_are_each_persons_own_and_shared_ones_for_all(bob, ann):
    bob.do(b"0 SETACL Work ann@example.com lr")
    write(bob, b"Work", b"/private/comment", b'"of bob"', b"/shared/comment", b'"for all"')
    write(ann, WORK, b"/private/comment", b'"of ann"')
    assert b'"of bob"' in read(bob, b"Work /private/comment")
    assert read(ann, WORK + b" (/private/comment /shared/comment)").endswith(
        b'(/private/comment "of ann" /shared/comment "for all")'
    )
    assert ann.do(b'a SETMETADATA %b (/shared/comment "mine")' % WORK).startswith(b"a NO [NOPERM]")
    bob.do(b"0 SETACL Work ann@example.com +w")
    write(ann, WORK, b"/shared/comment", b'"changed"')
    assert b'"changed"' in read(bob, b"Work /shared/comment")


def test_what_the_server_says_is_the_administrators_to_write(bob, ann, make_user):
    assert bob.do(b'a SETMETADATA "" (/shared/comment "x")').startswith(b"a NO [NOPERM]")
    assert read(bob, b'"" /shared/admin') == b'* METADATA "" (/shared/admin mailto:postmaster@example.com)'.replace(
        b"mailto:postmaster@example.com", b'"mailto:postmaster@example.com"'
    )
    root = RealClient(make_user("root@example.com", is_superuser=True))
    write(root, b'""', b"/shared/comment", b'"hello"', b"/shared/admin", b'"https://example.com/"')
    assert read(ann, b'(DEPTH infinity) "" /shared') == (
        b'* METADATA "" (/shared/admin "https://example.com/" /shared/comment "hello")'
    )


def test_metadata_move_with_the_mailbox_and_go_with_it(bob):
    write(bob, b"Work", b"/private/comment", b'"x"')
    bob.do(b"a RENAME Work Play")
    assert b'"x"' in read(bob, b"Play /private/comment")
    bob.do(b"b DELETE Play")
    bob.do(b"c CREATE Play")
    assert read(bob, b"Play /private/comment").endswith(b"NIL)")
    assert not Metadata.objects.exists()


def test_the_special_use_is_an_entry(bob, ann):
    # RFC 6154 section 5.3
    assert read(bob, b"Sent /private/specialuse").endswith(b'"\\\\Sent")')
    assert bob.do(b'a SETMETADATA Work (/private/specialuse "\\\\Sent")').startswith(b"a NO [USEATTR]")
    assert bob.do(b'b SETMETADATA Work (/private/specialuse "\\\\All")').startswith(b"b NO [USEATTR]")
    write(bob, b"Sent", b"/private/specialuse", b"NIL")
    write(bob, b"Work", b"/private/specialuse", b'"\\\\sent"')
    assert b'* LIST (\\HasNoChildren \\Sent) "/" Work' in bob.do(b'c LIST (SPECIAL-USE) "" *')
    bob.do(b"0 SETACL Work ann@example.com lrsw")
    assert read(ann, WORK + b" /private/specialuse").endswith(b"NIL)")
    assert ann.do(b'd SETMETADATA %b (/private/specialuse "\\\\Junk")' % WORK).startswith(b"d NO [USEATTR]")
    assert Mailbox.objects.get(name="Work").special_use == "\\Sent"


def test_a_listing_tells_metadata_too(bob, ann):
    # RFC 9590
    write(bob, b"Work", b"/shared/color", b'"red"')
    lines = bob.do(b'a LIST "" (Work INBOX) RETURN (METADATA (/shared/color /private/specialuse))').splitlines()
    assert lines[:-1] == [
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b"* METADATA INBOX (/shared/color NIL /private/specialuse NIL)",
        b'* LIST (\\HasNoChildren) "/" Work',
        b'* METADATA Work (/shared/color "red" /private/specialuse NIL)',
    ]
    assert b'/private/specialuse "\\\\Sent")' in bob.do(b'b LIST "" Sent RETURN (METADATA (/private/specialuse))')
    bob.do(b"0 SETACL Work ann@example.com l")
    assert b"METADATA" not in ann.do(b'c LIST "" *Work RETURN (METADATA (/shared/color))').splitlines()[0]
    bob.do(b"0 SETACL Work ann@example.com +r")
    assert b'(/shared/color "red")' in ann.do(b'd LIST "" *Work RETURN (METADATA (/shared/color))')
