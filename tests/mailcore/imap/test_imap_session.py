"""Conversations before and around the mailboxes: states, refusals, logins, literals, cuts, endings."""

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_model import MESSAGE, Client, Store, VerifyPassword, asked

from mailcore.dialogue import Ask, Peer, TlsFacts
from mailcore.imap import questions as q
from mailcore.imap.talk import Policy

SAFE = Policy(tls_available=True)
TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def stranger(**options):
    return Client(log_in=False, **options)


def with_mail(count=3, **options):
    store = Store("Work")
    for _ in range(count):
        store.inbox.add()
    return Client(store, select=b"INBOX", **options)


# -- Refusals ---------------------------------------------------------------------------------------------------------

BEFORE_LOGIN = [
    (b"", b""),
    (b"a", b"a BAD "),
    (b"a ", b"a BAD "),
    (b"+ NOOP", b"* BAD "),
    (b"(a NOOP", b"* BAD "),
    (b"a NOOP now", b"a BAD "),
    (b"a  NOOP", b"a BAD "),
    (b"a NOOP ", b"a BAD "),
    (b"a FROB", b"a BAD "),
    (b"a UID", b"a BAD "),
    (b"a UID FROB", b"a BAD "),
    (b"a SELECT INBOX", b"a BAD "),
    (b"a CREATE x", b"a BAD "),
    (b"a LIST \"\" *", b"a BAD "),
    (b"a APPEND INBOX {3+}\r\nabc", b"a BAD "),
    (b"a IDLE", b"a BAD "),
    (b"a ENABLE CONDSTORE", b"a BAD "),
    (b"a COMPRESS DEFLATE", b"a BAD "),
    (b"a UNAUTHENTICATE", b"a BAD "),
    (b"a FETCH 1 FLAGS", b"a BAD "),
    (b"a CLOSE", b"a BAD "),
    (b"a LOGIN", b"a BAD "),
    (b"a LOGIN bob", b"a BAD "),
    (b"a LOGIN bob secret more", b"a BAD "),
    (b"a LOGIN bob \"secret", b"a BAD "),
    (b"a LOGIN bob {6+}\r\n\xff\xfe\xfd\xfc\xfb\xfa", b"a BAD "),
    (b"a LOGIN bob wrong", b"a NO [AUTHENTICATIONFAILED] "),
    (b"a LOGIN nobody secret", b"a NO [AUTHENTICATIONFAILED] "),
    (b"a LOGIN bob later", b"a NO [UNAVAILABLE] "),
    (b"a AUTHENTICATE", b"a BAD "),
    (b"a AUTHENTICATE CRAM-MD5", b"a NO [CANNOT] "),
    (b"a AUTHENTICATE PLAIN !!!!", b"a BAD "),
    (b"a AUTHENTICATE PLAIN " + base64.b64encode(b"alice\0bob\0secret"), b"a NO [AUTHENTICATIONFAILED] "),
    (b"a ID", b"a BAD "),
    (b"a ID (\"name\")", b"a BAD "),
    (b"a ID (" + b" ".join([b'"a" "b"'] * 31) + b")", b"a BAD "),
]  # fmt: skip

