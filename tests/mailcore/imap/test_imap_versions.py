"""IMAP4rev2 beside IMAP4rev1 (RFC 9051 appendix E, item by item), UTF8=ACCEPT (RFC 6855), ENABLE (RFC 5161)."""

import pytest
from imap_model import MESSAGE, Client, Store

from mailcore.imap import capabilities as able
from mailcore.imap import questions as q
from mailcore.store.flags import SEEN

CAFE = "Café".encode()


def with_mail(*enabled, count=3, select=b"INBOX", names=("Work", "Café")):
    store = Store(*names)
    for _ in range(count):
        store.inbox.add()
    client = Client(store)
    if enabled:
        client.do(b"0 ENABLE " + b" ".join(enabled))
    if select:
        client.do(b"0 SELECT " + select)
    return client


def rev2(**options):
    return with_mail(b"IMAP4rev2", **options)


# -- ENABLE -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "enabled"),
    [
        (b"CONDSTORE", b" CONDSTORE"),
        (b"imap4REV2", b" IMAP4rev2"),
        (b"utf8=accept", b" UTF8=ACCEPT"),
        (b"UTF8=ACCEPT X-GOOD-IDEA IMAP4rev2 CONDSTORE", b" UTF8=ACCEPT IMAP4rev2 CONDSTORE"),
        (b"IMAP4rev2 IMAP4rev2", b" IMAP4rev2"),
        (b"X-GOOD-IDEA", b""),
        (b"IDLE", b""),  # needs none
        (b"IMAP4rev1", b""),
        (b"UTF8=ONLY", b""),
    ],
)
def test_enable_tells_what_it_has_switched_on(line, enabled):
    client = Client()
    assert client.do(b"a ENABLE " + line) == b"* ENABLED" + enabled + b"\r\na OK ENABLE completed\r\n"


def test_enable_adds_and_tells_each_thing_once():
    client = Client()
    client.do(b"a ENABLE IMAP4rev2")
    assert client.do(b"b ENABLE IMAP4rev2 CONDSTORE").startswith(b"* ENABLED CONDSTORE\r\n")
    assert client.session._talk.rev2


def test_an_enable_with_a_fault_switches_nothing_on():
    client = Client()
    assert client.do(b"a ENABLE IMAP4rev2 (x)").startswith(b"a BAD ")
    assert not client.session._talk.rev2


def test_enable_changes_no_capability():
    client = Client()
    before = client.do(b"a CAPABILITY")
    client.do(b"b ENABLE IMAP4rev2 UTF8=ACCEPT CONDSTORE")
    assert client.do(b"a CAPABILITY") == before


def test_both_revisions_are_announced_before_and_after_login():
    for client in (Client(log_in=False), Client()):
        announced = client.do(b"a CAPABILITY").split()
        assert announced[2:4] == [b"IMAP4rev1", b"IMAP4rev2"]
        # RFC 7888 section 5.
        assert b"LITERAL+" in announced
        assert b"LITERAL-" not in announced


def test_what_imap4rev2_has_in_itself_is_announced_for_imap4rev1_too():
    # RFC 9051 appendix E, item 2.
    folded = {
        b"NAMESPACE", b"UNSELECT", b"UIDPLUS", b"ESEARCH", b"ENABLE", b"IDLE", b"SASL-IR", b"LIST-EXTENDED",
        b"LIST-STATUS", b"MOVE", b"LITERAL+", b"SPECIAL-USE", b"STATUS=SIZE",
    }  # fmt: skip
    assert folded <= set(able.AFTER_LOGIN)


# -- IMAP4rev2, item by item ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [b"BODY[TEXT]", b"BINARY[1]"])
@pytest.mark.parametrize(
    ("first", "most", "content"), [(0, 2**63 - 1, b"At noon?\r\n"), (3, 2**32, b"noon?\r\n"), (2**32, 5, b"")]
)
def test_1_places_and_lengths_have_64_bits(item, first, most, content):
    said = rev2().do(b"a FETCH 1 %b<%d.%d>" % (item, first, most))
    assert said.startswith(b"* 1 FETCH (%b<%d> {%d}\r\n%b" % (item, first, len(content), content))
    for beyond in (b"<%d.1>" % 2**63, b"<0.%d>" % 2**63):
        assert rev2().do(b"a FETCH 1 " + item + beyond).startswith(b"a BAD ")


def test_4_search_is_always_answered_with_esearch():
    client = rev2()
    assert client.do(b"a SEARCH ALL").startswith(b'* ESEARCH (TAG "a") ALL 1:3\r\n')
    assert client.do(b"b UID SEARCH 2").startswith(b'* ESEARCH (TAG "b") UID ALL 2\r\n')
    assert client.do(b"c SEARCH DELETED").startswith(b'* ESEARCH (TAG "c")\r\n')
    assert client.do(b"d SEARCH RETURN (COUNT) ALL").startswith(b'* ESEARCH (TAG "d") COUNT 3\r\n')
    assert with_mail().do(b"a SEARCH ALL").startswith(b"* SEARCH 1 2 3\r\n")


