"""The three records of a worker's life: why it was started, how it ended, what its job came to."""

from typing import Any, Literal

from config.record import dataclass, field
from state.identity import Identity
from state.jobs import Job


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
    """What the job came to, by its worker, as its last deed. `failed` is final: trying again would give the same."""

    job_id: str
    epoch: int
    status: Literal["completed", "failed"]
    error_message: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    duration_s: float = 0.0
