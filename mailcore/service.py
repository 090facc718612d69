"""The mail process: SMTP, submission, IMAP and POP3 on the sockets that it was given, and the writer of the store.

It puts the parts together and knows what none of them knows: which listener speaks what, by which rules, and in which
order things end.
"""

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db import connection as database
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from a3mailer_site import generations
from a3mailer_site.env import current
from a3mailer_site.figures import figures
from a3mailer_site.models import Generation
from accounts import passwords
from mailcore import tls
from mailcore.blocked import BlockedHere
from mailcore.child import Child
from mailcore.control import Message
from mailcore.database import DatabaseDoors
from mailcore.dialogue import Peer, Session, UnavailableError
from mailcore.imap import backend as imap_backend
from mailcore.imap.session import ImapSession
from mailcore.imap.talk import Policy as ImapPolicy
from mailcore.pop3 import backend as pop3_backend
from mailcore.pop3.session import Policy as Pop3Policy
from mailcore.pop3.session import Pop3Session
from mailcore.resolver.servers import configured
from mailcore.resolver.stub import Resolver
from mailcore.smtp import backend as smtp_backend
from mailcore.smtp.reverse_names import reverse_names
from mailcore.smtp.session import Policy as SmtpPolicy
from mailcore.smtp.session import SmtpSession
from mailcore.smtp.strangers import is_exempt, strangers
from mailcore.store import commit
from mailcore.store.eyes import Eyes
from mailcore.store.notices import doorbells
from mailcore.store.spool import Spool
from mailcore.threads import WayBack
from mailcore.transport import Answers, Connection, Connections, Limits, Server
from mailcore.tuning import Tuning
from security import blocklist

log = structlog.get_logger("mailcore.service")

SWEEP_EVERY = 1.0

TOO_MANY_SMTP = b"421 4.3.2 Too many connections, try again later\r\n"
TOO_MANY_IMAP = b"* BYE Too many connections, try again later\r\n"
TOO_MANY_POP3 = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"


def smtp_session(peer: Peer, *, submission: bool = False, lmtp: bool = False) -> Session:
    """Begin an SMTP conversation by the rules that are in force now."""
    env = current()
    stranger = not (submission or lmtp or is_exempt(peer.address))
    longest_hold = timedelta(days=env.future_release_days if submission else 0)
    policy = SmtpPolicy(
        hostname=env.host_name,
        submission=submission,
        lmtp=lmtp,
        stranger=stranger,
        refuse_own_name=stranger and env.refuse_own_name,
        greet_delay=float(env.greet_delay) if stranger else 0.0,
        begin_within=0.0 if lmtp else float(env.begin_within),
        message_within=float(env.message_within) if stranger else 0.0,
        tls_available=True,
        plaintext_auth_ok=env.plaintext_allowed(peer.address),
        message_limit=env.message_limit,
        recipient_limit=env.recipient_limit,
        longest_hold=int(longest_hold.total_seconds()),
        latest_hold=f"{datetime.now(UTC) + longest_hold:%Y-%m-%dT%H:%M:%SZ}" if longest_hold else "",
    )
    return SmtpSession(policy, peer, Spool)


def imap_session(peer: Peer) -> Session:
    """Begin an IMAP conversation by the rules that are in force now."""
    env = current()
    policy = ImapPolicy(
        tls_available=True,
        plaintext_auth_ok=env.plaintext_allowed(peer.address),
        message_limit=env.message_limit,
    )
    return ImapSession(policy, peer, Spool)


def pop3_session(peer: Peer) -> Session:
    """Begin a POP3 conversation by the rules that are in force now."""
    policy = Pop3Policy(tls_available=True, plaintext_auth_ok=current().plaintext_allowed(peer.address))
    return Pop3Session(policy, peer)


# What is spoken on each listener: how a session begins, what its questions mean, and what is said to one too many.
Spoken = tuple[Callable[[Peer], Session], Answers, bytes]
SPOKEN: dict[str, Spoken] = {
    "smtp": (smtp_session, smtp_backend.ANSWERS, TOO_MANY_SMTP),
    "submission": (partial(smtp_session, submission=True), smtp_backend.ANSWERS, TOO_MANY_SMTP),
    "submissions": (partial(smtp_session, submission=True), smtp_backend.ANSWERS, TOO_MANY_SMTP),
    "lmtp": (partial(smtp_session, lmtp=True), smtp_backend.ANSWERS, TOO_MANY_SMTP),
    "imap": (imap_session, imap_backend.ANSWERS, TOO_MANY_IMAP),
    "imaps": (imap_session, imap_backend.ANSWERS, TOO_MANY_IMAP),
    "pop3": (pop3_session, pop3_backend.ANSWERS, TOO_MANY_POP3),
    "pop3s": (pop3_session, pop3_backend.ANSWERS, TOO_MANY_POP3),
}
IMPLICIT_TLS = {"submissions", "imaps", "pop3s"}


def limits() -> Limits:
    """Return how many connections the settings allow."""
    return Limits(current().connection_limit, current().connection_limit_per_address)


