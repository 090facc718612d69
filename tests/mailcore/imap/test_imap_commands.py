"""What commands do when they succeed, each by the section of the RFC that asks for it."""

import pytest
from imap_model import MESSAGE, MIXED, Client, Store, asked

from mailcore.imap import questions as q
from mailcore.store.flags import DELETED, FLAGGED, SEEN


def with_mail(*messages, names=("Work",), **options):
    store = Store(*names)
    for message in messages or (MESSAGE, MESSAGE, MIXED):
        store.inbox.add(message)
    return Client(store, select=b"INBOX", **options)


def untagged(said):
    return said.split(b"\r\n")[:-2]


# -- Mailboxes --------------------------------------------------------------------------------------------------------


def test_select_describes_the_mailbox():
    store = Store()
    store.inbox.add(flags=SEEN)
    store.inbox.add(words="$Work")
    said = Client(store).do(b"a SELECT inbox")
    assert said.split(b"\r\n") == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)",
        b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work \\*)] Flags that are kept",
        b"* 2 EXISTS",
        b"* 2 RECENT",
        b"* OK [UIDVALIDITY 1001] UIDs are valid",
        b"* OK [UIDNEXT 3] Next UID",
        b"* OK [HIGHESTMODSEQ 3] Highest",
        b"* OK [MAILBOXID (F1)] Identifier",
        b"* OK [UNSEEN 2] First unseen",
        b"a OK [READ-WRITE] SELECT completed",
        b"",
    ]


def test_examine_lets_nothing_be_kept_and_takes_no_recent_away():
    store = Store()
    store.inbox.add()
    client = Client(store)
    said = client.do(b"a EXAMINE INBOX")
    assert b"[PERMANENTFLAGS ()]" in said
    assert said.endswith(b"a OK [READ-ONLY] EXAMINE completed\r\n")
    assert b"* 1 RECENT" in said
    assert b"* 1 RECENT" in client.do(b"b SELECT INBOX")
    assert b"* 0 RECENT" in client.do(b"c SELECT INBOX")


def test_a_second_select_closes_the_first_mailbox_even_when_it_fails():
    client = with_mail()
    said = client.do(b"a SELECT Nope")
    # RFC 7162 section 3.2.11, RFC 3501 section 6.3.1
    assert said.startswith(b"* OK [CLOSED] ")
    assert client.do(b"b FETCH 1 FLAGS").startswith(b"b BAD ")
    assert len(asked(client, q.CloseMailbox)) == 1


@pytest.mark.parametrize("command", [b"SELECT", b"EXAMINE"])
def test_a_name_that_no_mailbox_can_have_closes_the_mailbox_as_any_other(command):
    client = with_mail()
    assert client.do(b'a %b "&"' % command) == (
        b"* OK [CLOSED] Previous mailbox closed\r\na NO [CANNOT] Mailbox name is not modified UTF-7\r\n"
    )
    assert client.do(b"b CHECK").startswith(b"b BAD ")
    assert client.do(b'c %b "&"' % command).startswith(b"c NO [CANNOT] ")


def test_close_expunges_in_silence_and_unselect_does_not():
    client = with_mail()
    client.do(b"a STORE 1 +FLAGS.SILENT (\\Deleted)")
    client.do(b"b UNSELECT")  # RFC 3691
    assert len(client.store.inbox.messages) == 3
    client.do(b"c SELECT INBOX")
    assert client.do(b"d CLOSE") == b"d OK CLOSE completed\r\n"
    assert len(client.store.inbox.messages) == 2


def test_close_of_an_examined_mailbox_removes_nothing():
    client = with_mail()
    client.do(b"a STORE 1 +FLAGS.SILENT (\\Deleted)")
    client.do(b"b EXAMINE INBOX")
    client.do(b"c CLOSE")
    assert len(client.store.inbox.messages) == 3


def test_names_travel_in_modified_utf7():
    client = Client()
    assert client.do(b"a CREATE &ZeVnLIqe-").startswith(b"a OK")
    assert "日本語" in client.store.boxes
    assert b'"/" &ZeVnLIqe-\r\n' in client.do(b'b LIST "" &ZeVnLIqe-')
    client.do(b'c CREATE "a b"')
    assert b'"/" "a b"\r\n' in client.do(b'd LIST "" a*')


def test_create_passes_over_a_separator_at_the_end():
    client = Client()
    client.do(b"a CREATE box/")  # RFC 3501 section 6.3.3
    assert "box" in client.store.boxes


def test_deleting_the_selected_mailbox_leaves_none_selected():
    client = Client(Store("Work"), select=b"Work")
    assert client.do(b"a DELETE Work").startswith(b"a OK")
    assert client.do(b"b CHECK").startswith(b"b BAD")


