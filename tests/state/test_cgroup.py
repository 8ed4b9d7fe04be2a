"""Limits and use as a container really has them, on trees of files as v1, v2 and namespaces show them."""

from pathlib import Path
from typing import Any

import pytest

from agents.machine import probe
from config import settings
from state.host import cores
from state.host.cgroup import Container, Throttling

MOUNT = "sys/fs/cgroup/"


def tree(root: Path, files: dict[str, str]) -> Container:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Container(root)


def v2(root: Path, membership: str, groups: dict[str, dict[str, str]]) -> Container:
    files = {"proc/self/cgroup": f"0::{membership}\n", f"{MOUNT}cgroup.controllers": "cpu memory pids\n"}
    for group, named in groups.items():
        files |= {f"{MOUNT}{group.strip('/')}/{name}": text for name, text in named.items()}
    return tree(root, files)


V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/docker/abc\n0::/\n",
    f"{MOUNT}cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    f"{MOUNT}cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
    f"{MOUNT}cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
    f"{MOUNT}cpu,cpuacct/docker/abc/cpu.stat": "nr_periods 100\nnr_throttled 25\nthrottled_time 3500000000\n",
    f"{MOUNT}cpu,cpuacct/docker/abc/cpuacct.usage": "12500000000\n",
    f"{MOUNT}memory/memory.limit_in_bytes": "9223372036854771712\n",
    f"{MOUNT}memory/docker/abc/memory.limit_in_bytes": "2000000000\n",
    f"{MOUNT}memory/docker/abc/memory.usage_in_bytes": "900000000\n",
    f"{MOUNT}memory/docker/abc/memory.stat": "total_inactive_file 400000000\n",
    f"{MOUNT}memory/docker/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    f"{MOUNT}pids/docker/abc/pids.max": "512\n",
    f"{MOUNT}pids/docker/abc/pids.current": "40\n",
}


def test_version_1_with_the_controllers_mounted_together(tmp_path: Path) -> None:
    box = tree(tmp_path, V1)
    assert (box.cpus, box.cpu_used_s, box.throttling) == (2.5, 12.5, Throttling(100, 25, 3.5))
    assert (box.memory_limit_bytes, box.memory_used_bytes, box.oom_kills) == (2_000_000_000, 500_000_000, 3)
    assert box.memory_events == tmp_path / MOUNT / "memory/docker/abc/memory.oom_control"
    assert box.pids == (40, 512)


def test_version_1_in_a_namespace_where_the_path_names_nothing(tmp_path: Path) -> None:
    inside = {name.replace("/docker/abc", ""): text for name, text in V1.items() if "docker/abc" in name}
    box = tree(tmp_path, {**inside, "proc/self/cgroup": V1["proc/self/cgroup"]})
    assert (box.cpus, box.cpu_used_s, box.memory_limit_bytes, box.pids) == (2.5, 12.5, 2_000_000_000, (40, 512))


def test_the_tightest_limit_on_the_way_up_counts_with_its_own_counters(tmp_path: Path) -> None:
    box = v2(
        tmp_path,
        "/outer/inner",
        {
            "/outer": {
                "cpu.max": "200000 100000\n",
                "cpu.stat": "usage_usec 9000000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 500000\n",
                "memory.max": "1000\n",
                "memory.current": "900\n",
                "memory.events": "oom_kill 1\n",
                "pids.max": "max\n",
            },
            "/outer/inner": {
                "cpu.max": "300000 100000\n",
                "cpu.stat": "usage_usec 1000000\n",
                "memory.max": "5000\n",
                "memory.current": "100\n",
                "memory.events": "oom_kill 7\n",
                "pids.max": "64\n",
                "pids.current": "8\n",
                "cpu.pressure": "some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=3.00 total=1\n",
            },
        },
    )
    assert (box.cpus, box.cpu_used_s, box.throttling) == (2.0, 9.0, Throttling(10, 4, 0.5))
    assert (box.memory_limit_bytes, box.memory_used_bytes, box.oom_kills) == (1000, 900, 7)
    assert (box.pids, box.cpu_pressure_pct) == ((8, 64), 12.5)


@pytest.mark.parametrize("membership", ["/", "/../../elsewhere", "/kubepods/pod1/box"])
def test_version_2_in_a_namespace_whose_root_is_the_containers_own_group(tmp_path: Path, membership: str) -> None:
    files = {"cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 2500000\n", "memory.max": "700\n"}
    box = v2(tmp_path, membership, {"/": {**files, "memory.current": "650\n"}})
    assert (box.cpus, box.cpu_used_s, box.memory_limit_bytes, box.memory_used_bytes) == (1.5, 2.5, 700, 650)


def test_a_container_without_a_quota_still_counts_its_own_use(tmp_path: Path) -> None:
    box = v2(tmp_path, "/", {"/": {"cpu.max": "max 100000\n", "cpu.stat": "usage_usec 2500000\n"}})
    assert (box.cpus, box.cpu_used_s, box.throttling) == (None, 2.5, None)


def test_a_machine_without_limits_is_no_container(tmp_path: Path) -> None:
    box = v2(tmp_path, "/user.slice", {"/user.slice": {"cpu.max": "max 100000\n", "cpu.stat": "usage_usec 1\n"}})
    assert (box.cpus, box.cpu_used_s, box.memory_limit_bytes, box.pids) == (None, None, None, (None, None))


@pytest.mark.parametrize("text", ["", "nonsense\n", "100000\n", "100000 0\n", "-5 100000\n"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, text: str) -> None:
    assert v2(tmp_path, "/a", {"/a": {"cpu.max": text}}).cpus is None


def test_nothing_to_read_is_unknown(tmp_path: Path) -> None:
    box = Container(tmp_path)
    assert (box.cpus, box.memory_limit_bytes, box.oom_kills, box.cpu_pressure_pct) == (None, None, None, None)


@pytest.mark.parametrize(("quota", "lanes"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 64)])
def test_two_cpus_of_quota_on_a_big_host_give_lanes_for_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, lanes: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    box = v2(tmp_path, "/box", {"/box": {"cpu.max": quota, "memory.max": str(10**15)}})
    limits: Any = settings.load({}).swarm
    assert cores.usable_cores(box) == lanes
    assert len(probe.lanes(limits, box, memory_total_bytes=10**12)) == lanes