class MailProcess:
    """The parts of the mail process, and how they begin and end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        way_back = WayBack(reactor)
        self._committer = commit.Committer(way_back)
        self._doors = DatabaseDoors(way_back, passwords.verify, self._committer, reactor)
        self._tuning = Tuning(reactor, way_back, polled=True)
        self._resolver = Resolver(reactor, configured(current()))
        reverse_names.use(self._resolver, reactor)
        self._connections = Connections(limits, blocklist.guard.refuses)
        self._blocked = BlockedHere(reactor, self._doors, self._connections)
        # Before the first connection is accepted.
        self._blocked.read_now()
        self._certificates = tls.Certificates(current())
        self._see_changes(way_back)
        self.child = Child(reactor, "mail")
        for name, (new_session, answers, refusal) in SPOKEN.items():
            server = Server(
                name,
                new_session,
                answers,
                self._doors,
                self._connections,
                tls=self._certificates,
                implicit_tls=name in IMPLICIT_TLS,
                refusal=refusal,
                later=partial(reactor.callLater, 0),
                is_proxy=lambda address: current().is_mail_proxy(address),
            )
            self.child.listen(name, server)
            figures.gauge(f"{name}.open", partial(self._open, name))
        figures.gauge("sessions.authenticated", self._logged_in)
        figures.gauge("smtp.held", lambda: strangers.held)
        if database.vendor == "sqlite":
            figures.gauge("database.wal_bytes", wal_bytes)
        self.child.on_start(self._start)
        self.child.on_drain(self._connections.drain)
        self.child.serve_tls(self._certificates)
        self.child.command("cut", self._shut_out)
        self.child.on_reload(lambda _: self._tuning.look())
        self.child.on_reload(lambda env: self._resolver.use(configured(env)))
        self.child.on_drain(self._blocked.write_down)
        self.child.command("connections", self._list)
        reactor.addSystemEventTrigger("during", "shutdown", self._close)

    def _see_changes(self, way_back: WayBack) -> None:
        """Ring for what this process commits at once, and for what others commit within moments."""
        doorbells.carry = way_back.call
        commit.on_commit(doorbells.ring)
        for name in generations.names():
            doorbells.when_changed(name, partial(generations.announce, name))
        doorbells.when_changed("addresses", partial(way_back.call, self._look_who_may_stay))
        doorbells.when_changed("blocks", partial(way_back.call, self._blocked.changed))
        self._eyes = Eyes(doorbells)

    def _start(self) -> Deferred[Any]:
        self._committer.start()
        self._eyes.start()
        generations.rely_on_poller()
        self._tuning.start()
        LoopingCall(lambda: self._connections.sweep(time.monotonic())).start(SWEEP_EVERY)
        self._blocked.start()
        # Warms a connection up. Without a database the process serves all the same, and answers "try again later".
        answers = self._doors.database(Generation.objects.exists)
        answers.addErrback(_database_is_away)
        return answers

    def _look_who_may_stay(self) -> None:
        """End the sessions of those who have been disabled, whoever did it and however: users have changed."""
        accounts = {connection.account_id for connection in self._connections} - {None}
        if not accounts:
            return
        answer = self._doors.database(passwords.shut_out, accounts)
        answer.addCallbacks(lambda gone: [self._cut(account_id=account) for account in gone], _database_is_away)

    def _open(self, name: str) -> int:
        return self._connections.open().get(name, 0)

    def _shut_out(self, account_id: int | None = None, address: str | None = None) -> Message:
        """End connections, and forget what would let them in again: when this is answered, nobody comes back by it."""
        generations.announce("addresses")
        return self._cut(account_id=account_id, address=address)

    def _logged_in(self) -> int:
        return sum(1 for one in self._connections if one.account_id is not None)

    def _cut(self, account_id: int | None = None, address: str | None = None) -> Message:
        return {"connections": self._connections.cut(account_id=account_id, address=address)}

    def _list(self, limit: int = 1000) -> Message:
        described = [describe(connection) for connection, _ in zip(self._connections, range(limit), strict=False)]
        return {"total": len(self._connections), "connections": described}

    def _close(self) -> None:
        """Everything that was said yes to is on disk; what is left is told no."""
        self._connections.abort_all()
        self._eyes.stop()
        self._tuning.stop()
        self._doors.close()
        self._committer.stop()


def describe(connection: Connection) -> Message:
    """Say what a connection is, in plain values."""
    facts = connection.peer.tls
    return {
        "protocol": connection.protocol,
        "address": connection.peer.address,
        "port": connection.peer.port,
        "login": connection.login or None,
        "account_id": connection.account_id,
        "since": connection.since,
        "tls": facts.version if facts else None,
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
    }


def wal_bytes() -> float:
    """Return the size of SQLite's write-ahead log; 0 until something is written."""
    with contextlib.suppress(OSError):
        return (current().data_dir / "a3mailer.sqlite3-wal").stat().st_size
    return 0


def _database_is_away(failure: Any) -> None:
    failure.trap(UnavailableError)
    log.warning("the database does not answer; everybody is asked to come back later", reason=str(failure.value))


def main() -> None:
    """Serve mail until the supervisor says to end."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    MailProcess(reactor).child.run()