AFTER_LOGIN = [
    (b"a LOGIN bob secret", b"a BAD "),
    (b"a STARTTLS", b"a BAD "),
    (b"a AUTHENTICATE PLAIN", b"a BAD "),
    (b"a FETCH 1 FLAGS", b"a BAD "),
    (b"a EXPUNGE", b"a BAD "),
    (b"a UNSELECT", b"a BAD "),
    (b"a CLOSE", b"a BAD "),
    (b"a CHECK", b"a BAD "),
    (b"a SELECT", b"a BAD "),
    (b"a SELECT Nope", b"a NO [NONEXISTENT] "),
    (b"a SELECT caf\xc3\xa9", b"a BAD "),
    (b"a SELECT &AAA-", b"a NO [CANNOT] "),
    (b"a SELECT &Jjo", b"a NO [CANNOT] "),
    (b"a CREATE &2AA-", b"a NO [CANNOT] "),
    (b"a SELECT INBOX (QRESYNC (1 2))", b"a BAD "),
    (b"a SELECT INBOX ()", b"a BAD "),
    (b"a STATUS INBOX ()", b"a BAD "),
    (b"a STATUS INBOX (FROB)", b"a BAD "),
    (b"a STATUS INBOX MESSAGES", b"a BAD "),
    (b"a STATUS Nope (MESSAGES)", b"a NO [NONEXISTENT] "),
    (b"a CREATE INBOX", b"a NO [ALREADYEXISTS] "),
    (b"a CREATE a//b", b"a NO [CANNOT] "),
    (b"a CREATE /a", b"a NO [CANNOT] "),
    (b"a CREATE \"\"", b"a NO [CANNOT] "),
    (b"a DELETE inbox", b"a NO [CANNOT] "),
    (b"a DELETE Nope", b"a NO [NONEXISTENT] "),
    (b"a RENAME Nope New", b"a NO [NONEXISTENT] "),
    (b"a RENAME Work", b"a BAD "),
    (b"a SUBSCRIBE Nope", b"a NO [NONEXISTENT] "),
    (b"a LIST", b"a BAD "),
    (b"a LIST \"\"", b"a BAD "),
    (b"a LIST (FROB) \"\" *", b"a BAD "),
    (b"a LIST (RECURSIVEMATCH) \"\" *", b"a BAD "),
    (b"a LIST \"\" * RETURN", b"a BAD "),
    (b"a LIST \"\" * RETURN (FROB)", b"a BAD "),
    (b"a LIST \"\" * FROB ()", b"a BAD "),
    (b"a LIST \"\" (" + b" ".join([b"x"] * 51) + b")", b"a NO [LIMIT] "),
    (b"a APPEND INBOX", b"a BAD "),
    (b"a APPEND INBOX \"x\"", b"a BAD "),
    (b"a APPEND Nope {3}", b"a NO [TRYCREATE] "),
    (b"a APPEND Nope {3+}\r\nabc", b"a NO [TRYCREATE] "),
    (b"a APPEND INBOX {0}\r\n", b"a NO [CANNOT] "),
    (b"a APPEND INBOX (\\Recent) {3+}\r\nabc", b"a BAD "),
    (b"a APPEND INBOX {3+}\r\na\x00b", b"a BAD "),
    (b"a APPEND INBOX {3+}\r\nabcjunk", b"a BAD "),
    (b"a APPEND ~{5+}\r\nINBOX {3+}\r\nabc", b"a BAD "),
    (b"a APPEND INBOX UTF8 {3+}\r\nabc", b"a BAD "),
    (b"a APPEND INBOX UTF8 ({3+}\r\nabc)", b"a BAD "),
    (b"a APPEND INBOX UTF8 (~{3+}\r\nabc", b"a BAD "),
    (b"a APPEND INBOX UTF8 (~{3+}\r\nabc x", b"a BAD "),
    (b"a APPEND INBOX UTF8 (~{3+}\r\nabc))", b"a BAD "),
    (b"a APPEND INBOX UTF8 (~{3+}\r\nabc {3+}\r\nabc", b"a BAD "),
    (b"a APPEND INBOX UTF8(~{3+}\r\nabc)", b"a BAD "),
    (b"a SEARCH SUBJECT ~{3+}\r\nabc", b"a BAD "),
    (b"a CREATE {3+}\r\na\x00b", b"a BAD "),
    (b"a APPEND INBOX {200000}", b"a NO [TOOBIG] "),
    (b"a APPEND INBOX {200000+}\r\n" + b"x" * 200000, b"a NO [TOOBIG] "),
    (b"a ENABLE (CONDSTORE)", b"a BAD "),
    (b"a ENABLE", b"a BAD "),
    (b"a ENABLE ", b"a BAD "),
    (b"a ENABLE CONDSTORE ", b"a BAD "),
    (b"a ENABLE \"CONDSTORE\"", b"a BAD "),
    (b"a COMPRESS", b"a BAD "),
    (b"a COMPRESS LZ4", b"a BAD "),
    (b"a COMPRESS DEFLATE 9", b"a BAD "),
    (b"a COMPRESS \"DEFLATE\"", b"a BAD "),
    (b"a UNAUTHENTICATE now", b"a BAD "),
    (b"a NAMESPACE x", b"a BAD "),
]  # fmt: skip

