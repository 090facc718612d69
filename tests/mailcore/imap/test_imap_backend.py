"""Sessions on the real store: what the questions mean here, through the same words that a client would say."""

import pytest
from imap_model import MESSAGE, MIXED, Client

from mailcore.dialogue import Login, Peer, UnavailableError
from mailcore.imap import backend
from mailcore.imap import questions as q
from mailcore.imap.talk import Policy
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.store import commit
from mailcore.store.criteria import Larger
from mailcore.store.models import Mailbox
from mailcore.store.notices import doorbells
from mailcore.store.spool import Spool, budget
from mailcore.store.views import views

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_bodies_of_this_test")]

LARGE = MESSAGE + b"0123456789abcde\n" * 40_000


class Doors:
    """Doors without threads; ``connection`` is the client itself."""

    begun = None

    def __init__(self, connection):
        self.connection = connection
        self.away = False

    async def database(self, function, *args, **kwargs):
        if self.away:
            raise UnavailableError("the database is away")
        return function(*args, **kwargs)

    async def commit(self, work):
        return await self.database(commit.run, work)


class RealClient(Client):
    """A client whose questions the backend answers; it is its own connection."""

    login = "bob@example.com"
    protocol = "imap"
    peer = Peer("192.0.2.1", 4711)

    def __init__(self, user, **options):
        self.user = user
        self.doors = Doors(self)
        super().__init__(store=self, policy=Policy(plaintext_auth_ok=True), **options)

    __hash__ = object.__hash__

    def new_body(self):
        return Spool()

    def answer(self, question):
        if isinstance(question, VerifyPassword):
            return Login(self.user.pk, self.user.username) if question.password == "secret" else LoginRefusal.WRONG
        try:
            backend.ANSWERS[type(question)](question, self.doors).send(None)
        except StopIteration as stop:
            return stop.value
        except UnavailableError as error:
            return error
        raise AssertionError("an answer that waits for something else")

    def notice(self, news):
        if not self.closed:
            self.take(self.session.notice(news))

    def append(self, *messages, box=b"INBOX"):
        pieces = b"".join(b" {%d+}\r\n" % len(message) + message for message in messages)
        return self.do(b"p APPEND " + box + pieces)


@pytest.fixture
def bob(make_user):
    return make_user("bob@example.com")


@pytest.fixture
def client(bob):
    return RealClient(bob, select=b"INBOX")


def test_every_question_has_an_answer():
    asked = {kind for kind in vars(q).values() if isinstance(kind, type) and issubclass(kind, q.Question)}
    assert asked - {q.Question} <= backend.ANSWERS.keys()


def test_a_new_user_has_the_mailboxes_that_everybody_has(bob):
    said = RealClient(bob).do(b'a LIST "" *')
    for line in (b'() "/" INBOX', b'\\Sent) "/" Sent', b'\\Trash) "/" Trash', b'\\Drafts) "/" Drafts'):
        assert line.removeprefix(b"()") in said


def test_a_message_comes_back_byte_for_byte(client):
    eight_bit = MESSAGE + b"caf\xe9 \xff\r\n.\r\nFrom here\r\nbare\rcr and\nlf " + b"x" * 3000
    for message in (MESSAGE, MIXED, eight_bit, LARGE, b"no header at all", b"\r\n"):
        assert b"OK [APPENDUID" in client.append(message)
        said = client.do(b"a FETCH * BODY.PEEK[]")
        assert b"BODY[] {%d}\r\n" % len(message) + message + b")\r\n" in said
    assert budget.used == 0


def test_parts_headers_and_overview_come_from_the_real_message(client):
    client.append(MIXED)
    said = client.do(b"a FETCH 1 (UID RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[2.HEADER] BODY.PEEK[9])")
    assert said.startswith(b"* 1 FETCH (UID 1 RFC822.SIZE %d ENVELOPE (NIL " % len(MIXED))
    assert b'BODYSTRUCTURE (("text" "plain" ' in said
    assert b' BODY (("text" "plain" ' in said
    assert said.endswith(b"BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[9] NIL)\r\na OK FETCH completed\r\n")
    assert b"{22}\r\nSubject: two parts\r\n\r\n)" in client.do(b"b FETCH 1 BODY.PEEK[HEADER.FIELDS (subject)]")


