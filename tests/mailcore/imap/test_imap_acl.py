"""Who may do what in which mailbox (RFC 4314), on the real store."""

from dataclasses import replace

import pytest
from django.contrib.auth.models import Group
from imap_model import MESSAGE, Client
from test_imap_backend import RealClient

from a3mailer_site.env import current
from accounts.models import User
from domains.models import Domain
from mailcore.store import access, batch
from mailcore.store.flags import DELETED, FLAGGED, SEEN
from mailcore.store.models import AccessRight, Mailbox, Message
from mailcore.store.notices import doorbells
from mailcore.store.rights import ALL_RIGHTS, ordered, settable, told
from security.models import AuditEntry

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_bodies_of_this_test")]

WORK = b'"Other Users/bob@example.com/Work"'
INBOX = b'"Other Users/bob@example.com/INBOX"'


@pytest.fixture
def bob(make_user):
    client = RealClient(make_user("bob@example.com"))
    client.do(b"0 CREATE Work")
    client.append(MESSAGE, MESSAGE, box=b"Work")
    return client


@pytest.fixture
def ann(make_user):
    return RealClient(make_user("ann@example.com"))


def share(owner, rights, who=b"ann@example.com", box=b"Work"):
    assert owner.do(b"s SETACL %b %b %b" % (box, who, rights)) == b"s OK SETACL completed\r\n"


def last(said):
    return said.splitlines()[-1]


def flags_in(box="Work"):
    return list(Message.objects.filter(mailbox__name=box).order_by("uid").values_list("flags", "keywords"))


# -- The list ---------------------------------------------------------------------------------------------------------


def test_rights_are_put_in_order_and_told_with_the_obsolete_ones():
    assert ordered("xa") == "xa"
    assert ordered("cd") == "kxte"  # RFC 4314 section 2.1.1
    assert told("lrx") == "lrxc"
    assert told("lrt") == "lrtd"
    assert told(ALL_RIGHTS) == ALL_RIGHTS + "cd"
    assert settable("s") == SEEN
    assert settable("tw") & (SEEN | DELETED | FLAGGED) == DELETED | FLAGGED
    with pytest.raises(ValueError, match="q"):
        ordered("lq")


def test_the_list_begins_with_the_owner(bob, ann):
    share(bob, b"lrs")
    share(bob, b"d", b"-ann@example.com")
    share(bob, b"l", b"anyone")
    assert bob.do(b"a GETACL Work").splitlines()[0] == (
        b"* ACL Work bob@example.com lrswipkxteacd ann@example.com lrs -ann@example.com ted anyone l"
    )


@pytest.mark.parametrize(
    ("steps", "rights"),
    [
        ([b"lrs"], "lrs"),
        ([b"lrs", b"+da"], "lrstea"),
        ([b"lrs", b"-s"], "lr"),
        ([b"lrs", b"it"], "it"),
        ([b"+c"], "kx"),
        ([b'""'], None),
        ([b"lrs", b'""'], None),
        ([b"lrs", b"-lrs"], None),
        ([b"-l"], None),
    ],
)
def test_rights_are_given_added_and_taken(bob, ann, steps, rights):
    for step in steps:
        share(bob, step)
    assert AccessRight.objects.values_list("rights", flat=True).first() == rights


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"SETACL Work ann@example.com lrQ", b"a BAD "),  # RFC 4314 section 3.1: upper case is not allowed
        (b"SETACL Work ann@example.com lrq", b"a BAD "),
        (b"SETACL Work ann@example.com lr1", b"a BAD "),
        (b'SETACL Work "" lr', b"a BAD "),
        (b'SETACL Work "-" lr', b"a BAD "),
        (b"SETACL Work {1+}\r\n\xff lr", b"a BAD "),
        (b"SETACL Work {1+}\r\n\x01 lr", b"a BAD "),
        (b"SETACL Work " + b"x" * 1001 + b" lr", b"a BAD "),
        (b"SETACL Work ann@example.com", b"a BAD "),
        (b"SETACL Work ann@example.com lr more", b"a BAD "),
        (b"DELETEACL Work", b"a BAD "),
        (b"GETACL", b"a BAD "),
        (b"GETACL Work more", b"a BAD "),
        (b"LISTRIGHTS Work", b"a BAD "),
        (b"MYRIGHTS", b"a BAD "),
        (b"SETACL Work nobody@example.com lr", b"a NO No such user or group"),
        (b"SETACL Work someone@elsewhere.example lr", b"a NO No such user or group"),
        (b"SETACL Work $nobodies lr", b"a NO No such user or group"),
        (b"LISTRIGHTS Work nobody@example.com", b"a NO No such user or group"),
        (b"SETACL Nope ann@example.com lr", b"a NO [NONEXISTENT]"),
        (b"DELETEACL Nope ann@example.com", b"a NO [NONEXISTENT]"),
        (b"GETACL Nope", b"a NO [NONEXISTENT]"),
        (b"MYRIGHTS Nope", b"a NO [NONEXISTENT]"),
        (b"SETACL Work bob@example.com lr", b"a NO [CANNOT]"),
        (b"SETACL Work -bob@example.com w", b"a NO [CANNOT]"),
        (b"DELETEACL Work bob@example.com", b"a NO [CANNOT]"),
        (b"SETACL Work bob@example.com +lr", b"a OK"),
        (b"DELETEACL Work -bob@example.com", b"a OK"),
        (b"DELETEACL Work ann@example.com", b"a OK"),
    ],
)
def test_refusals(bob, ann, command, answer):
    assert bob.do(b"a " + command).startswith(answer)
    assert not AccessRight.objects.exists()


