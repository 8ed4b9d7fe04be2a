"""The form in which signals reach the GPU engine: sides as packed bits on a regular grid, in device memory."""

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

    `words` uint32 (k, w): bit i % 32 of word i // 32 is the side at place i of the signal's grid, and holds until the
    next place. `grid` int32 (k, 4): bar of place 0, bars between two places, number of places, first bar with a side.
    `armed` uint32 (k or 1, words of 32 base bars). What `Planes` says about look-ahead holds here, too.
    """

    words: Any
    grid: Any
    armed: Any


# A function that returns the planes for a slice of the signals.
DeviceSignals = Callable[[slice], DevicePlanes]


def words_for(places: int) -> int:
    """Return how many words of 32 bits hold that many places."""
    return max(1, -(-places // WORD))


def uploaded(planes: Planes, n_bars: int) -> DevicePlanes:
    """Copy planes that the CPU made to the device, so that a signal family needs no kernel of its own."""
    grid = np.empty((len(planes), len(GRID)), dtype=np.int32)
    grid[:, FIRST], grid[:, STEP], grid[:, PLACES], grid[:, FIRST_SIDE] = 0, 1, n_bars, planes.first_side
    return DevicePlanes(cuda.to_device(halves(planes.side)), cuda.to_device(grid), cuda.to_device(halves(planes.armed)))


def halves(words: Any) -> Any:
    """Split words of 64 bits (k, w) into twice as many words of 32 bits, the lower half first."""
    return np.ascontiguousarray(words.astype(np.dtype("<u8"), copy=False)).view(np.dtype("<u4")).astype(np.uint32)
