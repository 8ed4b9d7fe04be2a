"""Kernels that measure: a combo's screen metrics from its daily marks, and the best of many combos without a sort.

Sums run in the order of `engines/metrics.py`, so the metrics are equal to the bit.
"""

import math
from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.execute import CLOSED, ENTRIES, WINS
from WORKFLOW.engines.gpu.toolkit import cuda, device, kernel
from WORKFLOW.engines.gpu.warp import times
from WORKFLOW.engines.metrics import (
    DAYS_PER_YEAR,
    MAX_DRAWDOWN_DAILY,
    NOISE,
    SHARPE,
    TOTAL_RETURN,
    TOTAL_TRADES,
    WIN_RATE,
)

Array = Any  # in device memory

LEFT_TO_BAR_LOOP = -1.0  # stands in place of the number of trades
# Sharpe ratios fall into bins of 1/1024 from -32 to 32; the outermost bins take all values beyond.
BINS = 65_536
_BIN_ORIGIN, _BINS_PER_ONE = 32.0, 1024.0
# The counts that `tally` makes besides the bins.
ELIGIBLE, MOST_TRADES, LEFT = range(3)
_YEAR = math.sqrt(DAYS_PER_YEAR)


@device
def _return(marks: Array, k: Any, day: Any, capital: float) -> Any:
    before = capital if day == 0 else marks[day - 1, k]
    return marks[day, k] / before - 1.0 if before > 0.0 else 0.0


@device
def _power_sum(marks: Array, k: Any, n: Any, capital: float, origin: float, squared: bool) -> float:
    # Four partial sums, as `metrics` adds them: the order decides the last bit.
    a = b = c = d = 0.0
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        v, w = _return(marks, k, i, capital) - origin, _return(marks, k, i + 1, capital) - origin
        x, y = _return(marks, k, i + 2, capital) - origin, _return(marks, k, i + 3, capital) - origin
        if squared:
            v, w, x, y = times(v, v), times(w, w), times(x, x), times(y, y)
        a, b, c, d = a + v, b + w, c + x, d + y
    for i in range(whole, n):
        v = _return(marks, k, i, capital) - origin
        a += times(v, v) if squared else v
    return (a + b) + (c + d)


@device
def _sharpe(marks: Array, k: Any, n: Any, capital: float) -> Any:
    if n < 2:
        return math.nan
    mean = _power_sum(marks, k, n, capital, 0.0, False) / n
    deviation = math.sqrt(_power_sum(marks, k, n, capital, mean, True) / (n - 1))
    if not deviation > times(NOISE, abs(mean)):
        return math.nan
    return times(mean / deviation, _YEAR)


@device
def _drawdown(marks: Array, k: Any, n: Any, capital: float) -> Any:
    peak, worst = capital, 0.0
    for day in range(n):
        value = marks[day, k]
        peak = max(peak, value)
        worst = max(worst, (peak - value) / peak)
    return worst


@kernel
def measure(marks: Array, counts: Array, capital: float, out: Array) -> None:
    """Write every combo's `metrics.screen_row`: `marks` (days, combos), `counts` (combos, 3), `out` (combos, 5)."""
    k = cuda.grid(1)
    if k >= len(out):
        return
    n, closed = np.int32(marks.shape[0]), counts[k, CLOSED]
    traded = counts[k, ENTRIES] > 0 and n > 0
    out[k, SHARPE] = _sharpe(marks, k, n, capital) if traded else math.nan
    out[k, TOTAL_RETURN] = marks[n - 1, k] / capital - 1.0 if traded else math.nan
    out[k, MAX_DRAWDOWN_DAILY] = _drawdown(marks, k, n, capital) if traded else math.nan
    out[k, WIN_RATE] = counts[k, WINS] / closed if closed > 0 else math.nan
    out[k, TOTAL_TRADES] = closed if counts[k, ENTRIES] >= 0 else LEFT_TO_BAR_LOOP


@kernel
def daily_returns(marks: Array, capital: float, out: Array) -> None:
    """Write the `metrics.daily_returns` of every combo into `out` (combos, days), in the type of `out`."""
    k = cuda.grid(1)
    if k >= len(out):
        return
    for day in range(marks.shape[0]):
        out[k, day] = _return(marks, k, day, capital)


@device
def _bin(sharpe: float) -> Any:
    """Return the bin of a Sharpe ratio. A higher ratio never has a lower bin, because rounding keeps the order."""
    place = times(sharpe + _BIN_ORIGIN, _BINS_PER_ONE)
    return np.int32(min(max(place, 0.0), BINS - 1.0))


@device
def _is_eligible(rows: Array, k: Any, min_trades: float) -> bool:
    return rows[k, TOTAL_TRADES] >= min_trades and math.isfinite(rows[k, SHARPE])


@kernel
def tally(rows: Array, min_trades: float, bins: Array, seen: Array) -> None:
    """Count combos by Sharpe ratio into `bins` (`BINS`,), and `ELIGIBLE`, `MOST_TRADES`, `LEFT` into `seen` (3,)."""
    k = cuda.grid(1)
    if k >= len(rows):
        return
    if rows[k, TOTAL_TRADES] == LEFT_TO_BAR_LOOP:
        cuda.atomic.add(seen, LEFT, 1)
        return
    cuda.atomic.max(seen, MOST_TRADES, np.int32(rows[k, TOTAL_TRADES]))
    if _is_eligible(rows, k, min_trades):
        cuda.atomic.add(seen, ELIGIBLE, 1)
        cuda.atomic.add(bins, _bin(rows[k, SHARPE]), 1)


@kernel
def collect(rows: Array, min_trades: float, least_bin: Any, chosen: Array, filled: Array) -> None:
    """Write the numbers of combos in `least_bin` or a better bin, and of those left to the bar loop, in no order."""
    k = cuda.grid(1)
    if k >= len(rows):
        return
    is_left = rows[k, TOTAL_TRADES] == LEFT_TO_BAR_LOOP
    if is_left or (_is_eligible(rows, k, min_trades) and _bin(rows[k, SHARPE]) >= least_bin):
        chosen[cuda.atomic.add(filled, 0, 1)] = k


@kernel
def gather(rows: Array, chosen: Array, out: Array) -> None:
    """Copy the rows of the chosen combos into `out` (chosen, 5)."""
    i = cuda.grid(1)
    if i < len(chosen):
        for column in range(rows.shape[1]):
            out[i, column] = rows[chosen[i], column]