SELECTED = [
    (b"a FETCH", b"a BAD "),
    (b"a FETCH 1", b"a BAD "),
    (b"a FETCH 1 ()", b"a BAD "),
    (b"a FETCH 1 FROB", b"a BAD "),
    (b"a FETCH 0 FLAGS", b"a BAD "),
    (b"a FETCH 4 FLAGS", b"a BAD "),
    (b"a FETCH 1:4 FLAGS", b"a BAD "),
    (b"a FETCH 1,,2 FLAGS", b"a BAD "),
    (b"a FETCH 1 FLAGS UID", b"a BAD "),
    (b"a FETCH 1 (ALL)", b"a BAD "),
    (b"a FETCH 1 BODY[", b"a BAD "),
    (b"a FETCH 1 BODY[FROB]", b"a BAD "),
    (b"a FETCH 1 BODY[0]", b"a BAD "),
    (b"a FETCH 1 BODY[MIME]", b"a BAD "),
    (b"a FETCH 1 BODY[1.]", b"a BAD "),
    (b"a FETCH 1 BODY[TEXTX]", b"a BAD "),
    (b"a FETCH 1 BODY[HEADER.FIELDS]", b"a BAD "),
    (b"a FETCH 1 BODY[HEADER.FIELDS ()]", b"a BAD "),
    (b"a FETCH 1 BODY[HEADER.FIELDS (\"a b\")]", b"a BAD "),
    (b"a FETCH 1 BODY[]<0.0>", b"a BAD "),
    (b"a FETCH 1 BODY[]<0>", b"a BAD "),
    (b"a FETCH 1 BODY[" + b".".join([b"1"] * 102) + b"]", b"a BAD "),
    (b"a FETCH 1 (" + b" ".join(b"BODY[%d]" % n for n in range(1, 102)) + b")", b"a BAD "),
    (b"a FETCH 1 FLAGS (CHANGEDSINCE 0)", b"a BAD "),
    (b"a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", b"a BAD "),
    (b"a FETCH 1 FLAGS (FROB 1)", b"a BAD "),
    (b"a STORE 1 FLAGS", b"a BAD "),
    (b"a STORE 1 FROB (\\Seen)", b"a BAD "),
    (b"a STORE 1 ++FLAGS (\\Seen)", b"a BAD "),
    (b"a STORE 1 FLAGS.QUIET (\\Seen)", b"a BAD "),
    (b"a STORE 1 FLAGS (\\Recent)", b"a BAD "),
    (b"a STORE 1 FLAGS (\\Frob)", b"a BAD "),
    (b"a STORE 4 FLAGS (\\Seen)", b"a BAD "),
    (b"a STORE 1 (UNCHANGEDSINCE) FLAGS (\\Seen)", b"a BAD "),
    (b"a COPY 1", b"a BAD "),
    (b"a COPY 1 Nope", b"a NO [TRYCREATE] "),
    (b"a MOVE 1 Nope", b"a NO [TRYCREATE] "),
    (b"a UID COPY 9 Work x", b"a BAD "),
    (b"a EXPUNGE 1", b"a BAD "),
    (b"a UID EXPUNGE", b"a BAD "),
    (b"a SEARCH", b"a BAD "),
    (b"a SEARCH FROB", b"a BAD "),
    (b"a SEARCH SUBJECT", b"a BAD "),
    (b"a SEARCH ()", b"a BAD "),
    (b"a SEARCH NOT", b"a BAD "),
    (b"a SEARCH OR SEEN", b"a BAD "),
    (b"a SEARCH CHARSET KLINGON ALL", b"a NO [BADCHARSET (US-ASCII UTF-8 "),
    (b"a SEARCH SUBJECT {2+}\r\n\xff\xfe", b"a BAD "),
    (b"a SEARCH BEFORE 31-Feb-2024", b"a BAD "),
    (b"a SEARCH " + b"(" * 51 + b"SEEN" + b")" * 51, b"a BAD "),
    (b"a SEARCH " + b"NOT " * 51 + b"SEEN", b"a BAD "),
    (b"a SEARCH " + b" ".join([b"SEEN"] * 1001), b"a NO [LIMIT] "),
    (b"a SEARCH RETURN (FROB) ALL", b"a BAD "),
    (b"a SEARCH MODSEQ", b"a BAD "),
    (b"a IDLE now", b"a BAD "),
]  # fmt: skip


