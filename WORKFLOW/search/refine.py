"""Try more combos near the best of a prescreen, on the same in-sample bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.modes import Choice, Dimension, Mode, Range
from WORKFLOW.engines.metrics import SHARPE
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import DIGITS, Combos, Parameters, coded, family_of

_SPREAD = 0.05  # standard deviation of a step, as a fraction of the range: small, but rarely no step at all
_STAYS = 0.8  # probability that a choice keeps its value
_REDRAWS = 100


@dataclass(frozen=True)
class Refined:
    """The result of a refinement: combos tried, combos with enough trades, and the best with their Sharpe ratio."""

    tried: int
    eligible: int
    best: tuple[tuple[float, Parameters], ...]


def around(mode: Mode, centres: Sequence[Parameters], n: int, seed: np.random.SeedSequence) -> Combos:
    """Return n valid combos, each near one of `centres` (parameters of this mode); the same seed gives the same."""
    family, random = family_of(mode), np.random.default_rng(seed)
    held = Combos.of(list(centres)).columns
    which = random.integers(0, len(centres), n)
    columns = {name: _near(dimension, held[name][which], random) for name, dimension in mode.space.items()}
    for _ in range(_REDRAWS):
        invalid = np.flatnonzero(~family.valid(columns))
        if not len(invalid):
            return Combos(columns)
        for name, dimension in mode.space.items():
            columns[name][invalid] = _near(dimension, held[name][which[invalid]], random)
    for name in mode.space:  # what is still invalid becomes its centre, which is valid
        columns[name][invalid] = held[name][which[invalid]]
    return Combos(columns)


def screen(
    evaluator: Evaluator, combos: Combos, threads: int, min_trades: int, keep: int, held: int, on_part: Any
) -> Refined:
    """Try `combos`, `held` at a time; `on_part` receives the number done. Undefined Sharpe ratios (NaN) never count."""
    eligible = 0
    best: list[tuple[float, Parameters]] = []
    for first in range(0, len(combos), held):
        part = combos[first : first + held]
        of_part = evaluator.best(part, min_trades, keep, threads)
        eligible += of_part.eligible
        sharpe = of_part.table[:, SHARPE]
        leading = np.lexsort((of_part.combos, -sharpe))[:keep]
        rows = ((float(sharpe[i]), part.row(int(of_part.combos[i]))) for i in leading)
        best = sorted([*best, *rows], key=lambda b: -b[0])
        best = best[:keep]
        on_part(first + len(part))
    return Refined(len(combos), eligible, tuple(best))


def _near(dimension: Dimension, values: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Move each value by a few steps inside the dimension; a choice keeps its value or is drawn again."""
    if isinstance(dimension, Choice):
        options = np.array([coded(value) for value in dimension.values])
        drawn = options[random.integers(0, len(options), len(values))]
        stays = (random.random(len(values)) < _STAYS) & np.isin(values, options)
        return np.where(stays, values, drawn)
    return _stepped(dimension, values, random)


def _stepped(dimension: Range, values: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    here: NDArray[np.float64] = np.rint((values - dimension.low) / dimension.step)
    steps = here + np.rint(random.normal(0.0, max(1.0, _SPREAD * dimension.size), len(values)))
    on_grid = np.clip(steps, 0, dimension.size - 1).astype(np.int64)
    moved: NDArray[Any] = dimension.low + dimension.step * on_grid
    return moved.astype(np.int64) if dimension.is_integer else np.round(moved, DIGITS)
