"""Reconcile all records into one account: stage, incidents, next steps, expected outcomes; watch the hang guard."""

from collections.abc import Mapping
from typing import Any, TypedDict

from agents.actions.records import WriteIncidents
from agents.actions.sessions import EnsureGuard, EnsureKeeper, RunHooks
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import Worker, World, patience_s
from agents.rules import absent, broken, holdouts, room
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records import healing, holdout, standing
from state.records.report_parts import OpenIncident, Outcome, Step
from state.records.reports import ManagerReport

_ME = "session_state_manager"
_LOOKS = 2  # looks at a hang guard that lives and is silent, before its loop is ended
_AFTER_FAILURE = "fix the cause and type the command again"
_IDLE_S = 45.0  # seconds that jobs may wait while no worker runs: three cycles of the sentry
_TOLD = ("incident_opened", "incident_closed")
_IDLE = "maintain_polling_and_keep_workers_saturated"


class IncidentRow(TypedDict):
    """An incident as events, reports and `status --json` hold it."""

    id: str
    what: str
    remedy: str
    actionable: bool


@dataclass(frozen=True)
class Incident:
    """A fault. `remedy` says what is done about it and by which agent; `actionable`: the swarm can do that itself."""

    incident_id: str
    what: str
    remedy: str
    actionable: bool = True

    def as_json(self) -> IncidentRow:
        """Return the incident as events hold it."""
        return {"id": self.incident_id, "what": self.what, "remedy": self.remedy, "actionable": self.actionable}