@pytest.mark.parametrize(("line", "answer"), BEFORE_LOGIN)
def test_before_login_the_wrong_thing_is_refused_in_the_right_words(line, answer):
    client = stranger()
    said = client.do(line)
    assert said.splitlines()[-1].startswith(answer) if answer else said == b""
    assert not client.session.login


@pytest.mark.parametrize(("line", "answer"), AFTER_LOGIN)
def test_after_login_the_wrong_thing_is_refused_in_the_right_words(line, answer):
    client = Client(Store("Work"))
    assert client.do(line).splitlines()[-1].startswith(answer)
    assert all(body.abandoned for body in client.bodies)
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


@pytest.mark.parametrize(("line", "answer"), SELECTED)
def test_with_a_mailbox_the_wrong_thing_is_refused_in_the_right_words(line, answer):
    client = with_mail()
    assert client.do(line).splitlines()[-1].startswith(answer)
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


@pytest.mark.parametrize("line", [b"a STORE 1 +FLAGS (\\Seen)", b"a EXPUNGE", b"a UID EXPUNGE 1", b"a MOVE 1 Work"])
def test_a_mailbox_that_is_only_examined_is_not_changed(line):
    client = with_mail()
    client.do(b"b EXAMINE INBOX")
    assert client.do(line).startswith(b"a NO [READ-ONLY] ")


@pytest.mark.parametrize(
    "line", [b"a FETCH 1:* FLAGS", b"a FETCH * FLAGS", b"a STORE 1:* FLAGS (\\Seen)", b"a COPY * Work"]
)
def test_star_in_an_empty_mailbox_is_no_message(line):
    assert with_mail(0).do(line).startswith(b"a BAD ")
    assert with_mail(0).do(line.replace(b"a ", b"a UID ")).splitlines()[-1].startswith(b"a OK ")


# -- Logging in -------------------------------------------------------------------------------------------------------


def test_the_greeting_names_no_version():
    assert stranger().greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    assert stranger().greeting.startswith(b"* OK ")  # and never PREAUTH
    said = stranger().greeting.replace(b"IMAP4rev1", b"").replace(b"IMAP4rev2", b"")
    assert not any(b"0" <= bytes([octet]) <= b"9" for octet in said)


def test_without_tls_login_is_disabled_and_refused():
    client = stranger(policy=SAFE)
    assert b"STARTTLS LOGINDISABLED" in client.greeting
    assert b"AUTH=" not in client.greeting
    assert client.do(b"a LOGIN bob secret").startswith(b"a NO [PRIVACYREQUIRED] ")
    assert client.do(b"b AUTHENTICATE PLAIN").startswith(b"b NO [PRIVACYREQUIRED] ")
    assert asked(client, VerifyPassword) == []


def test_capabilities_change_with_tls_and_with_login():
    client = stranger(policy=SAFE)
    client.do(b"a STARTTLS")
    inside = client.do(b"b CAPABILITY")
    assert b"AUTH=PLAIN" in inside
    assert b"STARTTLS" not in inside
    assert b"LOGINDISABLED" not in inside
    assert b" IDLE " in client.do(b"c LOGIN bob secret")


