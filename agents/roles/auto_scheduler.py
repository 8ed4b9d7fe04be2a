"""Enqueue the next jobs: the phases of every unit (symbol and mode), round after round, and work for idle lanes.

This agent starts no worker; worker_sentry does.
"""

from agents.actions.jobs import EnqueueJobs, FinishRun, RestartUnits
from agents.model.decision import Agent, Decision
from agents.model.world import World
from agents.rules import fill, holdouts
from config.record import dataclass, replace
from config.swarm import SwarmSettings
from state.files.tree import tree_of
from state.records.jobs import PHASES, Job, JobState, Phase
from state.records.orders import SwarmOrder
from state.records.reports import SchedulerReport

_HEALING_S = 300.0  # seconds that a run with all its results stays open for healing; after that, only a person can help
Units = dict[tuple[str, str], list[JobState]]


@dataclass(frozen=True)
class Memory:
    """What this agent remembers between cycles, because the job journal does not hold it."""

    healing_since_s: float | None = None  # since when only unfinished healing keeps the run open
    # hash of newer code seen at the last look: a checkout changes file by file, so two looks must agree
    code_seen: str = ""


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Enqueue the jobs that may be enqueued now, begin the next round, or finish the run."""
    order = world.order
    if order is None:
        return Decision(memory, "there is no run", report=SchedulerReport(stage="idle"))
    report = SchedulerReport(order.run_id, world.round, order.rounds)
    if world.run_finished:
        return Decision(memory, "the run is complete", report=replace(report, stage="complete"))
    if world.stopped:
        return Decision(memory, "the operator stopped the swarm", report=replace(report, stage="stopped"))
    planned = [state for state in world.jobs if not state.job.hand]  # nothing waits for a hand (see `fill`)
    units = {unit: [s for s in planned if s.job.unit == unit] for unit in dict.fromkeys(s.job.unit for s in planned)}
    if not units:  # before the first round, or when the start of a round was cut short before its jobs were written
        out = {*world.dropped, *holdouts.left_out(world, order)}
        left = tuple(unit for unit in order.units if " ".join(unit) not in out)
        return _begin_round(max(0, world.round), left, world, world.dropped, {}, memory, report)
    if world.outdated:
        return _take_up_code(world, units, memory, report)
    return _go_on(world, order, units, memory, limits, report)


def _take_up_code(world: World, units: Units, memory: Memory, report: SchedulerReport) -> Decision[Memory]:
    """Change to the new code after an upgrade of the checkout.

    All results of a unit must come from the same code, so units without a report begin again; reported units stay.
    """
    # A checkout is replaced file by file: the same new hash at two looks means that it is complete.
    if memory.code_seen != world.code:
        seen = replace(memory, code_seen=world.code)
        return Decision(seen, "the code has changed: a second look is taken", report=replace(report, stage="draining"))
    # A worker that survives SIGKILL can do nothing more, so it must not hold up the upgrade for ever.
    survivors = world.reports.worker_sentry.survivors
    at_work = [one for one in world.workers if one.launch.worker_id not in survivors]
    if at_work:
        some = "1 worker finishes its job" if len(at_work) == 1 else f"{len(at_work)} workers finish their jobs"
        reason = f"the code has changed: {some} first"
        return Decision(memory, reason, report=replace(report, stage="draining"))
    open_units = [unit for unit, states in units.items() if not _is_over(states)]
    left = tuple(one.launch.worker_id for one in world.workers)
    action = RestartUnits(tuple(open_units), world.code, left)
    reason = f"the code has changed: {len(open_units)} units begin again with it"
    reason += f", without {', '.join(left)}, which survived KILL" if left else ""
    return Decision(memory, reason, (action,), replace(report, stage="preflight"))


def _go_on(
    world: World, order: SwarmOrder, units: Units, memory: Memory, limits: SwarmSettings, report: SchedulerReport
) -> Decision[Memory]:
    # The lanes are divided among the units that are still open, so that each phase is split into as many shards.
    open_units = max(1, sum(not _is_over(states) for states in units.values()))
    lanes, gpus = (max(1, len(some) // open_units) if some else 0 for some in (world.lanes, world.gpu_lanes))
    jobs = [job for states in units.values() for job in _next(states, order, max(1, lanes), gpus, limits)]
    if jobs:
        ids = ", ".join(job.job_id for job in jobs)
        action = EnqueueJobs(order.run_id, world.round, tuple(map(tree_of, jobs)), world.dropped)
        return Decision(memory, f"enqueues {ids}", (action,), replace(report, stage=jobs[0].phase))
    if all(_is_over(states) for states in units.values()):
        return _after_round(world, order, units, memory, report)
    if more := fill.jobs(world, order, limits):
        ids = ", ".join(job.job_id for job in more)
        action = EnqueueJobs(order.run_id, world.round, tuple(map(tree_of, more)), world.dropped)
        return Decision(memory, f"fills idle lanes with {ids}", (action,), replace(report, stage=more[0].phase))
    current = min((s.job.phase for s in world.jobs if not s.is_over), key=PHASES.index)
    waiting = sum(not s.is_over for s in world.jobs)
    return Decision(memory, f"{waiting} jobs are under way", report=replace(report, stage=current))


def _begin_round(
    number: int,
    units: tuple[tuple[str, str], ...],
    world: World,
    dropped: dict[str, str],
    fills: dict[str, list[int]],
    memory: Memory,
    report: SchedulerReport,
) -> Decision[Memory]:
    jobs = tuple(tree_of(Job(number, symbol, mode, "preflight")) for symbol, mode in units)
    action = EnqueueJobs(world.run_id, number, jobs, dropped, fills, holdouts.known(world))
    return Decision(memory, f"begins round {number + 1}", (action,), replace(report, round=number, stage="preflight"))


def _next(states: list[JobState], order: SwarmOrder, lanes: int, gpus: int, limits: SwarmSettings) -> list[Job]:
    """Return the jobs that may follow in one unit: those of the next phase, once all jobs of the last are completed."""
    last = max((s.job.phase for s in states), key=PHASES.index)
    if missing := _missing([s.job for s in states if s.job.phase == last]):
        return missing
    if _is_over(states) or any(s.status != "completed" for s in states if s.job.phase == last):
        return []
    following = PHASES[PHASES.index(last) + 1]
    one = states[0].job
    shards = _shards(following, order, lanes, gpus, limits)
    if following == "merge":  # the merge must know how many shards there are
        shards_before = max(s.job.shards for s in states if s.job.phase == "prescreen")
        return [Job(one.round, one.symbol, one.mode, "merge", 0, shards_before)]
    return [Job(one.round, one.symbol, one.mode, following, shard, shards) for shard in range(shards)]


def _missing(jobs: list[Job]) -> list[Job]:
    """Return the shards of a phase that are missing because the journal lost a damaged line."""
    one, there = jobs[0], {job.shard for job in jobs}
    if one.phase == "merge":  # its `shards` is the number of prescreen shards that it joins
        return []
    return [replace(one, shard=shard) for shard in range(one.shards) if shard not in there]


def _shards(phase: Phase, order: SwarmOrder, lanes: int, gpus: int, limits: SwarmSettings) -> int:
    settings = order.settings
    if phase == "prescreen":
        combos, batch = settings["prescreen"]["combos"], settings["prescreen"]["batch_combos"]
        wanted = max(lanes, -(-combos // limits.jobs.shard_combos))
        if order.engine == "gpu" and gpus:
            wanted = gpus  # one shard a GPU: while another process starts, a GPU tries millions of combos
        return int(max(1, min(wanted, -(-combos // batch))))
    if phase == "search":
        return int(max(1, min(settings["search"]["processes"] or lanes, settings["search"]["batch_trials"])))
    return 1


def _is_over(states: list[JobState]) -> bool:
    """Whether the unit is over: it has its report, or a job of it has failed and none of its jobs runs any more."""
    if any(s.job.phase == "report" and s.is_over for s in states):
        return True
    return any(s.is_over and s.status != "completed" for s in states) and not any(s.status == "running" for s in states)


def _after_round(
    world: World,
    order: SwarmOrder,
    units: Units,
    memory: Memory,
    report: SchedulerReport,
) -> Decision[Memory]:
    good = tuple(u for u, states in units.items() if all(s.status == "completed" for s in states))
    where = f"round {world.round + 1}, " if order.rounds != 1 else ""
    bad = world.dropped | {
        f"{s.job.symbol} {s.job.mode}": f"{where}{s.job.phase} {s.status}: {s.error_message}"
        for s in world.jobs
        if s.is_over and s.status != "completed" and not s.job.hand
    }
    # A unit without a usable holdout has its results; it is complete, and only left out of further rounds.
    spent = holdouts.left_out(world, order)
    further = tuple(unit for unit in good if " ".join(unit) not in spent)
    if further and (order.rounds == 0 or world.round + 1 < order.rounds):
        return _begin_round(world.round + 1, further, world, bad, fill.carried(world), memory, report)
    # A time later than now is of another boot; the wait begins anew.
    since_s = memory.healing_since_s
    memory = replace(memory, healing_since_s=world.now_s if since_s is None or since_s > world.now_s else since_s)
    waited_s = world.now_s - (memory.healing_since_s or 0.0)
    if (steps := _open_steps(world)) and waited_s < _HEALING_S:
        reason = f"all jobs are done; the run stays open until these are healed: {', '.join(steps)}"
        return Decision(memory, reason, report=replace(report, stage="healing"))
    completed = list(dict.fromkeys([*(u for u in spent if u not in bad), *(f"{s} {m}" for s, m in good)]))
    why = _why_over(world.round + 1, len(completed), len(bad), spent)
    action = FinishRun(order.run_id, world.round + 1, tuple(completed), bad, why)
    return Decision(memory, f"the run is complete: {why}", (action,), replace(report, stage="complete"))


def _why_over(rounds: int, good: int, bad: int, spent: dict[str, str] | None = None) -> str:
    """Return why no further round follows."""
    if not good:
        return f"nothing is left to compute after round {rounds}: every symbol and mode failed"
    if spent:
        unit, why = next(iter(spent.items()))
        more = "" if len(spent) == 1 else f", and so is that of {len(spent) - 1} more"
        return f"another round could promote nothing after round {rounds}: {unit}: {why}{more}"
    done = "its one round is done" if rounds == 1 else f"all {rounds} rounds are done"
    return done + (f", {bad} of {good + bad} symbols and modes failed" if bad else "")


def _open_steps(world: World) -> list[str]:
    """Return the steps that the swarm itself still has to do, as session_state_manager reports them for this run."""
    told = world.reports.session_state_manager
    if told.run_id != world.run_id:
        return []
    return [step.id for step in told.next_steps or () if step.actionable]


OWNS = (EnqueueJobs, RestartUnits, FinishRun)
AGENT = Agent(Memory, decide, OWNS, frozenset({"code"}))
