"""Useful work for lanes that would idle: further workers (hands) for open studies, and combos near promising ones.

A hand only shortens a study: trials are asked in sealed batches, so the results are the same for any number of hands. A
refinement tries more combos near the best of the prescreen. The next round tries what it finds first, and counts its
combos as tries when a result is compared with luck. Refinements are bounded in number, and end as soon as the pipeline
wants their lane.
"""

from agents.model.world import Worker, World
from config.swarm import SwarmSettings
from state.records.jobs import FILL, Job, JobState
from state.records.orders import SwarmOrder

_LEAST_S = 20.0  # a hand takes seconds to start, so it pays only when a study takes at least this much longer


def jobs(world: World, order: SwarmOrder, limits: SwarmSettings) -> list[Job]:
    """Return at most one job for each lane that would idle now: hands first, then refinements."""
    idle = _idle_lanes(world)
    hands = _hands(world, order)[:idle]
    return [*hands, *_refinements(world, order, limits)[: idle - len(hands)]]


def carried(world: World) -> dict[str, list[int]]:
    """Return for each unit the numbers of its completed refinements. The next round builds on exactly these."""
    through: dict[str, list[int]] = {}
    for state in world.fills:
        if state.status == "completed":
            through.setdefault(" ".join(state.job.unit), []).append(state.job.shard)
    return through


def _idle_lanes(world: World) -> int:
    """Return how many lanes may be filled: the target less the lanes at work and the jobs that wait for one."""
    may = world.reports.util_controller.fill_lanes
    held = sum(_lanes_of(worker, world) for worker in world.workers if not worker.launch.gpu)
    waiting = sum(state.status == "pending" for state in (*world.jobs, *world.fills))
    return max(0, min(may, len(world.lanes)) - held - waiting)


def _lanes_of(worker: Worker, world: World) -> int:
    """Return how many lanes' cores a worker keeps busy. A validation uses all its cores for half of its time."""
    cores = next((lane.cores for lane in world.lanes), 1)
    lanes = max(1, worker.launch.cores // cores)
    return (lanes + 1) // 2 if worker.launch.job.phase == "validate" else lanes


def _hands(world: World, order: SwarmOrder) -> list[Job]:
    """Return one more hand for each study that all its workers still work on and that takes long enough."""
    found = []
    for unit in order.units:
        states = [s for s in world.jobs if s.job.unit == unit and s.job.phase == "search"]
        at_work = [w for w in world.workers if w.launch.job.unit == unit and w.launch.job.phase == "search"]
        # Trials are asked in batches: more workers than trials in a batch would only wait.
        is_full = len(states) >= order.settings["search"]["batch_trials"]
        if at_work and not is_full and all(s.status == "running" for s in states) and _left_s(at_work) > _LEAST_S:
            one = states[0].job
            found.append(Job(one.round, one.symbol, one.mode, "search", len(states), len(states) + 1, hand=True))
    return found


def _left_s(workers: list[Worker]) -> float:
    """Return the seconds that the study still takes; 0.0 when no worker has a rate yet."""
    rates = [w.rate_per_s for w in workers if w.rate_per_s]
    left = min((w.total - w.done for w in workers), default=0)
    return left / max(rates) if rates else 0.0


def _refinements(world: World, order: SwarmOrder, limits: SwarmSettings) -> list[Job]:
    """Return the next refinement of each unit whose prescreen is merged, if a further round will build on it."""
    # After the last round nothing would build on what a refinement finds.
    if order.rounds and world.round + 1 >= order.rounds:
        return []
    most = int(limits.jobs.fill_volume * order.settings["prescreen"]["combos"] // limits.jobs.fill_combos)
    found = []
    for unit in order.units:
        mine = [s for s in world.fills if s.job.unit == unit]
        if _is_open(unit, world) and len(mine) < most and all(s.status == "completed" for s in mine):
            found.append((len(mine), Job(world.round, *unit, FILL, len(mine), most)))
    return [job for _, job in sorted(found, key=lambda pair: pair[0])]


def _is_open(unit: tuple[str, str], world: World) -> bool:
    """Whether the unit's prescreen is merged and its bars are still on file: the report, the last phase, drops them."""
    states = {s.job.phase: s for s in world.jobs if s.job.unit == unit}
    merged: JobState | None = states.get("merge")
    return merged is not None and merged.status == "completed" and "report" not in states
