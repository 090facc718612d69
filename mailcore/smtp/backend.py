"""What the questions of an SMTP session mean here: may this sender, may this recipient, take this message."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone

from a3mailer_site.env import current
from a3mailer_site.figures import figures
from a3mailer_site.ids import new_id, to_text
from accounts.addresses import may_send_as
from mailcore.dialogue import NoSpaceError, Question
from mailcore.intake.acceptance import Acceptance, Direction, Together
from mailcore.intake.login import verify_password
from mailcore.intake.once import fingerprint, once
from mailcore.intake.returned import Returned, find_returned, may_be_report
from mailcore.intake.routing import (
    MAILBOX_FULL,
    Plan,
    plan,
    plan_later,
    plan_now,
    with_return_paths,
)
from mailcore.intake.sending import Terms, alarm
from mailcore.intake.sending import terms as terms_of
from mailcore.intake.success import success_notice
from mailcore.message.envelope import Client, Envelope, Reply
from mailcore.message.headers import Headers
from mailcore.message.received import HOP_LIMIT, Hop, received_line, return_path_line
from mailcore.message.submission import HeaderTooLargeError, fix_up, from_addresses
from mailcore.sasl.questions import VerifyPassword
from mailcore.smtp.questions import (
    AcceptForEach,
    AcceptMessage,
    BeginSession,
    CheckRecipients,
    CheckSender,
    CountError,
    EndSession,
)
from mailcore.smtp.recipients import check_recipients
from mailcore.smtp.replies import TOO_FAR_AHEAD, TOO_MANY_ERRORS
from mailcore.smtp.reverse_names import reverse_names
from mailcore.smtp.strangers import MISTAKES_LATELY, TOO_MANY_MESSAGES, Act, ours, stranger_of, strangers, tarpit
from mailcore.smtp.suspicion import judge
from mailcore.store.batch import GoneError, OverQuotaError
from mailcore.store.prepared import INLINE_LIMIT, Prepared, prepare
from mailcore.store.spool import Spool
from mailqueue.models import Submission
from mailqueue.sending import Excess

log = structlog.get_logger("mailcore.smtp.backend")

DISK_FULL = Reply(452, "4.3.1", "Insufficient system storage, try again later")
NOT_YOURS = Reply(553, "5.7.1", "This address does not belong to your login")
FROM_NOT_YOURS = Reply(550, "5.7.1", "The From field names an address that does not belong to your login")
FROM_MISSING = Reply(550, "5.6.0", "The message needs exactly one From field (RFC 5322 section 3.6)")
HEADER_TOO_LARGE = Reply(550, "5.6.0", "The header of the message is too large")
LOOP = Reply(554, "5.4.6", f"More than {HOP_LIMIT} Received fields: this message goes in circles")
_QUEUED_AS = "Ok: queued as "
VANISHED = Reply(451, "4.3.0", "A recipient has just been changed here, try again")


class _FreeSpace:
    """Whether the data directory's file system has room; looked at once a second at most."""

    def __init__(self) -> None:
        self._enough = True
        self._looked_at = float("-inf")

    def enough(self, now: float) -> bool:
        """Say whether more than the floor is free."""
        if now - self._looked_at > 1.0:
            self._looked_at = now
            stat = os.statvfs(current().data_dir)
            self._enough = stat.f_bavail * stat.f_frsize > current().free_space_floor
        return self._enough


free_space = _FreeSpace()


async def begin_session(question: BeginSession, doors: Any) -> Reply | None:
    """Welcome whom the limits let in, after a while where that is wished; the transport has refused whom it must."""
    if question.client.stranger:
        if refusal := strangers.enter(question.client.peer):
            return refusal
        if current().reverse_lookups:
            reverse_names.begin(question.client.peer.address)
    if question.delay:
        await doors.pause(question.delay)
    return None


async def end_session(question: EndSession, doors: Any) -> None:  # noqa: ARG001
    """Give the place of a stranger to somebody else."""
    strangers.leave(question.client.peer)


