"""Messages as a whole and in parts: BINARY, PREVIEW, CATENATE, REPLACE; each by the section that asks for it."""

import base64
import re

import pytest
from imap_model import MESSAGE, MIXED, Client, Store, asked

from mailcore.dialogue import UnavailableError
from mailcore.imap import questions as q
from mailcore.imap.sections import LARGE
from mailcore.store.flags import DRAFT, SEEN

PARTS = (
    b'Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29y\r\nbGQ=\r\n"
    b"--x\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\ncaf=C3=A9 =\r\nau lait\r\n"
    b"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi\r\n"
    b"--x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n"
    b"--x\r\n\r\nplain\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--x--\r\n"
)


def with_mail(*messages, names=("Work", "Drafts"), **options):
    store = Store(*names)
    for message in messages or (MESSAGE, MIXED, PARTS):
        store.inbox.add(message)
    return Client(store, select=b"INBOX", **options)


def large_base64(size):
    content = bytes(range(256)) * (size // 256)
    header = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return header + base64.encodebytes(content).replace(b"\n", b"\r\n"), content


# -- BINARY -----------------------------------------------------------------------------------------------------------

BINARIES = [
    (b"BINARY.PEEK[1]", b"BINARY[1] {11}\r\nhello world"),
    (b"BINARY.PEEK[1]<6.3>", b"BINARY[1]<6> {3}\r\nwor"),
    (b"BINARY.PEEK[1]<11.3>", b"BINARY[1]<11> {0}\r\n"),
    (b"BINARY.SIZE[1]", b"BINARY.SIZE[1] 11"),
    (b"BINARY.PEEK[2]", b"BINARY[2] {13}\r\ncaf\xc3\xa9 au lait"),
    (b"BINARY.SIZE[2]", b"BINARY.SIZE[2] 13"),
    (b"BINARY.PEEK[3]", b"BINARY[3] ~{3}\r\na\0b"),  # RFC 3516 section 4.2: literal8 for NUL
    (b"BINARY.PEEK[3]<2.9>", b"BINARY[3]<2> {1}\r\nb"),
    (b"BINARY.PEEK[5]", b"BINARY[5] {5}\r\nplain"),
    (b"BINARY.PEEK[6]", b"BINARY[6] {21}\r\nSubject: inner\r\n\r\ntwo"),
    (b"BINARY.PEEK[6.1]", b"BINARY[6.1] {3}\r\ntwo"),
    (b"BINARY.PEEK[]", b"BINARY[] {%d}\r\n%b" % (len(PARTS), PARTS)),
    (b"BINARY.SIZE[]", b"BINARY.SIZE[] %d" % len(PARTS)),
    (b"BINARY.PEEK[7]", b"BINARY[7] NIL"),
    (b"BINARY.SIZE[7]", b"BINARY.SIZE[7] 0"),
    (b"(BINARY.SIZE[1] BINARY.PEEK[1])", b"BINARY.SIZE[1] 11 BINARY[1] {11}\r\nhello world"),
]


@pytest.mark.parametrize(("item", "answer"), BINARIES)
def test_a_part_comes_without_its_transfer_encoding(item, answer):
    client = with_mail(PARTS)
    assert client.do(b"a FETCH 1 " + item) == b"* 1 FETCH (" + answer + b")\r\na OK FETCH completed\r\n"
    assert not client.store.inbox.messages[1][0] & SEEN


def test_binary_without_peek_marks_a_message_as_seen():
    client = with_mail(PARTS)
    assert b"FLAGS (\\Seen \\Recent)" in client.do(b"a FETCH 1 BINARY[1]")


@pytest.mark.parametrize("item", [b"BINARY.PEEK[4]", b"BINARY.SIZE[4]", b"BINARY.PEEK[4]<0.5>"])
def test_an_encoding_that_nobody_knows_is_said_and_the_rest_is_told(item):
    # RFC 3516 section 4.3
    client = with_mail(PARTS, MESSAGE)
    said = client.do(b"a FETCH 1:2 (UID " + item + b" BODY.PEEK[4])")
    assert said.startswith(b"* 1 FETCH (UID 1 BODY[4] {")
    assert b"* 2 FETCH (UID 2 BINARY" in said
    assert said.splitlines()[-1].startswith(b"a NO [UNKNOWN-CTE] ")


@pytest.mark.parametrize("partial", [None, (0, 10), (LARGE, 7), (3 * LARGE - 5, 1000), (5, 2 * LARGE), (10**9, 1)])
def test_a_large_part_is_decoded_on_its_way(partial):
    message, content = large_base64(3 * LARGE)
    client = with_mail(message)
    wanted = content if partial is None else content[partial[0] : partial[0] + partial[1]]
    said = client.do(b"a FETCH 1 BINARY.PEEK[1]" + (b"<%d.%d>" % partial if partial else b""))
    assert said.endswith(b"\r\n" + wanted + b")\r\na OK FETCH completed\r\n")
    assert re.search(rb"BINARY\[1\](<\d+>)? ~?\{%d\}\r\n" % len(wanted), said[:60])
    assert client.do(b"b FETCH 1 BINARY.SIZE[1]").startswith(b"* 1 FETCH (BINARY.SIZE[1] %d)\r\n" % len(content))
    assert all(len(question.place.carry) < 4 for question in asked(client, q.ReadDecoded))


def test_a_message_that_goes_while_it_is_decoded_ends_the_connection():
    message, _ = large_base64(3 * LARGE)
    client = with_mail(message)
    client.store.refuse[q.ReadDecoded] = q.Refused.EXPUNGED
    client.do(b"a FETCH 1 BINARY.PEEK[1]")
    assert client.closed


# -- PREVIEW ----------------------------------------------------------------------------------------------------------


def test_a_preview_is_the_beginning_of_the_text():
    client = with_mail(
        MESSAGE, "Content-Type: text/plain; charset=utf-8\r\n\r\n午餐？\r\n".encode(), b"Subject: x\r\n\r\n"
    )
    said = client.do(b"a FETCH 1:3 (UID PREVIEW)")
    assert b'* 1 FETCH (UID 1 PREVIEW "At noon?")\r\n' in said
    assert b"* 2 FETCH (UID 2 PREVIEW {9}\r\n" + "午餐？".encode() + b")\r\n" in said
    assert b'* 3 FETCH (UID 3 PREVIEW "")\r\n' in said  # RFC 8970 section 3.1: nothing to show is not NIL
    assert all(not message[0] & SEEN for message in client.store.inbox.messages.values())


@pytest.mark.parametrize(
    ("item", "lazy"), [(b"PREVIEW", False), (b"PREVIEW (LAZY)", True), (b"(PREVIEW (lazy) FLAGS)", True)]
)
def test_a_lazy_preview_may_be_left_out(item, lazy):
    client = with_mail(MESSAGE)
    assert b"PREVIEW " in client.do(b"a FETCH 1 " + item)
    (question,) = asked(client, q.FetchMessages)
    assert (question.preview, question.lazy) == (True, lazy)


def test_the_modifier_of_fetch_may_follow_a_preview():
    client = with_mail(MESSAGE)
    assert b"PREVIEW " in client.do(b"a FETCH 1 PREVIEW (CHANGEDSINCE 1)")


# -- APPEND with literal8 ---------------------------------------------------------------------------------------------


def test_a_binary_literal_may_hold_nul_and_another_may_not():
    client = with_mail()
    assert client.do(b"a APPEND Work ~{3+}\r\na\0b").startswith(b"a OK ")
    assert client.store.boxes["Work"].messages[1][4] == b"a\0b"
    assert client.do(b"b APPEND Work {3+}\r\na\0b").startswith(b"b BAD ")
    said = client.do(b"c APPEND Work ~{3+}\r\na\0b {3+}\r\na\0b")
    assert said.startswith(b"c BAD ")
    assert len(client.store.boxes["Work"].messages) == 1


# -- CATENATE ---------------------------------------------------------------------------------------------------------

HEADER = MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 4]
CATENATIONS = [
    (b"(TEXT {5+}\r\na: b\n)", b"a: b\n"),
    (b"(TEXT {2+}\r\na: TEXT {1+}\r\nb TEXT {0+}\r\n)", b"a:b"),
    (b'(URL "/INBOX/;UID=1/;SECTION=HEADER" TEXT {3+}\r\nnew)', HEADER + b"new"),
    (b'(URL ";UID=1/;SECTION=HEADER" TEXT {3+}\r\nnew)', HEADER + b"new"),
    (b"(URL /INBOX;UIDVALIDITY=1001/;UID=1)", MESSAGE),
    (b'(TEXT {2+}\r\nX: URL "/inbox/;UID=1/;SECTION=TEXT/;PARTIAL=0.2")', b"X:At"),
    (b'(TEXT {2+}\r\nX: URL ";UID=2/;SECTION=1" URL ";UID=2/;SECTION=2.HEADER")', b"X:oneSubject: inner\r\n\r\n"),
    (b"(URL {13+}\r\n/INBOX/;UID=1 TEXT {1+}\r\n.)", MESSAGE + b"."),
    (b"(URL {6+}\r\n;UID=1)", MESSAGE),
    (b'(URL ";UID=1/;PARTIAL=100000.1" TEXT ~{2+}\r\na\0)', b"a\0"),
]


