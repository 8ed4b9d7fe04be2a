"""How far a symbol and mode is: its phase, since when, and its share of the work that is done."""

from collections.abc import Iterable

from agents.model.world import World
from state.records.jobs import PHASES, JobState
from state.records.timeline import Timeline, Unit

# Seconds on two cores over two years of bars, measured; only their proportions count. Validation: 39 shuffled markets,
# walk-forward, proofs; then one more pass over all combos.
_SECONDS = {"preflight": 4.0, "prescreen": 0.0, "merge": 1.0, "search": 0.0, "validate": 60.0, "report": 1.0}
_SECONDS_A_COMBO = {"prescreen": 1.2e-4, "validate": 1.2e-4}
_SECONDS_A_TRIAL = {"search": 0.02}


def phase(states: Iterable[JobState]) -> str | None:
    """The newest phase of some jobs; None without any."""
    return max((state.job.phase for state in states), key=PHASES.index, default=None)


def since(unit: Unit, world: World, line: Timeline) -> str | None:
    """When the phase that a symbol and mode is in began, or since when it waits or is over; None: not on file."""
    states = [state for state in world.jobs if state.job.unit == unit and not state.job.hand]
    newest = phase(states)
    is_at_work = any(state.status == "running" for state in states if state.job.phase == newest)
    return line.since(unit, newest if is_at_work else None)


def is_reported(states: Iterable[JobState]) -> bool:
    """Whether the last phase is done, and with it all of the unit's work."""
    return any(state.job.phase == PHASES[-1] and state.status == "completed" for state in states)


def percent(states: list[JobState], world: World) -> float:
    """How much of a unit's work is done."""
    return 100.0 if is_reported(states) else sum(_share(name, states, world) for name in PHASES)


def done_of(world: World) -> dict[tuple[Unit, str], float]:
    """How far each phase of each symbol and mode is by the counters of its workers; a completed job counts whole."""
    found: dict[tuple[Unit, str], list[float]] = {}
    for state in world.jobs:
        found.setdefault((state.job.unit, state.job.phase), []).append(_done(state, world))
    return {key: sum(some) / len(some) for key, some in found.items()}


def _share(name: str, states: list[JobState], world: World) -> float:
    """How much of a unit's work this phase has contributed, in percent of the whole."""
    mine = [state for state in states if state.job.phase == name]
    if not mine:
        return 0.0
    weights = _weights(world)
    return 100.0 * weights[name] / sum(weights.values()) * sum(_done(state, world) for state in mine) / len(mine)


def _done(state: JobState, world: World) -> float:
    """How much of a job is done, from 0 to 1."""
    counted = (one.done / one.total for one in world.workers_of(state.job.job_id) if one.total)
    return 1.0 if state.status == "completed" else max(counted, default=0.0)


def _weights(world: World) -> dict[str, float]:
    """What each phase of a unit is worth in one bar over all of them."""
    asked = world.order.settings if world.order is not None else {}
    combos = asked.get("prescreen", {}).get("combos", 0)
    trials = asked.get("search", {}).get("trials", 0)
    return {
        name: fixed + _SECONDS_A_COMBO.get(name, 0.0) * combos + _SECONDS_A_TRIAL.get(name, 0.0) * trials
        for name, fixed in _SECONDS.items()
    }
