"""Market regimes: a strategy's results by trend and volatility, where each day's regime is known before the day begins.

Trend is the return of the last days, divided by what their volatility gives to chance. The limits let a random walk
spend a third of its days in each of up, sideways and down. Volatility is the realised volatility of the last days,
compared with the median of its own past.

Look-ahead: both use bars before the day's first bar only. A label that knew the day would call every loss a bad regime.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import RegimeSettings
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window

UNKNOWN = "unknown"  # there are not enough bars before the day
REGIMES = (
    *(f"{trend}_{volatility}" for trend in ("up", "sideways", "down") for volatility in ("calm", "volatile")),
    UNKNOWN,
)
_LEAST_PAST = 30  # days of known volatility that a median needs at least
_NOISE = 1e-9  # relative; keeps days that are all alike calm, whatever the last digits of their sums

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class RegimeDays:
    """The days of one regime joined, and the trades opened in it. `total_return` is a fraction."""

    days: int
    total_return: float | None
    sharpe_ratio: float | None
    total_trades: int


def labels(market: Market, settings: RegimeSettings) -> Labels:
    """Return the regime of each UTC day that the market touches, (days,), as an index into `REGIMES`.

    Look-ahead: day d is judged by bars that open before d, so no later bar can change its label.
    """
    starts = np.searchsorted(market.day, np.arange(market.day[0], market.day[-1] + 1))  # each day's first bar
    price = np.log(market.close)
    energy = np.add.reduceat(np.diff(price, prepend=price[0]) ** 2, starts)  # realised variance of each day
    trend_days, volatility_days = settings.trend_days, settings.volatility_days
    chance = np.sqrt(_sums(energy, trend_days))
    trend = _trend(
        _where_known(starts, trend_days, _moves(price, starts, trend_days)), settings.trend_strength * chance
    )
    recent = _where_known(starts, volatility_days, _sums(energy, volatility_days))
    volatility = _volatility(recent, settings.median_days)
    return np.where((trend < 0) | (volatility < 0), len(REGIMES) - 1, 2 * trend + volatility)


def by_regime(ledger: Ledger, market: Market, window: Window, capital: float, of_day: Labels) -> dict[str, RegimeDays]:
    """Return days, return, Sharpe ratio and opened trades for each regime, over the days of that regime joined.

    `of_day` comes from `labels`. A value is None if a regime has no day or its Sharpe ratio is undefined.
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
    """Return `values` (d,) of the `days` before each day, with NaN where the bars do not reach back so far."""
    return np.where(starts >= days * BARS_PER_DAY, values, np.nan)


def _moves(price: Floats, starts: Labels, days: int) -> Floats:
    """Return the log return of the `days` before each day, close to close."""
    last = np.maximum(starts - 1, 0)
    moved: Floats = price[last] - price[np.maximum(last - days * BARS_PER_DAY, 0)]
    return moved


def _sums(energy: Floats, days: int) -> Floats:
    """Return the sum of `energy` over the `days` before each day.

    Each sum is added up anew, so that nothing cancels.
    """
    padded = np.concatenate([np.zeros(days), energy[:-1]])
    sums: Floats = np.lib.stride_tricks.sliding_window_view(padded, days).sum(axis=1)
    return sums


def _trend(moved: Floats, enough: Floats) -> Labels:
    """Return 0 up, 1 sideways, 2 down, -1 unknown; `enough` is the size of log return beyond which there is a trend."""
    known = np.where(np.isnan(moved), -1, 1)
    return np.where(moved > enough, 0, np.where(moved < -enough, 2, known))


def _volatility(energy: Floats, median_days: int) -> Labels:
    """Return 0 calm, 1 volatile, -1 unknown, compared with the median of up to `median_days` days before."""
    out = np.full(len(energy), -1)
    for day in range(len(energy)):
        past = energy[max(day - median_days, 0) : day]
        past = past[~np.isnan(past)]
        if len(past) >= _LEAST_PAST:
            out[day] = int(energy[day] > np.median(past) * (1 + _NOISE))
    return out
