"""What buying and holding would have given: the least that a strategy has to be better than."""

from dataclasses import dataclass

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window


@dataclass(frozen=True)
class Holding:
    """What holding came to: annualised Sharpe ratio (None when undefined), return and drawdown as fractions."""

    sharpe_ratio: float | None
    total_return: float
    max_drawdown_pct: float


def buy_and_hold(market: Market, window: Window, costs: Costs) -> Holding:
    """Bought with everything at the first open of `window`, fee and slippage paid, held to its end.

    The open position is marked at the last close, as a strategy's is. `sharpe_ratio` is None below 2 days.
    """
    equity = holding(market, window, costs)
    returns = metrics.daily_returns(metrics.daily_marks(equity, market, window), costs.capital)
    sharpe = float(metrics.sharpe(returns))
    return Holding(
        sharpe_ratio=sharpe if np.isfinite(sharpe) else None,
        total_return=float(equity[-1] / costs.capital - 1.0),
        max_drawdown_pct=float(metrics.max_drawdown_fraction(equity, costs.capital)),
    )


def holding(market: Market, window: Window, costs: Costs) -> Floats:
    """Its equity at the close of every bar of `window`, in currency."""
    entry = market.open[window.start] / market.per_unit * (1 + costs.slippage_bps / 10_000)
    units = costs.capital / (entry * (1 + costs.fee_rate))
    return np.ascontiguousarray(units * market.close[window.start : window.stop] / market.per_unit)
