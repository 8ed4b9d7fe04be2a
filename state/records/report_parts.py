"""The parts of agents' reports, and how reports are written. The reports themselves are in state/records/reports.py.

A part that makes sense only as a whole has required fields. When one of them is missing, neither the part nor the list
that it stands in fits. `optional` names the fields that are left out of the file while they have their default.
"""

from typing import Any

from config.record import dataclass, field, fields, is_dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver describes it. A MIG slice counts as a GPU, and `slice` is its number on its card."""

    index: int = 0
    uuid: str | None = None
    name: str = ""
    utilisation_pct: float | None = None
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    uncorrected_errors: float | None = None
    mig: bool = False
    pids: tuple[int, ...] = ()
    slice: int | None = None
    foreign_pids: tuple[int, ...] = ()  # those of `pids` that do not belong to the swarm

    optional = ("slice",)


@dataclass(frozen=True)
class Targets:
    """The use of the hardware that the operator wants."""

    cpu_pct: float | None = None
    gpu_pct: float | None = None


@dataclass(frozen=True)
class Finding:
    """A fault of the machine, which session_state_manager makes an incident of."""

    id: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Slow:
    """A prescreen job that takes too long with this worker.

    `cause` is one word; `what` and `remedy` are sentences for people. `replace`: the remedy is a new worker. `ended`:
    the job is complete, and was slow to its end.
    """

    worker_id: str
    cause: str
    what: str
    remedy: str
    kind: str
    replace: bool = False
    ended: bool = False


@dataclass(frozen=True)
class OpenIncident:
    """An open incident. `actionable`: the swarm can remedy it by itself."""

    id: str
    what: str
    remedy: str
    actionable: bool = False
    since: str = ""


@dataclass(frozen=True)
class Step:
    """A next step; `actionable`: the swarm takes it by itself."""

    id: str
    what: str
    why: str
    actionable: bool = False


@dataclass(frozen=True)
class Outcome:
    """What is expected of a worker or of an action, and what was observed."""

    target: str
    expected: str
    observed: str
    holds: bool | None = None


@dataclass(frozen=True)
class Signals:
    """The signals behind the scores of orchestration_consensus. `broken` holds the expectations that do not hold."""

    cpu_pct: float | None = None
    gpu_pct: float | None = None
    queue: int | None = None
    workers: int | None = None
    useful_pct: float | None = None
    combos_per_s: float | None = None
    trials_per_s: float | None = None
    jobs_per_hour: float | None = None
    expectations: int | None = None
    broken: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def optional(self) -> tuple[str, ...]:
        """All fields, before anything was scored; then none."""
        return tuple(one.name for one in fields(self)) if self.expectations is None else ()


@dataclass(frozen=True)
class Settled:
    """A settled contradiction: two signals, which of them is believed, and why."""

    rule: str
    signals: tuple[str, ...]
    believed: str
    why: str
    seen: str


@dataclass(frozen=True)
class Advice:
    """The next step that main_orchestrator advises."""

    id: str
    what: str
    why: str


@dataclass(frozen=True)
class Checked:
    """What one check of an audit found. `holds` is None when it cannot be judged now."""

    name: str
    of: str
    holds: bool | None
    evidence: str
    way_out: str = ""

    optional = ("way_out",)


@dataclass(frozen=True)
class Forecast:
    """Dollars by midnight UTC if work goes on, and after how many hours of work a budget is spent (None: not today)."""

    dollars_at_midnight: float | None = None
    spent_in_hours: float | None = None


@dataclass(frozen=True)
class BestResult:
    """The result of one of a round's best strategies, in short."""

    in_sample_sharpe: float | None = None
    out_of_sample_sharpe: float | None = None
    in_sample_trades: int | None = None
    out_of_sample_trades: int | None = None
    verdict: str | None = None
    candidate: bool | None = None


@dataclass(frozen=True)
class UnitSummary:
    """What is known about a unit (symbol and mode) after its last round."""

    symbol: str
    mode: str
    round: int
    verdict: str | None = None
    tries: int | None = None
    bests: dict[str, BestResult] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    best_in_sample_sharpe: float | None = None
    since_round: int | None = None


@dataclass(frozen=True)
class BestSoFar:
    """The strategy with the best in-sample Sharpe ratio of all units and rounds of a run."""

    unit: str
    best: str
    round: int
    in_sample_sharpe: float
    out_of_sample_sharpe: float | None = None


@dataclass(frozen=True)
class WorkerLine:
    """A worker in a line of the session log."""

    job: str
    life: str
    done: int
    total: int
    rate_per_s: float | None
    silent_s: float


# on record ------------------------------------------------------------------------------------------------------------


def on_record(part: Any) -> dict[str, Any]:
    """Return a report, or a part of one, as a state file holds it."""
    optional = getattr(part, "optional", ())
    said = ((one, getattr(part, one.name)) for one in fields(part))
    return {one.name: _plain(value) for one, value in said if one.name not in optional or value != one.default}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return on_record(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
