"""The connection itself: COMPRESS, UNAUTHENTICATE, progress, ID, IDLE."""

import pytest
from imap_model import MESSAGE, Client, Store, asked

from mailcore.dialogue import Peer, Send, StartDeflate, StopDeflate, TlsFacts
from mailcore.imap import questions as q
from mailcore.imap.responses import in_progress

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def with_mail(count=3, **options):
    store = Store("Work")
    for _ in range(count):
        store.inbox.add()
    return Client(store, select=b"INBOX", **options)


def capabilities(client):
    return client.do(b"c CAPABILITY").splitlines()[0].split()[2:]


# -- COMPRESS ---------------------------------------------------------------------------------------------------------


def test_compression_begins_right_after_its_completion():
    client = with_mail()
    client.read()
    client.send(b"a compress deflate\r\n")
    assert client.layers == [(StartDeflate, b"a OK DEFLATE active\r\n")]
    assert client.do(b"b NOOP").endswith(b"b OK NOOP completed\r\n")


def test_what_came_plain_behind_compress_is_forgotten():
    # RFC 4978 section 3: the client sends nothing before it has seen the answer. What came was not compressed.
    client = Client()
    assert client.send(b"a COMPRESS DEFLATE\r\nb LIST {3}\r\nc NO").read() == b"a OK DEFLATE active\r\n"
    assert client.do(b"d NOOP") == b"d OK NOOP completed\r\n"


def test_compression_is_not_doubled_and_no_tls_begins_inside_it():
    client = Client()
    client.do(b"a COMPRESS DEFLATE")
    assert client.do(b"b COMPRESS DEFLATE") == b"b BAD DEFLATE is active already\r\n"
    assert client.do(b"c STARTTLS").startswith(b"c BAD ")
    assert [layer for layer, _ in client.layers] == [StartDeflate]
    assert client.tls == 0


def test_a_failed_compress_changes_nothing():
    client = Client()
    client.do(b"a COMPRESS GZIP")
    assert client.layers == []


# -- UNAUTHENTICATE ---------------------------------------------------------------------------------------------------


def test_unauthenticate_forgets_all_but_tls():
    client = with_mail(peer=Peer("192.0.2.1", 5, TLS))
    client.do(b"a ENABLE CONDSTORE IMAP4rev2 UTF8=ACCEPT")
    client.do(b'b ID ("name" "x")')
    assert client.do(b"c UNAUTHENTICATE") == b"c OK UNAUTHENTICATE completed\r\n"
    assert client.session.login is None
    assert [type(question) for question in client.store.asked[-2:]] == [q.CloseMailbox, q.ForgetLogin]
    assert client.do(b"d SELECT INBOX").startswith(b"d BAD ")
    assert b"AUTH=PLAIN" in capabilities(client)
    assert b"LOGINDISABLED" not in capabilities(client)
    talk = client.session._talk
    assert [talk.condstore, talk.rev2, talk.utf8, talk.client, talk.selected] == [False, False, False, {}, None]
    assert talk.peer.tls == TLS
    assert client.do(b"e LOGIN bob secret").startswith(b"e OK ")
    assert b"* 0 RECENT" in client.do(b"f SELECT INBOX")


def test_unauthenticate_and_the_next_login_fit_in_one_packet():
    client = with_mail()
    said = client.send(b"a UNAUTHENTICATE\r\nb AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=\r\nc SELECT Work\r\n").read()
    tagged = [line for line in said.splitlines() if not line.startswith(b"*")]
    assert [line[:4] for line in tagged] == [b"a OK", b"b OK", b"c OK"]


def test_unauthenticate_removes_nothing():
    client = with_mail()
    client.do(b"a STORE 1 +FLAGS (\\Deleted)")
    client.do(b"b UNAUTHENTICATE")
    assert len(client.store.inbox.messages) == 3
    assert asked(client, q.Expunge) == []


def test_unauthenticate_ends_compression_behind_its_completion():
    client = Client()
    client.do(b"a COMPRESS DEFLATE")
    client.send(b"b UNAUTHENTICATE\r\nc NOOP\r\n")
    assert client.layers[1] == (StopDeflate, b"b OK UNAUTHENTICATE completed\r\n")
    client.read()
    assert client.do(b"d LOGIN bob secret").startswith(b"d OK ")
    assert client.do(b"e COMPRESS DEFLATE") == b"e OK DEFLATE active\r\n"


def test_a_strangers_limits_hold_again_after_unauthenticate():
    client = Client()
    client.do(b"a UNAUTHENTICATE")
    assert client.session.patience == 60
    assert client.do(b"b LOGIN bob {4097}").startswith(b"b NO [TOOBIG] ")


