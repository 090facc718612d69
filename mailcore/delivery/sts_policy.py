"""What an MTA-STS policy says, and which one a domain has: the texts of RFC 8461. Bytes in, values out."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from domains.names import to_ascii

# Bytes of a policy, for which the RFC suggests 64 KiB (section 3.3), and hosts in one.
POLICY_LIMIT: Final = 64 * 1024
HOST_LIMIT: Final = 1000
# Seconds that a policy may be kept at most (section 3.2).
LONGEST: Final = 31_557_600

# sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim], section 3.1
_RECORD: Final = re.compile(rb"v=STSv1[ \t]*;")
_FIELD: Final = re.compile(rb"[ \t]*([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*=[ \t]*([\x21-\x3a\x3c\x3e-\x7e]+)[ \t]*")
_ID: Final = re.compile(rb"[A-Za-z0-9]{1,32}")
# sts-policy-record, section 3.2: a name, a colon, a value; lines end with CRLF or LF.
_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(\S(?:.*\S)?)?[ \t]*")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")


class PolicyError(ValueError):
    """This is no policy; the message says why."""


class Mode(StrEnum):
    """What is to be done with a host that does not fulfil the policy (section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class Policy(NamedTuple):
    """Which hosts take mail for a domain, and must prove it."""

    mode: Mode
    hosts: tuple[str, ...]  # A-labels in lower case; "*.example.com" stands for one more label
    max_age: int  # seconds

    def names(self, host: str) -> bool:
        """Say whether this host is one of those (section 4.1)."""
        name = host.lower().rstrip(".")
        return name in self.hosts or f"*.{name.partition('.')[2]}" in self.hosts


def read_id(texts: Iterable[bytes]) -> str | None:
    """Return the id of the policy that the TXT records speak of; ``None`` where there is not exactly one record."""
    records = [text for text in texts if _RECORD.match(text)]
    if len(records) != 1:
        return None
    for field in records[0].split(b";")[1:]:
        found = _FIELD.fullmatch(field)
        if found and found[1] == b"id":
            return found[2].decode("ascii") if _ID.fullmatch(found[2]) else None
    return None


def read_policy(data: bytes) -> Policy:
    """Read what the policy's host has sent. Raises ``PolicyError``."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError("it is not UTF-8") from error
    values: dict[str, str] = {}
    hosts: list[str] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip():
                raise PolicyError(f"a line is not understood: {line[:80]!r}")
            continue
        key, value = found[1], found[2] or ""
        if key == "mx":
            hosts.append(_host(value))
        else:
            values.setdefault(key, value)  # of what is given twice the first counts (section 3.2)
    if values.get("version") != "STSv1":
        raise PolicyError("its version is not STSv1")
    if values.get("mode") not in set(Mode):
        raise PolicyError("its mode is none of enforce, testing and none")
    mode = Mode(values["mode"])
    if not _NUMBER.fullmatch(values.get("max_age", "")):
        raise PolicyError("it does not say how long it may be kept (max_age)")
    if len(hosts) > HOST_LIMIT or (not hosts and mode is not Mode.NONE):
        raise PolicyError("it names no mail host" if not hosts else "it names too many mail hosts")
    return Policy(mode, tuple(dict.fromkeys(hosts)), min(int(values["max_age"]), LONGEST))


def _host(value: str) -> str:
    star, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    try:
        return star + to_ascii(name.rstrip("."))
    except ValueError as error:
        raise PolicyError(f"{value[:80]!r} is no mail host") from error
