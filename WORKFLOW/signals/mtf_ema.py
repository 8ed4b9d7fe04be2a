"""Multi-timeframe EMA cross: a fast EMA on one timeframe against a slow EMA on a higher timeframe.

The side is long while the fast EMA is above the slow one, and short while below; every event is armed.

Look-ahead: a bucket's EMA becomes visible on the base bar that closes the bucket, and holds until the next bucket
closes. This rule alone keeps the future out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, Floats
from WORKFLOW.engines.jit import kernel, leaf
from WORKFLOW.engines.lanes import LANES, above, below, less, lowest_bit, on_cache_line
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes, all_armed, set_bits, words_for
from WORKFLOW.mtf_resampler import MINUTE_MS, resample_ohlc
from WORKFLOW.signals.ema import WARM_UP_PERIODS
from WORKFLOW.signals.family import Columns, DeviceFamily

_LONGEST_PERIOD = 10_000  # buckets
_ROWS_AT_ONCE = 8  # EMAs that are computed side by side
_DAY = 1_441  # more minutes than any timeframe has, so that two timeframes fit into one number


@dataclass(frozen=True)
class _MtfEma:
    name: str = "mtf_ema"
    parameters: tuple[str, ...] = ("fast_timeframe", "fast_period", "slow_timeframe", "slow_period")
    rule: str = "fast_timeframe <= slow_timeframe, and with equal ones fast_period < slow_period"

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """The longest timeframe is a day; an EMA over more than 10,000 buckets would never warm up."""
        return {name: (5, 1440) if name.endswith("timeframe") else (1, _LONGEST_PERIOD) for name in self.parameters}

    def valid(self, columns: Columns) -> NDArray[np.bool_]:
        """Return where the fast EMA is the faster: by its timeframe, or by its period if timeframes are equal."""
        fast, slow = columns["fast_timeframe"], columns["slow_timeframe"]
        faster = columns["fast_period"] < columns["slow_period"]
        return np.asarray((fast < slow) | ((fast == slow) & faster), dtype=np.bool_)

    def on(self, market: Market) -> "_Signals":
        """Bind the family to the bars of `market`."""
        return _Signals(market)

    def on_device(self, market: Market) -> DeviceFamily:
        """Bind the family to the bars of `market` on the current GPU; loads CUDA."""
        from WORKFLOW.signals.mtf_ema_gpu import MtfEmaOnDevice

        return MtfEmaOnDevice(market)


MTF_EMA = _MtfEma()


class _Grid(NamedTuple):
    """The base bars on which a timeframe's buckets close: bucket i closes on, and is visible from, first + i * step."""

    first: int
    step: int
    buckets: int


