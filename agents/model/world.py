"""Everything that one cycle can see, as one frozen record. Decisions are functions of it, so a recorded world can be
decided on again.
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
_START_S = 5.0  # seconds that Python may take to start and import on a loaded machine


def patience_s(cadence_s: float, limits: SwarmSettings) -> float:
    """How many seconds old an agent's last cycle may be: three cadences, and the time that one cycle may take."""
    return _STALE_CADENCES * cadence_s * limits.agents.cadence_scale + limits.agents.cycle_deadline_s


@dataclass(frozen=True)
class Lane:
    """A place for one worker at a time: a number of cores, and for a GPU lane the UUID of its GPU."""

    lane_id: str
    cores: int
    gpu: str = ""


def gpu_lane_id(gpu: Gpu) -> str:
    """The id of a GPU's lane: gpu0, or gpu0.1 for a MIG slice."""
    return f"gpu{gpu.index}" + ("" if gpu.slice is None else f".{gpu.slice}")


@dataclass(frozen=True)
class Worker:
    """A worker whose end is not accounted for yet. `life` is running, stopped, dead, or unknown."""

    launch: Launch
    life: str
    age_s: float
    silent_s: float  # seconds since its last progress, or since its launch if it has made none
    pid: int | None = None
    done: int = 0
    total: int = 0
    rate_per_s: float | None = None
    note: str = ""
    cpu_s: float | None = None  # CPU time it has used; read only while it makes no progress
    exit: Exit | None = None
    result: Result | None = None
    screening: Screening | None = None  # how fast its prescreen goes, once it computes


@dataclass(frozen=True)
class AgentView:
    """An agent as its state file and its loop show it. An age is None when there is no such record, or when the record
    is of another boot.
    """

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
    unmet: tuple[str, ...] = ()  # outcomes that it expected of its actions, and that its next cycle did not find
    expects: tuple[dict[str, str], ...] = ()  # its last actions and their expected outcomes: kind, target, expected
    # values in its state file and in its loop's record that have a wrong type: file and value
    damaged: tuple[str, ...] = ()
    awaited_s: float | None = None  # for how long its first cycle has been awaited, over all its starts

    def is_young(self, limits: SwarmSettings) -> bool:
        """Whether its session began so recently that a missing cycle means nothing, and its loop still lives."""
        # A first cycle includes the start of Python, so a very short cadence still gets some seconds.
        grace_s = max(2 * self.cadence_s * limits.agents.cadence_scale, _START_S)
        if self.session_age_s is None or self.session_age_s >= grace_s:
            return False
        return self.loop_life == "running" or self.loop_age_s is None or self.loop_age_s > self.session_age_s

    def is_stale(self, limits: SwarmSettings) -> bool:
        """Whether the agent cycled too long ago, or its loop is gone or stopped. A new session gets two cadences."""
        if self.is_young(limits):
            return False
        return self.loop_life != "running" or self.age_s is None or self.age_s > patience_s(self.cadence_s, limits)

    @property
    def is_unreadable(self) -> bool:
        """Whether its loop runs, but its state file tells nothing (it is damaged, empty, of another run, or missing).

        Such an agent is unknown, not dead: its next cycle writes the file anew, so one look never ends a loop.
        """
        return self.loop_life == "running" and self.age_s is None

    def is_wanting(self, limits: SwarmSettings) -> bool:
        """Whether the agent is stale, or its first cycle is overdue.

        The second condition is needed because a session that is started again and again is young each time.
        """
        never_came = self.awaited_s is not None and self.awaited_s > patience_s(self.cadence_s, limits)
        return never_came or self.is_stale(limits)

    def how(self) -> str:
        """The state of the agent, as words that follow its name in a sentence."""
        if self.loop_life == "dead":
            return "is dead"
        if self.loop_life == "stopped":
            return "is stopped (state T)"
        if self.awaited_s is not None:
            return f"was started {self.awaited_s:.0f} s ago and has not cycled yet"
        return "has not begun yet" if self.age_s is None else f"last cycled {self.age_s:.0f} s ago"


@dataclass(frozen=True)
class KeeperView:
    """The installed keeper, which brings the swarm back. `alive` is None when its state is unknown."""

    method: str
    alive: bool | None
    entry: str = ""


@dataclass(frozen=True)
class HookFault:
    """A hook of the user that cannot be run. `fix` says what to type."""

    path: str
    fault: str
    fix: str


@dataclass(frozen=True)
class RecordFault:
    """A record that is damaged, or that is gone although others refer to it. `by_itself`: no person is needed."""

    record: str  # its path, relative to STATE_ROOT
    state: Literal["damaged", "lost"]
    what: str
    remedy: str
    by_itself: bool = True


@dataclass(frozen=True)
class SessionView:
    """One session on the swarm's tmux server. `state_root` is the root that the session was started for."""

    name: str
    alive: bool
    state_root: str


