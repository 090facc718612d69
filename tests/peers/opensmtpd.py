"""A real OpenSMTPD of the tests' own: in a root of its own, on a free loopback port; ended with all that lives there.

It offers neither PIPELINING nor CHUNKING nor SMTPUTF8. ``grey0@…`` and so on are told 451, ``closing0@…`` 421, until
``open_door`` was called for them.

Debian 12's package does TLS only as a client. As a server it offers STARTTLS, but the handshake fails, because OpenSSL
3 does not let it keep the key in another process (https://github.com/OpenSMTPD/OpenSMTPD/issues/1171).
"""

import os

from peers.rooted import ACCOUNTS, SHUT, Rooted

CONFIGURATION = """
{pkis}table users file:/etc/users
table grey file:/etc/grey
table closing file:/etc/closing
smtp max-message-size 100M
bounce warn-interval 1h
queue ttl 1h
filter grey phase rcpt-to match rcpt-to <grey> reject "451 4.7.1 Greylisted, please come back"
filter closing phase rcpt-to match rcpt-to <closing> disconnect "421 4.3.2 Closing for a while"
filter all chain {{ grey, closing }}
{listeners}action "local" maildir "/mail/%{{rcpt.user}}" virtual <users>
match from any for domain {{ {domains} }} action "local"
{relays}
"""
PKI = """
pki own{port} cert "/etc/certs/{port}.crt"
pki own{port} key "/etc/certs/{port}.key"
"""
LISTENER = "listen on 127.0.0.1 port {port} tls pki own{port} hostname mx.{domain} filter all\n"
RELAY = """
action "to{number}" relay host "{scheme}://{host}" {tls} helo mx.{domain}
match from any for domain "{to}" action "to{number}"
"""


class OpenSmtpd(Rooted):
    """See ``Rooted``."""

    package = "opensmtpd"
    programs = ("/usr/sbin/smtpd", "/usr/sbin/smtpctl", "/usr/libexec/opensmtpd/mail.maildir", "/bin/sh")
    directories = ("var/spool/smtpd", "var/lib/opensmtpd/empty", "var/run")
    serves_tls = False
    reports = False  # its notices are text for people alone
    extensions = frozenset()

    def configure(self):
        relays = ""
        for number, domain in enumerate(self.relay):
            address, how = self.way(domain)
            verified = how == "verified"
            host = address.replace("127.0.0.1", "localhost") if verified else address
            relays += RELAY.format(
                number=number,
                scheme={"verified": "smtp+tls", "": "smtp", "clear": "smtp+notls"}[how],
                host=host,
                tls="tls" if verified else "",
                domain=self.domain,
                to=domain,
            )
        ports = (self.port, *self.broken.values())
        text = CONFIGURATION.format(
            domain=self.domain,
            domains=", ".join(f'"{domain}"' for domain in self.domains),
            pkis="".join(PKI.format(port=port) for port in ports),
            listeners="".join(LISTENER.format(port=port, domain=self.domain) for port in ports),
            relays=relays,
        )
        self.write("etc/smtpd.conf", text)
        self._closed = {
            kind: {f"{kind}{number}@{self.domain}" for number in range(SHUT)} for kind in ("grey", "closing")
        }
        everybody = [f"{name}@{domain}" for name in self.names() for domain in self.domains]
        everybody += [address for addresses in self._closed.values() for address in addresses]
        self.write("etc/users", "".join(f"{address} vmail\n" for address in everybody))
        for kind in self._closed:
            self._write_closed(kind)
        self.write("etc/mailname", f"mx.{self.domain}\n")
        (self.root / "var/spool/smtpd").chmod(0o711)
        # It refuses to work without.
        os.chown(self.root / "usr/sbin/smtpctl", 0, ACCOUNTS["opensmtpq"])
        (self.root / "usr/sbin/smtpctl").chmod(0o2555)

    def _write_closed(self, kind):
        # A table must not be empty.
        self.write(f"etc/{kind}", "".join(f"{address}\n" for address in sorted({"@nowhere.test", *self._closed[kind]})))

    def command(self):
        return ["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"]

    def open_door(self, local_part):
        """Take mail for somebody from now on."""
        kind = local_part.rstrip("0123456789")
        self._closed[kind].discard(f"{local_part}@{self.domain}")
        self._write_closed(kind)
        self.run("/usr/sbin/smtpctl", "update", "table", kind)

    def retry(self):
        """By itself it would wait for 400 seconds."""
        self.run("/usr/sbin/smtpctl", "schedule", "all", check=False)
