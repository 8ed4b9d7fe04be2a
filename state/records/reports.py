"""What an agent's state file holds, as types: the one place where it is read, by its agent and by everybody else.

A field that does not have its type is left out and named. The others go on without it, as they do when it was never
written; its agent keeps the damaged file beside a new one in its next cycle.
"""

import os
from typing import Any

from config.record import dataclass, field
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import fitting, record_of
from state.host.identity import Identity


@dataclass(frozen=True)
class Deed:
    """One action that was carried out, with its outcome; `holds` once the next cycle has looked."""

    kind: str
    target: str
    expected: str
    outcome: str
    at: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Counts:
    """One row of an agent's tally."""

    done: int
    failed: int
    held: int
    unmet: int
    unknown: int
    expected: str
    holds: bool | None = None


@dataclass(frozen=True)
class _State:
    """The fields of every agent's state file; `report` and `memory` have types of their own."""

    schema: int
    agent: str
    writer: Identity
    boot_id: str
    epoch: int
    loop: Identity | None
    cycle: int
    at: str
    at_s: float
    reason: str
    actions_last_cycle: tuple[Deed, ...]
    verified_last_cycle: tuple[Deed, ...]
    actions_before: tuple[Deed, ...]
    tally: dict[str, Counts]
    report: dict[str, Any]
    memory: dict[str, Any]


@dataclass(frozen=True)
class Gpu:
    """What others read of a device."""

    index: int = 0
    uuid: str | None = None
    slice: int | None = None
    name: str = ""
    utilisation_pct: float | None = None
    uncorrected_errors: float | None = None
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    pids: tuple[int, ...] = ()
    foreign_pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """An incident or a finding, as reports list them."""

    id: str
    what: str
    remedy: str
    actionable: bool = False
    since: str = ""


@dataclass(frozen=True)
class Step:
    """A next step."""

    id: str
    what: str
    why: str
    actionable: bool = False


@dataclass(frozen=True)
class Advice:
    """The orchestrator's next step."""

    id: str
    what: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """What is expected of a worker or of a deed."""

    target: str
    expected: str
    observed: str
    holds: bool | None = None


@dataclass(frozen=True)
class Settled:
    """A contradiction that was settled."""

    rule: str
    signals: tuple[str, ...]
    believed: str
    why: str
    seen: str


@dataclass(frozen=True)
class Check:
    """One check of an audit."""

    name: str
    of: str
    holds: bool | None
    evidence: str
    way_out: str = ""


@dataclass(frozen=True)
class Slow:
    """A slow prescreen, with its cause."""

    what: str
    cause: str
    remedy: str
    replace: bool


@dataclass(frozen=True)
class Signals:
    """What the scores come from, as far as somebody reads it."""

    expectations: int = 0
    broken: tuple[str, ...] = ()
    useful_pct: float | None = None


@dataclass(frozen=True)
class _Watchdog:
    boot_id: str
    cores: int | None
    cpu_pct: float | None
    gpu_pct: float | None
    cpu_pressure_pct: float | None
    throttled_pct: float | None
    gpus: tuple[Gpu, ...] | None
    gpu_reason: str
    gpu_plan: str
    gpu_fallbacks: tuple[str, ...]
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    oom_kills: int | None
    pids_used: int | None
    pids_limit: int | None
    nproc_limit: int | None
    nofile_limit: int | None
    disk_free_bytes: int | None
    disk_bytes_per_day: float | None
    disk_full_in_days: float | None
    workers: int
    queue: int
    sessions: tuple[str, ...] | None
    monitors: tuple[str, ...]
    records_looked_s: float | None
    host_starved: bool
    grace: bool
    findings: tuple[Wrong, ...]


@dataclass(frozen=True)
class _Sentry:
    lanes: tuple[str, ...]
    workers: dict[str, str]
    launched: tuple[str, ...]
    waits: str
    quarantined_lanes: dict[str, str]
    survivors: tuple[str, ...]
    storm: str
    slow_prescreens: dict[str, Slow]