class _Timeframe:
    """One timeframe of a market, and the EMAs over it that have been computed so far."""

    def __init__(self, market: Market, minutes: int) -> None:
        m = market
        buckets = resample_ohlc(m.open, m.high, m.low, m.close, minutes, first_open_ms=int(m.time_ms[0]))
        self.closes = buckets.close / m.per_unit  # (b,) in quote currency
        first = int(buckets.closes_at[0]) if len(buckets) else len(m)
        self.grid = _Grid(first, minutes * MINUTE_MS // BAR_MS, len(buckets))
        self.emas = np.empty((0, (len(self.closes) // LANES + 2) * LANES))  # (periods, b + at least LANES)
        self.row_of = np.full(_LONGEST_PERIOD + 1, -1)  # period → row of `emas`

    def prepare(self, periods: NDArray[np.int64]) -> None:
        missing = np.unique(periods[self.row_of[periods] < 0])
        if len(missing):
            self.row_of[missing] = len(self.emas) + np.arange(len(missing))
            known = len(self.emas)
            emas = on_cache_line((known + len(missing), self.emas.shape[1]), np.float64)
            emas[:known], emas[known:, len(self.closes) :] = self.emas, 0.0
            for first in range(0, len(missing), _ROWS_AT_ONCE):
                some = missing[first : first + _ROWS_AT_ONCE]
                _emas(self.closes, some, emas[known + first : known + first + len(some)])
            self.emas = emas


class _Signals:
    def __init__(self, market: Market) -> None:
        self._market = market
        self._timeframes: dict[int, _Timeframe] = {}

    def prepare(self, columns: Columns) -> None:
        for side in ("fast", "slow"):
            minutes, periods = columns[f"{side}_timeframe"], columns[f"{side}_period"]
            for timeframe in np.unique(minutes).tolist():
                if timeframe not in self._timeframes:
                    self._timeframes[timeframe] = _Timeframe(self._market, timeframe)
                self._timeframes[timeframe].prepare(periods[minutes == timeframe])

    def planes(self, columns: Columns) -> Planes:
        n, k = len(self._market), len(columns["fast_period"])
        side = np.zeros((k, words_for(n)), dtype=np.uint64)
        first_side = np.empty(k, dtype=np.int64)
        for pair, rows in _by_timeframes(columns):
            fast, slow = (self._timeframes[minutes] for minutes in pair)
            fast_periods, slow_periods = columns["fast_period"][rows], columns["slow_period"][rows]
            _crosses(
                fast.emas,
                slow.emas,
                fast.row_of[fast_periods],
                slow.row_of[slow_periods],
                WARM_UP_PERIODS * fast_periods - 1,
                WARM_UP_PERIODS * slow_periods - 1,
                fast.grid,
                slow.grid,
                n,
                rows,
                side,
                first_side,
            )
        return Planes(side, all_armed(n), first_side)


def _by_timeframes(columns: Columns) -> Iterator[tuple[tuple[int, int], NDArray[np.int64]]]:
    """Yield each pair of timeframes (fast, slow) with the rows of `columns` that have it."""
    fast, slow = columns["fast_timeframe"], columns["slow_timeframe"]
    pairs = fast * _DAY + slow
    for pair in np.unique(pairs).tolist():
        yield divmod(pair, _DAY), np.flatnonzero(pairs == pair)


def ema(closes: Floats, period: int) -> Floats:
    """Return the exponential moving average of (b,) closes, float64, with alpha = 2 / (period + 1).

    The first close is the seed. Each step goes a part of the way towards the close, so on a flat market the average is
    exactly the close, and two EMAs are equal.
    """
    out = np.empty((1, len(closes)))
    _emas(closes, np.array([period]), out)
    return out.reshape(-1)


@kernel
def _emas(closes: Floats, periods: NDArray[np.int64], out: Floats) -> None:
    """Compute the EMAs of a few periods, one per row.

    A step has to wait for the step before it, and the steps of the other rows fill that wait.
    """
    if len(closes) == 0:
        return
    alphas, values = 2.0 / (periods + 1), np.full(len(periods), closes[0])
    for i in range(len(closes)):
        for row in range(len(periods)):
            values[row] += alphas[row] * (closes[i] - values[row])
            out[row, i] = values[row]


@kernel
def _crosses(
    fast_emas: Floats,
    slow_emas: Floats,
    fast_rows: NDArray[np.int64],
    slow_rows: NDArray[np.int64],
    fast_warm: NDArray[np.int64],
    slow_warm: NDArray[np.int64],
    fast_grid: _Grid,
    slow_grid: _Grid,
    n: int,
    rows: NDArray[np.int64],
    side: NDArray[np.uint64],
    first_side: NDArray[np.int64],
) -> None:
    """Write the side bits and the first bar with a side of many combos that share a pair of timeframes.

    `*_warm` is the first bucket whose EMA counts. While one slow bucket is visible, its EMA is a single number. If all
    fast EMAs of that time lie on one side of that number, two comparisons settle the bucket, for 64 buckets at once.
    Only the other buckets are walked through. Neighbouring combos with the same fast EMA share its extremes.
    """
    lowest, highest = np.zeros(slow_grid.buckets + LANES), np.zeros(slow_grid.buckets + LANES)
    of_row = -1
    for q in range(len(rows)):
        fast, slow = fast_emas[fast_rows[q]], slow_emas[slow_rows[q]]
        if fast_rows[q] != of_row:
            of_row = fast_rows[q]
            _extremes(fast, fast_grid, slow_grid, n, lowest, highest)
        first_side[rows[q]] = _cross(
            fast,
            slow,
            lowest,
            highest,
            fast_warm[q],
            slow_warm[q],
            fast_grid,
            slow_grid,
            n,
            side[rows[q]],
        )


@leaf
def _extremes(fast: Floats, fast_grid: _Grid, slow_grid: _Grid, n: int, lowest: Floats, highest: Floats) -> None:
    """Write the lowest and the highest fast EMA that are visible while each slow bucket is, (slow buckets,)."""
    last, step = 0, fast_grid.step
    for bucket in range(slow_grid.buckets):
        begin = slow_grid.first + bucket * slow_grid.step
        while fast_grid.first + (last + 1) * step <= begin:
            last += 1
        low = high = fast[last]
        end = min(begin + slow_grid.step, n)
        while fast_grid.first + (last + 1) * step < end:
            last += 1
            low, high = min(low, fast[last]), max(high, fast[last])
        lowest[bucket], highest[bucket] = low, high


@leaf
def _cross(
    fast: Floats,
    slow: Floats,
    lowest: Floats,
    highest: Floats,
    fast_warm: int,
    slow_warm: int,
    fast_grid: _Grid,
    slow_grid: _Grid,
    n: int,
    side: NDArray[np.uint64],
) -> int:
    """Write the side bits of one combo; return the first bar that has a side, or n.

    A zero difference keeps the side.
    """
    buckets, length = slow_grid.buckets, slow_grid.step
    warm_at = fast_grid.first + fast_warm * fast_grid.step  # the slow bucket visible on this bar is the first to count
    start = min(max(slow_warm, (warm_at - slow_grid.first) // length), buckets)
    # `now` is 1 for long, -1 for short, 0 before there is a side; `since` is the bar at which the side last changed.
    first, now, since = n, 0, 0
    for word in range(start >> 6, (buckets + LANES - 1) >> 6):
        origin = word << 6
        is_short, is_long = less(highest, slow, origin), less(slow, lowest, origin)
        valid = ~np.uint64(0)
        if origin < start:
            valid <<= np.uint64(start - origin)
        if origin + LANES > buckets:
            valid &= (np.uint64(1) << np.uint64(buckets - origin)) - np.uint64(1)
        while True:
            # Buckets that may change the side. In the first ones, some fast EMA may not be warm yet.
            news = valid & ~(is_long if now == 1 else (is_short if now == -1 else np.uint64(0)))
            if news == 0:
                break
            bucket = origin + lowest_bit(news)
            level, begin = slow[bucket], slow_grid.first + bucket * length
            end = begin + length if bucket + 1 < buckets else n
            # `i` and `last` are the first and the last fast bucket that is visible while this slow bucket is.
            i = max((begin - fast_grid.first) // fast_grid.step, fast_warm)
            last = (end - 1 - fast_grid.first) // fast_grid.step
            while i <= last:
                is_under, is_over = below(fast, i, level), above(fast, i, level)
                # `here` masks the fast buckets up to `last`; `turns` are those among them that change the side.
                here = ~np.uint64(0) >> np.uint64(64 - min(last + 1 - i, 32))
                turns = here & (is_under if now == 1 else (is_over if now == -1 else is_under | is_over))
                while turns != 0:
                    place = lowest_bit(turns)
                    bar = max(begin, fast_grid.first + (i + place) * fast_grid.step)
                    if now == 1:
                        set_bits(side, since, bar)
                    first, since = min(first, bar), bar
                    now = 1 if (is_over >> np.uint64(place)) & np.uint64(1) != 0 else -1
                    here &= ~np.uint64(1) << np.uint64(place)
                    turns = here & (is_under if now == 1 else is_over)
                i += 32
            # Keeps only the buckets after this one: `news & -news` is the lowest bit of `news`.
            valid &= ~((news & (~news + np.uint64(1))) * np.uint64(2) - np.uint64(1))
    if now == 1:
        set_bits(side, since, n)
    return first