def test_what_may_be_given_is_told_one_by_one(bob, ann):
    assert bob.do(b"a LISTRIGHTS Work ann@example.com").splitlines()[0] == (
        b'* LISTRIGHTS Work ann@example.com "" l r s w i p k x t e a c d'
    )
    assert bob.do(b"a LISTRIGHTS Work Bob@Example.com").splitlines()[0] == (
        b"* LISTRIGHTS Work Bob@Example.com lrswipkxteacd"
    )


def test_an_identifier_is_a_login_or_an_address_in_any_case(bob, make_user):
    make_user("carol@example.com", username="carol")
    share(bob, b"lr", b"CAROL")
    share(bob, b"+s", b"Carol@EXAMPLE.com")
    assert b" carol@example.com lrs\r\n" in bob.do(b"a GETACL Work")


def test_a_list_has_an_end(bob, make_user, monkeypatch):
    monkeypatch.setattr(access, "ENTRY_LIMIT", 1)
    share(bob, b"l", b"anyone")
    share(bob, b"lr", b"anyone")
    make_user("ann@example.com")
    assert bob.do(b"a SETACL Work ann@example.com l").startswith(b"a NO [LIMIT]")


def test_changes_are_in_the_audit_log(bob, ann):
    share(bob, b"lrs")
    share(bob, b"lrs")  # changes nothing
    bob.do(b"a DELETEACL Work ann@example.com")
    first, second = AuditEntry.objects.filter(action="mailbox_access_changed").order_by("pk")
    assert first.metadata["before"] == {"rights": ""}
    assert first.metadata["after"] == {"rights": "lrs"}
    assert (first.metadata["mailbox"], first.metadata["identifier"]) == ("Work", "ann@example.com")
    assert (first.user_id, first.source_ip) == (f"user_{bob.user.pk}", "192.0.2.1")
    assert second.metadata["after"] == {"rights": ""}


# -- What others see --------------------------------------------------------------------------------------------------


def test_a_mailbox_is_listed_where_it_may_be_looked_up(bob, ann):
    assert b"Other" not in ann.do(b'a LIST "" *')
    share(bob, b"lr")
    share(bob, b"lr", box=b"INBOX")
    share(bob, b"r", box=b"Sent")
    said = ann.do(b'a LIST "" *')
    assert b'* LIST (\\HasNoChildren) "/" ' + WORK + b"\r\n" in said
    assert b'* LIST (\\HasNoChildren) "/" ' + INBOX + b"\r\n" in said
    assert b"bob@example.com/Sent" not in said
    assert b'* LIST (\\Noselect \\HasChildren) "/" "Other Users"\r\n' in ann.do(b'b LIST "" %')
    assert b"Other" not in bob.do(b'c LIST "" *')


def test_special_uses_are_the_owners_alone(bob, ann):
    share(bob, b"lr", box=b"Sent")
    assert b'* LIST (\\HasNoChildren) "/" "Other Users/bob@example.com/Sent"' in ann.do(b'a LIST "" *')


def test_a_mailbox_that_may_not_be_read_is_none_to_select_where_its_status_is_asked_for(bob, ann):
    share(bob, b"l")
    # RFC 5819 section 2
    said = ann.do(b'a LIST "" "*/Work" RETURN (STATUS (MESSAGES))')
    assert said == b'* LIST (\\Noselect \\HasNoChildren) "/" ' + WORK + b"\r\na OK LIST completed\r\n"
    share(bob, b"lr")
    said = ann.do(b'a LIST "" "*/Work" RETURN (STATUS (MESSAGES))')
    assert said.startswith(b'* LIST (\\HasNoChildren) "/" ' + WORK + b"\r\n* STATUS " + WORK + b" (MESSAGES 2)\r\n")