def test_status_tells_what_is_asked_for_in_that_order():
    store = Store()
    store.inbox.add(flags=SEEN)
    store.inbox.add()
    said = Client(store).do(b"a STATUS INBOX (SIZE MESSAGES UNSEEN RECENT UIDNEXT UIDVALIDITY HIGHESTMODSEQ)")
    size = 2 * len(MESSAGE)  # RFC 8438
    assert untagged(said) == [
        b"* STATUS INBOX (SIZE %d MESSAGES 2 UNSEEN 1 RECENT 2 UIDNEXT 3 UIDVALIDITY 1001 HIGHESTMODSEQ 3)" % size
    ]


def test_namespace_says_where_own_mailboxes_are_and_where_those_of_others():
    assert untagged(Client().do(b"a NAMESPACE")) == [b'* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL']  # RFC 2342


def test_id_names_the_server_without_a_version():
    assert untagged(Client().do(b'a ID ("name" "x" "os" NIL)')) == [b'* ID ("name" "A3Mailer")']  # RFC 2971


# -- LIST -------------------------------------------------------------------------------------------------------------


def tree():
    store = Store("a", "a/b", "a/b/c", "x/y")
    store.make("Sent", "\\Sent")
    store.subscribed |= {"a/b", "gone/deep"}
    return Client(store)


def test_list_shows_mailboxes_and_what_stands_above_them():
    assert untagged(tree().do(b'1 LIST "" *')) == [
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b'* LIST (\\HasNoChildren \\Sent) "/" Sent',
        b'* LIST (\\HasChildren) "/" a',
        b'* LIST (\\HasChildren) "/" a/b',
        b'* LIST (\\HasNoChildren) "/" a/b/c',
        b'* LIST (\\Noselect \\HasChildren) "/" x',
        b'* LIST (\\HasNoChildren) "/" x/y',
    ]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (b'"" %', [b"INBOX", b"Sent", b"a", b"x"]),
        (b'"" a/%', [b"a/b"]),
        (b'"a/" %', [b"a/b"]),
        (b'"" "%/%"', [b"a/b", b"x/y"]),
        (b'"" inbox', [b"INBOX"]),
        (b'"" (inbox x*)', [b"INBOX", b"x", b"x/y"]),  # RFC 5258 section 3
        (b'(SUBSCRIBED) "" *', [b"a/b", b"gone/deep"]),
        (b'(SPECIAL-USE) "" *', [b"Sent"]),  # RFC 6154 section 5.2
        (b'(SUBSCRIBED RECURSIVEMATCH) "" %', [b"a", b"gone"]),  # RFC 5258 section 3.5
    ],
)
def test_list_chooses(command, names):
    lines = untagged(tree().do(b"1 LIST " + command))
    assert [line.split(b'"/" ')[1].split(b" ")[0] for line in lines] == names


def test_a_subscribed_name_without_a_mailbox_is_marked():
    lines = untagged(tree().do(b'1 LIST (SUBSCRIBED) "" *'))
    assert lines[1] == b'* LIST (\\NonExistent \\Subscribed \\HasNoChildren) "/" gone/deep'


def test_recursive_match_shows_no_parent_of_what_is_shown_itself():
    lines = untagged(tree().do(b'1 LIST (SUBSCRIBED RECURSIVEMATCH) "" (a a/b)'))
    assert lines == [b'* LIST (\\Subscribed \\HasChildren) "/" a/b']


def test_a_pattern_that_is_no_name_matches_none():
    assert untagged(Client().do(b'a LIST "" "&"')) == []


def test_recursive_match_tells_of_every_chosen_name_that_more_is_chosen_below_it():
    # RFC 9051 section 6.3.9.8, example 8
    store = Store("foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2", "eps2/mamba", "qux2/bar2")
    store.subscribed |= set(store.boxes) - {"INBOX"}
    store.make("foo2")
    store.make("baz2")
    client = Client(store)
    assert untagged(client.do(b'd LIST (RECURSIVEMATCH SUBSCRIBED) "" *2')) == [
        b'* LIST (\\Subscribed \\HasNoChildren) "/" baz2/bar2',
        b'* LIST (\\Subscribed \\HasNoChildren) "/" baz2/bar22',
        b'* LIST (\\Subscribed \\HasNoChildren) "/" baz2/bar222',
        b'* LIST (\\Subscribed \\HasChildren) "/" eps2 ("CHILDINFO" ("SUBSCRIBED"))',
        b'* LIST (\\HasChildren) "/" foo2 ("CHILDINFO" ("SUBSCRIBED"))',
        b'* LIST (\\Subscribed \\HasNoChildren) "/" foo2/bar2',
        b'* LIST (\\Subscribed \\HasNoChildren) "/" qux2/bar2',
    ]
    lines = untagged(client.do(b'e LIST (RECURSIVEMATCH SUBSCRIBED) "" *'))
    assert b'* LIST (\\Subscribed \\HasChildren) "/" eps2 ("CHILDINFO" ("SUBSCRIBED"))' in lines
    assert len(lines) == 8


