"""Markets, signals and expected trades written as tables, so that a golden case reads like the tape it describes.

Columns of a tape, one row a bar: `open high low close side`, then any of `equity` (expected at the close), `funding`
(rate due on that bar) and `filled` (`x` = made by pre-flight).
`side` is what the signal says at that close: `L` long, `S` short, `l` and `s` the same but not armed, `.` none yet.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, ROW, Bars
from WORKFLOW.engines import bar_loop, reference
from WORKFLOW.engines.ledger import Closed, Ledger, Opened
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, pack
from WORKFLOW.engines.reference import Signal, Switches
from WORKFLOW.engines.rules import Rules

T0 = 1_704_067_200_000  # 2024-01-01 00:00 UTC


def rows_of(table: str) -> list[dict[str, str]]:
    """The lines of a table under its header."""
    header, *lines = [line.split() for line in table.strip().splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def bars_of(ohlc: NDArray[np.float64], tick: float | None, filled: Any = False, start_ms: int = T0) -> Bars:
    """5-minute bars from prices (n, 4), the first one opening at `start_ms`."""
    rows = np.zeros(len(ohlc), dtype=ROW)
    rows["time_ms"] = start_ms + np.arange(len(ohlc)) * BAR_MS
    for name, column in zip(("open", "high", "low", "close"), ohlc.T, strict=True):
        rows[name] = column
    rows["filled"] = filled
    return Bars("TEST", rows, tick, synthetic=True, source="a test")


def tape(table: str, tick: float | None) -> tuple[Market, Signal]:
    """The market and the signal of a tape."""
    rows = rows_of(table)
    ohlc = np.array([[float(row[name]) for name in ("open", "high", "low", "close")] for row in rows])
    assert (ohlc[:, 1] == ohlc.max(axis=1)).all(), "a high below its bar's open, low or close"
    assert (ohlc[:, 2] == ohlc.min(axis=1)).all(), "a low above its bar's open, high or close"
    filled = np.array([row.get("filled") == "x" for row in rows])
    funding = np.array([float(row["funding"]) for row in rows]) if "funding" in rows[0] else None
    sides = "".join(row["side"] for row in rows)
    signal = Signal(
        side=np.array([side in "Ll" for side in sides]),
        armed=np.array([side in "LS" for side in sides]),
        first_side=len(sides) - len(sides.lstrip(".")),
    )
    return Market.of(bars_of(ohlc, tick, filled), funding), signal


def planes_of(*signals: Signal) -> Planes:
    """The same signals as the batch engines take them."""
    return Planes(
        pack(np.array([signal.side for signal in signals])),
        pack(np.array([signal.armed for signal in signals])),
        np.array([signal.first_side for signal in signals], dtype=np.int64),
    )


def play(
    engine: str, market: Market, signal: Signal, rules: Rules, window: Window, switches: Switches | None = None
) -> Ledger:
    """What `engine` makes of it; only the reference has switches."""
    if engine == "native":
        assert switches is None
        return bar_loop.simulate(market, planes_of(signal), 0, rules, window)
    return reference.simulate(market, signal, rules, window, switches)


def golden(
    engine: str,
    table: str,
    trades: str = "",
    *,
    tick: float | None = 1.0,
    window: tuple[int, int] | None = None,
    switches: Switches | None = None,
    **rules: Any,
) -> Ledger:
    """Play a tape and compare its trades, and its equity column if it has one, with what stands in the tables.

    Columns of `trades`: `side entry at exit at pnl opened closed`: bar and fill price of both ends, currency, reasons.
    """
    market, signal = tape(table, tick)
    bounds = Window(*window) if window else Window(0, len(market))
    ledger = play(engine, market, signal, Rules(**rules), bounds, switches)

    expected = [line.split() for line in trades.strip().splitlines()[1:]]
    found = [
        [
            "long" if trade["side"] == 1 else "short",
            str(trade["entry_bar"]),
            str(trade["exit_bar"]),
            Opened(trade["reason_open"]).name.lower(),
            Closed(trade["reason_close"]).name.lower(),
        ]
        for trade in ledger.trades
    ]
    assert found == [[side, entry, exit_, opened, closed] for side, entry, _, exit_, _, _, opened, closed in expected]
    for trade, (_, _, entry_price, _, exit_price, pnl, _, _) in zip(ledger.trades, expected, strict=True):
        numbers = [trade["entry_price"], trade["exit_price"], trade["pnl"]]
        assert numbers == pytest.approx([float(entry_price), float(exit_price), float(pnl)], rel=1e-12, abs=1e-8)

    rows = rows_of(table)
    if "equity" in rows[0]:
        inside = [float(row["equity"]) for row in rows[bounds.start : bounds.stop]]
        assert ledger.equity == pytest.approx(inside, rel=1e-12, abs=1e-8)
    return ledger
