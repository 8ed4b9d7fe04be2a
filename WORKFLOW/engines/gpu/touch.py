"""`engines/touch.py` for a warp: its 32 lanes look at 32 bars, or at 32 blocks of 32 bars, at the same time."""

from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.levels import stop_at
from WORKFLOW.engines.gpu.toolkit import WARP, device
from WORKFLOW.engines.gpu.warp import ballot, lowest_bit, shuffle, shuffle_up
from WORKFLOW.engines.touch import BLOCK_BITS, NOISE

Prices = Any  # int32 ticks or float64, in device memory


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
    """Return the first of bars [bar, until) with low <= under or high >= over, or `until`; all lanes get the answer."""
    i = np.uint32(bar + lane)  # unsigned, because Numba checks each signed index for counting from the end
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
        # The bars of this block before `bar` did not touch, so its first touching bar is one that was not looked at.
        bar = np.int32((block + lowest_bit(hits)) << BLOCK_BITS)
        i = np.uint32(bar + lane)
        hits = ballot((low[i] <= under) | (high[i] >= over))
    return np.int32(min(bar + lowest_bit(hits), until))


@device
def _best_before(reached: float, best: float, is_long: bool, lane: Any) -> Any:
    """Return the best of `best` and of what the lanes below have reached, by a scan in five steps."""
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
    """Search as `first_touch` does, with a stop that follows the best price at a distance of `fraction`.

    Returns the bar and the trailing level there. The search passes over whole blocks, 32 at once, when neither their
    extremes nor the swings inside them can touch a level.
    """
    is_long = side == 1
    best = anchor
    blocks = np.int32(until >> BLOCK_BITS)  # the number of whole blocks before `until`
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
        end = np.int32(min((bar | (WARP - 1)) + 1, until))  # the end of this block; the next step can pass over blocks
        hits = ballot(is_hit and at < end)
        if hits != 0:
            place = lowest_bit(hits)
            return np.int32(bar + place), shuffle(trail, place)
        best = _best_at(before, reached, np.int32(end - bar), is_long)
        bar = end
    return until, stop_at(best, side, fraction, has_tick)


@device
def _best_at(before: float, reached: float, lane: Any, is_long: bool) -> Any:
    """Return the best price before `lane`; `lane` may be one beyond the last lane."""
    last = shuffle(before, WARP - 1), shuffle(reached, WARP - 1)
    beyond = max(last[0], last[1]) if is_long else min(last[0], last[1])
    return shuffle(before, lane) if lane < WARP else beyond
