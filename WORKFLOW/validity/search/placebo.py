"""Placebo: the same search on markets without a pattern, to see how good its best looks where nothing can be found.

No formula knows how the combos of a space depend on each other, on the market's volatility and on the costs, but a
search of shuffled markets does. Its p-value is simple: the share of shuffled markets with an equally good best.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from WORKFLOW.data.bars import Bars
from WORKFLOW.data.resample import fair_market
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.metrics import SHARPE, TOTAL_TRADES
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos
from WORKFLOW.steps.keep import Steps


@dataclass(frozen=True)
class Placebo:
    """The result of the placebo test.

    `best` is the highest Sharpe ratio of `combos` on the real bars, and `luck` is that on each shuffled market. A
    market on which no combo traded enough has None; it counts as a market on which luck did worse.
    """

    p_value: float | None
    best: float | None
    luck: tuple[float | None, ...]
    combos: int
    block_bars: int

    def as_json(self) -> dict[str, Any]:
        """Return the record for `search.json`."""
        return asdict(self) | {"markets": len(self.luck), "luck": list(self.luck)}


def names(markets: int) -> list[str]:
    """Return the steps of `placebo`: the real bars, and each of so many markets."""
    return ["real bars beside shuffled markets", *(f"shuffled markets {number}" for number in range(markets))]


def placebo(
    evaluator: Evaluator,
    bars: Bars,
    combos: Combos,
    min_trades: int,
    markets: int,
    block_bars: int,
    seed: np.random.SeedSequence,
    threads: int,
    steps: Steps,
) -> Placebo:
    """Find the best of `combos` on `bars`, the bars of `evaluator`, and on `markets` shuffled markets.

    The real search counts as one of the draws, so the p-value is never 0. It is None if no combo traded enough on the
    real bars.
    """
    children = seed.spawn(markets)

    def shuffled(number: int) -> float | None:
        market = Market.of(fair_market(bars, block_bars, np.random.default_rng(children[number])))
        other = Evaluator(market, evaluator.family, evaluator.costs, evaluator.engine)
        return _best(other, combos, min_trades, threads)

    real, *others = names(markets)
    observed = steps.do(real, lambda: _best(evaluator, combos, min_trades, threads))
    luck = [steps.do(name, partial(shuffled, number)) for number, name in enumerate(others)]
    as_good = sum(best is not None and observed is not None and best >= observed for best in luck)
    p_value = None if observed is None else (1 + as_good) / (1 + markets)
    return Placebo(p_value, observed, tuple(luck), len(combos), block_bars)


def _best(evaluator: Evaluator, combos: Combos, min_trades: int, threads: int) -> float | None:
    table = evaluator.screen(combos, [evaluator.whole], threads)[0]
    sharpe = table[(table[:, TOTAL_TRADES] >= min_trades) & np.isfinite(table[:, SHARPE]), SHARPE]
    return float(sharpe.max()) if len(sharpe) else None
