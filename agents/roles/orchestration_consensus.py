"""Score how far the swarm is from what is expected, how fast and how efficiently it works; settle contradictions.

There are three scores from 0 to 100; None means that a score is unknown:

- **deviation** is the share of the expectations that do not hold, of those that can be judged now. The expectations:
  each agent is fresh; each worker's counter advances; jobs move (since the last look a job was completed or a worker
  advanced); the use of the CPU (and of GPUs, if there are any) reaches its target while jobs wait; each agent's last
  actions had their effect.
- **performance** compares each measure of throughput (combos/s and trials/s as workers report them, jobs completed per
  hour) with the median of its recent history. Each measure counts 100 at most; the score is the mean of those with a
  history.
- **efficiency** is the use of the CPU times the useful share. The useful share is the part of all progress between
looks
  that went beyond what the job had reached before; the rest repeats work that a worker's death had cost.
"""

from collections.abc import Mapping
from statistics import median

from agents.model.decision import Agent, Decision
from agents.model.world import Worker, World, patience_s
from agents.rules.contradictions import arbitrate
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Signals
from state.records.reports import ConsensusReport

_CADENCE_S = 30.0
_LOOKS = 20  # looks that are remembered: ten minutes at the default cadence
_HISTORY = 3  # readings that a measure needs before its median counts as usual
_HOUR_S = 3600.0
_SHORTEST_S = 60.0  # seconds: a shorter span says nothing about jobs per hour
_UNITS = {"prescreen": "combos_per_s", "search": "trials_per_s"}


@dataclass(frozen=True)
class Look:
    """The progress since the last look, in parts of jobs, and how many jobs of all rounds were complete at `at_s`."""

    at_s: float
    useful: float
    repeated: float
    completed: int


@dataclass(frozen=True)
class Memory:
    """The last looks, the history of each measure of throughput, the workers' counters, and the completed jobs."""

    boot_id: str = ""
    run_id: str = ""
    round: int = -1
    completed_before: int = 0  # in rounds that are over
    completed: int = 0  # in the round under way
    looks: tuple[Look, ...] = ()
    usual: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)  # worker id → its counter at the last look
    moved: bool | None = None


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report the scores, the signals behind them, and which signal is believed where two contradict each other."""
    if world.order is None or world.stopped or world.run_finished:
        why = "there is no run" if world.order is None else "the operator stopped the swarm" if world.stopped else ""
        return Decision(Memory(), why or "the run is complete", report=ConsensusReport(world.run_id or None))
    memory = _looked(world, memory, limits)
    now = _throughput(world, memory)
    expectations = _expectations(world, memory, limits)
    useful = _useful_share(memory)
    scores = {
        "deviation": _deviation(expectations),
        "performance": _performance(now, memory),
        "efficiency": _efficiency(world, useful),
    }
    arbitrated = arbitrate(world, limits)
    signals = Signals(
        cpu_pct=world.control.cpu_pct,
        gpu_pct=world.control.gpu_pct,
        queue=_waiting(world),
        workers=len(world.workers),
        useful_pct=None if useful is None else round(100 * useful, 1),
        expectations=len(expectations),
        broken=tuple(sorted(name for name, holds in expectations.items() if holds is False)),
        stale=tuple(view.agent for view in world.agents if view.is_stale(limits)),
        **now,
    )
    said = ", ".join(f"{name} {'unknown' if value is None else f'{value:.0f}'}" for name, value in scores.items())
    names = "; ".join(one.rule for one in arbitrated)
    report = ConsensusReport(world.run_id, **scores, signals=signals, arbitrated=arbitrated)
    return Decision(_remembering(memory, now), f"{said}{'; settled: ' if names else ''}{names}", report=report)


# what is expected -----------------------------------------------------------------------------------------------------


def _expectations(world: World, memory: Memory, limits: SwarmSettings) -> dict[str, bool | None]:
    """Return every expectation that can be judged now, and whether it holds."""
    found: dict[str, bool | None] = {f"{view.agent} is fresh": not view.is_stale(limits) for view in world.agents}
    found |= {
        f"{view.agent}'s actions had their effect": not (view.unmet or view.failed)
        for view in world.agents
        if view.cycle > 0
    }
    found |= {f"{one.launch.worker_id} advances": _advances(one, limits) for one in world.workers}
    found["jobs move"] = memory.moved if world.workers or _waiting(world) else None
    least = limits.use.cpu_target_pct - limits.use.dead_band_pct
    found["CPU at its target"] = _reaches(world.control.cpu_pct, least) if _waiting(world) else None
    least = limits.use.gpu_target_pct - limits.use.dead_band_pct
    has_gpus = bool(world.control.gpus)
    found["GPU at its target"] = _reaches(world.control.gpu_pct, least) if has_gpus and _waiting(world) else None
    return {name: holds for name, holds in found.items() if holds is not None}


def _advances(worker: Worker, limits: SwarmSettings) -> bool | None:
    if worker.life == "unknown":
        return None
    if worker.exit is not None and worker.result is not None:
        return True  # the worker is done, and the sentry has not accounted for it yet
    return worker.life == "running" and worker.silent_s <= limits.hang.after_s


def _reaches(value: float | None, least: float) -> bool | None:
    return None if value is None else value >= least


def _waiting(world: World) -> int:
    return sum(state.may_start(world.now_s) for state in world.jobs)


def _deviation(expectations: Mapping[str, bool | None]) -> float | None:
    if not expectations:
        return None
    return round(100 * sum(holds is False for holds in expectations.values()) / len(expectations), 1)


# how fast -------------------------------------------------------------------------------------------------------------


def _throughput(world: World, memory: Memory) -> dict[str, float | None]:
    """Return every measure as it is now; None when no worker reports it."""
    now: dict[str, float | None] = {}
    for phase, name in _UNITS.items():
        rates = [w.rate_per_s for w in world.workers if w.launch.job.phase == phase and w.rate_per_s is not None]
        now[name] = round(sum(rates), 3) if rates else None
    return {**now, "jobs_per_hour": _jobs_per_hour(memory)}


def _jobs_per_hour(memory: Memory) -> float | None:
    if len(memory.looks) < 2:
        return None
    first, last = memory.looks[0], memory.looks[-1]
    span_s = last.at_s - first.at_s
    return round((last.completed - first.completed) / span_s * _HOUR_S, 1) if span_s >= _SHORTEST_S else None


def _performance(now: Mapping[str, float | None], memory: Memory) -> float | None:
    shares = []
    for name, value in now.items():
        usual = memory.usual.get(name, ())
        if value is not None and len(usual) >= _HISTORY and median(usual) > 0:
            shares.append(min(1.0, value / median(usual)))
    return round(100 * sum(shares) / len(shares), 1) if shares else None


def _remembering(memory: Memory, now: Mapping[str, float | None]) -> Memory:
    """Return the memory with this look's readings in the history. Unknown readings are left out."""
    usual = dict(memory.usual)
    for name, value in now.items():
        if value is not None:
            usual[name] = (*usual.get(name, ()), value)[-_LOOKS:]
    return replace(memory, usual=usual)


