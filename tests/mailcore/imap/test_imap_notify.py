"""NOTIFY (RFC 5465): what a client hears unasked, and what it does not."""

import pytest
from imap_model import MESSAGE, Client, Store, asked

from mailcore.imap import questions as q
from mailcore.imap.events import Group, Scope
from mailcore.imap.session import PATIENCE
from mailcore.store.flags import FLAGGED, SEEN
from mailcore.store.notices import ANNOTATIONS, EVERYTHING, NAMES, doorbells
from tests.mailcore.imap.test_imap_backend import RealClient

ALL = b"(MessageNew MessageExpunge FlagChange)"


def with_mail(notify=b"", *, select=b"INBOX", enable=b"", names=("Work", "Lists/a", "Lists/b")):
    store = Store(*names)
    for _ in range(4):
        store.inbox.add(MESSAGE, SEEN)
    client = Client(store)
    if enable:
        client.do(b"e ENABLE " + enable)
    if select:
        client.do(b"s SELECT " + select)
    if notify:
        said = client.do(b"n NOTIFY " + notify)
        assert said.endswith(b"n OK NOTIFY completed\r\n"), said
    return client


def rung(client, name):
    """What is said when something is new in a mailbox, or in the names of all."""
    box = client.store.boxes.get(name)
    number = box.mailbox if box else name
    client.take(client.session.notice(q.AccountChanged(number)))
    return client.read()


# -- The command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        b" ",
        b" FROB",
        b" NONE NONE",
        b" SET",
        b" SET STATUS",
        b" SET NONE",
        b" SET (selected)",
        b" SET (selected ())",
        b" SET (selected (MessageNew))",
        b" SET (selected (MessageExpunge))",
        b" SET (selected (FlagChange))",
        b" SET (selected (MessageNew FlagChange))",
        b" SET (selected (MailboxName))",
        b" SET (selected-delayed (SubscriptionChange))",
        b" SET (selected (MailboxMetadataChange))",
        b" SET (selected (ServerMetadataChange))",
        b" SET (selected %b) (selected-delayed %b)" % (ALL, ALL),
        b" SET (selected NONE) (selected NONE)",
        b" SET (personal (MessageNew (UID) MessageExpunge))",
        b" SET (selected (MessageNew () MessageExpunge))",
        b" SET (selected (MessageNew (FROB) MessageExpunge))",
        b" SET (selected (MessageNew UID MessageExpunge)",
        b" SET (selected (MessageExpunge (UID) MessageNew))",
        b" SET (subtree %b)" % ALL,
        b" SET (mailboxes () (MailboxName))",
        b" SET (frob (MailboxName))",
        b" SET (personal (MailboxName)",
        b" SET (personal (MailboxName)) ",
        b" SET (personal (MailboxName))(personal (MailboxName))",
        b" SET " + b" ".join([b"(personal (MailboxName))"] * 21),
        b" SET (mailboxes (%b) (MailboxName)) (personal NONE)" % b" ".join([b"a"] * 1001),
    ],
)
def test_malformed_commands_are_refused_and_change_nothing(arguments):
    client = with_mail()
    said = client.do(b"a NOTIFY" + arguments)
    assert said.startswith((b"a BAD ", b"a NO [BADEVENT")) is True
    assert not asked(client, q.WatchAccount)
    client.store.inbox.add()
    assert client.ring() == b""
    assert b"* 5 EXISTS" in client.do(b"b NOOP")


@pytest.mark.parametrize("event", [b"AnnotationChange", b"X-NEW", b"MessageNew X"])
def test_events_that_there_are_not_are_refused_with_those_that_there_are(event):
    said = with_mail().do(b"a NOTIFY SET (personal (%b))" % event)
    assert said.startswith(
        b"a NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange "
        b"ServerMetadataChange)] "
    )


def test_it_needs_a_login():
    assert Client(log_in=False).do(b"a NOTIFY NONE").startswith(b"a BAD ")


def test_too_many_mailboxes_are_refused_and_what_was_asked_before_stays(monkeypatch):
    client = with_mail(b"SET (selected %b)" % ALL)
    monkeypatch.setattr("mailcore.imap.commands.notify.MAILBOXES_LIMIT", 3)
    assert client.do(b"a NOTIFY SET (personal %b)" % ALL).startswith(b"a NO [NOTIFICATIONOVERFLOW] ")
    client.store.inbox.add()
    assert client.ring().startswith(b"* 5 EXISTS\r\n")