@pytest.mark.parametrize(("parts", "message"), CATENATIONS)
def test_a_message_is_put_together_from_texts_and_from_what_urls_name(parts, message):
    client = with_mail()
    said = client.do(b"a APPEND Work (\\Seen) CATENATE " + parts)
    assert said == b"a OK [APPENDUID 1002 1] APPEND completed\r\n"
    flags, _, _, _, stored = client.store.boxes["Work"].messages[1]
    assert (flags, stored) == (SEEN, message)
    assert all(body.abandoned for body in client.bodies)


def test_several_messages_may_be_put_together_at_once_among_others():
    client = with_mail()
    said = client.do(
        b'a APPEND Work CATENATE (TEXT {2+}\r\na: URL ";UID=1/;SECTION=TEXT") (\\Draft) {3+}\r\nb:c'
        b' "01-Jan-2024 00:00:00 +0000" CATENATE (URL ";UID=2")'
    )
    assert said == b"a OK [APPENDUID 1002 1:3] APPEND completed\r\n"
    stored = list(client.store.boxes["Work"].messages.values())
    assert [message[4] for message in stored] == [b"a:At noon?\r\n", b"b:c", MIXED]
    assert [message[0] for message in stored] == [0, DRAFT, 0]
    assert stored[2][3] == 1704067200