def test_7_copyuid_is_told_by_move_too():
    assert b"* OK [COPYUID 1002 1 1] " in rev2().do(b"a MOVE 1 Work")
    assert b"* OK [COPYUID 1002 2 1] " in rev2().do(b"a UID MOVE 2 Work")


@pytest.mark.parametrize("line", [b"COPY 1 New", b"MOVE 1 New", b"UID COPY 1 New", b"UID MOVE 1 New"])
def test_8_nothing_is_created_by_copying(line):
    client = rev2()
    assert client.do(b"a " + line).startswith(b"a NO [TRYCREATE] ")
    assert "New" not in client.store.boxes


@pytest.mark.parametrize("line", [b"SELECT Work", b"EXAMINE Work", b"SELECT Nope"])
def test_9_another_select_closes_the_mailbox_first(line):
    assert rev2().do(b"a " + line).startswith(b"* OK [CLOSED] ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"INBOX", b'* LIST () "/" INBOX\r\n'),
        (b"inbox", b'* LIST () "/" INBOX ("OLDNAME" (inbox))\r\n'),  # section 8
        (b"Work", b'* LIST () "/" Work\r\n'),
        (b'"' + CAFE + b'"', b'* LIST () "/" "' + CAFE + b'"\r\n'),
    ],
)
@pytest.mark.parametrize("command", [b"SELECT", b"EXAMINE"])
def test_10_select_answers_with_list(command, name, shown):
    said = rev2(select=None).do(b"a " + command + b" " + name)
    assert shown in said
    assert b" OK [READ-" in said.splitlines()[-1]


def test_11_and_12_select_tells_neither_recent_nor_the_first_unseen():
    modern, old = rev2(select=None).do(b"a SELECT INBOX"), with_mail(select=None).do(b"a SELECT INBOX")
    for word in (b" RECENT\r\n", b"[UNSEEN "):
        assert word in old
        assert word not in modern
    assert b"* LIST" not in old
    for word in (b"* FLAGS ", b"[PERMANENTFLAGS ", b"* 3 EXISTS", b"[UIDVALIDITY ", b"[UIDNEXT "):
        assert word in old
        assert word in modern


def test_12_nothing_is_recent():
    client = rev2(count=2)
    client.store.inbox.add()
    news = client.do(b"a NOOP")
    assert b"* 3 EXISTS\r\n" in news
    assert b"RECENT" not in news
    assert b"Recent" not in client.do(b"b FETCH 1:* FLAGS")
    assert b"Recent" not in client.do(b"c STORE 3 +FLAGS (\\Seen)")
    assert b"ALL" not in client.do(b"d SEARCH RECENT")


def test_12_what_was_recent_is_not_when_imap4rev2_comes_late():
    client = with_mail(count=2)
    assert b"Recent" in client.do(b"a FETCH 1 FLAGS")
    client.do(b"b ENABLE IMAP4rev2")
    assert b"Recent" not in client.do(b"c FETCH 1 FLAGS")


@pytest.mark.parametrize("keyword", [b"$MDNSent", b"$Forwarded", b"$Junk", b"$NotJunk", b"$Phishing"])
def test_15_the_common_keywords_are_kept_and_found(keyword):
    client = rev2()
    client.do(b"a APPEND INBOX (" + keyword + b") {%d+}\r\n" % len(MESSAGE) + MESSAGE)
    client.do(b"b COPY 4 Work")
    client.do(b"c MOVE 4 Work")
    client.do(b"d SELECT Work")
    assert client.do(b"e SEARCH KEYWORD " + keyword).startswith(b'* ESEARCH (TAG "e") ALL 1:2\r\n')
    assert keyword in client.do(b"f FETCH 1 FLAGS")


@pytest.mark.parametrize("switch", [b"IMAP4rev2", b"UTF8=ACCEPT"])
def test_16_names_are_in_utf_8(switch):
    client = with_mail(switch, select=None)
    assert b'* LIST (\\HasNoChildren) "/" "' + CAFE + b'"\r\n' in client.do(b'a LIST "" C*')
    assert client.do(b'b STATUS "' + CAFE + b'" (MESSAGES)').startswith(b'* STATUS "' + CAFE + b'" (MESSAGES 0)')
    assert client.do(b"c STATUS {5+}\r\n" + CAFE + b" (MESSAGES)").startswith(b"* STATUS ")
    assert client.do(b'd CREATE "\xe6\x96\x87\xe4\xbb\xb6/\xe2\x98\x83 & \\"x\\""').startswith(b"d OK ")
    assert '文件/☃ & "x"' in client.store.boxes
    assert b' "\xe6\x96\x87\xe4\xbb\xb6/\xe2\x98\x83 & \\"x\\""' in client.do(b'e LIST "" "\xe6\x96\x87*"')
    client.store.subscribed.add("Café")
    assert b'* LSUB () "/" "' + CAFE + b'"\r\n' in client.do(b'f LSUB "" *')
    # An ampersand is one.
    assert client.do(b"g CREATE R&D").startswith(b"g OK ")
    assert b' "/" R&D\r\n' in client.do(b'h LIST "" R*')


