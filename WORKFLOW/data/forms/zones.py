"""Turn local times into UTC: the hour that occurs twice in autumn, the missing hour in spring, and how to tell."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from config.reading import Zone, zone_of
from WORKFLOW.data.raw import utc

Ints = NDArray[np.int64]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_MOST_MS = 3 * _HOUR_MS  # the largest step over a skipped hour, with a few bars missing beside it
_MOST_DAYS = 400  # days with odd steps that are looked at
_LOOK_DAYS = 7  # clocks never change twice within a week
_ENOUGH = 6  # of the 12 bars in an hour beside a change; with fewer, the market was closed
# The zones in which files are written; one zone stands for all that change their clocks at the same hour and days.
COMMON = (
    *("Europe/London", "Europe/Berlin", "Europe/Athens", "America/New_York", "America/New_York+7"),
    *("Australia/Sydney", "America/Sao_Paulo", "Asia/Jerusalem", "Pacific/Auckland"),
)
_SAME_HOUR = {"America/New_York": "America/New_York, Chicago, Denver or Los_Angeles"}


def to_utc(local_ms: Ints, zone: Zone, name: str, file: str) -> Ints:
    """Return epoch milliseconds (int64[rows]) of clock times in file order, oldest first.

    In an hour that occurs twice, the order of the rows decides: the first occurrence lies before the change.

    Raises:
        Refused: the zone skips a time, or an hour occurs twice in the zone and only once in the file.
    """
    if len(local_ms) == 0:
        return local_ms
    changes, offsets = _changes(zone, int(local_ms.min()) - _DAY_MS, int(local_ms.max()) + _DAY_MS)
    before = np.searchsorted(changes + offsets[:-1], local_ms, side="right")
    after = np.searchsorted(changes + offsets[1:], local_ms, side="right")
    skipped = before > after
    if skipped.any():
        row = int(np.argmax(skipped))
        said = f"{_clock(local_ms[row])} in row {row + 1:,} of {file} does not exist in {name}: clocks skip that hour"
        raise Refused(said, "name the zone of these times; --timezone UTC if they are UTC")
    return np.asarray(local_ms - offsets[_told_by_order(local_ms, before, after, name, file)], dtype=np.int64)


def _told_by_order(local_ms: Ints, before: Ints, after: Ints, name: str, file: str) -> Ints:
    """Return in which stretch of constant offset each row lies."""
    chosen = before.copy()
    for change in np.unique(before[before < after]):
        rows = np.flatnonzero((before == change) & (after > before))
        back = np.flatnonzero(np.diff(local_ms[rows]) < 0)
        if len(back) != 1:
            hour = f"{_clock(local_ms[rows[0]])} to {_clock(local_ms[rows].max())}"
            said = f"{hour} in {file} exists twice in {name}, and {len(rows):,} rows do not say which time is meant"
            raise Refused(said, "export them in UTC or with offsets, or delete these rows (a short hole is filled)")
        chosen[rows[back[0] + 1 :]] += 1
    return chosen


def refuse_unsaid(local_ms: Ints, file: str) -> None:
    """Refuse times without a zone that skip an hour in spring, or repeat one in autumn, as the clocks of a place do.

    Only a person can say whether these are local times of that place, or UTC with an outage in that very hour.
    """
    if len(local_ms) < 2:
        return
    steps = np.diff(local_ms)
    odd = np.flatnonzero((steps < 0) | ((steps > _HOUR_MS) & (steps < _MOST_MS)))
    if len(odd) == 0:
        return  # the usual case costs one pass
    days = np.unique(local_ms[odd] // _DAY_MS) * _DAY_MS
    near = [name for name in COMMON if any(_changes_near(zone_of(name), int(day)) for day in days[:_MOST_DAYS])]
    ordered = np.sort(local_ms) if near and (steps < 0).any() else local_ms
    found = {name: said for name in near if (said := _pattern(ordered, name))}
    if not found:
        return
    places = " or ".join(_SAME_HOUR.get(name, name) for name in found)
    flags = " or ".join(f"--timezone {name}" for name in found)
    raise Refused(
        f"times in {file} carry no zone and {next(iter(found.values()))}, as clocks do in {places}",
        f"name the zone of these times: {flags}; --timezone UTC if they are UTC",
    )


def _changes_near(zone: Zone, moment_ms: int) -> bool:
    return _offset(zone, moment_ms - _DAY_MS) != _offset(zone, moment_ms + 2 * _DAY_MS)


def _pattern(ordered: Ints, name: str) -> str:
    """Describe what speaks for the clocks of a place; the text is empty if any change of clocks speaks against it."""
    changes, offsets = _changes(zone_of(name), int(ordered[0]), int(ordered[-1]))
    said = []
    for change, old, new in zip(changes, offsets[:-1], offsets[1:], strict=True):
        first, last = sorted((int(change + old), int(change + new)))
        inside = ordered[np.searchsorted(ordered, first) : np.searchsorted(ordered, last)]
        span = f"{_clock(first)} to {_clock(last)[11:]}"
        if new > old and len(inside):
            return ""
        if new > old and _is_open_around(ordered, first, last):
            said.append(f"skip {span}")
        if new < old and len(inside) >= _ENOUGH and len(np.unique(inside)) * 2 == len(inside):
            said.append(f"have {span} twice")
    return " and ".join(said[:2])


def _is_open_around(ordered: Ints, first: int, last: int) -> bool:
    before = np.searchsorted(ordered, first) - np.searchsorted(ordered, first - _HOUR_MS)
    after = np.searchsorted(ordered, last + _HOUR_MS) - np.searchsorted(ordered, last)
    return bool(before >= _ENOUGH and after >= _ENOUGH)


def _changes(zone: Zone, first_ms: int, last_ms: int) -> tuple[Ints, Ints]:
    """Return when the clocks change, and by how much they are ahead of UTC before, between and after the changes."""
    moments: list[int] = []
    step = _LOOK_DAYS * _DAY_MS
    at, offset = first_ms, _offset(zone, first_ms)
    offsets = [offset]
    while at < last_ms:
        there = _offset(zone, at + step)
        if there != offset:
            moments.append(_first_with(zone, at, at + step, there))
            offsets.append(there)
        at, offset = at + step, there
    return np.array(moments, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _first_with(zone: Zone, low: int, high: int, offset: int) -> int:
    low, high = low // 60_000, high // 60_000  # clocks change at whole minutes
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(zone, middle * 60_000) == offset else (middle, high)
    return high * 60_000


def _offset(zone: Zone, moment_ms: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment_ms)
    ahead = moment.astimezone(zone.place).utcoffset() or timedelta(0)
    return round((ahead + zone.shift).total_seconds() * 1_000)


def _clock(local_ms: int) -> str:
    return utc(int(local_ms)).removesuffix(" UTC")
