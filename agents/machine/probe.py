"""The machine as this container may use it: host-wide numbers are wrong in containers."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from agents.runtime.world import Lane, Sample
from config.settings import SwarmSettings
from state.cores import usable_cores

_CGROUP = Path("/sys/fs/cgroup")
_NVIDIA_DEVICE = Path("/dev/nvidiactl")
_NVIDIA_TIMEOUT_S = 5.0
_QUERY = "index,name,utilization.gpu,memory.used,memory.total"


def lanes(limits: SwarmSettings) -> tuple[Lane, ...]:
    """As many lanes as the settings ask for, else as cores and memory of this container allow; at least one."""
    cores = usable_cores()
    wanted = limits.lanes
    if wanted == 0:
        total, _ = memory()
        by_memory = cores if total is None else int(total / 1e6 / limits.lane_memory_mb)
        wanted = max(1, min(cores // limits.lane_cores, by_memory))
    return tuple(Lane(f"cpu{number}", min(limits.lane_cores, cores)) for number in range(wanted))


def sample(folder: Path) -> Sample:
    """One look at everything; what cannot be read is None."""
    total, used = memory()
    return Sample(usable_cores(), cpu_used_s(), total, used, disk_free(folder), gpus())


def cpu_used_s() -> float | None:
    """CPU seconds this container has used since it began; the whole machine's where there is no container."""
    try:
        for line in (_CGROUP / "cpu.stat").read_text(encoding="ascii").splitlines():
            if line.startswith("usage_usec ") and _is_container():
                return int(line.split()[1]) / 1e6
    except (OSError, ValueError):
        pass
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def memory() -> tuple[int | None, int | None]:
    """Bytes in all and in use: the container's limit where it has one."""
    import psutil

    machine = psutil.virtual_memory()
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        if limit != "max" and int(limit) < machine.total:
            return int(limit), used
    except (OSError, ValueError):
        pass
    return machine.total, machine.total - machine.available


def disk_free(folder: Path) -> int | None:
    """Bytes free where `folder` is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def gpus() -> tuple[dict[str, Any], ...] | None:
    """One record a GPU; none without a driver; None when the driver gives no answer. NVML can hang, so a child asks."""
    if not _NVIDIA_DEVICE.exists():
        return ()
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_TIMEOUT_S, check=True)
        return tuple(_gpu(line.split(", ")) for line in done.stdout.strip().splitlines())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _gpu(cells: list[str]) -> dict[str, Any]:
    index, name, busy, used, total = cells
    return {
        "index": int(index),
        "name": name,
        "utilisation_pct": float(busy) if busy.replace(".", "").isdigit() else None,
        "memory_used_mb": float(used),
        "memory_total_mb": float(total),
    }


def _is_container() -> bool:
    return (_CGROUP / "cpu.max").exists()  # the root group of a machine has no limits
