"""What the DNS says: answers and the two ways in which there is none.

Pure values. A name that does not exist is a fact and final; a server that cannot say is temporary. Nothing here or
above may confuse the two: the first bounces mail, the second only delays it.
"""

from dataclasses import dataclass

from dns.name import Name
from dns.rdata import Rdata
from dns.rdtypes.mxbase import MXBase
from dns.rdtypes.nsbase import NSBase
from dns.rdtypes.txtbase import TXTBase


class DnsError(Exception):
    """The DNS gave no answer. Catch one of the two kinds below, seldom this."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(f"{question}: {reason}")
        self.question = question
        self.reason = reason


class NoSuchNameError(DnsError):
    """The name does not exist (NXDOMAIN), or is no domain name at all. Permanent."""

    def __init__(self, question: str, reason: str = "no such domain", *, authentic: bool = False) -> None:
        super().__init__(question, reason)
        self.authentic = authentic


class DnsFailureError(DnsError):
    """Nobody could say (SERVFAIL, time-out, no server reachable). Temporary: try again later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The records of one name and type; none when the name exists without that type (NODATA)."""

    records: tuple[Rdata, ...]
    ttl: int  # seconds that the answer may still be kept
    authentic: bool  # a server that we believe says that DNSSEC proves it (RFC 4035 section 3.2.3)
    name: Name | None = None  # the owner of the records, after any CNAMEs

    @property
    def addresses(self) -> list[str]:
        """The addresses of an A or AAAA answer in canonical text form."""
        return [record.to_text() for record in self.records]

    @property
    def texts(self) -> list[bytes]:
        """The texts of a TXT answer; the strings of one record are joined without a space (RFC 7208 section 3.3)."""
        return [b"".join(record.strings) for record in self.records if isinstance(record, TXTBase)]

    @property
    def names(self) -> list[str]:
        """The targets of a PTR, NS or CNAME answer: lower case, no dot at the end."""
        return [name_text(record.target) for record in self.records if isinstance(record, NSBase)]

    @property
    def exchanges(self) -> list[tuple[int, str]]:
        """Preference and host of an MX answer, as they came; the host of a null MX is ``""`` (RFC 7505)."""
        return [
            (record.preference, name_text(record.exchange)) for record in self.records if isinstance(record, MXBase)
        ]


def name_text(name: Name) -> str:
    """Write a name in lower case and without the dot at its end."""
    return name.to_text(omit_final_dot=True).lower() if name.labels != (b"",) else ""