def test_large_parts_are_copied_piece_by_piece():
    big = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * (LARGE // 8)
    client = with_mail(big)
    client.session._talk.policy = type(client.session._talk.policy)(message_limit=10**7)
    assert client.do(b'a APPEND Work CATENATE (URL ";UID=1")').startswith(b"a OK ")
    assert client.store.boxes["Work"].messages[1][4] == big
    assert len(asked(client, q.ReadBody)) > 1


def test_a_client_that_waits_is_asked_for_each_text_and_for_a_url_that_is_a_literal():
    client = with_mail()
    assert client.send(b"a APPEND Work CATENATE (TEXT {2}\r\n").read() == b"+ OK\r\n"
    assert client.send(b"a: URL {6}\r\n").read() == b"+ OK\r\n"
    assert client.send(b";UID=1 TEXT {2}\r\n").read() == b"+ OK\r\n"
    assert client.send(b"ez)\r\n").read().startswith(b"a OK [APPENDUID ")
    assert client.store.boxes["Work"].messages[1][4] == b"a:" + MESSAGE + b"ez"


REFUSED_CATENATIONS = [
    (b"CATENATE", b"a BAD "),
    (b"CATENATE ()", b"a BAD "),
    (b"CATENATE (TEXT)", b"a BAD "),
    (b"CATENATE (TEXT abc)", b"a BAD "),
    (b"CATENATE (FROB {1+}\r\na)", b"a BAD "),
    (b"CATENATE (TEXT {1+}\r\na", b"a BAD "),
    (b"CATENATE (TEXT {1+}\r\na )", b"a BAD "),
    (b"CATENATE (TEXT {1+}\r\na) x", b"a BAD "),
    (b"CATENATE (TEXT {3+}\r\na\0b)", b"a BAD "),
    (b"CATENATE (URL)", b"a BAD "),
    (b"CATENATE (URL {3+}\r\na\0b)", b"a BAD "),
    (b'CATENATE (URL ";UID=1"', b"a BAD "),
    (b'CATENATE (URL "/INBOX/;UID=9")', b"a NO [BADURL /INBOX/;UID=9] "),
    (b'CATENATE (URL "/INBOX;UIDVALIDITY=7/;UID=1")', b"a NO [BADURL /INBOX;UIDVALIDITY=7/;UID=1] "),
    (b'CATENATE (URL "/Nope/;UID=1")', b"a NO [BADURL /Nope/;UID=1] "),
    (b'CATENATE (URL ";UID=1/;SECTION=7")', b"a NO [BADURL ;UID=1/;SECTION=7] "),
    (b'CATENATE (URL "imap://else.example/INBOX/;UID=1")', b"a NO [BADURL imap://else.example/INBOX/;UID=1] "),
    (b'CATENATE (URL "a]b \\"")', b"a NO [BADURL a?b?\"] "),
    (b'CATENATE (URL "")', b"a NO [BADURL ?] "),
    (b'CATENATE (TEXT {1+}\r\na URL ";UID=9" TEXT {1+}\r\nb)', b"a NO [BADURL ;UID=9] "),
    (b'CATENATE (URL ";UID=9" TEXT {1+}\r\nb URL ";UID=1")', b"a NO [BADURL ;UID=9] "),
    (b'CATENATE (TEXT {0+}\r\n URL ";UID=1/;PARTIAL=100000.1")', b"a NO [CANNOT] "),
    (b"CATENATE (" + b" ".join([b'URL ";UID=3"'] * 200) + b")", b"a NO [TOOBIG] "),
    (b"CATENATE (TEXT {60000+}\r\n" + b"x" * 60000 + b" TEXT {60000+}\r\n" + b"x" * 60000 + b")", b"a NO [TOOBIG] "),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "answer"), REFUSED_CATENATIONS)
