"""Find the first bar on which a price level is touched, without looking at every bar.

First, 32 bars after the entry are compared at once. Then the lowest low and highest high of blocks of 32 bars are
compared, 32 blocks at once, and last the bars of the first touching block. Where prices are whole ticks they are held
in int32, which is as exact as float64 and half as wide.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.fills import stop_at
from WORKFLOW.engines.jit import kernel, leaf
from WORKFLOW.engines.lanes import LANES, lowest_bit, padded, touched
from WORKFLOW.engines.market import Market

BLOCK_BITS = 5
BLOCK = 1 << BLOCK_BITS
INT32 = 4  # bytes
_LARGEST_INT32 = 2**31 - 2  # one less than the padding, because no level may reach the padding
# Float noise may bring a trailing stop nearer than computed by up to this fraction: a thousand times its largest error.
NOISE = 1e-12

Prices = NDArray[Any]  # int32 ticks, or float64


class Touchable(NamedTuple):
    """Prices (n + `LANES`,) and the extremes of each block of 32 bars, padded with values that no level touches.

    Prices are int32 if they are whole ticks that fit, else float64. `fall` (blocks,) is the lowest ratio of a bar's low
    to the highest high of the bars before it in its block; `rise` is the highest ratio of a high to the lowest low
    before. Both err on the safe side by a tick. A trailing stop looser than these ratios is not touched by a swing
    inside the block.
    """

    open: Prices
    low: Prices
    high: Prices
    block_low: Prices
    block_high: Prices
    fall: Floats
    rise: Floats


@lru_cache(maxsize=2)  # saves every batch of a prescreen a few milliseconds
def touchable(market: Market) -> Touchable:
    """Prepare the prices of `market` for the search; they contain no NaN."""
    fits = market.has_tick and market.high.max() < _LARGEST_INT32
    kind = np.int32 if fits else np.float64
    top = np.iinfo(np.int32).max if fits else np.inf
    low, high = market.low.astype(kind), market.high.astype(kind)
    starts = np.arange(0, len(low), BLOCK)
    fall, rise = _swings(market.low, market.high, 1.0 if market.has_tick else 0.0)
    return Touchable(
        open=padded(market.open.astype(kind), 0),
        low=padded(low, top),
        high=padded(high, -top),
        block_low=padded(np.minimum.reduceat(low, starts), top),
        block_high=padded(np.maximum.reduceat(high, starts), -top),
        fall=fall,
        rise=rise,
    )


@kernel
def _swings(low: Floats, high: Floats, tick: float) -> tuple[Floats, Floats]:
    """Return `fall` and `rise` of every block, see `Touchable`.

    Rounding to a tick moves a level by less than a tick towards the price, so `tick` is added on the safe side.
    """
    blocks = (len(low) + BLOCK - 1) // BLOCK
    fall, rise = np.full(blocks, np.inf), np.full(blocks, -np.inf)
    for block in range(blocks):
        first = block * BLOCK
        highest, lowest = high[first], low[first]
        for bar in range(first + 1, min(first + BLOCK, len(low))):
            fall[block] = min(fall[block], (low[bar] - tick) / highest)
            rise[block] = max(rise[block], (high[bar] + tick) / lowest)
            highest, lowest = max(highest, high[bar]), min(lowest, low[bar])
    return fall, rise


@leaf
def _as_price(level: float, prices: Prices) -> Any:
    """Return a level in the type of `prices`, clipped so that the padding stays beyond it.

    For int32 it must be whole.
    """
    top = float(prices[len(prices) - 1]) - 1.0
    return prices.dtype.type(max(min(level, top), -top))


@leaf
def first_touch(touch: Touchable, bar: int, until: int, floor: float, ceiling: float) -> int:
    """Return the first of bars [bar, until) with low <= floor or high >= ceiling, or `until` if there is none.

    The first 32 bars and 32 blocks are searched without a branch, because a processor cannot predict where a trade
    ends.
    """
    low, high = touch.low, touch.high
    if low.itemsize == INT32:
        # A low in whole ticks is at or below the level exactly if it is at or below the level rounded down.
        floor, ceiling = np.floor(floor), np.ceil(ceiling)
    under, over = _as_price(floor, low), _as_price(ceiling, low)
    near = touched(low, high, bar, under, over)
    block = (bar + BLOCK) >> BLOCK_BITS
    far = touched(touch.block_low, touch.block_high, block, under, over)
    while far == 0 and near == 0 and (block + BLOCK) << BLOCK_BITS < until:
        block += BLOCK
        far = touched(touch.block_low, touch.block_high, block, under, over)
    # The bars of this block before `bar` did not touch, so its first touching bar is one that was not looked at.
    first = min((block + lowest_bit(far)) << BLOCK_BITS, len(low) - LANES)
    there = touched(low, high, first, under, over)
    at = bar + lowest_bit(near) if near != 0 else first + lowest_bit(there)
    return int(min(at, until))


@leaf
def first_touch_trailing(
    touch: Touchable,
    bar: int,
    until: int,
    side: int,
    stop: float,
    limit: float,
    anchor: float,
    fraction: float,
    has_tick: bool,
) -> tuple[int, float]:
    """Search as `first_touch` does, with a stop that follows the best price at a distance of `fraction`.

    Returns the bar and the trailing level there. `stop` is the tightest fixed level. Blocks are skipped if neither
    their extremes nor the swings inside them can touch a level.
    """
    best = anchor
    trail = stop_at(anchor, side, fraction, has_tick)
    loose_fall, loose_rise = 1.0 - fraction + NOISE, 1.0 + fraction - NOISE
    while bar < until:
        tightest = max(stop, trail) if side == 1 else min(stop, trail)
        block = bar >> BLOCK_BITS
        lowest, highest = float(touch.block_low[block]), float(touch.block_high[block])
        if side == 1:
            is_quiet = lowest > tightest and highest < limit and touch.fall[block] > loose_fall
        else:
            is_quiet = highest < tightest and lowest > limit and touch.rise[block] < loose_rise
        # A whole block is skipped only from its first bar on, and only if the block ends before `until`.
        step = BLOCK
        if not is_quiet or bar & (BLOCK - 1) != 0 or bar + BLOCK > until:
            lowest, highest, step = float(touch.low[bar]), float(touch.high[bar]), 1
            if side * ((lowest if side == 1 else highest) - tightest) <= 0.0:
                return bar, trail
            if side * ((highest if side == 1 else lowest) - limit) >= 0.0:
                return bar, trail
        reached = highest if side == 1 else lowest
        if side * (reached - best) > 0:
            best = reached
            trail = stop_at(best, side, fraction, has_tick)
        bar += step
    return until, trail
