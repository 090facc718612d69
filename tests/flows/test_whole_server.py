"""The processes of a running server: killed, replaced, reloaded and ended, while people use it."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from running import deliver
from senders import Ledger, Senders, nothing_is_lost

from a3mailer_site.control import ControlError
from wire import HOST, Imap, Smtp, Wire, until, unverified

pytestmark = pytest.mark.flow

CONTENT = b"Subject: hello\r\n\r\nx\r\n"


def processes(server):
    return {process["name"]: process for process in server.control("status")["processes"]}


def is_whole(server):
    with contextlib.suppress(ControlError):
        return server.control("status")["state"] == "running"
    return False


@pytest.mark.parametrize("killed", ["mail", "web", "worker"])
def test_a_process_that_is_killed_is_replaced_and_the_others_go_on(rough_server, person, killed):
    with person.imap() as open_before:
        before = processes(rough_server)
        os.kill(before[killed]["pid"], signal.SIGKILL)
        until(lambda: processes(rough_server)[killed]["restarts"] > before[killed]["restarts"])
        if killed != "mail":
            open_before.fine(b"NOOP")
            assert deliver(rough_server, person, CONTENT).startswith(b"250")
        until(lambda: is_whole(rough_server))
    after = processes(rough_server)
    assert {name for name in after if after[name]["pid"] != before[name]["pid"]} == {killed}
    rough_server.wait()
    deliver(rough_server, person, CONTENT)
    assert person.mail()


def test_replacing_processes_under_load_refuses_nobody(rough_server, record_property):
    people = [next(rough_server.unused) for _ in range(3)]
    with Senders(rough_server, [person.address for person in people], count=4) as senders:
        for _ in range(2):
            enough = len(senders.acknowledged) + 30
            until(lambda enough=enough: len(senders.acknowledged) >= enough)
            before = processes(rough_server)["mail"]["pid"]
            rough_server.control("restart", process="mail")
            assert processes(rough_server)["mail"]["pid"] != before
    record_property("messages_while_replacing", len(senders.acknowledged))
    assert senders.connections_refused == 0
    assert senders.unwelcome == []
    assert {reply[:9] for reply in senders.refusals} <= {b"421 4.3.2"}
    nothing_is_lost(senders.acknowledged, Ledger().check(people))


def test_sigterm_lets_finish_what_has_begun_says_goodbye_and_ends_with_0(rough_server, person):
    ports = rough_server.ports
    with (
        Smtp(ports["smtp"]) as idle,
        Smtp(ports["smtp"]) as sending,
        person.imap() as reading,
        person.imap() as idling,
    ):
        idling.send_command(b"IDLE")
        assert idling.line().startswith(b"+")
        sending.envelope("friend@example.net", person.address)
        sending.say(b"DATA")
        sending.send(b"Subject: in time\r\n\r\nhalf of it")
        began = time.monotonic()
        rough_server.process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith(b"421 4.3.2")
        assert reading.line().startswith(b"* BYE")
        assert idling.line().startswith(b"* BYE")
        sending.send(b" and the rest\r\n.\r\n")
        assert sending.reply().startswith(b"250 2.0.0")
        with pytest.raises(ConnectionRefusedError):
            Wire(ports["smtp"])
        assert rough_server.process.wait(60) == 0
        assert time.monotonic() - began < 30
    rough_server.start()
    (content,) = person.mail()
    assert content.endswith(b"half of it and the rest\r\n")


def presented(server):
    """The certificate that a new connection is shown."""
    with (
        socket.create_connection((HOST, server.ports["imaps"]), 60) as plain,
        unverified().wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert(binary_form=True)


def test_sighup_puts_a_new_certificate_in_force_and_open_connections_stay(rough_server, person, tmp_path):
    certificate = rough_server.certificate()
    key = certificate.with_suffix(".key")
    old, old_key = certificate.read_bytes(), key.read_bytes()
    subject = ["-subj", "/CN=localhost", "-days", "30", "-nodes", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", tmp_path / "k", "-out", tmp_path / "c"]
    subprocess.run(["openssl", "req", "-x509", *curve, *subject], check=True, capture_output=True)
    with person.imap() as open_before:
        try:
            # Half a change is refused, and the old pair stays.
            certificate.write_bytes((tmp_path / "c").read_bytes())
            with pytest.raises(ControlError, match="is the key of another certificate"):
                rough_server.control("reload")
            assert presented(rough_server) == ssl.PEM_cert_to_DER_cert(old.decode())
            key.write_bytes((tmp_path / "k").read_bytes())
            rough_server.process.send_signal(signal.SIGHUP)
            new = ssl.PEM_cert_to_DER_cert((tmp_path / "c").read_text())
            until(lambda: presented(rough_server) == new)
            open_before.fine(b"NOOP")
        finally:
            certificate.write_bytes(old)
            key.write_bytes(old_key)
            rough_server.control("reload")
    assert presented(rough_server) == ssl.PEM_cert_to_DER_cert(old.decode())


def test_a_setting_that_is_invalid_is_refused_and_the_old_one_stays(rough_server, person):
    settings = rough_server.data / "a3mailer.env"
    try:
        settings.write_text("A3MAILER_MESSAGE_LIMIT=1000\n")
        assert rough_server.control("reload")["warnings"] == []
        with Smtp(rough_server.ports["smtp"]) as smtp:
            assert b"SIZE 1000" in smtp.capabilities
        settings.write_text("A3MAILER_MESSAGE_LIMIT=lots\n")
        with pytest.raises(ControlError, match="A3MAILER_MESSAGE_LIMIT is 'lots'"):
            rough_server.control("reload")
        with Smtp(rough_server.ports["smtp"]) as smtp:
            assert b"SIZE 1000" in smtp.capabilities
            assert smtp.envelope("friend@example.net", person.address).startswith(b"250")
            assert smtp.data(CONTENT + b"y" * 1000).startswith(b"552 5.3.4")
    finally:
        settings.unlink()
        rough_server.control("reload")
    assert deliver(rough_server, person, CONTENT + b"y" * 1000).startswith(b"250")


def test_somebody_who_is_disabled_is_cut_off(rough_server, person):
    account = rough_server.python(
        "from accounts.models import User\nprint(User.objects.get(email=given).pk)", person.address
    )
    with person.imap() as imap:
        assert rough_server.control("cut", account_id=account) == {"connections": 1}
        assert imap.line().startswith(b"* BYE")
    rough_server.python(
        "from accounts.models import User\nu = User.objects.get(email=given)\nu.is_active = False\nu.save()\nprint(1)",
        person.address,
    )
    with Imap(rough_server.ports["imaps"], tls=True, source="127.0.7.2") as imap:
        assert imap.login(person.address, person.password).startswith(b"NO [AUTHENTICATIONFAILED]")


def test_too_many_connections_are_told_so_and_the_server_recovers(rough_server, person):
    settings = rough_server.data / "a3mailer.env"
    crowd = []
    try:
        settings.write_text("A3MAILER_CONNECTION_LIMIT_PER_ADDRESS=20\n")
        rough_server.control("reload")
        for _ in range(20):
            crowd.append(Wire(rough_server.ports["smtp"], source="127.0.7.3"))
            assert crowd[-1].line().startswith(b"220")
        with Wire(rough_server.ports["smtp"], source="127.0.7.3") as one_too_many:
            assert one_too_many.line().startswith(b"421 4.3.2")
        assert deliver(rough_server, person, CONTENT).startswith(b"250")
    finally:
        for wire in crowd:
            wire.close()
        settings.unlink()
        rough_server.control("reload")
    until(lambda: _welcome(rough_server, "127.0.7.3"))


def _welcome(server, source):
    with Wire(server.ports["smtp"], source=source) as wire:
        return wire.line().startswith(b"220")


def test_a_slow_client_holds_up_nobody(rough_server, person):
    """Somebody who sends a message an octet now and then, and somebody who asks for much and reads nothing."""
    deliver(rough_server, person, CONTENT + b"z" * 5_000_000)
    stop = threading.Event()
    with Smtp(rough_server.ports["smtp"]) as slow, person.imap() as deaf:
        slow.envelope("friend@example.net", person.address)
        slow.say(b"DATA")

        def drip():
            while not stop.wait(0.01):
                slow.send(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.send(b"".join(b"d%d UID FETCH 1:* BODY.PEEK[]\r\n" % number for number in range(20)))
        try:
            began = time.monotonic()
            for _ in range(5):
                assert deliver(rough_server, person, CONTENT).startswith(b"250")
            assert time.monotonic() - began < 5 * 5
        finally:
            stop.set()
            dripping.join()
