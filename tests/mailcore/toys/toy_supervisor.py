"""The real supervisor with toy children."""

import os
import sys
from pathlib import Path

from mailcore.supervisor import __main__ as entry
from mailcore.supervisor import role
from mailcore.supervisor.process import Program

CHILD = (sys.executable, str(Path(__file__).with_name("toy_child.py")))
PROGRAMS = (
    Program("mail", CHILD, frozenset({"smtp"})),
    Program("web", CHILD, frozenset({"http"})),
    Program("worker", CHILD),
)
# A test has no minute to wait.
role.READY_PATIENCE = float(os.environ.get("TOY_READY_PATIENCE", role.READY_PATIENCE))
role.RETRY = 3.0

entry.PROGRAMS = PROGRAMS
sys.exit(entry.main())
