"""One server for each data directory."""

import fcntl
import os
from pathlib import Path

LOCK_NAME = "supervisor.lock"


class AlreadyRunningError(Exception):
    """Another server runs on this data directory."""


def take_lock(data_dir: Path) -> int:
    """Hold the data directory for as long as this process lives; the kernel lets go of it, however that ends.

    Returns the descriptor that holds it. Raises ``AlreadyRunningError``, with the other's process id.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunningError(f"another server (process {other}) already runs on {data_dir}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
