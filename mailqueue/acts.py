"""What became of a message in the mailbox: the later acts of its readers, found from its delivery on.

An act is one row with a set of UIDs, not a row a message (``models.MailboxAct``). A delivery says which mailbox and
UID the message got; whatever names that UID afterwards was about it, and a copy or a move says where to look next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from a3mailer_site import number_sets
from a3mailer_site.ids import first_id_at
from mailqueue.models import MailboxAct, MessageEvent

Kind = MessageEvent.Kind
Verb = MailboxAct.Verb

# Places where one message is followed to, and acts that are looked through in each: a copy of everything into
# everything else must not keep anybody busy.
PLACES_LIMIT = 100
ACTS_LIMIT = 50_000
# Seconds by which the clock may be behind that gave an act its id.
_SLACK = 1

_ENDS = frozenset({Verb.MOVE, Verb.EXPUNGE, Verb.REPLACE})


@dataclass(frozen=True, slots=True)
class _Place:
    """A message in a mailbox."""

    mailbox: int
    uid: int
    since: int  # it was not there before the act with this id
    trace_id: int | None


def with_acts(events: "QuerySet[MessageEvent]") -> "Sequence[MessageEvent] | QuerySet[MessageEvent]":
    """Return the events of a message, oldest first, and between them what was done to it in mailboxes."""
    found = list(_acts(events.filter(kind=Kind.DELIVERED)))
    if not found:
        return events
    return sorted([*events, *found], key=lambda event: event.at)


def _acts(deliveries: Iterable[MessageEvent]) -> Iterable[MessageEvent]:
    places = [
        _Place(detail["mailbox_id"], detail["uid"], first_id_at(delivery.at.timestamp() - _SLACK), delivery.trace_id)
        for delivery in deliveries
        if isinstance((detail := delivery.detail).get("mailbox_id"), int) and isinstance(detail.get("uid"), int)
    ]
    seen = 0
    while seen < min(len(places), PLACES_LIMIT):
        place = places[seen]
        seen += 1
        for act, index in _at(place):
            detail = {**act.detail, "act": act.verb, "uid": place.uid}
            target, uids = detail.pop("target_id", None), detail.pop("target_uids", "")
            if target is not None:
                detail["target_uid"] = number_sets.number_at(uids, index)
            if act.verb in {Verb.COPY, Verb.MOVE}:
                places.append(_Place(target, detail["target_uid"], act.pk, place.trace_id))
            yield MessageEvent(at=act.at, kind=Kind.MAILBOX, detail=detail, trace_id=place.trace_id, message=0)


def _at(place: _Place) -> Iterable[tuple[MailboxAct, int]]:
    """Give the acts on a message in one place, oldest first, to the one that took it away; and its place in each."""
    acts = MailboxAct.objects.filter(mailbox=place.mailbox, pk__gte=place.since).order_by("pk")
    ours: list[tuple[int, int]] = []
    for pk, verb, uids in acts.values_list("pk", "verb", "uids")[:ACTS_LIMIT]:
        index = number_sets.place_of(uids, place.uid)
        if index is not None and verb != Verb.APPEND:
            ours.append((pk, index))
            if verb in _ENDS:
                break
    rows = MailboxAct.objects.in_bulk([pk for pk, _ in ours])
    return [(rows[pk], index) for pk, index in ours if pk in rows]