def test_select_tells_no_special_use_of_a_mailbox_of_another(bob, ann):
    share(bob, b"lr", box=b"Drafts")
    ann.do(b"a ENABLE IMAP4rev2")
    assert b'* LIST () "/" "Other Users/bob@example.com/Drafts"\r\n' in ann.do(
        b'b SELECT "Other Users/bob@example.com/Drafts"'
    )
    assert b'* LIST (\\Drafts) "/" Drafts\r\n' in ann.do(b"c SELECT Drafts")


NEEDS = [
    (b"SELECT %b", "r"),
    (b"EXAMINE %b", "r"),
    (b"STATUS %b (MESSAGES)", "r"),
    (b"SUBSCRIBE %b", "l"),
    (b"DELETE %b", "x"),
    (b"GETACL %b", "a"),
    (b"LISTRIGHTS %b anyone", "a"),
    (b"SETACL %b anyone l", "a"),
    (b"DELETEACL %b anyone", "a"),
    (b"APPEND %b {1+}\r\nx", "i"),
]


@pytest.mark.parametrize(("command", "right"), NEEDS)
def test_each_command_needs_its_right(bob, ann, command, right):
    # RFC 4314 section 4
    line = command % WORK
    missing = b"a NO [TRYCREATE]" if line.startswith(b"APPEND") else b"a NO [NONEXISTENT]"
    unknown = ann.do(b"a " + command % b'"Other Users/bob@example.com/Nope"')
    assert last(unknown).startswith(missing)
    assert last(ann.do(b"a " + line)) == last(unknown)
    others = "".join(set(ALL_RIGHTS) - {right, "l"})
    share(bob, others.encode())
    assert last(ann.do(b"a " + line)) == last(unknown)
    if right != "l":
        share(bob, b"+l")
        assert last(ann.do(b"a " + line)).startswith(b"a NO [NOPERM]")
    share(bob, right.encode())
    assert last(ann.do(b"a " + line)).startswith(b"a OK")


@pytest.mark.parametrize("rights", [b"lr", b"l", b"lsiktea"])
def test_a_search_over_all_mailboxes_looks_where_it_may_read(bob, ann, rights):
    # RFC 7377 section 2.1
    share(bob, rights)
    said = ann.do(b"a ESEARCH IN (subtree %b) ALL" % WORK)
    assert said.endswith(b"a OK ESEARCH completed\r\n")
    assert (b"* ESEARCH" in said) == (rights == b"lr")


@pytest.mark.parametrize("rights", [b"lr", b"l", b"lsiktea"])
def test_a_part_of_a_message_is_taken_from_where_it_may_be_read(bob, ann, rights):
    # RFC 4469 section 3
    share(bob, rights)
    url = b"/Other%20Users%2Fbob%40example.com%2FWork/;UID=1"
    answer = last(ann.do(b'a APPEND INBOX CATENATE (URL "%b")' % url))
    if rights == b"lr":
        assert answer.startswith(b"a OK [APPENDUID ")
    else:
        assert answer.startswith(b"a NO [BADURL %b] " % url)
        assert b"(MESSAGES 0)" in ann.do(b"b STATUS INBOX (MESSAGES)")


@pytest.mark.parametrize("rights", [b"lr", b"l", b"lsiktea"])
def test_what_happens_is_told_to_who_may_read(bob, ann, rights):
    # RFC 5465 section 3.1
    share(bob, rights)
    said = ann.do(b"a NOTIFY SET STATUS (mailboxes %b (MessageNew MessageExpunge))" % WORK)
    assert last(said).startswith(b"a OK")
    may_read = rights == b"lr"
    assert (b"* STATUS " + WORK in said) == may_read
    assert (b'* LIST (\\NoAccess) "/" ' + WORK in said) != may_read


@pytest.mark.parametrize("right", [b"l", b"r", b"i", b"k", b"x", b"a"])
def test_myrights_needs_any_right_that_tells_of_the_mailbox(bob, ann, right):
    share(bob, right)
    assert ann.do(b"a MYRIGHTS " + WORK).startswith(b"* MYRIGHTS " + WORK + b" " + right)


@pytest.mark.parametrize("right", [b"s", b"w", b"t", b"e", b"p"])
def test_myrights_tells_nothing_of_a_mailbox_that_is_hidden(bob, ann, right):
    share(bob, right)
    assert ann.do(b"a MYRIGHTS " + WORK).startswith(b"a NO [NONEXISTENT]")


