"""The program that asks backtesting.py; it runs by path, in the environment that `scripts/crosscheck` makes for it.

backtesting.py is AGPL-3.0: the product neither imports nor ships it, and this file imports nothing of the product.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas
from backtesting import Backtest, Strategy, __version__

FIVE_MINUTES = "5min"
CASH = 1e12  # so much that no order is too large


def backtesting_py(bars: Mapping[str, Any], event: Any, enter: Any, run: Mapping[str, Any]) -> Any:
    """Close the position, then place a new order; both fill at the next open. Stops are set from the signal's close."""

    class Replay(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            i = len(self.data) - 1
            if event[i] == 0:
                return
            if self.position:
                self.position.close()
            if enter[i]:
                order = self.buy if enter[i] > 0 else self.sell
                order(size=1, **levels(self.data.Close[-1], int(enter[i]), run))

    frame = pandas.DataFrame(
        {name.capitalize(): bars[name] for name in ("open", "high", "low", "close")},
        index=pandas.date_range("2020-01-01", periods=len(event), freq=FIVE_MINUTES),  # any dates, as only bars count
    )
    trades = Backtest(frame, Replay, cash=CASH, commission=run["fee_rate"]).run()["_trades"]
    columns = {
        "side": np.sign(trades["Size"]).astype("i1"),
        "entry_bar": trades["EntryBar"].astype("i8"),
        "exit_bar": trades["ExitBar"].astype("i8"),
        "entry_price": trades["EntryPrice"].astype("f8"),
        "exit_price": trades["ExitPrice"].astype("f8"),
        "pnl_per_unit": (trades["PnL"] / trades["Size"].abs()).astype("f8"),
    }
    fills = np.zeros(len(trades), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        fills[name] = column
    return fills


def levels(close: float, side: int, run: Mapping[str, Any]) -> dict[str, float]:
    """Return the stop and limit prices that are switched on."""
    found = {}
    if run["stop_loss"]:
        found["sl"] = close * (1 - side * run["stop_loss"])
    if run["take_profit"]:
        found["tp"] = close * (1 + side * run["take_profit"])
    return found


def main(asked: str, answered: str) -> None:
    """Answer every question of the file `asked`; print 0 once the tool is loaded, then the number of answers so far."""
    fills: dict[str, Any] = {}
    with np.load(asked) as question:
        bars = {name: question[name] for name in ("open", "high", "low", "close")}
        print(0, flush=True)
        for k, run in enumerate(json.loads(str(question["runs"]))):
            if run["recipe"] != "backtesting_py":
                raise ValueError(f"unknown recipe {run['recipe']}")
            fills[f"fills_{k}"] = backtesting_py(bars, question[f"event_{k}"], question[f"enter_{k}"], run)
            print(k + 1, flush=True)
    np.savez(answered, version=np.array(__version__), **fills)


if __name__ == "__main__":
    main(*sys.argv[1:])
