"""What the machine, or this container of it, allows: processes, files, CPU, memory, disk, GPUs, clocks."""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from config.swarm import SwarmSettings
from scripts.infra import environment, requirements
from scripts.swarm.doctor.finding import ERROR, NOTE, WARNING, Diagnosis, Patient, existing, ok

_CGROUP = Path("/sys/fs/cgroup")
_FIRST_VERSION = {  # where cgroup v1 keeps what v2 calls so
    "pids.max": "pids/pids.max",
    "pids.current": "pids/pids.current",
    "memory.max": "memory/memory.limit_in_bytes",
    "memory.current": "memory/memory.usage_in_bytes",
    "memory.stat": "memory/memory.stat",
    "cpu.stat": "cpu/cpu.stat",
}
_NO_LIMIT = 2**60  # bytes; v1 writes a number beyond it where v2 writes "max"
_FILES = 256  # descriptors that an agent, a worker and Optuna's journal need together, with room
_PROCESSES_PER_LANE = 40  # a worker, its wrapper, and the threads of numpy, numba and pyarrow
_PROCESSES = 120  # agents, their cycles, monitors, tmux
_SET_S = 5.0  # seconds between two clocks that an adjustment in small steps does not explain


def processes_and_files(patient: Patient) -> Iterator[Diagnosis]:
    """Descriptors of one process; processes of this user and of this container."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _FILES:
        yield Diagnosis(ERROR, f"a process may open {files} files", f"at least {_FILES} are wanted", "ulimit -n 4096")
    lanes = _lanes(patient)
    wanted = _PROCESSES + lanes * _PROCESSES_PER_LANE
    mine, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.getuid() != 0 and mine != resource.RLIM_INFINITY and mine < wanted:
        cause = f"{lanes} lanes and the agents may take {wanted} processes and threads"
        yield Diagnosis(WARNING, f"this user may have {mine} processes", cause, f"ulimit -u {2 * wanted}")
    most, now = _number("pids.max"), _number("pids.current")
    if most is not None and now is not None and most - now < wanted:
        cause = f"{now} of {most} are taken; the swarm may take {wanted} with its threads"
        yield Diagnosis(
            WARNING, "this container may have few processes", cause, "raise its pids limit, or swarm.lanes.count"
        )
    else:
        said = "no limit" if most is None else f"{now} of {most} taken"
        yield ok(f"{files if files != resource.RLIM_INFINITY else 'any number of'} files a process; processes: {said}")


def cpu(patient: Patient) -> Iterator[Diagnosis]:
    """How many cores this container really has, and whether it is throttled."""
    from state.host.cores import usable_cores

    cores, quota = usable_cores(), _quota()
    if quota is not None and quota < 1:
        cause = f"the quota is {quota:.2f} of a core"
        yield Diagnosis(WARNING, "this container has less than one core", cause, "raise its CPU limit")
    told = dict(line.split() for line in _text("cpu.stat").splitlines() if len(line.split()) == 2)
    periods, throttled = int(told.get("nr_periods", 0)), int(told.get("nr_throttled", 0))
    lanes = _lanes(patient)
    if periods > 100 and throttled > periods / 4 and lanes > cores:
        cause = f"{lanes} lanes on {cores} cores; {throttled} of {periods} periods were cut short"
        yield Diagnosis(WARNING, "the container's CPU quota throttles it", cause, f"set swarm.lanes.count to {cores}")
    else:
        yield ok(f"{cores} cores for {lanes} lanes")


def memory(patient: Patient) -> Iterator[Diagnosis]:
    """Enough for every lane's worker."""
    total = _number("memory.max") or _meminfo("MemTotal")
    if total is None:
        yield Diagnosis(NOTE, "the memory of this machine cannot be read", "/proc/meminfo is not readable")
        return
    available = min(_meminfo("MemAvailable") or total, total)
    if (limit := _number("memory.max")) is not None and (used := _number("memory.current")) is not None:
        available = min(available, limit - used + _reclaimable())
    each = patient.limits.lanes.memory_mb * 1e6
    lanes = _lanes(patient)
    said = f"{total / 1e9:.1f} GB, {available / 1e9:.1f} GB of it free, for {lanes} lanes of {each / 1e6:.0f} MB"
    if total < lanes * each:
        yield Diagnosis(
            WARNING, said, "lanes would push each other out of memory", f"swarm.lanes.count: {int(total // each)}"
        )
    elif available < 0.05 * total:
        yield Diagnosis(WARNING, said, "less than a twentieth is free; the kernel may end workers", "end what takes it")
    else:
        yield ok(said)


def disk(patient: Patient) -> Iterator[Diagnosis]:
    """Free bytes and inodes, whether one can write, and when it is full."""
    from state.records import agent_states

    for name, folder in (("RESULTS_ROOT", patient.roots.results), ("STATE_ROOT", patient.roots.state)):
        yield from _folder(name, folder, patient.limits)
    if patient.roots.logs.exists():
        yield from _folder("LOGS_ROOT", patient.roots.logs, patient.limits)
    report = agent_states.reported(patient.roots, "watchdog").watchdog
    days = report.disk_full_in_days
    if days is not None and days < 14:
        cause = f"it grows by {(report.disk_bytes_per_day or 0) / 1e9:.1f} GB a day"
        fix = "make room, or keep less: swarm.records.keep_runs, swarm.records.keep_rounds, swarm.records.keep_log_days"
        yield Diagnosis(ERROR if days < 1 else WARNING, f"the disk is full in {days:.1f} days", cause, fix)