def test_own_mailboxes_give_all_rights_and_have_no_second_name(bob):
    assert bob.do(b"a MYRIGHTS Work").startswith(b"* MYRIGHTS Work lrswipkxteacd\r\n")
    assert bob.do(b"a STATUS " + WORK + b" (MESSAGES)").startswith(b"a NO [NONEXISTENT]")


def test_unsubscribing_needs_no_right(bob, ann):
    share(bob, b"l")
    assert ann.do(b"a SUBSCRIBE " + WORK).startswith(b"a OK")
    assert b"LSUB () " in ann.do(b'a LSUB "" "Other Users/*"')
    bob.do(b"b DELETEACL Work ann@example.com")
    assert b"\\NonExistent" in ann.do(b'c LIST (SUBSCRIBED) "" "Other Users/*"')
    assert ann.do(b"d UNSUBSCRIBE " + WORK).startswith(b"d OK")
    assert b"LSUB ()" not in ann.do(b'e LSUB "" "Other Users/*"')


def test_rights_add_up_and_negative_ones_take_away(bob, ann):
    group = Group.objects.create(name="Team A")
    ann.user.groups.add(group)
    share(bob, b"l", b"anyone")
    share(bob, b"rs", b'"$Team A"')
    share(bob, b"iw")
    assert b" lrswi\r\n" in ann.do(b"a MYRIGHTS " + WORK)
    share(bob, b"w", b"-anyone")
    share(bob, b"s", b'"-$Team A"')
    assert b" lri\r\n" in ann.do(b"b MYRIGHTS " + WORK)
    ann.user.groups.remove(group)
    assert b" li\r\n" in ann.do(b"c MYRIGHTS " + WORK)
    ann.user.groups.add(group)
    group.delete()
    assert b" li\r\n" in ann.do(b"d MYRIGHTS " + WORK)


def test_anyone_is_who_is_in_the_owners_domain(bob, make_user):
    Domain.objects.create(name="other.example")
    stranger = RealClient(make_user("eve@other.example"))
    share(bob, b"lr", b"anyone")
    assert stranger.do(b"a SELECT " + WORK).startswith(b"a NO [NONEXISTENT]")
    share(bob, b"lr", b"eve@other.example")
    assert last(stranger.do(b"b SELECT " + WORK)).startswith(b"b OK")


def test_who_gets_an_old_address_gets_no_rights(bob, ann, make_user):
    share(bob, b"lr")
    User.objects.get(pk=ann.user.pk)
    ann.user.username = ann.user.email = "anna@example.com"
    ann.user.full_clean(exclude=["password"])
    ann.user.save()
    new = RealClient(make_user("ann@example.com"))
    assert new.do(b"a SELECT " + WORK).startswith(b"a NO [NONEXISTENT]")
    assert last(ann.do(b"a SELECT " + WORK)).startswith(b"a OK")
    assert b" anna@example.com lr\r\n" in bob.do(b"a GETACL Work")


@pytest.mark.parametrize("how", ["disabled", "trash", "domain"])
def test_mailboxes_of_who_is_not_here_vanish(bob, ann, make_user, how):
    share(bob, b"lr")
    ann.do(b"0 SELECT " + WORK)
    user = User.objects.get(pk=bob.user.pk)
    if how == "domain":
        Domain.objects.create(name="other.example")
        user.domain = Domain.objects.get(name="other.example")
        user.domain.enabled = False
        user.domain.save()
    elif how == "trash":
        from django.utils import timezone

        user.deleted_at = timezone.now()
    else:
        user.is_active = False
    user.save()
    assert ann.do(b"a NOOP").endswith(b"* BYE [UNAVAILABLE] The selected mailbox was deleted\r\n")
    again = RealClient(ann.user)
    assert b"Other" not in again.do(b'a LIST "" *')
    assert again.do(b"b SELECT " + WORK).startswith(b"b NO [NONEXISTENT]")


def test_a_slash_in_an_address_is_no_level(make_user, ann):
    odd = RealClient(make_user("a/b@example.com"))
    odd.do(b"0 SETACL INBOX ann@example.com lr")
    assert b'"Other Users/a%2Fb@example.com/INBOX"' in ann.do(b'a LIST "" *')
    assert last(ann.do(b'b SELECT "Other Users/a%2Fb@example.com/inbox"')).startswith(b"b OK")


