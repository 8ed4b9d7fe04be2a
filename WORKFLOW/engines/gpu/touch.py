"""`engines/touch.py` for a warp: its 32 lanes look at 32 bars, or at 32 blocks of 32 bars, at once."""

from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.levels import stop_at
from WORKFLOW.engines.gpu.toolkit import WARP, device
from WORKFLOW.engines.gpu.warp import ballot, lowest_bit, shuffle, shuffle_up
from WORKFLOW.engines.touch import BLOCK_BITS, NOISE

Prices = Any  # int32 ticks or float64, on the device


@device
def first_touch(
    low: Prices,
    high: Prices,
    block_low: Prices,
    block_high: Prices,
    bar: Any,
    until: Any,
    under: Any,
    over: Any,
    lane: Any,
) -> Any:
    """The first of bars [bar, until) with low <= under or high >= over, `until` when there is none; for all lanes."""
    i = np.uint32(bar + lane)  # unsigned: Numba asks of a signed index whether it counts from the end
    hits = ballot((low[i] <= under) | (high[i] >= over))
    if hits == 0:
        block = np.int32((bar + WARP) >> BLOCK_BITS)
        last = np.int32((until + WARP - 1) >> BLOCK_BITS)
        while block < last:
            i = np.uint32(block + lane)
            hits = ballot((block_low[i] <= under) | (block_high[i] >= over))
            if hits != 0:
                break
            block = np.int32(block + WARP)
        if hits == 0:
            return until
        # Bars of that block that were looked at before did not touch, so the first that does is a new one.
        bar = np.int32((block + lowest_bit(hits)) << BLOCK_BITS)
        i = np.uint32(bar + lane)
        hits = ballot((low[i] <= under) | (high[i] >= over))
    return np.int32(min(bar + lowest_bit(hits), until))


@device
def _best_before(reached: float, best: float, is_long: bool, lane: Any) -> Any:
    """The best of `best` and of what the lanes below reached: a scan in five steps."""
    seen = shuffle_up(reached, 1)
    seen = best if lane == 0 else seen
    delta = 1
    while delta < WARP:
        other = shuffle_up(seen, delta)
        if lane >= delta:
            seen = max(seen, other) if is_long else min(seen, other)
        delta *= 2
    return seen


@device
def first_touch_trailing(
    low: Prices,
    high: Prices,
    block_low: Prices,
    block_high: Prices,
    fall: Any,
    rise: Any,
    bar: Any,
    until: Any,
    side: Any,
    stop: float,
    limit: float,
    anchor: float,
    fraction: float,
    has_tick: bool,
    lane: Any,
) -> tuple[Any, Any]:
    """The same with a stop that follows the best price `fraction` behind, and the trailing level on that bar.

    Whole blocks, 32 of them at once, are passed over when neither their extremes nor their own swings can touch.
    """
    is_long = side == 1
    best = anchor
    blocks = np.int32(until >> BLOCK_BITS)  # those before it end by then
    while bar < until:
        if bar & (WARP - 1) == 0 and bar >> BLOCK_BITS < blocks:
            block = np.int32(bar >> BLOCK_BITS)
            lowest, highest = float(block_low[block + lane]), float(block_high[block + lane])
            reached = highest if is_long else lowest
            before = _best_before(reached, best, is_long, lane)
            trail = stop_at(before, side, fraction, has_tick)
            is_noisy = block + lane >= blocks
            if not is_noisy:
                if is_long:
                    quiet = lowest > max(stop, trail) and highest < limit
                    is_noisy = not (quiet and fall[block + lane] > 1.0 - fraction + NOISE)
                else:
                    quiet = highest < min(stop, trail) and lowest > limit
                    is_noisy = not (quiet and rise[block + lane] < 1.0 + fraction - NOISE)
            noisy = ballot(is_noisy)
            skipped = lowest_bit(noisy) if noisy != 0 else np.int32(WARP)
            best = _best_at(before, reached, skipped, is_long)
            bar = np.int32(bar + (skipped << BLOCK_BITS))
            if noisy == 0 or bar >= until:
                continue
        at = np.int32(bar + lane)
        lowest, highest = float(low[at]), float(high[at])
        reached = highest if is_long else lowest
        before = _best_before(reached, best, is_long, lane)
        trail = stop_at(before, side, fraction, has_tick)
        if is_long:
            is_hit = lowest <= max(stop, trail) or highest >= limit
        else:
            is_hit = highest >= min(stop, trail) or lowest <= limit
        end = np.int32(min((bar | (WARP - 1)) + 1, until))  # of this block: the next begins with a look at blocks
        hits = ballot(is_hit and at < end)
        if hits != 0:
            place = lowest_bit(hits)
            return np.int32(bar + place), shuffle(trail, place)
        best = _best_at(before, reached, np.int32(end - bar), is_long)
        bar = end
    return until, stop_at(best, side, fraction, has_tick)


@device
def _best_at(before: float, reached: float, lane: Any, is_long: bool) -> Any:
    """The best before `lane`, which may be one beyond the last."""
    last = shuffle(before, WARP - 1), shuffle(reached, WARP - 1)
    beyond = max(last[0], last[1]) if is_long else min(last[0], last[1])
    return shuffle(before, lane) if lane < WARP else beyond
