"""Everything one cycle can see, as one frozen record: decisions are functions of it, and a recorded one can be decided
on again.
"""

from typing import Any, Literal

from agents.model.knowledge import Audit, Knowledge, UnitOutcome
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.jobs import JobState
from state.records.orders import SwarmOrder
from state.records.report_parts import Gpu
from state.records.reports import Reports, WatchdogReport
from state.records.request import Request
from state.records.screening import Screening
from state.records.workers import Exit, Launch, Result

_STALE_CADENCES = 3
_START_S = 5.0  # seconds a Python with its imports may take to come up on a loaded machine


def patience_s(cadence_s: float, limits: SwarmSettings) -> float:
    """How old a last cycle may be: three cadences and the time one cycle may take."""
    return _STALE_CADENCES * cadence_s * limits.agents.cadence_scale + limits.agents.cycle_deadline_s


@dataclass(frozen=True)
class Lane:
    """So many cores, for one worker at a time; `gpu`: UUID of the device that is its own."""

    lane_id: str
    cores: int
    gpu: str = ""


def gpu_lane_id(gpu: Gpu) -> str:
    """The name of a device's lane: gpu0, or gpu0.1 for a MIG slice."""
    return f"gpu{gpu.index}" + ("" if gpu.slice is None else f".{gpu.slice}")


@dataclass(frozen=True)
class Worker:
    """One launch that is not accounted for yet. `life`: running, stopped, dead, or unknown."""

    launch: Launch
    life: str
    age_s: float
    silent_s: float  # since its last progress; since its launch before the first
    pid: int | None = None
    done: int = 0
    total: int = 0
    rate_per_s: float | None = None
    note: str = ""
    cpu_s: float | None = None  # CPU it has had so far; looked at only when it is silent
    exit: Exit | None = None
    result: Result | None = None
    screening: Screening | None = None  # how its prescreen goes, once it computes


@dataclass(frozen=True)
class AgentView:
    """An agent as its state file and its loop show it; ages None when there is none (or it is of another boot)."""

    agent: str
    session: str
    cadence_s: float
    age_s: float | None
    session_age_s: float | None
    loop_age_s: float | None
    loop_life: str
    cycle: int
    failed: str = ""  # the first of its last actions that failed, and why
    code_problem: str = ""  # why its loop goes on with older code than the checkout holds
    unmet: tuple[str, ...] = ()  # what it did and expected, and what its next cycle did not find
    expects: tuple[dict[str, str], ...] = ()  # what it did last and expects now: kind, target, expected
    damaged: tuple[str, ...] = ()  # what does not fit in its state file and its loop's record: file and what
    awaited_s: float | None = None  # for how long a first cycle is waited for, however often it was started

    def is_young(self, limits: SwarmSettings) -> bool:
        """Whether its session began so recently that a missing cycle means nothing, and its loop has not died since."""
        grace_s = max(2 * self.cadence_s * limits.agents.cadence_scale, _START_S)
        if self.session_age_s is None or self.session_age_s >= grace_s:
            return False
        return self.loop_life == "running" or self.loop_age_s is None or self.loop_age_s > self.session_age_s

    def is_stale(self, limits: SwarmSettings) -> bool:
        """No cycle for too long, or its loop is gone or stopped; a session that just began is given two cadences."""
        if self.is_young(limits):
            return False
        return self.loop_life != "running" or self.age_s is None or self.age_s > patience_s(self.cadence_s, limits)

    @property
    def is_unreadable(self) -> bool:
        """Whether its loop runs and its state file says nothing (damaged, emptied, of another run, not there yet).

        That is unknown, not dead: the next cycle writes the file anew, so one look at it ends nobody.
        """
        return self.loop_life == "running" and self.age_s is None

    def is_wanting(self, limits: SwarmSettings) -> bool:
        """Stale, or waited for beyond its patience: a session that is started over and over is young each time."""
        never_came = self.awaited_s is not None and self.awaited_s > patience_s(self.cadence_s, limits)
        return never_came or self.is_stale(limits)

    def how(self) -> str:
        """How it is, in words that follow its name."""
        if self.loop_life == "dead":
            return "is dead"
        if self.loop_life == "stopped":
            return "is stopped (state T)"
        if self.awaited_s is not None:
            return f"was started {self.awaited_s:.0f} s ago and has not cycled yet"
        return "has not begun yet" if self.age_s is None else f"last cycled {self.age_s:.0f} s ago"


@dataclass(frozen=True)
class KeeperView:
    """What brings the swarm back by itself; `alive` None: nobody could tell."""

    method: str
    alive: bool | None
    entry: str = ""


@dataclass(frozen=True)
class HookFault:
    """A hook of the user's that cannot be asked; `fix` says what to type."""

    path: str
    fault: str
    fix: str


@dataclass(frozen=True)
class RecordFault:
    """A record that is damaged, or that others name and that is gone; `by_itself`: whether the swarm rebuilds it."""

    record: str  # below STATE_ROOT
    state: Literal["damaged", "lost"]
    what: str
    remedy: str
    by_itself: bool = True


@dataclass(frozen=True)
class SessionView:
    """One tmux session of ours."""

    name: str
    alive: bool
    state_root: str