def test_login_tells_the_question_who_asks_and_how():
    client = stranger(peer=Peer("192.0.2.9", 5, TLS))
    assert client.do(b'a LOGIN "bob" {6}') == b"+ OK\r\n"
    assert client.do(b"secret").startswith(b"a OK [CAPABILITY ")
    (question,) = asked(client, VerifyPassword)
    assert (question.login, question.password, question.mechanism) == ("bob", "secret", "LOGIN-COMMAND")
    assert (question.protocol, question.peer.address, question.encrypted) == ("imap", "192.0.2.9", True)
    assert "secret" not in repr(question)
    assert client.session.login.account_id == 7


@pytest.mark.parametrize("failure", [b"LOGIN bob wrong", b"AUTHENTICATE PLAIN AGJvYgB3cm9uZw=="])
def test_the_third_failure_ends_the_connection(failure):
    client = stranger()
    for _ in range(2):
        assert client.do(b"a " + failure) == b"a NO [AUTHENTICATIONFAILED] Authentication failed\r\n"
    assert client.do(b"a " + failure).splitlines()[1].startswith(b"* BYE ")
    assert client.closed


@pytest.mark.parametrize(
    "lines",
    [
        [b"a AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ="],  # RFC 4959
        [b"a AUTHENTICATE PLAIN", b"AGJvYgBzZWNyZXQ="],
        [b"a AUTHENTICATE LOGIN", b"Ym9i", b"c2VjcmV0"],
        [b"a authenticate login Ym9i", b"c2VjcmV0"],
    ],
)
def test_every_form_of_authenticate_logs_in(lines):
    client = stranger()
    for line in lines[:-1]:
        assert client.do(line).startswith(b"+ ")
    assert client.do(lines[-1]).startswith(b"a OK [CAPABILITY ")


def test_authenticate_can_be_cancelled():
    client = stranger()
    client.do(b"a AUTHENTICATE PLAIN")
    assert client.do(b"*").startswith(b"a BAD ")
    assert client.do(b"b NOOP").startswith(b"b OK ")


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_what_was_sent_before_the_handshake_is_forgotten():
    # CVE-2011-0411, CVE-2021-33515: commands injected before TLS must not be carried out inside it.
    client = stranger(policy=SAFE)
    said = client.send(b"a STARTTLS\r\nb NOOP\r\nc LOGIN bob {6}\r\n").read()
    assert said == b"a OK Begin TLS now\r\n"
    assert client.tls == 1
    assert client.do(b"d NOOP") == b"d OK NOOP completed\r\n"


def test_starttls_is_refused_where_it_makes_no_sense():
    assert stranger(policy=Policy()).do(b"a STARTTLS").startswith(b"a BAD ")
    assert stranger(peer=Peer("192.0.2.1", 1, TLS)).do(b"a STARTTLS").startswith(b"a BAD ")


# -- Literals and limits ----------------------------------------------------------------------------------------------


def test_a_strangers_literal_is_small():
    client = stranger()
    assert client.do(b"a LOGIN bob {4097}").startswith(b"a NO [TOOBIG] ")
    assert client.do(b"b LOGIN {3}") == b"+ OK\r\n"
    assert stranger().do(b"a LOGIN bob {4096}") == b"+ OK\r\n"


def test_a_strangers_great_unasked_literal_ends_the_connection_and_is_not_parsed():
    client = stranger()
    said = client.send(b"a LOGIN bob {5000+}\r\nb NOOP\r\nc CAPABILITY\r\n").read()
    assert said.startswith(b"* BYE [TOOBIG]")
    assert client.closed
    assert b"b OK" not in said


def test_a_strangers_literals_together_are_bounded():
    client = stranger()
    said = b""
    for _ in range(9):
        said = client.do(b"a LOGIN {4096}" if not said else b" {4096}")
        if said != b"+ OK\r\n":
            break
        client.send(b"x" * 4096)
    assert said.startswith(b"a NO [TOOBIG] ")


