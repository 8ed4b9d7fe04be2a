"""Read moments written as text, in the ways of programs and countries; the whole column decides, never one row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data.forms.arrays import as_numpy, flags
from WORKFLOW.data.forms.shown import shown

Ints = NDArray[np.int64]

_CLOCK = (
    r"(?:(?:[T ,;_-]|, )\s*(?P<h>\d{1,2})(?::(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,:](?P<f>\d{1,9}))?)?)?"
    r"(?:[ -]?(?P<p>[AaPp])\.?[Mm]\.?)?)?"
)
_ZONE = r"\s*(?P<z>(?:GMT|UTC)?[+-]\d{2}:?\d{0,2}|Z|z|UTC|GMT|utc)?(?: \([A-Za-z ]+\))?"
_WEEKDAY = r"(?:[A-Za-z]{2,9}\.?,? )?"
# Each pattern has a name and its parts. a, b and c are day, month and year in an order that has to be found.
_PATTERNS: dict[str, str] = {
    "numbers": rf"(?P<a>\d{{1,4}})[-/. ](?P<b>\d{{1,2}})[-/. ](?P<c>\d{{1,4}}){_CLOCK}{_ZONE}",
    "compact": r"(?P<y>\d{4})(?P<mo>\d{2})(?P<d>\d{2})(?:[T ,;_-]?(?P<h>\d{2}):?(?P<m>\d{2})(?::?(?P<s>\d{2})"
    rf"(?:[., ]?(?P<f>\d{{1,9}}))?)?)?{_ZONE}",
    "day, name of month, year": rf"{_WEEKDAY}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[-/. ]+(?P<n>[A-Za-z]{{3,9}})\.?,?"
    rf"[-/. ]+(?P<y>\d{{2,4}}){_CLOCK}{_ZONE}",
    "name of month, day, year": rf"{_WEEKDAY}(?P<n>[A-Za-z]{{3,9}})\.?[-/ ]+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?"
    rf"[-/ ]+(?P<y>\d{{4}}){_CLOCK}{_ZONE}",
    "year, name of month, day": rf"(?P<y>\d{{4}})[-/. ](?P<n>[A-Za-z]{{3,9}})[-/. ](?P<d>\d{{1,2}}){_CLOCK}{_ZONE}",
    "ISO week": rf"(?P<y>\d{{4}})-?W(?P<w>\d{{2}})-?(?P<k>[1-7]){_CLOCK}{_ZONE}",
    "day of the year": rf"(?P<y>\d{{4}})-?(?P<j>\d{{3}}){_CLOCK}{_ZONE}",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIRECTIVES = {
    "Y": r"(?P<y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<mo>\d{1,2})", "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<h>\d{1,2})", "I": r"(?P<h>\d{1,2})", "M": r"(?P<m>\d{1,2})", "S": r"(?P<s>\d{1,2})",
    "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>[AaPp])\.?[Mm]\.?", "b": r"(?P<n>[A-Za-z]{3,9})", "B": r"(?P<n>[A-Za-z]{3,9})",
    "j": r"(?P<j>\d{1,3})", "z": r"(?P<z>[+-]\d{2}:?\d{2}|Z)", "Z": r"(?P<z>UTC|GMT|Z)?",
}  # fmt: skip
_ORDERS = {"ymd": "abc", "dmy": "cba", "mdy": "cab"}  # which groups are the year, the month and the day
_EXAMPLES = {"ymd": "year first", "dmy": "day first", "mdy": "month first"}
_YEARS = (1970, 2200)
_PIVOT = 70  # for years of two digits: 69 is 2069 and 70 is 1970 (strptime has 1969, but no bars are older than 1970)
_DAY_MS = 86_400_000
_SHEET_EPOCH_DAYS = 25_569  # 1970-01-01 in a spreadsheet, which counts from 1899-12-30
_SHEET_END_DAYS = 73_051  # 2100-01-01


@dataclass(frozen=True)
class Written:
    """Times as int64[rows], epoch milliseconds of the clock as written; `zoned` says that it is UTC.

    `how` is a note.
    """

    ms: Ints
    zoned: bool
    how: str


@cache
def _compiled(name: str) -> re.Pattern[str]:
    return re.compile(_PATTERNS[name])


def looks_like_moment(text: str) -> bool:
    """Return whether one field could be a moment: a date in any notation, or an epoch number."""
    return bool(re.fullmatch(r"\d{9,19}(\.\d+)?", text.strip())) or looks_like_date(text)


def looks_like_date(text: str) -> bool:
    """Return whether one field could be a date in any notation."""
    plain = text.strip()
    return bool(re.search(r"\d", plain)) and any(_compiled(name).fullmatch(plain) for name in _PATTERNS)


def compact(column: pa.ChunkedArray, values: Ints) -> Written | None:
    """Read whole numbers that are dates without separators (20240131093000); None if they are epoch numbers.

    As epoch milliseconds, such numbers of 14 digits would lie after 2286, and those of 12 digits in 1976, where no bars
    are.
    """
    if len(values) == 0 or not _could_be_compact(values):
        return None
    try:
        return read(pc.utf8_trim_whitespace(column.cast(pa.string())), "", None)
    except Refused:
        return None


def _could_be_compact(values: Ints) -> bool:
    low, high = int(values.min()), int(values.max())
    spans = ((19_700_101, 22_000_101), (199_001_010_000, 210_001_010_000), (19_700_101_000_000, 22_000_101_000_000))
    return any(first <= low and high < last for first, last in spans)


def of_spreadsheet(values: NDArray[np.float64]) -> Written | None:
    """Read day numbers as spreadsheets store dates (45292.25 is 2024-01-01 06:00), to the second; None for others."""
    if len(values) == 0 or not ((values >= _SHEET_EPOCH_DAYS) & (values < _SHEET_END_DAYS)).all():
        return None
    if (values == np.rint(values)).all():
        return None
    seconds = np.rint((values - _SHEET_EPOCH_DAYS) * 86_400).astype(np.int64)
    return Written(seconds * 1_000, False, "times are day numbers of a spreadsheet")


def read(column: pa.ChunkedArray, file: str, date_format: str | None) -> Written:
    """Read text without blanks around it as moments. `date_format` is the order that the user gave, or a whole pattern.

    Raises:
        Refused: no notation reads a row; the order of day and month cannot be told; or a row lacks the others' zone.
    """
    if date_format is not None and date_format not in _ORDERS:
        name, parts = f"--date-format {date_format}", _parts(column, _of_directives(date_format))
    else:
        name, parts = _best(column)
    matched = parts.pop("")
    if not matched.all():
        row = int(np.argmin(matched))
        raise Refused(f"time is {shown(column[row].as_py())!r} in row {row + 1:,} of {file}", _help(name, date_format))
    ms, how = _days(parts, column, file, date_format if date_format in _ORDERS else None)
    ms = ms * _DAY_MS + _clock_ms(parts, column, file)
    offsets, zoned = _offsets(parts, column, file)
    said = f"times are read as {name}" if name.startswith("--") else f"dates are read {how}" if how else ""
    return Written(ms - offsets, zoned, said)


def _help(name: str, date_format: str | None) -> str:
    if date_format is None or date_format in _ORDERS:
        return (
            "times are epoch numbers (s, ms, µs), ISO 8601 text or a datetime type, of the bar's OPEN in UTC; "
            "or say how they are written: --date-format '%d.%m.%Y %H:%M'"
        )
    return f"write {name} so that it fits every row: %Y year, %m month, %d day, %H:%M:%S the clock, %f its fraction"


# parts ----------------------------------------------------------------------------------------------------------------


def _best(column: pa.ChunkedArray) -> tuple[str, dict[str, NDArray[np.object_]]]:
    """Return the pattern that reads the most rows, of the patterns that read the first row."""
    first = str(column[0].as_py() or "")
    names = [name for name in _PATTERNS if _compiled(name).fullmatch(first)] or ["numbers"]
    read_ = [(name, _parts(column, _PATTERNS[name])) for name in names]
    return max(read_, key=lambda one: int(one[1][""].sum()))


def _parts(column: pa.ChunkedArray, pattern: str) -> dict[str, NDArray[np.object_]]:
    """Return the text of every named group, and under the empty name which rows matched at all."""
    found = pc.extract_regex(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0), f"^(?:{pattern})$")
    parts = {found.type.field(at).name: pc.struct_field(found, at) for at in range(found.type.num_fields)}
    matched = flags(found.is_valid())
    return {"": matched, **parts}


def _of_directives(text: str) -> str:
    pieces = re.split(r"%(.)", text.replace("%T", "%H:%M:%S").replace("%F", "%Y-%m-%d"))
    return "".join(_DIRECTIVES[one] if at % 2 else re.escape(one) for at, one in enumerate(pieces))


def _whole(part: pa.Array, default: int) -> Ints:
    text = pc.if_else(pc.equal(pc.utf8_length(part), 0), None, part)
    return as_numpy(pc.fill_null(text.cast(pa.int64()), default))


def _days(parts: Mapping[str, pa.Array], column: pa.ChunkedArray, file: str, order: str | None) -> tuple[Ints, str]:
    """Return days since 1970 (int64[rows]), and the order of day and month if it had to be found."""
    if "a" in parts:
        return _by_order(parts, column, file, order)
    year = _full_year(_whole(parts["y"], 0))
    if "w" in parts:
        days = _monday_of_week_1(year) + (_whole(parts["w"], 1) - 1) * 7 + _whole(parts["k"], 1) - 1
        return days, ""
    if "j" in parts:
        return _civil(year, np.ones_like(year), np.ones_like(year)) + _whole(parts["j"], 1) - 1, ""
    month = _named_months(parts["n"], column, file) if "n" in parts else _whole(parts.get("mo"), 1)
    day = _whole(parts["d"], 1)
    return _checked(year, month, day, column, file), ""


def _by_order(parts: Mapping[str, pa.Array], column: pa.ChunkedArray, file: str, asked: str | None) -> tuple[Ints, str]:
    numbers = {group: _whole(parts[group], 0) for group in "abc"}
    widths = {group: int(pc.max(pc.utf8_length(parts[group])).as_py()) for group in "abc"}
    possible = [order for order in _ORDERS if _may_be(order, numbers, widths)]
    if asked is not None:
        year_first = "ymd" if "ymd" in possible and widths["a"] == 4 else None  # a year in front leaves nothing open
        chosen = asked if asked in possible else year_first
        if chosen is None:
            raise Refused(f"time is {shown(column[0].as_py())!r} in row 1 of {file}: not {asked}", _orders(possible))
    elif len(possible) > 1:
        in_order = [order for order in possible if _is_ordered(_of(order, numbers))]
        same = len({_civil(*_of(order, numbers)).tobytes() for order in possible}) == 1
        chosen = in_order[0] if len(in_order) == 1 or (in_order and same) else None
        if chosen is None:
            said = f"dates such as {shown(column[0].as_py())!r} in {file} may have the day or the month first"
            raise Refused(said, _orders(possible))
    else:
        chosen = possible[0] if possible else "ymd"
    return _checked(*_of(chosen, numbers), column, file), "" if chosen == "ymd" and widths["a"] == 4 else _EXAMPLES[
        chosen
    ]


def _orders(possible: list[str]) -> str:
    return "say which: " + " or ".join(f"--date-format {order} ({_EXAMPLES[order]})" for order in possible or _ORDERS)


def _may_be(order: str, numbers: Mapping[str, Ints], widths: Mapping[str, int]) -> bool:
    year = _ORDERS[order][0]
    long = [group for group in "abc" if widths[group] > 2]
    if long and long != [year]:
        return False
    return _is_real(*_of(order, numbers))


def _of(order: str, numbers: Mapping[str, Ints]) -> tuple[Ints, Ints, Ints]:
    year, month, day = (numbers[group] for group in _ORDERS[order])
    return _full_year(year), month, day


def _is_real(year: Ints, month: Ints, day: Ints) -> bool:
    return bool(_real(year, month, day).all())


def _is_ordered(date: tuple[Ints, Ints, Ints]) -> bool:
    """Return whether the days only go forward, or only back, by at most a week at a time."""
    steps = np.diff(_civil(*date))
    return bool(((steps >= 0).all() or (steps <= 0).all()) and np.abs(steps).max(initial=0) <= 7)


def _real(year: Ints, month: Ints, day: Ints) -> NDArray[np.bool_]:
    fits = (year >= _YEARS[0]) & (year < _YEARS[1]) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    length = _first_of_month(months + 1) - _first_of_month(months)
    return np.asarray(fits & (day <= length), dtype=np.bool_)


def _checked(year: Ints, month: Ints, day: Ints, column: pa.ChunkedArray, file: str) -> Ints:
    real = _real(year, month, day)
    if not real.all():
        row = int(np.argmin(real))
        raise Refused(
            f"time is {shown(column[row].as_py())!r} in row {row + 1:,} of {file}: no such day", _help("", None)
        )
    return _civil(year, month, day)


def _first_of_month(months: Ints) -> Ints:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _civil(year: Ints, month: Ints, day: Ints) -> Ints:
    return _first_of_month((year - 1970) * 12 + month - 1) + day - 1


def _full_year(year: Ints) -> Ints:
    return np.where(year >= 100, year, np.where(year < _PIVOT, 2000 + year, 1900 + year))


def _monday_of_week_1(year: Ints) -> Ints:
    fourth = _civil(year, np.ones_like(year), np.full_like(year, 4))  # 4 January always lies in week 1
    return fourth - (fourth + 3) % 7  # 1970-01-01 was a Thursday


def _named_months(part: pa.Array, column: pa.ChunkedArray, file: str) -> Ints:
    known = pa.array(_MONTHS)
    found = pc.index_in(pc.utf8_slice_codeunits(pc.utf8_lower(part), 0, 3), value_set=known)
    if found.null_count:
        row = int(np.argmax(flags(found.is_null())))
        said = f"time is {shown(column[row].as_py())!r} in row {row + 1:,} of {file}: no English name of a month"
        raise Refused(said, "write months as numbers, 2024-01-31 09:30")
    return as_numpy(found).astype(np.int64) + 1


def _clock_ms(parts: Mapping[str, pa.Array], column: pa.ChunkedArray, file: str) -> Ints:
    zero = np.zeros(len(column), dtype=np.int64)
    hour, minute, second = (_whole(parts[name], 0) if name in parts else zero for name in ("h", "m", "s"))
    if "p" in parts:
        half = pc.utf8_lower(parts["p"])
        written = flags(pc.not_equal(half, ""))
        after = flags(pc.equal(half, "p"))
        hour = np.where(written, hour % 12 + np.where(after, 12, 0), hour)
    bad = (hour > 23) | (minute > 59) | (second > 59)
    if bad.any():
        row = int(np.argmax(bad))
        raise Refused(
            f"time is {shown(column[row].as_py())!r} in row {row + 1:,} of {file}: no such hour", _help("", None)
        )
    return ((hour * 60 + minute) * 60 + second) * 1_000 + (_fraction(parts["f"]) if "f" in parts else 0)


def _fraction(part: pa.Array) -> Ints:
    return _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(part, ""), 9, "0"), 0, 3), 0)


def _offsets(parts: Mapping[str, pa.Array], column: pa.ChunkedArray, file: str) -> tuple[Ints, bool]:
    """Return the milliseconds by which the written clock is ahead of UTC, and whether the rows state it at all."""
    zero = np.zeros(len(column), dtype=np.int64)
    if "z" not in parts:
        return zero, False
    text = pc.fill_null(parts["z"], "")
    held = {word: _offset_ms(word) for word in pc.unique(text).to_pylist()}
    said = flags(pc.not_equal(text, ""))
    if said.any() and not said.all():
        first = int(np.argmin(said == said[0]))
        what = "a time zone" if said[first] else "no time zone"
        where = (
            f"time is {shown(column[first].as_py())!r} in row {first + 1:,} of {file}: {what}, unlike the rows above"
        )
        raise Refused(where, "export them all with a zone, or all without one")
    codes = as_numpy(pc.index_in(text, value_set=pa.array(list(held), pa.string())))
    return np.array(list(held.values()), dtype=np.int64)[codes] if len(zero) else zero, bool(said.any())


def _offset_ms(word: str) -> int:
    found = re.search(r"([+-])(\d{2}):?(\d{2})?$", word)
    if not found:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return (minutes if found[1] == "+" else -minutes) * 60_000