def test_what_cannot_be_put_together_is_refused_in_the_right_words(parts, answer):
    client = with_mail(MESSAGE, MIXED, PARTS * 2)
    assert client.do(b"a APPEND Work " + parts).splitlines()[-1].startswith(answer)
    assert client.store.boxes["Work"].messages == {}
    assert all(body.abandoned for body in client.bodies)
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


@pytest.mark.parametrize(
    "parts", [b'(URL ";UID=9")', b'(URL ";UID=1" TEXT {1+}\r\na)', b'(TEXT {1+}\r\na URL ";UID=9")']
)
def test_a_missing_mailbox_is_said_before_a_bad_url(parts):
    assert with_mail().do(b"a APPEND Nope CATENATE " + parts).startswith(b"a NO [TRYCREATE] ")


def test_without_a_selected_mailbox_a_url_must_name_one():
    client = Client(Store("Work"))
    client.store.inbox.add()
    assert client.do(b'a APPEND Work CATENATE (URL ";UID=1")').startswith(b"a NO [BADURL ;UID=1] ")
    assert client.do(b'b APPEND Work CATENATE (URL "/INBOX/;UID=1")').startswith(b"b OK ")


def test_a_store_that_is_away_is_no_bad_url():
    client = with_mail()
    client.store.refuse[q.FindMailbox] = UnavailableError("away")
    assert client.do(b'a APPEND Work CATENATE (URL "/INBOX/;UID=1")').startswith(b"a NO [UNAVAILABLE] ")