@dataclass(frozen=True)
class Memory:
    """The open incidents (id → since when), and for how many looks in a row the hang guard is missing."""

    open: Mapping[str, str] = field(default_factory=dict)
    guard_stale: int = 0
    guard_stale_since_s: float | None = None
    stage: str = ""
    idle_since_s: float | None = None  # since when jobs wait and no worker runs
    healing_mark: str = ""  # the last record of healing.jsonl that was looked at


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Reconcile all records, open and close incidents, and respawn the hang guard and the keeper when they are gone."""
    idle_since_s = _idle_since_s(world, memory)
    found = incidents(world, limits, 0.0 if idle_since_s is None else world.now_s - idle_since_s, _ME)
    events = [*_events(world, memory, found), *_over_already(world, memory, found)]
    guard_stale, since_s = _guard_stale(world, memory, found, limits)
    here = stage(world)
    actions: list[Action] = [WriteIncidents(tuple(events))] if events else []
    if guard_stale >= _LOOKS:
        actions.append(EnsureGuard(("bt-operation-hang-guard",)))
    if _has_lost_its_process(world):
        actions.append(EnsureKeeper())
    told = [one for one in events if one["event"] in _TOLD]
    if told and world.incident_hooks:
        actions.append(RunHooks(tuple(told)))
    opened = {one.incident_id: memory.open.get(one.incident_id, world.now) for one in found}
    report = ManagerReport(
        run_id=world.run_id or None,
        stage=here,
        units=units(world),
        round=world.round,
        next_steps=tuple(next_steps(world, found)),
        expected_outcomes=expected_outcomes(world, limits),
        incidents=tuple(
            OpenIncident(one.incident_id, one.what, one.remedy, one.actionable, opened[one.incident_id])
            for one in found
        ),
    )
    reason = f"{here}; " + (", ".join(one.incident_id for one in found) or "no incidents")
    mark = str(world.healings[-1]["mark"]) if world.healings else memory.healing_mark
    return Decision(Memory(opened, guard_stale, since_s, here, idle_since_s, mark), reason, tuple(actions), report)


def _events(world: World, memory: Memory, found: list[Incident]) -> list[dict[str, Any]]:
    now = {one.incident_id: one for one in found}
    opened = [{"event": "incident_opened", **one.as_json()} for key, one in now.items() if key not in memory.open]
    closed = [{"event": "incident_closed", "id": key} for key in memory.open if key not in now]
    here = stage(world)
    has_moved = standing.kinds(here) != standing.kinds(memory.stage)
    moved = [{"event": "stage", "stage": here, "run_id": world.run_id}] if has_moved else []
    return moved + opened + closed


def _over_already(world: World, memory: Memory, found: list[Incident]) -> list[dict[str, Any]]:
    """Return the events of incidents that were over before this look, each opened and closed, from healing.jsonl."""
    events: list[dict[str, Any]] = []
    seen = {*memory.open, *(one.incident_id for one in found)}
    for failure, remedy in healing.pairs(healing.after(world.healings, memory.healing_mark)):
        what, by = str(failure.get("what")), str((remedy or {}).get("by", "nobody yet"))
        deed = "set it aside" if (remedy or {}).get("event") == "record_set_aside" else "brought it back"
        one = Incident(incident_of(failure), f"{failure['id']}: {what}", f"{by} {deed}")
        if one.incident_id in seen or remedy is None:
            continue
        at, mark = str(failure.get("since") or failure.get("at")), failure["mark"]
        events.append({"event": "incident_opened", **one.as_json(), "at": at, "mark": mark})
        closed = {"id": one.incident_id, "at": remedy.get("at"), "mark": mark}
        events.append({"event": "incident_closed", **closed, "by": by, "for_s": remedy.get("for_s")})
    return events


def incident_of(failure: Mapping[str, Any]) -> str:
    """Return the id of the incident that a healed failure would have been, had a cycle looked while it lasted."""
    event, target = str(failure.get("event")), str(failure.get("id"))
    kinds = {"session_closed": f"session_closed:{target}", "keeper_died": "keeper_gone"}
    kinds |= {kind: f"{kind}:{target}" for kind in ("record_damaged", "record_lost")}
    return kinds.get(event, f"agent_stale:{target}" if event.startswith("agent_") else event)


def _guard_stale(
    world: World, memory: Memory, found: list[Incident], limits: SwarmSettings
) -> tuple[int, float | None]:
    """Return at how many looks in a row the hang guard was missing, and since when; a dead loop needs no second look.

    A guard whose state file cannot be read reaches the second look only after its patience: its next cycle writes the
    file anew, and after a nudge, two looks of this agent may be less than a second apart.
    """
    guard = next((view for view in world.agents if view.agent == absent.GUARD), None)
    if guard is None or not any(one.incident_id == f"agent_stale:{absent.GUARD}" for one in found):
        return 0, None
    since_s = memory.guard_stale_since_s
    since_s = world.now_s if since_s is None or since_s > world.now_s else since_s
    if guard.is_unreadable and world.now_s - since_s < patience_s(guard.cadence_s, limits):
        return min(memory.guard_stale + 1, _LOOKS - 1), since_s
    return max(memory.guard_stale + 1, _LOOKS * (guard.loop_life == "dead")), since_s


# what is ------------------------------------------------------------------------------------------------------------


def stage(world: World) -> str:
    """Return the stage of the run: idle, stopped, complete, or how many units (symbol and mode) are in which phase."""
    if world.stopped:
        return "stopped"
    if world.order is None:
        return "idle"
    if world.run_finished:
        return "complete"
    return standing.summary(_words(world)) if world.jobs else "scheduling"


def units(world: World) -> dict[str, int]:
    """Return how many units are in which phase; {} while no round has jobs."""
    return standing.counts(_words(world)) if world.jobs else {}


def _words(world: World) -> list[str]:
    """Return for each unit of the order the word for its phase; a unit that failed in an earlier round has failed."""
    rows: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for state in world.jobs:
        if not state.job.hand:
            rows.setdefault(state.job.unit, []).append((state.job.phase, state.status))
    named = () if world.order is None else world.order.units
    return [standing.FAILED if " ".join(unit) in world.dropped else standing.word(rows.get(unit, ())) for unit in named]


def incidents(world: World, limits: SwarmSettings, idle_s: float = 0.0, me: str = "") -> list[Incident]:
    """Return the open incidents. For `idle_s`, jobs have waited while no worker ran; the agent `me` is not missing."""
    if world.stopped:
        return []
    if absent.all_dead(world, limits):
        remedy, by_itself = absent.who_heals_all(world, limits)
        return [Incident("no_agents", "no agent is alive", remedy, by_itself)]
    found = [
        Incident(f"agent_stale:{view.agent}", f"{view.agent} {view.how()}", remedy)
        for view, remedy in absent.missing(world, limits, me)
    ]
    found += [
        Incident(f"action_failed:{view.agent}", f"{view.agent}: {view.failed}", "it tries again in its next cycle")
        for view in world.agents
        if view.failed
    ]
    found += [
        Incident(
            f"action_unmet:{view.agent}",
            f"{view.agent} did this and it had no effect: {'; '.join(view.unmet)}",
            "it takes the next, stronger measure in its next cycle",
        )
        for view in world.agents
        if view.unmet
    ]
    after_failure = _after_failure(world)
    found += [
        Incident(
            f"job_{state.status}:{state.job.job_id}",
            f"{state.job.symbol} {state.job.mode}: {state.job.phase} {state.status}: {state.error_message}",
            after_failure,
            actionable=False,
        )
        for state in world.jobs
        if state.status in ("failed", "quarantined")
    ]
    found += [
        Incident(f"unit_failed:{unit}", f"{unit}: {why}", after_failure, actionable=False)
        for unit, why in world.dropped.items()
    ]
    found += _of_sentry(world)
    found += [Incident(one.id, one.what, one.remedy, actionable=False) for one in world.control.findings]
    found += [Incident(*one) for one in broken.records(world)] + _of_hooks(world) + _of_keeper(world)
    if world.bad_lines:
        text = f"{world.bad_lines} lines of the job journal are no records"
        found.append(Incident("bad_lines", text, "auto_scheduler enqueues what is missing; check the disk", False))
    if world.run_finished:
        return found
    found += _over_budget(world)
    found += [
        Incident(
            f"worker_silent:{worker.launch.job.job_id}",
            f"{worker.launch.job.job_id} made no progress for {worker.silent_s:.0f} s ({worker.life})",
            "worker_sentry continues or replaces it",
        )
        for worker in world.workers
        if worker.life == "stopped" or worker.silent_s > limits.hang.after_s
    ]
    if text := room.shortage(world, limits):
        found.append(Incident("disk_full", text, "make room under RESULTS_ROOT; work goes on by itself", False))
    waiting = [state for state in world.jobs if state.may_start(world.now_s)]
    if idle_s > _IDLE_S * limits.agents.cadence_scale:
        text = f"{len(waiting)} jobs wait and nothing has run for {idle_s:.0f} s"
        found.append(Incident("no_workers", text, "worker_sentry launches in its next cycle"))
    cpu = world.control.cpu_pct
    if cpu is not None and cpu < limits.use.cpu_target_pct and len(waiting) > len(world.lanes) > len(world.workers):
        text = f"CPU at {cpu} % of {limits.use.cpu_target_pct} % with {len(waiting)} jobs waiting"
        found.append(Incident("cpu_below_target", text, "worker_sentry fills free lanes"))
    return found


def _after_failure(world: World) -> str:
    """Return what happens to the other units when one has failed, and when to type the command again."""
    units = () if world.order is None else world.order.units
    dead = {unit for unit in units if unit in world.dead_units or " ".join(unit) in world.dropped}
    if len(dead) == len(units):
        return f"no symbol and mode is left: {_AFTER_FAILURE}" if len(units) > 1 else _AFTER_FAILURE
    if world.run_finished:
        return f"the others are done: {_AFTER_FAILURE}"
    return f"the others go on without it; when they are done, {_AFTER_FAILURE}"


def _of_sentry(world: World) -> list[Incident]:
    """Return the incidents that the sentry reports: closed lanes, slow prescreens, a broken environment."""
    told = world.reports.worker_sentry
    found = [
        Incident(f"lane_quarantined:{lane}", f"{lane} takes no work: {why}", "worker_sentry opens it again by itself")
        for lane, why in told.quarantined_lanes.items()
    ]
    found += [
        Incident(f"prescreen_slow:{job}", f"{one.what} ({one.cause})", one.remedy, one.replace)
        for job, one in told.slow_prescreens.items()
    ]
    if told.storm and any(not state.is_over for state in world.jobs):
        way_out = "scripts/backtest-optimize doctor names what is broken; from time to time the swarm tries one job"
        found.append(Incident("environment_broken", f"{told.storm}: the environment is to blame", way_out))
    return found


def _over_budget(world: World) -> list[Incident]:
    """Return the incident of a spent budget. The swarm only reports it and goes on, because the operator decides."""
    guard = world.reports.budget_guard
    if guard.over_budget is not True:
        return []
    text = "; ".join(guard.over) or "the budget is spent"
    return [Incident("over_budget", text, "stop, or raise the budget; work goes on until you say otherwise", False)]


def _of_hooks(world: World) -> list[Incident]:
    """Return one incident for each hook file that cannot be run: now, or when a job of this round ran it."""
    gates = (gate for state in world.jobs for gate in state.gates if gate.get("fix"))
    met = [(gate["path"], gate["reason"], gate["fix"]) for gate in gates]
    there = [
        (one.path, one.fault if one.fault.startswith(one.path) else f"{one.path} {one.fault}", one.fix)
        for one in world.hook_faults
    ]
    broken = {path: (what, fix) for path, what, fix in (*met, *there)}
    return [
        Incident(f"hook_broken:{path}", f"the hook {what}", fix, actionable=False)
        for path, (what, fix) in broken.items()
    ]


def _has_lost_its_process(world: World) -> bool:
    keeper = world.keeper
    return keeper is not None and keeper.method == "process" and keeper.alive is False and not world.stopped


def _of_keeper(world: World) -> list[Incident]:
    """Return the incident of an installed keeper that is gone."""
    if world.keeper is None or world.keeper.alive is not False:
        return []
    if world.keeper.method == "process":
        return [
            Incident(
                "keeper_gone", "the keeper process is dead, or stopped", "session_state_manager starts or continues it"
            )
        ]
    what = f"the installed keeper was removed: {world.keeper.entry}"
    return [Incident("keeper_gone", what, "type: scripts/install_keeper.sh (or --uninstall)", actionable=False)]


def _idle_since_s(world: World, memory: Memory) -> float | None:
    waits = any(state.may_start(world.now_s) for state in world.jobs) and not world.run_finished and not world.stopped
    if not waits or world.workers:
        return None
    earlier = memory.idle_since_s
    return world.now_s if earlier is None or earlier > world.now_s else earlier


def next_steps(world: World, found: list[Incident]) -> list[Step]:
    """Return the next steps, each with what it is for. A run is complete when none of them is actionable."""
    steps = [Step(one.incident_id, one.remedy, one.what, one.actionable) for one in found]
    here = stage(world)
    if here == "stopped" and world.run_finished:
        return [
            Step("read_results", "scripts/backtest-optimize results", f"{world.run_id} was complete when it stopped")
        ]
    if here == "stopped":
        why = "the operator stopped the swarm" + (f"; {world.run_id} goes on then" if _is_open(world) else "")
        return [Step("start_again", "scripts/backtest-optimize start", why)]
    if here == "idle":
        return [*steps, Step("start_a_run", "scripts/backtest-optimize --parallel", "there is no run"), _polls(True)]
    if here == "complete":
        read = Step("read_results", "scripts/backtest-optimize results", "all rounds are done")
        return [*steps, *_new_bars(world), read, _polls(True)]
    steps += _advice(world, found)
    number = sum(not state.is_over for state in world.jobs)
    some = "1 job of round {} is open" if number == 1 else f"{number} jobs of round {{}} are open"
    steps += _new_bars(world)
    return [*steps, Step(_IDLE, _by_hand(bool(steps)), some.format(world.round + 1))]


def _new_bars(world: World) -> list[Step]:
    """Return a step for each unit whose holdout is used up: which bars to get."""
    found = ((unit, holdout.words(left), holdout.way_out(left)) for unit, left in holdouts.known(world).items())
    return [Step(f"bring_new_bars:{unit}", way_out, f"{unit}: {why}") for unit, why, way_out in found if why]


def _by_hand(beside_others: bool) -> str:
    return "nothing else to do by hand" if beside_others else "nothing to do by hand"


def _polls(beside_others: bool) -> Step:
    return Step(_IDLE, _by_hand(beside_others), "nothing is left to compute; the agents keep watching")


def _advice(world: World, found: list[Incident]) -> list[Step]:
    """Return the orchestrator's next step, if it is about this run, asks for something, and no incident is open."""
    report = world.reports.main_orchestrator
    step = report.next_step
    if report.run_id != world.run_id or step is None or step.id == _IDLE:
        return []
    if found:  # each incident has its remedy already, and an orchestrator that is gone would tell of the past
        return []
    return [Step(step.id, step.what, step.why)]


