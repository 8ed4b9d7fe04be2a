"""How much a result depends on extreme wicks: highs and lows far from those of the neighbouring bars, often real.

Nobody can be sure of a fill there, and a price at which nobody traded makes profits all the same. So the result
says how many trades began or ended on such a bar, and what is left without them.
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
    """Of one window: its bars with an extreme wick, the trades on them, and Sharpe ratio and return without these."""

    extreme_bars: int
    trades: int
    sharpe_ratio: float | None
    total_return: float | None


@dataclass(frozen=True)
class WickRecord:
    """Every window, the wicks that only the operator accepts, and one line for readers of the verdict."""

    note: str | None
    allowed: int
    windows: Mapping[str, WickShare]

    def as_json(self) -> dict[str, Any]:
        """For `validation.json`."""
        return {"note": self.note, "allowed": self.allowed, **{name: asdict(one) for name, one in self.windows.items()}}


def extreme_bars(bars: Bars) -> NDArray[np.bool_]:
    """Bool (n,): where a high or a low lies far from its neighbours (docs/reference/data.md says how far)."""
    extreme = np.zeros(len(bars), dtype=bool)
    extreme[lone_prices(bars.rows, bars.rows["time_ms"], has_volume=False).row] = True
    return extreme


def share(
    ledger: Ledger, market: Market, window: Window, extreme: NDArray[np.bool_], values: Metrics, capital: float
) -> WickShare:
    """Of one strategy in one window: its trades on extreme bars, and Sharpe ratio and return without them.

    `extreme` (n,) is of all bars of `market`; `values` are the window's metrics with all trades.
    """
    trades = ledger.trades
    dropped = extreme[trades["entry_bar"]] | extreme[trades["exit_bar"]]
    sharpe, total = _without(ledger, market, window, dropped, values, capital)
    return WickShare(int(extreme[window.start : window.stop].sum()), int(dropped.sum()), sharpe, total)


def record(hangs: Mapping[str, WickShare], values: Mapping[str, Metrics], allowed: int) -> WickRecord:
    """`wicks` of `validation.json`."""
    return WickRecord(_note(hangs, values), allowed, hangs)


def equity_without(ledger: Ledger, start: int, dropped: NDArray[np.bool_], capital: float) -> Floats:
    """Equity (len(window),) had the trades `dropped` (bool) never been made, in a window from bar `start` on.

    Every trade is made with all of the equity, so leaving one out scales all later ones by 1 / (1 + its net profit).
    A trade that is still open at the end is not in `trades` and stays.
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
    """At each of n closes the product of the `growth` of all trades that have ended."""
    product = np.append(1.0, np.cumprod(growth))
    return np.asarray(product[np.searchsorted(end, np.arange(n), side="right")])


def _without(
    ledger: Ledger, market: Market, window: Window, dropped: NDArray[np.bool_], values: Metrics, capital: float
) -> tuple[float | None, float | None]:
    """Sharpe ratio and return without the trades `dropped`."""
    if not dropped.any():
        return values.sharpe_ratio, values.total_return
    if ledger.ruined:  # there is no telling what would have come after
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
