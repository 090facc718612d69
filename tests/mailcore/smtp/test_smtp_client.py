import base64
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.dialogue import Close, Send, TlsFacts
from mailcore.message.envelope import Envelope, Recipient
from mailcore.smtp.body_stream import DotStuffer
from mailcore.smtp.client import (
    BeginTls,
    ClientPolicy,
    ClientSession,
    Credentials,
    Finished,
    GaveUp,
    NextPiece,
    Phase,
    Ready,
    Tls,
    Verdict,
)
from mailcore.smtp.reply_lines import LINE_KEPT, LINES_LIMIT, GarbageError, ReplyReader

BODY = b"Subject: x\r\n\r\n.dot\r\nlast\r\n"
STUFFED = b"Subject: x\r\n\r\n..dot\r\nlast\r\n.\r\n"
FACTS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
ALL = ("PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "ENHANCEDSTATUSCODES")
BOB, AMY, TOM = (Recipient(f"{name}@example.com") for name in ("bob", "amy", "tom"))


def envelope(*recipients, **fields):
    return Envelope(None, **{"sender": "me@example.org", "size": len(BODY), **fields}, recipients=recipients or (BOB,))


@dataclass
class Remote:
    """A server as scripted: ``says`` maps the beginning of a command to a reply, ``DOT`` to the one after the message.

    A reply of ``None`` drops the connection instead. ``heard`` has what it was told, ``content`` the messages.
    """

    says: dict = field(default_factory=dict)
    offers: tuple = ()
    heard: list = field(default_factory=list)
    content: list = field(default_factory=list)
    rest: bytes = b""
    in_data: bool = False
    sender: bool = False
    recipients: int = 0

    def hear(self, data):
        self.rest += data
        replies = []
        while True:
            end = self.rest.find(b"\r\n.\r\n") if self.in_data else self.rest.find(b"\r\n")
            if self.in_data and self.rest.startswith(b".\r\n"):
                message, self.rest = b".\r\n", self.rest[3:]
            elif end < 0:
                return replies
            else:
                end += 5 if self.in_data else 2
                message, self.rest = self.rest[:end], self.rest[end:]
            if self.in_data:
                self.content.append(message)
                self.in_data = False
                replies.append(self.reply(b"DOT"))
            else:
                self.heard.append(message[:-2].decode())
                reply = self.reply(message)
                positive = reply is not None and reply.startswith(b"2")
                if message[:4] in {b"MAIL", b"RSET"}:
                    self.sender, self.recipients = positive, 0
                self.recipients += message.startswith(b"RCPT") and self.sender and positive
                self.in_data = bool(reply) and reply.startswith(b"354")
                replies.append(reply)

    def reply(self, command):
        for beginning, reply in self.says.items():
            if command.startswith(beginning):
                return reply
        if command.startswith(b"EHLO"):
            lines = [b"mx.example", *(offer.encode() for offer in self.offers)]
            return b"".join(b"250-" + line + b"\r\n" for line in lines[:-1]) + b"250 " + lines[-1] + b"\r\n"
        data = b"354 go on\r\n" if self.recipients else b"503 5.5.1 no recipients\r\n"
        return {b"DATA": data, b"STAR": b"220 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(command[:4], b"250 2.0.0 ok\r\n")


class Talk:
    """Lets a session and a remote speak with each other until nobody has anything more to say."""

    def __init__(self, remote, policy=None, pieces=(BODY,), chop=len):
        self.remote = remote
        self.session = ClientSession(policy or ClientPolicy(hostname="us.example"))
        self.pieces = pieces
        self.chop = chop
        self.told = []  # Ready, Finished, GaveUp, Close, BeginTls
        self.run(self.session.connected())
        self.run(self.feed(remote.says.get(b"GREETING", b"220 hello\r\n")))

    def feed(self, data):
        if data is None:
            return self.session.disconnected()
        actions = []
        for start in range(0, len(data), max(1, self.chop(data))):
            actions += self.session.receive(data[start : start + max(1, self.chop(data))])
        return actions

    def run(self, actions):
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            if isinstance(action, Send):
                # Like a network: replies may come in one piece, or be cut anywhere.
                replies = self.remote.hear(action.data)
                joined = []
                for reply in replies:
                    if reply is None or not joined or joined[-1] is None:
                        joined.append(reply)
                    else:
                        joined[-1] += reply
                for reply in joined:
                    todo += self.feed(reply)
            elif isinstance(action, NextPiece):
                todo = self.session.body(next(self.left, None)) + todo
            else:
                self.told.append(action)
                if isinstance(action, BeginTls):
                    todo += self.session.tls_started(FACTS)

    def send(self, message):
        self.left = iter(self.pieces)
        before = len(self.told)
        self.run(self.session.send(message))
        finished = [action for action in self.told[before:] if isinstance(action, Finished)]
        assert len(finished) == 1, self.told
        return finished[0].outcomes

    @property
    def gave_up(self):
        (given_up,) = [action for action in self.told if isinstance(action, GaveUp)]
        assert self.told[-1] == Close()
        assert Ready() not in self.told
        return given_up.outcome


def verdicts(outcomes):
    return [(str(outcome.verdict), outcome.phase, outcome.status) for outcome in outcomes]


# ---- opening ----


@pytest.mark.parametrize(
    ("says", "verdict", "phase", "status"),
    [
        ({b"GREETING": b"554 5.7.1 go away\r\n"}, "failed", Phase.GREETING, "5.7.1"),
        ({b"GREETING": b"421 busy\r\n"}, "deferred", Phase.GREETING, "4.0.0"),
        ({b"GREETING": b"250 what\r\n"}, "deferred", Phase.GREETING, "4.0.0"),
        ({b"GREETING": b"SSH-2.0-OpenSSH\r\n"}, "deferred", Phase.GREETING, "4.5.0"),
        ({b"GREETING": b"\r\n"}, "deferred", Phase.GREETING, "4.5.0"),
        ({b"GREETING": b"220-a\r\n250 b\r\n"}, "deferred", Phase.GREETING, "4.5.0"),
        ({b"GREETING": b"220-a\r\n" * (LINES_LIMIT + 1)}, "deferred", Phase.GREETING, "4.5.0"),
        ({b"GREETING": b"x" * 100_000}, "deferred", Phase.GREETING, "4.5.0"),
        ({b"GREETING": None}, "deferred", Phase.GREETING, "4.4.2"),
        ({b"EHLO": b"450 not now\r\n"}, "deferred", Phase.HELLO, "4.0.0"),
        ({b"EHLO": b"421 4.3.2 closing\r\n"}, "deferred", Phase.HELLO, "4.3.2"),
        ({b"EHLO": None}, "deferred", Phase.HELLO, "4.4.2"),
        ({b"EHLO": b"500 what\r\n", b"HELO": b"550 5.7.1 no\r\n"}, "failed", Phase.HELLO, "5.7.1"),
    ],
)
def test_a_server_that_will_not_begin_is_given_up(says, verdict, phase, status):
    assert verdicts([Talk(Remote(says)).gave_up]) == [(verdict, phase, status)]


def test_a_server_without_ehlo_is_greeted_with_helo():
    talk = Talk(Remote({b"EHLO": b"502 what\r\n"}))
    assert talk.told == [Ready()]
    assert talk.remote.heard == ["EHLO us.example", "HELO us.example"]
    assert verdicts(talk.send(envelope())) == [("sent", Phase.END_OF_DATA, "2.0.0")]


@pytest.mark.parametrize("tls", [Tls.OPPORTUNISTIC, Tls.REQUIRED])
def test_tls_is_begun_when_offered_and_ehlo_said_again(tls):
    talk = Talk(Remote(offers=ALL), ClientPolicy(hostname="us.example", tls=tls))
    assert talk.told == [BeginTls(), Ready()]
    assert talk.remote.heard == ["EHLO us.example", "STARTTLS", "EHLO us.example"]
    assert talk.session.tls == FACTS


def test_offers_from_before_tls_count_no_more():
    remote = Remote(offers=("STARTTLS", "DSN"))
    session = ClientSession(ClientPolicy(hostname="us.example"))
    session.connected()
    session.receive(b"220 hi\r\n")
    session.receive(remote.reply(b"EHLO"))
    assert session.receive(b"220 go\r\n") == [BeginTls()]
    session.tls_started(FACTS)
    assert session.receive(b"250 plain\r\n") == [Ready()]
    assert session.offers == {}


def test_tls_is_not_begun_under_never_or_when_there_already():
    assert Talk(Remote(offers=ALL), ClientPolicy(hostname="us.example", tls=Tls.NEVER)).told == [Ready()]
    session = ClientSession(ClientPolicy(hostname="us.example", tls=Tls.REQUIRED))
    session.connected(FACTS)
    session.receive(b"220 hi\r\n")
    assert session.receive(b"250-mx\r\n250 STARTTLS\r\n") == [Ready()]


@pytest.mark.parametrize("offers", [(), ("STARTTLS",)])
def test_required_tls_that_is_not_to_be_had_keeps_the_mail_here(offers):
    talk = Talk(Remote({b"STARTTLS": b"454 4.7.0 no\r\n"}, offers), ClientPolicy(hostname="us", tls=Tls.REQUIRED))
    assert verdicts([talk.gave_up])[0][0::2] == ("deferred", "4.7.4")


def test_opportunistic_tls_goes_on_without_when_refused():
    assert Talk(Remote({b"STARTTLS": b"454 4.7.0 no\r\n"}, ALL)).told == [Ready()]


@pytest.mark.parametrize("injected", [b"250 ok\r\n", b"250", b"\x00"])
def test_words_between_starttls_and_the_handshake_end_the_connection(injected):
    talk = Talk(Remote({b"STARTTLS": b"220 go\r\n" + injected}, ALL))
    assert talk.gave_up.status == "4.7.0"
    assert BeginTls() not in talk.told


def test_words_that_come_during_the_handshake_end_the_connection_too():
    session = ClientSession(ClientPolicy(hostname="us.example"))
    session.connected()
    session.receive(b"220 hi\r\n")
    session.receive(b"250-mx\r\n250 STARTTLS\r\n")
    assert session.receive(b"220 go\r\n") == [BeginTls()]
    assert session.receive(b"250 ok\r\n")[-1] == Close()


def b64(text):
    return base64.b64encode(text).decode()


LOGIN = Credentials("ann", "s3cret")


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ("AUTH LOGIN PLAIN", ["AUTH PLAIN " + b64(b"\0ann\0s3cret")]),
        ("auth login", ["AUTH LOGIN", b64(b"ann"), b64(b"s3cret")]),
    ],
)
def test_a_smart_host_gets_name_and_password_inside_tls(offer, said):
    says = {
        b"AUTH PLAIN": b"235 2.7.0 ok\r\n",
        b"AUTH LOGIN": b"334 VXNlcm5hbWU6\r\n",
        b64(b"ann").encode(): b"334 UGFzc3dvcmQ6\r\n",
        b64(b"s3cret").encode(): b"235 ok\r\n",
    }
    talk = Talk(Remote(says, ("STARTTLS", offer)), ClientPolicy(hostname="us.example", login=LOGIN))
    assert talk.told == [BeginTls(), Ready()]
    assert talk.remote.heard[3:] == said


