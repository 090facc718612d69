"""POP3 as programs use it: poll, fetch, delete, come back."""

import time

import pytest
from running import deliver, without_trace

from wire import Pop3

pytestmark = pytest.mark.flow


def message(number, size=0):
    return b"Subject: %d\r\n\r\n.%d\r\n" % (number, number) + b"x" * size + b"\r\n"


def fill(server, person, *sizes):
    """Deliver messages of about these sizes; returns them as they are stored."""
    for number, size in enumerate(sizes, 1):
        assert deliver(server, person, message(number, size)).startswith(b"250")
    return person.wait_for(len(sizes))


def test_a_program_fetches_all_deletes_and_finds_nothing_the_next_time(any_server, person):
    stored = fill(any_server, person, 10, 20_000, 300_000, 50)
    with person.pop3() as pop3:
        assert pop3.say(b"STAT") == b"+OK 4 %d" % sum(map(len, stored))
        assert pop3.say(b"UIDL").startswith(b"+OK")
        before = pop3.block().splitlines()
        assert len({line.split()[1] for line in before}) == 4
        # All at once, as PIPELINING allows (RFC 2449 section 6.8).
        pop3.send(b"".join(b"RETR %d\r\nDELE %d\r\n" % (number, number) for number in (1, 2, 3)) + b"TOP 4 0\r\n")
        for number in (1, 2, 3):
            assert pop3.line() == b"+OK %d octets" % len(stored[number - 1])
            assert pop3.block() == stored[number - 1]
            assert pop3.line() == b"+OK"
        assert pop3.line() == b"+OK"
        assert pop3.block() == stored[3][: stored[3].index(b"\r\n\r\n") + 4]
        assert pop3.say(b"QUIT") == b"+OK Bye"
    with person.pop3() as pop3:
        assert pop3.say(b"STAT") == b"+OK 1 %d" % len(stored[3])
        assert pop3.say(b"UIDL 1") == b"+OK 1 " + before[3].split()[1]
        assert without_trace(pop3.retrieve(1)) == message(4, 50)


def test_a_connection_that_breaks_deletes_nothing(server, person):
    fill(server, person, 1, 2)
    pop3 = person.pop3()
    assert pop3.say(b"DELE 1") == b"+OK"
    pop3.close()
    with person.pop3() as again:
        assert again.say(b"STAT").startswith(b"+OK 2 ")


def test_what_is_fetched_stays_unread_for_imap_and_what_imap_expunges_is_said_to_be_gone(server, person):
    fill(server, person, 100_000, 10)
    with person.pop3() as pop3, person.imap() as imap:
        pop3.retrieve(1)
        assert person.mail()
        assert imap.status(b"INBOX", b"UNSEEN") == {"UNSEEN": 2}
        imap.fine(b"STORE 1:* +FLAGS (\\Deleted)")
        imap.fine(b"EXPUNGE")
        assert pop3.say(b"RETR 1") == b"-ERR No such message"
        assert pop3.say(b"RETR 2") == b"-ERR No such message"
        assert pop3.say(b"DELE 2") == b"+OK"
        assert pop3.say(b"QUIT") == b"+OK Bye"


def test_languages_and_utf8_before_and_after_tls(server, person):
    with Pop3(server.ports["pop3"]) as pop3:
        assert pop3.say(b"LANG zh") == "+OK zh 现在使用中文".encode()
        assert pop3.say(b"USER x") == "-ERR 请先发送 STLS：只通过 TLS 接受密码".encode()
        pop3.starttls()
        assert pop3.say(b"FOO") == b"-ERR Unknown command"
        assert pop3.say(b"UTF8") == b"+OK UTF-8 it is"
        assert pop3.say(b"LANG zh-CN").startswith(b"+OK zh ")
        assert pop3.login(person.address, "wrong") == "-ERR [AUTH] 登录名或密码错误".encode()
        assert pop3.login(person.address, person.password) == "+OK 0 封邮件（0 字节）".encode()
        assert pop3.say(b"CAPA") == b"+OK"
        assert b"LANG" in pop3.block().splitlines()


def test_a_second_session_waits_its_turn(server, person):
    first = person.pop3()
    second = Pop3(server.ports["pop3s"], tls=True)
    second.say(b"USER " + person.address.encode())
    second.send(b"PASS " + person.password.encode() + b"\r\n")
    time.sleep(0.3)
    first.say(b"QUIT")
    first.close()
    assert second.line().startswith(b"+OK 0 messages")
    second.close()


def test_a_second_session_that_waits_too_long_is_refused_and_may_try_again(server, person):
    with person.pop3() as first, Pop3(server.ports["pop3s"], tls=True) as second:
        assert second.login(person.address, person.password).startswith(b"-ERR [IN-USE] ")
        assert first.say(b"QUIT") == b"+OK Bye"
        assert second.login(person.address, person.password).startswith(b"+OK ")
