"""Keep the one true story: stage, incidents, next steps, expected outcomes. It watches the hang guard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.runtime.decision import Action, Agent, Decision
from agents.runtime.world import World
from config.settings import SwarmSettings
from state.jobs import PHASES

_GUARD = "operation_hang_guard"
_AFTER_FAILURE = "the others go on without it; when they are done, fix the cause and type the command again"
_IDLE_S = 45.0  # seconds jobs may wait while nothing runs: three cycles of the sentry
_IDLE = "maintain_polling_and_keep_workers_saturated"


@dataclass(frozen=True)
class Incident:
    """Something that is not as it should be; `remedy`: who does what about it; `actionable`: whether the swarm can."""

    incident_id: str
    what: str
    remedy: str
    actionable: bool = True

    def as_json(self) -> dict[str, Any]:
        """For events and reports."""
        return {"id": self.incident_id, "what": self.what, "remedy": self.remedy, "actionable": self.actionable}


@dataclass(frozen=True)
class Memory:
    """Incidents that are open (id → since when), and how often in a row the hang guard was found wanting."""

    open: Mapping[str, str] = field(default_factory=dict)
    guard_stale: int = 0
    stage: str = ""
    idle_since_s: float | None = None  # since when jobs wait and nothing runs


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Reconcile all records; open and close incidents; respawn the hang guard when it is gone."""
    idle_since_s = _idle_since_s(world, memory)
    found = incidents(world, limits, 0.0 if idle_since_s is None else world.now_s - idle_since_s)
    events = _events(world, memory, found)
    guard_stale = _guard_stale(memory, found)
    here = stage(world)
    actions = [Action("write_incidents", "session_state_manager_events.jsonl", "on file", {"events": events})] * bool(
        events
    )
    if guard_stale >= 2:
        said = {"respawn": ["bt-operation-hang-guard"]}
        actions.append(Action("ensure_guard", "bt-operation-hang-guard", "the hang guard cycles again", said))
    opened = {one.incident_id: memory.open.get(one.incident_id, world.now) for one in found}
    report: dict[str, Any] = {
        "run_id": world.run_id or None,
        "stage": here,
        "round": world.round,
        "next_steps": next_steps(world, found),
        "expected_outcomes": expected_outcomes(world, limits),
        "incidents": [{**one.as_json(), "since": opened[one.incident_id]} for one in found],
    }
    reason = f"{here}; " + (", ".join(one.incident_id for one in found) or "no incidents")
    return Decision(Memory(opened, guard_stale, here, idle_since_s), reason, tuple(actions), report)


def _events(world: World, memory: Memory, found: list[Incident]) -> list[dict[str, Any]]:
    now = {one.incident_id: one for one in found}
    opened = [{"event": "incident_opened", **one.as_json()} for key, one in now.items() if key not in memory.open]
    closed = [{"event": "incident_closed", "id": key} for key in memory.open if key not in now]
    here = stage(world)
    moved = [{"event": "stage", "stage": here, "run_id": world.run_id}] if here != memory.stage else []
    return moved + opened + closed


def _guard_stale(memory: Memory, found: list[Incident]) -> int:
    """How often in a row the hang guard was found wanting."""
    is_wanting = any(one.incident_id == f"agent_stale:{_GUARD}" for one in found)
    return memory.guard_stale + 1 if is_wanting else 0


# what is ------------------------------------------------------------------------------------------------------------


def stage(world: World) -> str:
    """Where the run stands: idle, stopped, complete, or the phase that is furthest behind."""
    if world.stopped:
        return "stopped"
    if world.order is None:
        return "idle"
    if world.run_finished:
        return "complete"
    open_phases = [state.job.phase for state in world.jobs if not state.is_over]
    return min(open_phases, key=PHASES.index) if open_phases else "scheduling"