def test_a_large_body_is_read_in_pieces(client):
    client.append(LARGE)
    assert b"{20}\r\n" + LARGE[500_000:500_020] in client.do(b"a FETCH 1 BODY.PEEK[]<500000.20>")
    body = LARGE.partition(b"\r\n\r\n")[2]
    assert b"{%d}\r\n" % len(body) + body in client.do(b"b FETCH 1 BODY.PEEK[TEXT]")


def test_many_bodies_come_in_answers_of_bounded_size(client):
    client.append(*[MESSAGE + b"y" * 60_000] * 40)
    said = client.do(b"a FETCH 1:* BODY.PEEK[]")
    assert said.count(b" FETCH (BODY[] {") == 40
    assert len(said) > 40 * 60_000


def test_two_sessions_hear_of_each_other(bob, client):
    other = RealClient(bob, select=b"INBOX")
    other.do(b"a IDLE")
    client.append(MESSAGE, MESSAGE)
    doorbells.ring_all()
    assert other.read() == b"* 2 EXISTS\r\n* 0 RECENT\r\n"
    client.do(b"b STORE 1 +FLAGS.SILENT (\\Deleted $Junk)")
    doorbells.ring_all()
    assert b"* 1 FETCH (FLAGS (\\Deleted $Junk))\r\n" in other.read()
    client.do(b"c EXPUNGE")
    doorbells.ring_all()
    assert other.read() == b"* 1 EXPUNGE\r\n"
    other.do(b"DONE")
    assert other.do(b"d UID SEARCH ALL").startswith(b"* SEARCH 2\r\n")


def test_copy_move_and_status_agree(client):
    client.append(MESSAGE, MIXED, MESSAGE)
    assert client.do(b"a COPY 1:2 Nope").startswith(b"a NO [TRYCREATE]")
    client.do(b"b CREATE Work/2024")
    assert b"COPYUID" in client.do(b"c COPY 1:2 Work/2024")
    assert client.do(b"d MOVE 3 Work/2024").splitlines()[1] == b"* 3 EXPUNGE"
    size = 2 * len(MESSAGE) + len(MIXED)
    assert client.do(b"e STATUS Work/2024 (MESSAGES SIZE UIDNEXT)").startswith(
        b"* STATUS Work/2024 (MESSAGES 3 SIZE %d UIDNEXT 4)" % size
    )


def test_search_asks_the_messages_themselves(client):
    client.append(MESSAGE, MIXED, MESSAGE.replace(b"lunch", b"=?utf-8?q?d=C3=A9jeuner?="))
    assert client.do(b"a SEARCH SUBJECT {9+}\r\nD\xc3\x89jeuner").startswith(b"* SEARCH 3\r\n")
    assert client.do(b"b SEARCH OR BODY one NOT SUBJECT d").startswith(b"* SEARCH 1 2\r\n")


def test_mailboxes_are_renamed_and_deleted_with_what_is_in_them(client):
    client.append(MESSAGE)
    client.do(b"a CREATE old/below")
    assert client.do(b"b RENAME old new").startswith(b"b OK")
    assert client.do(b"c SELECT old/below").splitlines()[-1].startswith(b"c NO [NONEXISTENT]")
    assert b"READ-WRITE" in client.do(b"d SELECT new/below")
    assert client.do(b"e DELETE new/below").startswith(b"e OK")
    # RFC 3501 section 6.3.5: INBOX is emptied, and stays.
    assert client.do(b"f RENAME INBOX archive/first").startswith(b"f OK")
    assert client.do(b"g STATUS INBOX (MESSAGES)").startswith(b"* STATUS INBOX (MESSAGES 0)")
    assert client.do(b"h STATUS archive/first (MESSAGES)").startswith(b"* STATUS archive/first (MESSAGES 1)")


def test_quota_is_said_before_and_after(make_user):
    client = RealClient(make_user("small@example.com", quota=200), select=b"INBOX")
    assert client.do(b"a APPEND INBOX {400}").startswith(b"a NO [OVERQUOTA]")
    client.append(MESSAGE)
    assert client.append(MESSAGE).startswith(b"p NO [OVERQUOTA]")
    assert client.do(b"b COPY 1 Trash").startswith(b"b NO [OVERQUOTA]")
    assert client.do(b"c MOVE 1 Trash").splitlines()[-1].startswith(b"c OK")
    assert budget.used == 0


