"""Measure how much a result depends on extreme wicks: highs and lows far from those of the neighbouring bars.

Extreme wicks are often real, but nobody can be sure of a fill there, and a price at which nobody traded shows profits
all the same. So the result says how many trades began or ended on such a bar, and what is left without them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from state.records.metrics import Metrics
from WORKFLOW.data.bars import Bars, Floats
from WORKFLOW.data.wicks import lone_prices
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.validity import verdict


@dataclass(frozen=True)
class WickShare:
    """One window: its bars with an extreme wick, the trades on them, Sharpe ratio and return without them."""

    extreme_bars: int
    trades: int
    sharpe_ratio: float | None
    total_return: float | None


@dataclass(frozen=True)
class WickRecord:
    """Every window, the number of wicks that the operator has allowed, and a note on the verdict or None."""

    note: str | None
    allowed: int
    windows: Mapping[str, WickShare]

    def as_json(self) -> dict[str, Any]:
        """Return this as `validation.json` holds it."""
        return {"note": self.note, "allowed": self.allowed, **{name: asdict(one) for name, one in self.windows.items()}}


def extreme_bars(bars: Bars) -> NDArray[np.bool_]:
    """Return booleans (n,): whether a high or a low lies far from its neighbours, as docs/reference/data.md defines."""
    extreme = np.zeros(len(bars), dtype=bool)
    extreme[lone_prices(bars.rows, bars.rows["time_ms"], has_volume=False).row] = True
    return extreme


def share(
    ledger: Ledger, market: Market, window: Window, extreme: NDArray[np.bool_], values: Metrics, capital: float
) -> WickShare:
    """Return a strategy's trades on extreme bars in one window, and its Sharpe ratio and return without them.

    `extreme` (n,) covers all bars of `market`; `values` are the window's metrics with all trades.
    """
    trades = ledger.trades
    dropped = extreme[trades["entry_bar"]] | extreme[trades["exit_bar"]]
    sharpe, total = _without(ledger, market, window, dropped, values, capital)
    return WickShare(int(extreme[window.start : window.stop].sum()), int(dropped.sum()), sharpe, total)


def record(hangs: Mapping[str, WickShare], values: Mapping[str, Metrics], allowed: int) -> WickRecord:
    """Return the record `wicks` of `validation.json`."""
    return WickRecord(_note(hangs, values), allowed, hangs)


def equity_without(ledger: Ledger, start: int, dropped: NDArray[np.bool_], capital: float) -> Floats:
    """Return the equity (len(window),) if the trades `dropped` had not been made; the window begins at bar `start`.

    Every trade is made with all of the equity. So leaving one out scales all later equity by 1 / (1 + its net profit).
    A trade that is open at the end is not in `trades`, and stays.
    """
    trades, n = ledger.trades, len(ledger.equity)
    growth = 1.0 + trades["net_pnl_pct"]
    first, end = trades["entry_bar"] - start, trades["exit_bar"] - start
    realised, kept = (
        _compounded(np.where(mask, growth, 1.0), end, n) for mask in (np.ones(len(trades), bool), ~dropped)
    )
    open_profit = ledger.equity / (capital * realised)
    for k in np.flatnonzero(dropped):
        open_profit[first[k] : end[k]] = 1.0
    return np.asarray(capital * kept * open_profit)


# helpers --------------------------------------------------------------------------------------------------------------


def _compounded(growth: Floats, end: NDArray[np.int64], n: int) -> Floats:
    """Return, at each of n closes, the product of the `growth` of all trades that have ended."""
    product = np.append(1.0, np.cumprod(growth))
    return np.asarray(product[np.searchsorted(end, np.arange(n), side="right")])


def _without(
    ledger: Ledger, market: Market, window: Window, dropped: NDArray[np.bool_], values: Metrics, capital: float
) -> tuple[float | None, float | None]:
    """Return the Sharpe ratio and the return without the trades `dropped`."""
    if not dropped.any():
        return values.sharpe_ratio, values.total_return
    if ledger.ruined:  # nobody can tell what would have come after ruin
        return None, None
    equity = equity_without(ledger, window.start, dropped, capital)
    returns = metrics.daily_returns(metrics.daily_marks(equity, market, window), capital)
    return metrics.or_none(float(metrics.sharpe(returns))), metrics.or_none(float(equity[-1] / capital - 1.0))


def _note(hangs: Mapping[str, WickShare], values: Mapping[str, Metrics]) -> str | None:
    touched = sum(window.trades for window in hangs.values())
    if touched == 0:
        return None
    total = sum(values[name].total_trades for name in hangs)
    parts = [
        f"{name.replace('_', '-')} Sharpe {verdict.number(window.sharpe_ratio)} without them and "
        f"{verdict.number(values[name].sharpe_ratio)} with, return {_percent(window.total_return)} and "
        f"{_percent(values[name].total_return)}"
        for name, window in hangs.items()
        if window.trades
    ]
    return f"{touched:,} of {total:,} trades began or ended on a bar with an extreme wick: {'; '.join(parts)}"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.1%}"
