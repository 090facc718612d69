"""A real Thunderbird on a display that nobody sees, driven over Marionette (the remote protocol of Mozilla's programs).

It is told what to do in its own JavaScript, as its windows do it: ``thunderbird.run("return …", value)``.
"""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import time

from peers.programs import at_home, needs

HOST = "127.0.0.1"
PORT_FILE = "MarionetteActivePort"

# Nothing but the server is asked, and nothing but the test is waited for.
PREFERENCES = {
    "app.donation.eoy.version.viewed": 999,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "extensions.update.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "browser.safebrowsing.downloads.enabled": False,
    "mail.phishing.detection.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mail.shell.checkDefaultClient": False,
    "mail.rights.override": True,
    "mailnews.start_page.enabled": False,
    "mail.biff.show_alert": False,
    "mail.biff.play_sound": False,
    "mailnews.auto_config.fetchFromISP.enabled": False,
    "marionette.port": 0,
}

# What every script begins with.
PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const inbox = () => globalThis.account.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const messages = folder => [...folder.messages];
const bySubject = (folder, subject) => messages(folder).find(one => one.mime2DecodedSubject === subject);
"""

ADD_ACCOUNT = """
const [address, password, port, certificate] = arguments;
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
Cc["@mozilla.org/security/certoverride;1"]
    .getService(Ci.nsICertOverrideService)
    .rememberValidityOverride("localhost", port, {}, database.constructX509FromBase64(certificate), true);
const server = MailServices.accounts.createIncomingServer(address, "localhost", "imap");
server.port = port;
server.socketType = Ci.nsMsgSocketType.SSL;
server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
server.password = password;
server.doBiff = false;
const identity = MailServices.accounts.createIdentity();
identity.email = address;
globalThis.account = MailServices.accounts.createAccount();
globalThis.account.incomingServer = server;
globalThis.account.addIdentity(identity);
"""


class RefusedError(Exception):
    """What Thunderbird said instead of an answer."""


class Thunderbird:
    """Started with a profile of its own in ``directory``; ends with the context."""

    def __init__(self, directory, seconds=120):
        self.profile = directory / "profile"
        self.profile.mkdir()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
        (self.profile / "user.js").write_text("\n".join(lines))
        self._directory, self._seconds = directory, seconds
        self._ids = itertools.count(1)
        self._processes = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info):
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []

    def _start(self):
        ours, its = os.pipe()
        command = ["Xvfb", "-displayfd", str(its), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
        self._popen(command, "xvfb.log", pass_fds=[its])
        os.close(its)
        with os.fdopen(ours) as pipe:
            display = pipe.readline().strip()
        assert display, (self._directory / "xvfb.log").read_text()
        options = ["--profile", self.profile, "--no-remote", "--marionette", "--remote-allow-system-access"]
        thunderbird = self._popen(
            ["thunderbird", *map(str, options)],
            "thunderbird.log",
            DISPLAY=f":{display}",
            MOZ_DISABLE_CONTENT_SANDBOX="1",
        )
        self._connect(thunderbird)
        self.command("WebDriver:NewSession", capabilities={})
        self.command("Marionette:SetContext", value="chrome")
        self.command("WebDriver:SetTimeouts", script=self._seconds * 1000)

    def _popen(self, command, log, pass_fds=(), **environment):
        with (self._directory / log).open("wb") as output:
            process = subprocess.Popen(
                [needs(command[0]), *command[1:]],
                cwd=self._directory,
                env=at_home(self._directory, **environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
            )
        self._processes.append(process)
        return process

    def _connect(self, process):
        """Connect to the port that it has chosen and written into its profile."""
        end = time.monotonic() + self._seconds
        while True:
            with contextlib.suppress(OSError, ValueError):
                port = int((self.profile / PORT_FILE).read_text())
                self._socket = socket.create_connection((HOST, port), self._seconds)
                break
            said = (self._directory / "thunderbird.log").read_text(errors="replace")
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)
        self._file = self._socket.makefile("rb")
        self._read()

    def _read(self):
        """One message: its length in octets, a colon, JSON."""
        digits = b""
        while (octet := self._file.read(1)) != b":":
            if not octet:
                raise ConnectionResetError("Thunderbird has gone")
            digits += octet
        return json.loads(self._file.read(int(digits)))

    def command(self, name, **parameters):
        """Say a command of the protocol, and return its value."""
        number = next(self._ids)
        message = json.dumps([0, number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        while True:
            _, answered, error, value = self._read()
            if answered == number:
                break
        if error:
            raise RefusedError(f"{error['error']}: {error['message']}\n{error['stacktrace'][:2000]}")
        return value.get("value") if isinstance(value, dict) else value

    def run(self, script, *arguments):
        """Run a script; a promise that it returns is waited for."""
        return self.command(
            "WebDriver:ExecuteScript", script=PRELUDE + script, args=list(arguments), newSandbox=False, sandbox="system"
        )

    def log_in(self, server, person):
        """Make an account of this person's mailbox."""
        certificate = server.certificate().read_text()
        base64 = "".join(line for line in certificate.splitlines() if not line.startswith("-----"))
        self.run(ADD_ACCOUNT, person.address, person.password, server.ports["imaps"], base64)
