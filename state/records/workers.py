"""The three records of a worker's life: its launch, how its process ended, and the result of its job."""

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
    """The launch record, written before the process exists. `wrapper` is the worker's parent, None before it runs."""

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
    gpu: str = ""  # UUID of the GPU that the worker is bound to; it sees no other GPU, and with "" none
    ooms: int = 0  # how often this job ran out of memory before; each time halves its batches


GPU_LOST = 5  # exit code of a worker whose GPU cannot be used: the lane is closed, and the job goes on elsewhere


@dataclass(frozen=True)
class Exit:
    """How the process ended, as its wrapper saw it: by `code` or `signal`. `oom`: killed for lack of memory."""

    worker_id: str
    code: int | None
    signal: int | None
    oom: bool = False


@dataclass(frozen=True)
class Result:
    """The result of the job. Writing it is the last thing that the worker does.

    `failed` is final, because trying again would give the same. `waiting` means that an obstacle may pass by itself, so
    the job is tried again for `patience_s` seconds in all (None: the setting). `again` means that a working file was
    changed since it was written; the next worker makes it anew.
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
    """Return every launch that is not accounted for yet.

    The file's name must be the worker's id, and every name in the record must be one part of a path: they become paths
    of files that are written and removed. Other records are not ours.
    """
    return tuple(one for one in map(_read, _paths(roots)) if isinstance(one, Launch))


def damaged(roots: Roots) -> tuple[tuple[Path, str], ...]:
    """Return the files that should hold a launch record and do not, and why."""
    found = ((path, _read(path)) for path in _paths(roots))
    return tuple((path, why) for path, why in found if isinstance(why, str))


def _paths(roots: Roots) -> list[Path]:
    paths = sorted(roots.workers.glob("*.json")) if roots.workers.is_dir() else []
    return [path for path in paths if not snapshot.is_aside(path)]


def _read(path: Path) -> "Launch | str | None":
    """Return the launch; or, as a text, why the file holds none; or None when the file is gone by now."""
    tree, is_damaged = snapshot.look(path)
    if tree is None:
        return "it holds no JSON" if is_damaged else None
    try:
        launch = record_of(Launch, tree)
    except ValueError as error:
        return str(error)
    # A forged record could otherwise make the swarm remove files elsewhere.
    if launch.worker_id != path.stem or not _is_plain(launch):
        return "its names are not those of its file"
    return launch


def _is_plain(launch: Launch) -> bool:
    names = (launch.run_id, launch.job.job_id, launch.job.symbol, launch.job.mode)
    return not any("/" in name or name in ("", ".", "..") for name in names)
