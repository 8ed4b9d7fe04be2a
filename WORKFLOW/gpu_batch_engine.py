"""The names that deployed scripts import: higher timeframes of many bars at once.

    from WORKFLOW.gpu_batch_engine import precompute_mtf_data

`gpu_prescreen` is not here yet: this version screens on the CPU (`--engine native`), and importing a name that would
quietly do so under a GPU's name must fail instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import Refused
from WORKFLOW.mtf_resampler import Floats, Resampled, align_to_base_tf, refuse_swapped, resample_ohlc

_YEAR_2200_MS = 7_258_118_400_000
ORDER = "the order is close, open_, high, low; or pass each by its name: close=…, open_=…, high=…, low=…"


@dataclass(frozen=True)
class MtfData:
    """One timeframe over n base bars.

    `buckets`: its b finished buckets, float64 (b,) in the prices' own unit, with the base bar that closes each.
    `visible`: int32 (n,), the last bucket that is finished at each base bar's close, −1 before there is any. What a
    trader may know at the close of base bar i is bucket `visible[i]` and those before it; `buckets.close[i]` is not.
    """

    buckets: Resampled
    visible: NDArray[np.int32]

    def at_base(self, values: ArrayLike, before: float = np.nan) -> Floats:
        """`values` of the buckets (b,), such as an indicator of their closes, as seen at each base bar's close:
        float64 (n,), `before` where no bucket is finished yet.

        Raises:
            Refused: not one value a bucket.
        """
        column = np.asarray(values, dtype=np.float64)
        if column.shape != (len(self.buckets),):
            raise Refused(f"values have the shape {column.shape}", f"pass one value a bucket: ({len(self.buckets)},)")
        return np.append(column, before)[self.visible]


def precompute_mtf_data(
    close: ArrayLike,
    open_: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    timeframes: Iterable[int],
    base_minutes: int = 5,
    first_open_ms: int = 0,
) -> dict[int, MtfData]:
    """Timeframe in minutes → its buckets and what each base bar sees of them. Close comes FIRST.

    Args:
        close: base closes, (n,); like the other three: no holes between bars, no NaN, used as float64.
        open_: base opens, (n,).
        high: base highs, (n,).
        low: base lows, (n,).
        timeframes: minutes, each a multiple of `base_minutes` that divides a day; given twice is computed once.
        base_minutes: length of a base bar.
        first_open_ms: the OPEN of base bar 0, epoch milliseconds UTC: buckets are aligned to 00:00 UTC, and one that
            began before bar 0 is dropped. With the default, bar 0 is taken to open a bucket of every timeframe.

    No look-ahead: a bucket is visible from the base bar that closes it, never on the bars it is made of, and the last,
    unfinished one is not there at all. Bars appended later change nothing that was visible.

    Raises:
        Refused: swapped arrays (high or low contradict a bar; from 50 bars on also open and close the wrong way round),
            unequal lengths, NaN or infinity, a timeframe that does not fit, none at all, a first bar off the grid.
    """
    if not isinstance(timeframes, Iterable) or isinstance(timeframes, str):
        raise Refused(f"timeframes is {timeframes!r}", "pass the minutes of each, for example [15, 60, 240]")
    wanted = sorted({_whole("a timeframe", timeframe, "minutes") for timeframe in timeframes})
    base_minutes = _whole("base_minutes", base_minutes, "minutes")
    first_open_ms = _whole("first_open_ms", first_open_ms, "milliseconds")
    if not 0 <= first_open_ms < _YEAR_2200_MS:
        raise Refused(f"first_open_ms {first_open_ms} is no time before 2200", "pass milliseconds, not microseconds")
    if not wanted:
        raise Refused("no timeframe is given", "pass the minutes of each, for example [15, 60, 240]")
    o, h, l, c = refuse_swapped(open_, high, low, close, way_out=ORDER)
    if len(l) and l.min() <= 0:
        raise Refused(f"low is {l.min():g} at bar {l.argmin()}", "prices are above zero; pass prices, not returns")
    found = {}
    for minutes in wanted:
        buckets = resample_ohlc(o, h, l, c, minutes, base_minutes, first_open_ms)
        found[minutes] = MtfData(buckets, align_to_base_tf(buckets.closes_at, len(c)))
    return found


def _whole(name: str, value: object, unit: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise Refused(f"{name} of {value!r} is no whole number of {unit}", f"pass {unit}, 60 minutes for an hour")
