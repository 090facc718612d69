"""A whole server that lives in an internet of the tests' own: DNS, mail hosts and policy hosts on addresses of 127/8.

    internet.dns.add("a.test", "MX", "10 mx.a.test")
    with internet.host("127.0.5.1", "mx.a.test") as mx:     # a FakeMx
        ...

The server connects to ``internet.port`` of mail hosts and ``web_port`` of policy hosts, and trusts
``certificates.ROOT``. It believes what the DNS says to be proved: it asks one of this machine.
"""

import contextlib
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from running import quick_retries, running

from a3mailer_site.ids import from_text
from certificates import ROOT, Certified
from fakedns import FakeDns
from fakehttps import FakeHttps
from fakemx import FakeMx
from server import HOST, free_ports
from wire import until

POLICY_PATH = "/.well-known/mta-sts.txt"
# What is asked of attempts.
FIELDS = ("outcome", "enhanced", "reply", "host", "address", "tls")


@dataclass(frozen=True)
class Attempt:
    """One try to hand a message on."""

    outcome: str
    enhanced: str
    reply: str
    host: str
    address: str
    tls: str


class Internet:
    """Enter it to start all of it."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="internet-")))
            self.dns = stack.enter_context(FakeDns(host=HOST))
            (self.port,) = free_ports(1)
            policies = Certified("policies", ROOT, names=[f"mta-sts.d{number}.test" for number in range(200)])
            self.web = stack.enter_context(FakeHttps(policies.context(self.directory)))
            root = self.directory / "root.pem"
            root.write_text(ROOT.pem)
            ours = Certified("mail.example.test", ROOT, names=["mail.example.test", "localhost"])
            (self.directory / "our.crt").write_text(ours.pem)
            (self.directory / "our.key").write_text(ours.key_pem)
            (self.directory / "our.key").chmod(0o600)
            environment = {
                **quick_retries(self.dns),
                "A3MAILER_REMOTE_SMTP_PORT": str(self.port),
                "A3MAILER_REMOTE_HTTPS_PORT": str(self.web.port),
                "A3MAILER_TLS_CERT": str(self.directory / "our.crt"),
                "A3MAILER_TLS_KEY": str(self.directory / "our.key"),
                "SSL_CERT_FILE": str(root),
            }
            self.server = stack.enter_context(running("internet", environment))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info):
        self._stack.close()

    def host(self, address, shown=None, **options):
        """A mail host; ``shown`` is its certificate."""
        tls = shown.context(self.directory) if shown is not None else None
        return FakeMx(host=address, port=self.port, tls=tls, **options)

    def add_routes(self, ways):
        """Route domains to host and port, ``tls`` as a route has it."""
        self.server.python(_ROUTES, [list(way) for way in ways])

    def loosen_routes(self, domains):
        """Take any certificate, or none, on these routes from now on."""
        self.server.python(_LOOSER, domains)

    def attempts(self, queue_id):
        """What came of each attempt to send a message on, oldest first."""
        # Straight from the file: it is looked at again and again, and a command of its own takes seconds.
        with contextlib.closing(
            sqlite3.connect(f"file:{self.server.data / 'a3mailer.sqlite3'}?mode=ro", uri=True)
        ) as file:
            query = f"SELECT {', '.join(FIELDS)} FROM mailqueue_attempt WHERE message = ? ORDER BY id"
            return [Attempt(*row) for row in file.execute(query, [from_text(queue_id)])]

    def until_tried(self, queue_id, outcome, seconds=60):
        """Wait for an attempt with this outcome, and return the first one."""

        def found():
            return next((one for one in self.attempts(queue_id) if one.outcome == outcome), None)

        return until(found, seconds, f"no attempt of {queue_id} was {outcome}")


_ROUTES = """
from mailqueue.models import Route
for domain, host, port, tls in given:
    route = Route(domain=domain, host=host, port=port, tls=tls)
    route.full_clean()
    route.save()
print(1)
"""
_LOOSER = """
from mailqueue.models import Route
print(Route.objects.filter(domain__in=given).update(tls="opportunistic"))
"""
