"""Mail servers whose packages cannot be installed beside Postfix's: unpacked, and run in a root directory of their own.

``tests/run`` unpacks the packages into ``.peers``, or where ``UNPACKED_PEERS`` says. What a program has compiled into
it, the paths of its configuration and its spool and the names of its users, is there in its root (``chroot``), so that
nothing of it is seen on the machine, and whatever lives in that root is its own to end.

A subclass says what it consists of, and starts it:

    with Exim("exim.test", relay={"example.test": 2525}) as exim:
        carol = exim.new_user()
        exim.inject(carol, "alice@example.test", content)
        exim.wait_for(carol)

``relay`` says to which port of this machine a domain's mail goes: with TLS where it is offered; with ``verified:``
before the port only with TLS and a certificate for localhost by the authority of the tests (``certificates.ROOT``),
with ``clear:`` without TLS.
"""

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from certificates import DAY, NOW, Certified
from certificates import ROOT as AUTHORITY
from server import ROOT, free_ports
from wire import HOST, Smtp, until

UNPACKED = Path(os.environ.get("UNPACKED_PEERS") or ROOT / ".peers")
USERS = 200
# How many there are to whom the door is shut at first, of each kind.
SHUT = 20
# What is shown instead of a valid certificate; whoever connects to ``broken[kind]`` sees it.
BROKEN = {
    "expired": {"issuer": AUTHORITY, "begin": NOW - 3 * DAY, "end": NOW - DAY},
    "misnamed": {"issuer": AUTHORITY, "names": ["elsewhere.test"]},
    "selfsigned": {},
}
# The domains of which a peer takes mail: its own, and those below it.
KINDS = ("other", "verified", "cut", *BROKEN)
# A user that only SMTPUTF8 can name.
INTERNATIONAL = "用户"
# Who is in the root: the owner of the maildirs and the users that the program changes to.
OWNER = 65534
ACCOUNTS = {"root": 0, "Debian-exim": 201, "opensmtpd": 202, "opensmtpq": 203, "vmail": OWNER}


def domains_of(domain):
    """All domains of which a peer takes mail."""
    return (domain, *(f"{kind}.{domain}" for kind in KINDS))


def broken_certificates(domain):
    """A certificate of each broken kind for the peer's host."""
    names = [f"mx.{domain}", "localhost"]
    return {kind: Certified(f"mx.{domain}", **{"names": names, **how}) for kind, how in BROKEN.items()}


