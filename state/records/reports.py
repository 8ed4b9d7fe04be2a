"""What each agent says to all others: its report, a record that it builds and everybody else reads by attribute.

Every field has a default that means "not known". So a report stands as well for an agent that has not reported yet, and
for one whose field is damaged on file. The names of fields stay: state files and recorded decisions hold them.
"""

from config.record import dataclass, field, fields
from state.records.report_parts import (
    Advice,
    BestSoFar,
    Checked,
    Finding,
    Forecast,
    Gpu,
    OpenIncident,
    Outcome,
    Settled,
    Signals,
    Slow,
    Step,
    Targets,
    UnitSummary,
    WorkerLine,
)


@dataclass(frozen=True)
class Report:
    """What an agent says to all others. One that has nothing to say gives this one, which is empty."""

    @property
    def optional(self) -> tuple[str, ...]:
        """Fields that are left out of the state file while they have their default; the others are always there."""
        return ()


@dataclass(frozen=True)
class WatchdogReport(Report):
    """The machine as it was seen last. `gpus` None: nobody knows; empty: there is none."""

    boot_id: str = ""
    cores: int | None = None
    throttled_pct: float | None = None
    cpu_pressure_pct: float | None = None
    gpu_pct: float | None = None
    gpus: tuple[Gpu, ...] | None = None
    gpu_reason: str = ""
    gpu_plan: str = ""  # cpu_only or cpu_and_gpu; "" before the watchdog has looked
    gpu_fallbacks: tuple[str, ...] = ()  # jobs that only a GPU may do, seen on a CPU's lane
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    oom_kills: int | None = None
    pids_used: int | None = None
    pids_limit: int | None = None
    nproc_limit: int | None = None
    nofile_limit: int | None = None
    disk_free_bytes: int | None = None
    disk_free_files: int | None = None
    disk_bytes_per_day: float | None = None
    disk_full_in_days: float | None = None
    workers: int | None = None
    queue: int | None = None
    sessions: tuple[str, ...] | None = None
    targets: Targets | None = None
    records_looked_s: float | None = None  # when expired records were last looked for, monotonic
    counted_s: float | None = None  # the wall time that records age by: agents/rules/aging.py
    cpu_pct: float | None = None
    host_starved: bool = False
    grace: bool = False  # nobody is judged by silence in this cycle
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class SentryReport(Report):
    """Workers and lanes. `survivors`: workers that outlive KILL; `storm`: why deaths are the environment's fault."""

    lanes: tuple[str, ...] = ()
    workers: dict[str, str] = field(default_factory=dict)  # worker → its job
    launched: tuple[str, ...] = ()
    waits: str = ""
    quarantined_lanes: dict[str, str] = field(default_factory=dict)  # lane → why it takes no work
    survivors: tuple[str, ...] = ()
    storm: str = ""
    slow_prescreens: dict[str, Slow] = field(default_factory=dict)  # by job


@dataclass(frozen=True)
class GuardReport(Report):
    """When tmux last answered, the sessions it named then and whether each was alive, and those found stale."""

    answered_at: str | None = None
    sessions: dict[str, bool] | None = None
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class SchedulerReport(Report):
    """Where the run stands by its jobs; only `stage` while there is no run."""

    run_id: str | None = None
    round: int | None = None
    rounds: int | None = None
    stage: str | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """What is said of a run."""
        return "run_id", "round", "rounds"


@dataclass(frozen=True)
class ControllerReport(Report):
    """How many lanes there are to be, and why. `fill_lanes`: those that may do work that nothing waits for."""

    lanes: int | None = None
    cap: int | None = None
    queue: int | None = None
    fill_lanes: int = 0
    gpu_lanes: int | None = None
    gpu_reason: str = ""
    reason: str = ""
    cpu_pct: float | None = None
    credit_pct: float | None = None
    targets: Targets | None = None


@dataclass(frozen=True)
class ManagerReport(Report):
    """The one true story. `next_steps` None: the manager has not reported yet."""

    run_id: str | None = None
    stage: str | None = None
    units: dict[str, int] = field(default_factory=dict)  # what symbols and modes do → how many do it
    round: int | None = None
    next_steps: tuple[Step, ...] | None = None
    expected_outcomes: tuple[Outcome, ...] = ()
    incidents: tuple[OpenIncident, ...] = ()


