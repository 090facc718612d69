"""A real Postfix of the tests' own: own directory, free loopback ports, no syslog; ended by its process id.

``relay`` says to which port of this machine a domain's mail goes; with ``lmtp:`` before the port it goes there by LMTP,
with ``verified:`` only with TLS and a certificate for localhost by the authority of the tests (``certificates.ROOT``).
Whoever connects to ``broken[kind]`` is shown a certificate that is not valid. ``grey0@…`` and so on are told 451,
``closing0@…`` 421, until ``open_door`` was called for them. Mail for ``moved@…`` is taken, and comes back.

    with Postfix("postfix.test", relay={"example.test": 2525}) as postfix:
        carol = postfix.new_user()
        postfix.inject(carol, "alice@example.test", content)
        postfix.wait_for(carol)

``auth_port`` is for submission: AUTH over TLS
only, checked by a real Dovecot; whoever has logged in there may send anywhere this Postfix knows a way to.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from certificates import ROOT as AUTHORITY
from certificates import Certified
from peers.programs import needs
from peers.rooted import BROKEN, INTERNATIONAL, SHUT, broken_certificates, domains_of
from server import free_ports
from wire import until

LOGIN, SECRET = "relay-user", "relay secret"
USERS = 100
# Owner of the Maildirs; Postfix's virtual(8) refuses to deliver as root.
OWNER = 65534
REPLIES = {"grey": "451 4.7.1 Greylisted, please come back", "closing": "421 4.3.2 Closing for a while"}
SERVICES = """
{port} inet n - n - - smtpd
{auth_port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
{broken}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
myhostname = mx.{domain}
mydestination =
mynetworks = 127.0.0.2/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
smtp_dns_support_level = disabled
smtp_tls_security_level = may
smtp_tls_policy_maps = texthash:{dir}/tls
smtp_tls_CAfile = {dir}/authority.pem
smtp_tls_fingerprint_digest = sha256
lmtp_tls_security_level = may
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_alias_maps = texthash:{dir}/aliases
virtual_transport = virtual
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{owner}
transport_maps = texthash:{dir}/transport
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access hash:{dir}/shut
smtpd_reject_unlisted_recipient = yes
message_size_limit = 100000000
virtual_mailbox_limit = 0
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dir}/dovecot/auth-client
smtpd_tls_security_level = may
smtpd_tls_chain_files = {dir}/key.pem, {dir}/cert.pem
smtpd_peername_lookup = no
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"""
DOVECOT = """
base_dir = {dir}/dovecot/run
state_dir = {dir}/dovecot/state
log_path = {dir}/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = {dir}/passwords
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={dir}
}}
service auth {{
  unix_listener {dir}/dovecot/auth-client {{
    mode = 0666
  }}
}}
"""


BROKEN_SERVICE = """
{port} inet n - n - - smtpd
  -o smtpd_tls_chain_files={chain}