def incidents(world: World, limits: SwarmSettings, idle_s: float = 0.0) -> list[Incident]:
    """Everything that is not as it should be, now; `idle_s`: how long jobs have waited while nothing ran."""
    if world.stopped:
        return []
    if world.agents and all(view.loop_life != "running" and not view.is_young(limits) for view in world.agents):
        return [Incident("no_agents", "no agent is alive", "type: bash scripts/ensure_swarm_watchdogs.sh", False)]
    found = [
        Incident(
            f"agent_stale:{view.agent}",
            f"{view.agent} " + ("has not begun yet" if view.age_s is None else f"last cycled {view.age_s:.0f} s ago"),
            f"{'session_state_manager' if view.agent == _GUARD else _GUARD} respawns {view.session}",
        )
        for view in world.agents
        if view.agent != "session_state_manager" and view.is_stale(limits)
    ]
    found += [
        Incident(f"action_failed:{view.agent}", f"{view.agent}: {view.failed}", "it tries again in its next cycle")
        for view in world.agents
        if view.failed
    ]
    found += [
        Incident(
            f"job_{state.status}:{state.job.job_id}",
            f"{state.job.symbol} {state.job.mode}: {state.job.phase} {state.status}: {state.error_message}",
            _AFTER_FAILURE,
            actionable=False,
        )
        for state in world.jobs
        if state.status in ("failed", "quarantined")
    ]
    found += [
        Incident(f"unit_failed:{unit}", f"{unit}: {why}", _AFTER_FAILURE, actionable=False)
        for unit, why in world.dropped.items()
    ]
    if world.bad_lines:
        text = f"{world.bad_lines} lines of the job journal are no records"
        found.append(Incident("bad_lines", text, "auto_scheduler enqueues what is missing; check the disk"))
    if world.run_finished:
        return found
    found += [
        Incident(
            f"worker_silent:{worker.launch.job.job_id}",
            f"{worker.launch.job.job_id} made no progress for {worker.silent_s:.0f} s ({worker.life})",
            "worker_sentry continues or replaces it",
        )
        for worker in world.workers
        if worker.life == "stopped" or worker.silent_s > limits.silent_after_s
    ]
    free = world.disk_free_bytes
    if free is not None and free < limits.min_free_mb * 1_000_000:
        text = f"{free / 1e6:.0f} MB are free, at least {limits.min_free_mb} are wanted"
        found.append(Incident("disk_full", text, "make room under RESULTS_ROOT; work goes on by itself", False))
    waiting = [state for state in world.jobs if state.may_start(world.now_s)]
    if idle_s > _IDLE_S * limits.cadence_scale:
        text = f"{len(waiting)} jobs wait and nothing has run for {idle_s:.0f} s"
        found.append(Incident("no_workers", text, "worker_sentry launches in its next cycle"))
    cpu = world.control.get("cpu_pct")
    if cpu is not None and cpu < limits.cpu_target_pct and len(waiting) > len(world.lanes) > len(world.workers):
        text = f"CPU at {cpu} % of {limits.cpu_target_pct} % with {len(waiting)} jobs waiting"
        found.append(Incident("cpu_below_target", text, "worker_sentry fills free lanes"))
    return found


def _idle_since_s(world: World, memory: Memory) -> float | None:
    waits = any(state.may_start(world.now_s) for state in world.jobs) and not world.run_finished and not world.stopped
    if not waits or world.workers:
        return None
    earlier = memory.idle_since_s
    return world.now_s if earlier is None or earlier > world.now_s else earlier


def next_steps(world: World, found: list[Incident]) -> list[dict[str, Any]]:
    """What is to be done, by whom; a run is complete when nothing here is actionable."""
    steps = [
        {"id": one.incident_id, "what": one.remedy, "why": one.what, "actionable": one.actionable} for one in found
    ]
    here = stage(world)
    if here == "stopped":
        why = "the operator stopped the swarm" + (f"; {world.run_id} goes on then" if _is_open(world) else "")
        return [_step("start_again", "scripts/backtest-optimize start", why)]
    if here == "idle":
        return [*steps, _step("start_a_run", "scripts/backtest-optimize --parallel", "there is no run")]
    if here == "complete":
        return [*steps, _step("read_results", "scripts/backtest-optimize results", "all rounds are done")]
    open_jobs = sum(not state.is_over for state in world.jobs)
    return [*steps, _step(_IDLE, "nothing to do by hand", f"{open_jobs} jobs of round {world.round} are open")]


def _is_open(world: World) -> bool:
    return world.order is not None and not world.run_finished


def _step(name: str, what: str, why: str) -> dict[str, Any]:
    return {"id": name, "what": what, "why": why, "actionable": False}


def expected_outcomes(world: World, limits: SwarmSettings) -> list[dict[str, Any]]:
    """What each worker is expected to do next, and whether it is so."""
    return [
        {
            "target": worker.launch.job.job_id,
            "expected": f"progress within {limits.silent_after_s:g} s",
            "observed": f"{worker.done} of {worker.total}, {worker.silent_s:.1f} s ago",
            "holds": worker.life == "running" and worker.silent_s <= limits.silent_after_s,
        }
        for worker in world.workers
    ]


OWNS = ("write_incidents", "ensure_guard")
AGENT = Agent(Memory, decide, OWNS)