# -- REPLACE ----------------------------------------------------------------------------------------------------------


def test_replace_stores_a_message_and_removes_another_one():
    client = with_mail()
    said = client.do(b"a REPLACE 2 INBOX (\\Seen \\Draft) {3+}\r\nn:1")
    # RFC 8508 section 3.3: APPENDUID comes before the EXPUNGE.
    assert said.startswith(b"* OK [APPENDUID 1001 4] ")
    assert b"* 2 EXPUNGE\r\n" in said
    assert b"* 3 EXISTS\r\n" in said
    assert said.endswith(b"a OK REPLACE completed\r\n")
    assert sorted(client.store.inbox.messages) == [1, 3, 4]
    assert client.store.inbox.messages[4][0] == SEEN | DRAFT


def test_replace_by_uid_may_go_to_another_mailbox_and_be_put_together():
    client = with_mail()
    said = client.do(b'a UID REPLACE 1 Drafts CATENATE (URL ";UID=1/;SECTION=HEADER" TEXT {3+}\r\nnew)')
    assert said.startswith(b"* OK [APPENDUID 1003 1] ")
    assert b"* 1 EXPUNGE\r\n" in said
    assert client.store.boxes["Drafts"].messages[1][4] == HEADER + b"new"


@pytest.mark.parametrize("command", [b"REPLACE", b"UID REPLACE"])
def test_a_star_is_the_last_message(command):
    # RFC 8508 section 5: seq-number
    client = with_mail()
    assert b"* 3 EXPUNGE\r\n" in client.do(b"a " + command + b" * INBOX {3+}\r\nn:1")
    assert sorted(client.store.inbox.messages) == [1, 2, 4]
    client.do(b"b SELECT Work")
    answer = b"c NO [NONEXISTENT] " if command.startswith(b"UID") else b"c BAD "
    assert client.do(b"c " + command + b" * INBOX {3+}\r\nn:1").startswith(answer)


@pytest.mark.parametrize("target", [b"INBOX", b"Drafts"])
def test_the_modseq_of_the_removal_is_told_like_that_of_uid_expunge(target):
    # RFC 8508 section 4.5, RFC 7162 section 3.2.7
    client = with_mail()
    client.do(b"a ENABLE QRESYNC")
    said = client.do(b"b REPLACE 2 %b {3+}\r\nn:1" % target)
    assert b"* VANISHED 2\r\n" in said
    last = b"b OK [HIGHESTMODSEQ %d] REPLACE completed" % client.store.inbox.modseq
    assert said.splitlines()[-1] == last


REFUSED_REPLACEMENTS = [
    (b"REPLACE", b"a BAD "),
    (b"REPLACE 1", b"a BAD "),
    (b"REPLACE 1 INBOX", b"a BAD "),
    (b"REPLACE 4 INBOX {1+}\r\na", b"a BAD "),
    (b"REPLACE 0 INBOX {1+}\r\na", b"a BAD "),
    (b"REPLACE *:1 INBOX {1+}\r\na", b"a BAD "),
    (b"REPLACE *1 INBOX {1+}\r\na", b"a BAD "),
    (b"REPLACE 1:2 INBOX {1+}\r\na", b"a BAD "),
    (b"REPLACE 1 INBOX {1+}\r\na {1+}\r\nb", b"a BAD "),
    (b"UID REPLACE 9 INBOX {1+}\r\na", b"a NO [NONEXISTENT] "),
    (b"REPLACE 1 Nope {1+}\r\na", b"a NO [TRYCREATE] "),
    (b"REPLACE 1 INBOX {0+}\r\n", b"a NO [CANNOT] "),
    (b"REPLACE 1 INBOX {100001+}\r\n" + b"x" * 100001, b"a NO [TOOBIG] "),
    (b'REPLACE 1 INBOX CATENATE (URL ";UID=9")', b"a NO [BADURL ;UID=9] "),
]