async def count_error(question: CountError, doors: Any) -> Reply | None:
    """Count a mistake, so that who makes too many finds the door closed for a while; the answer takes its time."""
    strangers.count(Act.ERROR, question.client.peer.address)
    seconds = tarpit(question.number)
    if seconds and not await strangers.hold(seconds, doors.pause):
        return TOO_MANY_ERRORS
    return None


async def check_sender(question: CheckSender, doors: Any) -> Reply | None:
    """Refuse for want of space, and senders that do not belong to who has logged in."""
    verdict = await _sender_problem(question, doors)
    if verdict is not None:
        figures.count(f"smtp.sender.refused.{verdict.status}")
    elif address := stranger_of(question.envelope):
        strangers.count(Act.MESSAGE, address)
    return verdict


async def _sender_problem(question: CheckSender, doors: Any) -> Reply | None:
    if address := stranger_of(question.envelope):
        if strangers.excess(Act.ERROR, address):
            return MISTAKES_LATELY
        if strangers.excess(Act.MESSAGE, address):
            return TOO_MANY_MESSAGES
    if not free_space.enough(time.monotonic()):
        return DISK_FULL
    if question.envelope.hold_until > time.time() + current().future_release_days * 24 * 3600:
        return TOO_FAR_AHEAD
    login = question.envelope.client.login if question.envelope.client else None
    if login is None or not question.envelope.sender:
        return None
    if await doors.database(may_send_as, login.account_id, question.envelope.sender):
        return None
    return NOT_YOURS


async def accept_message(question: AcceptMessage, doors: Any) -> Reply:
    """Take the message: 250 once it is on disk and each recipient has it in a mailbox or in the queue."""
    body = question.body
    if not isinstance(body, Spool):
        raise TypeError("the body of a message must be a spool")
    try:
        return await _answer(question.envelope, body, doors)
    finally:
        body.abandon()


async def _answer(envelope: Envelope, body: Spool, doors: Any) -> Reply:
    try:
        reply = await _accept(envelope, body, doors)
    except NoSpaceError:
        reply = DISK_FULL
    if reply.code != 250:
        figures.count(f"smtp.message.refused.{reply.status}")
    return reply


async def _accept(envelope: Envelope, body: Spool, doors: Any) -> Reply:
    """Take the message, unless the same login has just handed in the very same one."""
    account, seconds = _login(envelope), current().submit_once
    if account is None or not seconds:
        return await _take(envelope, body, doors)
    is_small = body.size <= INLINE_LIMIT and body.in_memory
    mark = _mark(envelope, body) if is_small else await doors.database(_mark, envelope, body)
    if mark is None:
        return await _take(envelope, body, doors)
    async with once(account, mark):
        earlier = await doors.database(Submission.objects.find, account, mark, seconds)
        if earlier is None:
            return await _take(envelope, body, doors, mark)
    figures.count("smtp.submitted_again")
    log.info("a message was handed in again and is not sent twice", message=to_text(earlier), sender=envelope.sender)
    return _queued(earlier, " before")


def _mark(envelope: Envelope, body: Spool) -> bytes | None:
    return fingerprint(envelope, body.read())


