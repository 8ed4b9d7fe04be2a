"""The seam between signals and the GPU engine: sides as packed bits on a regular grid, on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from WORKFLOW.engines.gpu.events import FIRST, FIRST_SIDE, PLACES, STEP
from WORKFLOW.engines.gpu.toolkit import cuda
from WORKFLOW.engines.planes import Planes

GRID = (FIRST, STEP, PLACES, FIRST_SIDE)
WORD = 32


@dataclass(frozen=True)
class DevicePlanes:
    """`Planes` of k signals in device memory.

    `words` uint32 (k, w): bit i % 32 of word i // 32 is the side at the i-th place of the signal's grid, held until the
    next place. `grid` int32 (k, 4): bar of place 0, bars from place to place, places, first bar with a side. `armed`
    uint32 (k or 1, words of 32 base bars). What `Planes` says of looking ahead holds here too.
    """

    words: Any
    grid: Any
    armed: Any


# The planes of a slice of the signals.
DeviceSignals = Callable[[slice], DevicePlanes]


def words_for(places: int) -> int:
    """Words of 32 bits that hold so many."""
    return max(1, -(-places // WORD))


def uploaded(planes: Planes, n_bars: int) -> DevicePlanes:
    """Planes made on the CPU: a family needs no kernel of its own."""
    grid = np.empty((len(planes), len(GRID)), dtype=np.int32)
    grid[:, FIRST], grid[:, STEP], grid[:, PLACES], grid[:, FIRST_SIDE] = 0, 1, n_bars, planes.first_side
    return DevicePlanes(cuda.to_device(halves(planes.side)), cuda.to_device(grid), cuda.to_device(halves(planes.armed)))


def halves(words: Any) -> Any:
    """Words of 64 bits (k, w) as twice as many of 32, the lower first."""
    return np.ascontiguousarray(words.astype(np.dtype("<u8"), copy=False)).view(np.dtype("<u4")).astype(np.uint32)