def _folder(name: str, folder: Path, limits: SwarmSettings) -> Iterator[Diagnosis]:
    there = existing(folder)
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    if free < limits.records.min_free_mb * 1e6:
        cause = f"{free / 1e6:,.0f} MB are free, {limits.records.min_free_mb:,} are wanted before anything is started"
        yield Diagnosis(ERROR, f"the disk under {name} is full", cause, f"make room under {folder}")
    if room.f_files and room.f_favail < max(1, limits.records.min_free_files):
        least = limits.records.min_free_files
        cause = f"{room.f_favail:,} inodes are free, {least:,} are wanted before anything is started"
        yield Diagnosis(ERROR, f"hardly a file can be made under {name}", cause, f"remove files under {folder}")
    refusal = _cannot_write(there) if there == folder else None if os.access(there, os.W_OK) else "no permission"
    if refusal is not None:
        owner = there.stat().st_uid
        fix = "the disk is read-only or full" if owner == os.getuid() else f"it belongs to user {owner}: chown, or name"
        yield Diagnosis(ERROR, f"{name} cannot be written: {there}", refusal, f"{fix} another folder in {name}")
    else:
        yield ok(f"{name}: {free / 1e9:,.1f} GB free, can be written")


def _cannot_write(folder: Path) -> str | None:
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor.", suffix=".tmp", dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def gpu(patient: Patient) -> Iterator[Diagnosis]:
    """The driver, whether it answers in time, and whether what it takes to use it is installed."""
    if not environment.has_nvidia_driver():
        yield ok("no GPU here: the plan is CPU only")
        return
    deadline_s = patient.limits.agents.gpu_timeout_s
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=deadline_s, check=False
        )
    except FileNotFoundError:
        yield Diagnosis(
            WARNING, "nvidia-smi is missing", "a driver is loaded, its tools are not", "install nvidia-utils"
        )
        return
    except subprocess.TimeoutExpired:
        cause = f"nvidia-smi took longer than {deadline_s:g} s; nothing is started on the GPU"
        yield Diagnosis(ERROR, "the driver gives no answer", cause, "look at dmesg for Xid, then restart the machine")
        return
    if said.returncode != 0:
        yield Diagnosis(
            ERROR, "the driver fails", said.stdout.strip() or said.stderr.strip(), "reload or update the driver"
        )
        return
    yield ok(f"{len(said.stdout.splitlines())} GPU: {said.stdout.splitlines()[0] if said.stdout else 'none'}")
    folder = environment.chosen(patient.checkout)
    found = requirements.installed(str(one) for one in folder.glob("lib/python*/site-packages"))
    missing = [
        one for one in requirements.applicable(environment.lock_file(patient.checkout, "cuda")) if one not in found
    ]
    if missing:
        few = ", ".join(missing[:5])
        pip = environment.pip_line(patient.checkout, folder, "cuda")
        yield Diagnosis(ERROR, "the GPU cannot be used", f"not installed: {few}", pip)


def clock(patient: Patient) -> Iterator[Diagnosis]:
    """Wall clock against the monotonic one since the last records, and files from the future."""
    suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    if suspended_s > 60:
        yield Diagnosis(
            NOTE, f"the machine slept {suspended_s / 60:.0f} minutes since it started", "ages do not count them"
        )
    moved = [jump for path in _state_files(patient) if (jump := _jump_s(path)) is not None and abs(jump) > _SET_S]
    if moved:
        most = max(moved, key=abs)
        cause = f"it moved by {most:+,.0f} s against the monotonic clock since {len(moved)} records were written"
        fix = "nothing: ages are monotonic; if it keeps happening, look at the time service (timedatectl)"
        yield Diagnosis(WARNING, "the wall clock was set", cause, fix)
    future = [path for path in _state_files(patient) if _mtime(path) > time.time() + _SET_S]
    if future:
        cause = f"{future[0].name} is {_mtime(future[0]) - time.time():,.0f} s ahead of now"
        fix = "set the clock; each file is right again once it is written"
        yield Diagnosis(WARNING, f"{len(future)} state files are from the future", cause, fix)
    if not moved and not future:
        yield ok(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}, in step with the records")


def _jump_s(path: Path) -> float | None:
    """How far the wall clock moved since this record was written, by both of its times; None when it has none."""
    from state.files import snapshot
    from state.host.identity import boot_id

    record = snapshot.read_json(path)
    if not isinstance(record, dict) or record.get("boot_id") != boot_id():
        return None
    try:
        wall_s = time.time() - datetime.fromisoformat(record["at"]).timestamp()
        return wall_s - (time.monotonic() - float(record["at_s"]))
    except (KeyError, TypeError, ValueError):
        return None


def _state_files(patient: Patient) -> list[Path]:
    return sorted(patient.roots.state.glob("*.json"))


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _lanes(patient: Patient) -> int:
    from state.host.cores import usable_cores

    return patient.limits.lanes.count or max(1, usable_cores() // patient.limits.lanes.cores)


def _text(name: str) -> str:
    for path in (_CGROUP / name, _CGROUP / _FIRST_VERSION.get(name, name)):
        try:
            return path.read_text(encoding="ascii")
        except OSError:
            continue
    return ""


def _quota() -> float | None:
    """Cores of CPU time that this container gets."""
    words = (_text("cpu.max") or f"{_text('cpu/cpu.cfs_quota_us')} {_text('cpu/cpu.cfs_period_us')}").split()
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():  # "max", -1, or no container
        return None
    return int(words[0]) / int(words[1])


def _number(name: str) -> int | None:
    """A limit or a use of this container; None without one."""
    text = _text(name).strip()
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _reclaimable() -> int:
    told = dict(line.split() for line in _text("memory.stat").splitlines() if len(line.split()) == 2)
    return int(told.get("inactive_file", 0)) + int(told.get("active_file", 0))


def _meminfo(name: str) -> int | None:
    try:
        rows = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith(f"{name}:")), None)
