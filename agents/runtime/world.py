"""Everything one cycle can see, as one frozen record: decisions are functions of it, and a recorded one can be decided
on again.
"""

from dataclasses import dataclass, field
from typing import Any

from config.settings import SwarmSettings
from state.jobs import JobState
from state.orders import SwarmOrder
from state.request import Request
from state.workers import Exit, Launch, Result

_STALE_CADENCES = 3
_START_S = 5.0  # seconds a Python with its imports may take to come up on a loaded machine


def patience_s(cadence_s: float, limits: SwarmSettings) -> float:
    """How old a last cycle may be: three cadences and the time one cycle may take."""
    return _STALE_CADENCES * cadence_s * limits.cadence_scale + limits.cycle_deadline_s


@dataclass(frozen=True)
class Lane:
    """So many cores, for one worker at a time."""

    lane_id: str
    cores: int


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
    exit: Exit | None = None
    result: Result | None = None


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

    def is_young(self, limits: SwarmSettings) -> bool:
        """Whether its session began so recently that a missing cycle means nothing, and its loop has not died since."""
        grace_s = max(2 * self.cadence_s * limits.cadence_scale, _START_S)
        if self.session_age_s is None or self.session_age_s >= grace_s:
            return False
        return self.loop_life == "running" or self.loop_age_s is None or self.loop_age_s > self.session_age_s

    def is_stale(self, limits: SwarmSettings) -> bool:
        """No cycle for too long, or its loop is gone or stopped; a session that just began is given two cadences."""
        if self.is_young(limits):
            return False
        return self.loop_life != "running" or self.age_s is None or self.age_s > patience_s(self.cadence_s, limits)


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
    gpus: tuple[dict[str, Any], ...] | None


@dataclass(frozen=True)
class World:
    """What one cycle sees. Times with `_s` are monotonic seconds of this boot."""

    now: str
    now_s: float
    boot_id: str
    stopped: bool
    lanes: tuple[Lane, ...]
    order: SwarmOrder | None = None
    run_finished: bool = False
    round: int = -1  # the one under way; -1 before the first
    round_began: str = ""
    dropped: dict[str, str] = field(default_factory=dict)  # "SYMBOL MODE" that failed in an earlier round → why
    jobs: tuple[JobState, ...] = ()
    workers: tuple[Worker, ...] = ()
    requests: tuple[Request, ...] = ()
    agents: tuple[AgentView, ...] = ()
    sessions: tuple[SessionView, ...] | None = None  # None: nobody looked, or tmux did not answer
    sample: Sample | None = None
    disk_free_bytes: int | None = None
    control: dict[str, Any] = field(default_factory=dict)  # the watchdog's last report
    bad_lines: int = 0  # of the job journal: what they said is lost
    last_deaths: tuple[dict[str, Any], ...] = ()

    @property
    def run_id(self) -> str:
        """The run under way, or nothing."""
        return "" if self.order is None else self.order.run_id

    @property
    def dead_units(self) -> set[tuple[str, str]]:
        """Symbols and modes of which a job ended otherwise than well."""
        return {state.job.unit for state in self.jobs if state.is_over and state.status != "completed"}

    def workers_of(self, job_id: str) -> list[Worker]:
        """The workers launched for a job."""
        return [one for one in self.workers if one.launch.job.job_id == job_id]
