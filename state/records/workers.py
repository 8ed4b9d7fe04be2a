"""The three records of a worker's life: why it was started, how it ended, what its job came to."""

from pathlib import Path
from typing import Any, Literal

from config.record import dataclass, field
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import record_of
from state.host.identity import Identity
from state.records.jobs import Job


@dataclass(frozen=True)
class Launch:
    """Written before the process is there. `wrapper` is its parent, None until the launcher knows it."""

    worker_id: str
    run_id: str
    job: Job
    epoch: int
    nonce: str
    lane: str
    cores: int
    launched_at: str
    launched_at_s: float
    boot_id: str
    wrapper: Identity | None = None
    gpu: str = ""  # UUID of the device it is bound to; it sees no other, and without one it sees none
    ooms: int = 0  # how often this job ran out of memory before: its batches are halved as often


GPU_LOST = 5  # exit code of a worker whose device cannot be used: the lane drains, the job goes on elsewhere


@dataclass(frozen=True)
class Exit:
    """How the process ended, by its wrapper: exit code or signal; `oom` when the kernel's memory killer struck then."""

    worker_id: str
    code: int | None
    signal: int | None
    oom: bool = False


@dataclass(frozen=True)
class Result:
    """What the job came to, by its worker, as its last deed.

    `failed` is final: trying again would give the same. `waiting`: what stands against it may pass by itself, so it is
    tried again, `patience_s` seconds in all (None: the setting). `again`: a file of ours was not what was written; the
    next worker makes it anew.
    """

    job_id: str
    epoch: int
    status: Literal["completed", "failed", "waiting", "again"]
    error_message: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    duration_s: float = 0.0
    patience_s: float | None = None


def on_file(roots: Roots) -> tuple[Launch, ...]:
    """Every launch that is not accounted for yet.

    The name of its file is the worker's id, and what else it names is one part of a path: all of it becomes paths that
    are written and removed, so a record that says more is none of ours.
    """
    return tuple(one for one in map(_read, _paths(roots)) if isinstance(one, Launch))


def damaged(roots: Roots) -> tuple[tuple[Path, str], ...]:
    """Launch records that are none, and why."""
    found = ((path, _read(path)) for path in _paths(roots))
    return tuple((path, why) for path, why in found if isinstance(why, str))


def _paths(roots: Roots) -> list[Path]:
    paths = sorted(roots.workers.glob("*.json")) if roots.workers.is_dir() else []
    return [path for path in paths if not snapshot.is_aside(path)]


def _read(path: Path) -> "Launch | str | None":
    """The launch, or why it is none; None when it is gone by now."""
    tree, is_damaged = snapshot.look(path)
    if tree is None:
        return "it holds no JSON" if is_damaged else None
    try:
        launch = record_of(Launch, tree)
    except ValueError as error:
        return str(error)
    if launch.worker_id != path.stem or not _is_plain(launch):
        return "its names are not those of its file"
    return launch


def _is_plain(launch: Launch) -> bool:
    names = (launch.run_id, launch.job.job_id, launch.job.symbol, launch.job.mode)
    return not any("/" in name or name in ("", ".", "..") for name in names)