def test_what_becomes_too_much_ends_by_itself(monkeypatch):
    client = with_mail(b"SET (personal (MailboxName))")
    monkeypatch.setattr("mailcore.imap.notifications.MAILBOXES_LIMIT", 3)
    assert rung(client, NAMES) == b"* OK [NOTIFICATIONOVERFLOW] Too many mailboxes\r\n"
    assert asked(client, q.WatchAccount)[-1].account == 0
    assert rung(client, NAMES) == b""


def test_a_failing_database_leaves_everything_as_it_was():
    client = with_mail(b"SET (selected %b)" % ALL)
    client.store.refuse[q.ListMailboxes] = q.Refused.UNAVAILABLE
    assert client.do(b"a NOTIFY SET (personal (MailboxName))").startswith(b"a NO [UNAVAILABLE] ")
    client.store.inbox.add()
    assert client.ring().startswith(b"* 5 EXISTS\r\n")


def test_notify_is_an_implicit_noop():
    """RFC 5465 section 3.1."""
    client = with_mail()
    client.store.inbox.add()
    assert b"* 5 EXISTS\r\n" in client.do(b"a NOTIFY SET (selected %b)" % ALL)


# -- The selected mailbox ---------------------------------------------------------------------------------------------


def test_the_selected_mailbox_is_told_between_commands():
    client = with_mail(b"SET (selected %b)" % ALL)
    client.store.inbox.add()
    assert client.ring() == b"* 5 EXISTS\r\n* 5 RECENT\r\n"
    client.store.inbox.flag([2], q.StoreMode.ADD, FLAGGED)
    assert client.ring() == b"* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen \\Recent))\r\n"
    client.store.inbox.remove([1])
    assert client.ring() == b"* 1 EXPUNGE\r\n* 4 RECENT\r\n"
    assert client.ring() == b""


def test_before_notify_nothing_is_told_between_commands():
    client = with_mail()
    client.store.inbox.add()
    assert client.ring() == b""
    assert b"* 5 EXISTS" in client.do(b"a NOOP")


def test_delayed_expunges_wait_for_a_command_that_allows_them():
    client = with_mail(b"SET (selected-delayed %b)" % ALL)
    client.store.inbox.remove([1])
    client.store.inbox.add()
    assert client.ring() == b"* 5 EXISTS\r\n* 5 RECENT\r\n"
    assert b"EXPUNGE" not in client.do(b"a FETCH 2 FLAGS")
    assert client.do(b"b NOOP").startswith(b"* 1 EXPUNGE\r\n")
    client.store.inbox.remove([2])
    client.ring()
    assert client.do(b"c IDLE") == b"+ idling\r\n* 1 EXPUNGE\r\n* 3 RECENT\r\n"


def test_an_expunge_is_never_told_during_a_fetch_but_at_once_afterwards():
    client = with_mail(b"SET (selected %b)" % ALL, enable=b"QRESYNC")
    client.store.inbox.remove([1])
    client.answers = False
    client.send(b"a FETCH 2 RFC822.SIZE\r\n")
    client.take(client.session.notice(q.MailboxChanged(client.store.inbox.mailbox)))
    client.answers = True
    client.answer_now()
    said = client.read()
    assert said.startswith(b"* 2 FETCH (RFC822.SIZE ")
    assert said.endswith(b"a OK FETCH completed\r\n* VANISHED 1\r\n* 3 RECENT\r\n")


def test_nothing_is_said_while_a_command_is_coming_in():
    client = with_mail(b"SET (selected %b)" % ALL)
    client.store.inbox.remove([1])
    client.send(b"a FETCH 2 ")
    assert client.ring() == b""
    said = client.send(b"FLAGS\r\n").read()
    assert said.startswith(b"* 2 FETCH ")
    assert said.endswith(b"a OK FETCH completed\r\n* 1 EXPUNGE\r\n* 3 RECENT\r\n")


def test_flags_are_told_only_where_they_are_asked_for():
    client = with_mail(b"SET (selected (MessageNew MessageExpunge))")
    client.store.inbox.flag([2], q.StoreMode.ADD, FLAGGED)
    client.store.inbox.add()
    assert client.ring() == b"* 5 EXISTS\r\n* 5 RECENT\r\n"
    assert client.do(b"a STORE 1 +FLAGS (\\Flagged)").startswith(b"* 1 FETCH (UID 1 FLAGS ")


@pytest.mark.parametrize("notify", [b"NONE", b"SET (selected NONE)", b"SET (personal (MailboxName))"])
def test_who_wants_nothing_of_the_selected_mailbox_hears_nothing(notify):
    client = with_mail(notify)
    client.store.inbox.add()
    assert client.ring() == b""
    assert client.do(b"a FETCH 1 UID") == b"* 1 FETCH (UID 1)\r\na OK FETCH completed\r\n"
    assert client.do(b"b IDLE") == b"+ idling\r\n"
    assert client.ring() == b""
    client.do(b"DONE")
    # What it asks for, or does itself, it is told.
    client.do(b"c STORE 2 +FLAGS.SILENT (\\Deleted)")
    assert b"* 2 EXPUNGE\r\n" in client.do(b"d EXPUNGE")


