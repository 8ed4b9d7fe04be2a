"""How far a unit (symbol and mode) is: its phase, since when, and the share of its work that is done."""

from collections.abc import Iterable

from agents.model.world import World
from state.records.jobs import PHASES, JobState
from state.records.timeline import Timeline, Unit

# Measured seconds on two cores over two years of bars; only their proportions count. A validation takes the time of 39
# shuffled markets, the walk-forward and the proofs, and of one more pass over all combos.
_SECONDS = {"preflight": 4.0, "prescreen": 0.0, "merge": 1.0, "search": 0.0, "validate": 60.0, "report": 1.0}
_SECONDS_A_COMBO = {"prescreen": 1.2e-4, "validate": 1.2e-4}
_SECONDS_A_TRIAL = {"search": 0.02}


def phase(states: Iterable[JobState]) -> str | None:
    """Return the latest phase among these jobs; None when there is no job."""
    return max((state.job.phase for state in states), key=PHASES.index, default=None)


def since(unit: Unit, world: World, line: Timeline) -> str | None:
    """Return the time since which the unit is in its phase, waits, or is over; None when it is not on record."""
    states = [state for state in world.jobs if state.job.unit == unit and not state.job.hand]
    newest = phase(states)
    is_at_work = any(state.status == "running" for state in states if state.job.phase == newest)
    return line.since(unit, newest if is_at_work else None)


def is_reported(states: Iterable[JobState]) -> bool:
    """Whether the unit's last phase, the report, is completed."""
    return any(state.job.phase == PHASES[-1] and state.status == "completed" for state in states)


def percent(states: list[JobState], world: World) -> float:
    """Return the percentage of a unit's work that is done; `states` are the unit's jobs."""
    return 100.0 if is_reported(states) else sum(_share(name, states, world) for name in PHASES)


def done_of(world: World) -> dict[tuple[Unit, str], float]:
    """Return the share (0 to 1) of each phase of each unit that its workers' counters report as done."""
    found: dict[tuple[Unit, str], list[float]] = {}
    for state in world.jobs:
        found.setdefault((state.job.unit, state.job.phase), []).append(_done(state, world))
    return {key: sum(some) / len(some) for key, some in found.items()}


def _share(name: str, states: list[JobState], world: World) -> float:
    """Return the percentage of the unit's whole work that is done in this phase."""
    mine = [state for state in states if state.job.phase == name]
    if not mine:
        return 0.0
    weights = _weights(world)
    return 100.0 * weights[name] / sum(weights.values()) * sum(_done(state, world) for state in mine) / len(mine)


def _done(state: JobState, world: World) -> float:
    """Return the share of a job that is done, from 0 to 1. A completed job counts as 1 whatever its counter says."""
    counted = (one.done / one.total for one in world.workers_of(state.job.job_id) if one.total)
    return 1.0 if state.status == "completed" else max(counted, default=0.0)


def _weights(world: World) -> dict[str, float]:
    """Return the weight of each phase in the progress of a unit, by the sizes that the order asks for."""
    asked = world.order.settings if world.order is not None else {}
    combos = asked.get("prescreen", {}).get("combos", 0)
    trials = asked.get("search", {}).get("trials", 0)
    return {
        name: fixed + _SECONDS_A_COMBO.get(name, 0.0) * combos + _SECONDS_A_TRIAL.get(name, 0.0) * trials
        for name, fixed in _SECONDS.items()
    }
