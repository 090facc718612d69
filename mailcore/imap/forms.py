"""How a client is told of messages: by number or by UID, with MODSEQ or without, EXPUNGE or VANISHED.

Whatever speaks of messages unasked or after a STORE (commands, IDLE, NOTIFY) takes its words from here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from a3mailer_site.number_sets import runs
from mailcore.imap import sequences

# Ranges in one VANISHED response: its line stays short enough for every client.
_RANGES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Form:
    r"""What a client has shown that it knows, as far as it changes how messages are spoken of.

    >>> Form(uidonly=True).fetch(4, 17, [b"FLAGS ()"])
    b'* 17 UIDFETCH (FLAGS ())\r\n'
    """

    condstore: bool = False
    qresync: bool = False
    uidonly: bool = False
    rev2: bool = False
    notifies: bool = False

    @property
    def shows_uid(self) -> bool:
        """FETCH responses that nobody asked for have a UID item.

        RFC 7162 section 3.2.4, RFC 9051 section 7.5.2, RFC 5465 section 5.1: message numbers are of no use to who hears
        of EXPUNGE at any time. A UIDFETCH begins with it anyway (RFC 9586 section 3).
        """
        return (self.condstore or self.rev2 or self.notifies) and not self.uidonly

    @property
    def vanishes(self) -> bool:
        """Expunged messages are told by UID (RFC 7162 section 3.2.10, RFC 9586 section 3)."""
        return self.qresync or self.uidonly

    @property
    def template(self) -> bytes:
        """The beginning of a FETCH response, with a hole for what ``name`` gives."""
        return b"* %d UIDFETCH (" if self.uidonly else b"* %d FETCH ("

    def name(self, number: int, uid: int) -> int:
        """Return what a message is called: its number, or its UID."""
        return uid if self.uidonly else number

    def fetch(self, number: int, uid: int, items: Sequence[bytes], *, by_uid: bool = False) -> bytes:
        """Write a FETCH response; ``by_uid`` when it answers a command that named UIDs."""
        if self.shows_uid or (by_uid and not self.uidonly):
            items = [b"UID %d" % uid, *items]
        return self.template % self.name(number, uid) + b" ".join(items) + b")\r\n"

    def expunged(self, gone: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Write that messages (number and UID, ascending) are expunged, a line at a time.

        Each number of an EXPUNGE counts as if those before it were gone already (RFC 3501 section 7.4.1).
        """
        if self.vanishes:
            yield from vanished(runs(uid for _, uid in gone))
        else:
            for already, (number, _) in enumerate(gone):
                yield b"* %d EXPUNGE\r\n" % (number - already)


# A client that has shown nothing.
PLAIN = Form()


def vanished(runs: Iterable[tuple[int, int]], *, earlier: bool = False) -> Iterator[bytes]:
    """Write VANISHED responses for ranges of UIDs (RFC 7162 section 3.2.10); as many as there is need for."""
    head = b"* VANISHED (EARLIER) " if earlier else b"* VANISHED "
    waiting = iter(runs)
    while part := list(islice(waiting, _RANGES_AT_ONCE)):
        yield head + sequences.write_runs(part) + b"\r\n"