@pytest.mark.parametrize("literal", [b"{0+}\r\n", b"{1+}\r\nx"])
def test_literals_are_counted_and_not_only_weighed(literal):
    # 10,000 literals in one command, and little in any of them: 4.5 s of processor time before they were counted.
    client = stranger()
    assert client.send(b"a LOGIN " + literal * 9000 + b"\r\n").read().startswith(b"* BYE [TOOBIG]")
    client = Client()
    assert client.send(b"a SEARCH " + literal * 9000 + b"\r\nb NOOP\r\n").read().splitlines() == [
        b"a NO [TOOBIG] Literal is too long",
        b"b OK NOOP completed",
    ]


def test_a_stranger_has_literals_enough_to_log_in():
    assert stranger().do(b"a LOGIN {3+}\r\nbob {6+}\r\nsecret").startswith(b"a OK ")


def test_a_refused_literal_that_comes_all_the_same_is_passed_over():
    client = Client()
    inside = b"x NOOP\r\n" * 20000
    said = client.send(b"a SEARCH SUBJECT {%d+}\r\n" % len(inside) + inside + b" {3+}\r\nabc SEEN\r\nb NOOP\r\n").read()
    assert said.splitlines()[0].startswith(b"a NO [TOOBIG] ")
    assert said.splitlines()[1:] == [b"b OK NOOP completed"]


def test_a_literal_that_nobody_would_keep_ends_the_connection():
    for size in (b"9" * 18, b"9" * 500):
        client = Client()
        assert client.do(b"a APPEND INBOX {" + size + b"+}").startswith(b"* BYE [TOOBIG]")
        assert client.closed


@pytest.mark.parametrize(
    "line", [b"+a APPEND INBOX {3+}\r\nabc", b"a APPEND INBOX {3+}\r\nabc junk", b"(a) APPEND INBOX {3}"]
)
def test_an_append_that_fails_leaves_nothing_to_the_next_one(line):
    client = Client()
    client.do(line)
    assert client.do(b"b APPEND INBOX {2+}\r\nde") == b"b OK [APPENDUID 1001 1] APPEND completed\r\n"
    assert client.store.inbox.messages[1][4] == b"de"


def test_a_line_without_end_ends_the_connection():
    client = stranger()
    for _ in range(70):
        client.send(b"x" * 1024)
    assert client.read().startswith(b"* BYE [LIMIT]")
    assert client.closed


def test_only_crlf_ends_a_line():
    client = stranger()
    assert client.send(b"a NOOP\nb NOOP\n").read() == b""
    assert client.do(b"").startswith(b"a BAD ")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"Host: example.com", b"get / http/1.1"])
def test_a_browser_is_hung_up_on_without_a_word(line):
    client = stranger()
    assert client.do(line) == b""
    assert client.closed


def test_too_many_errors_end_the_connection():
    for client, limit in ((stranger(), 5), (Client(), 20)):
        for _ in range(limit - 1):
            assert client.do(b"a FROB") == b"a BAD Unknown command\r\n"
        assert client.do(b"a FROB").splitlines()[1].startswith(b"* BYE ")
        assert client.closed


def test_errors_count_only_in_a_row():
    client = stranger()
    for _ in range(10):
        assert client.do(b"a FROB").startswith(b"a BAD")
        assert client.do(b"b NOOP").startswith(b"b OK")


def test_messages_with_headers_in_utf_8_are_appended_in_any_order_with_others():
    client = Client()
    line = b"a APPEND INBOX UTF8 (~{4}"
    assert client.do(line) == b"+ OK\r\n"
    said = client.send(b"\xc3\xa9\r\n) (\\Seen) {3+}\r\nabc utf8 (~{2+}\r\nde)\r\n").read()
    assert said == b"a OK [APPENDUID 1001 1:3] APPEND completed\r\n"
    assert [message[4] for message in client.store.inbox.messages.values()] == [b"\xc3\xa9\r\n", b"abc", b"de"]