# -- In the mailbox ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "permanent", "code"),
    [
        (b"lr", b"()", b"READ-ONLY"),
        (b"lra", b"()", b"READ-ONLY"),
        (b"lrp", b"()", b"READ-ONLY"),
        (b"lri", b"()", b"READ-WRITE"),  # RFC 4314 section 5.2
        (b"lre", b"()", b"READ-WRITE"),
        (b"lrs", b"(\\Seen)", b"READ-WRITE"),
        (b"lrt", b"(\\Deleted)", b"READ-WRITE"),
        (b"lrw", b"(\\Answered \\Flagged \\Draft \\*)", b"READ-WRITE"),
    ],
)
def test_select_tells_what_may_be_changed(bob, ann, rights, permanent, code):
    share(bob, rights)
    said = ann.do(b"a SELECT " + WORK)
    assert b"[PERMANENTFLAGS " + permanent + b"]" in said
    assert last(said).startswith(b"a OK [" + code + b"]")
    assert b"a OK [READ-ONLY]" in ann.do(b"a EXAMINE " + WORK)


@pytest.mark.parametrize(
    ("rights", "store", "flags"),
    [
        (b"lrs", b"+FLAGS (\\Seen \\Deleted \\Flagged Word)", (SEEN, "")),
        (b"lrt", b"+FLAGS (\\Seen \\Deleted \\Flagged Word)", (DELETED, "")),
        (b"lrw", b"+FLAGS (\\Seen \\Deleted \\Flagged Word)", (FLAGGED, "Word")),
        (b"lrs", b"FLAGS (\\Seen \\Deleted)", (SEEN, "")),
        (b"lrs", b"+FLAGS ()", (0, "")),
    ],
)
def test_store_does_what_it_may(bob, ann, rights, store, flags):
    share(bob, rights)
    ann.do(b"a SELECT " + WORK)
    assert last(ann.do(b"b STORE 1 " + store)).startswith(b"b OK")
    assert flags_in()[0] == flags


@pytest.mark.parametrize("store", [b"+FLAGS (\\Deleted)", b"-FLAGS.SILENT (Word)", b"+FLAGS (\\Flagged)"])
def test_store_of_nothing_that_may_be_set_is_refused(bob, ann, store):
    share(bob, b"lrsi")
    ann.do(b"a SELECT " + WORK)
    assert ann.do(b"b STORE 1 " + store).startswith(b"b NO [NOPERM]")


def test_replacing_flags_leaves_those_that_may_not_be_changed(bob, ann):
    bob.do(b"0 SELECT Work")
    bob.do(b"0 STORE 1 FLAGS (\\Flagged \\Seen Word)")
    share(bob, b"lrs")
    ann.do(b"a SELECT " + WORK)
    assert b"FLAGS (\\Flagged Word)" in ann.do(b"b STORE 1 FLAGS (\\Deleted)")
    assert ann.do(b"c STORE 1 FLAGS.SILENT (\\Seen)") == b"c OK STORE completed\r\n"
    assert flags_in()[0] == (FLAGGED | SEEN, "Word")


def test_reading_sets_seen_only_with_the_right(bob, ann):
    share(bob, b"lr")
    ann.do(b"a SELECT " + WORK)
    assert b"FLAGS" not in ann.do(b"b FETCH 1 BODY[TEXT]")
    share(bob, b"+s")
    assert b"FLAGS (\\Seen" in ann.do(b"c FETCH 1 BODY[TEXT]")


def test_expunge_needs_its_right_and_close_does_without(bob, ann):
    bob.do(b"0 SELECT Work")
    bob.do(b"0 STORE 1 +FLAGS.SILENT (\\Deleted)")
    share(bob, b"lrt")
    ann.do(b"a SELECT " + WORK)
    assert ann.do(b"b EXPUNGE").startswith(b"b NO [NOPERM]")
    assert ann.do(b"c UID EXPUNGE 1").startswith(b"c NO [NOPERM]")
    assert ann.do(b"d CLOSE") == b"d OK CLOSE completed\r\n"
    assert len(flags_in()) == 2
    share(bob, b"+e")
    ann.do(b"e SELECT " + WORK)
    assert b"* 1 EXPUNGE" in ann.do(b"f EXPUNGE")


def test_append_and_copy_leave_flags_behind_that_may_not_be_set(bob, ann):
    share(bob, b"lris")
    tail = b" (\\Seen \\Flagged Word) {%d+}\r\n" % len(MESSAGE) + MESSAGE
    assert b"OK [APPENDUID" in ann.do(b"a APPEND " + WORK + tail)
    ann.do(b"b APPEND INBOX" + tail)
    ann.do(b"c SELECT INBOX")
    assert b"OK [COPYUID" in ann.do(b"d COPY 1 " + WORK)
    assert flags_in()[2:] == [(SEEN, ""), (SEEN, "")]


