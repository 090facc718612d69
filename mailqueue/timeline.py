"""What happened to one message, in words that anybody understands, with the times and the other servers' own words."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from django.template.defaultfilters import filesizeformat
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from a3mailer_site.ids import to_text
from mailqueue.acts import with_acts
from mailqueue.holds import words
from mailqueue.models import MessageEvent, MessageTrace, QueueEntry

Tone: TypeAlias = Literal["good", "bad", "wait", "plain"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. ``quote`` is what the other server said, word for word."""

    at: datetime
    title: str
    text: str = ""
    quote: str = ""
    recipient: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A message: its recipients and everything that happened to it, oldest first."""

    queue_id: str
    traces: tuple[MessageTrace, ...]
    steps: tuple[Step, ...]
    waiting: tuple[QueueEntry, ...]

    @property
    def first(self) -> MessageTrace:
        """The trace with what all recipients share: sender, subject, Message-ID, size."""
        return self.traces[0]


def timeline(message: int) -> Timeline | None:
    """Return the timeline of a message; ``None`` when the log does not know it (any more)."""
    traces = tuple(MessageTrace.objects.filter(message=message).order_by("pk"))
    if not traces:
        return None
    recipients = {trace.pk: trace.recipient for trace in traces}
    events = with_acts(MessageEvent.objects.filter(message=message).order_by("pk"))
    waiting = QueueEntry.objects.filter(message_id=message, state__in=("queued", "held")).order_by("pk")
    return Timeline(to_text(message), traces, tuple(steps(events, recipients)), tuple(waiting))


def steps(events: Iterable[MessageEvent], recipients: Mapping[int, str]) -> Iterable[Step]:
    """Put events into words; ``recipients`` by trace id."""
    for event in events:
        yield _WORDS.get(event.kind, _anything)(event, recipients.get(event.trace_id or 0, ""))


def facts(event: MessageEvent) -> dict[str, Any]:
    """Return what is known of an event, with ids as all answers have them: a number of 63 bits is no number in JSON."""
    told = dict(event.detail)
    told.pop("mailbox_id", None)
    if isinstance(told.get("notice_about"), int):
        told["notice_about"] = to_text(told["notice_about"])
    if isinstance(told.get("user"), int):
        told["user"] = f"user_{told['user']}"
    return told


def _received(event: MessageEvent, recipient: str) -> Step:
    detail = event.detail
    if isinstance(about := detail.get("notice_about"), int):
        text = _("Written by this server, about message %(message)s.") % {"message": to_text(about)}
        return Step(event.at, _("Received and safely stored"), text, recipient=recipient)
    tls = detail.get("tls")
    names = {"peer": detail.get("peer") or _("this server itself"), "helo": detail.get("helo") or "–"}
    lines = [_("From %(peer)s, which called itself %(helo)s.") % names]
    encrypted = ", ".join(filter(None, (tls.get("version"), tls.get("cipher")))) if isinstance(tls, dict) else tls
    lines.append(_("Encrypted: %(tls)s.") % {"tls": encrypted} if encrypted else _("Not encrypted."))
    if detail.get("login"):
        lines.append(_("Logged in as %(login)s.") % {"login": detail["login"]})
    lines += _seen(detail)
    count = detail.get("recipients")
    if isinstance(count, int):
        lines.append(ngettext("%(count)d recipient.", "%(count)d recipients.", count) % {"count": count})
    if isinstance(detail.get("size"), int):
        lines.append(filesizeformat(detail["size"]))
    return Step(event.at, _("Received and safely stored"), " ".join(lines), recipient=recipient)


def _seen(detail: Mapping[str, Any]) -> Iterable[str]:
    """Say what was known of a host elsewhere that brought the message."""
    if detail.get("reverse_name"):
        yield _("Its address has the name %(name)s.") % {"name": detail["reverse_name"]}
    suspicion = detail.get("suspicion")
    if isinstance(suspicion, Mapping) and suspicion.get("points"):
        reasons = [str(_SUSPICIONS.get(reason, reason)) for reason in suspicion.get("reasons", ())]
        facts = {"points": suspicion["points"], "reasons": "; ".join(reasons)}
        yield _("Points that speak against it: %(points)s (%(reasons)s).") % facts


# Why a host looks suspicious: the keys are those of the mail core.
_SUSPICIONS = {
    "helo_not_qualified": gettext_lazy("it calls itself by no full name"),
    "helo_is_ours": gettext_lazy("it calls itself by a name or an address of ours"),
    "no_reverse_name": gettext_lazy("its address has no name"),
    "reverse_name_unconfirmed": gettext_lazy("the name of its address does not lead back to it"),
    "reverse_name_dynamic": gettext_lazy("the name of its address looks like that of a home"),
}


def _delivered(event: MessageEvent, recipient: str) -> Step:
    text = _("Into the mailbox %(mailbox)s.") % {"mailbox": event.detail.get("mailbox", "INBOX")}
    return Step(event.at, _("Delivered"), text, recipient=recipient, tone="good")


def _queued(event: MessageEvent, recipient: str) -> Step:
    text = _("For %(destination)s.") % {"destination": event.detail.get("destination", "")}
    if path := event.detail.get("return_path"):
        text += " " + _("Bounces come back to %(address)s.") % {"address": path}
    if (at := parse_datetime(str(event.detail.get("release_at", "")))) is not None:
        text += " " + _("It goes at %(time)s, as was wished.") % {"time": when(at)}
    return Step(event.at, _("Put into the queue"), text, recipient=recipient)


_OUTCOMES: dict[str, tuple[Callable[[], str], Tone]] = {
    "sent": (lambda: _("Attempt %(number)s: the other server took it"), "good"),
    "deferred": (lambda: _("Attempt %(number)s: not now"), "wait"),
    "failed": (lambda: _("Attempt %(number)s: refused"), "bad"),
}


def _attempt(event: MessageEvent, recipient: str) -> Step:
    detail = event.detail
    words, tone = _OUTCOMES.get(str(detail.get("outcome")), (lambda: _("Attempt %(number)s"), "plain"))
    lines = []
    if detail.get("host") or detail.get("address"):
        host = " ".join(filter(None, (detail.get("host"), f"[{detail['address']}]" if detail.get("address") else "")))
        lines.append(_("With %(host)s.") % {"host": host})
        lines.append(_("Encrypted: %(tls)s.") % {"tls": detail["tls"]} if detail.get("tls") else _("Not encrypted."))
    if isinstance(detail.get("duration_ms"), int):
        lines.append(_("It took %(seconds).1f s.") % {"seconds": detail["duration_ms"] / 1000})
    title = words() % {"number": detail.get("number", "")}
    return Step(event.at, title, " ".join(lines), _reply(detail), recipient, tone)


def _reply(detail: Mapping[str, Any]) -> str:
    return " ".join(str(part) for part in (detail.get("code"), detail.get("enhanced"), detail.get("reply")) if part)


def _sent(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, _("Handed on to the other server"), "", _reply(event.detail), recipient, "good")


def _deferred(event: MessageEvent, recipient: str) -> Step:
    following = parse_datetime(str(event.detail.get("next_attempt_at") or ""))
    text = _("Next attempt: %(time)s.") % {"time": when(following)} if following else ""
    return Step(event.at, _("Will be tried again"), text, _reply(event.detail), recipient, "wait")


def _failed(event: MessageEvent, recipient: str) -> Step:
    text = _by(event)
    return Step(event.at, _("Given up"), text, _reply(event.detail), recipient, "bad")


def _bounced(event: MessageEvent, recipient: str) -> Step:
    text = _("The sender is told in message %(notice)s.") % {"notice": event.detail.get("notice", "")}
    return Step(event.at, _("Bounce sent"), text, recipient=recipient, tone="bad")


def _delay(event: MessageEvent, recipient: str) -> Step:
    text = _("The sender is told of the delay in message %(notice)s.") % {"notice": event.detail.get("notice", "")}
    return Step(event.at, _("Delay notice sent"), text, recipient=recipient, tone="wait")


def _held(event: MessageEvent, recipient: str) -> Step:
    reason = event.detail.get("reason")
    text = words(reason) if isinstance(reason, str) else _by(event)
    return Step(event.at, _("Held back"), text, _reply(event.detail), recipient, "wait")


def _released(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, _("Released"), _by(event), recipient=recipient)


def _retried(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, _("To be tried at once"), _by(event), recipient=recipient)


_REPORTED: dict[str, tuple[Callable[[], str], Tone]] = {
    "failed": (lambda: _("Came back: it could not be delivered"), "bad"),
    "delayed": (lambda: _("Reported: it is delayed"), "wait"),
    "delivered": (lambda: _("Reported: it has been delivered"), "good"),
    "relayed": (lambda: _("Reported: it has been passed on"), "good"),
    "expanded": (lambda: _("Reported: it has been passed on to several addresses"), "good"),
}


def _returned(event: MessageEvent, recipient: str) -> Step:
    action = str(event.detail.get("action", ""))
    title, tone = _REPORTED.get(action, (lambda: _("Something came back"), "plain"))
    return Step(event.at, title(), _report(event), _reply(event.detail), recipient, tone)


def _complained(event: MessageEvent, recipient: str) -> Step:
    words = _("Reported as %(type)s.") % {"type": event.detail.get("feedback_type") or "–"}
    return Step(event.at, _("A recipient has complained"), f"{words} {_report(event)}", recipient=recipient, tone="bad")


def _report(event: MessageEvent) -> str:
    """Say who reports it, and whether that can be believed."""
    lines = [
        _("By %(who)s, in message %(notice)s.")
        % {
            "who": event.detail.get("host") or _("another server"),
            "notice": event.detail.get("notice", ""),
        }
    ]
    if not event.detail.get("proved"):
        lines.append(_("Nothing proves that the report is genuine."))
    return " ".join(lines)


def _purged(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, _("Put into the trash"), _by(event), recipient=recipient, tone="bad")


def _restored(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, _("Taken out of the trash"), _by(event), recipient=recipient)


_MARKS: dict[tuple[str, str], Callable[[], str]] = {
    ("+FLAGS", "\\Seen"): lambda: _("Marked as read"),
    ("-FLAGS", "\\Seen"): lambda: _("Marked as unread"),
    ("+FLAGS", "\\Deleted"): lambda: _("Marked as deleted"),
    ("-FLAGS", "\\Deleted"): lambda: _("No longer marked as deleted"),
    ("+FLAGS", "\\Answered"): lambda: _("Marked as answered"),
    ("+FLAGS", "\\Flagged"): lambda: _("Marked as important"),
    ("-FLAGS", "\\Flagged"): lambda: _("No longer marked as important"),
}
_ACTS: dict[str, Callable[[], str]] = {
    "copy": lambda: _("Copied to %(target)s"),
    "move": lambda: _("Moved to %(target)s"),
    "expunge": lambda: _("Deleted from the mailbox"),
    "replace": lambda: _("Replaced by a newer version"),
}


def _mailbox(event: MessageEvent, recipient: str) -> Step:
    detail = event.detail
    flags, mode = detail.get("flags") or [], str(detail.get("mode", ""))
    words = _MARKS.get((mode, str(flags[0]))) if len(flags) == 1 else None
    words = words or _ACTS.get(str(detail.get("act")), lambda: _("Changed in the mailbox"))
    lines = []
    if mode:
        lines.append(_("Flags: %(flags)s.") % {"flags": f"{mode} ({' '.join(map(str, flags))})"})
    if detail.get("login"):
        way = ", ".join(str(detail[name]) for name in ("protocol", "device") if detail.get(name))
        who = {"login": detail["login"], "address": detail.get("address") or "–", "way": way}
        lines.append(_("By %(login)s from %(address)s (%(way)s).") % who)
    text = " ".join(lines) or str(detail.get("what", ""))
    return Step(event.at, words() % {"target": detail.get("target", "")}, text, recipient=recipient)


def _anything(event: MessageEvent, recipient: str) -> Step:
    return Step(event.at, event.get_kind_display(), "", _reply(event.detail), recipient)


def _by(event: MessageEvent) -> str:
    return _("By %(who)s.") % {"who": event.detail["by"]} if event.detail.get("by") else ""


def when(moment: datetime) -> str:
    """Write a time for people, with seconds."""
    return date_format(localtime(moment), "Y-m-d H:i:s")


_WORDS: dict[str, Callable[[MessageEvent, str], Step]] = {
    MessageEvent.Kind.RECEIVED: _received,
    MessageEvent.Kind.DELIVERED: _delivered,
    MessageEvent.Kind.QUEUED: _queued,
    MessageEvent.Kind.ATTEMPT: _attempt,
    MessageEvent.Kind.SENT: _sent,
    MessageEvent.Kind.DEFERRED: _deferred,
    MessageEvent.Kind.FAILED: _failed,
    MessageEvent.Kind.BOUNCED: _bounced,
    MessageEvent.Kind.DELAY_NOTICE: _delay,
    MessageEvent.Kind.HELD: _held,
    MessageEvent.Kind.RELEASED: _released,
    MessageEvent.Kind.RETRIED: _retried,
    MessageEvent.Kind.PURGED: _purged,
    MessageEvent.Kind.RESTORED: _restored,
    MessageEvent.Kind.RETURNED: _returned,
    MessageEvent.Kind.COMPLAINED: _complained,
    MessageEvent.Kind.MAILBOX: _mailbox,
}
