"""The objective that a search maximises: the Sharpe ratio over in-sample folds, less a penalty for instability."""

import math
from collections.abc import Sequence

import numpy as np

from WORKFLOW.engines.market import Market, Window

# Stands for an undefined Sharpe ratio: worse than any real one, and finite, because samplers need finite values.
UNDEFINED_SHARPE = -1_000.0


def folds_of(market: Market, wanted: int) -> list[Window]:
    """Cut all bars of `market` into contiguous folds of equally many UTC days; the last fold takes the days left over.

    If there are fewer than two days per fold, all bars make one fold.
    """
    days = int(market.day[-1] - market.day[0]) + 1
    if days < 2 * wanted:
        return [Window(0, len(market))]
    first_days = market.day[0] + days // wanted * np.arange(wanted)
    starts = [*np.searchsorted(market.day, first_days).tolist(), len(market)]
    return [Window(starts[i], starts[i + 1]) for i in range(wanted)]


def stable(sharpes: Sequence[float], penalty: float) -> float:
    """Return the mean of the folds' annualised Sharpe ratios, minus `penalty` times their standard deviation (ddof=0).

    A fold without a trade (NaN) counts as 0, because its capital stays the same. If all folds are NaN, the value is
    `UNDEFINED_SHARPE`. For one fold, the value is its Sharpe ratio.
    """
    if all(math.isnan(sharpe) for sharpe in sharpes):
        return UNDEFINED_SHARPE
    values = np.nan_to_num(np.array(sharpes), nan=0.0)
    return float(values.mean() - penalty * values.std())
