"""The supervisor with real processes: toy children on free ports, in a temporary data directory."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from a3mailer_site.control import ControlError, ServerAwayError, call

pytestmark = pytest.mark.flow

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).with_name("toys") / "toy_supervisor.py"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=60.0):
    """Wait for something outside this process, which tells nobody when it happens."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


class Running:
    """A supervisor, and what it wrote."""

    def __init__(self, data_dir, **environ):
        self.data_dir = data_dir
        self.port = int(environ.pop("port", 0)) or free_port()
        self.http = free_port()
        self.log = data_dir / "log"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("A3MAILER_", "DATABASE_"))},
            "PYTHONPATH": str(ROOT),
            "A3MAILER_DATA_DIR": str(data_dir),
            "A3MAILER_SMTP_LISTEN": f"127.0.0.1:{self.port}",
            "A3MAILER_HTTP_LISTEN": f"127.0.0.1:{self.http}",
            **environ,
        }
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY)], env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def call(self, command, **arguments):
        return call(command, data_dir=self.data_dir, timeout=60, **arguments)

    def status(self):
        with contextlib.suppress(ServerAwayError):
            return self.call("status")
        return {"state": "away", "processes": [], "listeners": []}

    def wait_for(self, state):
        def reached():
            assert self.process.poll() is None, self.log.read_text()
            return self.status()["state"] == state

        wait_until(reached)
        return self

    def role(self, name):
        return next(process for process in self.status()["processes"] if process["name"] == name)

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(40)
        return self.process.returncode