def test_new_messages_are_described():
    client = with_mail(b"SET (selected (MessageNew (UID BODY[HEADER.FIELDS (SUBJECT)] FLAGS) MessageExpunge))")
    client.store.inbox.add()
    client.store.inbox.add(b"Subject: two\r\n\r\n", SEEN)
    assert client.ring() == (
        b"* 6 EXISTS\r\n* 6 RECENT\r\n"
        b"* 5 FETCH (UID 5 FLAGS (\\Recent) BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: lunch\r\n\r\n)\r\n"
        b"* 6 FETCH (UID 6 FLAGS (\\Seen \\Recent) BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: two\r\n\r\n)\r\n"
    )
    # Nobody has read them (RFC 5465 section 5.2 advises against such items; they set nothing here).
    assert client.store.inbox.messages[5][0] == 0


def test_messages_are_described_as_the_client_reads_them():
    client = with_mail(b"SET (selected (MessageNew (RFC822.SIZE) MessageExpunge))", enable=b"QRESYNC")
    client.store.inbox.add()
    assert client.ring().endswith(b"* 5 FETCH (RFC822.SIZE %d UID 5 MODSEQ (6))\r\n" % len(MESSAGE))
    client.do(b"a ENABLE UIDONLY")
    client.store.inbox.add()
    assert client.ring().endswith(b"* 6 UIDFETCH (RFC822.SIZE %d UID 6 MODSEQ (7))\r\n" % len(MESSAGE))


def test_what_the_client_has_made_itself_is_not_described():
    client = with_mail(b"SET (selected (MessageNew (UID) MessageExpunge))")
    said = client.do(b"a APPEND INBOX {3+}\r\nx\r\n")
    assert said == b"* 5 EXISTS\r\n* 5 RECENT\r\na OK [APPENDUID 1001 5] APPEND completed\r\n"
    assert b"FETCH" not in client.do(b"b COPY 1 INBOX")
    assert b"FETCH" not in client.do(b"c REPLACE 1 INBOX {3+}\r\nx\r\n")
    client.store.inbox.add()
    assert b"* 7 FETCH (UID 8)\r\n" in client.ring()


def test_nothing_is_heard_of_an_account_that_has_been_left():
    # RFC 8437 section 3: the next to log in is somebody else
    client = with_mail(b"SET (personal %b)" % ALL)
    client.do(b"a UNAUTHENTICATE")
    assert [question.account for question in client.store.asked if isinstance(question, q.WatchAccount)][-1] == 0


def test_a_mailbox_that_is_gone_ends_the_connection():
    client = with_mail(b"SET (selected %b)" % ALL)
    box = client.store.boxes.pop("INBOX")
    assert client.ring(box).startswith(b"* BYE ")
    assert client.closed


def test_what_cannot_be_read_is_told_with_the_next_notice():
    client = with_mail(b"SET (selected %b) (personal %b)" % (ALL, ALL))
    client.store.inbox.add()
    client.store.boxes["Work"].add()
    client.store.refuse = {q.ReadChanges: q.Refused.UNAVAILABLE, q.Status: q.Refused.UNAVAILABLE}
    assert client.ring() == b""
    assert rung(client, "Work") == b""
    client.store.refuse = {}
    said = client.ring()
    assert b"* 5 EXISTS" in said
    assert b"* STATUS Work (MESSAGES 1 " in said


# -- Other mailboxes --------------------------------------------------------------------------------------------------


def test_status_of_all_that_is_watched_comes_first_where_it_is_asked_for():
    client = with_mail()
    said = client.do(
        b"a NOTIFY SET STATUS (subtree Lists (MessageNew MessageExpunge)) (mailboxes (INBOX Nope) %b)" % ALL
    )
    assert said == (
        b"* STATUS Lists/a (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1003)\r\n"
        b"* STATUS Lists/b (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1004)\r\n"
        b"a OK NOTIFY completed\r\n"
    )
    client.do(b"b UNSELECT")
    said = client.do(b"c NOTIFY SET STATUS (inboxes %b)" % ALL)
    assert said.startswith(b"* STATUS INBOX (MESSAGES 4 UIDNEXT 5 UIDVALIDITY 1001 UNSEEN 0 HIGHESTMODSEQ 5)\r\nc OK")


