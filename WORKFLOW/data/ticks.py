"""Infer the smallest price step of a market from its prices."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST_POWER = 3  # of ten
SMALLEST_POWER = -10
SAMPLE = 2_000  # prices that are tried first, because most ticks are ruled out by few prices

# A price still lies on a tick if a sum or product has left it this far beside. The distance is a small fraction of the
# price, and never a significant part of the tick.
NOISE_ULPS = 4
NOISE_OF_PRICE = 1e-12
NOISE_OF_TICK = 1e-6
# A tick that is closer to float64's resolution than this would be "found" in any numbers at all.
GRAIN_ULPS = 64


def infer_tick(prices: Floats) -> float | None:
    """Return the largest power of ten, from 1000 to 1e-10, that divides all `prices`; None if there is none.

    `prices` are finite and positive. The true tick size of the exchange may be a multiple of the result.
    """
    if prices.size == 0:
        return None
    sample = prices[:: max(1, prices.size // SAMPLE)]
    finest = GRAIN_ULPS * float(np.spacing(prices.max()))
    for power in range(LARGEST_POWER, SMALLEST_POWER - 1, -1):
        tick = float(f"1e{power}")
        if tick < finest:
            return None
        if _all_on(sample, power) and _all_on(prices, power):
            return tick
    return None


def _all_on(prices: Floats, power: int) -> bool:
    scale = float(10 ** abs(power))  # exact up to 1e22, so count / scale is the float64 nearest to the decimal number
    nearest = np.rint(prices * scale) / scale if power < 0 else np.rint(prices / scale) * scale
    noise = NOISE_ULPS * np.spacing(prices) + np.minimum(NOISE_OF_PRICE * prices, NOISE_OF_TICK * float(f"1e{power}"))
    return bool((np.abs(prices - nearest) <= noise).all())