class Rooted:
    """Enter it to start; leave it to end it and forget everything."""

    package = ""  # the directory below UNPACKED
    programs: tuple[str, ...] = ()  # of it or of the machine, for the libraries that they need
    directories: tuple[str, ...] = ()

    def __init__(self, domain, relay):
        if os.geteuid() != 0:
            pytest.skip(f"{self.package} has to be started by root")
        self._packed = UNPACKED / self.package
        if not self._packed.is_dir():
            pytest.skip(f"{self.package} is not in {UNPACKED}: tests/run puts it there")
        self.domain, self.domains = domain, domains_of(domain)
        self.relay = {name: str(port) for name, port in relay.items()}
        self._unused = iter(range(USERS))
        self.port, *others = free_ports(1 + len(BROKEN))
        self.broken = dict(zip(BROKEN, others, strict=True))
        self.root = Path(tempfile.mkdtemp(prefix=f"{self.package}-"))
        self.root.chmod(0o755)
        self._furnish()

    def _furnish(self):
        """Make the root: the package, the libraries that it needs, the users, a certificate."""
        shutil.copytree(self._packed, self.root, symlinks=True, dirs_exist_ok=True)
        for program in self.programs:
            inside = self.root / program.lstrip("/")
            if not inside.exists():
                self._copy(program)
            listed = subprocess.run(["ldd", inside], capture_output=True, text=True, check=True, timeout=60).stdout
            assert "not found" not in listed, f"{program} lacks libraries: {listed}"
            for library in re.findall(r"(/\S+) \(0x", listed):
                self._copy(library)
        for name in ("dev", "tmp", "run", "etc/ssl/certs", *self.directories):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        os.mknod(self.root / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (self.root / "dev/null").chmod(0o666)
        (self.root / "mail").mkdir()
        os.chown(self.root / "mail", OWNER, OWNER)
        shown = {self.port: Certified(f"mx.{self.domain}", AUTHORITY, names=[f"mx.{self.domain}", "localhost"])}
        shown |= {self.broken[kind]: one for kind, one in broken_certificates(self.domain).items()}
        for port, certified in shown.items():
            self.write(f"etc/certs/{port}.key", certified.key_pem, 0o600)
            self.write(f"etc/certs/{port}.crt", certified.pem)
        self.write("etc/ssl/certs/ca-certificates.crt", AUTHORITY.pem)
        self.write("etc/passwd", "".join(f"{name}:x:{one}:{one}::/:/bin/sh\n" for name, one in ACCOUNTS.items()))
        self.write("etc/group", "".join(f"{name}:x:{one}:\n" for name, one in ACCOUNTS.items()) + "mail:x:8:\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\nlookup file\n")
        self.configure()

    def _copy(self, path):
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, inside)

    def write(self, path, text, mode=0o644):
        """Write a file of the root."""
        whole = self.root / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(text)
        whole.chmod(mode)

    def give(self, path, account, mode=0o755):
        """Let an account own a directory of the root."""
        os.chown(self.root / path, ACCOUNTS[account], ACCOUNTS[account])
        (self.root / path).chmod(mode)

    def names(self):
        """The local parts of all users."""
        return [f"u{number}" for number in range(USERS)]

    def configure(self):
        """Write the configuration."""
        raise NotImplementedError

    def command(self):
        """What starts it in the foreground."""
        raise NotImplementedError

    def run(self, *command, check=True):
        """Run a program in the root; returns what it said."""
        done = subprocess.run(
            ["chroot", self.root, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}"
        return done.stdout

    def __enter__(self):
        with (self.root / "said").open("wb") as said:
            self._process = subprocess.Popen(
                ["chroot", self.root, *self.command()], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        try:
            until(self._answers, 30, f"{self.package} does not answer")
        except AssertionError as error:
            said = self.log()
            self.__exit__()
            raise AssertionError(f"{error}: {said}") from error
        return self

    def _answers(self):
        assert self._process.poll() is None, "it has ended"
        with contextlib.suppress(OSError), Smtp(self.port, timeout=5) as smtp:
            return smtp.greeting.startswith(b"220")

    def __exit__(self, *exc_info):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._inhabitants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
            with contextlib.suppress(AssertionError):
                until(lambda: self._process.poll() is not None and not self._inhabitants(), 5)
                break
        shutil.rmtree(self.root, ignore_errors=True)

    def _inhabitants(self):
        """The processes that live in the root, or below it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "root").readlink().is_relative_to(self.root):
                    found.append(int(entry.name))
        return found

    def log(self):
        """What it logged."""
        return (self.root / "said").read_text(errors="replace")

    def inject(self, sender, recipient, content):
        """Hand it a message by SMTP."""
        with Smtp(self.port) as smtp:
            reply = smtp.envelope(sender, recipient)
            reply = smtp.data(content) if reply.startswith(b"250") else reply
            assert reply.startswith(b"250"), reply

    def retry(self):
        """Try again now what waits, if it would take longer by itself."""

    def new_user(self):
        """The address of somebody with an empty mailbox."""
        return f"u{next(self._unused)}@{self.domain}"

    def mail(self, address):
        """Octets of all messages that it delivered to a user, with LF at the ends of lines as Maildir has it."""
        folder = self.root / "mail" / address.partition("@")[0] / "new"
        return [path.read_bytes() for path in sorted(folder.glob("*"))]

    def wait_for(self, address, count=1, seconds=60):
        """Wait for so many messages, and return them."""

        def come():
            self.retry()
            return len(self.mail(address)) >= count

        until(come, seconds, f"{address} did not get {count} messages")
        return self.mail(address)

    def way(self, domain):
        """Where a domain's mail goes: host and port, and how (``verified``, ``clear``, or nothing of both)."""
        how, _, port = self.relay[domain].rpartition(":")
        return f"{HOST}:{port}", how
