"""Turn the columns of foreign files into numbers and moments: values by their type, errors by their row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data.bars import Floats
from WORKFLOW.data.forms.arrays import as_numpy, flags, is_text
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.raw import row_name

# A number of this size is a moment in this unit: each range spans the years 1973 to 5138, and the ranges do not
# overlap.
EPOCH_UNITS = (("s", 1e8, 1e11), ("ms", 1e11, 1e14), ("µs", 1e14, 1e17), ("ns", 1e17, 9.2e18))
UNITS_PER_MS = {"µs": 1_000, "ns": 1_000_000}

TIME_HELP = "times are epoch numbers (s, ms, µs), ISO 8601 text or a datetime type, of the bar's OPEN in UTC"


@dataclass(frozen=True)
class Moments:
    """Times as int64[rows], epoch milliseconds UTC. `zoned`: whether the file states the zone; else UTC is assumed.

    `values` holds the numbers as they stood in the file, if they were whole numbers.
    """

    ms: NDArray[np.int64]
    notes: tuple[str, ...]
    zoned: bool
    values: NDArray[Any] | None = None


def moments(column: pa.ChunkedArray, file: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return a column of numbers, text or datetimes as epoch milliseconds UTC (int64[rows]), and notes on assumptions.

    Text and datetimes without a zone count as UTC.

    Raises:
        Refused: a value is missing, is no moment, or is not a whole millisecond; the first such value is named.
    """
    found = usual_moments(column, file)
    return found.ms, found.notes


def usual_moments(column: pa.ChunkedArray, file: str) -> Moments:
    """Return the moments and whether a zone was stated: epoch numbers, ISO 8601 text, datetimes and dates."""
    column = _without_dictionary(column)
    if column.null_count:
        row = int(np.flatnonzero(flags(column.is_null()))[0]) + 1
        raise Refused(f"row {row:,} of {file} has no time", TIME_HELP)
    if is_text(column):
        column = _moments_from_text(pc.utf8_trim_whitespace(column), file)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return Moments(_whole_ms(column, file), (), getattr(column.type, "tz", None) is not None)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise Refused(f"the time column of {file} holds {column.type}", TIME_HELP)
    if pa.types.is_uint64(column.type):
        column = column.cast(pa.float64(), safe=False)  # a number beyond int64 is no moment in any unit
    values = as_numpy(column)
    return Moments(*_epoch(values, file), True, values)


def numbers(column: pa.ChunkedArray, name: str, file: str, time_ms: NDArray[np.int64] | None = None) -> Floats:
    """Return a column as float64[rows]; missing values become NaN, which pre-flight judges. `time_ms` is for messages.

    Raises:
        Refused: a value is not a number (the first such value is named), or the column's type holds no numbers.
    """
    column = _without_dictionary(column)
    if is_text(column):
        column = pc.utf8_trim_whitespace(column)
        bad = _first_failure(column, partial(_cast, pa.float64()))
        if bad is not None:
            where = f"row {bad + 1:,}" if time_ms is None else row_name(bad + 1, int(time_ms[bad]))
            raise Refused(
                f"{name} is {shown(column[bad].as_py())!r} in {where} of {file}", "it takes a number such as 1234.5"
            )
    elif not _is_number(column.type):
        raise Refused(f"the {name} column of {file} holds {column.type}", "it takes numbers")
    plain = column.cast(pa.float64(), safe=False)
    return as_numpy(plain.fill_null(float("nan")) if plain.null_count else plain)


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _moments_from_text(column: pa.ChunkedArray, file: str) -> pa.ChunkedArray:
    readings: tuple[pa.DataType, ...] = (pa.int64(), pa.float64(), pa.timestamp("ms"), pa.timestamp("ms", "UTC"))
    furthest = 0
    for kind in readings:
        bad = _first_failure(column, partial(_cast, kind))
        if bad is None:
            return column.cast(kind)
        furthest = max(furthest, bad)
    raise Refused(f"time is {shown(column[furthest].as_py())!r} in row {furthest + 1:,} of {file}", TIME_HELP)


def _cast(kind: pa.DataType, part: pa.ChunkedArray) -> pa.ChunkedArray:
    return part.cast(kind)


def _first_failure(column: pa.ChunkedArray, cast: Callable[[pa.ChunkedArray], Any]) -> int | None:
    """Return the index of the first value that `cast` refuses; halving the range needs no parser of our own."""

    def fails(start: int, stop: int) -> bool:
        try:
            cast(column.slice(start, stop - start))
        except pa.ArrowInvalid:
            return True
        return False

    low, high = 0, len(column)
    if not fails(low, high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(low, middle) else (middle, high)
    return low


def _whole_ms(column: pa.ChunkedArray, file: str) -> NDArray[np.int64]:
    in_ms = pa.timestamp("ms", getattr(column.type, "tz", None))
    bad = _first_failure(column, partial(_cast, in_ms))
    if bad is not None:
        said = f"time {column[bad].cast(pa.int64())} ({column.type}) in row {bad + 1:,} of {file}"
        raise Refused(f"{said} is not a whole millisecond", TIME_HELP)
    return as_numpy(column.cast(in_ms).cast(pa.int64()))


def _epoch(values: NDArray[Any], file: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    time_ms = np.zeros(len(values), dtype=np.int64)
    unknown = np.ones(len(values), dtype=bool)
    first_row: dict[str, int] = {}
    for unit, low, high in EPOCH_UNITS:
        chosen = (values >= low) & (values < high)
        if chosen.any():
            first_row[unit] = int(np.argmax(chosen)) + 1
            time_ms[chosen], broken = _to_ms(values[chosen], unit)
            unknown[np.flatnonzero(chosen)[~broken]] = False
    if unknown.any():
        row = int(np.argmax(unknown))
        raise Refused(
            f"time is {values[row]} in row {row + 1:,} of {file}, which is no moment in whole milliseconds", TIME_HELP
        )
    if len(first_row) < 2:
        return time_ms, ()
    seen = ", ".join(f"{unit} from row {row:,}" for unit, row in sorted(first_row.items(), key=lambda item: item[1]))
    return time_ms, (f"times come in several units: {seen}",)


def _to_ms(values: NDArray[Any], unit: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return milliseconds, and where they are not whole. Integers stay integers, because float64 loses nanoseconds."""
    if np.issubdtype(values.dtype, np.integer):
        whole = values.astype(np.int64)
        if unit in UNITS_PER_MS:
            return whole // UNITS_PER_MS[unit], whole % UNITS_PER_MS[unit] != 0
        return whole * (1_000 if unit == "s" else 1), np.zeros(len(values), dtype=bool)
    scaled = values.astype(np.float64) * (1_000.0 if unit == "s" else 1.0) / UNITS_PER_MS.get(unit, 1)
    # A float second is exact to 0.0002 ms only, so a small remainder counts as whole.
    return np.rint(scaled).astype(np.int64), np.abs(scaled - np.rint(scaled)) > 1e-3
