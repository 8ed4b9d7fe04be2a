"""What a search maximises: the Sharpe ratio over in-sample folds, less what they differ by."""

import math
from collections.abc import Sequence

import numpy as np

from WORKFLOW.engines.market import Market, Window

# Told for a combo whose Sharpe ratio is undefined: worse than any real one, and finite, as samplers like it.
UNDEFINED_SHARPE = -1_000.0


def folds_of(market: Market, wanted: int) -> list[Window]:
    """Contiguous windows of as many UTC days each (the last has what is left over), over all bars of `market`.

    A market of fewer days than two a fold has one fold: all of it.
    """
    days = int(market.day[-1] - market.day[0]) + 1
    if days < 2 * wanted:
        return [Window(0, len(market))]
    first_days = market.day[0] + days // wanted * np.arange(wanted)
    starts = [*np.searchsorted(market.day, first_days).tolist(), len(market)]
    return [Window(starts[i], starts[i + 1]) for i in range(wanted)]


def stable(sharpes: Sequence[float], penalty: float) -> float:
    """Mean of the folds' Sharpe ratios - `penalty` x their standard deviation (ddof = 0), annualised.

    A fold in which nothing was traded (NaN) counts as 0: money that lies still. Where all are NaN the value is
    `UNDEFINED_SHARPE`. One fold: its own Sharpe ratio.
    """
    if all(math.isnan(sharpe) for sharpe in sharpes):
        return UNDEFINED_SHARPE
    values = np.nan_to_num(np.array(sharpes), nan=0.0)
    return float(values.mean() - penalty * values.std())
