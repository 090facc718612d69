"""What nobody should find on a running server: open files, passwords in logs, room for nonsense, credulity."""

import base64
import http.client
import stat

import pytest
from running import deliver

from wire import HOST, Imap, Pop3, Smtp

pytestmark = pytest.mark.flow

# Failed logins are counted by address: these tests come from their own.
ELSEWHERE = "127.0.7.2"
SECRET = "Tr0ub4dor-and-3-nobody-else"
MAIL = b"Subject: secret plans\r\n\r\n" + b"x" * 40_000 + b"\r\n"


def test_nothing_in_the_data_directory_is_open_to_others(server, person):
    assert deliver(server, person, MAIL).startswith(b"250")
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    # Closed by themselves, too: a directory may be copied somewhere else.
    names = ["a3mailer.sqlite3", "a3mailer.sqlite3-wal", "a3mailer.sqlite3-shm", "secret_key", "control.sock"]
    for path in [*(server.data / name for name in names), *(server.data / "bodies").rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_password_is_in_the_log_whatever_is_done_with_it(server, person):
    encoded = base64.b64encode(f"\0{person.address}\0{SECRET}".encode())
    with Smtp(server.ports["submissions"], tls=True, source=ELSEWHERE) as smtp:
        assert smtp.say(b"AUTH PLAIN " + encoded).startswith(b"535")
        assert smtp.say(b"AUTH PLAIN " + encoded + b"x").startswith(b"5")
    with Smtp(server.ports["submission"], source=ELSEWHERE) as smtp:
        assert smtp.say(b"AUTH PLAIN " + encoded).startswith(b"538")
    with Imap(server.ports["imaps"], tls=True, source=ELSEWHERE) as imap:
        assert imap.login(person.address, SECRET).startswith(b"NO")
        assert imap.login(SECRET, person.password).startswith(b"NO")  # the password in the wrong field
    with Pop3(server.ports["pop3s"], tls=True, source=ELSEWHERE) as pop3:
        assert pop3.login(person.address, SECRET).startswith(b"-ERR")
    web = http.client.HTTPConnection(HOST, server.ports["http"], timeout=60)
    web.request("GET", "/api/v1/users", headers={"Authorization": f"Bearer {SECRET}"})
    assert web.getresponse().status == 401
    log = server.log.read_text(errors="replace")
    assert SECRET not in log
    assert encoded.decode() not in log
    assert server.credentials["api_key"] not in log


@pytest.mark.parametrize(
    ("literal", "answer"),
    [
        (b"{-1}", b"BAD"),
        (b"{}", b"BAD"),
        (b"{+}", b"BAD"),
        (b"{4097}", b"NO"),
        (b"{4294967296}", b"NO"),
        (b"{99999999999999999999999999}", b"NO"),
    ],
)
def test_a_stranger_gets_no_room_for_a_literal(server, literal, answer):
    with Imap(server.ports["imaps"], tls=True) as imap:
        tagged, untagged = imap.command(b"LOGIN " + literal)
        assert tagged.startswith(answer), tagged
        assert untagged == []
        assert imap.fine(b"NOOP") == []


@pytest.mark.parametrize("literal", [b"{4097+}", b"{99999999999999999999+}"])
def test_what_follows_a_strangers_great_literal_is_never_a_command(server, literal):
    with Imap(server.ports["imaps"], tls=True) as imap:
        imap.send(b"a LOGIN " + literal + b"\r\nb NOOP\r\n")
        assert imap.line().startswith(b"* BYE")
        with pytest.raises(OSError, match="closed"):
            imap.line()


def test_the_web_believes_no_host_and_no_proxy_that_nobody_named(server):
    def status(path, **headers):
        web = http.client.HTTPConnection(HOST, server.ports["http"], timeout=60)
        web.request("GET", path, headers=headers)
        answer = web.getresponse()
        answer.read()
        return answer.status

    assert status("/metrics") == 200
    assert status("/metrics", **{"X-Forwarded-For": "192.0.2.1"}) == 401
    assert status("/metrics", **{"X-Forwarded-For": "127.0.0.1"}) == 401
    assert status("/admin/login/", Host="evil.example") == 400
    key = {"Authorization": f"Bearer {server.credentials['api_key']}"}
    assert status("/api/v1/users", **key) == 200
    assert status("/api/v1/users", **key, **{"X-Forwarded-For": "192.0.2.1"}) == 403
