"""A whole server for tests: its own data directory, free ports, real processes, nothing shared."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from a3mailer_site.control import call

ROOT = Path(__file__).resolve().parent.parent
LISTENERS = ("smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "http")
HOST = "127.0.0.1"
# Names the environment's variable with the directory of what is made once in a test run (``conftest.py``).
RUN = "TESTS_OF_THIS_RUN"


def free_ports(count):
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


# Hashes once: a hash takes as long as all the rest of a small test.
ADD_PEOPLE = """
import json, sys
from django.contrib.auth.hashers import make_password
from accounts.models import User
from domains.models import Domain
password, addresses = json.load(sys.stdin)
hashed = make_password(password)
for address in addresses:
    domain = Domain.objects.get(name=address.rpartition("@")[2])
    User(username=address, email=address, domain=domain, password=hashed).save()
"""


STATUSES = """
from a3mailer_site.ids import from_text
from mailqueue.models import MessageTrace
traces = MessageTrace.objects.filter(message=from_text(given))
print(json.dumps(list(traces.values_list("status", flat=True))))
"""
OUTCOMES = """
from a3mailer_site.ids import from_text
from mailqueue.models import Attempt
attempts = Attempt.objects.filter(message=from_text(given)).order_by("id")
print(json.dumps(list(attempts.values_list("outcome", "enhanced", "reply"))))
"""


class MailServer:
    """Start with ``start()``, end with ``stop()``. ``environment`` adds or overrides settings."""

    def __init__(self, directory=None, environment=None, domain="example.test"):
        self.directory = Path(directory or tempfile.mkdtemp(prefix="a3mailer-"))
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.domain = domain
        self.process = None
        self.log = self.directory / "server.log"
        self.data = self.directory / "data"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("A3MAILER_", "DATABASE_"))},
            "A3MAILER_DATA_DIR": str(self.data),
            "A3MAILER_HOSTNAME": f"mail.{domain}",
            "PYTHONUNBUFFERED": "1",
            **{f"A3MAILER_{name.upper()}_LISTEN": f"{HOST}:{port}" for name, port in self.ports.items()},
            **(environment or {}),
        }
        self.credentials = {}
        self.people = []

    def manage(self, *arguments, stdin=None, check=True):
        """Run a management command; returns its standard output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def prepare(self, people=0, password=""):
        """Make the database, the first domain, administrator, mailbox and key, and ``people`` with one password.

        That takes ten seconds. The first of a test run that wants it on SQLite makes it, the others take a copy.
        """
        if RUN not in os.environ or "DATABASE_URL" in self.environment:
            self._make(people, password)
        else:
            kind = f"{self.domain} {people} {password}".replace(" ", "-")
            self._copy(Path(os.environ[RUN]) / kind, people, password)
        return self

    def _make(self, people, password):
        self.manage("migrate", "--verbosity", "0")
        self.credentials = json.loads(self.manage("quickstart", "--domain", self.domain, "--json"))
        self.people = self.add_people(people, password) if people else []

    def _copy(self, template, people, password):
        with Path(f"{template}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = template / "made.json"
            if not made.exists():
                self._make(people, password)
                shutil.copytree(self.data, template / "data")
                made.write_text(json.dumps([self.credentials, self.people]))
                return
        self.credentials, self.people = json.loads(made.read_text())
        shutil.copytree(template / "data", self.data, dirs_exist_ok=True)

    def adduser(self, address, password):
        """Make a mailbox."""
        self.manage("adduser", address, "--password-stdin", stdin=password + "\n")

    def add_people(self, count, password):
        """Make many mailboxes with one password, p0@…, p1@…, in one go; returns their addresses."""
        addresses = [f"p{number}@{self.domain}" for number in range(count)]
        self.manage("shell", "--no-imports", "-c", ADD_PEOPLE, stdin=json.dumps([password, addresses]))
        return addresses

    def start(self, seconds=60):
        """Start the processes and wait until every port answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runmailserver"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(seconds)
        return self

    def wait(self, seconds=60):
        """Wait until every port answers."""
        end = time.monotonic() + seconds
        for name, port in self.ports.items():
            while not self._answers(name, port):
                if self.process and self.process.poll() is not None:
                    raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
                if time.monotonic() > end:
                    raise RuntimeError(f"nothing answers on {name} port {port}:\n{self.tail()}")
                time.sleep(0.05)

    @staticmethod
    def _answers(name, port):
        try:
            with socket.create_connection((HOST, port), 5) as connection:
                if name == "http":
                    connection.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
                if name in {"submissions", "imaps", "pop3s"}:
                    return True
                connection.settimeout(5)
                return bool(connection.recv(64))
        except OSError:
            return False

    def tail(self, lines=40):
        """The end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(line[:1000] for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def python(self, code, value=None):
        """Run code among the models; it prints one JSON value, which is returned. ``value`` is ``given`` there."""
        code = f"import json, sys\ngiven = json.load(sys.stdin)\n{code}"
        return json.loads(self.manage("shell", "--no-imports", "-c", code, stdin=json.dumps(value)))

    def statuses(self, queue_id):
        """How it stands with the recipients of a message."""
        return set(self.python(STATUSES, queue_id))

    def attempts(self, queue_id):
        """Outcome, enhanced status code and reply of each attempt to send a message on."""
        return self.python(OUTCOMES, queue_id)

    def queue_length(self):
        """How many recipients still wait."""
        return self.python("from mailqueue.models import QueueEntry\nprint(QueueEntry.objects.waiting().count())")

    def raise_limits(self):
        """Let tests ask the API as often as they like: on a fresh server a hundred requests a minute are enough."""
        wide = {"max_requests": 10_000_000, "window_seconds": 60}
        request = urllib.request.Request(
            f"http://{HOST}:{self.ports['http']}/api/v1/security/rate-limits",
            data=json.dumps(dict.fromkeys(("global", "per_ip", "per_user"), wide)).encode(),
            headers={"Authorization": f"Bearer {self.credentials['api_key']}", "Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def certificate(self):
        """Path of the self-signed certificate: what a client trusts that looks at it."""
        return self.data / "tls" / "self-signed.crt"

    def control(self, command, **arguments):
        """Send a command to the control socket."""
        return call(command, data_dir=self.data, timeout=60, **arguments)

    def pid(self, name):
        """Process id of a role (mail, web, worker); ``None`` while it has none."""
        processes = self.control("status")["processes"]
        return next(process["pid"] for process in processes if process["name"] == name)

    def tree(self):
        """Ids of the supervisor and of everything it started."""
        if self.process is None:
            return []
        children = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def kill(self):
        """End everything at once with SIGKILL, as a power cut would (but for the page cache)."""
        pids = self.tree()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        for pid in sorted({*pids, *self.tree()}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        end = time.monotonic() + 30
        while any(_alive(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.02)

    def stop(self, seconds=60):
        """Ask the server to end; returns its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
