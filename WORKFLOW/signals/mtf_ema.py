"""Multi-timeframe EMA cross: a fast EMA on one timeframe against a slow EMA on a higher one.

Long while the fast EMA is above the slow one, short while below, always armed. A bucket's EMA becomes visible on the
base bar that closes the bucket and is held until the next one closes: that, and nothing else, keeps the future out.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes, all_armed, words_for
from WORKFLOW.mtf_resampler import align_to_base_tf, resample_ohlc
from WORKFLOW.signals.family import Columns

# An EMA's seed (the first close) still weighs e^-6 = 0.25 % after 3 × period buckets: small enough to be believed.
WARM_UP_PERIODS = 3


@dataclass(frozen=True)
class _MtfEma:
    name: str = "mtf_ema"
    parameters: tuple[str, ...] = ("fast_timeframe", "fast_period", "slow_timeframe", "slow_period")

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """Timeframes up to a day; a period beyond 10,000 buckets would never be warm."""
        return {name: (5, 1440) if name.endswith("timeframe") else (1, 10_000) for name in self.parameters}

    def valid(self, columns: Columns) -> NDArray[np.bool_]:
        """Fast timeframe <= slow timeframe, and with equal timeframes fast period < slow period."""
        fast, slow = columns["fast_timeframe"], columns["slow_timeframe"]
        faster = columns["fast_period"] < columns["slow_period"]
        return np.asarray((fast < slow) | ((fast == slow) & faster), dtype=np.bool_)

    def on(self, market: Market) -> "_Signals":
        """Bind the family to the bars of `market`."""
        return _Signals(market)


MTF_EMA = _MtfEma()


@dataclass
class _Timeframe:
    closes: Floats  # (b,) bucket closes in quote currency
    visible: NDArray[np.int32]  # (n,) last bucket visible at each base bar's close, -1 before the first
    rows: dict[int, Floats] = field(default_factory=dict)  # period → EMA (b,)


class _Signals:
    def __init__(self, market: Market) -> None:
        self._market = market
        self._timeframes: dict[int, _Timeframe] = {}

    def prepare(self, columns: Columns) -> None:
        for side in ("fast", "slow"):
            pairs = np.unique(np.column_stack([columns[f"{side}_timeframe"], columns[f"{side}_period"]]), axis=0)
            for minutes, period in pairs.tolist():
                timeframe = self._timeframe(minutes)
                if period not in timeframe.rows:
                    timeframe.rows[period] = ema(timeframe.closes, period)

    def planes(self, columns: Columns) -> Planes:
        n, k = len(self._market), len(columns["fast_period"])
        side = np.empty((k, words_for(n)), dtype=np.uint64)
        first_side = np.empty(k, dtype=np.int64)
        for i in range(k):
            fast = self._timeframes[int(columns["fast_timeframe"][i])]
            slow = self._timeframes[int(columns["slow_timeframe"][i])]
            fast_period, slow_period = int(columns["fast_period"][i]), int(columns["slow_period"][i])
            first_side[i] = _cross(
                fast.rows[fast_period],
                slow.rows[slow_period],
                fast.visible,
                slow.visible,
                WARM_UP_PERIODS * fast_period - 1,
                WARM_UP_PERIODS * slow_period - 1,
                side[i],
            )
        return Planes(side, all_armed(n), first_side)

    def _timeframe(self, minutes: int) -> _Timeframe:
        if minutes not in self._timeframes:
            m = self._market
            buckets = resample_ohlc(m.open, m.high, m.low, m.close, minutes, first_open_ms=int(m.time_ms[0]))
            visible = align_to_base_tf(buckets.closes_at, len(m))
            self._timeframes[minutes] = _Timeframe(buckets.close / m.per_unit, visible)
        return self._timeframes[minutes]


@kernel
def ema(closes: Floats, period: int) -> Floats:
    """Exponential moving average of (b,) closes, alpha = 2 / (period + 1), seeded with the first close, float64.

    Written as a step towards the close, so that on a flat market it is exactly the close and two EMAs are equal.
    """
    out = np.empty(len(closes))
    alpha = 2.0 / (period + 1)
    value = closes[0] if len(closes) else 0.0
    for i in range(len(closes)):
        value += alpha * (closes[i] - value)
        out[i] = value
    return out


@kernel
def _cross(
    fast: Floats,
    slow: Floats,
    fast_visible: NDArray[np.int32],
    slow_visible: NDArray[np.int32],
    fast_warm: int,
    slow_warm: int,
    side: NDArray[np.uint64],
) -> int:
    """Write the side bits of one pair; returns the first bar that has a side, n when there is none.

    `*_warm` is the first bucket whose EMA counts. A zero difference keeps the previous side.
    """
    n = len(fast_visible)
    first = n
    is_long = np.uint64(0)
    fast_at = slow_at = -1
    for word in range(len(side)):
        bits = np.uint64(0)
        for i in range(word * 64, min(word * 64 + 64, n)):
            if fast_visible[i] != fast_at or slow_visible[i] != slow_at:
                fast_at, slow_at = fast_visible[i], slow_visible[i]
                if fast_at >= fast_warm and slow_at >= slow_warm:
                    difference = fast[fast_at] - slow[slow_at]
                    if difference != 0.0:
                        is_long = np.uint64(1) if difference > 0.0 else np.uint64(0)
                        first = min(first, i)
            bits |= is_long << np.uint64(i & 63)
        side[word] = bits
    return first
