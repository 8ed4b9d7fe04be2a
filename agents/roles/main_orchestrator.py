"""Reason over all reports, name the next step, and request it from its owner when no request is open yet.

This agent starts and ends nothing: the owner of a request carries it out or refuses it. The operator's stop is final.
"""

from collections.abc import Mapping

from agents.actions.documents import Ask
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import AgentView, World
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Advice
from state.records.reports import ConsensusReport, OrchestratorReport

IDLE = "maintain_polling_and_keep_workers_saturated"
_PATIENCE = 3  # looks in a row at which an agent is stale and not respawned; the hang guard needs two
_BACKOFF_S = 60.0  # seconds before the same request is made again; they double each time
_BACKOFF_MAX_S = 1_800.0
_GUARD = "operation_hang_guard"
_FEW_PCT = 50.0  # percent of the usual throughput; below it, something slows the work down


@dataclass(frozen=True)
class Memory:
    """For each agent how often in a row it was stale, and at which cycle; and when the last request was made."""

    boot_id: str = ""
    stale: Mapping[str, int] = field(default_factory=dict)
    cycles: Mapping[str, int] = field(default_factory=dict)
    asked: int = 0  # how often in a row the request was made without effect
    asked_at_s: float = 0.0


@dataclass(frozen=True)
class NextStep:
    """The next step, and the evidence for it."""

    step_id: str
    what: str
    because: tuple[str, ...]

    @property
    def advice(self) -> Advice:
        """The step as the report holds it."""
        return Advice(self.step_id, self.what, "; ".join(self.because))


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Decide on the next step; request a respawn of stale agents when no such request is open."""
    # While the operator wants the swarm stopped, nothing is requested, and what was counted is forgotten.
    if world.stopped:
        step = NextStep("start_again", "scripts/backtest-optimize start", ("the operator stopped the swarm",))
        return _decided(world, Memory(), step, ())
    memory = _seen(world, memory, limits)
    left = [view for view in world.agents if memory.stale.get(view.agent, 0) >= _PATIENCE]
    actions = _ask(world, memory, left, limits)
    if actions:
        memory = replace(memory, asked=memory.asked + 1, asked_at_s=world.now_s)
    return _decided(world, memory, _step(world, left, limits), actions)


def _decided(world: World, memory: Memory, step: NextStep, actions: tuple[Action, ...]) -> Decision[Memory]:
    open_wishes = [one.target for one in world.requests if one.asked_by == "main_orchestrator"]
    asked = (*open_wishes, *(action.target for action in actions))
    report = OrchestratorReport(world.run_id or None, step.advice, step.because, asked)
    return Decision(memory, f"{step.step_id}: {'; '.join(step.because)}", actions, report)


# requests -------------------------------------------------------------------------------------------------------------


def _seen(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return the memory after this look: how often in a row each agent was stale without any sign of a respawn.

    A young session (which is not stale) and a further cycle are such signs.
    """
    if memory.boot_id != world.boot_id:
        memory = Memory(boot_id=world.boot_id)
    stale = {
        view.agent: memory.stale.get(view.agent, 0) + 1 if memory.cycles.get(view.agent) == view.cycle else 1
        for view in world.agents
        if view.agent != "main_orchestrator" and view.is_stale(limits)
    }
    memory = replace(memory, stale=stale, cycles={view.agent: view.cycle for view in world.agents})
    return memory if stale else replace(memory, asked=0, asked_at_s=0.0)


def _ask(world: World, memory: Memory, left: list[AgentView], limits: SwarmSettings) -> tuple[Action, ...]:
    """Return the request for a respawn. A target gets one open request at a time, and the next after a backoff."""
    guard_is_left = any(view.agent == _GUARD for view in left)
    if not left or guard_is_left:  # without the hang guard no agent would answer; session_state_manager respawns it
        return ()
    if any(one.kind == "ensure_sessions" and one.expires_at >= world.now for one in world.requests):
        return ()
    wait_s = min(_BACKOFF_S * 2 ** min(memory.asked - 1, 10), _BACKOFF_MAX_S) * limits.agents.cadence_scale
    if memory.asked and world.now_s - memory.asked_at_s < wait_s:
        return ()
    evidence = {view.agent: f"no cycle for {_age(view)}, {memory.stale[view.agent]} looks in a row" for view in left}
    return (Ask("all", "ensure_sessions", _GUARD, evidence),)