@pytest.fixture
def server(tmp_path):
    servers = []

    def make(**environ):
        tmp_path.chmod(0o700)
        servers.append(Running(tmp_path, **environ))
        return servers[-1]

    yield make
    for each in servers:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One for the tests that leave it as it was."""
    data_dir = tmp_path_factory.mktemp("shared")
    one = Running(data_dir).start()
    try:
        yield one.wait_for("running")
        assert one.stop() == 0
    finally:
        if one.process.poll() is None:
            one.process.kill()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.pid = int(self.line().split()[1])

    def line(self):
        return self.file.readline().strip()

    def say(self, text):
        self.socket.sendall(text + b"\r\n")
        while (line := self.line()) == b"draining":
            pass
        return line

    def close(self):
        self.file.close()
        self.socket.close()


def test_it_serves_says_what_it_does_and_ends_in_order(server):
    running = server().start().wait_for("running")
    client = Client(running.port)
    assert client.say(b"hi") == b"echo hi"
    status = running.status()
    assert [process["name"] for process in status["processes"]] == ["mail", "web", "worker"]
    assert {process["state"] for process in status["processes"]} == {"ready"}
    assert {"name": "smtp", "address": f"127.0.0.1:{running.port}", "served": True} in status["listeners"]
    assert stat.S_IMODE((running.data_dir / "control.sock").stat().st_mode) == 0o600
    client.close()
    assert running.stop() == 0
    assert not (running.data_dir / "control.sock").exists()
    events = [line["event"] for line in running.lines()]
    assert f"smtp listening on 127.0.0.1:{running.port}" in events
    assert events[-1] == "the server is down"


def test_an_unknown_command_and_a_broken_message_are_refused(running):
    with pytest.raises(ControlError, match="there is no command 'sing'"):
        running.call("sing")
    directory = os.open(running.data_dir, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(f"/proc/self/fd/{directory}/control.sock")
        link.sendall(b"\xff\xff\xff\xff")
        assert link.recv(10) == b""
    os.close(directory)
    assert running.status()["state"] == "running"


def test_a_second_server_on_the_same_data_directory_is_refused(running):
    second = Running(running.data_dir).start()
    assert second.process.wait(60) == 1
    reasons = [line.get("reason", "") for line in running.lines()]
    assert any(f"another server (process {running.process.pid}) already runs" in reason for reason in reasons)
    assert running.status()["state"] == "running"


def test_a_port_in_use_is_named(server, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = server(port=taken.getsockname()[1]).start()
        assert running.process.wait(30) == 1
    reason = running.lines()[-1]["reason"]
    assert f"smtp cannot listen on 127.0.0.1:{running.port}: Address already in use" in reason


def test_a_crash_is_repaired_and_the_others_go_on(server):
    running = server().start().wait_for("running")
    web = running.role("web")["pid"]
    client = Client(running.port)
    client.socket.sendall(b"die\r\n")
    wait_until(lambda: running.role("mail")["restarts"] == 1)
    running.wait_for("running")
    mail = running.role("mail")
    assert mail["pid"] != client.pid
    assert mail["last_ending"] == "exit code 3"
    assert running.role("web")["pid"] == web
    assert Client(running.port).pid == mail["pid"]


def test_one_that_keeps_crashing_stays_down_and_is_tried_again_later(server):
    running = server().start().wait_for("running")
    (running.data_dir / "broken").touch()
    os.kill(running.role("web")["pid"], signal.SIGKILL)
    wait_until(lambda: running.role("web")["state"] == "down")
    assert running.status()["state"] == "degraded"
    assert Client(running.port).say(b"hi") == b"echo hi"
    (running.data_dir / "broken").unlink()
    running.wait_for("running")
    events = [line["event"] for line in running.lines()]
    assert "process keeps crashing and stays down for a while" in events
    assert "Traceback: the toy is broken" in events


def test_replacing_under_load_refuses_nobody_and_keeps_the_totals(server):
    running = server().start().wait_for("running")
    stop = threading.Event()
    sessions, troubles = [], []

    def load():
        while not stop.is_set():
            try:
                client = Client(running.port)
                assert client.say(b"quit") == b"echo quit"
                sessions.append(client.pid)
                client.close()
            except Exception as error:
                troubles.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        running.call("restart", process="mail")
    stop.set()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert len(set(sessions)) >= 3
    assert running.role("mail")["restarts"] == 0
    wait_until(lambda: running.call("figures")["counters"]["toy.connections"] == len(sessions))


def test_an_open_connection_may_finish_on_the_old_process(running):
    client = Client(running.port)
    replacing = threading.Thread(target=running.call, args=("restart",), kwargs={"process": "mail"})
    replacing.start()
    assert client.line() == b"draining"
    assert running.role("mail")["pid"] != client.pid
    assert Client(running.port).pid != client.pid
    assert client.say(b"last words") == b"echo last words"
    assert client.line() == b""
    replacing.join()


def test_a_replacement_that_does_not_become_ready_leaves_the_old_one(server):
    running = server(TOY_READY_PATIENCE="10").start().wait_for("running")
    before = running.role("mail")["pid"]
    (running.data_dir / "unready").touch()
    with pytest.raises(ControlError, match="did not become ready"):
        running.call("restart", process="mail")
    assert running.role("mail")["pid"] == before
    assert Client(running.port).say(b"hi") == b"echo hi"
    assert running.status()["state"] == "running"


def test_reload_checks_first_and_says_what_needs_a_restart(running):
    client = Client(running.port)
    settings = running.data_dir / "a3mailer.env"
    settings.write_text("A3MAILER_PLAINTEXT_AUTH=perhaps\n")
    with pytest.raises(ControlError, match="A3MAILER_PLAINTEXT_AUTH is 'perhaps'"):
        running.call("reload")
    settings.write_text("A3MAILER_DESTINATION_CONCURRENCY=3\nDATABASE_URL=postgres:///elsewhere\n")
    (running.data_dir / "refuse").touch()
    with pytest.raises(ControlError, match="mail: the toy does not like it"):
        running.call("reload")
    (running.data_dir / "refuse").unlink()
    warnings = running.call("reload")["warnings"]
    assert warnings == ["database_url changed; it takes effect when the server is started again"]
    settings.write_text("A3MAILER_PLAINTEXT_AUTH=perhaps\n")
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(line["event"] == "reload refused, nothing is changed" for line in running.lines()))
    assert client.say(b"still here") == b"echo still here"
    client.close()
    settings.unlink()
    running.call("reload")


def test_a_dry_reload_says_the_same_and_changes_nothing(running):
    settings = running.data_dir / "a3mailer.env"
    settings.write_text("A3MAILER_DESTINATION_CONCURRENCY=4\nA3MAILER_SECRET_KEY=sesame\n")
    wanted = [
        {"name": "secret_key", "before": "", "after": "***"},
        {"name": "destination_concurrency", "before": 10, "after": 4},
    ]
    for _ in range(2):
        answer = running.call("reload", dry_run=True)
        assert answer["changes"] == wanted
        assert answer["notes"] == [{"kind": "start_again", "name": "secret_key", "address": ""}]
    assert running.call("reload")["changes"] == wanted
    # What a reload cannot put in force is named again until the server has been started again.
    again = running.call("reload")
    assert (again["changes"], len(again["warnings"])) == ([], 1)
    settings.unlink()
    running.call("reload")


def test_a_listener_that_cannot_be_opened_is_refused_before_anything_changes(server):
    running = server()
    del running.environ["A3MAILER_HTTP_LISTEN"]
    settings = running.data_dir / "a3mailer.env"
    settings.write_text(f"A3MAILER_HTTP_LISTEN=127.0.0.1:{running.http}\n")
    running.start().wait_for("running")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings.write_text(f"A3MAILER_DESTINATION_CONCURRENCY=5\nA3MAILER_HTTP_LISTEN=127.0.0.1:{port}\n")
        for dry_run in (True, False):
            with pytest.raises(ControlError, match=f"http cannot listen on 127.0.0.1:{port}: Address already in use"):
                running.call("reload", dry_run=dry_run)
        assert running.call("restart", background=True)["why"] == "invalid"
        Client(running.http).close()
    changes = running.call("reload")["changes"]
    assert [change["name"] for change in changes] == ["http_listen", "destination_concurrency"]


def test_a_restart_in_the_background_is_accepted_once_at_a_time(server):
    running = server().start().wait_for("running")
    before = [process["pid"] for process in running.status()["processes"]]
    client = Client(running.port)
    assert running.call("restart", background=True) == {"accepted": True}
    assert client.line() == b"draining"  # and the restart waits for this client
    refused = running.call("restart", background=True)
    assert (refused["accepted"], refused["why"]) == (False, "restarting")
    with pytest.raises(ControlError, match="being restarted already"):
        running.call("restart", process="web")
    assert running.status()["restarting"]
    client.say(b"quit")
    wait_until(lambda: not running.status()["restarting"])
    after = [process["pid"] for process in running.status()["processes"]]
    assert not set(before) & set(after)
    assert running.status()["state"] == "running"


def test_a_restart_with_settings_that_are_invalid_is_refused_and_replaces_nobody(running):
    before = [process["pid"] for process in running.status()["processes"]]
    settings = running.data_dir / "a3mailer.env"
    settings.write_text("A3MAILER_PLAINTEXT_AUTH=perhaps\n")
    refused = running.call("restart", background=True)
    assert (refused["accepted"], refused["why"]) == (False, "invalid")
    assert "A3MAILER_PLAINTEXT_AUTH is 'perhaps'" in refused["reason"]
    with pytest.raises(ControlError, match="A3MAILER_PLAINTEXT_AUTH"):
        running.call("restart")
    settings.unlink()
    assert [process["pid"] for process in running.status()["processes"]] == before


def test_a_process_tells_how_long_ago_it_was_heard(running):
    wait_until(lambda: all(process["heartbeat"] is not None for process in running.status()["processes"]))
    assert all(0 <= process["heartbeat"] < 5 for process in running.status()["processes"])


def test_a_restart_opens_and_closes_listeners_as_they_are_set(server):
    running = server()
    del running.environ["A3MAILER_HTTP_LISTEN"]
    settings = running.data_dir / "a3mailer.env"
    settings.write_text(f"A3MAILER_HTTP_LISTEN=127.0.0.1:{running.http}\n")
    running.start().wait_for("running")
    Client(running.http).close()
    other = free_port()
    settings.write_text(f"A3MAILER_HTTP_LISTEN=127.0.0.1:{other}\n")
    assert f"http is to listen on 127.0.0.1:{other}; restart to apply" in running.call("reload")["warnings"]
    running.call("restart", process="web")
    Client(other).close()
    with pytest.raises(ConnectionRefusedError):
        Client(running.http)


def test_children_end_with_a_supervisor_that_was_killed_and_a_new_one_takes_over(server):
    running = server().start().wait_for("running")
    children = [process["pid"] for process in running.status()["processes"]]
    running.process.kill()
    running.process.wait()
    assert (running.data_dir / "control.sock").exists()
    started = time.monotonic()
    again = server(port=running.port).start()
    wait_until(lambda: _answers(again.port))
    assert time.monotonic() - started < 25  # five times the promised 5 s
    again.wait_for("running")
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def _answers(port):
    with contextlib.suppress(OSError, IndexError, ValueError):
        Client(port).close()
        return True
    return False


def test_every_line_of_the_log_is_one_json_object(server):
    running = server(TOY="noise").start().wait_for("running")
    running.stop()
    odd = [line for line in running.lines() if line["event"].startswith("half a line")]
    assert all({"event", "level", "process", "pid", "timestamp"} <= line.keys() for line in running.lines())
    assert odd == [] or odd[0]["process"] in {"mail", "web", "worker"}


def test_sockets_from_systemd_are_used(server):
    running = server()
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        given.listen()
        port = given.getsockname()[1]
        # What systemd does: the socket is descriptor 3, and LISTEN_PID is the process that it starts.
        script = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='smtp');"
            "os.execv(sys.executable, [sys.executable, sys.argv[2]])"
        )
        running.port = port
        with running.log.open("ab") as log:
            running.process = subprocess.Popen(
                [sys.executable, "-c", script, str(given.fileno()), str(TOY)],
                env={**running.environ, "A3MAILER_SMTP_LISTEN": f"127.0.0.1:{port}"},
                pass_fds=[given.fileno()],
                stdout=log,
                stderr=log,
            )
    running.wait_for("running")
    assert Client(port).say(b"hi") == b"echo hi"
    environ = Path(f"/proc/{running.role('mail')['pid']}/environ").read_bytes()
    assert b"LISTEN_PID" not in environ


def test_cutting_asks_the_mail_process(running):
    client = Client(running.port)
    assert running.call("cut", account_id=5) == {"connections": 1}
    client.close()
    running.call("wake")


def test_several_mail_processes_share_the_sockets(server):
    running = server(A3MAILER_MAIL_PROCESSES="2").start().wait_for("running")
    names = [process["name"] for process in running.status()["processes"]]
    assert names == ["mail-1", "mail-2", "web", "worker"]
    first, second = running.role("mail-1")["pid"], running.role("mail-2")["pid"]
    os.kill(first, signal.SIGKILL)
    assert Client(running.port).pid in {second, wait_until(lambda: running.role("mail-1")["pid"])}


def test_drain_ends_the_server(server):
    running = server().start().wait_for("running")
    assert running.call("drain") == {"state": "draining"}
    assert running.process.wait(40) == 0
    with pytest.raises(ServerAwayError):
        running.call("status")


def test_who_asks_twice_to_end_is_not_shown_an_error(server):
    running = server().start().wait_for("running")
    for _ in range(3):
        running.process.send_signal(signal.SIGINT)
    assert running.process.wait(40) == 0
    assert [line for line in running.lines() if line["level"] in {"error", "critical"}] == []