def test_16_without_it_names_are_in_modified_utf_7():
    client = with_mail(select=None)
    assert b' "/" Caf&AOk-\r\n' in client.do(b'a LIST "" *')
    assert client.do(b"b STATUS Caf&AOk- (MESSAGES)").startswith(b"* STATUS Caf&AOk- ")
    # RFC 6855 section 3: a quoted name in UTF-8 is understood all the same.
    assert client.do(b'c STATUS "' + CAFE + b'" (MESSAGES)').startswith(b"* STATUS Caf&AOk- ")
    assert all(octet < 128 for octet in client.do(b'd LIST "" *'))


@pytest.mark.parametrize(
    "line",
    [
        b'CREATE "\xff"',
        b'SELECT "\xed\xa0\x80"',
        b'LIST "" "\xc0\xaf"',
        b'SEARCH TEXT "\xe9"',
        b'ID ("name" "\xe9")',
        b'STATUS "caf\xc3" (MESSAGES)',
    ],
)
@pytest.mark.parametrize("switch", [b"IMAP4rev2", b"UTF8=ACCEPT", b"CONDSTORE"])
def test_16_a_quoted_string_that_is_not_utf_8_is_bad(line, switch):
    # RFC 6855 section 3; in IMAP4rev1 it would be bad with any octet above 127.
    assert with_mail(switch).do(b"a " + line).startswith(b"a BAD ")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"CHECK", b"a OK "),  # 17
        (b"FETCH 1 RFC822.SIZE", b"a OK "),
        (b"FETCH 1 (RFC822.HEADER RFC822.TEXT RFC822)", b"a OK "),  # 18
        (b'LSUB "" *', b"a OK "),  # 19
        (b"STATUS INBOX (RECENT MESSAGES)", b"a OK "),  # 12
        (b"SEARCH NEW", b"a OK "),
        (b"SEARCH OLD", b"a OK "),
    ],
)
def test_17_to_19_what_is_deprecated_still_works(line, answer):
    assert rev2().do(b"a " + line).splitlines()[-1].startswith(answer)


def test_21_fetch_responses_that_nobody_asked_for_have_the_uid():
    client = rev2(count=2)
    client.store.inbox.remove([1])
    client.store.inbox.flag([2], q.StoreMode.ADD, SEEN)
    client.do(b"a NOOP")
    client.store.inbox.flag([2], q.StoreMode.REMOVE, SEEN)
    assert client.do(b"b NOOP").startswith(b"* 1 FETCH (UID 2 FLAGS ())\r\n")


def test_21_while_it_idles_too():
    client = rev2(count=1)
    client.do(b"a IDLE")
    client.store.inbox.flag([1], q.StoreMode.ADD, SEEN)
    assert client.ring() == b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"


def test_a_nonsynchronising_literal_may_be_longer_than_literal_minus_would_allow():
    client = rev2()
    body = MESSAGE + b"x" * 5000
    assert client.do(b"a APPEND INBOX {%d+}\r\n" % len(body) + body).splitlines()[-1].startswith(b"a OK [APPENDUID ")


# -- UTF8=ACCEPT ------------------------------------------------------------------------------------------------------


def test_search_takes_no_charset_once_utf_8_is_agreed():
    client = with_mail(b"UTF8=ACCEPT")
    assert client.do(b"a SEARCH CHARSET UTF-8 ALL").startswith(b"a BAD ")
    assert client.do(b'b SEARCH TEXT "caf\xc3\xa9"').splitlines()[-1].startswith(b"b OK ")
    assert rev2().do(b"a SEARCH CHARSET UTF-8 ALL").splitlines()[-1].startswith(b"a OK ")


INTERNATIONAL = b"From: ann@example.com\r\nSubject: caf\xc3\xa9\r\n\r\nx\r\n"


@pytest.mark.parametrize("switch", [b"CONDSTORE", b"UTF8=ACCEPT", b"IMAP4rev2"])
def test_internationalised_messages_come_and_go_as_they_are(switch):
    """Whoever can show such a message shows it; who cannot is better served by odd octets than by a changed message."""
    client = with_mail(switch, count=0)
    form = b"a APPEND INBOX UTF8 (~{%d+}\r\n" % len(INTERNATIONAL)
    assert b"a OK [APPENDUID " in client.do(form + INTERNATIONAL + b")")
    assert b"a OK [APPENDUID " in client.do(b"a APPEND INBOX {%d+}\r\n" % len(INTERNATIONAL) + INTERNATIONAL)
    for number in (b"1", b"2"):
        assert INTERNATIONAL in client.do(b"b FETCH " + number + b" BODY.PEEK[]")
        assert b"Subject: caf\xc3\xa9\r\n" in client.do(b"c FETCH " + number + b" BODY.PEEK[HEADER.FIELDS (Subject)]")
        # No UTF-8 in quotes for those who have not agreed; a literal is right for everybody.
        assert b"{5}\r\ncaf\xc3\xa9" in client.do(b"d FETCH " + number + b" ENVELOPE")