def test_new_and_expunged_messages_elsewhere_are_told_by_status():
    client = with_mail(b"SET (subtree Lists (MessageNew MessageExpunge))")
    lists = client.store.boxes["Lists/a"]
    lists.add()
    assert rung(client, "Lists/a") == b"* STATUS Lists/a (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1003)\r\n"
    assert rung(client, "Lists/a") == b""
    lists.flag([1], q.StoreMode.ADD, SEEN)
    assert rung(client, "Lists/a") == b""
    lists.remove([1])
    assert rung(client, "Lists/a") == b"* STATUS Lists/a (MESSAGES 0 UIDNEXT 2 UIDVALIDITY 1003)\r\n"
    client.store.boxes["Work"].add()
    assert rung(client, "Work") == b""
    assert len(asked(client, q.Status)) == 4  # nobody wants to know of the other


@pytest.mark.parametrize(
    ("event", "after_new", "after_flags", "after_expunge"),
    [
        (b"MessageNew", 1, 0, 0),
        (b"MessageExpunge", 0, 0, 1),
        (b"FlagChange", 1, 1, 1),  # whatever happens, the MODSEQ has grown
    ],
)
def test_elsewhere_one_event_may_be_asked_for_alone(event, after_new, after_flags, after_expunge):
    client = with_mail()
    assert b"* STATUS Work (MESSAGES 0 " in client.do(b"a NOTIFY SET STATUS (mailboxes Work (%b))" % event)
    work = client.store.boxes["Work"]
    work.add()
    assert rung(client, "Work").count(b"* STATUS Work (MESSAGES 1 ") == after_new
    work.flag([1], q.StoreMode.ADD, SEEN)
    assert rung(client, "Work").count(b"* STATUS Work (MESSAGES 1 ") == after_flags
    work.remove([1])
    assert rung(client, "Work").count(b"* STATUS Work (MESSAGES 0 ") == after_expunge


def test_flags_elsewhere_are_told_with_unseen_and_modseq():
    client = with_mail(b"SET (personal %b)" % ALL, enable=b"CONDSTORE")
    work = client.store.boxes["Work"]
    work.add()
    rung(client, "Work")
    work.flag([1], q.StoreMode.ADD, SEEN)
    told = b"* STATUS Work (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1002 UNSEEN 0 HIGHESTMODSEQ 3)\r\n"
    assert rung(client, "Work") == told


def test_a_client_that_knows_modseq_hears_it():
    client = with_mail(b"SET (personal (MessageNew MessageExpunge))", enable=b"QRESYNC")
    client.store.boxes["Work"].add()
    assert rung(client, "Work").endswith(b"UIDVALIDITY 1002 HIGHESTMODSEQ 2)\r\n")


def test_the_selected_mailbox_is_told_as_such_and_never_by_status():
    client = with_mail(b"SET (personal %b)" % ALL)
    client.store.inbox.add()
    assert rung(client, "INBOX") == b""


def test_during_a_command_news_come_before_its_end_and_during_idle_at_once():
    client = with_mail(b"SET (personal %b)" % ALL)
    client.store.boxes["Work"].add()
    client.answers = False
    client.send(b"a STATUS Work (MESSAGES)\r\n")
    client.take(client.session.notice(q.AccountChanged(client.store.boxes["Work"].mailbox)))
    client.answers = True
    client.answer_now()
    said = client.read()
    assert said.count(b"* STATUS Work ") == 2
    assert said.endswith(b"a OK STATUS completed\r\n")
    client.do(b"b IDLE")
    client.store.boxes["Work"].add()
    assert rung(client, "Work").startswith(b"* STATUS Work (MESSAGES 2 ")
    assert client.do(b"DONE") == b"b OK IDLE completed\r\n"


def test_many_that_changed_are_read_at_once_and_told_once():
    client = with_mail(b"SET (personal %b)" % ALL, names=[f"n{number:02}" for number in range(60)])
    client.answers = False
    client.send(b"a NOOP\r\n")
    for number in range(60):
        box = client.store.boxes[f"n{number:02}"]
        box.add()
        for _ in range(3):
            client.take(client.session.notice(q.AccountChanged(box.mailbox)))
    client.answers = True
    client.answer_now()
    assert client.read().count(b"* STATUS ") == 60
    assert len(asked(client, q.ListMailboxes)) == 2
    assert len(asked(client, q.Status)) == 0


def test_after_a_gap_everything_is_looked_at():
    client = with_mail(b"SET (personal (MessageNew MessageExpunge MailboxName))")
    client.store.boxes["Work"].add()
    client.store.make("New")
    assert rung(client, EVERYTHING) == (
        b'* LIST (\\HasNoChildren) "/" New\r\n* STATUS Work (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1002)\r\n'
    )