def test_recursive_match_says_why_a_name_is_shown():
    lines = untagged(tree().do(b'1 LIST (SUBSCRIBED RECURSIVEMATCH) "" %'))
    assert lines[0] == b'* LIST (\\HasChildren) "/" a ("CHILDINFO" ("SUBSCRIBED"))'


def test_nothing_is_returned_of_a_name_that_is_shown_for_the_sake_of_others():
    # RFC 9051 section 6.3.9.8, example 11
    client = tree()
    lines = untagged(client.do(b'1 LIST (SUBSCRIBED RECURSIVEMATCH) "" a RETURN (STATUS (MESSAGES) MYRIGHTS)'))
    assert lines == [b'* LIST (\\HasChildren) "/" a ("CHILDINFO" ("SUBSCRIBED"))']
    client.store.subscribed.add("a")
    lines = untagged(client.do(b'1 LIST (SUBSCRIBED RECURSIVEMATCH) "" a RETURN (STATUS (MESSAGES) MYRIGHTS)'))
    assert [line.split()[1] for line in lines] == [b"LIST", b"STATUS", b"MYRIGHTS"]


def test_an_option_that_is_given_twice_counts_once():
    lines = untagged(tree().do(b'1 LIST "" x/y RETURN (STATUS (MESSAGES UNSEEN) CHILDREN CHILDREN STATUS (UNSEEN))'))
    assert lines == [b'* LIST (\\HasNoChildren) "/" x/y', b"* STATUS x/y (MESSAGES 0 UNSEEN 0)"]


def test_list_status_answers_for_what_can_be_selected():
    lines = untagged(tree().do(b'1 LIST "" x* RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES))'))
    assert lines[1:] == [b'* LIST (\\HasNoChildren) "/" x/y', b"* STATUS x/y (MESSAGES 0)"]  # RFC 5819


def test_an_empty_pattern_asks_for_the_separator():
    assert untagged(Client().do(b'a LIST "" ""')) == [b'* LIST (\\Noselect) "/" ""']


@pytest.mark.parametrize("command", [b'() "" ""', b'"" "" RETURN (CHILDREN)', b'INBOX "" RETURN ()', b'INBOX ("")'])
def test_an_empty_pattern_is_passed_over_in_the_extended_syntax(command):
    # RFC 9051 section 6.3.9
    assert Client().do(b"a LIST " + command) == b"a OK LIST completed\r\n"
    assert untagged(Client().do(b'b LIST () "" ("" INBOX)')) == [b'* LIST (\\HasNoChildren) "/" INBOX']


def test_lsub_shows_what_percent_cannot_reach():
    client = tree()
    assert untagged(client.do(b'1 LSUB "" *')) == [b'* LSUB () "/" a/b', b'* LSUB () "/" gone/deep']
    # RFC 3501 section 6.3.9
    assert untagged(client.do(b'2 LSUB "" %')) == [b'* LSUB (\\Noselect) "/" a', b'* LSUB (\\Noselect) "/" gone']


def test_unsubscribing_what_is_gone_works():
    client = tree()
    assert client.do(b"1 UNSUBSCRIBE gone/deep").startswith(b"1 OK")
    assert client.do(b"2 SUBSCRIBE a").startswith(b"2 OK")
    assert client.store.subscribed == {"a", "a/b"}


# -- FETCH ------------------------------------------------------------------------------------------------------------


