"""Mailboxes by name on the real store: uses, forms of a name, listing in all its options, renaming of trees."""

import pytest
from imap_model import MESSAGE, Client, Store
from test_imap_backend import RealClient

from mailcore.store.models import Mailbox, Subscription

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_bodies_of_this_test")]


@pytest.fixture
def bob(make_user):
    client = RealClient(make_user("bob@example.com"))
    client.do(b'0 LIST "" *')  # makes the mailboxes that everybody has, as a login does
    return client


def lines(said):
    return said.split(b"\r\n")[:-2]


def listed(said):
    return [line.split(b'"/" ')[1] for line in lines(said) if line.startswith((b"* LIST", b"* LSUB"))]


# -- CREATE with a use (RFC 6154) -------------------------------------------------------------------------------------


def test_a_mailbox_is_made_for_a_use(bob):
    bob.do(b"a DELETE Sent")
    assert bob.do(b"b CREATE gesendet (USE (\\sent \\Important))").startswith(b"b OK [MAILBOXID (")
    assert b'* LIST (\\HasNoChildren \\Important \\Sent) "/" gesendet' in bob.do(b'c LIST (SPECIAL-USE) "" *')
    assert bob.do(b"d CREATE plain (USE ())").startswith(b"d OK [MAILBOXID (")


@pytest.mark.parametrize("use", [b"\\All", b"\\Flagged", b"\\Sent", b"\\Important \\Sent", b"\\Nonsense"])
def test_a_use_that_is_not_to_be_had_is_refused(bob, use):
    assert bob.do(b"a CREATE new (USE (%b))" % use).startswith(b"a NO [USEATTR]")
    assert bob.do(b"b STATUS new (MESSAGES)").startswith(b"b NO [NONEXISTENT]")


@pytest.mark.parametrize(
    "arguments",
    [b"new ()", b"new (USE)", b"new (USE \\Sent)", b"new (FROB (x))", b"new (USE (Sent))", b"new (USE ()) x"],
)
def test_parameters_that_are_none_are_refused(arguments):
    assert Client().do(b"a CREATE " + arguments).startswith(b"a BAD ")


# -- Names ------------------------------------------------------------------------------------------------------------


def test_one_name_has_one_form_however_it_is_typed(bob):
    # "é" as one character and as two: they look the same and are the same (RFC 9051 section 5.1).
    assert bob.do(b"b CREATE e&AwE-").startswith(b"b OK")
    assert listed(bob.do(b'c LIST "" &AOk-')) == [b"&AOk-"]
    assert listed(bob.do(b'd LIST "" e&AwE-')) == [b"&AOk-"]
    assert bob.do(b"e CREATE &AOk-").startswith(b"e NO [ALREADYEXISTS]")
    assert bob.do(b"f SUBSCRIBE e&AwE-").startswith(b"f OK")
    assert Subscription.objects.filter(name="\u00e9").exists()
    assert b"f OK" in bob.do(b"f SELECT e&AwE-")


def test_a_client_of_rev2_is_told_that_a_name_was_changed(bob):
    bob.session._talk.rev2 = True
    said = bob.do(b'a CREATE "e\xcc\x81"')
    assert said.startswith(b'* LIST () "/" "\xc3\xa9" ("OLDNAME" ("e\xcc\x81"))\r\na OK')
    assert bob.do(b'b CREATE "\xc3\xa8/x/"').startswith(b"b OK [MAILBOXID (")  # nothing untagged
    assert bob.do(b'c RENAME "\xc3\xa8" new') == (
        b'* LIST () "/" new ("OLDNAME" ("\xc3\xa8"))\r\nc OK RENAME completed\r\n'
    )
    assert bob.do(b"d RENAME INBOX old") == b"d OK RENAME completed\r\n"


def test_a_client_of_rev2_is_told_the_form_of_a_name_that_it_writes_otherwise(bob):
    bob.do(b"0 ENABLE IMAP4rev2")
    bob.do(b'1 CREATE "\xc3\xa9"')
    assert bob.do(b"1 CREATE inbox/x").startswith(b'* LIST () "/" INBOX/x ("OLDNAME" (inbox/x))\r\n')
    # RFC 9051 sections 6.3.2, 6.3.6, 6.3.9.7, 6.3.12
    for command in (b"SELECT", b"EXAMINE"):
        assert b'* LIST () "/" "\xc3\xa9" ("OLDNAME" ("e\xcc\x81"))\r\n' in bob.do(b'2 %b "e\xcc\x81"' % command)
        assert b'* LIST () "/" "\xc3\xa9"\r\n' in bob.do(b'3 %b "\xc3\xa9"' % command)
    assert bob.do(b'3 APPEND "e\xcc\x81" {1+}\r\nx').startswith(
        b'* LIST () "/" "\xc3\xa9" ("OLDNAME" ("e\xcc\x81"))\r\n'
    )
    assert b"OLDNAME" not in bob.do(b'3 APPEND "\xc3\xa9" {1+}\r\nx')
    assert b'* LIST () "/" "\xc3\xa8" ("OLDNAME" ("e\xcc\x81"))\r\n' in bob.do(b'4 RENAME "e\xcc\x81" "e\xcc\x80"')
    assert bob.do(b'5 DELETE "e\xcc\x80"') == (
        b'* LIST (\\NonExistent) "/" "\xc3\xa8" ("OLDNAME" ("e\xcc\x80"))\r\n5 OK DELETE completed\r\n'
    )


