"""Turn bit planes into events: the bars at whose open a change of side trades."""

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.jit import leaf
from WORKFLOW.engines.lanes import lowest_bit, ones


@leaf
def bit(words: NDArray[np.uint64], i: int) -> bool:
    """Return bit i of packed words, the lowest bit of the first word being bit 0."""
    return bool((words[i >> 6] >> np.uint64(i & 63)) & np.uint64(1))


@leaf
def changes(side: NDArray[np.uint64]) -> int:
    """Count how often neighbouring bits of a row differ; no window has more events than that."""
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
    """Write the events of one signal that fill inside bars [start, stop), and return their number.

    `fills` receives the bar at whose open each event trades. `wanted` receives the side that the event opens: 1, -1, or
    0 where the signal is not armed, so that the event only exits. `fills` needs room for one entry more than there are
    events, because it ends with `stop`.

    Look-ahead: a change that the close of bar i shows fills at the open of bar i + 1.
    """
    first, last = max(start, first_side + 1, 1), stop - 2  # the bars at whose close an event may lie
    count = 0
    for word in range(first >> 6, (last >> 6) + 1):
        now = side[word]
        # `before` is the word shifted by one bar, so a bit of `changed` is 1 where a bar's side differs from the last
        # one.
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
