"""Find the meaning of columns without names: the time, and the only order of prices in which every row is possible."""

import re
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import Refused
from WORKFLOW.data.bars import Floats
from WORKFLOW.data.forms.arrays import as_numpy
from WORKFLOW.data.forms.roles import PRICES, Roles
from WORKFLOW.data.forms.table import Table
from WORKFLOW.data.forms.times import looks_like_moment

KLINE_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
_LEAST = 5
_MOST_PRICES = 7  # columns among which the four prices are sought
_NEAR = 3.0  # factor; columns that differ by more than this factor within a bar are not its prices
_PLAINLY = 0.5  # the right order's gaps from close to open are at most this fraction of the wrong order's
_LOOKED_AT = 1_000  # rows, more than three days of bars, so that a column of days changes within them
_EPOCH = r"\d{9,19}(\.\d+)?"
_DAY = r"^(\d{8}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})$"
_DIGITS = r"^\d{1,6}$"
_TELLING = 50  # rows; in fewer rows, prices may follow on each other by chance
_CLOCK = r"^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?$"
_HELP = "give the file a header line of its own, for example time,open,high,low,close,volume (the names in its order)"


def usual(table: Table, file: str) -> Roles:
    """Return the order of an exchange's klines: time, open, high, low, close, volume, with or without a separate clock.

    Raises:
        Refused: the table has too few columns.
    """
    if table.width < _LEAST:
        raise Refused(
            f"{file} has {table.how} and only {table.width} columns",
            f"give it a header line, or the exchange's kline columns {', '.join(KLINE_COLUMNS)}, …",
        )
    when, clock = _when(table)
    after = (when if clock is None else clock) + 1
    return _said(table, when, clock, dict(zip(PRICES, range(after, min(after + 4, table.width)), strict=False)))


def fits(values: Mapping[str, Floats], is_newest_first: bool) -> bool:
    """Return whether no bar contradicts itself, and opens follow the closes before them.

    A comparison with NaN counts as no contradiction. In fewer than 50 rows, opens and closes are not compared.
    """
    o, h, l, c = (values[name] for name in PRICES)
    with np.errstate(invalid="ignore"):
        bad = (h < l) | (o > h) | (o < l) | (c > h) | (c < l)
    if bad.any():
        return False
    if len(o) < _TELLING:
        return True
    as_taken, swapped = _gaps(o, c, is_newest_first)
    return not swapped < _PLAINLY * as_taken


def better(table: Table, file: str, taken: Roles, is_newest_first: bool) -> Roles | None:
    """Return the order in which every row is possible, if the order `taken` makes some row impossible; None if none
    exists.

    Raises:
        Refused: there is such an order, but the rows do not show which column is open and which is close.
    """
    found = _search(_numbers(table, {taken.position["time"], taken.clock}), is_newest_first)
    if found is None:
        return None
    prices, surely = found
    if not surely:
        raise Refused(
            f"{file} has {table.how}, and its rows do not show which column is open and which is close", _HELP
        )
    return _said(table, taken.position["time"], taken.clock, prices)


def _when(table: Table) -> tuple[int, int | None]:
    """Return the column of the moment, and the column of the time of day if it is separate."""
    first = [str(table.column(at)[0].as_py()) if len(table.column(at)) else "" for at in range(table.width)]
    places = [*range(min(4, table.width)), *range(max(4, table.width - 3), table.width)]
    when = next((at for at in places if looks_like_moment(first[at]) and _varies(table, at)), 0)
    beside = when + 1
    if beside >= table.width or re.fullmatch(_EPOCH, first[when]):
        return when, None
    if _all(table, beside, _CLOCK) or (_all(table, when, _DAY) and _all(table, beside, _DIGITS)):
        return when, beside
    return when, None


def _all(table: Table, at: int, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(_text(table, at).slice(0, _LOOKED_AT), pattern)).as_py())


def _varies(table: Table, at: int) -> bool:
    return len(table.column(at)) < 3 or len(pc.unique(table.column(at).slice(0, _LOOKED_AT))) > 1


def _text(table: Table, at: int) -> pa.ChunkedArray:
    return pc.fill_null(pc.utf8_trim_whitespace(table.column(at).cast(pa.string())), "")


def _numbers(table: Table, without: set[int | None]) -> dict[int, Floats]:
    found: dict[int, Floats] = {}
    for at in range(table.width):
        if at not in without:
            try:
                column = table.column(at)
                text = pc.utf8_trim_whitespace(column) if pa.types.is_string(column.type) else column
                found[at] = as_numpy(pc.fill_null(text.cast(pa.float64(), safe=False), float("nan")))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
    return found


def _search(values: Mapping[int, Floats], is_newest_first: bool) -> tuple[dict[str, int], bool] | None:
    """Return the price columns, and whether open and close are told apart: an open lies near the close before it."""
    likely = [at for at, column in values.items() if len(column) and (column > 0).all()][:_MOST_PRICES]
    for four in combinations(likely, 4):
        rows = np.stack([values[at] for at in four])
        top, bottom = rows.max(axis=0), rows.min(axis=0)
        if not (top < _NEAR * bottom).all() or (rows == rows[0]).all():
            continue
        high = [at for at in four if (values[at] == top).all()]
        low = [at for at in four if (values[at] == bottom).all()]
        if len(high) == 1 and len(low) == 1:
            rest = [at for at in four if at not in (*high, *low)]
            return _told_apart(values, high[0], low[0], rest, is_newest_first)
    return None


def _told_apart(
    values: Mapping[int, Floats], high: int, low: int, rest: list[int], is_newest_first: bool
) -> tuple[dict[str, int], bool]:
    gaps = _gaps(values[rest[0]], values[rest[1]], is_newest_first)
    first, last = rest if gaps[0] <= gaps[1] else rest[::-1]
    return {"open": first, "high": high, "low": low, "close": last}, min(gaps) < _PLAINLY * max(gaps)


def _gaps(one: Floats, other: Floats, is_newest_first: bool) -> tuple[float, float]:
    """Return the gaps between each close and the next open, if `one` are the opens, and if `other` are."""
    if is_newest_first:
        one, other = one[::-1], other[::-1]
    return _gap(one, other), _gap(other, one)


def _gap(opens: Floats, closes: Floats) -> float:
    return float(np.abs(opens[1:] - closes[:-1]).sum())


def _said(table: Table, when: int, clock: int | None, prices: Mapping[str, int]) -> Roles:
    position = {"time": when, **prices}
    volume = next((at for at in range(max(prices.values()) + 1, table.width) if at not in (when, clock)), None)
    if volume is not None:
        position["volume"] = volume
    if (when, clock, *prices.values(), volume) == (0, None, 1, 2, 3, 4, 5):
        return Roles(position, (f"{table.how}: columns taken as {', '.join(KLINE_COLUMNS)}",), clock)
    called = {at: name for name, at in position.items()} | ({clock: "time of day"} if clock is not None else {})
    order = ", ".join(called.get(at, "…") for at in range(max(called) + 1))
    kline = (*prices.values(),) == tuple(range(min(prices.values()), min(prices.values()) + 4))
    why = "" if kline else ", the only order in which every row is possible"
    return Roles(position, (f"{table.how}: columns taken as {order}{why}",), clock)