def test_who_may_not_read_a_mailbox_is_not_told_the_uids_in_it(bob, ann):
    # RFC 4315 section 3
    share(bob, b"li")
    ann.append(MESSAGE, MESSAGE)
    ann.do(b"a SELECT INBOX")
    tail = b" {%d+}\r\n" % len(MESSAGE) + MESSAGE
    assert last(ann.do(b"b APPEND " + WORK + tail)) == b"b OK APPEND completed"
    assert ann.do(b"c COPY 1 " + WORK) == b"c OK COPY completed\r\n"
    assert ann.do(b"d MOVE 1 " + WORK) == b"* 1 EXPUNGE\r\n* 1 RECENT\r\nd OK MOVE completed\r\n"
    assert ann.do(b"e REPLACE 1 " + WORK + tail) == b"* 1 EXPUNGE\r\n* 0 RECENT\r\ne OK REPLACE completed\r\n"
    assert len(flags_in()) == 6


def test_messages_in_a_mailbox_count_for_its_owner(bob, ann):
    share(bob, b"lrite")
    before = User.objects.values_list("used_quota", flat=True)
    ann.append(MESSAGE)
    ann.do(b"a SELECT INBOX")
    used = dict(User.objects.values_list("pk", "used_quota"))
    assert b"COPYUID" in ann.do(b"b MOVE 1 " + WORK)
    assert dict(User.objects.values_list("pk", "used_quota")) == {
        bob.user.pk: used[bob.user.pk] + len(MESSAGE),
        ann.user.pk: 0,
    }
    ann.do(b"c SELECT " + WORK)
    assert b"COPYUID" in ann.do(b"d MOVE 1:3 INBOX")
    assert dict(before.values_list("pk", "used_quota")) == {bob.user.pk: 0, ann.user.pk: 3 * len(MESSAGE)}


def test_a_full_owner_takes_nothing_from_others(bob, ann):
    share(bob, b"lrite")
    User.objects.filter(pk=bob.user.pk).update(quota=1)
    ann.append(MESSAGE)
    ann.do(b"a SELECT INBOX")
    assert ann.do(b"b COPY 1 " + WORK).startswith(b"b NO [OVERQUOTA]")
    assert last(ann.do(b"c MOVE 1 " + WORK)).startswith(b"c NO [OVERQUOTA]")
    assert ann.do(b"d APPEND " + WORK + b" {400}").startswith(b"d NO [OVERQUOTA]")
    assert ann.append(MESSAGE, box=WORK).startswith(b"p NO [OVERQUOTA]")


@pytest.mark.parametrize(
    ("rights", "target", "answer"),
    [
        (b"lrite", WORK, b"a OK"),
        (b"lrte", WORK, b"a NO [NOPERM]"),  # nothing may be put in
        (b"lrie", WORK, b"a NO [NOPERM]"),  # nothing may be flagged as deleted
        (b"lrit", WORK, b"a NO [NOPERM]"),  # nothing may be expunged
        (b"lrte", b"INBOX", b"a OK"),
        (b"lri", b"INBOX", b"a NO [NOPERM]"),
        (b"lrte", b'"Other Users/bob@example.com/Nope"', b"a NO [TRYCREATE]"),
    ],
)
def test_replacing_needs_what_deleting_and_appending_need(bob, ann, rights, target, answer):
    # RFC 8508 section 3.5
    share(bob, rights)
    ann.do(b"s SELECT " + WORK)
    said = ann.do(b"a REPLACE 1 %b (\\Seen) {%d+}\r\n%b" % (target, len(MESSAGE), MESSAGE))
    assert last(said).startswith(answer)
    done = answer == b"a OK"
    assert len(flags_in()) == (1 if done and target == b"INBOX" else 2)
    assert (b"* 1 EXPUNGE" in said) == done
    # Seen needs a right of its own in the shared mailbox, and none in the own one.
    if done:
        assert flags_in("Work" if target == WORK else "INBOX")[-1] == ((0, "") if target == WORK else (SEEN, ""))


