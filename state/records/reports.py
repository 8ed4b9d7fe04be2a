"""The reports, by which each agent tells the others what it knows. An agent builds its report; others read attributes.

Every field has a default that means "not known". So an agent that has not reported yet has a report, too, and so has
one whose file holds damaged fields. The names of fields must not change: state files and recorded decisions hold them.
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
class AgentReport:
    """The base of all reports, and the empty report of an agent that has nothing to report."""

    @property
    def optional(self) -> tuple[str, ...]:
        """The fields that are left out of the state file while they have their default."""
        return ()


@dataclass(frozen=True)
class WatchdogReport(AgentReport):
    """The machine as it was sampled last. `gpus` is None when the GPUs are unknown, and empty when there is none."""

    boot_id: str = ""
    cores: int | None = None
    throttled_pct: float | None = None
    cpu_pressure_pct: float | None = None
    gpu_pct: float | None = None
    gpus: tuple[Gpu, ...] | None = None
    gpu_reason: str = ""
    gpu_plan: str = ""  # cpu_only or cpu_and_gpu; "" before the watchdog has looked
    gpu_fallbacks: tuple[str, ...] = ()  # jobs that only a GPU may do and that run on a CPU's lane
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
    records_looked_s: float | None = None  # monotonic: when expired records were last listed
    counted_s: float | None = None  # the wall time by which the age of records is judged: agents/rules/aging.py
    cpu_pct: float | None = None
    host_starved: bool = False
    grace: bool = False  # silence counts against no agent and no worker in this cycle
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class SentryReport(AgentReport):
    """Workers and lanes. `survivors`: workers that survive SIGKILL; `storm`: why the environment is to blame."""

    lanes: tuple[str, ...] = ()
    workers: dict[str, str] = field(default_factory=dict)  # worker → its job
    launched: tuple[str, ...] = ()
    waits: str = ""
    quarantined_lanes: dict[str, str] = field(default_factory=dict)  # lane → why it takes no work
    survivors: tuple[str, ...] = ()
    storm: str = ""
    slow_prescreens: dict[str, Slow] = field(default_factory=dict)  # by job


@dataclass(frozen=True)
class GuardReport(AgentReport):
    """When tmux last answered, which sessions it listed and whether each was alive, and which sessions are stale."""

    answered_at: str | None = None
    sessions: dict[str, bool] | None = None
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class SchedulerReport(AgentReport):
    """Where the run stands by its jobs. While there is no run, only `stage` is given."""

    run_id: str | None = None
    round: int | None = None
    rounds: int | None = None
    stage: str | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """The fields about a run."""
        return "run_id", "round", "rounds"


@dataclass(frozen=True)
class ControllerReport(AgentReport):
    """How many lanes there should be, and why. `fill_lanes`: how many may do work that nothing waits for."""

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
class ManagerReport(AgentReport):
    """The state of the run, as reconciled from all records. `next_steps` is None before the first report."""

    run_id: str | None = None
    stage: str | None = None
    units: dict[str, int] = field(default_factory=dict)  # phase in words → how many units are in it
    round: int | None = None
    next_steps: tuple[Step, ...] | None = None
    expected_outcomes: tuple[Outcome, ...] = ()
    incidents: tuple[OpenIncident, ...] = ()


@dataclass(frozen=True)
class ConsensusReport(AgentReport):
    """Three scores from 0 to 100, None while they are unknown; see agents/roles/orchestration_consensus.py."""

    run_id: str | None = None
    deviation: float | None = None
    performance: float | None = None
    efficiency: float | None = None
    signals: Signals = field(default_factory=Signals)
    arbitrated: tuple[Settled, ...] = ()


@dataclass(frozen=True)
class OrchestratorReport(AgentReport):
    """The next step, the evidence for it, and the targets of this agent's open requests."""

    run_id: str | None = None
    next_step: Advice | None = None
    because: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditorReport(AgentReport):
    """Two scores from 0 to 100, None while no check can be judged, and what each check found."""

    run_id: str | None = None
    adherence: float | None = None
    efficacy: float | None = None
    checks: tuple[Checked, ...] = ()
    failing: tuple[str, ...] = ()


@dataclass(frozen=True)
class BudgetReport(AgentReport):
    """What work has cost. `over_budget` is None before the first report, `left_hours` when hours are not limited."""

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
class CuratorReport(AgentReport):
    """How many entries the documents hold, and how many events were new."""

    failures: int | None = None
    findings: int | None = None
    new_events: int | None = None


@dataclass(frozen=True)
class QuantReport(AgentReport):
    """The results so far. While there is no run, only `units` is given, and it is empty."""

    run_id: str | None = None
    synthetic: bool | None = None
    units: tuple[UnitSummary, ...] | None = None
    best_so_far: BestSoFar | None = None
    candidates: int | None = None
    tries: int | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """The fields about a run, while there is none."""
        return () if self.run_id else ("synthetic", "best_so_far", "candidates", "tries")


@dataclass(frozen=True)
class HypothesesReport(AgentReport):
    """How many hypotheses of this run are in the ledger, and how many of them have no outcome yet."""

    run_id: str | None = None
    stated: int | None = None
    open: int | None = None

    @property
    def optional(self) -> tuple[str, ...]:
        """The fields that are known once the ledger was read."""
        return "stated", "open"


@dataclass(frozen=True)
class LogReport(AgentReport):
    """The line of the session log. Values that no agent has reported are null in it."""

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
        """Return the ids of the runs that the reports name."""
        every = (getattr(getattr(self, one.name), "run_id", None) for one in fields(self))
        return tuple(one for one in every if one)


KINDS: dict[str, type[AgentReport]] = {one.name: one.type for one in fields(Reports)}  # type: ignore[misc]