"""


def _transport(port):
    if port.startswith("verified:"):
        return f"smtp:[localhost]:{port[9:]}"
    return f"lmtp:inet:127.0.0.1:{port[5:]}" if port.startswith("lmtp:") else f"smtp:[127.0.0.1]:{port}"


class Postfix:
    """Enter it to start; leave it to end it and forget everything."""

    serves_tls = True
    reports = True
    extensions = frozenset({"PIPELINING", "CHUNKING", "SMTPUTF8"})

    def __init__(self, domain, relay, settings=""):
        if os.geteuid() != 0:
            pytest.skip("a Postfix of our own has to be started by root")
        needs("postfix")
        # Not below pytest's directory: Postfix's own user must be able to walk there.
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.directory.chmod(0o755)
        self.domain, self.other_domain, self.domains = domain, f"other.{domain}", domains_of(domain)
        self._settings = settings
        self._unused = iter(range(USERS))
        self.port, self.auth_port, *others = free_ports(2 + len(BROKEN))
        self.broken = dict(zip(BROKEN, others, strict=True))
        self._write(relay)

    def _write(self, relay):
        values = {"dir": self.directory, "domain": self.domain, "domains": " ".join(self.domains), "owner": OWNER}
        for name in ("conf", "queue", "data", "mail", "dovecot"):
            (self.directory / name).mkdir()
        shutil.chown(self.directory / "data", "postfix", "postfix")
        os.chown(self.directory / "mail", OWNER, OWNER)
        files = {
            "conf/main.cf": MAIN.format(**values) + self._settings,
            "conf/master.cf": SERVICES.format(
                port=f"127.0.0.1:{self.port}",
                auth_port=f"127.0.0.1:{self.auth_port}",
                broken="".join(
                    BROKEN_SERVICE.format(port=f"127.0.0.1:{port}", chain=self.directory / f"{kind}.pem")
                    for kind, port in self.broken.items()
                ),
            ),
            "dovecot.conf": DOVECOT.format(**values),
            "passwords": f"{LOGIN}:{{PLAIN}}{SECRET}\n",
            "transport": "".join(f"{name} {_transport(str(port))}\n" for name, port in relay.items()),
            "mailboxes": "".join(f"{user}@{name} {user}/\n" for name in self.domains for user in self._names()),
            "aliases": f"moved@{self.domain} nobody-there@{self.domain}\n",
            "tls": "".join(
                f"[localhost]:{port[9:]} secure match=localhost\n"
                for port in map(str, relay.values())
                if port.startswith("verified:")
            ),
            "authority.pem": AUTHORITY.pem,
            **{f"{kind}.pem": one.key_pem + one.pem for kind, one in broken_certificates(self.domain).items()},
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
        shown = Certified(f"mx.{self.domain}", AUTHORITY, names=[f"mx.{self.domain}", "localhost"])
        (self.directory / "key.pem").write_text(shown.key_pem)
        (self.directory / "cert.pem").write_text(shown.pem)
        self._shut = {
            f"{kind}{number}@{self.domain}": reply for number in range(SHUT) for kind, reply in REPLIES.items()
        }
        self._write_shut()

    @staticmethod
    def _names():
        shut = [f"{kind}{number}" for kind in REPLIES for number in range(SHUT)]
        return [*(f"u{number}" for number in range(USERS)), *shut, INTERNATIONAL]

    def _write_shut(self):
        path = self.directory / "shut"
        path.write_text("".join(f"{address} {reply}\n" for address, reply in self._shut.items()))
        subprocess.run(
            [needs("postmap"), "-c", self.directory / "conf", f"hash:{path}"],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def open_door(self, local_part):
        """Take mail for somebody from now on."""
        del self._shut[f"{local_part}@{self.domain}"]
        self._write_shut()

    def retry(self):
        """It does so by itself."""

    def __enter__(self):
        self._postfix("check")
        subprocess.run([needs("dovecot"), "-c", self.directory / "dovecot.conf"], check=True, timeout=60)
        self._postfix("start")
        until(lambda: self._pid("queue/pid/master.pid"))
        return self

    def __exit__(self, *exc_info):
        for path in ("queue/pid/master.pid", "dovecot/run/master.pid"):
            if pid := self._pid(path):
                os.kill(pid, signal.SIGTERM)
                until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        shutil.rmtree(self.directory, ignore_errors=True)

    def _pid(self, path):
        try:
            return int((self.directory / path).read_text())
        except (OSError, ValueError):
            return None

    def _postfix(self, command):
        done = subprocess.run(
            [needs("postfix"), "-c", self.directory / "conf", command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.log()

    def log(self):
        """What it logged."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def inject(self, sender, recipient, content, *options):
        """Hand it a message of one of its own users, with its sendmail command."""
        command = [needs("sendmail"), "-C", self.directory / "conf", "-i", "-f", sender, *options, recipient]
        subprocess.run(command, input=content.replace(b"\r\n", b"\n"), check=True, timeout=60)

    def new_user(self):
        """The address of somebody with an empty mailbox."""
        return f"u{next(self._unused)}@{self.domain}"

    def mail(self, address):
        """Octets of all messages that it delivered to a user, with LF at the ends of lines as Maildir has it."""
        folder = self.directory / "mail" / address.partition("@")[0] / "new"
        return [path.read_bytes() for path in sorted(folder.glob("*"))]

    def wait_for(self, address, count=1, seconds=60):
        """Wait for so many messages, and return them."""
        until(lambda: len(self.mail(address)) >= count, seconds, f"{address} did not get {count} messages")
        return self.mail(address)
