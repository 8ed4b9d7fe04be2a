"""Bit planes to events: the bars at whose open a change of side trades."""

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.jit import leaf
from WORKFLOW.engines.lanes import lowest_bit, ones


@leaf
def bit(words: NDArray[np.uint64], i: int) -> bool:
    """Bit i of packed words."""
    return bool((words[i >> 6] >> np.uint64(i & 63)) & np.uint64(1))


@leaf
def changes(side: NDArray[np.uint64]) -> int:
    """How often neighbouring bits of a row differ: no less than the events of any window."""
    count = ones(side[0] ^ (side[0] << np.uint64(1)))
    for word in range(1, len(side)):
        count += ones(side[word] ^ ((side[word] << np.uint64(1)) | (side[word - 1] >> np.uint64(63))))
    return int(count)


@leaf
def events(
    side: NDArray[np.uint64],
    armed: NDArray[np.uint64],
    first_side: int,
    start: int,
    stop: int,
    fills: NDArray[np.int32],
    wanted: NDArray[np.int32],
) -> int:
    """The events of one signal that fill inside bars [start, stop); returns how many.

    `fills` gets the bar at whose open each one trades, `wanted` the side it opens: 1, -1, or 0 where it is not armed
    and only exits. Both have room for stop - start events and one more; `fills` ends with `stop`.
    """
    first, last = max(start, first_side + 1, 1), stop - 2  # bars on whose close an event may lie
    count = 0
    for word in range(first >> 6, (last >> 6) + 1):
        now = side[word]
        before = (now << np.uint64(1)) | (side[word - 1] >> np.uint64(63) if word > 0 else np.uint64(0))
        changed = now ^ before
        if changed == 0:
            continue
        while changed != 0:
            place = lowest_bit(changed)
            changed &= changed - np.uint64(1)
            at = word * 64 + place
            if first <= at <= last:
                fills[count] = at + 1
                is_long = (now >> np.uint64(place)) & np.uint64(1)
                wanted[count] = (1 if is_long != 0 else -1) if bit(armed, at) else 0
                count += 1
    fills[count] = stop
    return count