def test_flags_and_uids_come_from_memory():
    client = with_mail()
    assert untagged(client.do(b"a FETCH 1:2 (UID FLAGS)")) == [
        b"* 1 FETCH (UID 1 FLAGS (\\Recent))",
        b"* 2 FETCH (UID 2 FLAGS (\\Recent))",
    ]
    assert asked(client, q.FetchMessages) == []


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (b"RFC822.SIZE", b"RFC822.SIZE %d" % len(MESSAGE)),
        (b"INTERNALDATE", b'INTERNALDATE "01-Jan-1970 00:00:00 +0000"'),
        (b"FAST", b'FLAGS (\\Recent) INTERNALDATE "01-Jan-1970 00:00:00 +0000" RFC822.SIZE %d' % len(MESSAGE)),
        (b"BODY.PEEK[TEXT]", b"BODY[TEXT] {10}\r\nAt noon?\r\n"),
        (b"BODY.PEEK[1]", b"BODY[1] {10}\r\nAt noon?\r\n"),
        (b"BODY.PEEK[2]", b"BODY[2] NIL"),
        (b"BODY.PEEK[1.MIME]", b"BODY[1.MIME] {%d}\r\n" % (len(MESSAGE) - 10) + MESSAGE[:-10]),
        (b"BODY.PEEK[]<6.3>", b"BODY[]<6> {3}\r\nAnn"),
        (b"BODY.PEEK[]<9999.3>", b"BODY[]<9999> {0}\r\n"),
        (b"body.peek[header.fields (X subject)]", b"BODY[HEADER.FIELDS (X SUBJECT)] {18}\r\nSubject: lunch\r\n\r\n"),
        (b"BODY.PEEK[HEADER.FIELDS (subject)]", b"BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: lunch\r\n\r\n"),
        (
            b"BODY.PEEK[HEADER.FIELDS.NOT (from to date message-id)]",
            b"BODY[HEADER.FIELDS.NOT (FROM TO DATE MESSAGE-ID)] {18}\r\nSubject: lunch\r\n\r\n",
        ),
        (b"RFC822.HEADER", b"RFC822.HEADER {%d}\r\n" % (len(MESSAGE) - 10) + MESSAGE[:-10]),
        (b"(BODY.PEEK[1] UID)", b"UID 1 BODY[1] {10}\r\nAt noon?\r\n"),
    ],
)  # fmt: skip
def test_an_item_is_answered_as_the_rfc_writes_it(item, answer):
    client = with_mail()
    assert client.do(b"a FETCH 1 " + item) == b"* 1 FETCH (" + answer + b")\r\na OK FETCH completed\r\n"


def test_parts_of_parts_are_found():
    client = with_mail()
    said = client.do(b"a UID FETCH 3 (BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[1])")
    assert said.startswith(b"* 3 FETCH (UID 3 BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[2.TEXT] {3}\r\ntwo")
    assert b" BODY[1] {3}\r\none)\r\n" in said


def test_common_headers_are_answered_without_opening_a_body():
    client = with_mail()
    client.do(b"a FETCH 1:3 (UID BODY.PEEK[HEADER.FIELDS (From To Subject Date)])")
    (question,) = asked(client, q.FetchMessages)
    assert question.headers
    assert question.sections == ()


def test_reading_a_body_sets_seen_once_and_says_so():
    client = with_mail()
    said = client.do(b"a FETCH 1:2 BODY[1]")
    assert said.count(b" FLAGS (\\Seen \\Recent))\r\n") == 2
    assert len(asked(client, q.StoreFlags)) == 1
    assert b"FLAGS" not in client.do(b"b FETCH 1:2 BODY[1]")
    assert len(asked(client, q.StoreFlags)) == 1


@pytest.mark.parametrize("item", [b"BODY.PEEK[]", b"RFC822.HEADER", b"ENVELOPE", b"BODY"])
def test_looking_without_reading_sets_nothing(item):
    client = with_mail()
    client.do(b"a FETCH 1 " + item)
    assert asked(client, q.StoreFlags) == []


@pytest.mark.parametrize("item", [b"BODY[]", b"RFC822", b"RFC822.TEXT", b"BODY[HEADER.FIELDS (To)]"])
def test_reading_sets_seen_but_not_in_an_examined_mailbox(item):
    client = with_mail()
    client.do(b"a EXAMINE INBOX")
    client.do(b"b FETCH 1 " + item)
    assert not client.store.inbox.messages[1][0] & SEEN
    client.do(b"c SELECT INBOX")
    client.do(b"d FETCH 1 " + item)
    assert client.store.inbox.messages[1][0] & SEEN


def test_a_mailbox_that_cannot_be_written_can_still_be_read():
    client = with_mail()
    client.store.refuse[q.StoreFlags] = q.Refused.UNAVAILABLE
    assert b"At noon?" in client.do(b"a FETCH 1 BODY[]")


def test_a_large_body_comes_in_pieces():
    body = MESSAGE + b"x" * 600_000
    client = with_mail(body)
    said = client.do(b"a FETCH 1 BODY.PEEK[]")
    assert said == b"* 1 FETCH (BODY[] {%d}\r\n" % len(body) + body + b")\r\na OK FETCH completed\r\n"
    assert [question.length for question in asked(client, q.ReadBody)] == [262144, 262144, len(body) - 524288]
    assert client.do(b"b FETCH 1 BODY.PEEK[]<300000.10>") == (
        b"* 1 FETCH (BODY[]<300000> {10}\r\nxxxxxxxxxx)\r\nb OK FETCH completed\r\n"
    )


def test_a_large_body_that_vanishes_half_way_ends_the_connection_without_a_word():
    client = with_mail(MESSAGE + b"x" * 600_000)
    client.store.refuse[q.ReadBody] = q.Refused.EXPUNGED
    said = client.do(b"a FETCH 1 BODY.PEEK[]")
    assert said.endswith(b"}\r\n")
    assert client.closed


