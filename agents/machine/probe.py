"""Measure the machine as far as this container may use it; host-wide numbers are wrong in containers."""

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from agents.model.world import Lane, Sample
from config.errors import Refused
from config.swarm import SwarmSettings, of_section
from state.files import digest, snapshot
from state.files.layout import CHECKOUT, Roots
from state.host.cgroup import Container
from state.host.cores import usable_cores

_MEMINFO = Path("/proc/meminfo")
_UNPRIVATE = 0o022  # group or others may write


def lanes(
    limits: SwarmSettings,
    container: Container | None = None,
    memory_total_bytes: int | None = None,
    target: int | None = None,
) -> tuple[Lane, ...]:
    """Return as many lanes as util_controller wants (`target`), else as the settings ask for, else one for every core.

    There is at least one lane. A wanted number is bounded by the cores and the memory of this container.
    """
    container = Container() if container is None else container
    cores, cap = usable_cores(container), lane_cap(limits, container, memory_total_bytes)
    wanted = limits.lanes.count or min(cores // limits.lanes.cores, cap) if target is None else min(target, cap)
    return tuple(Lane(f"cpu{number}", min(limits.lanes.cores, cores)) for number in range(max(1, wanted)))


def lane_cap(limits: SwarmSettings, container: Container | None = None, memory_total_bytes: int | None = None) -> int:
    """Return the most lanes that cores and memory allow; never less than one, or than the settings ask for."""
    container = Container() if container is None else container
    total = memory(container)[0] if memory_total_bytes is None else memory_total_bytes
    by_cores = int(usable_cores(container) / limits.lanes.cores * limits.lanes.max_per_core)
    by_memory = by_cores if total is None else int(total / 1e6 / limits.lanes.memory_mb)
    return max(1, limits.lanes.count, min(by_cores, by_memory))


def sample(roots: Roots, limits: SwarmSettings, now_s: float, container: Container | None = None) -> Sample:
    """Sample everything once; what cannot be read is None."""
    from agents.machine import gpus  # it imports subprocess, so only the watchdog pays for it

    container = Container() if container is None else container
    total, used = memory(container)
    throttling = container.throttling
    pids_used, pids_limit = container.pids
    cards = gpus.look(roots, limits, now_s)
    return Sample(
        cores=usable_cores(container),
        cpu_used_s=cpu_used_s(container),
        memory_total_bytes=total,
        memory_used_bytes=used,
        disk_free_bytes=disk_free(roots.results),
        gpus=cards.gpus,
        gpu_reason=cards.reason,
        periods=None if throttling is None else throttling.periods,
        throttled_periods=None if throttling is None else throttling.throttled,
        oom_kills=container.oom_kills,
        pids_used=pids_used,
        pids_limit=pids_limit,
        nproc_limit=_limit("RLIMIT_NPROC"),
        nofile_limit=_limit("RLIMIT_NOFILE"),
        cpu_pressure_pct=container.cpu_pressure_pct,
        suspended_s=suspended_s(),
        environment=environment(),
        state_problem=state_problem(roots.state),
        settings_problem=settings_problem(roots),
    )


def cpu_used_s(container: Container) -> float | None:
    """Return the CPU seconds that this container has used since it began; without a container, those of the machine."""
    used = container.cpu_used_s
    if used is not None:
        return used
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def memory(container: Container) -> tuple[int | None, int | None]:
    """Return the bytes in all and in use: of the container when it has a limit, else of the machine."""
    total, available = _machine_memory()
    limit, used = container.memory_limit_bytes, container.memory_used_bytes
    if limit is not None and used is not None and limit < total:
        return limit, used
    return total, total - available


def _machine_memory() -> tuple[int, int]:
    """Return the bytes in all and available, as psutil does, but on Linux without the 20 ms of importing psutil."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * kilobytes["MemTotal"], 1024 * kilobytes["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        import psutil

        machine = psutil.virtual_memory()
        return machine.total, machine.available


def disk_free(folder: Path) -> int | None:
    """Return the free bytes of the disk where `folder` is or will be; None when it cannot be asked."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def disk_free_files(*folders: Path) -> int | None:
    """Return how many more files the fullest of these folders can hold; None without such a limit."""
    found = [free for folder in folders if (free := _free_files(folder)) is not None]
    return min(found, default=None)


def _free_files(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_favail if disk.f_files else None  # btrfs and similar file systems make inodes as they need them


def suspended_s() -> float | None:
    """Return the seconds that the machine slept in this boot, which only the boot clock counts; None: unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic(), 1)


def environment(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return marks of the Python, the virtual environment and the lock file, which change when one of these changes."""
    python = Path(sys.executable)
    lock = _digest(checkout / "config" / "locks" / "core.txt")
    return {"python": _file_mark(python), "venv": _digest(Path(sys.prefix) / "pyvenv.cfg"), "lock": lock}


def state_problem(folder: Path) -> str:
    """Return what is wrong with the folder of all records; "" when nothing is."""
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} is read-only: nothing can be recorded, so nothing is done"
        if (mode := folder.stat().st_mode & 0o777) & _UNPRIVATE:
            import shlex

            return f"{folder} can be written by others (mode {mode:04o}); type: chmod go-w {shlex.quote(str(folder))}"
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def settings_problem(roots: Roots) -> str:
    """Return what is wrong with settings.json; "" when nothing is.

    A fault is reported until a person has removed the damaged file that was set aside.
    """
    try:
        names = os.listdir(roots.state)
    except OSError:
        return ""  # `state_problem` reports this
    if roots.settings.name in names and not are_settings(snapshot.read_json(roots.settings)):
        return f"{roots.settings.name} holds no settings: the agents go on with those of the checkout"
    aside = sorted(name for name in names if name.startswith("settings.damaged-"))
    return f"{roots.settings.name} held no settings and was made anew; the damaged file is {aside[-1]}" if aside else ""


def are_settings(tree: Any) -> bool:
    """Whether agents can work with these settings. Those of another version of the product count, too."""
    if not isinstance(tree, dict) or not isinstance(tree.get("swarm"), dict):
        return False
    try:
        of_section(tree["swarm"])
        return True
    except Refused:
        from config import settings  # importing it takes 10 ms, so it is imported only for settings of another form

        try:
            settings.of_tree(tree)
            return True
        except (Refused, KeyError, TypeError):
            return False


def _limit(name: str) -> int | None:
    number = getattr(resource, name, None)
    if number is None:
        return None
    soft = resource.getrlimit(number)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _digest(path: Path) -> str:
    try:
        return digest.short(path.read_bytes())
    except OSError:
        return "gone"


def _file_mark(path: Path) -> str:
    try:
        real = path.resolve(strict=True)
        stat = real.stat()
    except OSError:
        return "gone"
    return f"{real} {stat.st_ino} {stat.st_mtime_ns}"