def _is_open(world: World) -> bool:
    return world.order is not None and not world.run_finished


def expected_outcomes(world: World, limits: SwarmSettings) -> tuple[Outcome, ...]:
    """Return what agents expect of their last actions, what workers are expected to do, and whether they do it."""
    deeds = (
        Outcome(deed["target"], deed["expected"], f"{view.agent}: {deed['kind']}")
        for view in world.agents
        for deed in view.expects
    )
    return (*deeds, *(_of_worker(worker, limits) for worker in world.workers))


def _of_worker(worker: Worker, limits: SwarmSettings) -> Outcome:
    """Return what is expected of a worker. A worker with its result is done, and no progress is expected of it."""
    is_done = worker.result is not None and worker.result.epoch == worker.launch.epoch
    return Outcome(
        target=worker.launch.job.job_id,
        expected=f"progress within {limits.hang.after_s:g} s",
        observed=f"{worker.done} of {worker.total}, {worker.silent_s:.1f} s ago" + (", done" if is_done else ""),
        holds=is_done or (worker.life == "running" and worker.silent_s <= limits.hang.after_s),
    )


OWNS = (WriteIncidents, EnsureGuard, EnsureKeeper, RunHooks)
AGENT = Agent(Memory, decide, OWNS, frozenset({"keeper", "hooks", "faults", "write_incidents", "healings"}))