@pytest.mark.parametrize(
    ("offers", "says", "status"),
    [
        (("AUTH PLAIN",), {}, "4.7.11"),
        (("STARTTLS",), {}, "4.7.0"),
        (("STARTTLS", "AUTH GSSAPI"), {}, "4.7.0"),
        (("STARTTLS", "AUTH PLAIN"), {b"AUTH": b"535 5.7.8 wrong\r\n"}, "4.7.8"),
        (("STARTTLS", "AUTH PLAIN"), {b"AUTH": b"454 4.7.0 later\r\n"}, "4.7.0"),
        (("STARTTLS", "AUTH LOGIN"), {b"AUTH": b"535 5.7.8 wrong\r\n"}, "4.7.8"),
        (("STARTTLS", "AUTH PLAIN"), {b"AUTH": None}, "4.4.2"),
    ],
)
def test_mail_waits_while_we_cannot_log_in(offers, says, status):
    talk = Talk(Remote(says, offers), ClientPolicy(hostname="us.example", login=LOGIN))
    assert verdicts([talk.gave_up])[0][0::2] == ("deferred", status)
    if status == "4.7.11":
        assert talk.remote.heard == ["EHLO us.example"]


def test_a_password_goes_without_tls_only_where_that_is_allowed():
    policy = ClientPolicy(hostname="us.example", login=LOGIN, plaintext_auth_ok=True)
    assert Talk(Remote({b"AUTH": b"235 ok\r\n"}, ("AUTH PLAIN",)), policy).told == [Ready()]