# -- Endings ----------------------------------------------------------------------------------------------------------


def test_logout_says_bye_first():
    client = Client()
    assert client.do(b"a LOGOUT").splitlines() == [b"* BYE Logging out", b"a OK LOGOUT completed"]
    assert client.closed


def test_logout_tells_no_changes_and_leaves_the_mailbox_when_the_connection_is_gone():
    client = with_mail()
    client.store.boxes["INBOX"].add()
    client.take(client.session.notice(q.MailboxChanged(client.store.boxes["INBOX"].mailbox)))
    assert client.do(b"a LOGOUT").splitlines() == [b"* BYE Logging out", b"a OK LOGOUT completed"]
    assert client.session.lost() == [Ask(q.CloseMailbox(q.MailboxKey(7, client.store.boxes["INBOX"].mailbox)))]


def test_a_session_that_does_nothing_is_drained_at_once():
    client = Client()
    client.take(client.session.drain())
    assert client.read().startswith(b"* BYE [UNAVAILABLE]")
    assert client.closed


def test_a_command_in_flight_is_finished_before_the_end():
    client = with_mail(answers=True)
    client.answers = False
    client.send(b"a STORE 1 +FLAGS (\\Seen)\r\n")
    client.take(client.session.drain())
    assert not client.closed
    client.answers = True
    client.answer_now()
    assert client.read().splitlines()[-2:] == [
        b"a OK STORE completed",
        b"* BYE [UNAVAILABLE] Server is going down",
    ]
    assert client.closed


def test_an_idling_client_is_drained_at_once():
    client = with_mail()
    client.do(b"a IDLE")
    client.take(client.session.drain())
    assert client.read().startswith(b"* BYE ")
    assert client.closed


def test_silence_ends_the_connection_with_a_word():
    client = Client()
    client.take(client.session.timed_out())
    assert client.read().startswith(b"* BYE ")
    assert client.closed


def test_patience_depends_on_who_is_silent_and_when():
    client = stranger()
    assert client.session.patience == 60
    client.do(b"a LOGIN bob secret")
    assert client.session.patience == 30 * 60  # RFC 3501 section 5.4
    client.send(b"b NO")
    assert client.session.patience == 300
    client.do(b"OP")
    client.do(b"c IDLE")
    assert client.session.patience == 30 * 60


def test_a_question_that_cannot_be_answered_is_a_temporary_failure():
    client = with_mail()
    client.store.refuse[q.Status] = RuntimeError("the database is away")
    assert client.do(b"a STATUS INBOX (MESSAGES)") == b"a NO [UNAVAILABLE] Temporary problem, try again later\r\n"
    assert client.do(b"b NOOP") == b"b OK NOOP completed\r\n"


def test_a_lost_connection_leaves_the_mailbox_and_drops_what_was_coming():
    client = with_mail()
    client.send(b"a APPEND INBOX {%d}\r\n" % len(MESSAGE) + MESSAGE[:10])
    client.take(client.session.lost())
    assert [type(question) for question in client.store.asked][-1] is q.CloseMailbox
    assert [body.abandoned for body in client.bodies] == [True]


def test_a_connection_lost_while_a_mailbox_opens_says_so():
    client = Client()
    client.answers = False
    client.send(b"a SELECT INBOX\r\n")
    client.answers = True
    client.take(client.session.lost())
    assert client.store.asked[-1] == q.CloseMailbox(None)


def test_a_mailbox_that_is_deleted_by_another_ends_the_session():
    client = with_mail()
    del client.store.boxes["INBOX"]
    assert client.do(b"a NOOP").startswith(b"* BYE ")
    assert client.closed


# -- Cuts and noise ---------------------------------------------------------------------------------------------------

