"""What a message that comes in says of messages that were sent before: bounces and complaints.

Whose return path it comes to, or quotes, proves that it is about what we have sent (``return_path.py``). A report
without one is matched by Message-ID and recipient, and is shown as what it is: somebody's word.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from a3mailer_site.figures import figures
from a3mailer_site.ids import to_text
from mailcore.intake import return_path
from mailcore.message.envelope import Envelope
from mailcore.message.headers import Octets
from mailcore.message.reports import Report, ReportedRecipient, read_report
from mailcore.store.batch import Batch
from mailcore.store.prepared import Prepared
from mailqueue import suppressions
from mailqueue.models import MessageEvent, MessageTrace, Suppression

Kind = MessageEvent.Kind

_REPORT: Final = re.compile(rb"multipart/report", re.IGNORECASE)
# Recipients of messages that one report may be about.
_TRACES_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class Returned:
    """What a report says of one recipient. Written in the transaction that accepts the report."""

    message: int
    trace: int
    kind: str  # of the event
    detail: dict[str, Any]
    failed: bool = False  # it is proved that the message did not arrive
    suppress: tuple[str, str, str, str] | None = None  # domain, address, reason and words

    def write(self, batch: Batch, report: int) -> None:
        """Note it in the timeline of the message; ``report`` is the queue id of the report."""
        batch.add_event(self.message, self.kind, {**self.detail, "notice": to_text(report)}, self.trace)
        if self.failed:
            MessageTrace.objects.filter(pk=self.trace).update(status=MessageTrace.Status.FAILED)
        if self.suppress is not None:
            suppressions.add(*self.suppress, self.message, batch.now)


def may_be_report(envelope: Envelope, ready: Prepared) -> bool:
    """Say whether it is worth looking into a message. Costs next to nothing."""
    return _REPORT.search(ready.summary.fields) is not None or any(
        recipient.address.lower().startswith(return_path.PREFIX) for recipient in envelope.recipients
    )


def find_returned(envelope: Envelope, content: Octets) -> Sequence[Returned]:
    """Return what a message says of others. Reads the database; not in a transaction."""
    report = read_report(content)
    proved = {trace for each in envelope.recipients if (trace := return_path.read(each.address)) is not None}
    if report is not None and report.kind == "feedback":
        found = list(_complaints(report, proved))
        figures.count("reports.complaints", len(found))
        return found
    if envelope.sender:
        return ()  # an answer, but no bounce
    found = list(_bounces(report, proved, envelope))
    figures.count("reports.bounces", len(found))
    return found


def _bounces(report: Report | None, proved: Collection[int], envelope: Envelope) -> Iterable[Returned]:
    if proved:
        for trace in MessageTrace.objects.filter(pk__in=proved):
            yield _bounce(report, trace, proved=True)
        return
    if report is None or not report.message_id:
        return
    to = {each.address for each in envelope.recipients}
    about = {address for each in report.recipients for address in (each.final, each.original) if address}
    sent = MessageTrace.objects.filter(message_id=report.message_id, sender__in=to, recipient__in=about)
    for trace in sent[:_TRACES_LIMIT]:
        yield _bounce(report, trace, proved=False)


def _bounce(report: Report | None, trace: MessageTrace, *, proved: bool) -> Returned:
    said = _about(report, trace.recipient) if report is not None else None
    detail: dict[str, Any] = {"proved": proved}
    if report is not None and said is not None:
        detail |= {"action": said.action, "enhanced": said.status, "reply": said.reply, "host": report.reporter}
    failed = proved and said is not None and said.action == "failed"
    suppress = None
    if (
        failed
        and said is not None
        and suppressions.is_hard(said.status)
        and (domain := suppressions.tracks(trace.sender))
    ):
        suppress = (domain, trace.recipient, Suppression.Reason.BOUNCE.value, said.reply or said.status)
    return Returned(trace.message, trace.pk, Kind.RETURNED, detail, failed, suppress)


def _about(report: Report, recipient: str) -> ReportedRecipient | None:
    """Return what is said of a recipient; where only one is named, it may have got another name on the way."""
    for each in report.recipients:
        if recipient.casefold() in {each.final.casefold(), each.original.casefold()}:
            return each
    return report.recipients[0] if len(report.recipients) == 1 else None


def _complaints(report: Report, proved: Collection[int]) -> Iterable[Returned]:
    quoted = return_path.read(report.mail_from)
    certain = {*proved, *([] if quoted is None else [quoted])}
    if certain:
        traces = MessageTrace.objects.filter(pk__in=certain)
    elif report.message_id:
        traces = MessageTrace.objects.filter(message_id=report.message_id, direction=MessageTrace.Direction.SUBMITTED)
        if report.rcpt_to:
            traces = traces.filter(recipient__in=report.rcpt_to)
    else:
        return
    for trace in traces[:_TRACES_LIMIT]:
        detail = {"proved": bool(certain), "feedback_type": report.feedback_type[:40], "host": report.reporter[:200]}
        suppress = None
        is_complaint = report.feedback_type != "not-spam"  # RFC 6430: the opposite
        if certain and is_complaint and (domain := suppressions.tracks(trace.sender)):
            suppress = (domain, trace.recipient, Suppression.Reason.COMPLAINT.value, report.feedback_type)
        yield Returned(trace.message, trace.pk, Kind.COMPLAINED, detail, suppress=suppress)
