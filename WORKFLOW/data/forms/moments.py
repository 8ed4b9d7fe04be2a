"""Read the time of each row, from one column or two, in any notation and any time zone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from config.reading import ORDERS, Reading
from WORKFLOW.data.columns import Moments, usual_moments
from WORKFLOW.data.forms import times, zones
from WORKFLOW.data.forms.arrays import is_text
from WORKFLOW.data.forms.shown import shown

Ints = NDArray[np.int64]

_MOST_STEPS_ON = 4  # forward steps in a file that runs backwards; clocks put back in autumn make one per year


@dataclass(frozen=True)
class When:
    """Times as int64[rows], epoch milliseconds UTC; `is_reversed` says that the file ran back and was reversed."""

    ms: Ints
    is_reversed: bool
    notes: tuple[str, ...]


def read(column: pa.ChunkedArray, clock: pa.ChunkedArray | None, name: str, file: str, reading: Reading) -> When:
    """Return the moments of `column`, with the time of day in `clock` if that is a column of its own.

    Args:
        column: epoch numbers, text in any notation, datetimes or dates.
        clock: text, numbers such as 93000, or times; None if `column` holds the time of day.
        name: name of the column; UTC or GMT in the name states the zone.
        file: name of the file, for messages.
        reading: what the user said about format and zone, for what the column leaves open.

    Raises:
        Refused: a value is not a time; day and month cannot be told apart; or the zone is needed and not given.
    """
    if len(column) == 0:
        return When(np.empty(0, dtype=np.int64), False, ())
    found = _written(column if clock is None else _joined(column, clock), file, reading)
    local, notes = found.ms, list(found.notes)
    is_reversed = _runs_back(local, found.zoned)
    if is_reversed:
        local = np.ascontiguousarray(local[::-1])
        notes.append("rows ran from newest to oldest and were reversed")
    if found.zoned or _says_utc(name):
        if reading.timezone is not None and found.zoned:
            notes.append(f"--timezone {reading.timezone} is not needed: the times carry a zone of their own")
        return When(local, is_reversed, tuple(notes))
    if reading.zone is None or reading.timezone is None:
        zones.refuse_unsaid(local, file)
        if clock is not None:  # trading programs write two columns in the time of their server, which may not be UTC
            notes.append("times without a zone are read as UTC; if they are local, name their zone with --timezone")
        return When(local, is_reversed, tuple(notes))
    notes.append(f"times without a zone are read as {reading.timezone}")
    return When(zones.to_utc(local, reading.zone, reading.timezone, file), is_reversed, tuple(notes))


def _written(column: pa.ChunkedArray, file: str, reading: Reading) -> Moments:
    """Read the column as it is written, trying the usual notations first."""
    if is_text(column) and reading.date_format not in (None, *ORDERS) and not _is_number(column):
        return _of(times.read(pc.utf8_trim_whitespace(column), file, reading.date_format))
    try:
        usual = usual_moments(column, file)
    except Refused as refusal:
        return _unusual(column, file, refusal, reading.date_format)
    whole = usual.values is not None and np.issubdtype(usual.values.dtype, np.integer)
    compact = times.compact(column, usual.values) if whole and usual.values is not None else None
    return usual if compact is None else _of(compact)


def _unusual(column: pa.ChunkedArray, file: str, refusal: Refused, date_format: str | None) -> Moments:
    if not is_text(column):
        numbers = (
            column.cast(pa.float64()) if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) else None
        )
        found = None if numbers is None or column.null_count else _number(numbers)
        if found is None:
            raise refusal
        return found
    text = pc.utf8_trim_whitespace(column)
    if text.null_count or not times.looks_like_date(str(text[0])):
        found = None if text.null_count else _number(_as_numbers(text))
        if found is None:
            raise refusal
        return found
    return _of(times.read(text, file, date_format))


def _number(numbers: pa.ChunkedArray | None) -> Moments | None:
    """Read day numbers of a spreadsheet, or dates written as whole numbers."""
    if numbers is None:
        return None
    values = np.concatenate([np.from_dlpack(chunk) for chunk in numbers.chunks])
    found = times.of_spreadsheet(values)
    if found is None and (values == np.rint(values)).all() and (np.abs(values) < 2**62).all():
        whole = values.astype(np.int64)
        found = times.compact(numbers.cast(pa.int64()), whole)
    return None if found is None else _of(found)


def _as_numbers(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        return None


def _is_number(column: pa.ChunkedArray) -> bool:
    first = str(column[0].as_py() or "").strip()
    return first.replace(".", "", 1).isdecimal() and len(first.partition(".")[0]) in (9, 10, 13, 16, 19)


def _of(written: times.Written) -> Moments:
    return Moments(written.ms, (written.how,) if written.how else (), written.zoned)


def _joined(day: pa.ChunkedArray, clock: pa.ChunkedArray) -> pa.ChunkedArray:
    """Join two columns to one text; a clock of digits alone (930, 93000) gets back the zeros that numbers lose."""
    dates = pc.utf8_trim_whitespace(day.cast(pa.string()))
    hours = pc.utf8_trim_whitespace(clock.cast(pa.string()))
    if pc.all(pc.match_substring_regex(hours, r"^\d{1,6}$")).as_py():
        width = 4 if pc.max(pc.utf8_length(hours)).as_py() <= 4 else 6
        padded = pc.utf8_lpad(hours, width, "0")
        pattern, plain = (r"(\d\d)(\d\d)", r"\1:\2") if width == 4 else (r"(\d\d)(\d\d)(\d\d)", r"\1:\2:\3")
        hours = pc.replace_substring_regex(padded, pattern, plain)
    midnight = pc.replace_substring_regex(dates, r"[T ]00:00(:00(\.0+)?)?$", "")  # the day was saved as a datetime
    return pc.binary_join_element_wise(midnight, hours, " ")


def is_clock(column: pa.ChunkedArray) -> bool:
    """Return whether a column holds times of day."""
    if pa.types.is_time(column.type):
        return True
    if len(column) == 0 or pa.types.is_timestamp(column.type) or pa.types.is_floating(column.type):
        return False
    text = pc.utf8_trim_whitespace(column.slice(0, 1_000).cast(pa.string()))
    pattern = r"^(\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?|\d{1,6})$"
    return bool(pc.all(pc.fill_null(pc.match_substring_regex(text, pattern), False)).as_py())


def _runs_back(local: Ints, zoned: bool) -> bool:
    """Return whether the rows run from newest to oldest; clocks that are put back step forward once each autumn."""
    steps = np.diff(local)
    if len(steps) == 0 or (steps[0] > 0 and steps[-1] > 0):
        return False
    on = int((steps >= 0).sum())
    return on == 0 or (not zoned and on <= _MOST_STEPS_ON and len(steps) > 100 * on)


def _says_utc(name: str) -> bool:
    plain = shown(name).lower()
    return "utc" in plain or "gmt" in plain
