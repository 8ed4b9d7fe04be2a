"""Make `windows.json`: what each window traded on its own, so that every figure of a window can be computed again.

`trades.csv` and `equity.csv` are one run over all bars. The checks look at the windows, each of which starts flat.
"""

from typing import Any

from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.report.artifacts import last_bars, utc


def record(ledger: Ledger, market: Market, window: Window) -> dict[str, Any]:
    """Return one window: for the last bar of each UTC day its open and the equity at its close, and the closed trades.

    All values are lists. Times are bar opens in UTC, `pnl` is currency after fees, and `net_pnl_pct` is a fraction of
    the equity at entry.
    """
    trades = ledger.trades
    return {
        "time": [utc(market.time_ms[bar]) for bar in last_bars(market, window)],
        "equity": metrics.daily_marks(ledger.equity, market, window).tolist(),
        "trades": {
            "side": ["long" if side > 0 else "short" for side in trades["side"]],
            "entry_time": [utc(market.time_ms[bar]) for bar in trades["entry_bar"]],
            "exit_time": [utc(market.time_ms[bar]) for bar in trades["exit_bar"]],
            "pnl": trades["pnl"].tolist(),
            "net_pnl_pct": trades["net_pnl_pct"].tolist(),
        },
    }
