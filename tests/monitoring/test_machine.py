"""What we may have of the machine, read out of made-up trees of /proc and /sys; and the real machine's own figures."""

import os

import pytest

from monitoring.cgroups import own_group
from monitoring.machine import Processor, ProcessorMeter, disk, load, memory, network

GIB = 2**30


def tree(base, files):
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return own_group(base / "proc", base / "sys")


V2 = {"proc/self/cgroup": "0::/mail.slice/a3mailer.service"}
HERE = "sys/mail.slice/a3mailer.service/"
V1 = {
    "proc/self/cgroup": "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n3:cpuset:/docker/ab\n1:name=systemd:/x\n0::/x"
}


def test_without_limits_nothing_is_limited(tmp_path):
    group = tree(tmp_path, V2 | {HERE + "memory.max": "max", HERE + "cpu.max": "max 100000"})
    assert (group.memory_limit(), group.memory_current(), group.cpu_quota(), group.cpus()) == (None,) * 4


def test_where_there_are_no_files_nobody_knows(tmp_path):
    group = tree(tmp_path, {})
    assert group.version == 2
    assert (group.memory_limit(), group.cpu_quota(), group.cpus(), group.cpu_seconds()) == (None,) * 4


def test_version_2_has_limit_use_quota_and_processors(tmp_path):
    files = {
        HERE + "memory.max": 2 * GIB,
        HERE + "memory.current": GIB,
        HERE + "memory.stat": f"anon 5\nfile 9\ninactive_file {GIB // 4}",
        HERE + "cpu.max": "150000 100000",
        HERE + "cpuset.cpus.effective": "0-2,5",
        HERE + "cpu.stat": "usage_usec 2500000\nuser_usec 1",
    }
    group = tree(tmp_path, V2 | files)
    assert group.memory_limit() == 2 * GIB
    assert group.memory_current() == GIB - GIB // 4
    assert (group.cpu_quota(), group.cpus(), group.cpu_seconds()) == (1.5, 4, 2.5)


def test_the_tightest_limit_on_the_way_up_counts_and_its_own_use(tmp_path):
    files = {
        HERE + "memory.max": 3 * GIB,
        HERE + "memory.current": 7,
        "sys/mail.slice/memory.max": GIB,
        "sys/mail.slice/memory.current": 1000,
        "sys/mail.slice/cpu.max": "50000 100000",
        HERE + "cpu.max": "max 100000",
    }
    group = tree(tmp_path, V2 | files)
    assert (group.memory_limit(), group.memory_current(), group.cpu_quota()) == (GIB, 1000, 0.5)


def test_in_a_container_the_mounted_root_is_the_group(tmp_path):
    files = {"proc/self/cgroup": "0::/../../host/path", "sys/memory.max": GIB, "sys/memory.current": 5}
    assert tree(tmp_path, files).memory_limit() == GIB
    assert tree(tmp_path, {**files, "proc/self/cgroup": "0::/not/mounted/here"}).memory_current() == 5


