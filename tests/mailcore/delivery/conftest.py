"""What the tests of delivery share: a reactor of their own, doors that work at once, and mail in the queue."""

import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater
from twisted.protocols import tls

from a3mailer_site import env
from a3mailer_site.ids import new_id
from certificates import ROOT
from fakemx import LETTER, FakeMx
from mailcore.delivery.claims import owner_name
from mailcore.delivery.scheduler import Scheduler
from mailcore.dialogue import UnavailableError
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import Plan, Relay, destination_of
from mailcore.resolver.servers import Server
from mailcore.resolver.stub import Resolver
from mailcore.store import commit
from mailcore.store.mailboxes import forget_inbox
from mailcore.store.prepared import prepare
from mailqueue.models import Attempt


class Doors:
    """The database, in this thread. ``away`` makes it unavailable; with a ``reactor`` it answers a moment later."""

    def __init__(self):
        self.away = False
        self.reactor = None
        self.away_after = None  # the name of a function after which it is away

    def database(self, function, *args, **kwargs):
        answer = self._do(lambda: function(*args, **kwargs))
        self.away = self.away or function.__name__ == self.away_after
        return answer

    def commit(self, work):
        return self._do(lambda: commit.run(work))

    def _do(self, work):
        if self.reactor is not None:
            return deferLater(self.reactor, 0, self._do_now, work)
        return self._do_now(work)

    def _do_now(self, work):
        if self.away:
            return fail(UnavailableError("away"))
        try:
            return succeed(work())
        except Exception as error:
            return fail(error)


class Turner:
    """A real reactor that runs only while somebody waits for something."""

    def __init__(self):
        self.reactor = EPollReactor()

    def until(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            self.reactor.iterate(0.01)

    def run(self, coroutine, seconds=10):
        box = []
        Deferred.fromCoroutine(coroutine).addBoth(box.append)
        self.until(lambda: box, seconds)
        if hasattr(box[0], "value"):
            raise box[0].value
        return box[0]


@pytest.fixture
def turner(monkeypatch):
    turner = Turner()
    # TLS gathers small writes, with the global reactor's clock unless it is told otherwise.
    monkeypatch.setattr(tls, "_get_default_clock", lambda: turner.reactor)
    return turner


@pytest.fixture
def doors():
    return Doors()


@pytest.fixture
def settings_of(monkeypatch):
    """Change settings of the server for a test."""

    def change(**fields):
        from dataclasses import replace

        monkeypatch.setattr(env, "_current", replace(env.current(), **fields))

    return change


@pytest.fixture
def dns():
    from fakedns import FakeDns

    with FakeDns() as server:
        yield server


@pytest.fixture
def resolver(turner, dns):
    return Resolver(turner.reactor, [Server(dns.host, dns.port, trusted=True)])


@pytest.fixture
def queue(db):
    """Put a message for these recipients into the queue, as intake does; returns its id."""

    def put(*recipients, sender="me@example.org", content=LETTER, notify=(), orcpt="", **fields):
        plan = Plan(
            (),
            tuple(
                Relay(new_id(), address, destination_of(address), orcpt, frozenset(notify)) for address in recipients
            ),
        )
        acceptance = Acceptance(
            message=new_id(), prepared=prepare(content), plan=plan, sender=sender, direction="sub", **fields
        )
        return commit.run(acceptance)

    return put


@pytest.fixture
def authority(monkeypatch, tmp_path):
    """Everybody trusts ``ROOT``, and no other authority."""
    path = tmp_path / "root.pem"
    path.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture
def mx(settings_of, dns):
    """A mail server for a.test, and the port at which all mail servers of the test are."""
    with FakeMx() as server:
        settings_of(remote_smtp_port=server.port, hostname="us.test")
        dns.add("a.test", "MX", "10 mx.a.test")
        dns.add("mx.a.test", "A", "127.0.0.1")
        yield server


@pytest.fixture
def scheduler(turner, doors, resolver, mx):
    return Scheduler(turner.reactor, doors, resolver)


@pytest.fixture
def deliver(turner, scheduler):
    """Deliver everything that is due now."""

    def go(rounds=1):
        for _ in range(rounds):
            turner.run(scheduler._look())
            turner.until(lambda: scheduler.in_hand == 0)

    return go


@pytest.fixture
def send(queue, deliver):
    """Put a message for bob@a.test into the queue and deliver it; returns the attempt."""

    def go(**fields):
        message = queue("bob@a.test", **fields)
        deliver()
        return Attempt.objects.get(message=message)

    return go


@pytest.fixture
def make_user(make_user):
    """Make users whose mailboxes are not those that another test has left in memory."""

    def make(address):
        user = make_user(address)
        forget_inbox(user.id)
        return user

    return make


@pytest.fixture
def owner():
    return owner_name()


@pytest.fixture
def later():
    """A moment so many seconds from now."""
    return lambda seconds: timezone.now() + timedelta(seconds=seconds)
