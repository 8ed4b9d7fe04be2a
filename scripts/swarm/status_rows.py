"""What `status --json` holds, for code that reads it; its schema: docs/reference/schemas/status.schema.json."""

from typing import Any, TypedDict

from agents.roles.session_state_manager import IncidentRow
from agents.rules.idle import DeviceRow
from agents.rules.remaining import BandRow


class UnitRow(TypedDict):
    """A symbol and mode; `since` is None where nobody wrote it down, `holdout` before a finalist was looked at."""

    symbol: str
    mode: str
    phase: str
    since: str | None
    percent: float
    workers: int
    rate_per_s: float | None
    note: str
    holdout: dict[str, Any] | None


class AgentRow(TypedDict):
    """An agent; `last_cycle_at` and `age_s` are None before its first cycle."""

    name: str
    session: str
    last_cycle_at: str | None
    age_s: float | None
    fresh: bool
    reason: str


class WorkerRow(TypedDict):
    """A worker, how far it is, and how long its silence is put up with."""

    id: str
    pid: int | None
    job: str
    symbol: str
    mode: str
    lane: str
    state: str
    phase: str
    done: int
    total: int
    rate_per_s: float | None
    note: str
    last_progress_age_s: float
    patience_s: float


class HealedRow(TypedDict):
    """Workers that died and were replaced: how many, and the last of them in words."""

    deaths: int
    last: str | None


class TargetsRow(TypedDict):
    """How busy the machine should be."""

    cpu_pct: float
    gpu_pct: float


class UseRow(TypedDict):
    """How busy the machine is; None where it is not measured now."""

    cpu_pct: float | None
    gpu_pct: float | None
    targets: TargetsRow


class DiskRow(TypedDict):
    """What is free, and when it is gone if it goes on as it did; None where nobody knows."""

    free_bytes: int | None
    wanted_bytes: int
    bytes_per_day: float | None
    full_in_days: float | None


class ExpectationsRow(TypedDict):
    """How much is expected to be so, what of it is not, and how much of the work repeats what deaths had cost."""

    of: int
    broken: list[str]
    repeated_pct: float | None


class TimesRow(TypedDict):
    """How long the run has gone on, and about how long it still takes; None when no run is under way."""

    began_at: str | None
    elapsed_s: float | None
    eta_s: BandRow | None


class StatusRow(TimesRow):
    """The whole answer."""

    at: str
    run_id: str | None
    stage: str
    stage_since: str | None
    why: str
    round: int | None
    rounds: int | None
    units: list[UnitRow]
    agents: list[AgentRow]
    workers: list[WorkerRow]
    healed: HealedRow
    jobs: dict[str, int]
    operations: list[dict[str, Any]]
    utilisation: UseRow
    devices: list[DeviceRow]
    disk: DiskRow
    scores: dict[str, float]
    expectations: ExpectationsRow | None
    incidents: list[IncidentRow]
    next_steps: list[dict[str, Any]]
    next: str
    lanes: int
    attach: str
    results_root: str