def test_version_1_has_a_tree_for_each_controller(tmp_path):
    files = {
        "sys/memory/docker/ab/memory.limit_in_bytes": GIB,
        "sys/memory/docker/ab/memory.usage_in_bytes": GIB // 2,
        "sys/memory/docker/ab/memory.stat": f"total_inactive_file {GIB // 8}",
        "sys/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/cpu/docker/ab/cpu.cfs_quota_us": 200000,
        "sys/cpu/docker/ab/cpu.cfs_period_us": 100000,
        "sys/cpu/cpu.cfs_quota_us": -1,
        "sys/cpu/cpu.cfs_period_us": 100000,
        "sys/cpuacct/docker/ab/cpuacct.usage": 3_000_000_000,
        "sys/cpuset/docker/ab/cpuset.cpus": "1",
    }
    group = tree(tmp_path, V1 | files)
    assert group.version == 1
    assert (group.memory_limit(), group.memory_current()) == (GIB, GIB // 2 - GIB // 8)
    assert (group.cpu_quota(), group.cpus(), group.cpu_seconds()) == (2.0, 1, 3.0)


def test_version_1_without_limits_says_so(tmp_path):
    files = {
        "sys/memory/docker/ab/memory.limit_in_bytes": 9223372036854771712,
        "sys/cpu/docker/ab/cpu.cfs_quota_us": -1,
    }
    group = tree(tmp_path, V1 | files)
    assert (group.memory_limit(), group.memory_current(), group.cpu_quota()) == (None, None, None)


@pytest.mark.parametrize("text", ["", "rubbish", "-5", "1e9", "max"])
def test_nonsense_in_a_limit_is_no_limit(tmp_path, text):
    group = tree(tmp_path, V2 | {HERE + "memory.max": text, HERE + "cpu.max": text, HERE + "cpuset.cpus": text})
    assert (group.memory_limit(), group.cpu_quota(), group.cpus()) == (None, None, None)


def test_memory_is_the_groups_only_where_it_has_less_than_the_machine(tmp_path):
    group = tree(tmp_path, V2 | {HERE + "memory.max": 2 * GIB, HERE + "memory.current": GIB})
    limited = memory(group, total=8 * GIB, available=6 * GIB)
    assert (limited.used, limited.total, limited.is_limited) == (GIB, 2 * GIB, True)
    free = memory(group, total=GIB, available=GIB // 4)
    assert (free.used, free.total, free.is_limited) == (GIB - GIB // 4, GIB, False)


# The processor.


def stat(user, idle, steal=0):
    return f"cpu  {user} 0 0 {idle} 0 0 0 {steal} 500 0\ncpu0 1 1 1 1\nintr 5"


def metered(processor, moments):
    clock = iter(moments)
    return ProcessorMeter(processor, clock=lambda: next(clock), pause=0)


def test_the_machines_use_is_the_difference_of_two_samples(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    group = tree(tmp_path, {"proc/stat": stat(1000, 5000)})
    processor = Processor(group, tmp_path / "proc", cpus=2)
    assert (processor.cpus, processor.is_limited) == (2, False)
    meter = metered(processor, [10.0, 15.0])
    meter.look()
    tree(tmp_path, {"proc/stat": stat(1000 + 3 * ticks, 5000 + 6 * ticks, steal=1 * ticks)})
    meter.look()
    use = meter.use()
    assert use.percent == pytest.approx(40)  # 4 of 2 × 5 seconds
    assert (use.seconds, use.samples) == (5.0, 2)


def test_under_a_quota_the_use_is_of_what_we_may_have(tmp_path):
    group = tree(tmp_path, V2 | {HERE + "cpu.max": "50000 100000", HERE + "cpu.stat": "usage_usec 1000000"})
    processor = Processor(group, tmp_path / "proc", cpus=8)
    assert (processor.cpus, processor.is_limited) == (0.5, True)
    meter = metered(processor, [0.0, 4.0])
    meter.look()
    tree(tmp_path, {HERE + "cpu.stat": "usage_usec 2000000"})
    meter.look()
    assert meter.use().percent == pytest.approx(50)  # 1 of 0.5 × 4 seconds


def test_who_asks_before_there_are_two_samples_waits_for_them(tmp_path):
    tree(tmp_path, {"proc/stat": stat(1000, 5000)})
    meter = metered(Processor(own_group(tmp_path / "proc", tmp_path / "sys"), tmp_path / "proc", cpus=1), [1.0, 1.1])
    assert (meter.use().samples, meter.use().percent) == (2, 0.0)


def test_use_is_unknown_and_not_zero_where_the_kernel_does_not_tell(tmp_path):
    processor = Processor(own_group(tmp_path / "proc", tmp_path / "sys"), tmp_path / "proc", cpus=1)
    assert metered(processor, [1.0, 2.0]).use() is None


def test_more_than_everything_is_everything(tmp_path):
    group = tree(tmp_path, {"proc/stat": stat(0, 0)})
    meter = metered(Processor(group, tmp_path / "proc", cpus=1), [0.0, 1.0])
    meter.look()
    tree(tmp_path, {"proc/stat": stat(10**6, 0)})
    meter.look()
    assert meter.use().percent == 100.0


def test_the_window_slides(tmp_path):
    group = tree(tmp_path, {"proc/stat": stat(0, 0)})
    meter = metered(Processor(group, tmp_path / "proc", cpus=1), iter(float(second) for second in range(100)))
    for _ in range(100):
        meter.look()
    assert (meter.use().seconds, meter.use().samples) == (5.0, 6)


def test_the_real_machine_tells_everything(tmp_path):
    found = memory()
    assert 0 < found.used < found.total
    used, total = disk(tmp_path)
    assert 0 < used <= total
    assert network() is None or min(network()) >= 0
    assert len(load()) == 3
    use = ProcessorMeter().use()
    assert 0 <= use.percent <= 100


def test_loopback_is_not_the_network(monkeypatch):
    import psutil

    class Interface:
        bytes_recv, bytes_sent = 7, 5

    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: dict.fromkeys(["lo", "eth0", "eth1"], Interface))
    assert network() == (14, 10)
