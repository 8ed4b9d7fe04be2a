"""What a simulation leaves: its trades and its equity, the same record from every engine."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.steps import exact


class Opened(IntEnum):
    """Why a position was opened."""

    SIGNAL = 0  # from flat
    REVERSAL = 1  # at the open at which the opposite position was closed


class Closed(IntEnum):
    """Why a position was closed."""

    SIGNAL = 0
    STOP_LOSS = 1
    TRAILING_STOP = 2
    TAKE_PROFIT = 3
    MAX_BARS = 4
    RUIN = 5


TRADE = np.dtype(
    [
        ("side", "i1"),  # 1 long, -1 short
        ("entry_bar", "<i8"),
        ("exit_bar", "<i8"),
        ("entry_price", "<f8"),  # fill prices, slippage included, in quote currency
        ("exit_price", "<f8"),
        ("pnl", "<f8"),  # currency, after fees and funding
        ("gross_pnl_pct", "<f8"),  # fraction: the price's own move between the fills
        ("net_pnl_pct", "<f8"),  # fraction of the equity at entry, after fees and funding
        ("mae_pct", "<f8"),  # fraction of the entry price, <= 0: the worst the trade looked while it was open
        ("mfe_pct", "<f8"),  # fraction of the entry price, >= 0: the best
        ("reason_open", "i1"),
        ("reason_close", "i1"),
    ]
)


@exact.record
@dataclass(frozen=True)
class Ledger:
    """One combo over one window.

    `trades`: closed ones, dtype `TRADE`, in order. `equity` (len(window),): currency at each bar's close, open profit
    included. `held_bars`: closes at which a position was open. `notional`: currency traded, both sides of every fill.
    `filled_bar_fills`: fills on bars that pre-flight made. The trade still open at the end is marked in `equity` and
    not in `trades`; `entries` counts it. `ruined`: equity reached 0 and stayed there.
    """

    trades: NDArray[np.void]
    equity: Floats
    entries: int
    held_bars: int
    notional: float
    filled_bar_fills: int
    ruined: bool
