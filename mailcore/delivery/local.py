"""Queued mail for addresses that are ours by now: a domain that was added, or an alias that pointed elsewhere.

Only decides. The message goes into the mailbox in the transaction that ends the queue entry (``settlement.py``).
"""

from accounts.addresses import resolve
from mailcore.delivery.jobs import Contact, Entry, Job, Mail, Result, own_outcome
from mailcore.intake.routing import plan, refusal, with_return_paths
from mailcore.message.envelope import Recipient
from mailcore.smtp.client import Verdict


def deliver_here(job: Job) -> list[Result]:
    """Say for each entry what becomes of it on this server. Reads the database."""
    return [_result(entry, job.mail) for entry in job.entries]


def _result(entry: Entry, mail: Mail) -> Result:
    contact = Contact("this server")
    refused = refusal(resolve(entry.address), may_relay=True, size=mail.size)
    if refused is not None:
        verdict = Verdict.FAILED if refused.code >= 500 else Verdict.DEFERRED
        return Result(entry, own_outcome(verdict, refused.status, refused.text), contact)
    here = with_return_paths(
        plan([Recipient(entry.address, entry.notify, entry.orcpt)]), mail.sender, trace=entry.trace_id
    )
    return Result(entry, own_outcome(Verdict.SENT, "2.1.5", "delivered here"), contact, here)
