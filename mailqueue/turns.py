"""In which order queued mail has its turn: nobody's mailing goes before somebody else's single message.

Everything that is queued gets a *turn*, a moment. For the first recipient it is now; each further one of the same
sender, in whatever message, is a little later than the one before, however fast they come in. Who sends one message has
the turn of now; the last of 50,000 recipients that came in at once have one that is far in the future. Mail of a later
turn goes at once all the same when there is room; when there is not, the earlier turn goes first. (This is start-time
fair queueing, with the sender's account as the flow.)

Turns are counted in the process that accepts mail and forgotten with it; then everybody begins with now.
"""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime
from typing import Final

# Microseconds from one turn of a sender to the next: 20 recipients a second are nobody's mailing.
SLOT: Final = 50_000
# Senders that are remembered, 150 bytes each.
_REMEMBERED: Final = 20_000


def moment(at: datetime) -> int:
    """Return a time as turns have it."""
    return int(at.timestamp() * 1_000_000)


class Turns:
    """What turn each sender has next."""

    def __init__(self) -> None:
        self._next: OrderedDict[Hashable, int] = OrderedDict()

    def take(self, sender: Hashable, at: datetime) -> int:
        """Return the turn of the next recipient of this sender."""
        turn = max(moment(at), self._next.get(sender, 0))
        self._next[sender] = turn + SLOT
        self._next.move_to_end(sender)
        if len(self._next) > _REMEMBERED:
            self._next.popitem(last=False)
        return turn


turns = Turns()
