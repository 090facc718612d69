"""What the mail core knows how to probe: the DNS servers it asks, and the certificate it shows."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import dns.message
import dns.query
import dns.rcode
from cryptography import x509
from dns.exception import DNSException

from a3mailer_site.env import current
from mailcore.resolver.servers import Server, configured
from mailcore.tls import certificate_paths
from monitoring.probes import Finding, Status, milliseconds_since

# Seconds that a DNS server has for its answer.
DNS_PATIENCE = 2.0
# Days that a certificate should still be valid.
DAYS_LEFT = 14


def dns_servers() -> Finding:
    """Ask every configured server for something that each of them knows: who serves the root."""
    servers = configured(current())
    with ThreadPoolExecutor(len(servers)) as pool:
        times = list(pool.map(_ask, servers))
    details = {
        f"{server.host}:{server.port}": None if taken is None else f"{taken}ms"
        for server, taken in zip(servers, times, strict=True)
    }
    answered = [taken for taken in times if taken is not None]
    status: Status = "unhealthy" if not answered else "degraded" if len(answered) < len(times) else "healthy"
    numbers = {"servers": len(times), "silent": len(times) - len(answered)}
    if answered:
        numbers["slowest_ms"] = max(answered)
    return Finding(status, details=details, numbers=numbers)


def _ask(server: Server) -> int | None:
    """Return the milliseconds until an answer; ``None`` when none came, or one that says it cannot."""
    started = time.monotonic()
    try:
        question = dns.message.make_query(".", "NS")
        answer, _over_tcp = dns.query.udp_with_fallback(question, server.host, DNS_PATIENCE, server.port)
    except (OSError, DNSException):
        return None
    # A server that knows no root is odd, but it answers.
    fine = answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
    return milliseconds_since(started) if fine else None


def certificate() -> Finding:
    """Look until when the certificate is valid that connections are shown after the next reload, and mostly now."""
    path, _key = certificate_paths(current())
    found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    now = datetime.now(UTC)
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    days = (ends - now).total_seconds() / 86400
    valid = begins <= now < ends
    details = {
        "days_left": str(int(days)),
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "issuer": "self-signed" if found.issuer == found.subject else found.issuer.rfc4514_string(),
    }
    status: Status = "unhealthy" if not valid else "degraded" if days < DAYS_LEFT else "healthy"
    return Finding(status, details=details, numbers={"days_left": days})
