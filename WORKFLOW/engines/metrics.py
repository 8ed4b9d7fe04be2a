"""The one definition of every metric. Engines call the kernels; reports take the records.

An undefined value (fewer than 2 days, no trade, a zero denominator) is NaN inside kernels and None in records; both
rank last. Drawdowns, returns and rates are fractions.
"""

import math

import numpy as np
from numpy.typing import NDArray

from state.records.metrics import SCREEN as SCREEN  # noqa: PLC0414 - the columns of the table below
from state.records.metrics import Metrics
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines.jit import kernel, leaf
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.steps import exact

DAYS_PER_YEAR = 365.0
NOISE = 1e-12  # relative; a standard deviation below this fraction of the mean is float noise

# The columns that a batch engine computes for every combo (`SCREEN`).
SHARPE, TOTAL_RETURN, MAX_DRAWDOWN_DAILY, WIN_RATE, TOTAL_TRADES = range(5)

exact.record(Metrics)  # steps keep them


@kernel
def daily_returns(marks: Floats, capital: float) -> Floats:
    """Return the simple daily returns (d,) of daily equity marks (d,).

    The first return is measured against `capital`. Every return after ruin is 0, so no return is NaN.
    """
    returns = np.empty(len(marks))
    if len(marks):
        returns[0] = marks[0] / capital - 1.0
    for day in range(1, len(marks)):
        before = marks[day - 1]
        returns[day] = marks[day] / before - 1.0 if before > 0.0 else 0.0
    return returns


@kernel
def sharpe(returns: Floats) -> float:
    """Return the annualised Sharpe ratio (Sharpe 1994) of daily returns (d,), at a risk-free rate of 0.

    The ratio is mean / standard deviation (ddof = 1) * sqrt(365). It is NaN below 2 days and for equal returns.
    """
    n = len(returns)
    if n < 2:
        return math.nan
    mean = _power_sum(returns, 0.0, False) / n
    deviation = math.sqrt(_power_sum(returns, mean, True) / (n - 1))
    # Equal returns leave a deviation of about 1e-17 of their mean by float noise, not 0.
    return mean / deviation * math.sqrt(DAYS_PER_YEAR) if deviation > NOISE * abs(mean) else math.nan


@leaf
def _power_sum(values: Floats, origin: float, squared: bool) -> float:
    """Return the sum of values (n,) - origin, or the sum of their squares.

    Four partial sums, which a processor adds at the same time, fix the order of additions on every machine.
    """
    a = b = c = d = 0.0
    whole = len(values) // 4 * 4
    for i in range(0, whole, 4):
        v, w, x, y = values[i] - origin, values[i + 1] - origin, values[i + 2] - origin, values[i + 3] - origin
        if squared:
            v, w, x, y = v * v, w * w, x * x, y * y
        a, b, c, d = a + v, b + w, c + x, d + y
    for i in range(whole, len(values)):
        v = values[i] - origin
        a += v * v if squared else v
    return (a + b) + (c + d)


@kernel
def max_drawdown_fraction(equity: Floats, capital: float) -> float:
    """Return the largest fall of `equity` (n,) from a running peak, as a fraction of that peak.

    The peak starts at `capital`. Without values the result is 0.
    """
    peak, worst = capital, 0.0
    for value in equity:
        peak = max(peak, value)
        worst = max(worst, (peak - value) / peak)
    return worst


@kernel
def screen_row(marks: Floats, capital: float, entries: int, closed: int, wins: int, out: Floats) -> None:
    """Write one row of `SCREEN` from daily equity marks (d,) and counts of trades.

    Without a trade every column but the count is NaN.
    """
    traded = entries > 0 and len(marks) > 0
    out[SHARPE] = sharpe(daily_returns(marks, capital)) if traded else math.nan
    out[TOTAL_RETURN] = marks[len(marks) - 1] / capital - 1.0 if traded else math.nan
    out[MAX_DRAWDOWN_DAILY] = max_drawdown_fraction(marks, capital) if traded else math.nan
    out[WIN_RATE] = wins / closed if closed > 0 else math.nan
    out[TOTAL_TRADES] = closed


def days_of(market: Market, window: Window) -> int:
    """Return how many UTC days the window touches."""
    return int(market.day[window.stop - 1] - market.day[window.start]) + 1


