"""The machine as we may use it: processor, memory, disk, network, load. Container limits are taken into account.

``ProcessorMeter`` looks at the processor time once a second, so that an answer has the use over the last seconds at
once. Nothing here asks the database or another process.
"""

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from monitoring.cgroups import PROC, Group, own_group

# Seconds between two looks at the processor time, and over which its use is shown.
SAMPLE_EVERY = 1.0
WINDOW = 5.0
# Seconds between the first two looks, when somebody asks before there are two.
_FIRST_PAUSE = 0.1
# USER_HZ, the kernel's unit of processor time (proc(5)).
_TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """Processor time used until a moment, in seconds of a monotonic clock, and how many processors we may use."""

    at: float
    busy: float
    cpus: float


class Use(NamedTuple):
    """Percent of our processors that was used, over so many seconds, from so many samples."""

    percent: float
    seconds: float
    samples: int


class Processor:
    """Reads how much processor time was used: by our control group where it is limited, else by the machine."""

    def __init__(self, group: Group | None = None, proc: Path = PROC, cpus: int | None = None) -> None:
        self._proc = proc
        self._group = group or own_group(proc)
        self._machine = cpus or os.cpu_count() or 1
        limits = (self._group.cpu_quota(), self._group.cpus(), self._machine)
        self.cpus = float(min(limit for limit in limits if limit))
        self.is_limited = self.cpus < self._machine and self._group.cpu_seconds() is not None

    def sample(self, now: float) -> Sample | None:
        """Look; ``None`` when the kernel does not tell."""
        if self.is_limited:
            used = self._group.cpu_seconds()
            return None if used is None else Sample(now, used, self.cpus)
        busy = self._busy_machine()
        return None if busy is None else Sample(now, busy, float(self._machine))

    def _busy_machine(self) -> float | None:
        try:
            first = (self._proc / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        except OSError:
            return None
        # user nice system idle iowait irq softirq steal; guest time is in user already (proc(5)).
        if first[:1] != ["cpu"] or len(first) < 5:
            return None
        user, nice, system, _idle, _iowait, *others = (int(field) for field in first[1:9])
        return (user + nice + system + sum(others)) / _TICKS


class ProcessorMeter:
    """Knows the processor's use over the last ``WINDOW`` seconds. Safe to ask from every thread."""

    def __init__(
        self,
        processor: Processor | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: float = _FIRST_PAUSE,
    ) -> None:
        self._processor = processor
        self._clock = clock
        self._pause = pause
        self._samples: deque[Sample] = deque(maxlen=round(WINDOW / SAMPLE_EVERY) + 1)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look again and again from now on; at most one thread does."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="processor-meter", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self.look()
            time.sleep(SAMPLE_EVERY)

    def look(self) -> None:
        """Take one sample."""
        with self._lock:
            if self._processor is None:
                self._processor = Processor()
            sample = self._processor.sample(self._clock())
            if sample is not None:
                self._samples.append(sample)

    def use(self) -> Use | None:
        """Return the use between the oldest and the newest sample; ``None`` when the kernel does not tell."""
        if len(self._samples) < 2:
            self.look()
            time.sleep(self._pause)
            self.look()
        with self._lock:
            samples = list(self._samples)
        if len(samples) < 2 or samples[-1].at <= samples[0].at:
            return None
        first, last = samples[0], samples[-1]
        seconds = last.at - first.at
        percent = 100 * (last.busy - first.busy) / (seconds * last.cpus)
        # The kernel's counters and the clock are not read in the same moment.
        return Use(min(100.0, max(0.0, percent)), seconds, len(samples))


meter = ProcessorMeter()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use and in all, and whether a control group sets the limit."""

    used: int
    total: int
    is_limited: bool


def memory(group: Group | None = None, *, total: int | None = None, available: int | None = None) -> Memory:
    """Return what is used of what we may have: the control group's figures where it has less than the machine."""
    if total is None or available is None:
        machine = psutil.virtual_memory()
        total, available = machine.total, machine.available
    group = group or own_group()
    limit, used = group.memory_limit(), group.memory_current()
    if limit is not None and used is not None and limit < total:
        return Memory(used, limit, True)
    return Memory(total - available, total, False)


def disk(directory: Path) -> tuple[int, int]:
    """Return used and all bytes of the file system that a directory is on."""
    usage = shutil.disk_usage(directory)
    return usage.used, usage.total


def network() -> tuple[int, int] | None:
    """Return bytes received and sent since boot over everything but loopback; ``None`` when nobody tells."""
    try:
        interfaces = psutil.net_io_counters(pernic=True)
    except OSError:
        return None
    others = [each for name, each in interfaces.items() if name != "lo"]
    return sum(each.bytes_recv for each in others), sum(each.bytes_sent for each in others)


def load() -> tuple[float, float, float] | None:
    """Return the load averages of 1, 5 and 15 minutes; ``None`` when nobody tells."""
    try:
        return os.getloadavg()
    except OSError:
        return None