async def _take(envelope: Envelope, body: Spool, doors: Any, mark: bytes | None = None) -> Reply:
    started = time.monotonic()
    if address := stranger_of(envelope):
        # Its name goes into the trace fields. The question began with the connection, and ends soon with or without it.
        await reverse_names.find(address)
    where = plan_now(envelope.recipients)
    if where is None:
        where = await doors.database(plan, envelope.recipients)
    message, account = new_id(), _login(envelope)
    agreed = await _agree(envelope, where, doors)
    if isinstance(agreed, Reply):
        return agreed
    terms, release_at, where = agreed
    if body.size <= INLINE_LIMIT and body.in_memory and account is None:
        ready = _make_ready(envelope, body, where, message)
    else:
        ready = await doors.database(_make_ready, envelope, body, where, message)
    if isinstance(ready, Reply):
        return ready
    returned: Sequence[Returned] = ()
    if account is None and may_be_report(envelope, ready):
        returned = await doors.database(_find_returned, envelope, body)
    acceptance = Acceptance(
        message=message,
        prepared=ready,
        plan=where,
        sender=envelope.sender,
        direction=Direction.INBOUND if account is None else Direction.SUBMITTED,
        received=_facts(envelope, ready.size, doors),
        ret=envelope.ret,
        envid=envelope.envid,
        smtputf8=envelope.smtputf8,
        eight_bit=envelope.body_type != "7BIT",
        requiretls=envelope.requiretls,
        submitter_id=account,
        release_at=release_at,
        hold=terms.hold,
        counted=terms.counted,
        mark=mark,
        returned=returned,
    )
    notice = None
    if envelope.sender and any("SUCCESS" in recipient.notify for recipient in envelope.recipients):
        notice = await doors.database(success_notice, envelope, where, message, ready)
    try:
        await _commit(acceptance, notice, doors)
    except OverQuotaError:
        return MAILBOX_FULL
    except GoneError:
        return VANISHED
    _count(envelope, where, ready.size, time.monotonic() - started)
    if account is not None and terms.excess is not None:
        await _raise_alarm(account, message, terms.excess, doors)
    return _queued(message)


async def _agree(envelope: Envelope, where: Plan, doors: Any) -> tuple[Terms, datetime | None, Plan] | Reply:
    """Return on which terms the message is taken, before when nobody gets it, and where it goes then."""
    account, terms, release_at = _login(envelope), Terms(), None
    if account is not None:
        now = timezone.now()
        found = await doors.database(terms_of, account, envelope.sender, where.elsewhere, now)
        if isinstance(found, Reply):
            return found
        terms, release_at = found, found.release_at(envelope.hold_for, envelope.hold_until, now)
        if release_at is not None:
            domain = envelope.sender.rpartition("@")[2] or current().host_name
            where = await doors.database(plan_later, envelope.recipients, domain)
    if where.relays and (account is None or terms.tracked):
        where = await doors.database(with_return_paths, where, envelope.sender, terms.tracked)
    return terms, release_at, where


def _queued(message: int, suffix: str = "") -> Reply:
    return Reply(250, "2.0.0", f"{_QUEUED_AS}{to_text(message)}{suffix}")


def queue_id_in(reply: Reply) -> str:
    """Return the queue id in the reply to a message that was taken."""
    return reply.text.removeprefix(_QUEUED_AS).split(" ")[0]


async def _raise_alarm(account: int, message: int, excess: Excess, doors: Any) -> None:
    """Tell the administrator that mail is held. The message is safe, whatever becomes of this."""
    try:
        letter = await doors.database(alarm, account, message, excess, timezone.now())
        if letter is not None:
            await doors.commit(letter)
    except Exception:
        log.exception("the administrator cannot be told that mail is held", message=to_text(message))


async def _commit(acceptance: Acceptance, notice: Acceptance | None, doors: Any) -> None:
    """Write the message, and the notice of its success; without that if there is no room for it at the sender's."""
    if notice is not None:
        with suppress(OverQuotaError, GoneError):
            await doors.commit(Together([acceptance, notice]))
            return
    await doors.commit(acceptance)


async def accept_for_each(question: AcceptForEach, doors: Any) -> Sequence[Reply]:
    """Take the message for all recipients together; if one of them has vanished, for each alone.

    Where there is no room, there is none for any of them (``Acceptance``), so it would be no better for each alone.
    """
    body = question.body
    if not isinstance(body, Spool):
        raise TypeError("the body of a message must be a spool")
    envelope = question.envelope
    try:
        together = await _answer(envelope, body, doors)
        if together != VANISHED or len(envelope.recipients) == 1:
            return [together] * len(envelope.recipients)
        return [await _answer(replace(envelope, recipients=(each,)), body, doors) for each in envelope.recipients]
    finally:
        body.abandon()


