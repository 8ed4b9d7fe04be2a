"""How long phases took, in this run and before, and the band that follows for the time left."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from agents.model.world import World
from agents.rules import progress, remaining
from agents.rules.remaining import Band, PhaseCosts
from state.files.journal import Journal
from state.files.layout import Roots
from state.records import orders
from state.records.orders import SwarmOrder
from state.records.timeline import Cost, Timeline

_ROUNDS = 3  # the last of a run that are looked at
_RUNS = 3  # earlier ones with the same settings,
_LOOKED_AT = 10  # looked for among so many


def timeline(roots: Roots, world: World) -> Timeline:
    """The round under way; an empty one before the first."""
    if world.order is None or world.round < 0:
        return Timeline(())
    return _timeline(roots.swarm_run(world.run_id).round(world.round).jobs)


def left(roots: Roots, world: World, here: Timeline) -> Band | None:
    """How long the run still takes, or its round where rounds go on until stop; None: nothing on file can tell."""
    order = world.order
    if order is None or world.run_finished or world.stopped or not world.jobs:
        return None
    after = max(0, order.rounds - 1 - world.round)
    before = tuple(_before(roots, order, world.round))
    known = PhaseCosts(here.costs(world.now), before, progress.done_of(world), here.bars)
    return remaining.left(remaining.going(world, order), after, known)


def _before(roots: Roots, order: SwarmOrder, number: int) -> Iterator[Cost]:
    """Of earlier rounds of this run, and of the last runs with the same settings on the same bars."""
    folder = roots.swarm_run(order.run_id)
    for earlier in range(max(0, number - _ROUNDS), number):
        yield from _costs(folder.round(earlier).jobs)
    names = [run.path.name for run in roots.runs() if run.path.name < order.run_id][-_LOOKED_AT:]
    earlier_orders = (orders.read(roots.swarm_run(name).order) for name in reversed(names))
    alike = [one for one in earlier_orders if one is not None and _is_alike(one, order)]
    for one in alike[:_RUNS]:
        for round_folder in roots.swarm_run(one.run_id).rounds()[-_ROUNDS:]:
            yield from _costs(round_folder.jobs)


def _is_alike(one: SwarmOrder, other: SwarmOrder) -> bool:
    """Whether phases of the one say what those of the other cost: seed and modes do not matter."""
    same_settings = all(one.settings.get(key) == value for key, value in other.settings.items() if key != "run")
    return same_settings and (one.data_path, one.engine, one.gpu) == (other.data_path, other.engine, other.gpu)


def _costs(path: Path) -> tuple[Cost, ...]:
    """Of a round that is over; its journal no longer changes, so a page that is drawn every second reads it once."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return _costs_as_of(path, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=64)
def _costs_as_of(path: Path, _version: tuple[int, int]) -> tuple[Cost, ...]:
    return tuple(cost for cost in _timeline(path).costs("").values() if cost.is_clean)


def _timeline(path: Path) -> Timeline:
    return Timeline(Journal(path).read().records)