def test_what_is_replaced_counts_for_two_owners(bob, ann):
    share(bob, b"lrite")
    ann.do(b"s SELECT " + WORK)
    used = User.objects.order_by("pk").values_list("used_quota", flat=True)
    User.objects.filter(pk=ann.user.pk).update(quota=1)
    line = b"a REPLACE 1 INBOX {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)
    # What goes from the one is no room for the other.
    assert last(ann.do(line)).startswith(b"a NO [OVERQUOTA]")
    assert len(flags_in()) == 2
    User.objects.filter(pk=ann.user.pk).update(quota=len(MESSAGE))
    assert last(ann.do(line)).startswith(b"a OK")
    assert list(used) == [len(MESSAGE), len(MESSAGE)]
    # Of the same owner only the difference counts.
    User.objects.filter(pk=bob.user.pk).update(quota=len(MESSAGE))
    line = b"b REPLACE 1 %b {%d+}\r\n%b"
    assert last(ann.do(line % (WORK, len(MESSAGE) + 1, MESSAGE + b"x"))).startswith(b"b NO [OVERQUOTA]")
    assert last(ann.do(line % (WORK, len(MESSAGE), MESSAGE))).startswith(b"b OK")
    assert list(used) == [len(MESSAGE), len(MESSAGE)]


def test_the_number_of_messages_is_limited_for_their_owner(bob, ann, monkeypatch):
    monkeypatch.setattr(batch, "current", lambda: replace(current(), user_message_limit=2))
    share(bob, b"lrite")
    url = b'CATENATE (URL "/INBOX/;UID=1" TEXT {3+}\r\nx\r\n)'
    ann.append(MESSAGE, MESSAGE)
    ann.do(b"s SELECT " + WORK)
    for line in (b"APPEND %b {1+}\r\nx" % WORK, b"APPEND %b %b" % (WORK, url), b"COPY 1 INBOX", b"MOVE 1 INBOX"):
        assert last(ann.do(b"a " + line)).startswith(b"a NO [OVERQUOTA]"), line
    assert last(ann.do(b"b REPLACE 1 INBOX {1+}\r\nx")).startswith(b"b NO [OVERQUOTA]")
    assert len(flags_in()) == len(flags_in("INBOX")) == 2
    # One for one goes, whoever does it.
    assert last(ann.do(b"c REPLACE 1 %b %b" % (WORK, url))).startswith(b"c OK")
    assert len(flags_in()) == 2


def test_what_is_put_together_needs_room_for_all_of_it(bob, ann):
    share(bob, b"lri")
    ann.append(MESSAGE)
    User.objects.filter(pk=bob.user.pk).update(quota=4 * len(MESSAGE))
    twice = b'APPEND %b CATENATE (URL "/INBOX/;UID=1" URL "/INBOX/;UID=1")' % WORK
    assert last(ann.do(b"a " + twice)).startswith(b"a OK")
    assert last(ann.do(b"b " + twice)).startswith(b"b NO [OVERQUOTA]")
    assert len(flags_in()) == 3


def test_move_needs_what_deleting_needs(bob, ann):
    share(bob, b"lrt")
    ann.do(b"a SELECT " + WORK)
    assert ann.do(b"b MOVE 1 INBOX").startswith(b"b NO [NOPERM]")
    assert b"COPYUID" in ann.do(b"c COPY 1 INBOX")


def test_two_people_in_one_mailbox_hear_of_each_other(bob, ann):
    share(bob, b"lrswite")
    bob.do(b"0 SELECT Work")
    ann.do(b"0 SELECT " + WORK)
    ann.do(b"a STORE 1 +FLAGS (\\Seen)")
    assert b"* 1 FETCH (FLAGS (\\Seen" in bob.do(b"b NOOP")  # \Seen is one for all
    bob.append(MESSAGE, box=b"Work")
    assert b"* 3 EXISTS" in ann.do(b"c NOOP")


# -- Making, renaming, deleting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b'"Other Users"',
        b'"Other Users/"',
        b'"Other Users/new"',
        b'"Other Users/bob@example.com"',
        b'"Other Users/bob@example.com/New"',
        b'"Other Users/bob@example.com/Work/New"',
        b'"Other Users/nobody@example.com/Work/New"',
    ],
)
def test_nothing_is_made_under_others_without_the_right(bob, ann, name):
    share(bob, b"lrswiptea")
    assert ann.do(b"a CREATE " + name).startswith(b"a NO [")
    ann.do(b"b CREATE mine")
    assert ann.do(b"c RENAME mine " + name).startswith(b"c NO [")
    assert Mailbox.objects.filter(owner=bob.user, name__contains="New").count() == 0


