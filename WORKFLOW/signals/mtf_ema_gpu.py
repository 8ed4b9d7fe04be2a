"""`mtf_ema` on the GPU: a thread computes one EMA, and a warp computes one pair's sides, 32 places per ballot.

The grid of a pair is the coarsest grid on which both of its EMAs change: for 60 and 240 minutes it has one place per
hour, instead of twelve. EMAs are float64 and follow `mtf_ema`'s recursion, with product and sum rounded separately, so
the signs are the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, DAY_MS
from WORKFLOW.engines.gpu.events import FIRST, FIRST_SIDE, PLACES, STEP
from WORKFLOW.engines.gpu.planes import GRID, DevicePlanes, halves, words_for
from WORKFLOW.engines.gpu.toolkit import WARP, cuda, device, kernel, threads, warps
from WORKFLOW.engines.gpu.warp import ballot, lowest_bit, times
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import all_armed
from WORKFLOW.mtf_resampler import MINUTE_MS, resample_ohlc
from WORKFLOW.signals.ema import WARM_UP_PERIODS
from WORKFLOW.signals.family import Columns

Array = Any  # in device memory

# Columns of a pair: where the row of each EMA begins, places from the pair's first place to the EMA's first bucket,
# places per bucket, and the first place at which both EMAs are warm.
FAST_ROW, SLOW_ROW, FAST_OFFSET, SLOW_OFFSET, FAST_UNIT, SLOW_UNIT, WARM = range(7)


@kernel
def emas(closes: Array, firsts: Array, lengths: Array, alphas: Array, starts: Array, out: Array) -> None:
    """Write the EMA of closes[firsts[r] : firsts[r] + lengths[r]] for each row r, from out[starts[r]] on."""
    r = cuda.grid(1)
    if r >= len(alphas):
        return
    first, start, alpha = firsts[r], starts[r], alphas[r]
    value = closes[first]
    for i in range(lengths[r]):
        value += times(alpha, closes[first + i] - value)
        out[start + i] = value


@device
def _filled(over: Any, ties: Any, was_long: Any) -> Any:
    """Return a word of sides; where the two EMAs are equal, the side before continues."""
    while ties != 0:
        place = lowest_bit(ties)
        ties = np.uint32(ties & (ties - 1))
        before = was_long if place == 0 else (over >> (place - 1)) & 1
        over = np.uint32(over | (np.uint32(before) << place))
    return over


@kernel
def signs(rows: Array, pairs: Array, words: Array, grid: Array) -> None:
    """Write the sides of each pair into `words` from its warm-up on, and its first bar with a side into `grid`."""
    pair = cuda.grid(1) // WARP
    lane = np.int32(cuda.grid(1) % WARP)
    if pair >= len(pairs):
        return
    fast, slow, warm = pairs[pair, FAST_ROW], pairs[pair, SLOW_ROW], np.int32(pairs[pair, WARM])
    fast_unit, slow_unit = np.int32(pairs[pair, FAST_UNIT]), np.int32(pairs[pair, SLOW_UNIT])
    places = grid[pair, PLACES]
    word = np.int32(warm // WARP)
    place = np.int32(word * WARP + lane)
    since_fast, since_slow = place - pairs[pair, FAST_OFFSET], place - pairs[pair, SLOW_OFFSET]
    i, in_i = np.int32(since_fast // fast_unit), np.int32(since_fast % fast_unit)
    j, in_j = np.int32(since_slow // slow_unit), np.int32(since_slow % slow_unit)
    i_step, in_i_step = np.int32(WARP // fast_unit), np.int32(WARP % fast_unit)
    j_step, in_j_step = np.int32(WARP // slow_unit), np.int32(WARP % slow_unit)
    first, was_long = np.int32(-1), np.uint32(0)
    while word * WARP < places:
        is_over = is_under = False
        if warm <= place < places:
            upper, lower = (
                rows[np.uint64(fast + i)],
                rows[np.uint64(slow + j)],
            )  # unsigned for the reason given in touch.py
            is_over, is_under = upper > lower, upper < lower
        over, under = ballot(is_over), ballot(is_under)
        sided = np.uint32(over | under)
        if first < 0 and sided != 0:
            first = np.int32(word * WARP + lowest_bit(sided))
        over = _filled(over, np.uint32(~sided), was_long) if sided != 0xFFFFFFFF else over
        was_long = np.uint32(over >> 31)
        if lane == 0:
            words[pair, word] = over
        word = np.int32(word + 1)
        place = np.int32(place + WARP)
        i, in_i = np.int32(i + i_step), np.int32(in_i + in_i_step)
        if in_i >= fast_unit:
            i, in_i = np.int32(i + 1), np.int32(in_i - fast_unit)
        j, in_j = np.int32(j + j_step), np.int32(in_j + in_j_step)
        if in_j >= slow_unit:
            j, in_j = np.int32(j + 1), np.int32(in_j - slow_unit)
    if lane == 0 and first >= 0:
        grid[pair, FIRST_SIDE] = grid[pair, FIRST] + first * grid[pair, STEP]


class MtfEmaOnDevice:
    """The family bound to one market and the current device; EMA rows stay in device memory once they are computed."""

    def __init__(self, market: Market) -> None:
        self._n = len(market)
        self._market = market
        self._lead = int(market.time_ms[0]) % DAY_MS // BAR_MS
        self._closes: dict[int, tuple[Any, int, int]] = {}  # minutes → closes in device memory, buckets, first bar
        self._row_at: dict[tuple[int, int], int] = {}  # (minutes, period) → where the row of that EMA begins
        self._rows = cuda.device_array(1, np.float64)
        self._used = 0
        self._armed = cuda.to_device(halves(all_armed(self._n)))

    def planes(self, columns: Columns) -> DevicePlanes:
        """Return the sides of the pairs in `columns`."""
        self._prepare(columns)
        pairs, grid = self._laid_out(columns)
        count = len(pairs)
        on_device = cuda.to_device(grid)
        words = cuda.device_array((count, words_for(int(grid[:, PLACES].max(initial=0)))), np.uint32)
        signs[warps(count)](self._rows, cuda.to_device(pairs), words, on_device)
        return DevicePlanes(words, on_device, self._armed)

    def _laid_out(self, columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the table of pairs that `signs` reads, and the grid on which each pair changes."""
        n, count = self._n, len(columns["fast_period"])
        pairs, grid = np.zeros((count, WARM + 1), dtype=np.int64), np.zeros((count, len(GRID)), dtype=np.int32)
        steps = {name: columns[f"{name}_timeframe"] * MINUTE_MS // BAR_MS for name in ("fast", "slow")}
        step = np.gcd(steps["fast"], steps["slow"])
        first = (-self._lead - 1) % step  # the first bar that closes a step of the day
        warm = np.zeros(count, dtype=np.int64)
        for name, row, offset, unit in (
            ("fast", FAST_ROW, FAST_OFFSET, FAST_UNIT),
            ("slow", SLOW_ROW, SLOW_OFFSET, SLOW_UNIT),
        ):
            minutes, periods = columns[f"{name}_timeframe"], columns[f"{name}_period"]
            keys = zip(minutes.tolist(), periods.tolist(), strict=True)
            pairs[:, row] = [self._row_at[key] for key in keys]
            begins = np.array([self._closes[m][2] for m in minutes.tolist()], dtype=np.int64)
            pairs[:, offset], pairs[:, unit] = (begins - first) // step, steps[name] // step
            warm = np.maximum(warm, begins + (WARM_UP_PERIODS * periods - 1) * steps[name])
        places = np.maximum((n - 1 - first) // step + 1, 0)
        pairs[:, WARM] = np.minimum((warm - first) // step, places)
        for column, values in zip(GRID, (first, step, places, np.full(count, n)), strict=True):
            grid[:, column] = values
        return pairs, grid

    def _prepare(self, columns: Columns) -> None:
        wanted = {
            key
            for side in ("fast", "slow")
            for key in zip(columns[f"{side}_timeframe"].tolist(), columns[f"{side}_period"].tolist(), strict=True)
        }
        missing = sorted(wanted - self._row_at.keys())
        for minutes in {minutes for minutes, _ in missing} - self._closes.keys():
            self._closes[minutes] = self._resampled(minutes)
        lengths = [self._closes[minutes][1] for minutes, _ in missing]
        starts = self._used + np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        if missing:
            self._grow(int(starts[-1]))
        for minutes in sorted({minutes for minutes, _ in missing}):
            some = [i for i, key in enumerate(missing) if key[0] == minutes and lengths[i] > 0]
            if some:
                periods = np.array([missing[i][1] for i in some])
                emas[threads(len(some))](
                    self._closes[minutes][0],
                    cuda.to_device(np.zeros(len(some), dtype=np.int64)),
                    cuda.to_device(np.array([lengths[i] for i in some], dtype=np.int64)),
                    cuda.to_device(2.0 / (periods + 1)),
                    cuda.to_device(starts[some]),
                    self._rows,
                )
        self._row_at.update(zip(missing, starts[:-1].tolist(), strict=True))

    def _grow(self, room: int) -> None:
        if room > len(self._rows):
            rows = cuda.device_array(max(room, 2 * len(self._rows)), np.float64)
            if self._used:
                rows[: self._used].copy_to_device(self._rows[: self._used])
            self._rows = rows
        self._used = room

    def _resampled(self, minutes: int) -> tuple[Any, int, int]:
        m = self._market
        buckets = resample_ohlc(m.open, m.high, m.low, m.close, minutes, first_open_ms=int(m.time_ms[0]))
        first = int(buckets.closes_at[0]) if len(buckets) else len(m)
        return cuda.to_device(np.append(buckets.close / m.per_unit, 0.0)), len(buckets), first
