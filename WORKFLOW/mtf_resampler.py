"""Higher timeframes without look-ahead: buckets made from 5-minute bars, and the time from which each may be known.

The two steps are separate on purpose. `resample_ohlc` builds finished buckets only. `align_to_base_tf` says which of
them can be seen at a base bar's close. The usual mistake is to stamp a bucket with its open, and to spread it over the
bars that it is made of. Then the first of these bars "knows" a close that lies 55 minutes ahead.

Both take arrays, Series or one DataFrame, and compute the same from all of them (docs/reference/frames.md).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

if not __package__:  # `from mtf_resampler import …` in a script that lies beside this file
    try:
        import _bare
    except ModuleNotFoundError:
        raise ImportError(f"{__file__} was copied without its checkout: copy the whole checkout") from None

    _bare.stand_in(__name__)

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.errors import Refused
from WORKFLOW.data.pandas_columns import (
    MINUTE_NS,
    Columns,
    columns_of,
    frame_of,
    index_of,
    is_frame,
    is_times,
    moments_ns,
    plain,
    series_of,
    way_out_of,
)

if TYPE_CHECKING:
    from WORKFLOW.data.pandas_columns import DataFrame, Series

Floats = NDArray[np.float64]

MINUTE_MS = 60_000
DAY_MINUTES = 1_440

# open and close count as swapped if closes lie this much nearer to the open BEFORE them than opens lie to the close
# before them. In a market without pauses, an open repeats the last close, so the true order gives far more than 1.
SWAP_RATIO = 0.25
SWAP_BARS = 50  # fewer bars prove nothing
CLOSES_AT, KNOWN_AT = "closes_at", "known_at"  # columns of a DataFrame of buckets: the closing bar, and its close
BY_NAME = "pass each array by its name: open_=…, high=…, low=…, close=…"


@dataclass(frozen=True)
class Resampled:
    """Finished buckets of one timeframe, oldest first.

    `open`, `high`, `low` and `close` are float64[n_buckets] in the unit of the prices, without NaN. `closes_at` is
    int64[n_buckets]: the index of the base bar whose close is the bucket's close.

    Look-ahead: before that bar has closed, the bucket's high, low and close do not exist for anybody.
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


@overload
def resample_ohlc(
    open_: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    timeframe_minutes: int,
    base_minutes: int = 5,
    first_open_ms: int = 0,
) -> Resampled: ...


@overload
def resample_ohlc(
    open_: "DataFrame", *, timeframe_minutes: int, base_minutes: int = 5, first_open_ms: int = 0
) -> "DataFrame": ...


def resample_ohlc(
    open_: Any,
    high: Any = None,
    low: Any = None,
    close: Any = None,
    timeframe_minutes: Any = None,
    base_minutes: int = 5,
    first_open_ms: int = 0,
) -> Any:
    """Build buckets of `timeframe_minutes`, aligned to 1970-01-01 00:00 UTC as exchanges align them.

    Args:
        open_: base opens, [n]. All four columns need bars without holes and without NaN, and are used as float64. They
        are arrays, or Series of the same bars. Or pass one DataFrame alone that holds all four by name, in any case:
        `resample_ohlc(frame, timeframe_minutes=60)`.
        high: base highs, [n].
        low: base lows, [n].
        close: base closes, [n].
        timeframe_minutes: a multiple of `base_minutes` that divides a day.
        base_minutes: length of a base bar.
        first_open_ms: the OPEN of base bar 0, epoch milliseconds UTC. A wrong value moves every bucket. By default, the
        first bar opens a bucket of every timeframe. Bars with a DatetimeIndex need no value here; times without a zone
        count as UTC.

    A bucket that began before bar 0 is dropped, because its open is unknown. The last bucket is returned only if its
    last base bar is there.

    Look-ahead: an unfinished bucket would change with each bar to come.

    Returns:
        `Resampled`, or a DataFrame for a DataFrame. That DataFrame has the four columns under the names they have
        there, float64; `closes_at` (int64), the row of the base bar whose close is the bucket's; and, with a
        DatetimeIndex, `known_at`. The index is the OPEN of each bucket. **At that moment nothing of a row existed but
        its open**: the row may be known from `known_at` on, when the bucket has closed. Joining rows to base bars by
        index looks ahead by up to a bucket. `align_to_base_tf` joins them correctly, and so does `pandas.merge_asof` of
        `known_at` with the moments at which base bars CLOSE.

    Raises:
        Refused: the arrays have unequal lengths or hold NaN; a bar's high or low contradicts it, or open and close are
            swapped (arguments in the wrong order); a timeframe does not fit; the first bar is off the base grid; or,
            for pandas objects, an index is not sorted or repeats or leaves out a bar, or Series hold different bars.
    """
    if timeframe_minutes is None:
        raise Refused("timeframe_minutes is missing", "name it: resample_ohlc(frame, timeframe_minutes=60)")
    bars_per_bucket = _bars_per_bucket(timeframe_minutes, base_minutes)
    given = {"open": open_, "high": high, "low": low, "close": close}
    columns = columns_of(given, base_minutes, first_open_ms)
    made = _resampled(columns, timeframe_minutes, bars_per_bucket, base_minutes)
    return _as_frame(made, columns, bars_per_bucket) if columns.names else made


def _resampled(columns: Columns, timeframe_minutes: int, bars_per_bucket: int, base_minutes: int) -> Resampled:
    first_open_ms, base_ms = columns.first_open_ms, base_minutes * MINUTE_MS
    if first_open_ms % base_ms:
        raise Refused(
            f"first_open_ms {first_open_ms} is not on the {base_minutes}-minute grid",
            "give the open of the first bar in epoch milliseconds UTC",
        )
    o, h, l, c = refuse_swapped(*columns.values, way_out=way_out_of(columns, BY_NAME))
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