@dataclass(frozen=True)
class Sample:
    """The machine as far as this container may use it. Counters are cumulative. None means unknown, never zero."""

    cores: int
    cpu_used_s: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    disk_free_bytes: int | None
    gpus: tuple[Gpu, ...] | None  # empty: there is no GPU; None: unknown
    gpu_reason: str = ""  # why `gpus` is None or empty
    periods: int | None = None  # of the CPU quota; the next field counts those that were cut short
    throttled_periods: int | None = None
    oom_kills: int | None = None
    pids_used: int | None = None
    pids_limit: int | None = None
    nproc_limit: int | None = None  # processes of this user
    nofile_limit: int | None = None  # open files of one process
    cpu_pressure_pct: float | None = None  # share of the last ten seconds in which some process waited for a core
    suspended_s: float | None = None  # how long the machine was suspended since its boot
    # Python, venv and lock file as marks that change when these change
    environment: dict[str, str] = field(default_factory=dict)
    state_problem: str = ""  # what is wrong with STATE_ROOT; "": nothing
    settings_problem: str = ""  # what is wrong with settings.json, or was wrong until it was set aside


@dataclass(frozen=True)
class Control(WatchdogReport):
    """The watchdog's last report, and the names of the monitor sessions."""

    monitors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expired:
    """A record that is no longer needed. `path` is relative to the root that `kind` belongs to."""

    kind: str  # run, round, log, state: see agents/machine/records.py
    path: str
    why: str
    changed_s: float | None = None  # wall time of its last change; only for records that expire by age


@dataclass(frozen=True)
class Records:
    """Records that are too long (listed each cycle) or have expired (every few minutes; None: not listed this time)."""

    long_logs: tuple[str, ...] = ()  # relative to LOGS_ROOT
    long_journals: tuple[int, ...] = ()  # rounds of this run whose job journal is too long
    expired: tuple[Expired, ...] | None = None
    oldest_s: float | None = None  # wall time: the earliest last change among the records that will expire by age


@dataclass(frozen=True)
class World:
    """Everything that one cycle sees. Fields that end in `_s` are monotonic seconds of this boot."""

    now: str
    now_s: float
    boot_id: str
    stopped: bool
    lanes: tuple[Lane, ...]
    gpu_lanes: tuple[Lane, ...] = ()  # one for each GPU that prescreens may use
    order: SwarmOrder | None = None
    run_finished: bool = False
    round: int = -1  # the round under way; -1 before the first
    round_began: str = ""
    dropped: dict[str, str] = field(default_factory=dict)  # "SYMBOL MODE" that failed in an earlier round → why
    # "SYMBOL MODE" → the `state.records.holdout.Holdout` that earlier rounds left
    holdouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: tuple[JobState, ...] = ()  # the jobs of the pipeline
    fills: tuple[JobState, ...] = ()  # the jobs that only fill idle lanes
    workers: tuple[Worker, ...] = ()
    requests: tuple[Request, ...] = ()
    agents: tuple[AgentView, ...] = ()
    sessions: tuple[SessionView, ...] | None = None  # None: this agent does not look, or tmux gave no answer
    sample: Sample | None = None
    disk_free_bytes: int | None = None
    disk_free_files: int | None = None  # inodes left; None: unknown, or the file system has no limit of its own
    lane_cap: int = 1  # the most lanes that the cores and the memory of this container allow
    control: Control = field(default_factory=Control)
    reports: Reports = field(default_factory=Reports)
    bad_lines: int = 0  # damaged lines of the job journal; their contents are lost
    last_deaths: tuple[dict[str, Any], ...] = ()
    code: str = ""  # hash of the work plane's sources as they are now; "" while they cannot be read
    round_code: str = ""  # that hash when this round, or its last restart, began; "" when it is not on record
    records: Records | None = None  # None: this agent does not look
    knowledge: Knowledge | None = None  # only for agents that ask for it; so are the next three
    audit: Audit | None = None
    outcomes: tuple[UnitOutcome, ...] | None = None  # of the run's last rounds, oldest first
    hypotheses: tuple[str, ...] | None = None  # the last lines of the ledger, each as "<id> <event>"
    keeper: KeeperView | None = None  # None: none is installed
    incident_hooks: tuple[str, ...] = ()  # the user's hooks that are told of incidents
    hook_faults: tuple[HookFault, ...] = ()
    faults: tuple[RecordFault, ...] = ()  # records that are damaged or lost; empty for an agent that does not look
    # kind of action → time of the last line in the log that it writes
    told: dict[str, str] = field(default_factory=dict)
    healings: tuple[dict[str, Any], ...] = ()  # the last records of healing.jsonl (state/records/healing.py)

    @property
    def outdated(self) -> bool:
        """Whether the work plane's code has changed since this round, or its last restart, began."""
        return bool(self.code and self.round_code and self.code != self.round_code)

    @property
    def run_id(self) -> str:
        """The id of the run under way; "" when there is none."""
        return "" if self.order is None else self.order.run_id

    @property
    def dead_units(self) -> set[tuple[str, str]]:
        """The units (symbol and mode) of which a job ended and was not completed. Jobs that only help do not count."""
        bad = (state for state in self.jobs if state.is_over and state.status != "completed" and not state.job.hand)
        return {state.job.unit for state in bad}

    def workers_of(self, job_id: str) -> list[Worker]:
        """The workers that were launched for this job and are not accounted for yet."""
        return [one for one in self.workers if one.launch.job.job_id == job_id]
