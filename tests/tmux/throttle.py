"""A CPU quota for one process: a control group of its own, if this machine allows one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


def reason_against() -> str:
    """Say why no such group can be made here; "" when it can."""
    try:
        _made().rmdir()
    except OSError as error:
        return f"no control group with a CPU quota can be made here: {error}"
    return ""


@contextmanager
def held_to(pid: int, percent: float) -> Iterator[None]:
    """Hold a process and all its threads to a share of one core."""
    group, home = _made(), _group_of("self")
    try:
        quota = str(max(1_000, int(_PERIOD_US * percent / 100)))
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_quota_us").write_text(quota)
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (home / "cgroup.procs").write_text(left)
        group.rmdir()


def _made() -> Path:
    group = _group_of("self") / f"bt-test-{os.getpid()}"
    group.mkdir()
    if not any((group / name).exists() for name in ("cpu.max", "cpu.cfs_quota_us")):
        group.rmdir()
        raise OSError("the cpu controller is not handed on")
    return group


def _group_of(pid: str) -> Path:
    """The group whose CPU quota holds for a process: of cgroup v1's cpu hierarchy where there is one, else v2's."""
    rows = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    old = next((path for _, names, path in rows if "cpu" in names.split(",")), None)
    if old is not None:
        return _ROOT / "cpu" / old.lstrip("/")
    return _ROOT / next((path for number, _, path in rows if number == "0"), "/").lstrip("/")