@pytest.mark.parametrize(("line", "answer"), REFUSED_REPLACEMENTS)
def test_a_replacement_that_cannot_be_leaves_everything_as_it_was(line, answer):
    client = with_mail()
    assert client.do(b"a " + line).splitlines()[-1].startswith(answer)
    assert sorted(client.store.inbox.messages) == [1, 2, 3]
    assert all(body.abandoned for body in client.bodies)
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


def test_replace_needs_a_mailbox_that_may_be_written():
    client = with_mail()
    client.do(b"a EXAMINE INBOX")
    assert client.do(b"b REPLACE 1 INBOX {1+}\r\na").startswith(b"b NO [READ-ONLY] ")
    client.do(b"c UNSELECT")
    assert client.do(b"d REPLACE 1 INBOX {1+}\r\na").startswith(b"d BAD ")


def test_a_message_that_went_meanwhile_is_not_replaced():
    client = with_mail()
    client.store.inbox.remove([2])
    said = client.do(b"a UID REPLACE 2 INBOX {3+}\r\nn:1")
    assert said.splitlines()[-1].startswith(b"a NO [EXPUNGEISSUED] ")
    assert sorted(client.store.inbox.messages) == [1, 3]


# -- What the message log is told -------------------------------------------------------------------------------------


def test_a_client_is_known_by_the_name_it_gave():
    client = with_mail()
    client.do(b'a ID ("name" "Thunder\\"bird" "version" "128.0" "os" "x")')
    client.do(b"b STORE 1 +FLAGS (\\Deleted)")
    client.do(b"c COPY 1 Work")
    client.do(b"d APPEND Work {1+}\r\na")
    client.do(b"e REPLACE 2 INBOX {1+}\r\na")
    client.do(b"f EXPUNGE")
    client.do(b"g FETCH 1 BODY[]")
    client.do(b"h CLOSE")
    kinds = (q.StoreFlags, q.CopyMessages, q.AppendMessages, q.ReplaceMessage, q.Expunge)
    told = [question for question in client.store.asked if isinstance(question, kinds)]
    assert len(told) == 7
    assert {question.device for question in told} == {'Thunder"bird 128.0'}


# -- Any cut ----------------------------------------------------------------------------------------------------------

STREAM = (
    b"a APPEND Work CATENATE (TEXT {2+}\r\na: URL {6+}\r\n;UID=1 TEXT ~{3+}\r\nb\0c) (\\Seen) {3+}\r\nd:e\r\n"
    b'b APPEND Work CATENATE (TEXT {2+}\r\na: URL ";UID=9" TEXT {5+}\r\nx {1+}\r\n)\r\n'
    b"c UID REPLACE 2 Work UTF8 (~{3+}\r\nf:g)\r\n"
    b"d REPLACE 9 Work {7+}\r\nz NOOP\n\r\n"
    b"e FETCH 1:2 (BINARY.PEEK[1] PREVIEW BINARY.SIZE[2])\r\n"
)


def outcome(*pieces):
    client = with_mail()
    for piece in pieces:
        client.send(piece)
    work = client.store.boxes["Work"].messages.values()
    return client.read(), [(message[0], message[4]) for message in work], client.closed


WHOLE = outcome(STREAM)


def test_the_stream_of_the_cuts_says_what_it_should():
    said, stored, _ = WHOLE
    assert re.findall(rb"(?m)^([a-e]) (OK|NO|BAD)", said) == [
        (b"a", b"OK"), (b"b", b"NO"), (b"c", b"OK"), (b"d", b"BAD"), (b"e", b"OK"),
    ]  # fmt: skip
    assert stored == [(0, b"a:" + MESSAGE + b"b\0c"), (SEEN, b"d:e"), (0, b"f:g")]


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_a_cut_anywhere_changes_nothing(cut):
    assert outcome(STREAM[:cut], STREAM[cut:]) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 5])
def test_crumbs_change_nothing(size):
    assert outcome(*(STREAM[at : at + size] for at in range(0, len(STREAM), size))) == WHOLE
