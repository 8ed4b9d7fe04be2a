"""How a strategy did in which weather: trend × volatility, each day's regime known before the day begins.

Trend: the return of the last days in units of what their volatility gives to chance, so that a random walk spends a
third of its days in each of up, sideways and down. Volatility: realised over the last days, against the median of its
own past. Both look at bars before the day's first one and at no others: a label that knew the day would call every loss
a bad regime.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import RegimeSettings
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window

UNKNOWN = "unknown"  # not enough bars before it
REGIMES = (
    *(f"{trend}_{volatility}" for trend in ("up", "sideways", "down") for volatility in ("calm", "volatile")),
    UNKNOWN,
)
_LEAST_PAST = 30  # days whose volatility must be known before a median of them says anything
_NOISE = 1e-9  # days that are all alike are calm, whatever their sums' last digits

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class RegimeDays:
    """The days of one regime put together, and the trades opened in it. `total_return` is a fraction."""

    days: int
    total_return: float | None
    sharpe_ratio: float | None
    total_trades: int


def labels(market: Market, settings: RegimeSettings) -> Labels:
    """The regime of each UTC day that the market touches, (days,), as an index into `REGIMES`.

    Day d is judged by bars whose open lies before d, so no later bar can change its label.
    """
    starts = np.searchsorted(market.day, np.arange(market.day[0], market.day[-1] + 1))  # each day's first bar
    price = np.log(market.close)
    energy = np.add.reduceat(np.diff(price, prepend=price[0]) ** 2, starts)  # of each day
    trend_days, volatility_days = settings.trend_days, settings.volatility_days
    chance = np.sqrt(_sums(energy, trend_days))
    trend = _trend(
        _where_known(starts, trend_days, _moves(price, starts, trend_days)), settings.trend_strength * chance
    )
    recent = _where_known(starts, volatility_days, _sums(energy, volatility_days))
    volatility = _volatility(recent, settings.median_days)
    return np.where((trend < 0) | (volatility < 0), len(REGIMES) - 1, 2 * trend + volatility)


def by_regime(ledger: Ledger, market: Market, window: Window, capital: float, of_day: Labels) -> dict[str, RegimeDays]:
    """Days, return and Sharpe ratio of the days of each regime put together, and the trades opened in it.

    `of_day`: as `labels` gives them. None where a regime has no day, or its Sharpe ratio is undefined.
    """
    returns = metrics.daily_returns(metrics.daily_marks(ledger.equity, market, window), capital)
    first_day = int(market.day[window.start] - market.day[0])
    here = of_day[first_day : first_day + len(returns)]
    opened = of_day[market.day[ledger.trades["entry_bar"]] - market.day[0]]
    return {name: _of_days(returns[here == i], int((opened == i).sum())) for i, name in enumerate(REGIMES)}


def _of_days(returns: Floats, trades: int) -> RegimeDays:
    sharpe = metrics.sharpe(returns)
    return RegimeDays(
        days=len(returns),
        total_return=float(np.prod(1.0 + returns) - 1.0) if len(returns) else None,
        sharpe_ratio=float(sharpe) if np.isfinite(sharpe) else None,
        total_trades=trades,
    )


def _where_known(starts: Labels, days: int, values: Floats) -> Floats:
    """`values` (d,) of the `days` before each day, NaN where the bars do not reach back so far."""
    return np.where(starts >= days * BARS_PER_DAY, values, np.nan)


def _moves(price: Floats, starts: Labels, days: int) -> Floats:
    """The log return of the `days` before each day, close to close."""
    last = np.maximum(starts - 1, 0)
    moved: Floats = price[last] - price[np.maximum(last - days * BARS_PER_DAY, 0)]
    return moved


def _sums(energy: Floats, days: int) -> Floats:
    """The sum of `energy` over the `days` before each day; added up anew each time, so that nothing cancels."""
    padded = np.concatenate([np.zeros(days), energy[:-1]])
    sums: Floats = np.lib.stride_tricks.sliding_window_view(padded, days).sum(axis=1)
    return sums


def _trend(moved: Floats, enough: Floats) -> Labels:
    """0 up, 1 sideways, 2 down, -1 unknown; `enough`: what a log return must be beyond to be a trend."""
    known = np.where(np.isnan(moved), -1, 1)
    return np.where(moved > enough, 0, np.where(moved < -enough, 2, known))


def _volatility(energy: Floats, median_days: int) -> Labels:
    """0 calm, 1 volatile, -1 unknown; against the median of up to `median_days` days before."""
    out = np.full(len(energy), -1)
    for day in range(len(energy)):
        past = energy[max(day - median_days, 0) : day]
        past = past[~np.isnan(past)]
        if len(past) >= _LEAST_PAST:
            out[day] = int(energy[day] > np.median(past) * (1 + _NOISE))
    return out
