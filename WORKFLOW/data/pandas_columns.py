"""Take bars as pandas objects: find their columns by name, and read the time from their index.

Only callers that use pandas pay for its import: an argument can be a pandas object only if pandas is loaded already.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame  # noqa: PLC0414
    from pandas import Series as Series  # noqa: PLC0414

PRICES = ("open", "high", "low", "close")
MINUTE_NS = 60_000_000_000
_RENAME = "rename the columns so that each of open, high, low and close holds what its name says"
_ALONE = "pass the DataFrame alone, or four columns: open_=frame['open'], high=frame['high'], …"


@dataclass(frozen=True)
class Columns:
    """Four columns as arrays, with what pandas knows about them.

    `values` holds open, high, low, close. `first_open_ms` is the OPEN of bar 0 in epoch milliseconds UTC. `index` (n,)
    is the index of the bars, and `names` are a DataFrame's names for the four columns; both are None for arrays.
    """

    values: tuple[Any, Any, Any, Any]
    first_open_ms: int
    index: Any = None
    names: tuple[Any, ...] | None = None

    @property
    def has_times(self) -> bool:
        """Whether the index holds the opens of the bars."""
        return is_times(self.index)


def columns_of(given: Mapping[str, Any], base_minutes: int, first_open_ms: int) -> Columns:
    """Return the columns of one DataFrame, of four Series, or of four arrays, which are passed on as they are.

    Args:
        given: `open`, `high`, `low` and `close` in the order of the caller's arguments; a DataFrame must come first and
        alone. Its columns are found by name in any case, and other columns are ignored.
        base_minutes: length of a base bar.
        first_open_ms: what the caller said. A DatetimeIndex has precedence. 0 is the default of every caller, and
        counts as not said.

    Times without a zone count as UTC.

    Raises:
        Refused: a column is missing, exists twice, or stands beside a DataFrame; Series hold different bars; an index
            is not sorted, repeats or leaves out a bar, has another bar length, or holds neither moments nor evenly
            counting numbers; or the first bar is off the grid, or is not at `first_open_ms`.
    """
    frame = next(iter(given.values()))
    if is_frame(frame):
        return _of_frame(frame, given, base_minutes, first_open_ms)
    absent = [name for name, column in given.items() if column is None]
    if absent:
        raise Refused(f"there is no {', '.join(absent)}", "pass four columns of the same bars, or one DataFrame alone")
    if frames := [name for name, column in given.items() if is_frame(column)]:
        raise Refused(f"{frames[0]} is a DataFrame", _ALONE)
    series = {name: column for name, column in given.items() if _is_series(column)}
    values = tuple(plain(name, given[name]) for name in PRICES)
    if not series:
        return Columns(values, first_open_ms)
    index = _common(series)
    if any(len(column) != len(index) for column in values):
        return Columns(values, first_open_ms)  # the caller compares the lengths and refuses
    return Columns(values, opened(index, base_minutes, first_open_ms), index)


def way_out_of(columns: Columns, of_arrays: str) -> str:
    """Return the advice for columns that do not hold what they should: arrays have an order, a DataFrame has names."""
    return of_arrays if columns.names is None else _RENAME


def is_frame(value: Any) -> bool:
    """Return whether a value is a DataFrame."""
    return isinstance(value, _kinds("DataFrame"))


def is_times(index: Any) -> bool:
    """Return whether a pandas index holds times."""
    return isinstance(index, _kinds("DatetimeIndex"))


def index_of(value: Any) -> Any | None:
    """Return the index of a Series or DataFrame, or an index itself; None for everything else."""
    if isinstance(value, _kinds("Index")):
        return value
    return value.index if is_frame(value) or _is_series(value) else None


def plain(name: str, column: Any) -> Any:
    """Return a Series as an array with NaN for missing values; any other column is returned as it is.

    Raises:
        Refused: the Series holds no numbers.
    """
    if not _is_series(column):
        return column
    if column.dtype.kind in "mM":  # NumPy would turn moments into counts of their unit
        raise Refused(f"{name} holds no prices: {column.dtype}", "pass one number a bar")
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise Refused(f"{name} holds no prices: {error}", "pass one number a bar") from error


def opened(index: Any, base_minutes: int, first_open_ms: int) -> int:
    """Return the OPEN of bar 0 in epoch milliseconds UTC, from an index of bars that lie `base_minutes` apart.

    Numbers that count evenly do not tell the time; the result is then `first_open_ms`.

    Raises:
        Refused: see `columns_of`.
    """
    if not is_times(index):
        _refuse_uneven(index)
        return first_open_ms
    moments = moments_ns(index)
    if len(moments) == 0:
        return first_open_ms
    _refuse_holes(index, moments, base_minutes)
    first_ms, beside = divmod(int(moments[0]), 1_000_000)
    if beside or first_ms % (base_minutes * 60_000):
        way_out = "stamp every bar with the moment it OPENS, in UTC"
        raise Refused(f"the first bar, {index[0]}, is not on the {base_minutes}-minute grid", way_out)
    if first_open_ms not in (0, first_ms):
        said = f"first_open_ms is {first_open_ms}, and the index begins at {index[0]}, which is {first_ms}"
        raise Refused(said, "leave first_open_ms out: the index says it")
    return first_ms


def moments_ns(index: Any) -> NDArray[np.int64]:
    """Return the moments of a DatetimeIndex as epoch nanoseconds UTC; moments without a zone count as UTC.

    Raises:
        Refused: a moment is missing, or is outside the range of nanoseconds.
    """
    if index.hasnans:
        raise Refused(f"the index has no moment at bar {int(index.isna().argmax())}", "drop that row, or give its time")
    in_utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    try:
        return np.asarray(in_utc.as_unit("ns").asi8, dtype=np.int64)
    except ValueError as error:
        raise Refused(f"the index holds a moment that is none of a market: {error}", "correct the times") from error


def frame_of(columns: Mapping[Any, Any], index: Any) -> "DataFrame":
    """Return a DataFrame of these columns; pandas is imported here, so that callers need not import it earlier."""
    from pandas import DataFrame

    return DataFrame(dict(columns), index=index)


def series_of(values: Any, index: Any, name: str) -> "Series":
    """Return a Series; pandas is imported here, so that callers need not import it earlier."""
    from pandas import Series

    return Series(values, index=index, name=name)


# one kind each --------------------------------------------------------------------------------------------------------


def _of_frame(frame: Any, given: Mapping[str, Any], base_minutes: int, first_open_ms: int) -> Columns:
    beside = [name for name, column in list(given.items())[1:] if column is not None]
    if beside:
        said = f"a DataFrame holds all four columns, but there is also {', '.join(beside)}"
        raise Refused(said, "pass the DataFrame alone, and every other argument by its name")
    names = _named(frame)
    values = tuple(plain(name, frame[spelled]) for name, spelled in zip(PRICES, names, strict=True))
    first_ms = opened(frame.index, base_minutes, first_open_ms)
    return Columns(values, first_ms, frame.index, names)


def _named(frame: Any) -> tuple[Any, ...]:
    """Return the names that the frame has for open, high, low and close."""
    if frame.columns.nlevels > 1:
        raise Refused(
            f"the columns have {frame.columns.nlevels} levels, such as {frame.columns[0]!r}",
            "pass one market with columns of one level, for example frame.xs('SOL-USD', axis=1, level=1)",
        )
    found: dict[str, list[Any]] = {name: [] for name in PRICES}
    for spelled in frame.columns:
        found.get(str(spelled).strip().lower(), []).append(spelled)
    held = ", ".join(map(str, frame.columns))
    if missing := [name for name, spellings in found.items() if not spellings]:
        way_out = "name them open, high, low and close (in any case): frame.rename(columns={'c': 'close'})"
        raise Refused(f"the DataFrame has no column {', '.join(missing)}; it has {held or 'none'}", way_out)
    if twice := [name for name, spellings in found.items() if len(spellings) > 1]:
        raise Refused(f"{twice[0]} names more than one column of {held}", "pass the four columns that you mean alone")
    return tuple(spellings[0] for spellings in found.values())


def _common(series: Mapping[str, Any]) -> Any:
    """Return the index that all Series share, or refuse."""
    (first, one), *others = series.items()
    for name, other in others:
        if other.index is not one.index and not other.index.equals(one.index):
            raise Refused(
                f"{first} and {name} are Series of different bars: their indexes differ",
                "take all of them from one DataFrame, or pass arrays: series.to_numpy()",
            )
    return one.index


def _refuse_uneven(index: Any) -> None:
    if index.nlevels > 1:
        way_out = "pass the bars of one market, for example frame.xs('SOL', level=0)"
        raise Refused(f"the index has {index.nlevels} levels", way_out)
    labels = index.to_numpy()
    if labels.dtype.kind not in "iuf":
        shown = repr(labels[0]) if len(labels) else str(index.dtype)
        way_out = "make moments of it: frame.index = pandas.to_datetime(frame.index, utc=True)"
        raise Refused(f"the index holds neither moments nor numbers: {shown}", way_out)
    steps = np.diff(labels if labels.dtype.kind == "f" else labels.astype(np.int64))
    wrong = (steps <= 0) | (steps != steps[0]) if len(steps) else np.zeros(0, dtype=np.bool_)
    if wrong.any():
        at = int(wrong.argmax())
        raise Refused(
            f"the index does not count evenly: row {labels[at + 1]} follows {labels[at]}, so bars are missing or moved",
            "give the bars a DatetimeIndex, or call reset_index(drop=True) if none is missing and all are in order",
        )


def _refuse_holes(index: Any, moments: NDArray[np.int64], base_minutes: int) -> None:
    steps, base_ns = np.diff(moments), base_minutes * MINUTE_NS
    if (steps <= 0).any():
        at = int((steps <= 0).argmax())
        if steps[at] == 0:
            raise Refused(f"the index holds {index[at]} twice", "keep one of them: frame[~frame.index.duplicated()]")
        raise Refused(f"the index is not sorted: {index[at + 1]} follows {index[at]}", "call frame.sort_index() first")
    wrong = steps != base_ns
    if not wrong.any():
        return
    at = int(wrong.argmax())
    if (steps == steps[0]).all():
        minutes = f"{steps[0] / MINUTE_NS:g}"
        way_out = f"give {base_minutes}-minute bars, or pass base_minutes={minutes} where the function takes it"
        raise Refused(f"the bars are {minutes} minutes apart, not {base_minutes}", way_out)
    raise Refused(
        f"the index has gaps: {index[at + 1]} follows {index[at]}, and {int(wrong.sum()):,} of {len(steps):,} steps "
        f"are not {base_minutes} minutes",
        "fill or cut them: frames.bars(PATH, SYMBOL) fills short holes with the close before and refuses long ones",
    )


def _is_series(value: Any) -> bool:
    return isinstance(value, _kinds("Series"))


def _kinds(name: str) -> tuple[type, ...]:
    kind = getattr(sys.modules.get("pandas"), name, None)
    return () if kind is None else (kind,)