def test_a_long_answer_is_asked_for_in_slices():
    client = with_mail(*[MESSAGE] * 1100)
    client.store.answer_limit = 400
    said = client.do(b"a FETCH 1:* (UID RFC822.SIZE)")
    assert [line.split()[1] for line in untagged(said)] == [b"%d" % number for number in range(1, 1101)]
    assert [len(question.uids) for question in asked(client, q.FetchMessages)] == [1000, 600, 200, 100]


def test_messages_that_another_has_removed_are_missing_and_said_to_be():
    client = with_mail()
    client.store.inbox.remove([2])
    said = client.do(b"a FETCH 1:3 RFC822.SIZE")
    assert [line.split()[1] for line in untagged(said)] == [b"1", b"3"]
    assert b"a NO [EXPUNGEISSUED] " in said
    assert client.do(b"b UID FETCH 1:3 (RFC822.SIZE)").splitlines()[-1].startswith(b"b OK")


# -- STORE, EXPUNGE, COPY, MOVE ---------------------------------------------------------------------------------------


def test_store_says_the_new_flags_once():
    client = with_mail()
    assert untagged(client.do(b"a STORE 1:2 +FLAGS (\\Seen Work)")) == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft Work)",
        b"* 1 FETCH (FLAGS (\\Seen Work \\Recent))",
        b"* 2 FETCH (FLAGS (\\Seen Work \\Recent))",
    ]
    assert untagged(client.do(b"b UID STORE 2 -FLAGS work")) == [b"* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))"]
    assert untagged(client.do(b"c STORE 2 FLAGS ()")) == [b"* 2 FETCH (FLAGS (\\Recent))"]
    assert untagged(client.do(b"d NOOP")) == []


def test_silent_store_is_silent_unless_somebody_else_was_there():
    client = with_mail()
    assert untagged(client.do(b"a STORE 1 +FLAGS.SILENT (\\Seen)")) == []
    client.store.inbox.flag([1], q.StoreMode.ADD, FLAGGED)
    # RFC 3501 section 6.4.6: a change from elsewhere is told all the same.
    assert untagged(client.do(b"b STORE 1 +FLAGS.SILENT (\\Draft)")) == [
        b"* 1 FETCH (FLAGS (\\Flagged \\Seen \\Draft \\Recent))"
    ]
    assert untagged(client.do(b"c NOOP")) == []


def test_a_store_on_what_another_has_removed_does_the_rest():
    client = with_mail()
    client.store.inbox.remove([2])
    said = client.do(b"a STORE 1:3 +FLAGS.SILENT (\\Seen)")
    assert said == b"a OK [EXPUNGEISSUED] STORE completed\r\n"
    assert [message[0] for message in client.store.inbox.messages.values()] == [SEEN, SEEN]


def test_expunge_numbers_count_down_as_messages_go():
    client = with_mail(*[MESSAGE] * 5)
    client.do(b"a STORE 2,3,5 +FLAGS.SILENT (\\Deleted)")
    assert untagged(client.do(b"b EXPUNGE")) == [b"* 2 EXPUNGE", b"* 2 EXPUNGE", b"* 3 EXPUNGE", b"* 2 RECENT"]
    assert untagged(client.do(b"c FETCH 1:* UID")) == [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 4)"]


def test_uid_expunge_removes_only_what_is_named_and_deleted():
    client = with_mail(*[MESSAGE] * 4)
    client.do(b"a STORE 1:3 +FLAGS.SILENT (\\Deleted)")
    # RFC 4315 section 2.1
    assert untagged(client.do(b"b UID EXPUNGE 2:99")) == [b"* 2 EXPUNGE", b"* 2 EXPUNGE", b"* 2 RECENT"]
    assert sorted(client.store.inbox.messages) == [1, 4]


def test_copy_tells_the_uids():
    client = with_mail()
    client.store.boxes["Work"].uidnext = 10
    assert client.do(b"a COPY 1,3 Work") == b"a OK [COPYUID 1002 1,3 10:11] COPY completed\r\n"  # RFC 4315 section 3
    assert client.do(b"b UID COPY 77 Work") == b"b OK UID COPY completed\r\n"


def test_move_tells_the_uids_before_the_messages_go():
    client = with_mail()
    # RFC 6851 section 4.3
    assert untagged(client.do(b"a MOVE 1:2 Work")) == [
        b"* OK [COPYUID 1002 1:2 1:2] Moved",
        b"* 1 EXPUNGE",
        b"* 1 EXPUNGE",
        b"* 1 RECENT",
    ]
    assert client.do(b"b UID MOVE 3 Work").splitlines()[-1] == b"b OK UID MOVE completed"
    assert client.store.inbox.messages == {}