def test_a_password_is_in_no_representation():
    assert "s3cret" not in repr(ClientPolicy(hostname="us.example", login=LOGIN))


# ---- messages ----


def test_a_message_is_said_in_one_go_with_pipelining():
    talk = Talk(Remote(offers=("PIPELINING",)))
    (send,) = talk.session.send(envelope(BOB, AMY))
    assert send.data == (
        b"MAIL FROM:<me@example.org>\r\nRCPT TO:<bob@example.com>\r\nRCPT TO:<amy@example.com>\r\nDATA\r\n"
    )


def test_and_step_by_step_without():
    talk = Talk(Remote())
    assert talk.session.send(envelope()) == [Send(b"MAIL FROM:<me@example.org>\r\n")]
    assert talk.session.receive(b"250 ok\r\n") == [Send(b"RCPT TO:<bob@example.com>\r\n")]
    assert talk.session.receive(b"250 ok\r\n") == [Send(b"DATA\r\n")]
    assert talk.session.receive(b"354 go\r\n") == [NextPiece()]
    assert talk.session.body(BODY) == [Send(STUFFED[:-3]), NextPiece()]
    assert talk.session.body(None) == [Send(b".\r\n")]
    finished, ready = talk.session.receive(b"250 2.6.0 queued\r\n")
    assert ready == Ready()
    assert finished.outcomes[0].words == "250 2.6.0 queued"