def daily_marks(equity: Floats, market: Market, window: Window) -> Floats:
    """Return the equity (d,) at the last close of every UTC day that the window touches; `equity` is (len(window),)."""
    day = market.day[window.start : window.stop]
    last = np.flatnonzero(np.append(day[1:] != day[:-1], True)) if len(day) else np.zeros(0, dtype=np.int64)
    return np.ascontiguousarray(equity[last])


def full(ledger: Ledger, market: Market, window: Window, capital: float) -> Metrics:
    """Return all metrics of one simulation; an undefined metric is None."""
    trades, equity = ledger.trades, ledger.equity
    marks = daily_marks(equity, market, window)
    years = years_of(len(window))
    drawdown = float(max_drawdown_fraction(equity, capital))
    held = trades["exit_bar"] - trades["entry_bar"]
    told = of_marks(marks, trades["pnl"], held, years, capital, drawdown)
    values = told | {
        "max_drawdown": _max_drawdown_currency(equity, capital),
        "max_drawdown_pct": drawdown,
        "exposure": ratio(float(ledger.held_bars), float(len(window))),
        "turnover": ratio(ledger.notional, float(equity.mean()) * years if len(equity) else 0.0),
    }
    return Metrics(
        **{name: or_none(value) if ledger.entries > 0 else None for name, value in values.items()},
        total_trades=len(trades),
        filled_bar_fills=ledger.filled_bar_fills,
        ruined=ledger.ruined,
        days=len(marks),
    )


def of_marks(
    marks: Floats, pnl: Floats, held: NDArray[np.int64], years: float, capital: float, drawdown: float
) -> dict[str, float]:
    """Return the metrics that daily equity marks (d,) and closed trades determine; an undefined metric is NaN.

    `pnl` (t,) is in currency, `held` (t,) in bars. `drawdown` is the fraction that the Calmar ratio is divided by,
    measured at every bar's close.
    """
    returns = daily_returns(marks, capital)
    total_return = marks[-1] / capital - 1.0 if len(marks) else math.nan
    annualized = annualized_return(float(total_return), years) if len(returns) >= 2 else math.nan
    return {
        "total_return": total_return,
        "annualized_return": annualized,
        "sharpe_ratio": float(sharpe(returns)),
        "sortino_ratio": sortino(returns),
        "calmar_ratio": ratio(annualized, drawdown),
        "max_drawdown_daily_pct": float(max_drawdown_fraction(marks, capital)),
        "cvar_95": cvar(returns),
        "win_rate": ratio(float(np.count_nonzero(pnl > 0)), float(len(pnl))),
        "profit_factor": ratio(_total(pnl, 1), _total(pnl, -1)),
        "avg_bars_held": ratio(float(held.sum()), float(len(held))),
    }


def years_of(bars: int) -> float:
    """Return the length of `bars` 5-minute bars in years of 365 days."""
    return bars / BARS_PER_DAY / DAYS_PER_YEAR


def annualized_return(total_return: float, years: float) -> float:
    """Return the yearly rate that compounds to `total_return`.

    The rate is NaN when no float holds it, as when a few bars have doubled the capital.
    """
    try:
        return math.pow(max(1.0 + total_return, 0.0), 1.0 / years) - 1.0
    except OverflowError:
        return math.nan


def sortino(returns: Floats) -> float:
    """Return the annualised mean over the downside deviation of all days against 0 (Sortino & Price 1994).

    NaN below 2 days and without a losing day.
    """
    if len(returns) < 2:
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return ratio(float(returns.mean()) * math.sqrt(DAYS_PER_YEAR), downside)


def cvar(returns: Floats) -> float:
    """Return the mean loss of the worst 5 % of days, at least one day, as a positive fraction.

    This is the conditional value at risk (Rockafellar & Uryasev 2000); NaN below 2 days.
    """
    if len(returns) < 2:
        return math.nan
    worst = np.sort(returns)[: max(1, int(0.05 * len(returns)))]
    return -float(worst.mean())


def _max_drawdown_currency(equity: Floats, capital: float) -> float:
    peaks = np.maximum.accumulate(np.maximum(equity, capital)) if len(equity) else np.zeros(1)
    return float((peaks - equity).max()) if len(equity) else math.nan


def _total(pnl: Floats, sign: int) -> float:
    return float(abs(pnl[pnl * sign > 0].sum()))


def ratio(numerator: float, denominator: float) -> float:
    """Return numerator / denominator, or NaN where the denominator is not above 0."""
    return numerator / denominator if denominator > 0.0 else math.nan


def or_none(value: float) -> float | None:
    """Return the value that a file holds: None in place of NaN and infinity."""
    return float(value) if math.isfinite(value) else None
