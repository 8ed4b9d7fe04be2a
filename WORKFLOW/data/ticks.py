"""The smallest price step of a market, read off its prices."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST_POWER = 3
SMALLEST_POWER = -10
SAMPLE = 2_000

# A price may be this far beside a tick (a sum or a product left it there) and still lie on it: a little of the price,
# and never a part of the tick that means something.
NOISE_ULPS = 4
NOISE_OF_PRICE = 1e-12
NOISE_OF_TICK = 1e-6
# A tick closer to float64's own grain than this would be "found" in any numbers at all.
GRAIN_ULPS = 64


def infer_tick(prices: Floats) -> float | None:
    """The largest power of ten, 1000 down to 1e-10, of which all `prices` (finite, positive) are multiples, or None."""
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
    scale = float(10 ** abs(power))  # exact up to 1e22; so count / scale is the float64 nearest to the decimal number
    nearest = np.rint(prices * scale) / scale if power < 0 else np.rint(prices / scale) * scale
    noise = NOISE_ULPS * np.spacing(prices) + np.minimum(NOISE_OF_PRICE * prices, NOISE_OF_TICK * float(f"1e{power}"))
    return bool((np.abs(prices - nearest) <= noise).all())
