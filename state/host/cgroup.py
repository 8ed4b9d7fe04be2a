"""The limits of this process's container and what the container used, read from the files of cgroup v1 and v2.

Limits hold at every level from the process's own group (`/proc/self/cgroup`) upwards, and the tightest one counts.
Inside a namespace, the visible root is already the container's own group. Counters are read from the group whose limit
counts, so that use and limit belong together. Values that cannot be read are None.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from config.record import dataclass

_MOUNT = Path("sys/fs/cgroup")
_UNLIMITED = 1 << 60  # bytes: v1 writes "no limit" as a huge number


@dataclass(frozen=True)
class Throttling:
    """How many periods of the CPU quota there were, how many of them were cut short, and for how long in all."""

    periods: int
    throttled: int
    throttled_s: float


@dataclass(frozen=True)
class Container:
    """The cgroups of this process. `root` is the file system's root, which tests replace by a folder of their own."""

    root: Path = Path("/")

    @property
    def cpus(self) -> float | None:
        """The CPU quota in cores; None without one."""
        quotas = [one for group in self._groups("cpu") if (one := _quota(group)) is not None]
        return min(quotas, default=None)

    @property
    def cpu_used_s(self) -> float | None:
        """CPU seconds used so far; None when there is no container."""
        folder = self._tightest("cpu", _quota)
        if folder is None:  # without a quota, the visible root of a namespace is still the container's own group
            folder = next(reversed(list(self._groups("cpu"))), None)
            if folder is None or not (folder / "cpu.max").exists():
                return None
        usec = _field(folder / "cpu.stat", "usage_usec")
        if usec is not None:
            return usec / 1e6
        # In v1, CPU time is counted by another controller, which may be mounted elsewhere with the same group path.
        mounts = self._hierarchies("cpuacct")
        accounts = next((mount / folder.relative_to(next(self._hierarchies("cpu"))[0]) for mount, _ in mounts), folder)
        nanoseconds = _number(accounts / "cpuacct.usage")
        return None if nanoseconds is None else nanoseconds / 1e9

    @property
    def throttling(self) -> Throttling | None:
        """How much the CPU quota held the container back so far; None without a quota."""
        folder = self._tightest("cpu", _quota)
        if folder is None:
            return None
        periods, throttled = (_field(folder / "cpu.stat", name) for name in ("nr_periods", "nr_throttled"))
        usec, nsec = (_field(folder / "cpu.stat", name) for name in ("throttled_usec", "throttled_time"))
        if periods is None or throttled is None:
            return None
        return Throttling(periods, throttled, usec / 1e6 if usec is not None else (nsec or 0) / 1e9)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The tightest memory limit; None without a limit."""
        limits = [one for group in self._groups("memory") if (one := _memory_limit(group)) is not None]
        return min(limits, default=None)

    @property
    def memory_used_bytes(self) -> int | None:
        """The memory that the group with the tightest limit uses, without page cache that the kernel can take back."""
        folder = self._tightest("memory", _memory_limit)
        if folder is None:
            return None
        used = _number(folder / "memory.current")
        used = _number(folder / "memory.usage_in_bytes") if used is None else used
        cache = _field(folder / "memory.stat", "inactive_file")
        cache = _field(folder / "memory.stat", "total_inactive_file") if cache is None else cache
        return None if used is None else max(0, used - (cache or 0))

    @property
    def memory_events(self) -> Path | None:
        """The file in which the kernel counts the processes that it killed for lack of memory (line `oom_kill`)."""
        for folder in self._groups("memory"):
            for name in ("memory.events", "memory.oom_control"):
                if _field(folder / name, "oom_kill") is not None:
                    return folder / name
        return None

    @property
    def oom_kills(self) -> int | None:
        """How many processes the kernel killed here for lack of memory; None: unknown."""
        return None if self.memory_events is None else _field(self.memory_events, "oom_kill")

    @property
    def pids(self) -> tuple[int | None, int | None]:
        """How many processes and threads there are, and how many there may be; (None, None) without a limit."""
        folder = self._tightest("pids", _pids_limit)
        if folder is None:
            return None, None
        return _number(folder / "pids.current"), _pids_limit(folder)

    @property
    def cpu_pressure_pct(self) -> float | None:
        """The share of the last ten seconds in which a process waited for a core; None: unknown."""
        candidates = [group / "cpu.pressure" for group in self._groups("cpu")] + [self.root / "proc/pressure/cpu"]
        for path in candidates:
            for word in (_text(path) or "").split():
                if word.startswith("avg10="):
                    return float(word.partition("=")[2])
        return None

    # the groups -------------------------------------------------------------------------------------------------------

    @cached_property
    def _memberships(self) -> tuple[tuple[frozenset[str], str], ...]:
        """Controllers and path of each line of /proc/self/cgroup; the unified hierarchy's line has no controllers."""
        lines = (line.split(":", 2) for line in (_text(self.root / "proc/self/cgroup") or "").splitlines())
        return tuple((frozenset(cells[1].split(",")) - {""}, cells[2]) for cells in lines if len(cells) == 3)

    def _groups(self, controller: str) -> Iterator[Path]:
        """Yield the folders of a controller, from the process's own group up to the visible root."""
        for mount, path in self._hierarchies(controller):
            folder = mount / path.strip("/")
            # A path that leads out of the namespace has no folder here; the visible root is the container's own group.
            folder = folder if ".." not in path and folder.is_dir() else mount
            while True:
                yield folder
                if folder == mount:
                    break
                folder = folder.parent

    def _hierarchies(self, controller: str) -> Iterator[tuple[Path, str]]:
        mount = self.root / _MOUNT
        # A v1 hierarchy of this controller first; in a mixed system, the unified one has only the other controllers.
        for controllers, path in self._memberships:
            if controller in controllers:
                names = (controller, ",".join(sorted(controllers)), "cpu,cpuacct", "cpuacct,cpu")
                found = next((mount / name for name in names if (mount / name).is_dir()), None)
                if found is not None:
                    yield found, path
                    return
        for controllers, path in self._memberships:
            if not controllers:
                yield (mount / "unified" if (mount / "unified").is_dir() else mount), path
                return
        if mount.is_dir():  # /proc/self/cgroup cannot be read
            yield mount, "/"

    def _tightest(self, controller: str, limit: Callable[[Path], float | None]) -> Path | None:
        limited = [(one, group) for group in self._groups(controller) if (one := limit(group)) is not None]
        return min(limited, key=lambda pair: pair[0])[1] if limited else None


def _quota(folder: Path) -> float | None:
    words = (_text(folder / "cpu.max") or "").split()
    if not words:
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        return None if quota is None or not period or quota <= 0 else quota / period
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None  # "max 100000"
    return int(words[0]) / int(words[1])


def _memory_limit(folder: Path) -> int | None:
    limit = _number(folder / "memory.max")
    limit = _number(folder / "memory.limit_in_bytes") if limit is None else limit
    return None if limit is None or limit >= _UNLIMITED else limit


def _pids_limit(folder: Path) -> int | None:
    return _number(folder / "pids.max")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _field(path: Path, name: str) -> int | None:
    """Return the number behind `name` in a file of lines `name number`; None when there is none."""
    for line in (_text(path) or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].lstrip("-").isdigit():
            return int(words[1])
    return None