# -- Names and subscriptions ------------------------------------------------------------------------------------------


def test_names_that_come_and_go_are_told_with_what_is_above_them():
    client = with_mail(b"SET (personal (MailboxName))")
    client.store.make("Lists/c", "\\Archive")
    assert rung(client, NAMES) == (
        b'* LIST (\\NonExistent \\HasChildren) "/" Lists\r\n* LIST (\\HasNoChildren \\Archive) "/" Lists/c\r\n'
    )
    del client.store.boxes["Work"]
    assert rung(client, NAMES) == b'* LIST (\\NonExistent \\HasNoChildren) "/" Work\r\n'
    assert rung(client, NAMES) == b""


def test_a_renamed_mailbox_tells_its_old_name_and_not_its_children():
    client = with_mail(b"SET (personal (MailboxName))", names=("a", "a/b", "a/b/c", "Entw\u00fcrfe"))
    boxes = client.store.boxes
    for old, new in (("a", "z"), ("a/b", "z/b"), ("a/b/c", "z/b/c")):
        box = boxes[new] = boxes.pop(old)
        box.name = new
    assert rung(client, NAMES) == b'* LIST (\\HasChildren) "/" z ("OLDNAME" (a))\r\n'
    box = boxes["b"] = boxes.pop("Entw\u00fcrfe")
    box.name = "b"
    assert rung(client, NAMES) == b'* LIST (\\HasNoChildren) "/" b ("OLDNAME" (Entw&APw-rfe))\r\n'


def test_a_mailbox_made_anew_under_its_old_name_is_told_once():
    client = with_mail(b"SET (personal (MailboxName MessageNew MessageExpunge))")
    del client.store.boxes["Work"]
    client.store.make("Work").add()
    said = rung(client, NAMES)
    assert said == b'* LIST (\\HasNoChildren) "/" Work\r\n* STATUS Work (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1005)\r\n'


def test_subscriptions_are_told_both_ways():
    client = with_mail(b"SET (personal (SubscriptionChange))")
    client.store.subscribed.add("Work")
    assert rung(client, NAMES) == b'* LIST (\\Subscribed \\HasNoChildren) "/" Work\r\n'
    client.store.subscribed.clear()
    assert rung(client, NAMES) == b'* LIST (\\HasNoChildren) "/" Work\r\n'
    client.store.make("New")
    assert rung(client, NAMES) == b""


def test_subscribed_means_what_is_subscribed_now():
    client = with_mail(b"SET (subscribed (SubscriptionChange MessageNew MessageExpunge))")
    work = client.store.boxes["Work"]
    work.add()
    assert rung(client, "Work") == b""
    client.store.subscribed.add("Work")
    assert rung(client, NAMES) == b'* LIST (\\Subscribed \\HasNoChildren) "/" Work\r\n'
    work.add()
    assert rung(client, "Work").startswith(b"* STATUS Work (MESSAGES 2 ")
    client.store.subscribed.clear()
    assert rung(client, NAMES) == b'* LIST (\\HasNoChildren) "/" Work\r\n'
    work.add()
    assert rung(client, "Work") == b""


def test_only_mailboxes_that_are_meant_are_told():
    client = with_mail(b"SET (subtree Lists (MailboxName)) (mailboxes New (MailboxName))")
    for name in ("Other", "New", "New/x", "Lists/a/b", "Listsx"):
        client.store.make(name)
    names = [line.rpartition(b" ")[2] for line in rung(client, NAMES).split(b"\r\n")[:-1]]
    assert names == [b"Lists/a", b"Lists/a/b", b"New"]


def test_what_the_client_does_itself_is_not_told():
    """RFC 5465 section 5."""
    client = with_mail(b"SET (personal (MailboxName SubscriptionChange))")
    for command in (b"CREATE a", b"RENAME a b", b"SUBSCRIBE b", b"UNSUBSCRIBE b", b"DELETE b"):
        client.answers = False
        client.send(b"a " + command + b"\r\n")
        client.take(client.session.notice(q.AccountChanged(NAMES)))
        client.answers = True
        client.answer_now()
        assert b"* LIST" not in client.read(), command
    client.store.make("c")
    assert b"* LIST" in rung(client, NAMES)


