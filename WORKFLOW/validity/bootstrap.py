"""The stationary bootstrap (Politis & Romano 1994): days drawn again in blocks of random length; bursts stay whole.

Draw by draw the same as `arch.bootstrap.StationaryBootstrap` makes of the same generator (a test holds it to that).
Importing `arch` takes 1.7 to 3 s, more than all these draws, and each run of the pipeline would pay it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def stationary(days: int, block_days: int, draws: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """`draws` times (days,) indices of days: blocks of `block_days` on average that begin anywhere and wrap around."""
    position = np.arange(days)
    for _ in range(draws):
        begin = random.integers(days, size=days)
        is_new = random.random(days) <= 1.0 / block_days
        is_new[0] = True
        first = np.maximum.accumulate(np.where(is_new, position, 0))  # of the block that each day belongs to
        yield (begin[first] + position - first) % days
