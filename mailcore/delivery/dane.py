"""DANE: what the DNS says of the certificate that a mail host must show (RFC 7672, RFC 6698, RFC 7671).

Only where DNSSEC proves each step is anything of this believed: the list of mail hosts, their addresses, and the TLSA
records. Then TLS is required, and whoever shows another certificate does not get the mail. A host whose records cannot
be looked up is not used: an attacker could see to that.

    dane = await find_dane(resolver, host, 25, "example.com")
    reason = dane.refusal(chain, now)      # once the host has shown its certificates
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from dns.rdtypes.tlsabase import TLSABase

from mailcore.resolver.answers import NoSuchNameError
from mailcore.resolver.mail_hosts import MailHost
from mailcore.resolver.stub import Resolver

# Usages (RFC 6698 section 2.1.1). The other two ask for a public authority besides: SMTP knows none (RFC 7672 section
# 3.1.3).
TRUST_ANCHOR, END_ENTITY = 2, 3
_WHOLE, _KEY = 0, 1  # selectors, section 2.1.2
_DIGESTS: Final = {1: hashlib.sha256, 2: hashlib.sha512}  # matching types, section 2.1.3; 0: the thing itself
# How ``cryptography`` says that a certificate or a key cannot be read, or is of a kind that it does not know.
UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
# Certificates of one host that are looked at.
_CHAIN_LIMIT: Final = 10


class Tlsa(NamedTuple):
    """One record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """Say whether it can be held against a certificate over SMTP (RFC 7672 section 3.1)."""
        if self.usage not in {TRUST_ANCHOR, END_ENTITY} or self.selector not in {_WHOLE, _KEY}:
            return False
        if self.matching:
            return self.matching in _DIGESTS and len(self.data) == _DIGESTS[self.matching]().digest_size
        with suppress(*UNREADABLE):
            _load(self.selector, self.data)
            return True
        return False

    def matches(self, certificate: x509.Certificate) -> bool:
        """Say whether it is this certificate that is meant."""
        if self.selector == _WHOLE:
            selected = certificate.public_bytes(Encoding.DER)
        else:
            try:
                key = certificate.public_key()
            except UNREADABLE:
                return False
            selected = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.data == (_DIGESTS[self.matching](selected).digest() if self.matching else selected)


def _load(selector: int, data: bytes) -> object:
    return x509.load_der_x509_certificate(data) if selector == _WHOLE else load_der_public_key(data)


@dataclass(frozen=True, slots=True)
class Dane:
    """What a host has to prove. Without ``records`` TLS is required, whoever answers (RFC 7672 section 2.2)."""

    base: str  # the name below which the records stand: what is asked for in the handshake (section 8.1)
    names: tuple[str, ...]  # one of which the certificate must be for, where its issuer is named (section 3.2.2)
    records: tuple[Tlsa, ...]

    def refusal(self, chain: Sequence[x509.Certificate], now: datetime) -> str | None:
        """Say why the host with these certificates, its own first, is not the one that is meant; ``None``: it is."""
        if not self.records:
            return None
        if not chain:
            return "the host showed no certificate"
        chain = chain[:_CHAIN_LIMIT]
        # Neither names nor dates matter where the DNS names the certificate itself (RFC 7672 section 3.1.1).
        if any(record.usage == END_ENTITY and record.matches(chain[0]) for record in self.records):
            return None
        anchors = [record for record in self.records if record.usage == TRUST_ANCHOR]
        found = [
            authority for record in anchors for authority in (*_inside(record), *filter(record.matches, chain[1:]))
        ]
        if not found:
            return "no TLSA record fits the certificate"
        reasons = [_problem(chain, authority, name, now) for authority in found for name in self.names]
        return None if None in reasons else reasons[0]


def _inside(anchor: Tlsa) -> list[x509.Certificate]:
    """Return the authority that stands in the record itself; the host need not show it then."""
    return [] if anchor.matching or anchor.selector == _KEY else [x509.load_der_x509_certificate(anchor.data)]


def _is_authority(_policy: object, _certificate: object, constraints: x509.BasicConstraints | None) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("the issuer is no authority")


# What a private authority puts into its certificates is its own affair, but not who may issue them.
_OF_HOSTS = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
_OF_AUTHORITIES = ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority
)


def _problem(chain: Sequence[x509.Certificate], authority: x509.Certificate, name: str, now: datetime) -> str | None:
    """Say why the authority does not vouch for this name (RFC 7672 sections 3.1.2 and 3.2.3)."""
    builder = PolicyBuilder().store(Store([authority])).time(now)
    builder = builder.extension_policies(ca_policy=_OF_AUTHORITIES, ee_policy=_OF_HOSTS)
    try:
        builder.build_server_verifier(x509.DNSName(name)).verify(chain[0], list(chain[1:]))
    except (VerificationError, ValueError) as error:
        return f"the certificate is not one for {name} by the authority that the TLSA record names: {error}"
    return None


async def find_dane(resolver: Resolver, host: MailHost, port: int, domain: str) -> Dane | None:
    """Look up what a host has to prove; ``None``: nothing. Raises ``DnsFailureError``: then it must not be used.

    ``domain`` is the one that the mail is for. The records stand below the host's own name, or that of a CNAME to it
    where DNSSEC proves the CNAME (RFC 7672 section 2.2.2).
    """
    if not host.authentic:
        return None
    for base in dict.fromkeys((host.canonical or host.name, host.name)):
        try:
            answer = await resolver.resolve(f"_{port}._tcp.{base}", "TLSA")
        except NoSuchNameError:
            continue
        given = [
            Tlsa(each.usage, each.selector, each.mtype, bytes(each.cert))
            for each in answer.records
            if isinstance(each, TLSABase)
        ]
        if given and answer.authentic:
            names = tuple(dict.fromkeys((base, host.name, domain)))
            return Dane(base, names, tuple(record for record in given if record.is_usable))
    return None