@dataclass(frozen=True)
class _Guard:
    answered_at: str | None
    sessions: dict[str, bool] | None
    stale: tuple[str, ...]


@dataclass(frozen=True)
class _Scheduler:
    run_id: str
    round: int
    rounds: int
    stage: str


@dataclass(frozen=True)
class _Controller:
    lanes: int
    cap: int
    queue: int
    fill_lanes: int
    gpu_lanes: int
    gpu_reason: str
    reason: str
    cpu_pct: float | None
    credit_pct: float
    targets: dict[str, float]


@dataclass(frozen=True)
class _Manager:
    run_id: str | None
    stage: str
    units: dict[str, int]
    round: int
    next_steps: tuple[Step, ...]
    expected_outcomes: tuple[Outcome, ...]
    incidents: tuple[Wrong, ...]


@dataclass(frozen=True)
class _Consensus:
    run_id: str | None
    deviation: float | None
    performance: float | None
    efficiency: float | None
    signals: Signals
    arbitrated: tuple[Settled, ...]


@dataclass(frozen=True)
class _Orchestrator:
    run_id: str | None
    next_step: Advice
    because: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class _Auditor:
    run_id: str | None
    adherence: float | None
    efficacy: float | None
    checks: tuple[Check, ...]
    failing: tuple[str, ...]


@dataclass(frozen=True)
class _Budget:
    run_id: str | None
    day: str
    working: bool
    spent_hours: float
    left_hours: float | None
    spent_dollars: float
    left_dollars: float
    over_budget: bool
    over: tuple[str, ...]


@dataclass(frozen=True)
class _Others:
    """Reports that no agent decides on."""

    run_id: str | None


_REPORTS: dict[str, type[Any]] = {
    "watchdog": _Watchdog,
    "worker_sentry": _Sentry,
    "operation_hang_guard": _Guard,
    "auto_scheduler": _Scheduler,
    "util_controller": _Controller,
    "session_state_manager": _Manager,
    "orchestration_consensus": _Consensus,
    "main_orchestrator": _Orchestrator,
    "process_auditor": _Auditor,
    "budget_guard": _Budget,
}


@dataclass(frozen=True)
class Read:
    """A state file as it was read: what fits, and what is wrong with the rest."""

    state: dict[str, Any] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    @property
    def report(self) -> dict[str, Any]:
        """What the agent says to others."""
        report: dict[str, Any] = self.state.get("report", {})
        return report


@dataclass(frozen=True)
class Loop:
    """Which process runs an agent's cycles, since when; why it goes on with older code, and why it ended."""

    identity: Identity | None = None
    began_s: float | None = None
    code_problem: str = ""
    ended: str = ""


def loop(roots: Roots, agent: str) -> tuple[Loop, tuple[str, ...]]:
    """The record of an agent's loop, and what is wrong with it; an empty one when there is none."""
    path = roots.loop(agent)
    tree = snapshot.read_json(path)
    if tree is None:
        return Loop(), ("it holds no JSON",) if os.path.lexists(path) else ()
    kept, wrong = fitting(Loop, tree)
    return record_of(Loop, kept), wrong


def read(roots: Roots, agent: str) -> Read:
    """The state file of an agent; empty when there is none."""
    path = roots.agent_state(agent)
    tree = snapshot.read_json(path)
    if tree is None:
        return Read(wrong=("it holds no JSON",) if os.path.lexists(path) else ())
    return of_tree(agent, tree)


def of_tree(agent: str, tree: Any) -> Read:
    """The same, of a tree that was read already."""
    state, wrong = fitting(_State, tree)
    if "report" in state:
        state["report"], more = fitting(_REPORTS.get(agent, _Others), state["report"], "report")
        wrong += more
    return Read(state, wrong)
