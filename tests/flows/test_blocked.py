"""A blocked address is out on every port within moments, and in again when the block is lifted or over."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest
from running import deliver, running

from wire import HOST, Imap, Pop3, Smtp, Wire, until, unverified

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("blocked")]

MAIL_PORTS = ("smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s")
IMPLICIT_TLS = {"submissions", "imaps", "pop3s"}
# The promise is a second. These machines are shared: five times that.
PATIENCE = 5


@pytest.fixture(scope="module")
def server(fake_dns):
    with running("blocked", {"A3MAILER_DNS_SERVERS": fake_dns.address, "A3MAILER_TRUSTED_PROXIES": "127.0.9.9"}) as one:
        yield one


@pytest.fixture
def elsewhere(request):
    """A loopback address of this test alone. ``blockip --force`` takes them: the API never does."""
    names = [item for item in request.session.items if item.fspath == request.node.fspath]
    return f"127.0.8.{names.index(request.node) + 2}"


def write(server, statement, *values):
    """Commit what ``blockip`` and its like commit, without the seconds that a command takes to start."""
    path = server.data / "a3mailer.sqlite3"
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(statement, values)
        database.execute(
            "INSERT INTO site_floor_generation (name, value) VALUES ('blocks', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        database.execute("COMMIT")


def block(server, network, expires_at=None):
    write(
        server,
        "INSERT INTO security_blockedaddress (network, reason, source, blocked_at, expires_at, hits) "
        "VALUES (?, 'a test', 'command', '2026-01-01 00:00:00', ?, 0)",
        network,
        expires_at and expires_at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    )


def lift(server, network):
    write(server, "DELETE FROM security_blockedaddress WHERE network = ?", network)


def greeted(server, name, source):
    """Whether somebody from there gets a greeting."""
    try:
        with Wire(server.ports[name], tls=name in IMPLICIT_TLS, source=source, timeout=PATIENCE) as wire:
            return bool(wire.line())
    except OSError:
        return False


def ask(server, source, path="/ready", headers=None):
    connection = http.client.HTTPConnection(HOST, server.ports["http"], timeout=30, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def told(server, source, path="/ready"):
    """What the web answers; ``None`` when it cuts the connection, as it does once after its list has changed."""
    try:
        return ask(server, source, path)
    except OSError:
        return None


def status_told(server, source):
    """The status that the web answers, ``None`` without one."""
    answer = told(server, source)
    return answer and answer[0]


def test_every_port_refuses_within_moments_and_takes_again(server, elsewhere):
    assert {name: greeted(server, name, elsewhere) for name in MAIL_PORTS} == dict.fromkeys(MAIL_PORTS, True)
    assert ask(server, elsewhere)[0] == 200
    block(server, elsewhere)
    start = time.monotonic()
    for name in MAIL_PORTS:
        until(lambda name=name: not greeted(server, name, elsewhere), PATIENCE, f"{name} still greets")
    until(lambda: status_told(server, elsewhere) == 403, PATIENCE)
    assert time.monotonic() - start < PATIENCE
    assert {name: greeted(server, name, None) for name in MAIL_PORTS} == dict.fromkeys(MAIL_PORTS, True)
    status, headers, body = until(lambda: told(server, elsewhere, "/api/v1/users"), PATIENCE)
    assert status == 403
    assert b'"FORBIDDEN"' in body
    assert headers["Connection"] == "close"
    assert until(lambda: told(server, elsewhere, "/admin/login/"), PATIENCE)[0] == 403
    assert ask(server, "127.0.0.1")[0] == 200
    lift(server, elsewhere)
    for name in MAIL_PORTS:
        until(lambda name=name: greeted(server, name, elsewhere), PATIENCE, f"{name} does not greet again")
    until(lambda: status_told(server, elsewhere) == 200, PATIENCE)


def test_a_client_of_a_trusted_proxy_is_refused_and_the_proxy_is_not(server):
    headers = {"X-Forwarded-For": "203.0.113.5"}
    assert ask(server, "127.0.9.9", headers=headers)[0] == 200
    block(server, "203.0.113.5")
    until(lambda: ask(server, "127.0.9.9", headers=headers)[0] == 403, PATIENCE)
    assert ask(server, "127.0.9.9", headers={"X-Forwarded-For": "203.0.113.6"})[0] == 200
    # Nobody else is believed.
    assert ask(server, "127.0.8.250", headers=headers)[0] == 200
    lift(server, "203.0.113.5")


def test_open_sessions_are_cut_on_every_protocol_and_others_go_on(server, person, elsewhere):
    ports = server.ports
    cut = {
        "imap, idle": Imap(ports["imaps"], tls=True, source=elsewhere),
        "pop3": Pop3(ports["pop3s"], tls=True, source=elsewhere),
        "submission": Smtp(ports["submissions"], tls=True, source=elsewhere),
        "smtp, in DATA": Smtp(ports["smtp"], source=elsewhere),
        "smtp, in TLS": Smtp(ports["smtp"], source=elsewhere).starttls(),
        "imap, not logged in": Imap(ports["imap"], source=elsewhere),
        "in the handshake": Wire(ports["imaps"], source=elsewhere),
    }
    assert cut["imap, idle"].login(person.address, person.password).startswith(b"OK")
    cut["imap, idle"].fine(b"SELECT INBOX")
    cut["imap, idle"].send(b"x IDLE\r\n")
    assert cut["pop3"].login(person.address, person.password).startswith(b"+OK")
    assert cut["submission"].login(person.address, person.password).startswith(b"235")
    assert cut["smtp, in DATA"].envelope("a@example.net", person.address).startswith(b"250")
    assert cut["smtp, in DATA"].say(b"DATA").startswith(b"354")
    web = http.client.HTTPConnection(HOST, ports["http"], timeout=30, source_address=(elsewhere, 0))
    web.request("GET", "/ready")
    assert web.getresponse().read()
    other = Imap(ports["imaps"], tls=True)
    assert other.login(person.address, person.password).startswith(b"OK")

    block(server, elsewhere)
    start = time.monotonic()
    for what, wire in cut.items():
        assert ended(wire.socket, PATIENCE), f"{what} goes on"
    assert ended(web.sock, PATIENCE), "the web connection goes on"
    assert time.monotonic() - start < PATIENCE
    other.fine(b"NOOP")
    other.close()
    assert deliver(server, person, b"Subject: on\r\n\r\nwe go\r\n").startswith(b"250")
    lift(server, elsewhere)


def ended(link, seconds):
    """Whether the server ends this connection; whatever it says before is read."""
    link.settimeout(seconds)
    end = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end:
            try:
                if not link.recv(65536):
                    return True
            except TimeoutError:
                return False
        return False
    return True


def test_a_network_is_blocked_as_a_whole_and_the_allow_list_is_left_out(server):
    allowed = "INSERT INTO security_allowednetwork (network, reason, added_at) VALUES (?, '', '2026-01-01 00:00:00')"
    write(server, allowed, "127.0.6.77")
    block(server, "127.0.6.0/24")
    until(lambda: not greeted(server, "smtp", "127.0.6.5"), PATIENCE)
    assert not greeted(server, "imaps", "127.0.6.250")
    assert greeted(server, "smtp", "127.0.6.77")
    assert greeted(server, "smtp", "127.0.7.5")
    lift(server, "127.0.6.0/24")
    until(lambda: greeted(server, "smtp", "127.0.6.5"), PATIENCE)


def test_a_block_ends_by_itself(server, elsewhere):
    block(server, elsewhere, datetime.now(UTC) + timedelta(seconds=6))
    until(lambda: not greeted(server, "smtp", elsewhere), PATIENCE)
    until(lambda: greeted(server, "smtp", elsewhere), 30)
    assert ask(server, elsewhere)[0] == 200


def test_what_was_refused_is_counted_where_it_was_refused(server, elsewhere):
    block(server, elsewhere)
    until(lambda: not greeted(server, "smtp", elsewhere), PATIENCE)
    until(lambda: status_told(server, elsewhere) == 403, PATIENCE)
    key = {"Authorization": f"Bearer {server.credentials['api_key']}"}

    def hits():
        body = json.loads(ask(server, "127.0.0.1", f"/api/v1/security/blocked-ips?search={elsewhere}", key)[2])
        return body["blocked_ips"][0]["hits"]

    for name in ("smtp", "imap", "pop3", "imaps"):
        assert not greeted(server, name, elsewhere)
    before = hits()
    for _ in range(10):
        assert not greeted(server, "smtp", elsewhere)
        until(lambda: told(server, elsewhere), PATIENCE)
    until(lambda: hits() >= before + 20, 30, "the refusals were not counted")
    lift(server, elsewhere)


def test_the_list_is_there_before_the_first_connection_after_a_start(server, elsewhere):
    """The ports are open all the time: whoever comes while the process is replaced is answered by the new one."""
    block(server, elsewhere)
    until(lambda: not greeted(server, "smtp", elsewhere), PATIENCE)
    pid = server.pid("mail")
    os.kill(pid, signal.SIGKILL)
    seen = []
    until(lambda: seen.append(greeted(server, "smtp", elsewhere)) or greeted(server, "smtp", None), 60)
    until(lambda: server.pid("mail") not in {None, pid}, 60)
    seen += [greeted(server, "smtp", elsewhere) for _ in range(20)]
    assert not any(seen)
    lift(server, elsewhere)


def test_this_machine_itself_is_never_blocked(server):
    with pytest.raises(RuntimeError, match="loopback"):
        server.manage("blockip", "127.0.0.1", "--force")
    # Not even by a row that somebody has written past the guards.
    block(server, "127.0.0.0/8")
    until(lambda: not greeted(server, "smtp", "127.0.5.5"), PATIENCE)
    assert greeted(server, "smtp", None)
    assert ask(server, "127.0.0.1")[0] == 200
    lift(server, "127.0.0.0/8")


def test_the_commands_do_it_while_the_server_runs(server):
    """``unblock`` is how somebody gets in again who has locked themselves out."""
    assert "127.0.4.0/24 is blocked for good" in server.manage("blockip", "127.0.4.9/24", "--force", "--permanent")
    until(lambda: not greeted(server, "smtp", "127.0.4.5"), PATIENCE)
    assert "already" in server.manage("blockip", "127.0.4.0/24", "--force")
    assert "1 lifted" in server.manage("unblock", "127.0.4.5")
    until(lambda: greeted(server, "smtp", "127.0.4.5"), PATIENCE)
    assert "0 lifted" in server.manage("unblock", "127.0.4.5")


def test_a_reader_that_does_not_read_is_cut_too(server, person, elsewhere):
    """Its buffers are full, so no last word gets through: the connection is ended without one."""
    large = b"Subject: large\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"y" * 70) * 100_000 + b"\r\n"
    assert deliver(server, person, large).startswith(b"250")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.bind((elsewhere, 0))
    link.connect((HOST, server.ports["imaps"]))
    secure = unverified().wrap_socket(link)
    secure.sendall(b'a LOGIN %s "%s"\r\n' % (person.address.encode(), person.password.encode()))
    secure.sendall(b"b SELECT INBOX\r\nc FETCH 1 BODY[]\r\n")
    until(lambda: secure.recv(1000), 30)
    block(server, elsewhere)
    until(lambda: server.control("connections")["total"] == 0, PATIENCE, "it is still open")
    link.close()
    lift(server, elsewhere)
