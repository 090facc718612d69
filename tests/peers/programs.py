"""Mail programs that people use, run once each: swaks, curl, msmtp, mbsync, mutt, fetchmail.

Each function writes the configuration that its program needs into a directory of its own, and returns what the program
said. Certificates are verified wherever the program can be told whom to trust.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CURL_LOGIN_DENIED = 67


def needs(program):
    """Skip the test where a program is not installed (in CI everything is, and a skip is a failure)."""
    path = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def run(command, directory, *, stdin=b"", check=True, seconds=60, **environment):
    """Run a program at home in ``directory``; returns what became of it, output and errors together."""
    home = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "TERM": "dumb", **environment}
    done = subprocess.run(
        [needs(command[0]), *(str(word) for word in command[1:])],
        cwd=directory,
        env=home,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout.decode(errors='replace')}"
    return done


def written(path, text, mode=0o600):
    """Write a configuration file; programs refuse those that others can read."""
    path.write_text(text)
    path.chmod(mode)
    return path


def swaks(directory, port, sender, recipient, *options, content=None, check=True):
    """Send a message, by default swaks's own."""
    data = []
    if content is not None:
        data = ["--data", f"@{written(Path(directory) / 'swaks.eml', content)}"]
    command = ["swaks", "--server", f"127.0.0.1:{port}", "--from", sender, "--to", recipient, *data, *options]
    return run(command, directory, check=check)


def curl(directory, url, *options, server=None, check=True):
    """Speak whatever the URL says; with ``server`` its certificate has to be right."""
    trust = ["--cacert", server.certificate()] if server else []
    return run(["curl", "--silent", "--show-error", "--max-time", "60", *trust, *options, url], directory, check=check)


def msmtp(directory, server, person, port, *recipients, content, starttls, options=()):
    """Submit a message."""
    configuration = f"""
account default
host localhost
port {port}
from {person.address}
auth plain
user {person.address}
password "{person.password}"
tls on
tls_starttls {"on" if starttls else "off"}
tls_trust_file {server.certificate()}
"""
    path = written(directory / "msmtprc", configuration)
    return run(["msmtp", "-C", path, *options, *recipients], directory, stdin=content)


def mbsync(directory, server, person):
    """Synchronise all mailboxes with Maildirs below ``mail``, both ways."""
    configuration = f"""
IMAPAccount here
Host localhost
Port {server.ports["imaps"]}
User {person.address}
Pass "{person.password}"
SSLType IMAPS
SystemCertificates no
CertificateFile {server.certificate()}

IMAPStore far
Account here

MaildirStore near
Path {directory}/mail/
Inbox {directory}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
SyncState *
CopyArrivalDate yes
"""
    (directory / "mail").mkdir(exist_ok=True)
    return run(["mbsync", "-c", written(directory / "mbsyncrc", configuration), "-a", "-V"], directory)


def mutt(directory, server, person, commands):
    """Open INBOX in mutt and let it do what ``commands`` (its own configuration language) say."""
    configuration = f"""
set folder = "imap://localhost:{server.ports["imap"]}/"
set spoolfile = "+INBOX"
set imap_user = "{person.address}"
set imap_pass = "{person.password}"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "{server.certificate()}"
set ssl_usesystemcerts = no
set header_cache = ""
set mail_check = 1
set confirmappend = no
set confirmcreate = no
set delete = yes
set quit = yes
set wait_key = no
set sleep_time = 0
set sort = mailbox-order
{commands}
"""
    path = written(directory / "muttrc", configuration)
    # It wants a terminal, even when nobody sits at it: script(1) gives it one.
    return run(["script", "-qec", f"mutt -n -F {path}", "/dev/null"], directory, TERM="xterm")


def fetchmail(directory, server, person, protocol, *options):
    """Fetch everything over IMAP or POP3 with TLS, into the file ``fetched`` (an mbox)."""
    port = server.ports[{"IMAP": "imaps", "POP3": "pop3s"}[protocol]]
    mda = written(directory / "keep", f'#!/bin/sh\n(echo "From fetchmail"; cat; echo) >>{directory}/fetched\n', 0o700)
    configuration = f"""
poll localhost service {port} protocol {protocol}
  user "{person.address}" password "{person.password}"
  ssl sslcertck sslcertfile "{server.certificate()}"
  mda "{mda}" no rewrite
"""
    path = written(directory / "fetchmailrc", configuration)
    return run(["fetchmail", "-f", path, "--nosyslog", "--pidfile", directory / "pid", *options], directory)
