"""Read moments as people write them; if a time is ambiguous, the whole file decides, or the user is asked."""

import datetime
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data import columns
from WORKFLOW.data.bars import DAY_MS
from WORKFLOW.report.tearsheet.sources.ledger import Hints, TradeTable

Moments = NDArray[np.int64]

HELP = (
    "write times as ISO 8601 (2024-03-01T10:00:00Z, 2024-03-01 10:00), as 01.03.2024 10:00, or as epoch s, ms, µs;"
    " any other form is read with --date-format, such as --date-format '%d/%b/%Y %H.%M'"
)
_EXCEL_EPOCH_DAYS = -25_569  # 1899-12-30, from which spreadsheets count days
_EXCEL_DAYS = (20_000, 80_000)  # the years 1954 to 2119; seconds since 1970 are larger
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_ZONE = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")
_CLOCK = (
    r"(?:[T,]?\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp]\.?[Mm]\.?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?$"
)
_NUMBERS = re.compile(r"^(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})" + _CLOCK)
_NAMED = re.compile(r"^(?:(\d{1,2})[ -]([A-Za-z]{3})[a-z]*|([A-Za-z]{3})[a-z]* (\d{1,2})),?[ -](\d{4})" + _CLOCK)
DAY_FIRST, MONTH_FIRST = "day", "month"


@dataclass(frozen=True)
class MomentColumn:
    """Epoch milliseconds (n,), and notes on what was assumed; `is_bare` says that the times had no zone."""

    ms: Moments
    notes: tuple[str, ...] = ()
    is_bare: bool = False


@dataclass(frozen=True)
class _Parts:
    """A date in which day and month may stand in either order."""

    year: int
    first: int
    second: int
    mark: str
    clock_ms: int
    zone: str

    @property
    def is_open(self) -> bool:
        return self.mark in "./-"


def of(ledger: TradeTable, field: str, hints: Hints) -> MomentColumn:
    """Read a field of moments.

    Raises:
        Refused: a value is not a time, only some values have a zone, or day and month cannot be told apart.
    """
    if hints.date_format is not None:
        return _said(ledger, field, hints)
    return _by_arrow(ledger, field, hints) or _by_number(ledger, field, hints) or _by_parts(ledger, field, hints)


