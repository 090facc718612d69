"""Mail in the queue for tests, by the code that puts it there, tries it and writes down what came of it.

message = accept("bob@far.test")
attempt("deferred", "450 4.2.0 Not yet")       # everything that is due
in_the_queue()                                 # counted one by one, past all counters
"""

from datetime import timedelta

from django.utils import timezone

from a3mailer_site.ids import new_id
from accounts.models import ApiKey
from fakemx import LETTER
from mailcore.delivery import claims
from mailcore.delivery.jobs import Contact, Result
from mailcore.delivery.local import deliver_here
from mailcore.delivery.settlement import Settlements, settle
from mailcore.intake.acceptance import Acceptance
from mailcore.intake.routing import Plan, Relay, destination_of
from mailcore.smtp.client import Outcome, Phase, Verdict
from mailcore.store import commit
from mailcore.store.prepared import prepare
from mailqueue.models import QueuedMessage, QueueEntry

CONTACT = Contact("mx.far.test", "192.0.2.9", "TLSv1.3 TLS_AES_256_GCM_SHA384", duration_ms=12)


def accept(*recipients, sender="me@example.com", content=LETTER, direction="sub", **fields):
    """Put a message into the queue, as intake does; returns its id."""
    relays = tuple(
        Relay(new_id(), address, destination_of(address), "", frozenset({"NEVER"})) for address in recipients
    )
    return commit.run(
        Acceptance(
            message=new_id(),
            prepared=prepare(content),
            plan=Plan((), relays),
            sender=sender,
            direction=direction,
            **fields,
        )
    )


def claim(owner="worker", now=None, limit=100):
    """Take what is due, as a worker does; returns jobs."""
    return claims.claim(owner, now or timezone.now(), limit)


def settlement(job, verdict, words, now=None):
    """What came of a job, for all of its recipients: ``verdict`` is sent, deferred or failed."""
    if job.nexthop.local:
        results = deliver_here(job)
    else:
        code, status, text = words.split(" ", 2)
        outcome = Outcome(Verdict(verdict), Phase.RCPT, status, text, int(code))
        results = [Result(entry, outcome, CONTACT) for entry in job.entries]
    return settle(job, results, now or timezone.now())


def attempt(verdict="deferred", words="450 4.2.0 Not yet", now=None):
    """Try everything that is due, and write down that this is what came of it; returns how many jobs."""
    jobs = claim(now=now)
    if jobs:
        commit.run(Settlements([settlement(job, verdict, words, now) for job in jobs]))
    return len(jobs)


def later(seconds=86400):
    """A moment so many seconds from now."""
    return timezone.now() + timedelta(seconds=seconds)


def restricted_to(monkeypatch, *names):
    """Restrict every key of the test to these domains."""
    if any(field.name == "domains" for field in ApiKey._meta.get_fields()):
        ApiKey.objects.update(domains=list(names))
    else:
        monkeypatch.setattr(ApiKey, "domains", list(names), raising=False)


def in_the_queue(now=None):
    """What ``counts()`` has to be, by the definitions of the API and one message at a time."""
    now = now or timezone.now()
    found = dict.fromkeys(("total", "active", "deferred", "bounced", "incoming", "outgoing", "retry", "bounce"), 0)
    for message in QueuedMessage.objects.all():
        entries = list(QueueEntry.objects.filter(message=message))
        unfinished = [entry for entry in entries if entry.state in {"queued", "held"}]
        if not unfinished:
            continue
        found["total"] += 1
        if message.sender == "":
            lane = "bounce"
        elif any(entry.local for entry in unfinished):
            lane = "incoming"
        elif any(entry.state == "queued" and entry.attempts == 0 for entry in unfinished):
            lane = "outgoing"
        else:
            lane = "retry"
        found[lane] += 1
        found["active"] += any(entry.lease_until and entry.lease_until > now for entry in unfinished)
        found["deferred"] += any(entry.attempts for entry in unfinished)
        found["bounced"] += any(entry.state == "failed" for entry in entries)
    return found