def _as_frame(made: Resampled, columns: Columns, bars_per_bucket: int) -> "DataFrame":
    """Return the buckets as a DataFrame, indexed by the open of each bucket as the index of the bars has it."""
    assert columns.names is not None
    prices = zip(columns.names, (made.open, made.high, made.low, made.close), strict=True)
    opens = columns.index[made.closes_at - bars_per_bucket + 1]
    known = {KNOWN_AT: opens + timedelta(minutes=made.timeframe_minutes)} if columns.has_times else {}
    return frame_of({**dict(prices), CLOSES_AT: made.closes_at, **known}, opens)


@overload
def align_to_base_tf(closes_at: "ArrayLike | DataFrame | Series", n_base: int) -> NDArray[np.int32]: ...


@overload
def align_to_base_tf(closes_at: "ArrayLike | DataFrame | Series", n_base: "DataFrame | Series") -> "Series": ...


def align_to_base_tf(closes_at: Any, n_base: Any) -> Any:
    """Return which bucket each base bar sees: int32[n_base], the last bucket visible at its close, −1 before any.

    Args:
        closes_at: int[n_buckets], strictly rising indices of closing base bars (`Resampled.closes_at`); or the
        DataFrame that `resample_ohlc` made, or its column `closes_at`.
        n_base: number of base bars. Or the base bars themselves, as a DataFrame, Series or index; the result is then a
        Series with their index.

    Look-ahead: a bucket becomes visible ON the base bar that closes it, not earlier, and holds until the next bucket
    closes. A decision at that close fills at the next bar's open, so nothing is known before it happened.

    Raises:
        Refused: `closes_at` holds no whole numbers, does not rise, or is negative; the number of bars is negative; or
            the buckets were made of other bars than these. If rows were cut off since, every bucket would be seen too
            early or too late.
    """
    base = index_of(n_base)
    bars = n_base if base is None else len(base)
    given = np.asarray(_closing(closes_at))
    if given.ndim != 1 or (len(given) and given.dtype.kind not in "iu") or bars < 0:
        raise Refused(f"{given.dtype} indices of {bars} bars", "pass Resampled.closes_at and the number of base bars")
    closing = given.astype(np.int64)
    if len(closing) and (closing[0] < 0 or (np.diff(closing) <= 0).any()):
        raise Refused("closes_at does not rise from bar to bar", "pass Resampled.closes_at as it is")
    if base is not None:
        _refuse_other_bars(closes_at, closing, base)
    bounds = np.minimum(np.concatenate([[0], closing, [bars]]), bars)
    seen = np.repeat(np.arange(-1, len(closing), dtype=np.int32), np.diff(bounds))
    return seen if base is None else series_of(seen, base, "bucket")


def align_to_base_tf_gpu(closes_at: Any, n_base: Any) -> Any:
    """Return the result of `align_to_base_tf`, under the name that scripts of users import.

    The function runs on the CPU: it takes a millisecond per timeframe, and a GPU engine receives the finished index.
    """
    return align_to_base_tf(closes_at, n_base)


def _closing(closes_at: Any) -> Any:
    if not is_frame(closes_at):
        return plain(CLOSES_AT, closes_at)
    if CLOSES_AT not in closes_at.columns:
        raise Refused(f"the DataFrame has no column {CLOSES_AT}", "pass what resample_ohlc made of the base bars")
    return plain(CLOSES_AT, closes_at[CLOSES_AT])


def _refuse_other_bars(closes_at: Any, closing: NDArray[np.int64], base: Any) -> None:
    """Refuse base bars that do not close the buckets: if both have times, the closing bar must end with its bucket."""
    buckets = index_of(closes_at)
    if not is_times(buckets) or not is_times(base) or not len(closing):
        return
    bars = moments_ns(base)
    steps = np.diff(bars)
    if len(steps) and (steps != steps[0]).any():
        raise Refused(
            "the base bars are not sorted, or bars are missing", "pass the bars that the buckets were made of"
        )
    ends = _ends_ns(closes_at, buckets)
    inside = closing < len(bars)
    step = int(steps[0]) if len(steps) else 5 * MINUTE_NS
    if ends is None or (bars[closing[inside]] + step != ends[inside]).any():
        raise Refused(
            "the buckets were not made of these base bars: the bars that close them end at other times",
            "make both from the same rows: resample_ohlc(frame, …), then align_to_base_tf(buckets, frame)",
        )


def _ends_ns(closes_at: Any, buckets: Any) -> NDArray[np.int64] | None:
    """Return when each bucket may be known, in epoch nanoseconds; None if nothing tells."""
    if is_frame(closes_at) and KNOWN_AT in closes_at.columns:
        return moments_ns(index_of(closes_at.set_index(KNOWN_AT)))
    opens = moments_ns(buckets)
    lengths = np.diff(opens)
    return opens + lengths.min() if len(lengths) else None


def refuse_swapped(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, way_out: str = BY_NAME
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four columns as contiguous float64[n], if they can be what their names say.

    `way_out` is the advice of a refusal of swapped arrays; a function with another order of arguments passes its own.

    Raises:
        Refused: lengths are unequal; an array has several dimensions, or holds NaN or infinity; high is below low; open
            or close lies outside [low, high]; or, from 50 bars on, open and close seem swapped, because an open should
            follow the last close.
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
