"""Say of every message that is in the queue already how it stands, and count it."""

from django.db import migrations
from django.db.models import Count, Q


def count(apps, schema_editor):
    """The rule of ``standing.py`` as it was when this was written."""
    QueuedMessage = apps.get_model("mailqueue", "QueuedMessage")
    QueueTally = apps.get_model("mailqueue", "QueueTally")
    is_open = Q(entries__state__in=["queued", "held"])
    messages = QueuedMessage.objects.annotate(
        number=Count("entries", filter=is_open),
        new=Count("entries", filter=Q(entries__state="queued", entries__attempts=0)),
        put_off=Count("entries", filter=is_open & Q(entries__attempts__gt=0)),
        kept=Count("entries", filter=Q(entries__state="held")),
        lost=Count("entries", filter=Q(entries__state="failed")),
    ).order_by("pk")
    last = -1
    while page := list(messages.filter(pk__gt=last)[:500]):
        last = page[-1].pk
        tally = QueueTally()
        for message in (message for message in page if message.number):
            message.lane = "bounce" if not message.sender else "outgoing" if message.new else "retry"
            message.fresh, message.deferred = message.new > 0, message.put_off > 0
            message.held, message.bounced = message.kept > 0, message.lost > 0
            flags = [name for name in ("fresh", "deferred", "held", "bounced") if getattr(message, name)]
            for name in (message.lane, *flags):
                setattr(tally, name, getattr(tally, name) + 1)
        QueuedMessage.objects.bulk_update(page, ["lane", "fresh", "deferred", "held", "bounced"])
        tally.save()


class Migration(migrations.Migration):

    dependencies = [("mailqueue", "0002_lanes_and_trash")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
