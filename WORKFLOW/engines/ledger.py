"""The trades and the equity that a simulation produces: one kind of record, whichever engine made it."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.steps import exact


class Opened(IntEnum):
    """Why a position was opened."""

    SIGNAL = 0  # from flat
    REVERSAL = 1  # at the same open that closed the opposite position


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
        ("gross_pnl_pct", "<f8"),  # fraction: the price change between the two fills
        ("net_pnl_pct", "<f8"),  # fraction of the equity at entry, after fees and funding
        ("mae_pct", "<f8"),  # fraction of the entry price, <= 0: maximum adverse excursion
        ("mfe_pct", "<f8"),  # fraction of the entry price, >= 0: maximum favourable excursion
        ("reason_open", "i1"),
        ("reason_close", "i1"),
    ]
)


@exact.record
@dataclass(frozen=True)
class Ledger:
    """The trades and the equity of one combo over one window.

    `trades`: closed trades in order, dtype `TRADE`. `equity` (len(window),): currency at each bar's close, open profit
    included; no NaN. `entries`: positions opened. `held_bars`: closes at which a position was open. `notional`:
    currency traded, both sides of every trade. `filled_bar_fills`: fills on bars that pre-flight made. A trade that is
    open at the end counts in `equity` and `entries`, and is not in `trades`. `ruined`: equity reached 0 and stayed
    there.
    """

    trades: NDArray[np.void]
    equity: Floats
    entries: int
    held_bars: int
    notional: float
    filled_bar_fills: int
    ruined: bool
