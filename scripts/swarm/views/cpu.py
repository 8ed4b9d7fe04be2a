"""bt-worker-cpu-mon: every core this container may use, and who uses it. Reads /proc, scans nothing."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.text import Text

from scripts.swarm.fit import Block, bar, fitted, middle, wrapped
from scripts.swarm.status import build
from scripts.swarm.status_rows import StatusRow, WorkerRow
from scripts.swarm.views.view import LEAVE
from state.files.layout import Roots

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CELL = 26  # columns that one core takes


_ALIVE = ("running", "stopped")
_SETTLE_S = 0.5  # between the two readings of the first look


@dataclass(frozen=True)
class Process:
    """A worker's process: CPU seconds it has had, memory in bytes, and when it began, in seconds since the boot."""

    used_s: float
    memory_bytes: int
    began_s: float


@dataclass(frozen=True)
class CpuReading:
    """CPU seconds at a moment (in seconds since the boot): of every core (busy, all) and of every worker's process."""

    at_s: float
    cores: dict[str, tuple[float, float]]
    workers: dict[int, Process]


class CpuView:
    """Every core this container may use, and who uses it."""

    def __init__(self) -> None:
        self._last: CpuReading | None = None

    def look(self, roots: Roots) -> None:
        """See `View`; the first look takes two readings, as a share of time needs a time."""
        self._now = build(roots)
        workers = [one for one in self._now["workers"] if one["pid"] and one["state"] in _ALIVE]
        before = self._last or _read(workers, settle_s=_SETTLE_S)
        self._last = reading = _read(workers)
        self._cores = [(name, _share(reading, before, name)) for name in reading.cores]
        self._workers = sorted(_busiest(reading, before, workers), key=lambda row: -row[0])

    def page(self, width: int | None, height: int | None) -> Group:
        """See `View`."""
        columns = 80 if width is None else width
        used = self._now["utilisation"]["cpu_pct"]
        said = "not measured yet" if used is None else f"{used:.0f} %"
        title = f"CPU {said} over the last minute · target {self._now['utilisation']['targets']['cpu_pct']:.0f} %"
        workers = [_process_line(row, columns) for row in self._workers] or [Text(f"  {_nobody(self._now)}")]
        blocks = [
            Block(wrapped(title, "bold", "", width, 1)),
            Block(tuple(_core_lines(self._cores, columns)), rank=2, least=1, what="line of cores"),
            Block((Text(), *wrapped("workers, the busiest first", "bold", "", width, 1)), rank=3),
            Block(tuple(workers), rank=1, least=1, what="worker"),
            Block(() if height is None else (Text(), Text(LEAVE, style="dim")), rank=4),
        ]
        return fitted(blocks, width, height)

    def line(self) -> str:
        """See `View`."""
        cores = " ".join(f"{name} {busy:.0f} %" for name, busy in self._cores)
        workers = ", ".join(f"{job} {busy:.0f} %" for busy, _memory, _pid, job in self._workers)
        return f"{cores} · {workers or _nobody(self._now)}"


def _read(workers: list[WorkerRow], settle_s: float = 0.0) -> CpuReading:
    pids = (one["pid"] for one in workers if one["pid"] is not None)
    reading = CpuReading(time.clock_gettime(time.CLOCK_BOOTTIME), dict(_cores()), dict(_processes(pids)))
    time.sleep(settle_s)
    return reading


def _cores() -> Iterator[tuple[str, tuple[float, float]]]:
    mine = os.sched_getaffinity(0)
    for row in (_PROC / "stat").read_text(encoding="ascii").splitlines():
        name, *cells = row.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in mine:
            ticks = [int(cell) for cell in cells[:8]]
            yield f"core {name[3:]}", (sum(ticks) - ticks[3] - ticks[4], sum(ticks))


def _processes(pids: Iterable[int]) -> Iterator[tuple[int, Process]]:
    for pid in pids:
        try:
            after = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if after[0] not in "ZX":  # what has ended uses nothing, and its number is soon another's
            used_s, began_s = (int(after[11]) + int(after[12])) / _TICKS, int(after[19]) / _TICKS
            yield pid, Process(used_s, int(after[21]) * _PAGE_BYTES, began_s)


def _share(now: CpuReading, before: CpuReading, core: str) -> float:
    """Percent busy between the two readings; nothing of a core that has just been given to us."""
    busy, every = now.cores[core]
    was_busy, was_every = before.cores.get(core, (busy, every))
    return 100 * (busy - was_busy) / max(1.0, every - was_every)


def _busiest(now: CpuReading, before: CpuReading, workers: list[WorkerRow]) -> Iterator[tuple[float, int, int, str]]:
    """Percent of one core between the two readings; of a process that began in between, since it began."""
    jobs = {worker["pid"]: worker["job"] for worker in workers}
    for pid, one in now.workers.items():
        was = before.workers.get(pid)
        is_same = was is not None and was.began_s == one.began_s
        since_s = before.at_s if is_same else one.began_s
        used_s = one.used_s - (was.used_s if was is not None and is_same else 0.0)
        yield 100 * used_s / max(1 / _TICKS, now.at_s - since_s), one.memory_bytes, pid, jobs[pid]


def _core_lines(cores: list[tuple[str, float]], columns: int) -> Iterator[Text]:
    beside = max(1, min(columns // _CELL, 4))
    for start in range(0, len(cores), beside):
        text = Text()
        for name, busy in cores[start : start + beside]:
            text.append(f"{name:<8}").append_text(bar(busy, 10)).append(f" {busy:3.0f} %  ")
        yield text


def _process_line(row: tuple[float, int, int, str], columns: int) -> Text:
    busy, memory_bytes, pid, job = row
    if columns < 60:
        return Text(f"{busy:4.0f} % {middle(job, max(10, columns - 20))} pid {pid}")
    return Text(f"  {busy:4.0f} % {memory_bytes / 1e6:7,.0f} MB  pid {pid:<8} {middle(job, max(14, columns - 34))}")


def _nobody(now: StatusRow) -> str:
    """Nobody works, and why."""
    why = next((device["why"] for device in now["devices"] if device["kind"] == "cpu"), now["why"])
    return f"no worker runs: {why}"
