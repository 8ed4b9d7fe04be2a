"""Higher timeframes without look-ahead: buckets made from 5-minute bars, and when each one may be known.

Two steps, on purpose apart. `resample_ohlc` builds finished buckets only; `align_to_base_tf` says which of them a
trader who stands at a base bar's close can see. The usual mistake is to stamp a bucket with its open and to spread it
over the bars it is made of: then the first of them "knows" a close that lies 55 minutes ahead.
"""

from dataclasses import dataclass

if not __package__:  # `from mtf_resampler import …` in a script that lies beside this file
    try:
        import _bare
    except ModuleNotFoundError:
        raise ImportError(f"{__file__} was copied without its checkout: copy the whole checkout") from None

    _bare.stand_in(__name__)

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import Refused

Floats = NDArray[np.float64]

MINUTE_MS = 60_000
DAY_MINUTES = 1_440

# open and close count as swapped when closes lie this much nearer to the open BEFORE them than opens to the close
# before them. In a market without pauses an open repeats the last close, so the true order gives far more than 1.
SWAP_RATIO = 0.25
SWAP_BARS = 50  # fewer bars say nothing
BY_NAME = "pass each array by its name: open_=…, high=…, low=…, close=…"


@dataclass(frozen=True)
class Resampled:
    """Finished buckets of one timeframe, oldest first.

    `open`, `high`, `low`, `close` are float64[n_buckets] in the prices' own unit, without NaN. `closes_at` is
    int64[n_buckets]: the index of the base bar whose close is the bucket's close. Before that bar has closed, the
    bucket's high, low and close do not exist for anybody.
    """

    timeframe_minutes: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    closes_at: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of buckets."""
        return len(self.closes_at)


def resample_ohlc(
    open_: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    timeframe_minutes: int,
    base_minutes: int = 5,
    first_open_ms: int = 0,
) -> Resampled:
    """Buckets of `timeframe_minutes`, aligned to 1970-01-01 00:00 UTC as exchanges align them.

    Args:
        open_: base opens, [n]; like the other three: no holes between bars, no NaN, used as float64.
        high: base highs, [n].
        low: base lows, [n].
        close: base closes, [n].
        timeframe_minutes: a multiple of `base_minutes` that divides a day.
        base_minutes: length of a base bar.
        first_open_ms: the OPEN of base bar 0, epoch milliseconds UTC. A wrong value moves every bucket: with the
            default the first bar is taken to open a bucket of every timeframe.

    A bucket that began before bar 0 is dropped (its open is unknown). The last bucket is emitted only when its last
    base bar is there: an unfinished bucket would change with each bar to come, which is look-ahead seen from behind.

    Raises:
        Refused: arrays of unequal length, NaN, a bar whose high or low contradicts it (arguments swapped), open and
            close swapped, a timeframe that does not fit, a first bar off the base grid.
    """
    bars_per_bucket = _bars_per_bucket(timeframe_minutes, base_minutes)
    base_ms = base_minutes * MINUTE_MS
    if first_open_ms % base_ms:
        raise Refused(
            f"first_open_ms {first_open_ms} is not on the {base_minutes}-minute grid",
            "give the open of the first bar in epoch milliseconds UTC",
        )
    o, h, l, c = refuse_swapped(open_, high, low, close)
    skip = -(first_open_ms // base_ms) % bars_per_bucket
    buckets = max(0, (len(c) - skip) // bars_per_bucket)

    def shaped(column: Floats) -> Floats:
        return column[skip : skip + buckets * bars_per_bucket].reshape(buckets, bars_per_bucket)

    return Resampled(
        timeframe_minutes=timeframe_minutes,
        open=shaped(o)[:, 0].copy(),
        high=shaped(h).max(axis=1),
        low=shaped(l).min(axis=1),
        close=shaped(c)[:, -1].copy(),
        closes_at=skip + bars_per_bucket * np.arange(1, buckets + 1, dtype=np.int64) - 1,
    )


def align_to_base_tf(closes_at: ArrayLike, n_base: int) -> NDArray[np.int32]:
    """Which bucket a base bar sees: int32[n_base], the last one visible at each bar's close, −1 before there is any.

    Args:
        closes_at: int[n_buckets], strictly rising indices of closing base bars (`Resampled.closes_at`).
        n_base: number of base bars.

    A bucket becomes visible ON the base bar that closes it, not earlier, and is held until the next one closes. A
    decision taken at that close fills at the next bar's open, so nothing is known before it happened.

    Raises:
        Refused: `closes_at` is not whole numbers, does not rise or is negative; a negative number of bars.
    """
    given = np.asarray(closes_at)
    if given.ndim != 1 or (len(given) and given.dtype.kind not in "iu") or n_base < 0:
        raise Refused(f"{given.dtype} indices of {n_base} bars", "pass Resampled.closes_at and the number of base bars")
    closing = given.astype(np.int64)
    if len(closing) and (closing[0] < 0 or (np.diff(closing) <= 0).any()):
        raise Refused("closes_at does not rise from bar to bar", "pass Resampled.closes_at as it is")
    bounds = np.minimum(np.concatenate([[0], closing, [n_base]]), n_base)
    return np.repeat(np.arange(-1, len(closing), dtype=np.int32), np.diff(bounds))


def align_to_base_tf_gpu(closes_at: ArrayLike, n_base: int) -> NDArray[np.int32]:
    """`align_to_base_tf` under the name that deployed scripts import.

    It runs on the CPU: a millisecond, once per timeframe; a GPU engine is given the finished index.
    """
    return align_to_base_tf(closes_at, n_base)


def refuse_swapped(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, way_out: str = BY_NAME
) -> tuple[Floats, Floats, Floats, Floats]:
    """The four columns as contiguous float64[n], when they can be what their names say.

    `way_out` is what a refusal of swapped arrays advises: a function with another order of arguments names its own.

    Raises:
        Refused: unequal lengths, more than one dimension, NaN or infinity, high below low, open or close outside
            [low, high], or open and close the wrong way round (judged from 50 bars on: an open follows the last close).
    """
    columns = {name: _column(name, x) for name, x in (("open", open_), ("high", high), ("low", low), ("close", close))}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise Refused(f"the arrays differ in length: {lengths}", "pass the four columns of the same bars")
    o, h, l, c = columns.values()
    for name, wrong in (("high", (h < l) | (h < o) | (h < c)), ("low", (l > o) | (l > c))):
        if wrong.any():
            bar = int(np.argmax(wrong))
            said = ", ".join(f"{key} {column[bar]:g}" for key, column in columns.items())
            raise Refused(f"{name} contradicts bar {bar} ({said}): the arguments seem swapped", way_out)
    if _open_is_close(o, c):
        raise Refused(
            "open and close seem swapped: closes follow the open before them, not opens the close before them",
            way_out,
        )
    return o, h, l, c


def _column(name: str, values: ArrayLike) -> Floats:
    try:
        given = np.asarray(values)
        if np.iscomplexobj(given):
            raise TypeError("complex numbers")
        column = np.ascontiguousarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise Refused(f"{name} holds no prices: {error}", "pass one number a bar") from error
    if column.ndim != 1:
        raise Refused(f"{name} has {column.ndim} dimensions", "pass one value a bar")
    if not np.isfinite(column).all():
        bar = int(np.argmin(np.isfinite(column)))
        raise Refused(f"{name} is {column[bar]} at bar {bar}", "pass bars that pre-flight has checked")
    return column


def _open_is_close(open_: Floats, close: Floats) -> bool:
    if len(close) < SWAP_BARS:
        return False
    as_named = np.abs(open_[1:] - close[:-1]).sum()
    as_swapped = np.abs(close[1:] - open_[:-1]).sum()
    return bool(as_swapped < SWAP_RATIO * as_named)


def _bars_per_bucket(timeframe_minutes: int, base_minutes: int) -> int:
    if (
        base_minutes <= 0
        or timeframe_minutes <= 0
        or timeframe_minutes % base_minutes
        or DAY_MINUTES % timeframe_minutes
    ):
        raise Refused(
            f"a timeframe of {timeframe_minutes} minutes cannot be made from {base_minutes}-minute bars",
            f"it must be a multiple of {base_minutes} and divide a day of {DAY_MINUTES} minutes",
        )
    return timeframe_minutes // base_minutes
