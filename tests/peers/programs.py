"""Mail programs that people use, run once each: swaks, curl, msmtp, mbsync, offlineimap, mutt, fetchmail, getmail.

Two more are libraries, with a program of ours around them: Perl's Mail::IMAPClient and node's imapflow.

Each function writes the configuration that its program needs into a directory of its own, and returns what the program
said. Certificates are verified wherever the program can be told whom to trust.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CURL_LOGIN_DENIED = 67


def needs(program):
    """Skip the test where a program is not installed (in CI everything is, and a skip is a failure)."""
    path = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def at_home(directory, **environment):
    """The environment of a program that lives in ``directory``."""
    return {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "TERM": "dumb", **environment}


def run(command, directory, *, stdin=b"", check=True, seconds=60, **environment):
    """Run a program at home in ``directory``; returns what became of it, output and errors together."""
    done = subprocess.run(
        [needs(command[0]), *(str(word) for word in command[1:])],
        cwd=directory,
        env=at_home(directory, **environment),
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout.decode(errors='replace')}"
    return done


def told(command, directory, when_idle, seconds=60, **environment):
    """Run a client that says ``idling`` when it waits for news, and then what it saw, as JSON; returns that."""
    process = subprocess.Popen(
        [needs(command[0]), *(str(word) for word in command[1:])],
        cwd=directory,
        env=at_home(directory, **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    impatience = threading.Timer(seconds, process.kill)
    impatience.start()
    try:
        first = process.stdout.readline()
        if first == "idling\n":
            when_idle()
        said, errors = process.communicate()
    finally:
        impatience.cancel()
        process.kill()
    assert process.returncode == 0, f"{command[0]}: {process.returncode}\n{first}{said}{errors}"
    return json.loads(said)


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


def getmail(directory, server, person, protocol):
    """Fetch everything over IMAP or POP3 with TLS into files in ``got``, and delete it on the server."""
    got = directory / "got"
    got.mkdir(exist_ok=True)
    # As root it delivers to nothing but a command.
    keep = written(directory / "keep", f'#!/bin/sh\ncat >"$(mktemp {got}/XXXXXX)"\n', 0o700)
    configuration = f"""
[retriever]
type = Simple{protocol}SSLRetriever
server = localhost
port = {server.ports[{"IMAP": "imaps", "POP3": "pop3s"}[protocol]]}
username = {person.address}
password = {person.password}
ca_certs = {server.certificate()}

[destination]
type = MDA_external
path = {keep}
unixfrom = false
allow_root_commands = true

[options]
delete = true
delivered_to = false
received = false
"""
    path = written(directory / "getmailrc", configuration)
    return run(["getmail", "--getmaildir", directory, "--rcfile", path], directory)


def offlineimap(directory, server, person):
    """Synchronise all mailboxes with Maildirs below ``offline``, both ways."""
    configuration = f"""
[general]
accounts = all
metadata = {directory}/metadata
ui = basic
socktimeout = 60

[Account all]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {directory}/offline

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.ports["imaps"]}
remoteuser = {person.address}
remotepass = {person.password}
ssl = yes
sslcacertfile = {server.certificate()}
"""
    return run(["offlineimap", "-o", "-c", written(directory / "offlineimaprc", configuration)], directory)


def perl_imapclient(directory, server, person, when_idle):
    """Let Mail::IMAPClient do what people do; ``when_idle()`` is called while it waits for news. Says what it saw."""
    who = [server.ports["imap"], person.address, person.password, server.certificate()]
    return told(["perl", HERE / "imapclient.pl", *who], directory, when_idle)


def imapflow(directory, server, person, when_idle):
    """Let imapflow do what people do; ``when_idle()`` is called while it waits for news. Says what it saw."""
    who = [server.ports["imaps"], person.address, person.password, server.certificate()]
    return told(["node", _installed_imapflow() / "client.mjs", *who], directory, when_idle)


def _installed_imapflow():
    """The directory where imapflow is installed as the lock file says: outside the source, once for all runs."""
    source = HERE / "imapflow"
    names = ("package.json", "package-lock.json", "client.mjs")
    version = hashlib.sha256(b"".join((source / name).read_bytes() for name in names)).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"a3mailer-imapflow-{os.getuid()}-{version}"
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            for name in names:
                shutil.copy(source / name, place)
            npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            run(npm, place, seconds=120, **_settings_of_npm())
            (place / "installed").touch()
    return place


def _settings_of_npm():
    """Which registry npm asks and through what, where the machine says so."""
    return {name: value for name, value in os.environ.items() if name.lower().startswith(("npm_config_", "http"))}
