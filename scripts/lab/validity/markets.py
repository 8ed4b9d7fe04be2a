"""Markets for the gate: real bars shuffled until no rule is left in them, and the same with a planted rule."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from config.modes import Mode
from config.settings import Costs
from WORKFLOW.data.bars import Bars, Floats
from WORKFLOW.data.resample import fair_market, priced, shapes
from WORKFLOW.engines.market import Market
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters

_HALVINGS = 10
_CLOSE, _DRAWS = 0.1, 20  # distance from the wanted Sharpe ratio; rules that are drawn until one comes that close
_MOST_DRIFT = 1.5e-4  # log return of a bar in the direction of the rule, 4 % a day: far beyond any wanted Sharpe ratio


@dataclass(frozen=True)
class Planted:
    """A market with a planted rule: the rule, and its net Sharpe ratio over all bars."""

    bars: Bars
    rule: Parameters
    sharpe_ratio: float


def noise(bars: Bars, block_bars: int, seed: np.random.SeedSequence) -> Bars:
    """Return `bars` without drift or order longer than a block; labelled as real, so that no check ends early."""
    return replace(fair_market(bars, block_bars, np.random.default_rng(seed)), synthetic=False)


def planted(
    bars: Bars, mode: Mode, costs: Costs, sharpe_ratio: float, block_bars: int, seed: np.random.SeedSequence
) -> Planted:
    """Return such a market in which one random combo of `mode` has about this net annual Sharpe ratio.

    While the combo is long on the market without a rule, every following bar drifts upwards, while it is short
    downwards, and the mean of the drift is removed again. Bisection finds the drift at which the combo has that Sharpe
    ratio on the market with the drift. The combo has the widest stop and limit of the space, so that the signal
    decides. A combo that no drift brings there (its signal is late on the other market) is drawn again.
    """
    random = np.random.default_rng(seed)
    still = noise(bars, block_bars, seed.spawn(1)[0])
    tries = [_brought_to(sharpe_ratio, still, _rule(mode, random), costs, mode)]
    while abs(tries[-1].sharpe_ratio - sharpe_ratio) > _CLOSE * sharpe_ratio and len(tries) < _DRAWS:
        tries.append(_brought_to(sharpe_ratio, still, _rule(mode, random), costs, mode))
    return min(tries, key=lambda one: abs(one.sharpe_ratio - sharpe_ratio))


def _brought_to(sharpe_ratio: float, still: Bars, rule: Parameters, costs: Costs, mode: Mode) -> Planted:
    evaluator = Evaluator(Market.of(still), space.family_of(mode), costs)
    signal = evaluator.signal(rule)
    side = np.where(np.arange(len(still)) < signal.first_side, 0.0, np.where(signal.side, 1.0, -1.0))
    after = np.append(0.0, side[:-1])
    after -= after.mean()
    low, high = 0.0, _MOST_DRIFT
    found = _with(still, rule, after * low, costs, mode)
    for _ in range(_HALVINGS):
        drift = (low + high) / 2
        found = _with(still, rule, after * drift, costs, mode)
        low, high = (drift, high) if found.sharpe_ratio < sharpe_ratio else (low, drift)
    return found


def _rule(mode: Mode, random: np.random.Generator) -> Parameters:
    drawn = space.draw(mode, 1, np.random.SeedSequence(int(random.integers(2**32)))).row(0)
    widest = {"stop_loss": max, "take_profit": max, "trailing_stop": min, "max_bars": min}
    for name, pick in widest.items():
        dimension: Any = mode.space[name]
        values = dimension.values if hasattr(dimension, "values") else (dimension.low, dimension.high)
        drawn[name] = pick(values)
    return drawn


def _with(still: Bars, rule: Parameters, drift: Floats, costs: Costs, mode: Mode) -> Planted:
    """Return `still` with a drift (n,) in every bar, from its open to its close."""
    gap, high, low, move = shapes(still)
    higher, lower = high + np.maximum(drift, 0.0), low + np.minimum(drift, 0.0)
    bars = replace(priced(still, gap, higher, lower, move + drift), synthetic=False)
    evaluator = Evaluator(Market.of(bars), space.family_of(mode), costs)
    return Planted(bars, rule, evaluator.metrics(rule, evaluator.whole).sharpe_ratio or 0.0)
