"""A list of trades as its text, read."""

from pathlib import Path
from typing import Any

from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.trading import Trades

NOON = 1_709_294_400_000  # 2024-03-01 12:00 UTC
HOUR = 3_600_000

TODAY = """\
Trade #,Type,Date/Time,Signal,Price USDT,Size (qty),Size (value),Net P&L USDT,Net P&L %,Run-up USDT,Run-up %,\
Drawdown USDT,Drawdown %,Cumulative P&L USDT,Cumulative P&L %
1,Exit long,2024-03-01 12:00,TP,110,10,1000,98.00,9.80,120,12.00,-20,-2.00,98.00,1.96
1,Entry long,2024-03-01 09:00,Long,100,10,1000,98.00,9.80,120,12.00,-20,-2.00,98.00,1.96
2,Exit short,2024-03-01 15:00,SL,111,10,1100,-12.00,-1.09,5,0.45,-15,-1.36,86.00,1.72
2,Entry short,2024-03-01 13:00,Short,110,10,1100,-12.00,-1.09,5,0.45,-15,-1.36,86.00,1.72
3,Exit long,2024-03-01 18:00,Open,112,10,1110,10.00,0.90,12,1.08,0,0.00,96.00,1.92
3,Entry long,2024-03-01 16:00,Long,111,10,1110,10.00,0.90,12,1.08,0,0.00,96.00,1.92
"""


def found(tmp_path: Path, text: str | bytes, name: str = "list.csv", **more: Any) -> trades_file.TradesFile:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return trades_file.read(path, more.pop("capital", None), **more)


def trades(one: trades_file.TradesFile) -> Trades:
    assert one.trades is not None
    return one.trades


def freqtrade(pnl: float, when: str = "2024-03-01 12:00:00+00:00", is_open: bool = False) -> dict[str, Any]:
    return {
        "pair": "SOL/USDT",
        "stake_amount": 100.0,
        "open_date": "2024-03-01 09:00:00+00:00",
        "close_date": None if is_open else when,
        "open_rate": 100.0,
        "close_rate": 100.0 + pnl,
        "profit_ratio": pnl / 100,
        "profit_abs": pnl,
        "exit_reason": "roi",
        "is_open": is_open,
        "is_short": pnl < 0,
    }


def result(*names: str, **more: Any) -> dict[str, Any]:
    rows = [freqtrade(5.0), freqtrade(-2.0), freqtrade(1.0, is_open=True)]
    return {"strategy": {name: {"trades": rows, **more} for name in names}, "strategy_comparison": []}
