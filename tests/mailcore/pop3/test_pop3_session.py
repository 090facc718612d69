"""What a POP3 session says, asks and refuses."""

import base64
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailcore.dialogue import Action, Ask, Close, Login, Pause, Peer, Question, Send, StartTls, TlsFacts
from mailcore.pop3 import languages, replies
from mailcore.pop3.questions import (
    DeleteMessages,
    FetchMessage,
    FetchMessages,
    Maildrop,
    MaildropRefusal,
    OpenMaildrop,
    ReleaseMaildrop,
)
from mailcore.pop3.session import READ_AHEAD, SLICE, Policy, Pop3Session
from mailcore.sasl.questions import LoginRefusal, VerifyPassword

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
CLEAR = Peer("192.0.2.1", 4000)
SECURE = Peer("192.0.2.1", 4000, TLS)
LOGIN = b"USER bob@example.com\r\nPASS secret\r\n"
MESSAGES = (
    b"Subject: one\r\n\r\n.dot\r\n..\r\nlast\r\n",
    b"Subject: two\r\n\r\nno newline at the end",
    b"\r\n.\r\nno header\r\n",
)


@dataclass
class Talk:
    """One connection to a maildrop with ``messages``; ``refuse`` has other answers for kinds of questions."""

    policy: Policy = field(default_factory=lambda: Policy(tls_available=True))
    peer: Peer = SECURE
    messages: tuple[bytes | None, ...] = MESSAGES
    refuse: dict[type, object] = field(default_factory=dict)
    handshake: bool = True

    def __post_init__(self) -> None:
        self.said = b""
        self.asked: list[Question] = []
        self.sends: list[int] = []
        self.closed = False
        self.session = Pop3Session(self.policy, self.peer)
        self.do(self.session.greet())

    def feed(self, *pieces: bytes) -> "Talk":
        for piece in pieces:
            self.do(self.session.receive(piece))
        return self

    def do(self, actions: list[Action]) -> "Talk":
        while actions:
            assert not self.closed
            assert not any(isinstance(action, Ask | Close | StartTls) for action in actions[:-1])
            for action in actions:
                if isinstance(action, Send):
                    self.said += action.data
                    self.sends.append(len(action.data))
            last, actions = actions[-1], []
            match last:
                case Ask(question=question):
                    self.asked.append(question)
                    answer = self.refuse.get(type(question), self)
                    answer = self._answer(question) if answer is self else answer
                    failed = isinstance(answer, Exception)
                    actions = self.session.failed(answer) if failed else self.session.answer(answer)
                case StartTls():
                    self.said += b"<TLS>"
                    actions = self.session.tls_started(TLS) if self.handshake else []
                case Close():
                    self.said += b"<CLOSE>"
                    self.closed = True
        return self

    def _answer(self, question: Question) -> object:
        match question:
            case VerifyPassword(login=login, password=password):
                return Login(7, login) if password == "secret" else LoginRefusal.WRONG
            case OpenMaildrop():
                uids = [number * 10 for number in range(1, len(self.messages) + 1)]
                sizes = [5 if message is None else len(message) for message in self.messages]
                return Maildrop(3, 1, uids, sizes, sum(sizes))
            case FetchMessages(mailbox_id=3, uids=uids):
                assert list(uids) == sorted(set(uids))
                there = {uid: self.messages[uid // 10 - 1] for uid in uids}
                return {uid: message for uid, message in there.items() if message is not None}
            case Pause():
                return None
            case FetchMessage(mailbox_id=3, uid=uid, offset=offset, limit=limit):
                message = self.messages[uid // 10 - 1]
                return None if message is None else message[offset : offset + limit]
            case DeleteMessages() | ReleaseMaildrop():
                return None
        raise AssertionError(question)

    @property
    def replies(self) -> list[bytes]:
        return self.said.split(b"\r\n")[1:]

    @property
    def last(self) -> bytes:
        return self.said.removesuffix(b"<CLOSE>").split(b"\r\n")[-2]

    def kinds(self) -> list[type]:
        return [type(question) for question in self.asked]


def said_after_login(commands: bytes, **options) -> bytes:
    conversation = Talk(**options).feed(LOGIN)
    before = len(conversation.said)
    return conversation.feed(commands).said[before:]


REFUSED = [
    (b"", b"STAT", b"-ERR Log in first"),
    (b"", b"RETR 1", b"-ERR Log in first"),
    (b"", b"NOOP", b"-ERR Log in first"),
    (b"", b"PASS secret", b"-ERR Say USER first"),
    (b"", b"USER", b"-ERR Wrong argument"),
    (b"", b"USER \xff", b"-ERR Wrong argument"),
    (b"", b"USER a\0b", b"-ERR Wrong argument"),
    (b"", b"STLS", b"-ERR TLS is active already"),
    (b"", b"APOP bob 0123", b"-ERR Unknown command"),
    (b"", b"", b"-ERR Unknown command"),
    (b"", b"NOOP" + b"x" * 13000, b"-ERR Line too long"),
    (b"", b"AUTH  PLAIN", b"-ERR Wrong argument"),
    (b"", b"AUTH PLAIN x y", b"-ERR Wrong argument"),
    (b"", b"UTF8 x", b"-ERR Wrong argument"),
    (b"", b"STLS now", b"-ERR Wrong argument"),
    (b"", b"LANG tlh", b"-ERR No such language"),
    (b"", b"LANG \xe4\xb8\xad", b"-ERR No such language"),
    (b"LANG zh\r\n", b"LANG tlh", "-ERR 不支持这种语言".encode()),
    (b"LANG zh\r\n", b"STAT", "-ERR 请先登录".encode()),
    (b"LANG zh\r\n", b"USER bob\r\nPASS wrong", "-ERR [AUTH] 登录名或密码错误".encode()),
    (b"UTF8\r\n" + LOGIN, b"UTF8", b"-ERR You are logged in already"),
    (LOGIN, b"PASS secret", b"-ERR You are logged in already"),
    (LOGIN, b"AUTH PLAIN", b"-ERR You are logged in already"),
    (LOGIN, b"TOP 1 1 1", b"-ERR Wrong argument"),
    (LOGIN, b"TOP x 1", b"-ERR Wrong argument"),
    (LOGIN, b"UIDL 4", b"-ERR No such message"),
    (LOGIN, b"UIDL 1 2", b"-ERR Wrong argument"),
    (LOGIN, b"LIST 0", b"-ERR No such message"),
    (LOGIN, b"DELE 4", b"-ERR No such message"),
    (LOGIN + b"DELE 1\r\n", b"TOP 1 0", b"-ERR No such message"),
    (LOGIN + b"DELE 1\r\n", b"UIDL 1", b"-ERR No such message"),
    (b"", b"AUTH CRAM-MD5", b"-ERR Unknown authentication mechanism"),
    (b"", b"AUTH PLAIN !", b"-ERR Cannot decode this response"),
    (b"", b"AUTH PLAIN =", b"-ERR Cannot decode this response"),
    (b"", b"AUTH PLAIN\r\n*", b"-ERR Authentication cancelled"),
    (b"", b"AUTH PLAIN\r\n" + b"A" * 13000, b"-ERR Line too long"),
    (b"", b"AUTH PLAIN " + base64.b64encode(b"root\0bob\0secret"), b"-ERR [AUTH] Wrong login or password"),
    (b"", b"USER bob\r\nPASS wrong", b"-ERR [AUTH] Wrong login or password"),
    (b"", b"USER bob\r\nPASS secret ", b"-ERR [AUTH] Wrong login or password"),
    (LOGIN, b"USER bob", b"-ERR You are logged in already"),
    (LOGIN, b"STLS", b"-ERR You are logged in already"),
    (LOGIN, b"RETR", b"-ERR Wrong argument"),
    (LOGIN, b"RETR 0", b"-ERR No such message"),
    (LOGIN, b"RETR 4", b"-ERR No such message"),
    (LOGIN, b"RETR -1", b"-ERR Wrong argument"),
    (LOGIN, b"RETR 99999999999", b"-ERR Wrong argument"),
    (LOGIN, "RETR ١".encode(), b"-ERR Wrong argument"),
    (LOGIN, b"TOP 1", b"-ERR Wrong argument"),
    (LOGIN, b"TOP 1 -1", b"-ERR Wrong argument"),
    (LOGIN, b"TOP 9 1", b"-ERR No such message"),
    (LOGIN, b"LIST 4", b"-ERR No such message"),
    (LOGIN, b"UIDL x", b"-ERR Wrong argument"),
    (LOGIN, b"DELE", b"-ERR Wrong argument"),
    (LOGIN + b"DELE 1\r\n", b"DELE 1", b"-ERR No such message"),
    (LOGIN + b"DELE 1\r\n", b"RETR 1", b"-ERR No such message"),
    (LOGIN + b"DELE 1\r\n", b"LIST 1", b"-ERR No such message"),
]


@pytest.mark.parametrize(("before", "command", "answer"), REFUSED)
def test_a_wrong_command_is_refused(before, command, answer):
    conversation = Talk().feed(before + command + b"\r\n")
    assert conversation.last == answer
    assert not conversation.closed
    assert not {FetchMessage, FetchMessages, DeleteMessages} & set(conversation.kinds())


@pytest.mark.parametrize("command", [b"USER bob", b"PASS secret", b"AUTH PLAIN", b"AUTH LOGIN Ym9i"])
def test_no_password_is_taken_before_tls(command):
    conversation = Talk(peer=CLEAR).feed(command + b"\r\n")
    assert conversation.last == b"-ERR Say STLS first: passwords are taken over TLS only"
    assert conversation.asked == []


def test_capa_names_only_what_may_be_done_now():
    before_tls = Talk(peer=CLEAR).feed(b"CAPA\r\n").said.split(b"\r\n")
    assert b"STLS" in before_tls
    assert b"USER" not in before_tls
    assert not any(line.startswith(b"SASL") for line in before_tls)
    inside = Talk().feed(b"CAPA\r\n").said.split(b"\r\n")
    assert {b"USER", b"SASL PLAIN LOGIN"} <= set(inside)
    assert b"STLS" not in inside
    assert b"UTF8 USER" in inside
    assert not any(line.startswith(b"IMPLEMENTATION") for line in inside)
    at_home = Talk().feed(LOGIN + b"CAPA\r\n").said.split(b"\r\n")
    assert b"IMPLEMENTATION A3Mailer" in at_home
    assert not {b"STLS", b"USER", b"UTF8 USER", b"SASL PLAIN LOGIN"} & set(at_home)
    common = {
        b"LANG",
        b"TOP",
        b"UIDL",
        b"PIPELINING",
        b"RESP-CODES",
        b"AUTH-RESP-CODE",
        b"EXPIRE NEVER",
        b"LOGIN-DELAY 0",
    }
    assert common <= set(inside)
    allowed = Talk(policy=Policy(plaintext_auth_ok=True), peer=CLEAR).feed(b"CAPA\r\n").said.split(b"\r\n")
    assert b"USER" in allowed
    assert b"STLS" not in allowed


@pytest.mark.parametrize(
    "login",
    [
        LOGIN,
        b"user bob@example.com\r\npass secret\r\n",
        b"AUTH PLAIN " + base64.b64encode(b"\0bob@example.com\0secret") + b"\r\n",
        b"AUTH PLAIN\r\n" + base64.b64encode(b"\0bob@example.com\0secret") + b"\r\n",
        b"AUTH LOGIN\r\nYm9iQGV4YW1wbGUuY29t\r\nc2VjcmV0\r\n",
    ],
)
def test_every_form_of_login_opens_the_maildrop(login):
    conversation = Talk().feed(login)
    assert conversation.last == b"+OK 3 messages (%d octets)" % sum(map(len, MESSAGES))
    assert conversation.session.login == Login(7, "bob@example.com")
    assert conversation.kinds() == [VerifyPassword, OpenMaildrop]
    assert "secret" not in repr(conversation.asked)


def test_three_failed_logins_close_the_connection():
    conversation = Talk().feed(b"USER bob\r\nPASS wrong\r\n" * 4)
    assert conversation.said.count(b"-ERR [AUTH]") == 3
    assert conversation.closed


@pytest.mark.parametrize(
    ("kind", "answer", "said"),
    [
        (VerifyPassword, LoginRefusal.LATER, b"-ERR [SYS/TEMP]"),
        (VerifyPassword, RuntimeError(), b"-ERR [SYS/TEMP]"),
        (OpenMaildrop, RuntimeError(), b"-ERR [SYS/TEMP]"),
        (OpenMaildrop, MaildropRefusal.IN_USE, b"-ERR [IN-USE]"),
        (OpenMaildrop, MaildropRefusal.GONE, b"-ERR [SYS/PERM]"),
    ],
)
def test_a_login_that_cannot_be_served_now_may_be_tried_again(kind, answer, said):
    conversation = Talk(refuse={kind: answer}).feed(LOGIN)
    assert conversation.last.startswith(said)
    conversation.refuse.clear()
    assert conversation.feed(LOGIN).last.startswith(b"+OK 3 messages")


def test_a_broken_open_lets_go_of_the_lock():
    conversation = Talk(refuse={OpenMaildrop: RuntimeError(), ReleaseMaildrop: RuntimeError()}).feed(LOGIN)
    assert conversation.kinds() == [VerifyPassword, OpenMaildrop, ReleaseMaildrop]
    assert conversation.feed(b"STAT\r\n").last == b"-ERR Log in first"


def test_messages_are_listed_with_exact_sizes():
    said = said_after_login(b"STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 3\r\n")
    one, two, three = map(len, MESSAGES)
    assert said == (
        b"+OK 3 %d\r\n" % (one + two + three)
        + b"+OK\r\n1 %d\r\n2 %d\r\n3 %d\r\n.\r\n" % (one, two, three)
        + b"+OK 2 %d\r\n" % two
        + b"+OK\r\n1 1.10\r\n2 1.20\r\n3 1.30\r\n.\r\n+OK 3 1.30\r\n"
    )


def test_an_empty_maildrop_lists_nothing():
    assert said_after_login(b"STAT\r\nLIST\r\n", messages=()) == b"+OK 0 0\r\n+OK\r\n.\r\n"


@pytest.mark.parametrize(
    ("number", "wire"),
    [
        (1, b"Subject: one\r\n\r\n..dot\r\n...\r\nlast\r\n.\r\n"),
        (2, b"Subject: two\r\n\r\nno newline at the end\r\n.\r\n"),
        (3, b"\r\n..\r\nno header\r\n.\r\n"),
    ],
)
def test_retr_gives_the_message_exactly(number, wire):
    size = len(MESSAGES[number - 1])
    assert said_after_login(b"RETR %d\r\n" % number) == b"+OK %d octets\r\n" % size + wire


@pytest.mark.parametrize(
    ("command", "wire"),
    [
        (b"TOP 1 0", b"Subject: one\r\n\r\n.\r\n"),
        (b"TOP 1 1", b"Subject: one\r\n\r\n..dot\r\n.\r\n"),
        (b"TOP 1 99", b"Subject: one\r\n\r\n..dot\r\n...\r\nlast\r\n.\r\n"),
        (b"TOP 2 0", b"Subject: two\r\n\r\n.\r\n"),
        (b"TOP 2 1", b"Subject: two\r\n\r\nno newline at the end\r\n.\r\n"),
        (b"TOP 3 0", b"\r\n.\r\n"),
        (b"TOP 3 1", b"\r\n..\r\n.\r\n"),
    ],
)
def test_top_gives_the_header_and_so_many_lines(command, wire):
    assert said_after_login(command + b"\r\n") == b"+OK\r\n" + wire


def test_a_large_message_is_sent_in_slices_and_dots_at_their_edges_survive():
    body = b"Subject: x\r\n\r\n"
    body += b"y" * (SLICE - len(body) - 2) + b"\r\n" + b".z" * 40_000 + b"\r\n.\r\n"
    conversation = Talk(messages=(body,)).feed(LOGIN + b"RETR 1\r\n")
    assert body.replace(b"\r\n.", b"\r\n..") + b".\r\n" == conversation.said.split(b" octets\r\n")[-1]
    fetched = [(one.offset, one.limit) for one in conversation.asked if isinstance(one, FetchMessage)]
    assert fetched == [(0, SLICE), (SLICE, SLICE), (2 * SLICE, SLICE)][: len(fetched)]
    assert max(conversation.sends) <= SLICE + 100


def test_top_reads_no_more_slices_than_it_needs():
    conversation = Talk(messages=(b"a: b\r\n\r\n" + b"x\r\n" * 100_000,)).feed(LOGIN + b"TOP 1 2\r\n")
    assert conversation.kinds().count(FetchMessage) == 1


def test_small_messages_are_read_together_ahead_of_the_client():
    messages = tuple(b"Subject: %d\r\n\r\n" % number + b"x" * 20_000 for number in range(20))
    conversation = Talk(messages=messages).feed(LOGIN)
    for number in range(1, 21):
        conversation.feed(b"RETR %d\r\n" % number)
    read = [one.uids for one in conversation.asked if isinstance(one, FetchMessages)]
    assert [uid for uids in read for uid in uids] == [number * 10 for number in range(1, 21)]
    assert {len(uids) for uids in read[:-1]} == {READ_AHEAD // 20_017}
    assert conversation.said.count(b"x" * 20_000) == 20


def test_nothing_is_read_ahead_for_a_client_that_picks():
    conversation = Talk(messages=MESSAGES * 10).feed(LOGIN + b"RETR 1\r\nRETR 30\r\nRETR 20\r\n")
    assert [len(one.uids) for one in conversation.asked if isinstance(one, FetchMessages)] == [30]
    conversation = Talk(messages=MESSAGES * 100).feed(LOGIN + b"RETR 1\r\nRETR 250\r\nRETR 230\r\n")
    assert [len(one.uids) for one in conversation.asked if isinstance(one, FetchMessages)] == [200, 1, 1]


def test_what_is_marked_as_deleted_is_not_read_and_a_second_retr_reads_again():
    conversation = Talk().feed(LOGIN + b"DELE 2\r\nRETR 1\r\nRETR 1\r\nTOP 3 0\r\nRETR 3\r\n")
    assert [one.uids for one in conversation.asked if isinstance(one, FetchMessages)] == [(10, 30), (10,), (30,)]


@pytest.mark.parametrize("command", [b"LIST\r\n", b"UIDL\r\n", b"TOP 1 9\r\n"])
def test_a_flood_of_commands_waits_for_the_client_to_read(command):
    conversation = Talk(messages=(b"x" * 10_000,) * 2 if b" " in command else (b"x",) * 2500).feed(LOGIN)
    del conversation.sends[:]
    conversation.feed(command * 100)
    assert Pause in conversation.kinds()
    assert max(conversation.sends) < SLICE + 40_000
    whole = Talk(messages=conversation.messages).feed(LOGIN)
    for _ in range(100):
        whole.feed(command)
    assert whole.said == conversation.said


def test_a_flood_of_what_was_read_ahead_waits_for_the_client_to_read():
    flood = LOGIN + b"".join(b"RETR %d\r\n" % number for number in range(1, 121))
    conversation = Talk(messages=(b"x" * 1000,) * 120).feed(flood)
    assert conversation.kinds().count(FetchMessages) == 1
    assert conversation.kinds().count(Pause) == 1
    assert max(conversation.sends) < SLICE + 1100


def test_languages_are_listed_and_spoken():
    talk = Talk(peer=CLEAR).feed(b"LANG\r\n")
    assert talk.said.endswith("+OK Languages\r\ni-default Default (English)\r\nen English\r\nzh 中文\r\n.\r\n".encode())
    assert talk.feed(b"LANG ZH-Hans-CN\r\n").last == "+OK zh 现在使用中文".encode()
    assert talk.feed(b"FOO\r\n").last == "-ERR 未知命令".encode()
    assert talk.feed(b"LANG\r\n").said.endswith(b".\r\n")
    assert talk.feed(b"LANG en-GB\r\n").last == b"+OK en Responses are in English now"
    assert talk.feed(b"LANG *\r\n").last == b"+OK i-default Responses are in English now"
    assert talk.feed(b"FOO\r\n").last == b"-ERR Unknown command"


def test_a_language_chosen_before_tls_counts_for_nothing():
    assert Talk(peer=CLEAR).feed(b"LANG zh\r\nSTLS\r\n").feed(b"\r\nFOO\r\n").last == b"-ERR Unknown command"


def test_numbers_stay_in_every_language_and_programs_read_the_same():
    chinese = Talk().feed(b"LANG zh\r\n" + LOGIN)
    assert chinese.last == "+OK 3 封邮件（%d 字节）".encode() % sum(map(len, MESSAGES))
    assert chinese.feed(b"STAT\r\n").last == b"+OK 3 %d" % sum(map(len, MESSAGES))
    assert chinese.feed(b"LIST 2\r\n").last == b"+OK 2 %d" % len(MESSAGES[1])
    assert ("+OK %d 字节\r\n".encode() % len(MESSAGES[0]) + b"Subject: one\r\n") in chinese.feed(b"RETR 1\r\n").said


def test_every_sentence_is_translated():
    said = [value for name, value in vars(replies).items() if name.isupper() and isinstance(value, bytes)]
    said += [replies.maildrop(3, 1000), replies.octets(7)]
    wordless = {replies.OK, replies.MECHANISMS_FOLLOW, replies.SCAN_LISTING}
    for reply in set(said) - wordless:
        translated = languages.translate(reply, "zh")
        assert not translated.isascii(), reply
        assert translated.split(b" ")[0] == reply.split(b" ")[0]
        assert languages.translate(reply, "en") == reply
    code = replies.MAILDROP_IN_USE
    assert languages.translate(code, "zh").startswith(b"-ERR [IN-USE] ")


def test_auth_alone_lists_the_mechanisms():
    assert Talk().feed(b"AUTH\r\n").said.endswith(b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n")


def test_errors_in_between_do_not_end_a_session_that_works():
    conversation = Talk(messages=(None, b"x")).feed(LOGIN + b"RETR 1\r\nNOOP\r\n" * 30)
    assert not conversation.closed
    assert conversation.feed(b"RETR 1\r\n" * 30).closed


@given(st.integers(0, 5), st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r\n\r\n"]), max_size=20).map(b"".join))
def test_top_is_the_beginning_of_the_message(lines, message):
    said = said_after_login(b"TOP 1 %d\r\n" % lines, messages=(message,))
    header, blank, body = (b"\r\n" + message).partition(b"\r\n\r\n")
    rows = body.split(b"\r\n")
    kept = b"\r\n".join(rows[:lines]) + (b"\r\n" if lines and len(rows) > lines else b"")
    expected = ((header + blank + kept) if blank else header)[2:]
    ended = expected if not expected or expected.endswith(b"\r\n") else expected + b"\r\n"
    stuffed = (b"\r\n" + ended).replace(b"\r\n.", b"\r\n..")[2:]
    assert said == b"+OK\r\n" + stuffed + b".\r\n"


def test_a_message_that_is_gone_is_told():
    assert said_after_login(b"RETR 1\r\n", messages=(None,)) == b"-ERR No such message\r\n"


def test_a_message_that_cannot_be_read_is_a_temporary_failure():
    said = said_after_login(b"RETR 1\r\nNOOP\r\n", refuse={FetchMessages: RuntimeError()})
    assert said.startswith(b"-ERR [SYS/TEMP]")
    assert said.endswith(b"+OK\r\n")


@pytest.mark.parametrize("answer", [None, b"", RuntimeError()])
def test_a_message_that_breaks_off_never_looks_whole(answer):
    conversation = Talk(messages=(b"x" * SLICE * 3,)).feed(LOGIN)
    actions = conversation.session.receive(b"RETR 1\r\n")
    assert isinstance(actions[-1], Ask)
    actions = conversation.session.answer(b"x" * SLICE)
    assert isinstance(actions[-1], Ask)
    session = conversation.session
    actions = session.failed(answer) if isinstance(answer, Exception) else session.answer(answer)
    assert actions == [Close()]


def test_deleted_messages_are_hidden_and_come_back_with_rset():
    said = said_after_login(b"DELE 1\r\nSTAT\r\nLIST\r\nRSET\r\nLIST 1\r\n")
    two, three = map(len, MESSAGES[1:])
    assert b"+OK 2 %d\r\n" % (two + three) in said
    assert b"+OK\r\n2 %d\r\n3 %d\r\n.\r\n" % (two, three) in said
    assert said.endswith(b"+OK 1 %d\r\n" % len(MESSAGES[0]))


def test_quit_deletes_lets_go_and_only_then_says_ok():
    conversation = Talk().feed(LOGIN + b"DELE 3\r\nDELE 1\r\nQUIT\r\nNOOP\r\n")
    assert conversation.asked[-2] == DeleteMessages(3, (10, 30))
    assert conversation.kinds()[-1] is ReleaseMaildrop
    assert conversation.said.endswith(b"+OK Bye\r\n<CLOSE>")
    assert conversation.session.lost() == []


def test_quit_is_not_answered_before_the_deletion_is_durable():
    conversation = Talk().feed(LOGIN + b"DELE 1\r\n")
    actions = conversation.session.receive(b"QUIT\r\n")
    assert actions == [Ask(DeleteMessages(3, (10,)))]


def test_a_deletion_that_fails_is_told():
    conversation = Talk(refuse={DeleteMessages: RuntimeError()}).feed(LOGIN + b"DELE 1\r\nQUIT\r\n")
    assert conversation.said.endswith(b"-ERR [SYS/TEMP] The messages could not be deleted\r\n<CLOSE>")
    assert conversation.kinds()[-1] is ReleaseMaildrop


def test_quit_before_login_touches_nothing():
    conversation = Talk().feed(b"QUIT\r\n")
    assert (conversation.said, conversation.asked) == (b"+OK POP3 ready\r\n+OK Bye\r\n<CLOSE>", [])


def test_without_quit_nothing_is_deleted_and_the_lock_is_let_go():
    conversation = Talk().feed(LOGIN + b"DELE 1\r\n")
    actions = conversation.session.lost()
    opened = conversation.asked[1]
    assert isinstance(opened, OpenMaildrop)
    assert actions == [Ask(ReleaseMaildrop(opened.login, opened.holder))]


def test_a_connection_lost_while_the_maildrop_is_being_opened_lets_go_of_the_lock():
    session = Pop3Session(Policy(), SECURE)
    session.greet()
    session.receive(LOGIN)
    (asked,) = session.answer(Login(7, "bob"))[-1:]
    assert isinstance(asked, Ask)
    assert isinstance(asked.question, OpenMaildrop)
    assert session.lost() == [Ask(ReleaseMaildrop(asked.question.login, asked.question.holder))]
    assert session.answer(Maildrop(3, 1, (), (), 0)) == []


def test_stls_drops_what_was_injected():
    conversation = Talk(peer=CLEAR).feed(b"STLS\r\nCAPA\r\nUSER evil\r\n")
    assert conversation.said.endswith(b"+OK Begin TLS\r\n<TLS>")
    assert conversation.feed(b"PASS x\r\n").said.endswith(b"<TLS>-ERR Say USER first\r\n")


def test_silence_ends_the_connection_without_a_word():
    conversation = Talk().feed(LOGIN + b"DELE 1\r\n")
    assert conversation.session.patience >= 600
    assert conversation.session.timed_out() == [Close()]
    assert conversation.session.timed_out() == []


def test_drain_closes_an_idle_session_but_lets_one_with_marks_finish():
    assert Talk().feed(LOGIN).session.drain() == [
        Send(b"-ERR [SYS/TEMP] This server is going down, try again soon\r\n"),
        Close(),
    ]
    conversation = Talk().feed(LOGIN + b"DELE 1\r\n")
    assert conversation.session.drain() == []
    assert conversation.feed(b"QUIT\r\n").said.endswith(b"+OK Bye\r\n<CLOSE>")


def test_too_many_errors_and_http_close_the_connection():
    assert Talk().feed(b"FOO\r\n" * 30).said.count(b"-ERR") == 20
    assert Talk().feed(b"GET / HTTP/1.1\r\nHost: x\r\n").said.endswith(b"-ERR This is a mail server\r\n<CLOSE>")


def test_pipelined_commands_are_answered_in_one_packet():
    conversation = Talk().feed(LOGIN)
    before = len(conversation.sends)
    conversation.feed(b"STAT\r\nUIDL\r\nLIST\r\nNOOP\r\n")
    assert len(conversation.sends) == before + 1


DIALOGUE = (
    b"CAPA\r\nLANG zh\r\nUTF8\r\nAUTH\r\nUSER bob\r\nPASS wrong\r\nAUTH PLAIN\r\n*\r\nUSER bob\r\nPASS secret\r\n"
    b"STAT\r\nLIST\r\nRETR 1\r\nTOP 2 0\r\nDELE 2\r\nRETR 2\r\nUIDL\r\nRSET\r\nDELE 3\r\nQUIT\r\nSTAT\r\n"
)


def transcript(conversation: Talk) -> tuple[bytes, list[Question]]:
    return conversation.said, [one for one in conversation.asked if not isinstance(one, OpenMaildrop | ReleaseMaildrop)]


@pytest.mark.parametrize("stream", [DIALOGUE, b"CAPA\r\nSTLS\r\nUSER evil\r\n"])
def test_a_cut_anywhere_in_the_stream_changes_nothing(stream):
    peer = SECURE if stream is DIALOGUE else CLEAR
    whole = transcript(Talk(peer=peer, handshake=False).feed(stream))
    for cut in range(1, len(stream)):
        assert transcript(Talk(peer=peer, handshake=False).feed(stream[:cut], stream[cut:])) == whole, f"cut at {cut}"


WORDS = st.sampled_from(
    [
        *(b"USER bob\r\n", b"PASS secret\r\n", LOGIN, b"RETR 1\r\n", b"TOP 1 1\r\n", b"DELE 1\r\n", b"QUIT\r\n"),
        *(b"AUTH PLAIN\r\n", b"AUTH LOGIN Ym9i\r\n", b"c2VjcmV0\r\n", b"*\r\n", b"LIST\r\n", b"STLS\r\n"),
        *(b"LANG zh\r\n", b"UTF8\r\n", b"LANG\r\n"),
        *(b"RSET\r\n", b"UIDL 2\r\n", b"STAT\r\n", b"TOP ", b"1", b"CAPA\r\n", b"x" * 13000),
        *(b"\r", b"\n", b" ", b"\0", b"\xff"),
    ]
)


@settings(max_examples=200)
@given(st.lists(WORDS | st.binary(max_size=6), max_size=30), st.lists(st.integers(0, 300), max_size=5))
def test_whatever_comes_nothing_is_raised_and_only_quit_deletes(words, cuts):
    stream = b"".join(words)
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    in_pieces = Talk(handshake=False).feed(*(stream[start:end] for start, end in pairwise(marks)))
    assert transcript(in_pieces) == transcript(Talk(handshake=False).feed(stream))
    if DeleteMessages in in_pieces.kinds():
        assert in_pieces.closed
