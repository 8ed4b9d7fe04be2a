"""Buy and hold over the same bars: the result that a strategy has to beat at least."""

from dataclasses import dataclass

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window


@dataclass(frozen=True)
class Holding:
    """The result of buy and hold: annualised Sharpe ratio (None if undefined), return and drawdown as fractions."""

    sharpe_ratio: float | None
    total_return: float
    max_drawdown_pct: float


def buy_and_hold(market: Market, window: Window, costs: Costs) -> Holding:
    """Return the metrics of buying with all capital at the first open of `window` and holding to its end.

    The purchase pays fee and slippage. The open position is marked at the last close, as a strategy's is.
    `sharpe_ratio` is None below 2 days.
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
    """Return the equity of buy and hold at the close of every bar of `window`, (len(window),), in currency."""
    entry = market.open[window.start] / market.per_unit * (1 + costs.slippage_bps / 10_000)
    units = costs.capital / (entry * (1 + costs.fee_rate))
    return np.ascontiguousarray(units * market.close[window.start : window.stop] / market.per_unit)
