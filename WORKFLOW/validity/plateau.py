"""Plateau or peak: the neighbours of a strategy in its parameter space, evaluated on the in-sample bars.

The neighbours of a value in a range lie a few percent of the value away, because markets and costs shift by percents,
whatever the step of the range is. They are snapped onto the range and lie at least one of its steps apart. The values
of a list have no distance: 15 and 60 minutes are two strategies and not neighbours. Heat maps show them side by side.
The plateau score covers ranges only, and lists only if a space has no range.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.modes import Choice, Dimension, Mode, Range
from config.settings import PlateauSettings
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.metrics import SCREEN, SHARPE
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import DIGITS, Combos, Parameters, family_of
from WORKFLOW.steps import exact
from WORKFLOW.validity.bands import BANDS, Bands

Value = int | float | str
Axes = Mapping[str, tuple[Value, ...]]
# The screen metrics that plateaus are measured by → 1 when more is better, -1 when less is better.
MEASURES = {"sharpe_ratio": 1, "total_return": 1, "max_drawdown_daily_pct": -1, "win_rate": 1}
_SCORE = 25  # percent: three quarters of the nearest neighbours reach this quantile
_HALF = 0.5  # of the strategy's own Sharpe ratio


@exact.record
@dataclass(frozen=True)
class Grid:
    """A heat map: `sharpe` (len(axes[y]), len(axes[x])) over the values of two dimensions, None where undefined."""

    x: str
    y: str
    sharpe: list[list[float | None]]


@exact.record
@dataclass(frozen=True)
class PlateauSummary:
    """The neighbours in numbers; None if there are none, or if the strategy's own Sharpe ratio is undefined."""

    evaluated: int
    neighbours: int
    undefined: int  # of the neighbours
    sharpe_ratio: Bands
    score: float | None  # the Sharpe ratio that three quarters of them reach
    share_of_half: float | None  # of neighbours with at least half of the strategy's Sharpe ratio
    rank: int | None  # of the strategy among them, 1 is the best