@pytest.mark.parametrize("offers", [(), ALL])
def test_several_messages_go_over_one_connection(offers):
    talk = Talk(Remote(offers=offers))
    for _message in range(3):
        assert verdicts(talk.send(envelope(BOB, AMY))) == [("sent", Phase.END_OF_DATA, "2.0.0")] * 2
    assert talk.remote.content == [STUFFED] * 3
    talk.run(talk.session.quit())
    assert talk.remote.heard[-1] == "QUIT"
    assert talk.told[-1] == Close()


# Whether the commands go in one packet or one by one, each recipient's outcome is the same.
@pytest.mark.parametrize("offers", [(), ("PIPELINING",)])
@pytest.mark.parametrize(
    ("says", "outcomes", "goes_on"),
    [
        ({b"MAIL": b"550 5.7.1 no\r\n"}, [("failed", Phase.MAIL, "5.7.1")] * 3, True),
        ({b"MAIL": b"451 later\r\n"}, [("deferred", Phase.MAIL, "4.0.0")] * 3, True),
        ({b"MAIL": b"452-4.3.1 no\r\n452 4.3.1 room\r\n"}, [("deferred", Phase.MAIL, "4.3.1")] * 3, True),
        ({b"MAIL": b"421 4.3.2 bye\r\n"}, [("deferred", Phase.MAIL, "4.3.2")] * 3, False),
        ({b"MAIL": None}, [("deferred", Phase.MAIL, "4.4.2")] * 3, False),
        ({b"MAIL": b"nonsense\r\n"}, [("deferred", Phase.MAIL, "4.5.0")] * 3, False),
        ({b"RCPT": b"550 5.1.1 no\r\n"}, [("failed", Phase.RCPT, "5.1.1")] * 3, True),
        (
            {b"RCPT TO:<bob": b"550 5.1.1 no\r\n", b"RCPT TO:<tom": b"450 4.2.1 later\r\n"},
            [("failed", Phase.RCPT, "5.1.1"), ("sent", Phase.END_OF_DATA, "2.0.0"), ("deferred", Phase.RCPT, "4.2.1")],
            True,
        ),
        (
            {b"RCPT TO:<bob": b"550 5.1.1 no\r\n", b"RCPT TO:<amy": b"421 4.3.2 bye\r\n"},
            [("failed", Phase.RCPT, "5.1.1")] + [("deferred", Phase.RCPT, "4.3.2")] * 2,
            False,
        ),
        (
            {b"RCPT TO:<bob": b"550 5.1.1 no\r\n", b"RCPT TO:<amy": None},
            [("failed", Phase.RCPT, "5.1.1")] + [("deferred", Phase.RCPT, "4.4.2")] * 2,
            False,
        ),
        ({b"RCPT": b"552 too many\r\n"}, [("deferred", Phase.RCPT, "4.0.0")] * 3, True),
        ({b"RCPT": b"251 will forward\r\n"}, [("sent", Phase.END_OF_DATA, "2.0.0")] * 3, True),
        ({b"DATA": b"554 5.5.1 no\r\n"}, [("failed", Phase.DATA, "5.5.1")] * 3, True),
        ({b"DATA": b"451 4.3.0 later\r\n"}, [("deferred", Phase.DATA, "4.3.0")] * 3, True),
        ({b"DATA": b"250 what\r\n"}, [("deferred", Phase.DATA, "4.0.0")] * 3, True),
        ({b"DATA": None}, [("deferred", Phase.DATA, "4.4.2")] * 3, False),
        (
            {b"RCPT TO:<bob": b"550 5.1.1 no\r\n", b"DATA": b"451 4.3.0 later\r\n"},
            [("failed", Phase.RCPT, "5.1.1")] + [("deferred", Phase.DATA, "4.3.0")] * 2,
            True,
        ),
        ({b"DOT": b"550 5.7.1 spam\r\n"}, [("failed", Phase.END_OF_DATA, "5.7.1")] * 3, True),
        ({b"DOT": b"451 4.7.1 greylisted\r\n"}, [("deferred", Phase.END_OF_DATA, "4.7.1")] * 3, True),
        ({b"DOT": b"250 5.7.1 liar\r\n"}, [("sent", Phase.END_OF_DATA, "2.0.0")] * 3, True),
        ({b"DOT": b"550 2.0.0 liar\r\n"}, [("failed", Phase.END_OF_DATA, "5.0.0")] * 3, True),
        ({b"DOT": None}, [("deferred", Phase.END_OF_DATA, "4.4.2")] * 3, False),
        ({b"MAIL": b"550 no\r\n", b"RSET": b"421 bye\r\n"}, [("failed", Phase.MAIL, "5.0.0")] * 3, False),
        ({b"MAIL": b"550 no\r\n", b"RSET": None}, [("failed", Phase.MAIL, "5.0.0")] * 3, False),
    ],
)
def test_each_recipient_has_its_outcome(offers, says, outcomes, goes_on):
    talk = Talk(Remote(says, offers))
    assert verdicts(talk.send(envelope(BOB, AMY, TOM))) == outcomes
    assert talk.told[-1] == (Ready() if goes_on else Close())
    if goes_on:
        talk.remote.says = {}
        assert verdicts(talk.send(envelope())) == [("sent", Phase.END_OF_DATA, "2.0.0")]
        assert talk.remote.content[-1] == STUFFED


