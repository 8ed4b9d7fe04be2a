"""The best of many combos by Sharpe ratio, as every batch engine hands them to a prescreen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.metrics import SCREEN, SHARPE, TOTAL_TRADES

Integers = NDArray[np.int64]


class Best(NamedTuple):
    """Combos tried, those with enough trades and a Sharpe ratio, the most trades of any; then the numbers (c,) and
    `SCREEN` rows (c, 5) of those worth keeping: at least the best that were asked for, in no order.
    """

    tried: int
    eligible: int
    most_trades: int
    combos: Integers
    table: Floats


def passed(combos: Integers, table: Floats, min_trades: int) -> Best:
    """All combos that are eligible, from the `SCREEN` rows (k, 5) of combos numbered `combos` (k,)."""
    good = (table[:, TOTAL_TRADES] >= min_trades) & np.isfinite(table[:, SHARPE])
    most = int(table[:, TOTAL_TRADES].max(initial=0))
    return Best(len(combos), int(np.count_nonzero(good)), most, combos[good], table[good])


def joined(parts: Sequence[Best]) -> Best:
    """Several as one."""
    return Best(
        sum(part.tried for part in parts),
        sum(part.eligible for part in parts),
        max((part.most_trades for part in parts), default=0),
        np.concatenate([np.zeros(0, dtype=np.int64), *(part.combos for part in parts)]),
        np.concatenate([np.zeros((0, len(SCREEN))), *(part.table for part in parts)]),
    )