@exact.record
@dataclass(frozen=True)
class Plateau:
    """The neighbours of one strategy; `axes` are sorted and contain the strategy's values."""

    centre: Parameters
    sharpe: float | None
    summary: PlateauSummary
    axes: Axes
    ranges: tuple[str, ...]  # the dimensions that are ranges; the others are lists
    grids: tuple[Grid, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the record for `plateau.json`."""
        grids = [
            {"x": grid.x, "y": grid.y, "x_values": [*self.axes[grid.x]], "y_values": [*self.axes[grid.y]]}
            | {"sharpe_ratio": grid.sharpe}
            for grid in self.grids
        ]
        return {"parameters": self.centre, "sharpe_ratio": self.sharpe, "summary": asdict(self.summary), "grids": grids}


def scores(
    evaluator: Evaluator, mode: Mode, centres: Sequence[Parameters], settings: PlateauSettings, threads: int
) -> list[dict[str, float]]:
    """Return the plateau score of each of `centres` by each of `MEASURES`: what three quarters of its neighbours reach.

    More is better; a drawdown counts as negative. The score is the lower quartile and not the median, because a cliff
    on one side of one dimension leaves two thirds of the neighbours untouched. A neighbour whose measure is undefined
    does not trade, so nothing is known of it, and it counts as worse than all others. The score is -inf if more than a
    quarter are undefined, and if a space has no neighbours.
    """
    if not centres:
        return []
    near = [_nearest(mode, centre, settings) for centre in centres]
    table = _screened(evaluator, [parameters for some in near for parameters in some], threads)
    parts = np.split(table, np.cumsum([len(some) for some in near])[:-1])
    return [
        {key: _score(sign * part[:, SCREEN.index(key)]) if len(part) > 1 else -np.inf for key, sign in MEASURES.items()}
        for part in parts
    ]


def around(evaluator: Evaluator, mode: Mode, centre: Parameters, settings: PlateauSettings, threads: int) -> Plateau:
    """Evaluate the neighbours of `centre`: the nearest ones, and for each pair of dimensions all pairs of their values.

    In a pair, all other dimensions keep their value. Pairs are left out from the end where `max_neighbours` is
    exceeded.
    """
    axes = {name: values for name, values in _axes(mode, centre, settings).items() if len(values) > 1}
    ranges = tuple(name for name in axes if isinstance(mode.space[name], Range))
    near = _nearest(mode, centre, settings)
    pairs, tried = [], {_key(parameters): parameters for parameters in near}
    # Pairs of ranges come first, so that the heat maps of lists are the first to be left out.
    for x, y in sorted(itertools.combinations(axes, 2), key=lambda pair: sum(name not in ranges for name in pair)):
        more = {_key(parameters): parameters for parameters in _varied(mode, centre, {x: axes[x], y: axes[y]})}
        if len(tried | more) > settings.max_neighbours:
            break
        tried |= more
        pairs.append((x, y))
    values = _screened(evaluator, list(tried.values()), threads)[:, SHARPE]
    known = dict(zip(tried, values.tolist(), strict=True))
    grids = tuple(_grid(centre, x, y, axes, known) for x, y in pairs)
    return Plateau(centre, _plain(known[_key(centre)]), _summary(centre, near, known), axes, ranges, grids)


# neighbours -----------------------------------------------------------------------------------------------------------


def _axes(mode: Mode, centre: Parameters, settings: PlateauSettings) -> dict[str, tuple[Value, ...]]:
    return {name: _axis(dimension, centre[name], settings) for name, dimension in mode.space.items()}


def _axis(dimension: Dimension, value: Value, settings: PlateauSettings) -> tuple[Value, ...]:
    """Return the values to try in one dimension, sorted, with `value` among them."""
    if isinstance(dimension, Choice):
        known = dict.fromkeys((*dimension.values, value))
        return tuple(known) if any(isinstance(x, str) for x in known) else tuple(sorted(known))
    return tuple(_stepped(dimension, float(value), settings))


def _stepped(dimension: Range, value: float, settings: PlateauSettings) -> list[int | float]:
    here = round((value - dimension.low) / dimension.step)
    reach, others = 0, set()
    for step in range(settings.steps):
        wanted = abs(value) * settings.step_fraction * 2**step
        reach = max(reach + 1, round(wanted / dimension.step))
        others |= {
            min(max(at, 0), dimension.size - 1) for at in (here - reach, here + reach)
        }  # no further than the end
    values = [value, *(round(dimension.low + dimension.step * at, DIGITS) for at in others - {here})]
    return sorted(int(x) if dimension.is_integer else x for x in values)


def _nearest(mode: Mode, centre: Parameters, settings: PlateauSettings) -> list[Parameters]:
    """Return `centre` and its nearest valid neighbours: all combinations of one step down, none or up in all ranges.

    If these are more than `max_neighbours`, only two ranges change at a time. In a space without ranges, one list
    changes at a time and takes each of its values.
    """
    axes = _axes(mode, centre, settings)
    steps = {name: _beside(axes[name], centre[name]) for name in axes if isinstance(mode.space[name], Range)}
    steps = {name: values for name, values in steps.items() if len(values) > 1}
    if not steps:
        groups: list[Axes] = [{name: values} for name, values in axes.items()]
    elif 3 ** len(steps) <= settings.max_neighbours:
        groups = [steps]
    else:
        groups = [dict(pair) for pair in itertools.combinations(steps.items(), 2)]
    rows = [dict(centre), *(parameters for group in groups for parameters in _varied(mode, centre, group))]
    return list({_key(parameters): parameters for parameters in rows}.values())[: settings.max_neighbours]


def _beside(values: tuple[Value, ...], value: Value) -> tuple[Value, ...]:
    at = values.index(value)
    return values[max(at - 1, 0) : at + 2]


def _varied(mode: Mode, centre: Parameters, axes: Axes) -> list[Parameters]:
    """Return `centre` with every combination of the values of `axes` that the family calls valid."""
    rows: list[Parameters] = [
        {**centre, **dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())
    ]
    valid = family_of(mode).valid(Combos.of(rows).columns)
    return [row for row, is_valid in zip(rows, valid.tolist(), strict=True) if is_valid]


def _key(parameters: Parameters) -> tuple[Value, ...]:
    return tuple(parameters.values())


# numbers --------------------------------------------------------------------------------------------------------------


def _screened(evaluator: Evaluator, rows: list[Parameters], threads: int) -> Floats:
    """Return in-sample rows (k, 5) from the native engine, because the reference would take hours."""
    fast = replace(evaluator, engine="native") if evaluator.engine == "reference" else evaluator
    table: Floats = fast.screen(Combos.of(rows), [fast.whole], threads)[0]
    return table


def _score(values: Floats) -> float:
    return float(_quantiles(values, (_SCORE,))[0])


def _quantiles(values: NDArray[np.float64], percents: Sequence[int]) -> Floats:
    """Return quantiles that are elements of `values` (n,) and never lie between two; NaN counts as -inf."""
    ranked = np.sort(np.where(np.isnan(values), -np.inf, values))
    at = [(len(ranked) - 1) * percent // 100 for percent in percents]
    picked: Floats = ranked[at]
    return picked


def _summary(centre: Parameters, near: list[Parameters], known: Mapping[tuple[Value, ...], float]) -> PlateauSummary:
    own, values = known[_key(centre)], np.array([known[_key(parameters)] for parameters in near])
    others = values[1:]  # the centre comes first
    is_alone = len(others) == 0
    bands = Bands() if is_alone else Bands(*map(_plain, _quantiles(values, BANDS)))
    half = float(np.mean(others >= _HALF * own)) if own > 0 and not is_alone else None
    return PlateauSummary(
        evaluated=len(known),
        neighbours=len(others),
        undefined=int(np.isnan(others).sum()),
        sharpe_ratio=bands,
        score=None if is_alone else _plain(_score(values)),
        share_of_half=half,
        rank=None if is_alone or np.isnan(own) else int((others > own).sum()) + 1,
    )


def _grid(centre: Parameters, x: str, y: str, axes: Axes, known: Mapping[tuple[Value, ...], float]) -> Grid:
    def sharpe(of_x: Value, of_y: Value) -> float | None:
        return _plain(known.get(_key({**centre, x: of_x, y: of_y}), np.nan))

    return Grid(x, y, [[sharpe(of_x, of_y) for of_x in axes[x]] for of_y in axes[y]])


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