# -- APPEND -----------------------------------------------------------------------------------------------------------


def test_append_keeps_octets_flags_and_date():
    client = Client()
    assert client.do(b'a APPEND INBOX (\\Seen $x) "01-Jan-1970 01:00:00 +0000" {%d}' % len(MESSAGE)) == b"+ OK\r\n"
    assert client.do(MESSAGE) == b"a OK [APPENDUID 1001 1] APPEND completed\r\n"  # RFC 4315 section 3
    assert client.store.inbox.messages[1] == [SEEN, "$x", 2, 3600, MESSAGE]


def test_several_messages_are_appended_at_once_or_none():
    client = Client()
    said = client.send(b"a APPEND INBOX {3+}\r\nabc (\\Draft) {2+}\r\nde {1+}\r\nf\r\n").read()
    assert said == b"a OK [APPENDUID 1001 1:3] APPEND completed\r\n"  # RFC 3502
    said = client.send(b"b APPEND INBOX {3+}\r\nabc {2+}\r\nd\0 {1+}\r\nf\r\n").read()
    assert said.startswith(b"b BAD ")
    assert len(client.store.inbox.messages) == 3
    assert all(body.abandoned for body in client.bodies)


def test_a_message_into_the_selected_mailbox_is_seen_at_once():
    client = with_mail()
    client.send(b"a APPEND INBOX {3+}\r\nabc\r\n")
    assert untagged(client.read()) == [b"* 4 EXISTS", b"* 4 RECENT"]  # RFC 3501 section 6.3.11


def test_a_refused_body_is_passed_over_and_said():
    client = Client()
    client.store.refuse[q.CheckAppend] = q.Refused.OVER_QUOTA
    assert client.do(b"a APPEND INBOX {3}") == b"a NO [OVERQUOTA] Quota exceeded\r\n"
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


# -- SEARCH -----------------------------------------------------------------------------------------------------------


def mixed_mail():
    store = Store()
    store.inbox.add(MESSAGE, SEEN)
    store.inbox.add(MESSAGE.replace(b"lunch", b"dinner"), FLAGGED, "Work", date=86400)
    store.inbox.add(MIXED, SEEN | DELETED, date=2 * 86400)
    store.inbox.add(MIXED, 0, "work $x", date=3 * 86400)
    return Client(store, select=b"INBOX")


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (b"ALL", [1, 2, 3, 4]),
        (b"SEEN", [1, 3]),
        (b"UNSEEN", [2, 4]),
        (b"SEEN DELETED", [3]),
        (b"OR SEEN FLAGGED", [1, 2, 3]),
        (b"NOT (SEEN DELETED)", [1, 2, 4]),
        (b"KEYWORD WORK", [2, 4]),
        (b"UNKEYWORD work", [1, 3]),
        (b"2:*", [2, 3, 4]),
        (b"UID 3:4", [3, 4]),
        (b"3:9,77", [3, 4]),  # numbers beyond the last are no error in a search
        (b"NOT 2:3", [1, 4]),
        (b"NEW", [2, 4]),
        (b"OLD", []),
        (b"RECENT", [1, 2, 3, 4]),
        (b"SUBJECT lunch", [1]),
        (b"FROM ann SEEN", [1, 3]),
        (b"OR SUBJECT dinner DELETED", [2, 3]),
        (b"NOT SUBJECT two", [1, 2]),
        (b"OR NOT SUBJECT two 4", [1, 2, 4]),
        (b"NOT OR SUBJECT two SEEN", [2]),
        (b"HEADER message-id \"\"", [1, 2]),
        (b"TEXT noon BODY noon", [1, 2]),
        (b"LARGER 190", [3, 4]),
        (b"SMALLER 190", [1, 2]),
        (b"SINCE 2-Jan-1970 BEFORE 4-Jan-1970", [2, 3]),
        (b"ON 4-Jan-1970", [4]),
        (b"CHARSET UTF-8 SUBJECT {5+}\r\nlunch", [1]),
        (b"MODSEQ 1", [1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_search_finds(keys, found):
    client = mixed_mail()
    client.do(b"b ENABLE CONDSTORE")
    (line,) = untagged(client.do(b"a SEARCH " + keys))
    assert [int(number) for number in line.partition(b" (")[0].split()[2:]] == found


@pytest.mark.parametrize(
    "keys", [b"SEEN", b"OR 1 UID 3", b"NOT KEYWORD x NEW", b"ALL", b"MODSEQ 2", b"SEEN UNSEEN SUBJECT x"]
)
def test_what_memory_can_say_is_not_asked(keys):
    client = mixed_mail()
    client.do(b"a SEARCH " + keys)
    assert asked(client, q.SearchMessages) == []


def test_the_store_is_asked_about_as_few_messages_as_possible():
    client = mixed_mail()
    client.do(b"a SEARCH SUBJECT x SEEN")
    (question,) = asked(client, q.SearchMessages)
    assert list(question.uids) == [1, 3]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN", b'* ESEARCH (TAG "a") MIN 2 MAX 4 ALL 2,4 COUNT 2'),
        (b"UID SEARCH RETURN () 1:3", b'* ESEARCH (TAG "a") UID ALL 1:3'),  # RFC 4731 section 3.1
        (b"SEARCH RETURN (MIN COUNT) DRAFT", b'* ESEARCH (TAG "a") COUNT 0'),
        (b"SEARCH RETURN (ALL) DRAFT", b'* ESEARCH (TAG "a")'),
        (b"SEARCH RETURN (MIN) MODSEQ 3", b'* ESEARCH (TAG "a") MIN 2 MODSEQ 3'),  # RFC 4731 section 3.2
        (b"SEARCH RETURN (MAX COUNT) MODSEQ 3", b'* ESEARCH (TAG "a") MAX 4 COUNT 3 MODSEQ 5'),
        (b"SEARCH MODSEQ 4", b"* SEARCH 3 4 (MODSEQ 5)"),  # RFC 7162 section 3.1.5
        (b'SEARCH MODSEQ "/flags/\\\\draft" all 4', b"* SEARCH 3 4 (MODSEQ 5)"),
        (b"SEARCH MODSEQ 400", b"* SEARCH"),
    ],
)
def test_results_take_the_form_that_is_asked_for(command, answer):
    client = mixed_mail()
    client.do(b"b ENABLE CONDSTORE")
    assert untagged(client.do(b"a " + command)) == [answer]


