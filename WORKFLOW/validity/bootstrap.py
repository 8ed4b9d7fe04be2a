"""The stationary bootstrap (Politis & Romano 1994): days are drawn again in blocks of random length.

So bursts of volatility stay whole.

Each draw equals the draw that `arch.bootstrap.StationaryBootstrap` makes with the same generator; a test compares them.
Importing `arch` takes 1.7 to 3 s, which is longer than all these draws take, and each run of the pipeline would pay it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def stationary(days: int, block_days: int, draws: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield `draws` arrays (days,) of indices of days, int64.

    A block is `block_days` long on average, begins on any day, and wraps around from the last day to the first.
    """
    position = np.arange(days)
    for _ in range(draws):
        begin = random.integers(days, size=days)
        # A new block begins with probability 1 / block_days, so block lengths are geometric, as the method requires.
        is_new = random.random(days) <= 1.0 / block_days
        is_new[0] = True
        first = np.maximum.accumulate(np.where(is_new, position, 0))  # where the block of each day begins
        yield (begin[first] + position - first) % days
