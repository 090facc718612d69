"""The real processes: what runmailserver refuses, and what mail and web promise about connections."""

import contextlib
import http.client
import json
import socket
import ssl
import stat
import subprocess
import sys
import time

import pytest

from a3mailer_site.control import ControlError
from server import ROOT, MailServer

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("processes")]

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = MailServer(tmp_path_factory.mktemp("processes"), {"A3MAILER_CONNECTION_LIMIT_PER_ADDRESS": "50"})
    one.prepare()
    one.adduser(f"anna@{one.domain}", PASSWORD)
    one.start()
    yield one
    assert one.stop() == 0


def dial(server, name, tls=False):
    connection = socket.create_connection(("127.0.0.1", server.ports[name]), timeout=30)
    return anonymous().wrap_socket(connection) if tls else connection


def anonymous():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def until_closed(connection):
    said = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return said
        if not data:
            return said
        said += data


def log_events(server):
    return [json.loads(line)["event"] for line in server.log.read_text().splitlines()]


# Before it runs.


def refused(server, *arguments):
    done = subprocess.run(
        [sys.executable, "manage.py", "runmailserver", *arguments],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_database_without_tables_is_refused_with_what_to_do(tmp_path):
    fresh = MailServer(tmp_path)
    assert "Run: manage.py migrate" in refused(fresh)


def test_several_mail_processes_on_sqlite_are_refused(server):
    assert "need PostgreSQL" in refused(server, "--mail-processes", "2")


def test_a_catch_all_that_is_no_mailbox_here_is_refused(server):
    assert "nobody@example.test cannot take all mail" in refused(server, "--catch-all", "nobody@example.test")


def test_a_certificate_that_cannot_be_read_is_named(server, tmp_path):
    other = MailServer(tmp_path)
    other.environment |= {
        "A3MAILER_DATA_DIR": str(server.data),
        "A3MAILER_TLS_CERT": "/nowhere/a.crt",
        "A3MAILER_TLS_KEY": "/nowhere/a.key",
    }
    assert "/nowhere/a.crt cannot be read: No such file" in refused(other)


def test_a_second_server_is_refused_while_the_first_goes_on(server):
    assert "already runs on" in refused(server)
    assert server.control("status")["state"] == "running"


# What it is.


def test_what_lies_in_the_data_directory_is_for_its_owner_only(server):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server.data.iterdir()}
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert modes["control.sock"] == 0o600
    assert modes["secret_key"] == 0o600
    assert stat.S_IMODE((server.data / "tls" / "self-signed.key").stat().st_mode) == 0o600


def test_every_listener_is_bound_and_served(server):
    listeners = server.control("status")["listeners"]
    assert {listener["name"]: listener["address"] for listener in listeners} == {
        name: f"127.0.0.1:{port}" for name, port in server.ports.items()
    }
    assert all(listener["served"] for listener in listeners)
    assert "smtp listening on 127.0.0.1:" in " ".join(log_events(server))


# Connections.


@pytest.mark.parametrize(
    ("name", "greeting", "command"),
    [
        ("smtp", b"EHLO client.example\r\n", b"STARTTLS\r\nNOOP\r\nEHLO injected.example\r\n"),
        ("imap", b"", b"a1 STARTTLS\r\na2 NOOP\r\n"),
        ("pop3", b"", b"STLS\r\nCAPA\r\n"),
    ],
)
def test_nothing_that_came_before_the_handshake_is_believed_inside(server, name, greeting, command):
    with dial(server, name) as plain:
        plain.recv(4096)
        if greeting:
            plain.sendall(greeting)
            plain.recv(4096)
        plain.sendall(command)
        assert plain.recv(4096).count(b"\r\n") == 1
        # What was injected is taken for a part of the handshake by TLS, or was dropped: never is it answered.
        with contextlib.suppress(OSError):
            inside = anonymous().wrap_socket(plain)
            inside.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                assert inside.recv(4096) == b""


@pytest.mark.parametrize("name", ["submissions", "imaps", "pop3s"])
def test_implicit_tls_greets_inside(server, name):
    with dial(server, name, tls=True) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.recv(4096)[:4] in {b"220 ", b"* OK", b"+OK "}