def test_nobody_reaches_the_mailbox_of_another(bob, make_user, client):
    client.append(MESSAGE)
    mailbox = Mailbox.objects.get(owner=bob, name="INBOX").pk
    eve = RealClient(make_user("eve@example.com"))
    key = q.MailboxKey(eve.user.pk, mailbox)
    assert eve.answer(q.ReadChanges(key, 0, False)) is q.Refused.NO_SUCH_MAILBOX
    assert eve.answer(q.FetchMessages(key, [1], sections=(q.Section(),))).rows == []
    assert eve.answer(q.FetchMessages(key, [1], envelope=True)).rows == []
    assert eve.answer(q.ReadBody(key, 1, 0, 10)) is q.Refused.EXPUNGED
    assert eve.answer(q.SearchMessages(key, [1], Larger(0))) == []
    for change in (
        q.StoreFlags(key, [1], q.StoreMode.ADD, 1, ()),
        q.Expunge(key),
        q.CopyMessages(key, [1], "INBOX"),
        q.CopyMessages(key, [1], "INBOX", move=True),
    ):
        assert isinstance(eve.answer(change), q.Refused)
    assert client.do(b"z FETCH 1:* FLAGS") == b"* 1 FETCH (FLAGS (\\Recent))\r\nz OK FETCH completed\r\n"


def test_when_the_database_is_away_sessions_stay(client):
    client.append(MESSAGE)
    client.doors.away = True
    for line in (b"a FETCH 1 ENVELOPE", b"a STORE 1 +FLAGS (\\Seen)", b"a STATUS INBOX (MESSAGES)", b"a EXPUNGE"):
        assert client.do(line).startswith(b"a NO [UNAVAILABLE]")
    assert client.append(MESSAGE).startswith(b"p NO [UNAVAILABLE]")
    assert client.do(b"a NOOP") == b"a OK NOOP completed\r\n"
    client.doors.away = False
    assert b"1 FETCH (ENVELOPE" in client.do(b"b FETCH 1 ENVELOPE")
    assert budget.used == 0


def test_a_session_that_leaves_is_not_rung_for(client):
    assert doorbells.watched == 1
    client.do(b"a UNSELECT")
    assert doorbells.watched == 0
    client.do(b"b SELECT INBOX")
    client.do(b"c SELECT INBOX")
    assert doorbells.watched == 1
    client.do(b"d LOGOUT")
    client.closed = False
    client.take(client.session.lost())
    assert doorbells.watched == 0
    assert all(view.sessions == 0 for view in views._views.values())


def test_a_mailbox_that_cannot_be_opened_is_not_watched(client):
    client.doors.away = True
    assert client.do(b"a SELECT INBOX").splitlines()[-1].startswith(b"a NO [UNAVAILABLE]")
    client.doors.away = False
    assert client.do(b"b SELECT Nope").startswith(b"b NO [NONEXISTENT]")


def test_a_connection_lost_while_its_mailbox_opens_leaves_it(client):
    client.do(b"a UNSELECT")
    original = views.open

    def lost_meanwhile(*args, **kwargs):
        opened = original(*args, **kwargs)
        client.answer(q.CloseMailbox(None))
        return opened

    views.open = lost_meanwhile
    try:
        client.answer(q.OpenMailbox(client.user.pk, "INBOX", False))
    finally:
        del views.open
    assert doorbells.watched == 0
    assert all(view.sessions == 0 for view in views._views.values())


def test_append_finds_the_mailbox_that_has_the_name_now(client):
    client.do(b"a CREATE box")
    assert b"APPENDUID" in client.append(MESSAGE, box=b"box")
    client.do(b"b RENAME box other")
    assert client.append(MESSAGE, box=b"box").startswith(b"p NO [TRYCREATE]")
    client.do(b"c CREATE box")
    assert b"APPENDUID" in client.append(MESSAGE, MESSAGE, box=b"box")
    client.do(b"d DELETE box")
    client.do(b"e RENAME other box")
    assert b"APPENDUID" in client.append(MESSAGE, box=b"box")
    assert b"(MESSAGES 2)" in client.do(b"f STATUS box (MESSAGES)")
    assert budget.used == 0


def test_append_of_a_large_message_follows_the_name_too(client):
    client.do(b"a CREATE box")
    assert b"APPENDUID" in client.append(MESSAGE, box=b"box")
    client.do(b"b DELETE box")
    client.do(b"c CREATE box")
    assert b"APPENDUID" in client.append(LARGE, box=b"box")
    client.do(b"d SELECT box")
    assert b"BODY[] {%d}\r\n" % len(LARGE) + LARGE in client.do(b"e FETCH 1 BODY.PEEK[]")