def _age(view: AgentView) -> str:
    return "as long as is on record" if view.age_s is None else f"{view.age_s:.0f} s"


# reasoning ------------------------------------------------------------------------------------------------------------


def _step(world: World, left: list[AgentView], limits: SwarmSettings) -> NextStep:
    """Return the first step that applies: what stops the swarm, then what stops some work, then advice."""
    for step in (_respawn(left), _without_run(world), _failed_units(world), _over_budget(world), _settle(world)):
        if step is not None:
            return step
    return _after_the_end(world) or _slow(world, limits) or _go_on(world)


def _respawn(left: list[AgentView]) -> NextStep | None:
    because = tuple(f"{view.agent}: no cycle for {_age(view)}" for view in left)
    return (
        NextStep("respawn_agents", f"{_GUARD} respawns {', '.join(v.session for v in left)}", because) if left else None
    )


def _without_run(world: World) -> NextStep | None:
    if world.order is not None:
        return None
    return NextStep("start_a_run", "scripts/backtest-optimize --parallel", ("there is no run",))


def _failed_units(world: World) -> NextStep | None:
    bad = [s for s in world.jobs if s.status in ("failed", "quarantined")]
    if not bad:
        return None
    because = tuple(f"{s.job.job_id} {s.status}: {s.error_message}" for s in bad)
    return NextStep("fix_failed_units", "read the job's log, fix the cause, type --parallel again", because)


def _over_budget(world: World) -> NextStep | None:
    guard = world.reports.budget_guard
    if guard.over_budget is not True or world.run_finished:
        return None
    why = guard.over or ("the budget is spent",)
    return NextStep("decide_on_budget", "scripts/backtest-optimize stop, or raise the budget and start again", why)


def _settle(world: World) -> NextStep | None:
    settled = [one for one in _scores(world).arbitrated if one.rule in _REMEDIES]
    if not settled or world.run_finished:
        return None
    first = settled[0]
    return NextStep(first.rule, _REMEDIES[first.rule], (f"{first.seen}; believed: {first.believed}",))


# The step that each settled contradiction asks for. Contradictions that only look wrong ask for none.
_REMEDIES = {
    "worker_runs_but_is_silent": "worker_sentry continues or replaces the silent worker",
    "job_running_without_worker": "worker_sentry puts the job back into the queue",
    "no_queue_but_jobs_wait": "util_controller raises its target in its next cycle",
    "complete_but_jobs_open": "auto_scheduler goes on in its next cycle",
}


def _after_the_end(world: World) -> NextStep | None:
    if not world.run_finished:
        return None
    because = (f"all rounds of {world.run_id} are done",)
    if "latest_handoff_recent" in world.reports.process_auditor.failing:
        return NextStep(
            "write_handoff", "scripts/backtest-optimize handoff", (*because, "no handoff was written since")
        )
    return NextStep("read_results", "scripts/backtest-optimize results", because)


def _slow(world: World, limits: SwarmSettings) -> NextStep | None:
    performance = _scores(world).performance
    if performance is None or performance >= _FEW_PCT:
        return None
    because = (f"throughput is {performance:.0f} % of what it was in the last minutes",)
    return NextStep("look_at_throughput", "see what else uses this machine: scripts/backtest-optimize status", because)


def _go_on(world: World) -> NextStep:
    open_jobs = sum(not state.is_over for state in world.jobs)
    deviation = _scores(world).deviation
    because = [f"{open_jobs} jobs of round {world.round + 1} are open"]
    if deviation is not None:
        because.append(f"deviation {deviation:.0f}")
    return NextStep(IDLE, "nothing to do by hand", tuple(because))


def _scores(world: World) -> ConsensusReport:
    """Return the report of orchestration_consensus if it is about this run, else an empty one."""
    report = world.reports.orchestration_consensus
    return report if report.run_id == world.run_id else ConsensusReport()


OWNS = (Ask,)
AGENT = Agent(Memory, decide, OWNS)
