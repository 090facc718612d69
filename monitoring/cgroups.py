"""What this process may have of its machine: memory, processor time and processors, by its control groups.

Version 2 (one tree) and version 1 (one tree for each controller) of the kernel's control groups. A limit of a parent
holds for its children, so the tightest one on the way to the root counts. Reads files and measures no time; where a
file is missing there is no limit, or the figure is ``None``.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
ROOT = Path("/sys/fs/cgroup")

# Version 1 writes "no limit" as the largest multiple of a page in 63 bits.
_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of this process: the directory of each controller, and where its tree begins."""

    version: int
    memory: Path | None
    cpu: Path | None
    cpuacct: Path | None
    cpuset: Path | None
    roots: tuple[Path, ...]

    def memory_limit(self) -> int | None:
        """Bytes that we may have; ``None`` when nobody has set a limit."""
        limit, _ = self._tightest_memory()
        return None if limit is None else int(limit)

    def memory_current(self) -> int | None:
        """Bytes that the group with that limit has in use, without file pages that the kernel can drop at once."""
        _, group = self._tightest_memory()
        if group is None:
            return None
        used = _number(group / ("memory.current" if self.version == 2 else "memory.usage_in_bytes"))
        if used is None:
            return None
        fields = _fields(group / "memory.stat")
        return max(0, used - fields.get("inactive_file" if self.version == 2 else "total_inactive_file", 0))

    def cpu_quota(self) -> float | None:
        """How many processors' time we may have; ``None`` when there is no limit."""
        read = _quota if self.version == 2 else _quota_of_version_1
        return _tightest(self.cpu, self.roots, read)[0]

    def _tightest_memory(self) -> tuple[float | None, Path | None]:
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        return _tightest(self.memory, self.roots, lambda group: _below(_number(group / name), _UNLIMITED))

    def cpus(self) -> int | None:
        """How many processors we may run on; ``None`` when nobody says."""
        if self.cpuset is None:
            return None
        names = (
            ("cpuset.cpus.effective", "cpuset.cpus") if self.version == 2 else ("cpuset.effective_cpus", "cpuset.cpus")
        )
        for name in names:
            text = _text(self.cpuset / name)
            if text:
                return _listed(text)
        return None

    def cpu_seconds(self) -> float | None:
        """Processor time that the group has used so far."""
        if self.version == 2:
            used = _fields(self.cpu / "cpu.stat").get("usage_usec") if self.cpu else None
            return None if used is None else used / 1e6
        used = _number(self.cpuacct / "cpuacct.usage") if self.cpuacct else None
        return None if used is None else used / 1e9


def own_group(proc: Path = PROC, root: Path = ROOT) -> Group:
    """Find the control groups of this process."""
    found: dict[str, str] = {}
    for line in (_text(proc / "self" / "cgroup") or "").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for controller in controllers.split(","):
            found[controller] = path
    if "memory" in found or "cpu" in found:
        places = {
            name: _place(root / name, found[name]) for name in ("memory", "cpu", "cpuacct", "cpuset") if name in found
        }
        roots = tuple(root / name for name in places)
        return Group(1, places.get("memory"), places.get("cpu"), places.get("cpuacct"), places.get("cpuset"), roots)
    here = _place(root, found.get("", "/"))
    return Group(2, here, here, here, here, (root,))


def _place(root: Path, path: str) -> Path:
    """Return the directory of a group. In a container the path is the host's, and what is mounted is the group."""
    directory = root / path.strip("/")
    return directory if ".." not in directory.parts and directory.is_dir() else root


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if text.isdecimal() else None


def _tightest(
    directory: Path | None, roots: Collection[Path], read: Callable[[Path], float | None]
) -> tuple[float | None, Path | None]:
    """Return the smallest limit on the way from a group to the root, and whose it is."""
    found: list[tuple[float, Path]] = []
    while directory is not None:
        limit = read(directory)
        if limit is not None:
            found.append((limit, directory))
        directory = None if directory in roots else directory.parent
    return min(found, default=(None, None))


def _below(limit: int | None, unlimited: int) -> int | None:
    return None if limit is None or limit >= unlimited else limit


def _quota(group: Path) -> float | None:
    quota, _, period = (_text(group / "cpu.max") or "").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _quota_of_version_1(group: Path) -> float | None:
    # -1 is no limit, and no number to ``_number``.
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in (_text(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _listed(text: str) -> int | None:
    """Count a list such as ``0-3,8``."""
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return None
        count += int(last or first) - int(first) + 1
    return count