# -- CONDSTORE (RFC 7162) ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"a ENABLE CONDSTORE",
        b"a SELECT INBOX (CONDSTORE)",
        b"a STATUS INBOX (HIGHESTMODSEQ)",
        b"a FETCH 1 (MODSEQ)",
        b"a FETCH 1 FLAGS (CHANGEDSINCE 1)",
        b"a STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Draft)",
        b"a SEARCH MODSEQ 1",
    ],
)
def test_whoever_shows_that_they_know_modseq_is_told_it(line):
    # RFC 7162 section 3.1
    client = with_mail()
    assert b"* OK [HIGHESTMODSEQ 4] " in client.do(line)
    client.store.inbox.flag([1], q.StoreMode.ADD, FLAGGED)
    assert client.do(b"b NOOP").startswith(b"* 1 FETCH (UID 1 FLAGS (\\Flagged")
    assert b"MODSEQ (" in client.do(b"c STORE 1 +FLAGS.SILENT (\\Seen)")


def test_enable_says_what_it_enabled():
    client = Client()
    assert untagged(client.do(b"a ENABLE X-FROB CONDSTORE")) == [b"* ENABLED CONDSTORE"]
    assert untagged(client.do(b"b ENABLE X-FROB")) == [b"* ENABLED"]  # RFC 5161 section 3.1


def test_changed_since_tells_only_what_has_changed():
    client = with_mail()
    client.store.inbox.flag([2], q.StoreMode.ADD, FLAGGED)
    client.do(b"a NOOP")
    client.do(b"a ENABLE CONDSTORE")
    assert untagged(client.do(b"b FETCH 1:* FLAGS (CHANGEDSINCE 4)")) == [
        b"* 2 FETCH (FLAGS (\\Flagged \\Recent) MODSEQ (5))"
    ]
    assert untagged(client.do(b"c UID FETCH 1:* FLAGS (CHANGEDSINCE 5)")) == []


def test_a_message_that_has_changed_since_is_left_alone():
    client = with_mail()
    client.store.inbox.flag([2], q.StoreMode.ADD, FLAGGED)
    said = client.do(b"a STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Seen)")
    assert b"\r\na OK [MODIFIED 2] " in said  # RFC 7162 section 3.1.3
    assert b"* 1 FETCH (UID 1 MODSEQ (6))" in said
    assert [message[0] for message in client.store.inbox.messages.values()] == [SEEN, FLAGGED, SEEN]
    assert b"[MODIFIED 2] " in client.do(b"b UID STORE 2 (UNCHANGEDSINCE 0) FLAGS ()")


# -- IDLE (RFC 2177) --------------------------------------------------------------------------------------------------


def test_an_idling_client_hears_at_once():
    client = with_mail()
    assert client.do(b"a IDLE") == b"+ idling\r\n"
    client.store.inbox.add()
    assert client.ring() == b"* 4 EXISTS\r\n* 4 RECENT\r\n"
    client.store.inbox.remove([1])
    assert client.ring() == b"* 1 EXPUNGE\r\n* 3 RECENT\r\n"
    client.store.inbox.flag([2], q.StoreMode.ADD, SEEN)
    assert client.ring() == b"* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n"
    assert client.do(b"done") == b"a OK IDLE completed\r\n"