def _count(envelope: Envelope, where: Plan, size: int, seconds: float) -> None:
    """Count an accepted message, where it is now, and how long it took from its last byte to there."""
    figures.count("smtp.accepted.submitted" if _login(envelope) else "smtp.accepted.received")
    figures.count("messages.accepted_bytes", size)
    if where.relays:
        figures.count("messages.queued", len(where.relays))
    if where.deliveries:
        figures.count("messages.delivered", len(where.deliveries))
        figures.observe("delivery.mailbox.latency_seconds", seconds)


def _login(envelope: Envelope) -> int | None:
    return envelope.client.login.account_id if envelope.client and envelope.client.login else None


def _find_returned(envelope: Envelope, body: Spool) -> Sequence[Returned]:
    return find_returned(envelope, body.read())


def _make_ready(envelope: Envelope, body: Spool, where: Plan, message: int) -> Prepared | Reply:
    """Put our trace fields on top, parse, and write a large body to disk."""
    content = body.read()
    if content[:1] in {b" ", b"\t"}:
        # It would go on with the last of our own fields, and say there what it likes. As for Postfix, it is the body.
        content = b"\r\n" + content
    client = envelope.client
    if client is None:
        raise ValueError("a message over SMTP has a client")
    account = _login(envelope)
    if account is not None:
        headers = Headers(content)
        problem = _from_problem(account, headers)
        if problem is not None:
            return problem
        message_id = f"<{to_text(message)}@{current().host_name}>"
        try:
            content = fix_up(content, now=int(time.time()), offset=0, message_id=message_id)
        except HeaderTooLargeError:
            return HEADER_TOO_LARGE
    prefix = _trace_fields(client, envelope, where, message)
    ready = prepare(prefix + content)
    if ready.summary.received_count > HOP_LIMIT:
        return LOOP
    return ready


def _from_problem(account: int, headers: Headers) -> Reply | None:
    """Refuse a From field that names somebody else: the recipient sees it, not the envelope."""
    senders = from_addresses(headers)
    if headers.count(b"from") != 1 or not senders:
        return FROM_MISSING
    return None if all(may_send_as(account, address) for address in senders) else FROM_NOT_YOURS


def _trace_fields(client: Client, envelope: Envelope, where: Plan, message: int) -> bytes:
    only = envelope.recipients[0].address if len(envelope.recipients) == 1 else ""
    received = received_line(
        Hop(
            helo=client.helo,
            ip=client.peer.address,
            by=current().host_name,
            protocol=envelope.with_protocol,
            queue_id=to_text(message),
            at=int(time.time()),
            tls=f"{client.tls.version} {client.tls.cipher}" if client.tls else "",
            reverse_name=reverse_names.known(client.peer.address).confirmed,
            recipient=only,
        )
    )
    # RFC 5321 section 4.4: the final delivery adds Return-Path. The way out leaves it away (delivery/remote.py).
    return (return_path_line(envelope.sender) if where.deliveries else b"") + received


def _facts(envelope: Envelope, size: int, doors: Any) -> dict[str, Any]:
    client = envelope.client
    if client is None:
        return {}
    return {
        "peer": client.peer.address,
        "port": client.peer.port,
        "helo": client.helo,
        "protocol": envelope.with_protocol,
        "tls": {"version": client.tls.version, "cipher": client.tls.cipher} if client.tls else None,
        "login": client.login.name if client.login else None,
        "sender": envelope.sender,
        "recipients": len(envelope.recipients),
        "size": size,
        **(_seen(client, doors) if client.stranger else {}),
    }


def _seen(client: Client, doors: Any) -> dict[str, Any]:
    """Say what is known by now of a stranger."""
    reverse = reverse_names.known(client.peer.address)
    suspicion = judge(client.helo, client.peer.address, reverse, ours(doors))
    return {
        "reverse_name": reverse.confirmed or next(iter(reverse.names), None),
        "suspicion": {"points": suspicion.points, "reasons": list(suspicion.reasons)},
    }


ANSWERS: dict[type[Question], Any] = {
    BeginSession: begin_session,
    EndSession: end_session,
    CountError: count_error,
    CheckSender: check_sender,
    CheckRecipients: check_recipients,
    VerifyPassword: verify_password,
    AcceptMessage: accept_message,
    AcceptForEach: accept_for_each,
}
