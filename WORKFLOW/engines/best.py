"""The best of many combos by Sharpe ratio, in the form that every batch engine hands to the prescreen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.metrics import SCREEN, SHARPE, TOTAL_TRADES

Integers = NDArray[np.int64]


class Best(NamedTuple):
    """The combos of a batch that are worth keeping, and counts over the whole batch.

    `tried` counts all combos, and `eligible` those with enough trades and a finite Sharpe ratio. `most_trades` is the
    largest number of trades of any combo. `combos` (c,) and `table` (c, 5) are the numbers and the `SCREEN` rows of the
    kept combos, in no order; they include at least the best ones that were asked for.
    """

    tried: int
    eligible: int
    most_trades: int
    combos: Integers
    table: Floats


def passed(combos: Integers, table: Floats, min_trades: int) -> Best:
    """Keep every eligible combo, given the `SCREEN` rows (k, 5) of the combos numbered `combos` (k,).

    A combo is eligible with at least `min_trades` trades and a Sharpe ratio that is not NaN.
    """
    good = (table[:, TOTAL_TRADES] >= min_trades) & np.isfinite(table[:, SHARPE])
    most = int(table[:, TOTAL_TRADES].max(initial=0))
    return Best(len(combos), int(np.count_nonzero(good)), most, combos[good], table[good])


def joined(parts: Sequence[Best]) -> Best:
    """Join the results of several batches; without any, the result is empty."""
    return Best(
        sum(part.tried for part in parts),
        sum(part.eligible for part in parts),
        max((part.most_trades for part in parts), default=0),
        np.concatenate([np.zeros(0, dtype=np.int64), *(part.combos for part in parts)]),
        np.concatenate([np.zeros((0, len(SCREEN))), *(part.table for part in parts)]),
    )
