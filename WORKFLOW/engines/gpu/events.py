"""Turn packed sides into events, as `engines/events.py` does; a warp looks at 1,024 bits of one signal at a time."""

from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.toolkit import WARP, cuda, device, kernel
from WORKFLOW.engines.gpu.warp import ALL, lowest_bit, ones, shuffle, shuffle_up

Array = Any  # in device memory

_WORD_BITS = 5
# Columns of a signal's grid: the bar of its first bit, bars between two bits, number of bits, first bar with a side.
FIRST, STEP, PLACES, FIRST_SIDE = range(4)


@device
def _turns(words: Array, signal: Any, word: Any, low: Any, high: Any, lane: Any, carry: Any) -> tuple[Any, Any, Any]:
    """Return the bits of word `word` + lane that differ from the bit before, that word, and the next carry.

    Only bits in places [low, high] count.
    """
    now = np.uint32(words[signal, word + lane]) if word + lane < words.shape[1] else np.uint32(0)
    top = np.int32(now >> 31)
    below = shuffle_up(top, 1)
    before = np.uint32(np.uint32(now << 1) | (carry if lane == 0 else below))
    turned = np.uint32(now ^ before)
    origin = np.int32((word + lane) << _WORD_BITS)
    if origin < low:
        turned = np.uint32(turned >> (low - origin) << (low - origin)) if low - origin < 32 else np.uint32(0)
    if origin + 31 > high:
        beyond = high + 1 - origin  # the number of low bits that are kept
        turned = np.uint32(turned & (np.uint32(ALL) >> np.uint32(32 - beyond))) if beyond > 0 else np.uint32(0)
    return turned, now, shuffle(top, WARP - 1)


@device
def _running_total(count: Any, lane: Any) -> Any:
    """Return the sum of `count` over this lane and all lanes below, in five steps (a parallel prefix sum)."""
    delta = 1
    while delta < WARP:
        other = shuffle_up(count, delta)
        if lane >= delta:
            count = np.int32(count + other)
        delta *= 2
    return count


@device
def _places(grid: Array, signal: Any, start: Any, stop: Any) -> tuple[Any, Any]:
    """Return the first and the last place whose change is an event of bars [start, stop)."""
    first, step = grid[signal, FIRST], grid[signal, STEP]
    low = max(start, grid[signal, FIRST_SIDE] + 1, first + 1) - first
    high = stop - 2 - first
    last = np.int32(high // step) if high >= 0 else np.int32(-1)
    return np.int32((low + step - 1) // step), np.int32(min(last, grid[signal, PLACES] - 1))


@kernel
def count_events(words: Array, grid: Array, start: Any, stop: Any, counts: Array) -> None:
    """Count the events of each signal in bars [start, stop) into `counts` (signals,)."""
    signal = cuda.grid(1) // WARP
    lane = np.int32(cuda.grid(1) % WARP)
    if signal >= len(counts):
        return
    low, high = _places(grid, signal, start, stop)
    found, carry = np.int32(0), np.int32(0)
    word = np.int32(0)
    while word << _WORD_BITS <= high:
        turned, _, carry = _turns(words, signal, word, low, high, lane, carry)
        found = np.int32(found + ones(turned))
        word = np.int32(word + WARP)
    found = _running_total(found, lane)
    if lane == WARP - 1:
        counts[signal] = found


@kernel
def write_events(
    words: Array, grid: Array, armed: Array, start: Any, stop: Any, offsets: Array, all_events: Array
) -> None:
    """Write the events of each signal from offsets[signal] on, then a final event at `stop` that opens nothing.

    `armed` has shape (rows, words of 32 base bars); a signal reads row signal % rows.
    """
    signal = cuda.grid(1) // WARP
    lane = np.int32(cuda.grid(1) % WARP)
    if signal >= len(offsets) - 1:
        return
    low, high = _places(grid, signal, start, stop)
    first, step, row = grid[signal, FIRST], grid[signal, STEP], signal % armed.shape[0]
    at, carry = offsets[signal], np.int32(0)
    word = np.int32(0)
    while word << _WORD_BITS <= high:
        turned, now, carry = _turns(words, signal, word, low, high, lane, carry)
        mine = ones(turned)
        upto = _running_total(mine, lane)
        slot = at + upto - mine
        while turned != 0:
            place = lowest_bit(turned)
            turned = np.uint32(turned & (turned - 1))
            bar = np.int32(first + (((word + lane) << _WORD_BITS) + place) * step)
            is_armed = (armed[row, bar >> _WORD_BITS] >> (bar & 31)) & 1
            code = np.int32(1 if (now >> place) & 1 != 0 else 3) if is_armed != 0 else np.int32(0)
            all_events[slot] = ((bar + 1) << 2) | code
            slot += 1
        at += shuffle(upto, WARP - 1)
        word = np.int32(word + WARP)
    if lane == 0:
        all_events[at] = stop << 2