def _by_arrow(ledger: TradeTable, field: str, hints: Hints) -> MomentColumn | None:
    text = ledger.text(field)
    for kind, bare in ((pa.timestamp("us"), True), (pa.timestamp("us", "UTC"), False)):
        try:
            found = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        if found.null_count:
            return None
        ms = np.array(found.cast(pa.int64()).to_numpy() // 1_000, dtype=np.int64)
        return _placed(ms, hints) if bare else MomentColumn(ms)
    return None


def _by_number(ledger: TradeTable, field: str, hints: Hints) -> MomentColumn | None:
    """Read epoch numbers, day numbers of spreadsheets, and days such as 20240301."""
    text = ledger.text(field)
    try:
        values = np.array(pc.fill_null(text.cast(pa.float64()), float("nan")).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        return None
    if ((values > _EXCEL_DAYS[0]) & (values < _EXCEL_DAYS[1])).all():
        ms = np.rint((values + _EXCEL_EPOCH_DAYS) * DAY_MS / 1_000).astype(np.int64) * 1_000
        placed = _placed(ms, hints)
        return MomentColumn(
            placed.ms, (f"{ledger.name(field)} holds days as spreadsheets count them", *placed.notes), True
        )
    if all(re.fullmatch(r"(19|20)\d{6}", word) for word in ledger.words(field)):
        return _said(ledger, field, Hints(date_format="%Y%m%d", timezone=hints.timezone))
    try:
        return MomentColumn(columns.moments(ledger.columns[field].text, ledger.path)[0])
    except Refused as refusal:
        reason = refusal.reason.replace("time is", f"{ledger.name(field)} is", 1)
        raise Refused(reason, HELP) from refusal


def _by_parts(ledger: TradeTable, field: str, hints: Hints) -> MomentColumn:
    words = ledger.words(field)
    parts = [_parts(word) for word in words]
    bad = next((at for at, part in enumerate(parts) if part is None), None)
    if bad is not None:
        raise Refused(f"{ledger.name(field)} is {words[bad]!r} in {ledger.where(bad)}", HELP)
    whole = [part for part in parts if part is not None]
    _one_zone(ledger, field, words, [bool(part.zone) for part in whole])
    order, note = _order(ledger, field, [part for part in whole if part.is_open])
    ms = np.array([_ms(ledger, field, at, part, order) for at, part in enumerate(whole)], dtype=np.int64)
    notes = (note,) if note else ()
    if whole[0].zone:
        return MomentColumn(ms, notes)
    placed = _placed(ms, hints)
    return MomentColumn(placed.ms, (*notes, *placed.notes), True)


def _parts(word: str) -> _Parts | None:
    word = " ".join(word.split())
    found = _NUMBERS.match(word)
    if found:
        first, mark, second, last = found[1], found[2], found[3], found[4]
        rest = found.groups()[4:]
        if len(first) == 4:
            return _with_clock(int(first), int(second), int(last), "", rest)
        year = int(last) + (2000 if len(last) <= 2 else 0)
        return None if len(first) > 2 or len(last) == 3 else _with_clock(year, int(first), int(second), mark, rest)
    named = _NAMED.match(word)
    if named is None:
        return None
    month, day = (named[2] or named[3]).lower(), named[1] or named[4]
    number = _MONTHS.index(month) + 1 if month in _MONTHS else 0
    return _with_clock(int(named[5]), number, int(day), "", named.groups()[5:])


def _with_clock(year: int, first: int, second: int, mark: str, rest: tuple[str | None, ...]) -> _Parts | None:
    hour, minute, second_, fraction, half, zone = rest
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half.lower().startswith("p") else 0)
    if hours > 23 or int(minute or 0) > 59 or int(second_ or 0) > 59:
        return None
    clock = (hours * 3600 + int(minute or 0) * 60 + int(second_ or 0)) * 1000 + int((fraction or "0").ljust(3, "0")[:3])
    return _Parts(year, first, second, mark or "Y", clock - _offset_ms(zone), zone or "")


def _offset_ms(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    return (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 60 + int(digits[2:])) * 60_000


def _order(ledger: TradeTable, field: str, parts: list[_Parts]) -> tuple[str, str]:
    """Decide whether the day or the month comes first, by a number above 12 in any time column; dots mean day first."""
    if not parts:
        return DAY_FIRST, ""
    everywhere = [part for part in _all_parts(ledger) if part is not None and part.is_open]
    day = any(part.first > 12 for part in everywhere)
    month = any(part.second > 12 for part in everywhere)
    if day and month:
        raise Refused(
            f"{ledger.path} has dates with the day first and dates with the month first", "write all of them one way"
        )
    mark = parts[0].mark
    if not day and not month and mark != ".":
        word = ledger.words(field)[0]
        clock = _clock_format(word)
        raise Refused(
            f"{ledger.name(field)} is {word!r} in {ledger.where(0)}, and no date of the file says whether the day or"
            " the month comes first",
            f"type --date-format '%d{mark}%m{mark}{_year_format(word)}{clock}' if the day does,"
            f" --date-format '%m{mark}%d{mark}{_year_format(word)}{clock}' if the month does",
        )
    order = MONTH_FIRST if month else DAY_FIRST
    why = "as dates beyond the 12th say" if day or month else "as usual with dots; --date-format says otherwise"
    return order, f"dates are read with the {order} first, {why}"


def _all_parts(ledger: TradeTable) -> list[_Parts | None]:
    return [_parts(word) for name in ("exit_time", "entry_time") if name in ledger for word in ledger.words(name)]


def _year_format(word: str) -> str:
    return "%Y" if re.search(r"\d{4}", word.split(" ", maxsplit=1)[0]) else "%y"


def _clock_format(word: str) -> str:
    _, blank, clock = word.partition(" ")
    if not blank:
        return ""
    half = bool(re.search(r"[AaPp][Mm]$", clock))
    seconds = ":%S" if clock.count(":") == 2 else ""
    return f" {'%I' if half else '%H'}:%M{seconds}{' %p' if half else ''}"


def _ms(ledger: TradeTable, field: str, at: int, part: _Parts, order: str) -> int:
    month, day = part.first, part.second
    if part.is_open and order == DAY_FIRST:
        month, day = day, month
    try:
        days = (datetime.date(part.year, month, day) - datetime.date(1970, 1, 1)).days
    except ValueError as error:
        raise Refused(
            f"{ledger.name(field)} is {ledger.words(field)[at]!r} in {ledger.where(at)}: {error}", HELP
        ) from error
    return days * DAY_MS + part.clock_ms


def _one_zone(ledger: TradeTable, field: str, words: list[str], zoned: list[bool]) -> None:
    """Refuse a column in which some times have a zone and some have none, because that may be a mistake."""
    if all(zoned) or not any(zoned):
        return
    with_zone, without = zoned.index(True), zoned.index(False)
    raise Refused(
        f"{ledger.name(field)} has a time zone in {ledger.where(with_zone)} ({words[with_zone]})"
        f" and none in row {ledger.rows[without]:,} ({words[without]})",
        "write all of them with a zone, or all without (then they are UTC, or of --timezone)",
    )


def _said(ledger: TradeTable, field: str, hints: Hints) -> MomentColumn:
    """Read times in the layout that the user typed."""
    assert hints.date_format is not None
    words, found = ledger.words(field), []
    for at, word in enumerate(words):
        try:
            found.append(datetime.datetime.strptime(word, hints.date_format))
        except ValueError as error:
            raise Refused(
                f"{ledger.name(field)} is {word!r} in {ledger.where(at)}, which is not {hints.date_format!r}",
                "give the --date-format that all times of the file have (%d day, %m month, %Y year, %H:%M:%S time),"
                " or leave it out",
            ) from error
    bare = found[0].tzinfo is None
    stamps = [one.replace(tzinfo=one.tzinfo or datetime.UTC).timestamp() for one in found]
    ms = np.rint(np.array(stamps) * 1_000).astype(np.int64)
    return _placed(ms, hints) if bare else MomentColumn(ms)


def _placed(ms: Moments, hints: Hints) -> MomentColumn:
    """Move times without a zone, read as UTC so far, from the zone that the user named; without it, they are UTC."""
    if hints.timezone is None:
        return MomentColumn(ms, ("times without a zone are taken as UTC",), True)
    to_utc = _converter(hints.timezone)
    return MomentColumn(
        np.array([to_utc(int(one)) for one in ms], dtype=np.int64),
        (f"times without a zone are those of {hints.timezone}, as you said",),
        True,
    )


def _converter(name: str) -> Callable[[int], int]:
    try:
        zone = zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Refused(
            f"--timezone is {name!r}, which is not a time zone", "type one such as Europe/Berlin or UTC"
        ) from error
    epoch = datetime.datetime(1970, 1, 1)

    def to_utc(local_ms: int) -> int:
        local = epoch + datetime.timedelta(milliseconds=local_ms)
        return local_ms - round((zone.utcoffset(local) or datetime.timedelta()).total_seconds() * 1_000)

    return to_utc
