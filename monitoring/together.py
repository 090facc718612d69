"""Calls beside each other, with one limit of time for all: who hangs is left behind and holds nobody up.

A call that hung is not made a second time while it still hangs, so that a dead DNS server does not cost a thread for
each look. Each call has a thread of its own for as long as it takes, and closes its database connection at the end.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from django.db import connection, connections

T = TypeVar("T")

_lock = threading.Lock()
_running: dict[str, Future[object]] = {}


def together(calls: Mapping[str, Callable[[], T]], patience: float) -> dict[str, T]:
    """Call all; returns what those returned that were done after ``patience`` seconds. What they raise is raised here.

    Inside a transaction they are made one after the other in this thread: in another one they would wait for us.
    """
    if connection.in_atomic_block:
        return {name: call() for name, call in calls.items()}
    deadline = time.monotonic() + patience
    futures = {name: _begun(name, call) for name, call in calls.items()}
    wait(futures.values(), max(0.0, deadline - time.monotonic()))
    return {name: future.result() for name, future in futures.items() if future.done()}  # type: ignore[misc]


def _begun(name: str, call: Callable[[], object]) -> Future[object]:
    with _lock:
        hanging = _running.get(name)
        if hanging is not None and not hanging.done():
            return hanging
        future = _running[name] = Future()
    threading.Thread(target=_run, args=(call, future), name=f"probe {name}", daemon=True).start()
    return future


def _run(call: Callable[[], object], future: Future[object]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        connections.close_all()