@pytest.mark.parametrize(
    "name",
    [b"a//b", b"/a", b"//", b'""', b"a&ICg-b", b"a&ICk-b", b"a&IC4-b", b"a&IGY-", b"&,v8-", b'"Other Users/x"'],
)
def test_a_name_that_nobody_may_have_is_refused(bob, name):
    assert bob.do(b"a CREATE " + name).startswith(b"a NO [")
    bob.do(b"b CREATE fine")
    assert bob.do(b"c RENAME fine " + name).startswith(b"c NO [")
    assert Mailbox.objects.count() == 7


def test_wildcards_in_a_name_are_only_characters(bob):
    for name in (b"100%", b"a*b"):
        assert bob.do(b'a CREATE "%b"' % name).startswith(b"a OK")
        assert bob.do(b'b SUBSCRIBE "%b"' % name).startswith(b"b OK")
        assert b"READ-WRITE" in bob.do(b'c SELECT "%b"' % name)
    bob.do(b"d CREATE 1000")
    assert listed(bob.do(b'e LIST "" "100%"')) == [b'"100%"', b"1000"]


def test_letter_case_counts_except_for_inbox(bob):
    bob.do(b"a CREATE work")
    assert bob.do(b"b CREATE Work").startswith(b"b OK")
    assert bob.do(b"c CREATE iNbOx/x").startswith(b"c OK")
    assert listed(bob.do(b'd LIST "" inbox/*')) == [b"INBOX/x"]


# -- LIST -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        b'(FROB) "" *',
        b'(RECURSIVEMATCH) "" *',
        b'(RECURSIVEMATCH REMOTE) "" *',  # RFC 5258 section 3.1
        b'"" * RETURN (FROB)',
        b'"" * RETURN (STATUS)',
        b'"" * RETURN (STATUS (FROB))',
        b'"" * RETURN (METADATA)',
        b'"" * RETURN (METADATA (/x))',
        b'"" * FROB (STATUS)',
        b'"" * RETURN STATUS',
        b'"" ()',
    ],
)
def test_a_listing_that_is_none_is_refused(arguments):
    client = Client()
    assert client.do(b"a LIST " + arguments).startswith(b"a BAD ")


def test_nothing_is_remote_and_asking_is_allowed(bob):
    assert len(listed(bob.do(b'a LIST (REMOTE) "" *'))) == 6


def test_recursive_match_speaks_for_special_uses_too(bob):
    bob.do(b"a RENAME Sent Mail/Sent")
    said = bob.do(b'b LIST (SPECIAL-USE RECURSIVEMATCH) "" Mai%')
    assert lines(said) == [b'* LIST (\\HasChildren) "/" Mail ("CHILDINFO" ("SPECIAL-USE"))']
    bob.do(b"c SUBSCRIBE Mail/Sent")
    said = bob.do(b'd LIST (SUBSCRIBED SPECIAL-USE RECURSIVEMATCH) "" Mai%')
    assert said.splitlines()[0].endswith(b'Mail ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))')


def test_rights_come_with_the_list(bob, make_user):
    # RFC 8440
    ann = RealClient(make_user("ann@example.com"))
    ann.do(b"0 SETACL INBOX bob@example.com lrs")
    said = bob.do(b'a LIST "" (INBOX Other*INBOX) RETURN (MYRIGHTS STATUS (MESSAGES))')
    assert lines(said) == [
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b"* STATUS INBOX (MESSAGES 0)",
        b"* MYRIGHTS INBOX lrswipkxteacd",
        b'* LIST (\\HasNoChildren) "/" "Other Users/ann@example.com/INBOX"',
        b'* STATUS "Other Users/ann@example.com/INBOX" (MESSAGES 0)',
        b'* MYRIGHTS "Other Users/ann@example.com/INBOX" lrs',
    ]
    ann.do(b"0 SETACL INBOX bob@example.com l")
    assert b"* STATUS" not in bob.do(b'b LIST "" Other*INBOX RETURN (STATUS (MESSAGES))')