@dataclass(frozen=True)
class ConsensusReport(Report):
    """Three scores from 0 to 100, None while nothing can be said; see agents/roles/orchestration_consensus.py."""

    run_id: str | None = None
    deviation: float | None = None
    performance: float | None = None
    efficiency: float | None = None
    signals: Signals = field(default_factory=Signals)
    arbitrated: tuple[Settled, ...] = ()


@dataclass(frozen=True)
class OrchestratorReport(Report):
    """The next step, what speaks for it, and the targets of wishes that are open."""

    run_id: str | None = None
    next_step: Advice | None = None
    because: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditorReport(Report):
    """Two scores from 0 to 100, None while no check can be judged, and what each check found."""

    run_id: str | None = None
    adherence: float | None = None
    efficacy: float | None = None
    checks: tuple[Checked, ...] = ()
    failing: tuple[str, ...] = ()


@dataclass(frozen=True)
class BudgetReport(Report):
    """What work has cost. `over_budget` None: not reported yet; `left_hours` None: hours are not limited."""

    run_id: str | None = None
    day: str = ""
    working: bool | None = None
    spent_hours: float = 0.0
    left_hours: float | None = None
    spent_dollars: float | None = None
    left_dollars: float | None = None
    forecast: Forecast | None = None
    over_budget: bool | None = None
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class CuratorReport(Report):
    """How much the documents held, and how many events were new."""

    failures: int | None = None
    findings: int | None = None
    new_events: int | None = None


@dataclass(frozen=True)
class QuantReport(Report):
    """What was found so far; nothing but that no symbol and mode has a result while there is no run."""

    run_id: str | None = None
    synthetic: bool | None = None
    units: tuple[UnitSummary, ...] | None = None
    best_so_far: BestSoFar | None = None
    candidates: int | None = None
    tries: int | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """What is said of a run, while there is none."""
        return () if self.run_id else ("synthetic", "best_so_far", "candidates", "tries")


@dataclass(frozen=True)
class HypothesesReport(Report):
    """How many hypotheses of this run are in the ledger, and of how many of them the outcome is open."""

    run_id: str | None = None
    stated: int | None = None
    open: int | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """What is known once the ledger was read."""
        return "stated", "open"


@dataclass(frozen=True)
class LogReport(Report):
    """The line of the session log; what nobody has said is null in it."""

    schema: int | None = None
    at: str = ""
    at_s: float | None = None
    boot_id: str = ""
    run_id: str | None = None
    round: int | None = None
    stage: str | None = None
    stopped: bool = False
    finished: bool = False
    jobs: dict[str, int] = field(default_factory=dict)
    workers: tuple[WorkerLine, ...] = ()
    stale_agents: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    next_step: str | None = None
    deaths: int = 0
    cpu_pct: float | None = None
    gpu_pct: float | None = None
    disk_free_bytes: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Reports:
    """The last report of every agent, under its name."""

    watchdog: WatchdogReport = field(default_factory=WatchdogReport)
    worker_sentry: SentryReport = field(default_factory=SentryReport)
    operation_hang_guard: GuardReport = field(default_factory=GuardReport)
    auto_scheduler: SchedulerReport = field(default_factory=SchedulerReport)
    util_controller: ControllerReport = field(default_factory=ControllerReport)
    session_state_manager: ManagerReport = field(default_factory=ManagerReport)
    orchestration_consensus: ConsensusReport = field(default_factory=ConsensusReport)
    main_orchestrator: OrchestratorReport = field(default_factory=OrchestratorReport)
    session_log: LogReport = field(default_factory=LogReport)
    process_auditor: AuditorReport = field(default_factory=AuditorReport)
    curator: CuratorReport = field(default_factory=CuratorReport)
    budget_guard: BudgetReport = field(default_factory=BudgetReport)
    quant_analyst: QuantReport = field(default_factory=QuantReport)
    hypothesis_runner: HypothesesReport = field(default_factory=HypothesesReport)

    def run_ids(self) -> tuple[str, ...]:
        """The runs that the reports speak of."""
        every = (getattr(getattr(self, one.name), "run_id", None) for one in fields(self))
        return tuple(one for one in every if one)


KINDS: dict[str, type[Report]] = {one.name: one.type for one in fields(Reports)}  # type: ignore[misc]