def test_a_server_that_takes_data_without_a_recipient_gets_an_empty_message():
    talk = Talk(Remote({b"RCPT": b"550 5.1.1 no\r\n", b"DATA": b"354 what for\r\n"}, ("PIPELINING",)))
    assert verdicts(talk.send(envelope())) == [("failed", Phase.RCPT, "5.1.1")]
    assert talk.remote.content == [b".\r\n"]
    assert talk.told[-1] == Ready()


def test_a_reply_in_the_middle_of_the_message_is_the_last_word():
    talk = Talk(Remote(offers=("PIPELINING",)))
    talk.session.send(envelope())
    assert talk.session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") == [NextPiece()]
    talk.session.body(b"x\r\n")
    finished, close = talk.session.receive(b"552 5.3.4 too big\r\n")
    assert verdicts(finished.outcomes) == [("failed", Phase.BODY, "5.3.4")]
    assert close == Close()
    assert talk.session.body(b"y\r\n") == []


@pytest.mark.parametrize("pieces", [(b"a\nb\r\n",), (b"a\rb\r\n",), (b"a\r", b"b\r\n"), (b"a\r",), (b"a", b"\nb")])
def test_a_bare_newline_does_not_leave(pieces):
    talk = Talk(Remote(), pieces=pieces)
    assert verdicts(talk.send(envelope())) == [("failed", Phase.BODY, "5.6.11")]
    assert talk.remote.content == []
    assert talk.told[-1] == Close()


def test_what_is_too_big_or_needs_what_is_not_offered_is_refused_here():
    assert verdicts(Talk(Remote(offers=("SIZE 10",))).send(envelope())) == [("failed", Phase.MAIL, "5.3.4")]
    assert verdicts(Talk(Remote(offers=("SIZE 0",))).send(envelope()))[0][0] == "sent"
    assert verdicts(Talk(Remote(offers=("SIZE",))).send(envelope()))[0][0] == "sent"
    assert verdicts(Talk(Remote()).send(envelope(smtputf8=True))) == [("failed", Phase.MAIL, "5.6.7")]
    talk = Talk(Remote(offers=("PIPELINING",)))
    international = Recipient("böb@example.com")
    assert [verdict for verdict, *_ in verdicts(talk.send(envelope(international, AMY)))] == ["failed", "sent"]
    assert "RCPT TO:<amy@example.com>" in talk.remote.heard
    assert not any("böb" in line for line in talk.remote.heard)


