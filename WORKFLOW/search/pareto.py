"""The Pareto front of several objectives: trials that no other trial beats in one without losing in another."""

from collections.abc import Sequence

import numpy as np

from config.search import OBJECTIVES
from WORKFLOW.search.objective import UNDEFINED_SHARPE
from WORKFLOW.search.study import Trial


def values(trial: Trial) -> tuple[float, ...]:
    """Return the values of all objectives, in the plan's order and with their own sign (a drawdown is positive)."""
    return (trial.result.value, *trial.result.others)


def front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Return the feasible trials that no other trial dominates, sorted by the first objective, best first.

    A trial dominates another if it is nowhere worse and somewhere better. Of trials with equal values, the first stands
    for all. A trial whose Sharpe ratio is undefined never belongs to the front.
    """
    known = [t for t in trials if t.feasible and t.result.value != UNDEFINED_SHARPE]
    distinct = list({values(trial): trial for trial in reversed(known)}.values())
    if not distinct:
        return []
    scores = np.array([values(trial) for trial in distinct]) * [OBJECTIVES[name] for name in objectives]
    is_dominated = [bool(np.any(np.all(scores >= mine, axis=1) & np.any(scores > mine, axis=1))) for mine in scores]
    kept = [trial for trial, beaten in zip(distinct, is_dominated, strict=True) if not beaten]
    return sorted(kept, key=lambda trial: (-trial.result.value, trial.number))
