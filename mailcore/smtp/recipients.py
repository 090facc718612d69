"""Whether a client may send to these addresses: is the mailbox here, has it room, and has the client asked enough."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.utils import timezone

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from domains import greylisting as greylisting_of
from domains.models import Domain
from domains.names import to_ascii
from mailcore.dialogue import UnavailableError
from mailcore.intake import return_path
from mailcore.intake.routing import BAD_DESTINATION, NO_SUCH_USER, destination_of, refusal, resolve_all, resolve_now
from mailcore.message.envelope import Envelope, Reply
from mailcore.smtp.questions import CheckRecipients
from mailcore.smtp.reverse_names import reverse_names
from mailcore.smtp.strangers import (
    SUSPECT_WAITS,
    TOO_MANY_ADDRESSES,
    TOO_MANY_UNKNOWN,
    Act,
    Excess,
    ours,
    stranger_of,
    strangers,
)
from mailcore.smtp.suspicion import judge
from mailqueue import suppressions
from mailqueue.models import Suppression
from security import greylisting
from security.audit import record
from security.models import AuditEntry

log = structlog.get_logger("mailcore.smtp.recipients")

ONLY_BOUNCES = Reply(550, "5.7.1", "This address is for bounces only")
Greylisting = Domain.Greylisting


async def check_recipients(question: CheckRecipients, doors: Any) -> Sequence[Reply | None]:
    """Say of each recipient whether it is here and has room; who has logged in may also write elsewhere."""
    stranger = stranger_of(question.envelope)
    verdicts = await (_check_for_stranger(question, stranger, doors) if stranger else _look_up(question, doors))
    for verdict in verdicts:
        if verdict is not None:
            figures.count(f"smtp.recipient.refused.{verdict.status}")
    return verdicts


async def _look_up(question: CheckRecipients, doors: Any) -> list[Reply | None]:
    addresses = [recipient.address for recipient in question.recipients]
    found = resolve_now(addresses)
    if found is None:
        found = await doors.database(resolve_all, addresses)
    envelope = question.envelope
    may_relay = bool(envelope.client and envelope.client.login)
    suppressed: Mapping[str, Suppression] = {}
    if may_relay and envelope.sender:
        suppressed = await doors.database(suppressions.find, envelope.sender, addresses)
    return [
        refusal(found[address], may_relay=may_relay, size=envelope.size)
        or _destination_problem(address)
        or _return_path_problem(envelope, address)
        or _suppression_problem(suppressed.get(address))
        for address in addresses
    ]


def _destination_problem(address: str) -> Reply | None:
    if "@" not in address:
        return None  # postmaster
    try:
        destination_of(address)
    except ValueError:
        return BAD_DESTINATION
    return None


def _return_path_problem(envelope: Envelope, address: str) -> Reply | None:
    """Only bounces come back: anybody who has seen a message knows its return path."""
    return ONLY_BOUNCES if envelope.sender and return_path.read(address) is not None else None


def _suppression_problem(row: Suppression | None) -> Reply | None:
    if row is None:
        return None
    why = {"bounce": "it has bounced", "complaint": "its owner has complained"}.get(row.reason, "it was entered")
    return Reply(550, "5.7.1", f"Address is on the suppression list of your domain: {why} on {row.at:%Y-%m-%d}")


async def _check_for_stranger(question: CheckRecipients, stranger: str, doors: Any) -> list[Reply | None]:
    """The same within the limits of a stranger, who learns little by trying out which addresses there are.

    Who seems to do that waits for each answer; and beyond the limit hears the same of every recipient.
    """
    if strangers.suspects(stranger):
        await strangers.hold(SUSPECT_WAITS, doors.pause)
    verdicts: list[Reply | None] = []
    for verdict in await _look_up(question, doors):
        excess = strangers.excess(Act.UNKNOWN, stranger)
        if excess is not None:
            verdicts.append(TOO_MANY_UNKNOWN)
            if excess.news:
                await _write_down_probing(stranger, excess, doors)
            continue
        if verdict == NO_SUCH_USER:
            strangers.count(Act.UNKNOWN, stranger)
        verdicts.append(verdict)
    # What is put off is not counted.
    return [verdict or _one_too_many(stranger) for verdict in await _greylist(question, stranger, verdicts, doors)]


async def _greylist(
    question: CheckRecipients, stranger: str, verdicts: list[Reply | None], doors: Any
) -> list[Reply | None]:
    """Put off a first message to those recipients whose domains want that."""
    policies = greylisting_of.policies_now()
    if policies is None:
        policies = await doors.database(greylisting_of.policies)
    wanted = {
        position: _policy(recipient.address, policies)
        for position, (recipient, verdict) in enumerate(zip(question.recipients, verdicts, strict=True))
        if verdict is None
    }
    network = greylisting.network_of(stranger)
    if not any(policy != Greylisting.OFF for policy in wanted.values()) or greylisting.is_let_in(network):
        return verdicts
    client = question.envelope.client
    if client is not None and Greylisting.SUSPICIOUS in wanted.values():
        suspicion = judge(client.helo, stranger, await reverse_names.find(stranger), ours(doors))
        if suspicion.points < current().suspicious_from:
            wanted = {
                at: Greylisting.OFF if policy == Greylisting.SUSPICIOUS else policy for at, policy in wanted.items()
            }
    positions = [position for position, policy in wanted.items() if policy != Greylisting.OFF]
    if positions:
        addresses = [question.recipients[position].address for position in positions]
        sender, seconds = question.envelope.sender, current().greylist_wait
        waits = await doors.database(greylisting.check, network, sender, addresses, timezone.now(), seconds)
        for position, wait in zip(positions, waits, strict=True):
            figures.count("smtp.greylisted.deferred" if wait else "smtp.greylisted.passed")
            verdicts[position] = Reply(450, "4.7.1", f"Greylisted, try again in {wait} seconds") if wait else None
    return verdicts


def _policy(address: str, policies: Mapping[str, str]) -> str:
    """Return the policy of the domain that an address is in."""
    try:
        return policies.get(to_ascii(address.rpartition("@")[2]), Greylisting.OFF)
    except ValueError:
        return Greylisting.OFF


def _one_too_many(stranger: str) -> Reply | None:
    """Count a recipient that would be taken, or put it off."""
    if strangers.excess(Act.RECIPIENT, stranger):
        return TOO_MANY_ADDRESSES
    strangers.count(Act.RECIPIENT, stranger)
    return None


async def _write_down_probing(stranger: str, excess: Excess, doors: Any) -> None:
    """Tell the audit log, once a window. The answer to the client does not depend on it."""
    facts = {"source": excess.place, "limit": excess.limit, "seconds": current().inbound_window, "protocol": "smtp"}
    try:
        await doors.database(_record_probing, stranger, facts)
    except UnavailableError as error:
        log.warning("the audit log cannot be told that addresses are probed", reason=str(error), peer=stranger)


def _record_probing(stranger: str, facts: Mapping[str, Any]) -> None:
    record(
        "addresses_probed",
        AuditEntry.EventType.SECURITY_VIOLATION,
        source_ip=stranger,
        severity=AuditEntry.Severity.WARNING,
        outcome=AuditEntry.Outcome.FAILURE,
        metadata=facts,
    )
