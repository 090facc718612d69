"""``python -m mailcore.start mail|web|worker``: how the supervisor starts its children.

Settings, log and Django come first, in that order, and the process's own module last: it imports models.
"""

import gc
import importlib
import os
import sys

import structlog

from mailcore import journal

log = structlog.get_logger("mailcore.start")

MODULES = {"mail": "mailcore.service", "web": "mailcore.web", "worker": "mailcore.worker"}


def main() -> int:
    """Become one of the server's processes; returns when it has ended in order."""
    name = sys.argv[1]
    os.environ["A3MAILER_PROCESS"] = name
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a3mailer_site.settings")
    journal.configure(name)
    try:
        if name == "web":
            # Daphne needs the asyncio reactor; it must be there before anything imports another one.
            importlib.import_module("daphne.server")
        import django  # noqa: PLC0415 - after the log

        django.setup()
        module = importlib.import_module(MODULES[name])
        journal.take_over_twisted()
        # What has been imported stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        module.main()
    except Exception as error:
        # The supervisor sees the exit code and starts us again; the log says why.
        log.critical("the process failed", exc_info=error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