def test_a_message_that_requires_tls_is_said_to_require_it():
    # RFC 8689 section 4.2.1
    talk = Talk(Remote(offers=("STARTTLS", "REQUIRETLS")))
    assert verdicts(talk.send(envelope(requiretls=True)))[0][0] == "sent"
    assert verdicts(talk.send(envelope()))[0][0] == "sent"
    assert [line for line in talk.remote.heard if line.startswith("MAIL")] == [
        "MAIL FROM:<me@example.org> REQUIRETLS",
        "MAIL FROM:<me@example.org>",
    ]


@pytest.mark.parametrize("offers", [("STARTTLS",), ("REQUIRETLS",), ()])
def test_a_message_that_requires_tls_goes_to_nobody_who_does_not_promise_it(offers):
    talk = Talk(Remote(offers=offers))
    assert verdicts(talk.send(envelope(requiretls=True))) == [("failed", Phase.MAIL, "5.7.30")]
    assert not any(line.startswith("MAIL") for line in talk.remote.heard)


@pytest.mark.parametrize(
    "address",
    [
        "a@b\r\nDATA",
        "a\nb@c",
        "a b@c",
        "<a@c",
        "a>@c",
        "a@c>",
        "no-at",
        "a@",
        "@c",
        "a\0@c",
        '"a"b"@c',
        "a\x85@c",
        "\ud800@c",
        '"a\\\r"@c',
    ],
)
def test_an_address_that_would_leave_its_brackets_is_never_said(address):
    talk = Talk(Remote(offers=("PIPELINING", "SMTPUTF8")))
    assert verdicts(talk.send(envelope(Recipient(address), AMY)))[0] == ("failed", Phase.MAIL, "5.1.3")
    assert verdicts(talk.send(envelope(sender=address)))[0] == ("failed", Phase.MAIL, "5.1.7")
    assert [line for line in talk.remote.heard if line.startswith("RCPT")] == ["RCPT TO:<amy@example.com>"]


@pytest.mark.parametrize("address", ['"a b"@c', "a+b@c", '"a\\"<>b"@c', "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"])
def test_strange_but_valid_addresses_are_said_as_they_are(address):
    talk = Talk(Remote(offers=ALL))
    assert verdicts(talk.send(envelope(Recipient(address))))[0][0] == "sent"
    assert f"RCPT TO:<{address}>" in talk.remote.heard


def test_parameters_are_said_only_where_offered():
    message = envelope(
        Recipient("bob@example.com", frozenset({"SUCCESS", "FAILURE"}), "rfc822;bob+x=y@example.com"),
        sender="",
        body_type="8BITMIME",
        ret="HDRS",
        envid="a+b c",
    )
    talk = Talk(Remote(offers=ALL))
    talk.send(message)
    assert talk.remote.heard[3:5] == [
        f"MAIL FROM:<> SIZE={len(BODY)} BODY=8BITMIME RET=HDRS ENVID=a+2Bb+20c",
        "RCPT TO:<bob@example.com> NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;bob+2Bx+3Dy@example.com",
    ]
    talk = Talk(Remote())
    talk.send(message)
    assert talk.remote.heard[1:3] == ["MAIL FROM:<>", "RCPT TO:<bob@example.com>"]


def test_smtputf8_is_said_when_something_needs_it():
    for message in (envelope(smtputf8=True), envelope(sender="jörg@x.org"), envelope(Recipient("böb@example.com"))):
        talk = Talk(Remote(offers=("SMTPUTF8",)))
        assert verdicts(talk.send(message))[0][0] == "sent"
        assert talk.remote.heard[1].endswith(" SMTPUTF8")
    talk = Talk(Remote(offers=("SMTPUTF8",)))
    talk.send(envelope())
    assert "SMTPUTF8" not in talk.remote.heard[1]


def test_a_message_is_asked_for_piece_by_piece():
    talk = Talk(Remote(), pieces=[b"x" * 100 + b"\r\n"] * 50)
    assert verdicts(talk.send(envelope()))[0][0] == "sent"
    assert len(talk.remote.content[0]) == 50 * 102 + 3


# ---- the machine ----


