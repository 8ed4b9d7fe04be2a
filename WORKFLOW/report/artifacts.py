"""Write trades and equity as CSV files."""

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Closed, Ledger, Opened
from WORKFLOW.engines.market import Market, Window

TRADE_COLUMNS = (
    "side",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "pnl",
    "gross_pnl_pct",
    "net_pnl_pct",
    "mae_pct",
    "mfe_pct",
    "bars",
    "reason_open",
    "reason_close",
)
EQUITY_COLUMNS = ("time", "equity", "drawdown_pct", "window")


def trades_csv(ledger: Ledger, market: Market) -> bytes:
    """Return the closed trades, one per row; times are bar opens in UTC, and `_pct` columns are fractions."""
    rows = [
        (
            "long" if t["side"] > 0 else "short",
            utc(market.time_ms[t["entry_bar"]]),
            utc(market.time_ms[t["exit_bar"]]),
            *(float(t[name]) for name in TRADE_COLUMNS[3:10]),
            int(t["exit_bar"] - t["entry_bar"]),
            Opened(int(t["reason_open"])).name.lower(),
            Closed(int(t["reason_close"])).name.lower(),
        )
        for t in ledger.trades
    ]
    return _csv(TRADE_COLUMNS, rows)


def equity_csv(ledger: Ledger, market: Market, window: Window, split: int, capital: float) -> bytes:
    """Return the equity at the last close of every UTC day, open profit included, and the drawdown of these marks."""
    last = last_bars(market, window)
    marks = metrics.daily_marks(ledger.equity, market, window)
    peaks = np.maximum(np.maximum.accumulate(marks), capital)
    rows = [
        (
            utc(market.time_ms[bar]),
            float(mark),
            float((peak - mark) / peak),
            "in_sample" if bar < split else "out_of_sample",
        )
        for bar, mark, peak in zip(last.tolist(), marks, peaks, strict=True)
    ]
    return _csv(EQUITY_COLUMNS, rows)


def last_bars(market: Market, window: Window) -> NDArray[np.int64]:
    """Return the last bar of each UTC day that the window touches, int64 (d,)."""
    day = market.day[window.start : window.stop]
    return window.start + np.flatnonzero(np.append(day[1:] != day[:-1], True))


def utc(time_ms: np.int64) -> str:
    """Format a bar's open as result files hold it."""
    return f"{np.datetime64(int(time_ms) // 1000, 's')}Z"


def _csv(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()
