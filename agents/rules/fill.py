"""Useful work for lanes that would idle: hands for studies that are open, combos around what is promising.

A hand on an open study changes nothing but its time: trials are asked in sealed batches, so results are the same for
any number of hands. Refining tries more combos near the best of the prescreen; what it finds is tried first in the next
round, counts as tries against luck there, is bounded in volume, and ends as soon as the pipeline wants its lane.
"""

from agents.model.world import Worker, World
from config.swarm import SwarmSettings
from state.records.jobs import FILL, Job, JobState
from state.records.orders import SwarmOrder

_LEAST_S = 20.0  # a hand costs seconds to come up: it is worth it when so much is left


def jobs(world: World, order: SwarmOrder, limits: SwarmSettings) -> list[Job]:
    """As many jobs as lanes would idle now."""
    idle = _idle_lanes(world)
    hands = _hands(world, order)[:idle]
    return [*hands, *_refinements(world, order, limits)[: idle - len(hands)]]


def carried(world: World) -> dict[str, list[int]]:
    """Unit → the refinements that are through: the next round builds on exactly these."""
    through: dict[str, list[int]] = {}
    for state in world.fills:
        if state.status == "completed":
            through.setdefault(" ".join(state.job.unit), []).append(state.job.shard)
    return through


def _idle_lanes(world: World) -> int:
    """Lanes that may be filled, less those at work or about to be; a prescreen on two cores holds two."""
    may = world.reports.util_controller.fill_lanes
    held = sum(_lanes_of(worker, world) for worker in world.workers if not worker.launch.gpu)
    waiting = sum(state.status == "pending" for state in (*world.jobs, *world.fills))
    return max(0, min(may, len(world.lanes)) - held - waiting)


def _lanes_of(worker: Worker, world: World) -> int:
    """Lanes whose cores it keeps busy: a validation computes in several threads for about half of its time."""
    cores = next((lane.cores for lane in world.lanes), 1)
    lanes = max(1, worker.launch.cores // cores)
    return (lanes + 1) // 2 if worker.launch.job.phase == "validate" else lanes


def _hands(world: World, order: SwarmOrder) -> list[Job]:
    """One more for each study that is open long enough."""
    found = []
    for unit in order.units:
        states = [s for s in world.jobs if s.job.unit == unit and s.job.phase == "search"]
        at_work = [w for w in world.workers if w.launch.job.unit == unit and w.launch.job.phase == "search"]
        is_full = len(states) >= order.settings["search"]["batch_trials"]
        if at_work and not is_full and all(s.status == "running" for s in states) and _left_s(at_work) > _LEAST_S:
            one = states[0].job
            found.append(Job(one.round, one.symbol, one.mode, "search", len(states), len(states) + 1, hand=True))
    return found


def _left_s(workers: list[Worker]) -> float:
    """How long the study still takes; nothing where nobody can tell."""
    rates = [w.rate_per_s for w in workers if w.rate_per_s]
    left = min((w.total - w.done for w in workers), default=0)
    return left / max(rates) if rates else 0.0


def _refinements(world: World, order: SwarmOrder, limits: SwarmSettings) -> list[Job]:
    """The next one of each unit that has a prescreen to build on, and a round that will build on it."""
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
    """Its prescreen is merged, and its bars are still on file: the report, its last phase, drops them."""
    states = {s.job.phase: s for s in world.jobs if s.job.unit == unit}
    merged: JobState | None = states.get("merge")
    return merged is not None and merged.status == "completed" and "report" not in states