@pytest.mark.parametrize("offers", [(), ALL])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_cut_anywhere_in_what_the_server_says_changes_nothing(offers, size):
    says = {b"RCPT TO:<amy": b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"}

    def run(**options):
        talk = Talk(Remote(says, offers), **options)
        outcomes = talk.send(envelope(BOB, AMY))
        # STARTTLS aside, where what comes in one piece with the 220 is an attack by definition.
        return outcomes, talk.told, talk.remote.heard, talk.remote.content

    assert run(chop=lambda data: size) == run()


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.", b"line\r\n"]), max_size=30), st.data())
def test_a_cut_anywhere_in_the_message_changes_nothing_and_the_dots_come_off_again(words, data):
    message = b"".join(words)
    stuffer = DotStuffer()
    sent = b""
    rest = message
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        piece, rest = rest[:count], rest[count:]
        sent += stuffer.piece(piece)
    sent += stuffer.end()
    lines = sent.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    received = b"\r\n".join(line.removeprefix(b".") for line in lines[:-2])
    assert received == (message.removesuffix(b"\r\n") if message.endswith(b"\r\n") else message)


@given(st.binary(max_size=300), st.integers(1, 20))
def test_whatever_a_server_says_the_session_neither_breaks_nor_depends_on_the_cuts(noise, size):
    def run(pieces):
        session = ClientSession(ClientPolicy(hostname="us.example"))
        actions = session.connected()
        for piece in pieces:
            actions += session.receive(piece)
        return [action for action in actions + session.disconnected() if not isinstance(action, GaveUp)]

    whole = b"220 hi\r\n250 mx\r\n" + noise
    assert run([whole]) == run([whole[start : start + size] for start in range(0, len(whole), size)])


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250 ok\r\n", (250, "", "ok")),
        (b"250\r\n", (250, "", "")),
        (b"250 ok\n", (250, "", "ok")),
        (b"550 5.1.1 no such user\r\n", (550, "5.1.1", "no such user")),
        (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", (550, "5.1.1", "no\nsuch user")),
        (b"550 4.1.1 contradicts\r\n", (550, "", "4.1.1 contradicts")),
        (b"550 5.1.1\r\n", (550, "5.1.1", "")),
        (b"550 \xff\x00\x1b[31m\r\n", (550, "", "\ufffd??[31m")),
        (b"250 " + b"x" * 10_000 + b"\r\n", (250, "", "x" * (LINE_KEPT - 4))),
    ],
)
def test_replies_are_read_bounded_and_cleaned(wire, reply):
    reader = ReplyReader()
    reader.feed(wire)
    read = reader.next()
    assert (read.code, read.status, read.text) == reply
    assert not reader.pending


@pytest.mark.parametrize("wire", [b"99 x\r\n", b"650 x\r\n", b"150 x\r\n", b"250x\r\n", b"ok\r\n", b" 250 ok\r\n"])
def test_what_is_no_reply_is_garbage(wire):
    reader = ReplyReader()
    reader.feed(wire)
    with pytest.raises(GarbageError):
        reader.next()


def test_a_flood_of_replies_is_cut_while_nobody_reads_them():
    reader = ReplyReader()
    flood = b"250 ok\r\n" * 1_000_000
    with pytest.raises(GarbageError):
        reader.feed(flood)


def test_an_idle_server_that_says_goodbye_is_left():
    talk = Talk(Remote())
    assert talk.session.receive(b"421 4.4.2 idle for too long\r\n") == [Close()]
    assert talk.session.quit() == []


def test_patience_depends_on_what_is_waited_for():
    session = ClientSession(ClientPolicy(hostname="us.example"))
    session.connected()
    seen = {session.phase: session.patience}
    for data in (b"220 x\r\n", b"250 x\r\n"):
        session.receive(data)
    session.send(envelope())
    for data in (b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
        seen[session.phase] = session.patience
        session.receive(data)
    seen[session.phase] = session.patience
    session.body(None)
    seen[session.phase] = session.patience
    assert seen == {
        Phase.GREETING: 300,
        Phase.MAIL: 300,
        Phase.RCPT: 300,
        Phase.DATA: 120,
        Phase.BODY: 180,
        Phase.END_OF_DATA: 600,
    }
    (finished, _close) = session.timed_out()
    assert finished.outcomes[0].words == "4.4.2 time-out while waiting for the end of the message to be confirmed"
    assert finished.outcomes[0].verdict is Verdict.DEFERRED
    assert session.disconnected() == []


def test_a_message_before_ready_is_an_error_of_the_caller():
    with pytest.raises(RuntimeError):
        ClientSession(ClientPolicy(hostname="us.example")).send(envelope())