def test_mailboxes_that_may_be_seen_and_not_read_say_so():
    store = Store("Work")
    rows = store.list_mailboxes
    store.list_mailboxes = lambda question: q.Mailboxes(
        [row._replace(rights="l") if row.name == "Work" else row for row in rows(question).rows]
    )
    client = Client(store)
    said = client.do(b"a NOTIFY SET STATUS (mailboxes (Work INBOX) %b)" % ALL)
    assert b'* LIST (\\NoAccess) "/" Work\r\n' in said
    assert b"* STATUS Work" not in said
    store.boxes["Work"].add()
    assert rung(client, EVERYTHING) == b""


def test_mailboxes_of_others_are_watched_one_by_one_and_are_not_personal():
    client = with_mail(names=("Other Users/ann/Lists",))
    foreign = client.store.boxes["Other Users/ann/Lists"]
    client.do(b'a NOTIFY SET (personal %b) (subtree "Other Users/ann" (MailboxName))' % ALL)
    assert asked(client, q.WatchAccount)[-1] == q.WatchAccount(7, frozenset({foreign.mailbox}))
    foreign.add()
    assert rung(client, "Other Users/ann/Lists") == b""
    del client.store.boxes["Other Users/ann/Lists"]
    assert b"\\NonExistent" in rung(client, NAMES)
    assert asked(client, q.WatchAccount)[-1] == q.WatchAccount(7, frozenset())


def test_the_end_of_a_connection_ends_the_listening():
    client = with_mail(b"SET (personal %b)" % ALL)
    client.take(client.session.lost())
    assert asked(client, q.WatchAccount)[-1].account == 0


@pytest.mark.parametrize("cut", range(1, 120, 3))
def test_a_cut_anywhere_changes_nothing(cut):
    stream = (
        b"a NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge)) "
        b"(mailboxes ({4}\r\nWork Lists/a) (MailboxName))\r\nb NOOP\r\n"
    )

    def talk(*pieces):
        client = with_mail()
        for piece in pieces:
            client.send(piece)
        return client.read()

    assert talk(stream[:cut], stream[cut:]) == talk(stream)


def test_unasked_news_do_not_make_a_silent_client_patient():
    client = with_mail(b"SET (selected %b)" % ALL)
    assert client.session.patience == PATIENCE


@pytest.mark.parametrize(
    ("group", "covered"),
    [
        (Group(Scope.PERSONAL, frozenset()), {"INBOX", "a", "a/b", "ab"}),
        (Group(Scope.INBOXES, frozenset()), {"INBOX"}),
        (Group(Scope.SUBSCRIBED, frozenset()), {"a"}),
        (Group(Scope.SUBTREE, frozenset(), frozenset({"a"})), {"a", "a/b"}),
        (Group(Scope.MAILBOXES, frozenset(), frozenset({"a", "x"})), {"a"}),
    ],
)
def test_which_mailboxes_are_meant(group, covered):
    names = ["INBOX", "a", "a/b", "ab", "Other Users/c/d"]
    assert {name for name in names if group.covers(name, subscribed=name == "a")} == covered


# -- On the store -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(make_user, _bodies_of_this_test, monkeypatch):
    """Two sessions of one user, which hear of what the other commits."""
    from mailcore.store import commit

    monkeypatch.setattr(commit, "_listeners", [*commit._listeners, doorbells.ring])
    user = make_user("bob@example.com")
    return RealClient(user), RealClient(user)


@pytest.mark.django_db
def test_entries_that_the_other_writes_and_removes_are_named(pair, make_user):
    # RFC 5465 sections 5.6 and 5.7, RFC 5464 section 4.4.2
    hearing, acting = pair
    acting.do(b"0 CREATE Work")
    acting.do(b"0 SETMETADATA Work (/private/old {1+}\r\nx)")
    hearing.do(b"a NOTIFY SET (mailboxes (Work Archive) (MailboxMetadataChange)) (inboxes (ServerMetadataChange))")
    acting.do(b'a SETMETADATA Work (/shared/comment "x" /private/comment "y" /private/old NIL)')
    assert hearing.read() == b"* METADATA Work /private/comment /private/old /shared/comment\r\n"
    acting.do(b'b SETMETADATA Work (/shared/comment "x" /private/comment NIL)')
    assert hearing.read() == b"* METADATA Work /private/comment /shared/comment\r\n"
    acting.do(b"c SETMETADATA Archive (/private/specialuse NIL)")
    assert hearing.read() == b"* METADATA Archive /private/specialuse\r\n"
    acting.do(b'd SETMETADATA INBOX (/private/comment "z")')
    assert hearing.read() == b""
    acting.do(b'e SETMETADATA "" (/private/comment "z")')
    assert hearing.read() == b'* METADATA "" /private/comment\r\n'
    # What the client does itself, it knows.
    assert hearing.do(b"f SETMETADATA Work (/private/comment NIL)") == b"f OK SETMETADATA completed\r\n"
    assert hearing.do(b'g SETMETADATA Work (/private/comment "a")') == b"g OK SETMETADATA completed\r\n"
    acting.do(b'h SETMETADATA Work (/private/comment "b")')
    assert hearing.read() == b"* METADATA Work /private/comment\r\n"
    # Nobody hears of entries that they cannot see.
    other = RealClient(make_user("eve@example.com", is_superuser=True))
    other.do(b'a SETMETADATA "" (/private/comment "z")')
    assert hearing.read() == b""
    other.do(b'b SETMETADATA "" (/shared/comment "z")')
    assert hearing.read() == b'* METADATA "" /shared/comment\r\n'