# how well -------------------------------------------------------------------------------------------------------------


def _efficiency(world: World, useful: float | None) -> float | None:
    cpu_pct = world.control.cpu_pct
    return None if cpu_pct is None or useful is None else round(min(max(cpu_pct, 0.0), 100.0) * useful, 1)


def _useful_share(memory: Memory) -> float | None:
    useful = sum(look.useful for look in memory.looks)
    repeated = sum(look.repeated for look in memory.looks)
    return useful / (useful + repeated) if useful + repeated > 0 else None


def _looked(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return the memory with this look in it.

    After a stop or a suspend the window of looks begins anew, in another boot or run everything but the usual
    throughput. In another round, completed jobs are counted on.
    """
    if memory.looks and world.now_s - memory.looks[-1].at_s > patience_s(_CADENCE_S, limits):
        memory = replace(memory, looks=())
    if (memory.boot_id, memory.run_id) != (world.boot_id, world.run_id):
        memory = Memory(boot_id=world.boot_id, run_id=world.run_id, round=world.round, usual=memory.usual)
    if memory.round != world.round:
        before = memory.completed_before + memory.completed
        memory = replace(memory, round=world.round, completed_before=before, completed=0)
    completed = sum(state.status == "completed" for state in world.jobs)
    # The first look has nothing to compare with, so whether jobs move is unknown.
    is_first = not memory.looks
    useful, repeated, advanced = 0.0, 0.0, False
    reached = {state.job.job_id: state.last_done for state in world.jobs}
    for worker in world.workers:
        more, again = _progress(worker, memory, reached.get(worker.launch.job.job_id, 0))
        useful, repeated, advanced = useful + more, repeated + again, advanced or more + again > 0
    look = Look(world.now_s, useful, repeated, memory.completed_before + completed)
    return replace(
        memory,
        completed=completed,
        looks=(*(one for one in memory.looks if one.at_s < world.now_s), look)[-_LOOKS:],
        done={worker.launch.worker_id: worker.done for worker in world.workers},
        moved=None if is_first else advanced or completed > memory.completed or len(memory.done) != len(world.workers),
    )


def _progress(worker: Worker, memory: Memory, reached: int) -> tuple[float, float]:
    """Return a worker's progress since the last look, in parts of its job: beyond `reached`, and below it.

    `reached` is where the job was before this worker. The first worker of a job began at 0. Where a later worker began
    is unknown, so its progress below `reached` before the first look counts as neither.
    """
    if worker.total <= 0:
        return 0.0, 0.0
    # A later worker continues where an earlier one had saved its work, which lies anywhere up to `reached`.
    first = 0 if worker.launch.epoch <= 1 else min(reached, worker.done)
    begin = memory.done.get(worker.launch.worker_id, first)
    again = max(0, min(worker.done, reached) - begin)
    more = max(0, worker.done - max(begin, reached))
    return more / worker.total, again / worker.total


OWNS = ()
AGENT = Agent(Memory, decide, OWNS)