PLAIN = base64.b64encode(b"\0bob\0secret")
STREAM = (
    b"a STARTTLS\r\n",
    b"a CAPABILITY\r\nb AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\nc ID NIL\r\n"
    b'd SELECT {5+}\r\nINBOX\r\ne APPEND "INBOX" (\\Seen $x) "01-Jan-2024 00:00:00 +0000" {%d+}\r\n'
    % len(MESSAGE)
    + MESSAGE
    + b" {3+}\r\nabc UTF8 (~{3+}\r\n\xc3\xa9})\r\nf IDLE\r\nDONE\r\n"
    b"g UID SEARCH SUBJECT {5+}\r\nlunch NOT {4+}\r\nSEEN\r\n"
    b"h FETCH 1:2 (FLAGS BODY[HEADER.FIELDS (subject)] BODY[]<2.4>)\r\ni STORE 2 +FLAGS.SILENT \\Deleted\r\n"
    b"j APPEND Nope {4+}\r\n\r\nx \r\nk EXPUNGE\r\nl LOGIN {3+}\r\nx y {2+}\r\nz \r\nm LOGOUT\r\n",
)


def talk(*pieces):
    client = stranger(policy=SAFE)
    for piece in pieces:
        client.send(piece)
    return client.read(), [type(question) for question in client.store.asked], client.closed


WHOLE = talk(*STREAM)


def test_the_stream_of_the_cuts_says_what_it_should():
    said = WHOLE[0]
    tags = [line[:1] for line in said.splitlines() if line[1:4] in {b" OK", b" NO", b" BA"} and line[:1] != b"*"]
    assert b"".join(tags) == b"aabcdefghijklm"
    assert b"BODY[]<2> {4}\r\nom: " in said
    assert b"\r\n* 2 EXPUNGE\r\n" in said
    assert WHOLE[2]


@pytest.mark.parametrize("cut", range(1, len(STREAM[1])))
def test_a_cut_anywhere_in_the_stream_changes_nothing(cut):
    assert talk(STREAM[0], STREAM[1][:cut], STREAM[1][cut:]) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_crumbs_change_nothing(size):
    crumbs = [STREAM[1][at : at + size] for at in range(0, len(STREAM[1]), size)]
    assert talk(STREAM[0], *crumbs) == WHOLE


def test_a_synchronizing_literal_waits_for_its_plus():
    client = stranger()
    assert client.send(b"a LOGIN {3}\r\n").read() == b"+ OK\r\n"
    assert client.send(b"bob {6}\r\n").read() == b"+ OK\r\n"
    assert client.send(b"secret\r\n").read().startswith(b"a OK ")


WORDS = st.sampled_from(
    [b"a", b" ", b"\r\n", b"{5+}\r\n", b"{3}\r\n", b"{0}\r\n", b"LOGIN", b"SELECT", b"FETCH", b"UID", b"STORE", b"IDLE",
     b"DONE", b"APPEND", b"INBOX", b"1:*", b"(", b")", b"BODY[]", b"FLAGS", b"\\Seen", b"SEARCH", b"NOT", b"OR", b'"',
     b"LIST", b"RETURN", b"STATUS", b"MOVE", b"COPY", b"EXPUNGE", b"AUTHENTICATE", b"PLAIN", b"*", b"%", b"a NOOP\r\n",
     b"a IDLE\r\n", b"a SELECT INBOX\r\n", b"\x00", b"\xff"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=40), st.booleans())
def test_noise_never_breaks_a_session(words, log_in):
    store = Store("Work")
    store.inbox.add()
    client = Client(store, log_in=log_in)
    for word in words:
        client.send(word)
    for line in client.read().split(b"\r\n")[:-1]:
        assert line[:1] in {b"*", b"+", b"a", b")"} or line  # whole lines only


def test_noise_of_any_octets_never_breaks_a_session():
    dice = random.Random(1)
    for _ in range(200):
        client = Client(log_in=dice.random() < 0.5)
        client.send(dice.randbytes(dice.randrange(200)))
        client.send(b"\r\na NOOP\r\n")
