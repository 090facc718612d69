"""A child of the supervisor for tests: greets with its process id, echoes lines, obeys a few words.

What it is to do wrong is in ``TOY``: "crash" (before it is ready), "unready" (never ready), "noise" (odd output).
A file ``broken`` in the data directory makes it crash, so that a test can let it break and mend.
"""

import os
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from a3mailer_site.control import ControlError
from a3mailer_site.env import current, load
from a3mailer_site.figures import figures
from mailcore import journal
from mailcore.child import Child


class Toy(LineReceiver):
    def connectionMade(self):  # noqa: N802
        live.add(self)
        figures.count("toy.connections")
        self.sendLine(f"hello {os.getpid()}".encode())

    def lineReceived(self, line):  # noqa: N802
        if line == b"die":
            os._exit(3)
        self.sendLine(b"echo " + line)
        if line == b"quit" or drained is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason):  # noqa: N802
        live.discard(self)
        if drained is not None and not live and not drained.called:
            drained.callback(None)


live = set()
drained = None


def drain():
    global drained  # noqa: PLW0603
    drained = Deferred()
    for toy in live:
        toy.sendLine(b"draining")
    if not live:
        drained.callback(None)
    return drained


def check():
    if Path(load().data_dir / "refuse").exists():
        raise ControlError("the toy does not like it")
    return {}


def main():
    name = os.environ["A3MAILER_PROCESS"]
    journal.configure(name)
    faults = os.environ.get("TOY", "").split(",")
    if "crash" in faults or (current().data_dir / "broken").exists():
        print("Traceback: the toy is broken", file=sys.stderr)
        sys.exit(7)
    if "noise" in faults:
        print('half a line, "quoted"', end="", file=sys.stderr, flush=True)
    child = Child(reactor, name)
    factory = Factory.forProtocol(Toy)
    factory.noisy = False
    if "unready" in faults or (current().data_dir / "unready").exists():
        child.on_start(Deferred)
    child.listen("smtp", factory)
    child.listen("http", factory)
    child.on_drain(drain)
    child.command("check", check)
    child.command("cut", lambda account_id, address: {"connections": len(live)})
    child.run()


main()