@pytest.mark.django_db
def test_entries_of_a_shared_mailbox_are_named_to_those_who_see_it(pair, make_user):
    acting, _ = pair
    ann = RealClient(make_user("ann@example.com"))
    acting.do(b"0 CREATE Work")
    acting.do(b"0 CREATE Secret")
    acting.do(b"0 SETACL Work ann@example.com lr")
    acting.do(b"0 SETACL Secret ann@example.com l")
    ann.do(b'a NOTIFY SET (subtree "Other Users" (MailboxMetadataChange))')
    for box in (b"Work", b"Secret"):
        acting.do(b'a SETMETADATA %b (/shared/comment "x" /private/comment "y")' % box)
    assert ann.read() == b'* METADATA "Other Users/bob@example.com/Work" /shared/comment\r\n'


def test_entries_are_read_only_for_those_who_want_to_hear_of_them():
    client = with_mail(b"SET (personal (MailboxName))")
    assert rung(client, ANNOTATIONS) == b""
    assert not asked(client, q.ReadAnnotations)


def test_entries_that_cannot_be_read_are_read_later():
    client = with_mail(b"SET (personal (MailboxMetadataChange))")
    client.store.annotations = {client.store.inbox.mailbox: {"/shared/comment": 1}}
    client.store.refuse = {q.ReadAnnotations: q.Refused.UNAVAILABLE}
    assert rung(client, ANNOTATIONS) == b""
    client.store.refuse = {}
    assert client.do(b"a NOOP") == b"* METADATA INBOX /shared/comment\r\na OK NOOP completed\r\n"
    client.store.annotations = {}
    assert rung(client, EVERYTHING) == b"* METADATA INBOX /shared/comment\r\n"


@pytest.mark.django_db
def test_who_has_enabled_metadata_hears_which_entries_others_write(pair, make_user):
    # RFC 5464 sections 4.4 and 4.4.2
    hearing, acting = pair
    acting.do(b"0 CREATE Work")
    acting.do(b'0 SETMETADATA Work (/private/comment "x")')
    assert hearing.do(b"a ENABLE METADATA") == b"* ENABLED METADATA\r\na OK ENABLE completed\r\n"
    acting.do(b'a SETMETADATA Work (/private/comment "y" /shared/comment "z")')
    assert hearing.read() == b""  # not between commands
    assert hearing.do(b"b NOOP") == b"* METADATA Work /private/comment /shared/comment\r\nb OK NOOP completed\r\n"
    assert hearing.do(b"c NOOP") == b"c OK NOOP completed\r\n"
    acting.do(b'd SETMETADATA "" (/private/comment "x")')
    assert hearing.do(b"d STATUS Work (MESSAGES)").endswith(
        b'* METADATA "" /private/comment\r\nd OK STATUS completed\r\n'
    )
    assert hearing.do(b"e SETMETADATA Work (/private/comment NIL)") == b"e OK SETMETADATA completed\r\n"
    assert hearing.do(b"f NOOP") == b"f OK NOOP completed\r\n"
    ann = RealClient(make_user("ann@example.com"))
    ann.do(b"a SETACL INBOX bob@example.com lr")
    assert b"* METADATA" not in hearing.do(b"g NOOP")
    assert hearing.do(b"h IDLE") == b"+ idling\r\n"
    ann.do(b'b SETMETADATA INBOX (/shared/comment "x" /private/comment "y")')
    assert hearing.read() == b'* METADATA "Other Users/ann@example.com/INBOX" /shared/comment\r\n'
    hearing.send(b"DONE\r\n")
    hearing.take(hearing.session.lost())
    assert not doorbells._accounts