@dataclass(frozen=True)
class Sample:
    """The machine, as this container is allowed to use it. Counters are cumulative; None is unknown, never zero."""

    cores: int
    cpu_used_s: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    disk_free_bytes: int | None
    gpus: tuple[Gpu, ...] | None  # none: there is no device; None: nobody knows
    gpu_reason: str = ""  # why there is no answer, or none of them
    periods: int | None = None  # of the CPU quota, and how many of them were cut short
    throttled_periods: int | None = None
    oom_kills: int | None = None
    pids_used: int | None = None
    pids_limit: int | None = None
    nproc_limit: int | None = None  # processes of this user
    nofile_limit: int | None = None  # open files of one process
    cpu_pressure_pct: float | None = None  # share of the last ten seconds in which somebody waited for a core
    suspended_s: float | None = None  # how long the machine has slept since it booted
    environment: dict[str, str] = field(default_factory=dict)  # Python, venv and lock as marks that change with them
    state_problem: str = ""  # what is wrong with STATE_ROOT
    settings_problem: str = ""  # what is wrong, or was until somebody set it aside, with its settings.json


@dataclass(frozen=True)
class Control(WatchdogReport):
    """The watchdog's last report, and the sessions that only show something."""

    monitors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expired:
    """Records that nobody needs any more. `path` is relative to the root that `kind` belongs to."""

    kind: str  # run, round, log, state: see agents/machine/records.py
    path: str
    why: str
    changed_s: float | None = None  # wall time of its last change, of what goes for its age


@dataclass(frozen=True)
class Records:
    """What grew too long, each cycle; what expired, every few minutes (None: nobody looked this time)."""

    long_logs: tuple[str, ...] = ()  # relative to LOGS_ROOT
    long_journals: tuple[int, ...] = ()  # rounds of this run
    expired: tuple[Expired, ...] | None = None
    oldest_s: float | None = None  # the earliest last change of all that goes for its age one day, wall time


@dataclass(frozen=True)
class World:
    """What one cycle sees. Times with `_s` are monotonic seconds of this boot."""

    now: str
    now_s: float
    boot_id: str
    stopped: bool
    lanes: tuple[Lane, ...]
    gpu_lanes: tuple[Lane, ...] = ()  # one a device that prescreens may use
    order: SwarmOrder | None = None
    run_finished: bool = False
    round: int = -1  # the one under way; -1 before the first
    round_began: str = ""
    dropped: dict[str, str] = field(default_factory=dict)  # "SYMBOL MODE" that failed in an earlier round → why
    # "SYMBOL MODE" → the `state.records.holdout.Holdout` that the rounds before left
    holdouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: tuple[JobState, ...] = ()  # the pipeline's
    fills: tuple[JobState, ...] = ()  # what only fills lanes
    workers: tuple[Worker, ...] = ()
    requests: tuple[Request, ...] = ()
    agents: tuple[AgentView, ...] = ()
    sessions: tuple[SessionView, ...] | None = None  # None: nobody looked, or tmux did not answer
    sample: Sample | None = None
    disk_free_bytes: int | None = None
    disk_free_files: int | None = None  # how many more can be made; None: nobody knows, or as many as there are bytes
    lane_cap: int = 1  # the most lanes that cores and memory of this container allow
    control: Control = field(default_factory=Control)
    reports: Reports = field(default_factory=Reports)
    bad_lines: int = 0  # of the job journal: what they said is lost
    last_deaths: tuple[dict[str, Any], ...] = ()
    code: str = ""  # hash of the work plane's sources now; "" while it cannot be read
    round_code: str = ""  # the same when this round, or its last restart, began; "" when nobody wrote it down
    records: Records | None = None  # None: nobody looked
    knowledge: Knowledge | None = None  # only for who asks, as the next three
    audit: Audit | None = None
    outcomes: tuple[UnitOutcome, ...] | None = None  # what units came to in the run's last rounds, oldest first
    hypotheses: tuple[str, ...] | None = None  # what the ledger's last lines hold: "<id> <event>"
    keeper: KeeperView | None = None  # None: none is installed
    incident_hooks: tuple[str, ...] = ()  # of the user's, to be told of incidents
    hook_faults: tuple[HookFault, ...] = ()
    faults: tuple[RecordFault, ...] = ()  # records that are damaged or lost; none where nobody looked
    told: dict[str, str] = field(default_factory=dict)  # kind of write → moment of the last line it has on file
    healings: tuple[dict[str, Any], ...] = ()  # the last records of the journal of healing (state/records/healing.py)

    @property
    def outdated(self) -> bool:
        """Whether the work plane's code is another than the one this round's results are made with."""
        return bool(self.code and self.round_code and self.code != self.round_code)

    @property
    def run_id(self) -> str:
        """The run under way, or nothing."""
        return "" if self.order is None else self.order.run_id

    @property
    def dead_units(self) -> set[tuple[str, str]]:
        """Symbols and modes of which a job ended otherwise than well."""
        bad = (state for state in self.jobs if state.is_over and state.status != "completed" and not state.job.hand)
        return {state.job.unit for state in bad}

    def workers_of(self, job_id: str) -> list[Worker]:
        """The workers launched for a job."""
        return [one for one in self.workers if one.launch.job.job_id == job_id]