def test_a_mailbox_made_under_anothers_is_the_owners_and_has_its_list(bob, ann):
    share(bob, b"lrk")
    assert ann.do(b"a CREATE " + WORK[:-1] + b'/deep/new"').startswith(b"a OK")
    made = Mailbox.objects.get(name="Work/deep/new")
    assert made.owner_id == bob.user.pk
    for name in ("Work/deep", "Work/deep/new"):
        assert AccessRight.objects.get(mailbox__name=name).rights == "lrk"
    assert b'Work/deep/new"' in ann.do(b'b LIST "" *')
    assert ann.do(b"c CREATE " + WORK[:-1] + b'/sent" (USE (\\Sent))').startswith(b"c NO [USEATTR]")


def test_an_own_mailbox_below_a_shared_one_is_shared_too(bob, ann):
    share(bob, b"lr")
    bob.do(b"a CREATE Work/2024")
    assert b'Work/2024"' in ann.do(b'b LIST "" *')


def test_renaming_needs_two_rights_and_stays_with_the_owner(bob, ann):
    new = WORK[:-1] + b'/b"'
    bob.do(b"0 CREATE Work/a")
    old = WORK[:-1] + b'/a"'
    share(bob, b"lr")
    share(bob, b"lr", box=b"Work/a")
    assert ann.do(b"a RENAME %b %b" % (old, new)).startswith(b"a NO [NOPERM]")
    share(bob, b"+x", box=b"Work/a")
    assert ann.do(b"b RENAME %b %b" % (old, new)).startswith(b"b NO [NOPERM]")
    share(bob, b"+k")
    assert ann.do(b"c RENAME %b mine" % old).startswith(b"c NO [CANNOT]")
    assert ann.do(b"d RENAME %b %b" % (old, new)).startswith(b"d OK")
    # RFC 4314 section 4: the list stays with the mailbox
    assert AccessRight.objects.get(mailbox__name="Work/b").rights == "lrx"


def test_the_inbox_of_another_stays(bob, ann):
    share(bob, b"lrkx", box=b"INBOX")
    share(bob, b"lrkx")
    assert ann.do(b"a DELETE " + INBOX).startswith(b"a NO [CANNOT]")
    assert ann.do(b"b RENAME " + INBOX + b" " + WORK[:-1] + b'/all"').startswith(b"b NO [CANNOT]")


def test_the_list_goes_with_the_mailbox(bob, ann):
    share(bob, b"lrx")
    assert ann.do(b"a DELETE " + WORK).startswith(b"a OK")
    assert not AccessRight.objects.exists()
    bob.do(b"b CREATE Work")
    assert ann.do(b"c SELECT " + WORK).startswith(b"c NO [NONEXISTENT]")


# -- Rights that end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", [b"FETCH 1 FLAGS", b"FETCH 1 BODY.PEEK[]", b"SEARCH ALL", b"STORE 1 +FLAGS (\\Seen)", b"COPY 1 INBOX"]
)
def test_who_may_no_longer_read_is_cut_off_at_the_next_command(bob, ann, line):
    share(bob, b"lrs")
    ann.do(b"a SELECT " + WORK)
    bob.do(b"b DELETEACL Work ann@example.com")
    assert ann.do(b"c " + line) == b"* BYE [UNAVAILABLE] The selected mailbox was deleted\r\n"
    assert ann.closed


def test_who_idles_is_cut_off_at_once(bob, ann):
    share(bob, b"lr")
    ann.do(b"a SELECT " + WORK)
    ann.do(b"b IDLE")
    bob.do(b"c SETACL Work ann@example.com -r")
    doorbells.ring_all()
    assert ann.read().startswith(b"* BYE ")


def test_a_right_that_ends_ends_at_the_next_command(bob, ann):
    share(bob, b"lrs")
    ann.do(b"a SELECT " + WORK)
    share(bob, b"lrt")
    said = ann.do(b"b STORE 1 +FLAGS (\\Seen)")
    assert said == b"* OK [PERMANENTFLAGS (\\Deleted)] Flags that are kept\r\nb NO [NOPERM] Permission denied\r\n"
    assert b"PERMANENTFLAGS" not in ann.do(b"c NOOP")


def test_who_leaves_in_time_can_go_on(bob, ann):
    share(bob, b"lr")
    ann.do(b"a SELECT " + WORK)
    bob.do(b"b DELETEACL Work ann@example.com")
    assert last(ann.do(b"c SELECT INBOX")).startswith(b"c OK")


def test_own_mailboxes_cost_no_question():
    client = Client(select=b"INBOX")
    client.do(b"a FETCH 1:* FLAGS")
    client.do(b"b NOOP")
    assert "RightsIn" not in [type(question).__name__ for question in client.store.asked]