@pytest.mark.django_db
def test_who_has_enabled_metadata_server_hears_of_the_server_alone(pair):
    hearing, acting = pair
    assert hearing.do(b"a ENABLE METADATA-SERVER").startswith(b"* ENABLED METADATA-SERVER\r\n")
    acting.do(b'a SETMETADATA INBOX (/private/comment "x")')
    acting.do(b'b SETMETADATA "" (/private/comment "x")')
    assert hearing.do(b"b NOOP") == b'* METADATA "" /private/comment\r\nb OK NOOP completed\r\n'
    assert hearing.do(b"c ENABLE METADATA METADATA-SERVER").startswith(b"* ENABLED METADATA\r\n")
    acting.do(b'c SETMETADATA INBOX (/private/comment "y")')
    assert hearing.do(b"d NOOP").startswith(b"* METADATA INBOX /private/comment\r\n")


def test_a_notify_says_anew_which_entries_are_told():
    client = with_mail()
    client.do(b"a ENABLE METADATA")
    client.do(b"b NOTIFY SET (personal (MailboxName))")
    client.store.annotations = {client.store.inbox.mailbox: {"/shared/comment": 1}}
    assert rung(client, ANNOTATIONS) == b""
    assert client.do(b"c NOOP") == b"c OK NOOP completed\r\n"


def test_enabled_entries_that_cannot_be_read_are_read_later():
    client = with_mail()
    client.store.refuse = {q.ReadAnnotations: q.Refused.UNAVAILABLE}
    assert client.do(b"a ENABLE METADATA CONDSTORE").startswith(
        b"* OK [HIGHESTMODSEQ 5] Highest\r\n* ENABLED CONDSTORE\r\n"
    )
    client.store.refuse = {}
    assert client.do(b"b ENABLE METADATA").startswith(b"* ENABLED METADATA\r\n")
    client.store.annotations = {client.store.inbox.mailbox: {"/shared/comment": 1}}
    client.store.refuse = {q.ReadAnnotations: q.Refused.UNAVAILABLE}
    client.do(b"c IDLE")
    assert rung(client, ANNOTATIONS) == b""
    client.store.refuse = {}
    assert rung(client, EVERYTHING) == b"* METADATA INBOX /shared/comment\r\n"


@pytest.mark.django_db
def test_one_session_hears_what_the_other_does(pair):
    hearing, acting = pair
    everything = b"(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)"
    assert hearing.do(b"a NOTIFY SET (personal %b)" % everything).endswith(b"a OK NOTIFY completed\r\n")
    acting.do(b"a CREATE Work/Deep")
    assert hearing.read() == (b'* LIST (\\HasChildren) "/" Work\r\n* LIST (\\HasNoChildren) "/" Work/Deep\r\n')
    acting.append(MESSAGE, box=b"Work/Deep")
    assert hearing.read().startswith(b"* STATUS Work/Deep (MESSAGES 1 UIDNEXT 2 ")
    acting.do(b"b SELECT Work/Deep")
    acting.do(b"c STORE 1 +FLAGS (\\Seen \\Deleted)")
    assert b" UNSEEN 0 HIGHESTMODSEQ 3)" in hearing.read()
    acting.do(b"d EXPUNGE")
    assert hearing.read().startswith(b"* STATUS Work/Deep (MESSAGES 0 UIDNEXT 2 ")
    acting.do(b"e RENAME Work Play")
    assert hearing.read() == b'* LIST (\\HasChildren) "/" Play ("OLDNAME" (Work))\r\n'
    acting.do(b"f SUBSCRIBE Play")
    assert hearing.read() == b'* LIST (\\Subscribed \\HasChildren) "/" Play\r\n'
    acting.do(b"g DELETE Play/Deep")
    assert hearing.read() == (
        b'* LIST (\\Subscribed \\HasNoChildren) "/" Play\r\n* LIST (\\NonExistent \\HasNoChildren) "/" Play/Deep\r\n'
    )
    hearing.take(hearing.session.lost())
    assert not doorbells._accounts


@pytest.mark.django_db
def test_nobody_hears_of_another_user(pair, make_user):
    hearing, _ = pair
    hearing.do(b"a NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))")
    other = RealClient(make_user("eve@example.com"))
    other.do(b"a CREATE Work")
    other.append(MESSAGE)
    assert hearing.read() == b""


@pytest.mark.django_db
def test_the_selected_mailbox_is_told_at_once(pair):
    hearing, acting = pair
    hearing.do(b"a SELECT INBOX")
    hearing.do(b"b NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
    acting.append(MESSAGE)
    assert hearing.read() == b"* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n"
    acting.do(b"a SELECT INBOX")
    acting.do(b"b STORE 1 +FLAGS (\\Deleted)")
    assert hearing.read() == b"* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))\r\n"
    acting.do(b"c EXPUNGE")
    assert hearing.read() == b"* 1 EXPUNGE\r\n* 0 RECENT\r\n"
