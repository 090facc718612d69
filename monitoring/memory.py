"""How much memory this server may have: the machine's, or less where a control group says so (a container)."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


def total() -> int:
    """Return the bytes that this server could use at most."""
    return min([int(psutil.virtual_memory().total), *_limits(_GROUPS, Path("/proc/self/cgroup"))])


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """Give the limits of our control group and of those it is in (version 2)."""
    try:
        lines = own.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        number, _controllers, path = line.split(":", 2)
        if number != "0":
            continue
        folder = groups / path.lstrip("/")
        while folder.is_relative_to(groups):
            try:
                text = (folder / "memory.max").read_text(encoding="ascii").strip()
            except OSError:
                text = ""
            if text.isdigit():
                yield int(text)
            folder = folder.parent