@pytest.mark.parametrize("name", ["smtp", "imap", "pop3"])
def test_a_browser_is_shown_the_door(server, name):
    with dial(server, name) as connection:
        connection.recv(4096)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\n")
        until_closed(connection)


def test_one_connection_too_many_is_refused_in_words(server):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(dial(server, "smtp")).recv(4096)
        one_more = stack.enter_context(dial(server, "smtp"))
        assert until_closed(one_more).startswith(b"421 4.3.2 ")
        imap = stack.enter_context(dial(server, "imap"))
        assert until_closed(imap).startswith(b"* BYE ")
    with dial(server, "smtp") as again:
        assert again.recv(4096)


def test_the_connections_are_listed_and_those_of_an_account_are_cut(server):
    with dial(server, "imaps", tls=True) as mine, dial(server, "imap") as other:
        mine.recv(4096)
        other.recv(4096)
        mine.sendall(f'a LOGIN anna@{server.domain} "{PASSWORD}"\r\n'.encode())
        assert b"a OK" in mine.recv(4096)
        listed = [one for one in server.control("connections")["connections"] if one["login"]]
        assert [(one["protocol"], one["address"], one["tls"]) for one in listed] == [("imaps", "127.0.0.1", "TLSv1.3")]
        assert server.control("cut", account_id=listed[0]["account_id"])["connections"] == 1
        assert b"* BYE" in until_closed(mine)
        other.sendall(b"b NOOP\r\n")
        assert b"b OK" in other.recv(4096)


def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_stay(server):
    def shown():
        with dial(server, "imaps", tls=True) as connection:
            return connection.getpeercert(binary_form=True)

    path, key = server.certificate(), server.certificate().with_suffix(".key")
    before, good = shown(), (path.read_bytes(), key.read_bytes())
    with dial(server, "imaps", tls=True) as old:
        old.recv(4096)
        path.write_text("rubbish")
        with pytest.raises(ControlError, match=r"self-signed\.crt is not in PEM form"):
            server.control("reload")
        assert shown() == before
        path.write_bytes(good[0])
        other = MailServer(server.directory / "other")
        other.data.mkdir(parents=True)
        other.manage("migrate", "--verbosity", "0")
        _make_pair(other)
        path.write_bytes(other.certificate().read_bytes())
        key.write_bytes(other.certificate().with_suffix(".key").read_bytes())
        answer = server.control("reload")
        assert answer["warnings"] == []
        assert [change["name"] for change in answer["changes"]] == ["certificate"]
        assert shown() != before
        old.sendall(b"a NOOP\r\n")
        assert b"a OK" in old.recv(4096)


def _make_pair(server):
    code = "from a3mailer_site.env import current; from mailcore import tls; tls.ensure_pair(current())"
    subprocess.run([sys.executable, "-c", code], env=server.environment, cwd=ROOT, check=True, timeout=60)


def test_figures_come_from_all_processes(server):
    with dial(server, "smtp") as connection:
        connection.recv(4096)

    def counted():
        figures = server.control("figures")
        return figures["counters"].get("smtp.connections", 0) and len(figures["processes"]) == 3 and figures

    end = time.monotonic() + 30
    while not (figures := counted()):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert figures["gauges"]["process.rss_bytes"] > 50_000_000
    assert {process["name"] for process in figures["processes"]} == {"mail", "web", "worker"}


# HTTP.


def test_a_page_and_the_next_on_the_same_connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=30)
    for _ in range(2):
        connection.request("GET", "/admin/login/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"csrfmiddlewaretoken" in answer.read()
        assert answer.getheader("Server") is None
    connection.close()


def test_a_client_cannot_say_where_the_application_is_mounted(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=30)
    connection.request("GET", "/admin/", headers={"Daphne-Root-Path": "/evil"})
    answer = connection.getresponse()
    assert "evil" not in (answer.getheader("Location") or "") + answer.read().decode()


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_body_without_end_is_refused_before_it_is_read(server, how):
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with dial(server, "http") as connection:
        head = b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\n"
        if how == "length":
            connection.sendall(head + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 1000)
        else:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(100):
                    connection.sendall(chunk)
        assert until_closed(connection).startswith(b"HTTP/1.1 413 ")


def test_a_websocket_is_turned_away_while_there_is_none(server):
    with dial(server, "http") as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b" 403 " in connection.recv(4096)