def test_only_done_ends_idle_well():
    client = with_mail()
    client.do(b"a IDLE")
    assert client.do(b"b NOOP").startswith(b"a BAD ")
    assert client.do(b"c NOOP").startswith(b"c OK ")


def test_news_before_idle_is_told_when_it_begins():
    client = with_mail()
    client.store.inbox.add()
    assert client.ring() == b""  # nothing is said between commands
    assert client.do(b"a IDLE") == b"+ idling\r\n* 4 EXISTS\r\n* 4 RECENT\r\n"


def test_a_ring_while_the_news_is_being_read_is_not_lost():
    client = with_mail()
    client.do(b"a IDLE")
    client.store.inbox.add()
    client.answers = False
    client.ring()
    assert isinstance(client.pending, q.ReadChanges)
    client.ring()
    answer = client.store.answer(client.pending)
    client.store.inbox.add()
    client.answers = True
    client.take(client.session.answer(answer))
    assert client.read() == b"* 4 EXISTS\r\n* 4 RECENT\r\n* 5 EXISTS\r\n* 5 RECENT\r\n"


def test_news_that_cannot_be_read_is_told_at_the_next_ring():
    client = with_mail()
    client.do(b"a IDLE")
    client.store.inbox.add()
    client.store.refuse[q.ReadChanges] = q.Refused.UNAVAILABLE
    assert client.ring() == b""
    client.store.refuse.clear()
    assert client.ring() == b"* 4 EXISTS\r\n* 4 RECENT\r\n"


def test_rings_for_other_mailboxes_are_not_for_this_session():
    client = with_mail()
    client.do(b"a IDLE")
    client.store.inbox.add()
    assert client.ring(client.store.boxes["Work"]) == b""


def test_idle_without_a_mailbox_waits_for_done():
    client = Client()
    assert client.do(b"a IDLE") == b"+ idling\r\n"
    assert client.do(b"DONE") == b"a OK IDLE completed\r\n"


# -- Who may hear of what, and when -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"FETCH 1 FLAGS", b"STORE 1 +FLAGS (\\Seen)", b"SEARCH ALL"])
def test_expunge_is_not_told_where_it_would_shift_the_numbers(line):
    # RFC 3501 section 7.4.1
    client = with_mail()
    client.store.inbox.remove([2])
    client.ring()
    assert b"EXPUNGE\r\n" not in client.do(b"a " + line)
    assert b"* 2 EXPUNGE" in client.do(b"b UID " + line)


def test_a_message_known_to_be_gone_is_neither_found_nor_fetched():
    client = with_mail()
    client.store.inbox.remove([2])
    client.ring()
    client.do(b"a FETCH 1 FLAGS")
    assert untagged(client.do(b"b SEARCH ALL")) == [b"* SEARCH 1 3"]
    said = client.do(b"c FETCH 1:3 UID")
    assert untagged(said) == [b"* 1 FETCH (UID 1)", b"* 3 FETCH (UID 3)"]
    assert b"c NO [EXPUNGEISSUED]" in said
    assert untagged(client.do(b"d NOOP")) == [b"* 2 EXPUNGE", b"* 2 RECENT"]


def test_sessions_that_have_told_everything_share_one_list():
    client = with_mail()
    client.store.inbox.add()
    client.store.inbox.remove([1])
    client.do(b"a NOOP")
    selected = client.session._talk.selected
    assert selected.uids is selected.snapshot.uids


def test_recent_belongs_to_the_first_session_that_hears_of_a_message():
    store = Store()
    store.inbox.add()
    first, second = Client(store, select=b"INBOX"), Client(store, select=b"INBOX")
    assert b"\\Recent" in first.do(b"a FETCH 1 FLAGS")
    assert b"\\Recent" not in second.do(b"a FETCH 1 FLAGS")
    store.inbox.add()
    assert second.do(b"b NOOP").startswith(b"* 2 EXISTS\r\n* 1 RECENT")
    assert first.do(b"b NOOP").startswith(b"* 2 EXISTS\r\n* 1 RECENT")
    assert b"\\Recent" in second.do(b"c FETCH 2 FLAGS")
    assert b"\\Recent" not in first.do(b"c FETCH 2 FLAGS")


def test_the_number_of_recent_messages_is_told_when_one_of_them_goes():
    store = Store()
    store.inbox.add()
    first, second = Client(store, select=b"INBOX"), Client(store, select=b"INBOX")
    store.inbox.remove([1])
    assert first.do(b"a NOOP").startswith(b"* 1 EXPUNGE\r\n* 0 RECENT\r\n")
    assert b"RECENT" not in second.do(b"a NOOP")
