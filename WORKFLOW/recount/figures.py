"""Compute the figures of one simulation again, from its daily equity and its closed trades, to the bit.

Some figures need every bar's close (`max_drawdown`, `exposure`, `turnover`). They are bounded here, and a replay
computes them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.engines import metrics
from WORKFLOW.recount.files import Simulation

_BAR_S = BASE_MINUTES * 60
_NOISE = 1e-9  # of the equity; adding up profits in another order may differ by this much


def contradictions(where: str, run: Simulation, said: dict[str, Any], bars: int, capital: float) -> Iterator[str]:
    """Yield each metric in `said`, of a simulation over `bars` bars, that its equity and trades contradict."""
    for name, found in again(run, said, bars, capital).items():
        if said.get(name) != found:
            yield f"{where}: {name} is said to be {said.get(name)}, its equity and trades make it {found}"
    deepest, daily = said.get("max_drawdown_pct"), said.get("max_drawdown_daily_pct")
    if deepest is not None and daily is not None and deepest < daily:
        yield f"{where}: max_drawdown_pct is said to be {deepest}, its daily marks alone fall by {daily}"
    if not said.get("ruined") and not (run.marks > 0.0).all():
        yield f"{where}: it is said not to be ruined, its equity falls to {run.marks.min()}"
    yield from _torn(where, run, capital)


def again(run: Simulation, said: dict[str, Any], bars: int, capital: float) -> dict[str, Any]:
    """Return the metrics that daily equity and trades determine; an undefined one is None, as in `metrics.json`."""
    held = (run.exit - run.entry) // _BAR_S
    drawdown = float(said.get("max_drawdown_pct") or 0.0)
    values = metrics.of_marks(run.marks, run.pnl, held, metrics.years_of(bars), capital, drawdown)
    traded = len(run.pnl) > 0 or bool((run.marks != capital).any())
    defined = {name: metrics.or_none(value) if traded else None for name, value in values.items()}
    return defined | {"total_trades": len(run.pnl), "days": len(run.marks)}


def _torn(where: str, run: Simulation, capital: float) -> Iterator[str]:
    """Yield a contradiction between equity and trades.

    Every trade must begin with the profits so far, and so must every day without a position.
    """
    if not len(run.pnl):
        return
    before = capital + np.concatenate([[0.0], np.cumsum(run.pnl)])
    wrong = np.abs(before[:-1] * run.net - run.pnl) > _NOISE * np.maximum(np.abs(before[:-1]), capital)
    if wrong.any() or (run.exit < run.entry).any() or (run.entry[1:] < run.exit[:-1]).any():
        yield f"{where}: its trades do not follow from each other"
    closed = np.searchsorted(run.exit, run.days, side="right")
    begun = np.searchsorted(run.entry, run.days, side="right")
    flat = (begun <= closed) & (run.days <= run.exit[-1])  # a trade after the last exit may be open, and is not listed
    if (np.abs(run.marks - before[closed])[flat] > _NOISE * np.maximum(np.abs(before[closed])[flat], capital)).any():
        yield f"{where}: its equity on days without a position is not what its trades earned"
