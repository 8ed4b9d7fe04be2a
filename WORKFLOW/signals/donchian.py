"""Donchian channel breakout on a higher timeframe, armed only while the market moves enough to make a breakout count.

`side` turns long when a bucket closes above the highest high of the `channel_period` buckets before it, and short when
a bucket closes below their lowest low; there is no side before the first breakout. `armed` is on while enough of the
earlier ATRs do not exceed the present ATR. Both become visible on the base bar that closes the bucket, and hold until
the next bucket closes.

The channel is Richard Donchian's n-week rule; the ATR is Wilder's (New Concepts in Technical Trading Systems, 1978).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes, Words, words_for
from WORKFLOW.mtf_resampler import Resampled, resample_ohlc
from WORKFLOW.signals.family import Columns

_LIMITS = {
    "timeframe": (5, 1440),  # minutes
    "channel_period": (1, 10_000),  # buckets before the closing bucket
    "atr_period": (1, 10_000),  # buckets
    "atr_lookback": (1, 10_000),  # buckets whose ATRs are compared with the current ATR
    "atr_percentile": (0, 100),  # percent of those ATRs, at least, that must not exceed it; 0 switches the filter off
}
_COLD = -1  # rank of a bucket with fewer than `atr_lookback` ATRs before it


@dataclass(frozen=True)
class _Donchian:
    name: str = "donchian"
    parameters: tuple[str, ...] = tuple(_LIMITS)
    rule: str = "nothing: any combo will do"

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """The longest timeframe is a day; an indicator over more than 10,000 buckets would never warm up."""
        return dict(_LIMITS)

    def valid(self, columns: Columns) -> NDArray[np.bool_]:
        """Return True for every combo, because every combo of this family is valid."""
        return np.ones(len(columns["timeframe"]), dtype=np.bool_)

    def on(self, market: Market) -> "_Signals":
        """Bind the family to the bars of `market`."""
        return _Signals(market)


DONCHIAN = _Donchian()


@dataclass
class _Timeframe:
    buckets: Resampled  # prices in ticks
    reach: NDArray[np.int32]  # (b,), see the function `reach`
    sides: dict[int, tuple[Words, int]] = field(default_factory=dict)  # channel period → side bits, first side
    ranks: dict[tuple[int, int], NDArray[np.int16]] = field(default_factory=dict)  # (period, lookback) → (b,)


class _Signals:
    def __init__(self, market: Market) -> None:
        self._market = market
        self._timeframes: dict[int, _Timeframe] = {}

    def prepare(self, columns: Columns) -> None:
        for minutes, period in _distinct(columns, "timeframe", "channel_period"):
            timeframe = self._timeframe(minutes)
            if period not in timeframe.sides:
                words = np.zeros(words_for(len(self._market)), dtype=np.uint64)
                first = side_bits(timeframe.reach, period, timeframe.buckets.closes_at, len(self._market), words)
                timeframe.sides[period] = words, first
        for minutes, period, lookback in _distinct(columns, "timeframe", "atr_period", "atr_lookback"):
            timeframe = self._timeframe(minutes)
            if (period, lookback) not in timeframe.ranks:
                b = timeframe.buckets
                timeframe.ranks[period, lookback] = percent_ranks(atr(b.high, b.low, b.close, period), period, lookback)

    def planes(self, columns: Columns) -> Planes:
        n, k = len(self._market), len(columns["timeframe"])
        side = np.empty((k, words_for(n)), dtype=np.uint64)
        armed = np.zeros((k, words_for(n)), dtype=np.uint64)
        first_side = np.empty(k, dtype=np.int64)
        names = ("timeframe", "channel_period", "atr_period", "atr_lookback", "atr_percentile")
        for i, row in enumerate(zip(*(columns[name].tolist() for name in names), strict=True)):
            minutes, channel, period, lookback, percentile = row
            timeframe = self._timeframes[minutes]
            side[i], first_side[i] = timeframe.sides[channel]
            if percentile == 0:
                armed[i] = ~np.uint64(0)
                continue
            needed = -(-percentile * lookback // 100)  # rounded up to a whole number of ATRs, without floats
            armed_bits(timeframe.ranks[period, lookback], needed, timeframe.buckets.closes_at, n, armed[i])
        return Planes(side, armed, first_side)

    def _timeframe(self, minutes: int) -> _Timeframe:
        if minutes not in self._timeframes:
            m = self._market
            buckets = resample_ohlc(m.open, m.high, m.low, m.close, minutes, first_open_ms=int(m.time_ms[0]))
            longest = _LIMITS["channel_period"][1]
            self._timeframes[minutes] = _Timeframe(buckets, reach(buckets.high, buckets.low, buckets.close, longest))
        return self._timeframes[minutes]


def _distinct(columns: Columns, *names: str) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.unique(np.column_stack([columns[name] for name in names]), axis=0).tolist()]


@kernel
def reach(high: Floats, low: Floats, close: Floats, longest: int) -> NDArray[np.int32]:
    """Return how many buckets right before each bucket its close has broken out of, int32 (b,), at most `longest`.

    Positive: the highs of so many buckets all lie below the close. Negative: their lows all lie above it. A close on
    the edge of the channel has not left it. A channel of N buckets is broken where |reach| >= N, whatever N is; the
    first N buckets cannot break it. Prices must not be NaN.
    """
    out = np.zeros(len(close), dtype=np.int32)
    for b in range(len(close)):
        end = max(b - longest, 0)
        j = b - 1
        while j >= end and high[j] < close[b]:
            j -= 1
        above = b - 1 - j
        j = b - 1
        while j >= end and low[j] > close[b]:
            j -= 1
        out[b] = above - (b - 1 - j)  # one of the two is 0
    return out


@kernel
def atr(high: Floats, low: Floats, close: Floats, period: int) -> Floats:
    """Return Wilder's average true range of (b,) buckets, in the unit of the prices; 0 before bucket number `period`.

    A true range needs the close before it, so the first true range is that of bucket 1. The first average is the mean
    of `period` true ranges; each later one is (previous × (period − 1) + true range) / period (Wilder 1978).
    """
    out = np.zeros(len(close))
    total = 0.0
    for b in range(1, len(close)):
        true_range = max(high[b], close[b - 1]) - min(low[b], close[b - 1])
        if b <= period:
            total += true_range
            out[b] = total / period if b == period else 0.0
        else:
            out[b] = (out[b - 1] * (period - 1) + true_range) / period
    return out


@kernel
def percent_ranks(values: Floats, first: int, lookback: int) -> NDArray[np.int16]:
    """Return how many of the `lookback` values right before each value do not exceed it, int16 (b,).

    This is a percent rank in whole numbers. `values` count from index `first` on; −1 stands where fewer than `lookback`
    of them lie before.
    """
    out = np.full(len(values), _COLD, dtype=np.int16)
    for b in range(first + lookback, len(values)):
        count = 0
        for j in range(b - lookback, b):
            count += int(values[j] <= values[b])
        out[b] = count
    return out


@kernel
def side_bits(reached: NDArray[np.int32], period: int, closes_at: NDArray[np.int64], n: int, words: Words) -> int:
    """Set the bits of the long bars in `words`, which holds zeros; return the first bar with a side, or n."""
    first = n
    long_since = -1
    for b in range(len(reached)):
        if abs(reached[b]) < period:
            continue
        first = min(first, closes_at[b])
        if reached[b] > 0 and long_since < 0:
            long_since = closes_at[b]
        elif reached[b] < 0 and long_since >= 0:
            set_bits(words, long_since, closes_at[b])
            long_since = -1
    if long_since >= 0:
        set_bits(words, long_since, n)
    return first


@kernel
def armed_bits(ranks: NDArray[np.int16], needed: int, closes_at: NDArray[np.int64], n: int, words: Words) -> None:
    """Set the bits of the bars whose last visible bucket has a rank of at least `needed` (> 0); `words` holds zeros."""
    is_armed = False
    since = 0
    for b in range(len(ranks)):
        if (ranks[b] >= needed) != is_armed:
            if is_armed:
                set_bits(words, since, closes_at[b])
            is_armed, since = not is_armed, closes_at[b]
    if is_armed:
        set_bits(words, since, n)


@kernel
def set_bits(words: Words, start: int, stop: int) -> None:
    """Set bits `start` (inclusive) to `stop` (exclusive)."""
    for word in range(start >> 6, (stop + 63) >> 6):
        low, high = max(start - word * 64, 0), min(stop - word * 64, 64)
        if high > low:
            words[word] |= (~np.uint64(0) >> np.uint64(64 - (high - low))) << np.uint64(low)