def test_a_client_of_rev2_hears_of_names_without_a_mailbox(bob):
    Mailbox.objects.filter(owner=bob.user, name="Sent").update(name="x/Sent")
    assert b'* LIST (\\Noselect \\HasChildren) "/" x' in bob.do(b'a LIST "" x')
    bob.session._talk.rev2 = True
    assert b'* LIST (\\NonExistent \\HasChildren) "/" x' in bob.do(b'a LIST "" x')


def test_a_long_listing_comes_in_pieces():
    names = [f"box/{number // 50}/{number}" for number in range(5000)]
    store = Store(*names)
    store.subscribed |= {"gone/a/b", *names[::2]}
    client = Client(store)
    said = client.do(b'a LIST "" * RETURN (SUBSCRIBED STATUS (MESSAGES))')
    assert len(listed(said)) == 5000 + 1 + 101
    assert said.count(b"* STATUS ") == 5001
    pauses = sum(type(question).__name__ == "Pause" for question in store.asked)
    assert pauses > 10
    assert len(listed(client.do(b'b LSUB "" "box/%"'))) == 100
    assert len(listed(client.do(b'c LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"'))) == 2


# -- Trees ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        (b"a", b"b", {"b", "b/x", "b/x/y", "ab"}),
        (b"a", b"b/c/d", {"b", "b/c", "b/c/d", "b/c/d/x", "b/c/d/x/y", "ab"}),
        (b"a/x", b"x", {"a", "x", "x/y", "ab"}),
        (b"a/x", b"a/xx", {"a", "a/xx", "a/xx/y", "ab"}),
        (b"a", b"%", {"%", "%/x", "%/x/y", "ab"}),
    ],
)
def test_a_tree_is_renamed_with_all_below(bob, old, new, after):
    bob.do(b"0 CREATE a/x/y")
    bob.do(b"0 CREATE ab")
    bob.append(MESSAGE, box=b"a/x/y")
    kept = dict(Mailbox.objects.values_list("pk", "uidvalidity"))
    assert bob.do(b'a RENAME "%b" "%b"' % (old, new)).startswith(b"a OK")
    defaults = {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}
    assert set(Mailbox.objects.values_list("name", flat=True)) - defaults == after
    found = dict(Mailbox.objects.filter(pk__in=kept).values_list("pk", "uidvalidity"))
    assert found == kept


def test_a_tree_moves_up_into_its_own_names(bob):
    Mailbox.objects.create(owner=bob.user, name="a/a", uidvalidity=1)
    bob.do(b"0 CREATE a/a/a/a")
    Mailbox.objects.filter(name="a").delete()
    assert bob.do(b"a RENAME a/a a").startswith(b"a OK")
    moved = Mailbox.objects.filter(name__startswith="a").exclude(name="Archive")
    assert set(moved.values_list("name", flat=True)) == {"a", "a/a", "a/a/a"}


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        (b"a", b"b", b"a NO [ALREADYEXISTS]"),
        (b"a", b"a", b"a NO [ALREADYEXISTS]"),
        (b"a", b"a/c", b"a NO [CANNOT]"),
        (b"nope", b"c", b"a NO [NONEXISTENT]"),
        (b"a", b"INBOX", b"a NO [ALREADYEXISTS]"),
        (b"INBOX", b"b", b"a NO [ALREADYEXISTS]"),
        (b"a", b"/".join([b"x"] * 31), b"a NO [CANNOT]"),  # what is below it would be too deep
        (b"a", b"/".join([b"x" * 249] * 4), b"a NO [CANNOT]"),  # ... or too long
    ],
)
def test_a_rename_that_cannot_be_changes_nothing(bob, old, new, answer):
    bob.do(b"0 CREATE a/x/y")
    bob.do(b"0 CREATE b")
    before = sorted(Mailbox.objects.values_list("name", flat=True))
    assert bob.do(b"a RENAME %b %b" % (old, new)).startswith(answer)
    assert sorted(Mailbox.objects.values_list("name", flat=True)) == before


def test_subscriptions_stay_with_the_names(bob):
    bob.do(b"a CREATE a")
    bob.do(b"b SUBSCRIBE a")
    bob.do(b"c RENAME a b")
    assert b"\\NonExistent" in bob.do(b'd LIST (SUBSCRIBED) "" a')
    bob.do(b"e DELETE b")
    bob.do(b"f CREATE a")
    assert listed(bob.do(b'g LSUB "" a')) == [b"a"]


def test_the_selected_mailbox_may_be_renamed(bob):
    bob.do(b"a CREATE a/x")
    bob.append(MESSAGE, box=b"a/x")
    bob.do(b"b SELECT a/x")
    bob.do(b"c RENAME a b")
    assert b"* 2 EXISTS" in bob.do(b"d COPY 1 b/x")