# -- Progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "progress", "code"),
    [
        (b"a1", None, b'("a1" NIL NIL)'),
        (b"a1", (0, 0), b'("a1" NIL NIL)'),
        (b"a1", (0, 1), b'("a1" 0 1)'),
        (b"a1", (7, 20), b'("a1" 7 20)'),
        (b"a1", (20, 20), b'("a1" 19 20)'),
        (b"a1", (99, 20), b'("a1" 19 20)'),
        (b"a]", (7, 20), b"(NIL 7 20)"),
    ],
)
def test_progress_is_told_in_the_grammar_of_rfc_9585(tag, progress, code):
    assert in_progress(tag, progress) == b"* OK [INPROGRESS " + code + b"] Still at it\r\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"x1 SEARCH TEXT lunch", b'* OK [INPROGRESS ("x1" NIL NIL)] Still at it\r\n'),
        (b"x1 UID COPY 1:2 Work", b'* OK [INPROGRESS ("x1" NIL NIL)] Still at it\r\n'),
        (b"x1 STORE 1:3 +FLAGS.SILENT (\\Seen)", b'* OK [INPROGRESS ("x1" 0 3)] Still at it\r\n'),
        (b"x1 FETCH 1 ENVELOPE", b""),
        (b"x1 NOOP", b""),
    ],
)
def test_a_command_that_takes_long_says_so_where_a_line_may_stand(line, said):
    client = with_mail()
    client.answers = False
    client.send(line + b"\r\n")
    assert client.session.waiting() == ([Send(said)] if said else [])


def test_nothing_is_said_in_the_middle_of_a_literal():
    store = Store()
    store.inbox.add(b"Subject: x\r\n\r\n" + b"y" * 600_000)
    client = Client(store, select=b"INBOX")
    store.by_key = lambda key: store.inbox
    client.answers = False
    client.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    client.pending = None
    large = q.MessageRow(1, 600_014, 0, None, None, None, None, (q.Span(0, 600_014),))
    client.take(client.session.answer(q.Fetched([large], 1)))
    assert isinstance(client.pending, q.ReadBody)
    assert client.session.waiting() == []


def test_progress_ends_with_its_command():
    client = with_mail()
    client.do(b"a STORE 1:3 +FLAGS (\\Seen)")
    client.answers = False
    client.send(b"b NOOP\r\n")
    assert client.session.waiting() == []


# -- ID, IDLE, LOGOUT -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (b"NIL", {}),
        (b"nil", {}),
        (b"()", {}),
        (b'("name" "Mail" "version" NIL)', {"name": "Mail", "version": ""}),
        (b'("NAME" {4+}\r\nM\r\nx)', {"name": "M\r\nx"}),
        (b'("name" "\xc3\xa9")', {"name": "é"}),
        (b'("' + b"f" * 30 + b'" "' + b"v" * 1024 + b'")', {"f" * 30: "v" * 1024}),
    ],
)
def test_id_is_taken_in_every_form_and_state(arguments, known):
    for client in (Client(log_in=False), Client(), with_mail()):
        said = client.do(b"a ID " + arguments)
        assert said == b'* ID ("name" "A3Mailer")\r\na OK ID completed\r\n'
        assert client.session._talk.client == known


@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        b"name",
        b"(name x)",
        b'("name" x)',
        b'("name" "x"',
        b'("name"  "x")',
        b'(NIL "x")',
        b'("' + b"f" * 31 + b'" "x")',
        b'("f" "' + b"v" * 1025 + b'")',
        b'("f" "\xff")',
        b"(" + b" ".join(b'"%d" NIL' % number for number in range(31)) + b")",
        b"NIL NIL",
    ],
)
def test_an_id_that_breaks_its_rules_is_refused(arguments):
    client = Client()
    assert client.do(b"a ID " + arguments).startswith(b"a BAD ")
    assert client.session._talk.client == {}


@pytest.mark.parametrize("word", [b"DONE", b"done", b"Done"])
def test_idle_ends_with_done_in_any_letter_case(word):
    client = with_mail()
    assert client.do(b"a IDLE") == b"+ idling\r\n"
    assert client.do(word) == b"a OK IDLE completed\r\n"


@pytest.mark.parametrize("word", [b"", b"b NOOP", b"DONE ", b"a DONE", b"DON"])
def test_idle_takes_no_other_word(word):
    client = with_mail()
    client.do(b"a IDLE")
    assert client.do(word) == b"a BAD Expected DONE\r\n"
    assert client.do(b"c NOOP").endswith(b"c OK NOOP completed\r\n")


def test_idle_without_a_mailbox_waits_in_silence():
    client = Client()
    assert client.do(b"a IDLE") == b"+ idling\r\n"
    client.store.inbox.add(MESSAGE)
    assert client.ring() == b""
    assert client.do(b"DONE") == b"a OK IDLE completed\r\n"


def test_an_idle_line_without_end_is_bounded():
    client = with_mail()
    client.do(b"a IDLE")
    client.send(b"x" * 70_000)
    assert client.read().startswith(b"* BYE [LIMIT]")
    assert client.closed
