"""Read the files that hold a symbol's bars, as they are and in whatever form, and report what was decided."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from config.reading import AS_IT_IS, Reading
from WORKFLOW.data.bars import Floats
from WORKFLOW.data.columns import numbers
from WORKFLOW.data.file_names import binary_by_name, chosen, looks_like_another, market_of, refuse_other_kind
from WORKFLOW.data.find import check_symbol, find_all
from WORKFLOW.data.forms import archive, arrow_files, json_forms, markets, moments, order, roles, text
from WORKFLOW.data.forms import numbers as foreign
from WORKFLOW.data.forms.arrays import is_text
from WORKFLOW.data.forms.bytes_in import AGAIN, read_bytes, refuse_others, unpacked
from WORKFLOW.data.forms.meter import AS_OBJECTS, Meter
from WORKFLOW.data.forms.roles import Roles
from WORKFLOW.data.forms.shown import listing, shown
from WORKFLOW.data.forms.table import Table
from WORKFLOW.data.forms.text import lines_of, parse_csv
from WORKFLOW.data.forms.times import looks_like_moment
from WORKFLOW.data.join import joined
from WORKFLOW.data.raw import RawTable

__all__ = ["lines_of", "load", "parse_csv", "read", "read_bytes"]

Column = Any  # pa.ChunkedArray, for which mypy has no types
_APART = "time is read from columns"
_FIVE_MINUTES = {"5", "5m", "5min", "m5", "pt5m", "5minute", "5minutes", "300", "5t", "five_minute", "minute5"}


def load(data_path: Path, symbol: str, reading: Reading = AS_IT_IS) -> RawTable:
    """Return the rows of all files that hold the symbol's bars; several files are joined in the order of time.

    Raises:
        Refused: see `find_all`, `read` and `joined`.
    """
    return load_all(find_all(data_path, symbol), symbol, data_path, reading)


def load_all(paths: Sequence[Path], symbol: str, data_path: Path, reading: Reading = AS_IT_IS) -> RawTable:
    """Return the rows of these files, which lie in `data_path`."""
    meter = Meter(reading.bounds)
    parts = [read(path, symbol, reading, meter) for path in paths]
    return parts[0] if len(parts) == 1 else joined(parts, [shown(path.name) for path in paths], str(data_path))


def read(path: Path, symbol: str, reading: Reading = AS_IT_IS, meter: Meter | None = None) -> RawTable:
    """Return the rows of one file, or of the files of one archive, exactly as found.

    The rows keep their order, but a file that runs from newest to oldest is reversed, and a note says so. `meter` has
    counted the files that were read before.

    Raises:
        Refused: the file cannot be read, has an unknown form, no rows, or no column for a field; a value is no number
            or no moment; or the limits of `reading` or the memory are exceeded.
    """
    check_symbol(symbol)
    try:
        return _read(path, symbol, reading, Meter(reading.bounds) if meter is None else meter)
    except MemoryError as error:
        way_out = "keep the years and columns that you need in a file of its own, or give this process more memory"
        raise Refused(f"memory ran out while {shown(path)} was read ({error or 'MemoryError'})", way_out) from error


def _read(path: Path, symbol: str, reading: Reading, meter: Meter) -> RawTable:
    label, data = shown(path), read_bytes(path, meter=meter)
    doubts = _name_doubts(path.name, symbol)
    if not data.startswith(archive.FIRST_BYTES):
        return _rows(label, path.name, str(path), data, symbol, reading, doubts, meter)
    inside = archive.Archive(label, data)
    names = _members(inside, symbol)
    parts = [
        _rows(f"{shown(name)} in {label}", name, str(path), inside.read(name, meter), symbol, reading, (), meter)
        for name in names
    ]
    if len(parts) == 1:
        return parts[0]
    return joined(parts, [shown(name) for name in names], str(path))


def _members(inside: archive.Archive, symbol: str) -> list[str]:
    """Return the only file of an archive, whatever its name; of several, those that their names give for the symbol."""
    names = inside.names
    if len(names) != 1:
        try:
            names = chosen(names, symbol)
        except Refused as refusal:
            raise inside.refuse_choice(refusal.reason) from refusal
    if not names:
        raise inside.refuse_choice(f"none starts with {symbol!r}")
    return names


# one file -------------------------------------------------------------------------------------------------------------


def _rows(
    label: str,
    name: str,
    source: str,
    data: bytes,
    symbol: str,
    reading: Reading,
    doubts: tuple[str, ...],
    meter: Meter,
) -> RawTable:
    table = _table(label, name, data, meter)
    market = market_of(name, symbol)
    if table.levels:
        names, notes = roles.flattened(table.levels, lambda held: markets.choose(held, symbol, label, "the header"))
        table = table.named(names).noted(*notes)
    taken = order.usual(table, label) if table.names is None else roles.pick(table.names, label, market)
    taken = taken if "time" in taken.position else _with_time(taken, table, label)
    if len(table.column(taken.position["time"])) == 0:
        raise Refused(f"{label} has a header but no rows", "give a file with bars in it")
    mask, selected = _selection(table, taken, symbol, label)
    rows_of = label if mask is None else f"{label} ({selected[0].partition(' are ')[0]} counted alone)"
    made = _values(table, taken, mask, rows_of, reading)
    return RawTable(
        symbol=symbol,
        source=source,
        **made.columns,
        has_volume=made.has_volume,
        synthetic=table.synthetic or symbol.upper().startswith("SYNTHETIC"),
        notes=(*doubts, *table.notes, *made.notes, *selected),
        in_file=made.in_file,
    )


def _table(label: str, name: str, data: bytes, meter: Meter) -> Table:
    """Read a table by the first bytes of the file, because a name may lie."""
    packed, data = data, unpacked(label, data, meter=meter)
    if data.startswith(arrow_files.PARQUET):
        return arrow_files.read_parquet(label, data, meter)
    if data.startswith(arrow_files.FEATHER):
        return arrow_files.read_feather(label, data, meter)
    refuse_others(label, data)
    plain = text.decoded(label, data)
    if plain.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        meter.took(label, len(plain), AS_OBJECTS)
        meter.rows(label, max(plain.count(b"{"), plain.count(b"[")))
        return json_forms.read(label, plain)
    refuse_other_kind(label, name)
    meter.took(label, len(plain))
    meter.rows(label, plain.count(b"\n"))
    table = text.read(label, plain)
    kind = binary_by_name(name)
    if kind is None or packed is not data:
        return table
    if table.names is not None and not roles.is_complete(table.names):
        raise Refused(
            f"{label} is not a valid {kind} file: it begins with {shown(data[:20].decode('utf-8', 'replace'))!r}", AGAIN
        )
    return table.noted(f"{shown(name)} is not a {kind} file, although its name says so: it is read as text")


class _Values:
    """The columns of the rows that are read, by field, and the notes on them."""

    def __init__(self, columns: dict[str, Any], notes: tuple[str, ...], in_file: NDArray[np.int64] | None) -> None:
        self.columns, self.notes, self.in_file = columns, notes, in_file
        self.has_volume = "volume" in columns
        self.columns.setdefault("volume", np.zeros(len(columns["time_ms"])))


def _values(table: Table, taken: Roles, mask: Column | None, label: str, reading: Reading) -> _Values:
    def column(at: int) -> Column:
        return table.column(at) if mask is None else table.column(at).filter(mask)

    when, notes = _moments(table, taken, column, label, reading)
    if notes[:1] and notes[0].startswith(_APART):
        taken = replace(taken, notes=tuple(note for note in taken.notes if not note.startswith("time is read from")))
    in_file = None if mask is None else np.flatnonzero(np.asarray(mask.to_pylist(), dtype=np.bool_)) + 1
    if when.is_reversed:
        in_file = (np.arange(len(when.ms)) + 1 if in_file is None else in_file)[::-1].copy()
    in_time = when.ms[::-1] if when.is_reversed else when.ms  # in the order of the file, for messages
    values, more = _numbers(table, taken, column, label, in_time)
    if table.names is None and not order.fits(values, when.is_reversed):
        other = order.better(table, label, taken, when.is_reversed)
        if other is not None:
            taken = other
            values, more = _numbers(table, taken, column, label, in_time)
    values, ticks = _or_ticks(taken, values, column, label)
    doubts = _doubts({name: column(at) for name, at in taken.position.items()}, "volume" in values)
    if when.is_reversed:
        values = {name: np.ascontiguousarray(one[::-1]) for name, one in values.items()}
    said = (*taken.notes, *notes, *doubts, *more, *ticks)
    return _Values({"time_ms": when.ms, **values}, said, in_file)


def _moments(
    table: Table, taken: Roles, column: Callable[[int], Column], label: str, reading: Reading
) -> tuple[moments.When, tuple[str, ...]]:
    at, clock = taken.position["time"], taken.clock
    name = "" if table.names is None else table.names[at]
    day = None if table.names is None else roles.day_of(table.names)
    if table.names is not None and (at not in (day, clock) or clock is None or not moments.is_clock(column(clock))):
        clock = None
    if clock is None or table.names is None:
        when = moments.read(column(at), None if clock is None else column(clock), name, label, reading)
        return when, when.notes
    assert day is not None
    when = moments.read(column(day), column(clock), f"{table.names[day]} {table.names[clock]}", label, reading)
    said = f"{_APART} {shown(table.names[day].strip())!r} and {shown(table.names[clock].strip())!r}"
    return when, (said, *when.notes)


def _or_ticks(
    taken: Roles, values: dict[str, Floats], column: Callable[[int], Column], label: str
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Use the number of ticks as volume, if the file has no volume or only zeros, as some trading programs write."""
    if taken.ticks is None or taken.ticks in taken.position.values() or values.get("volume", np.zeros(1)).any():
        return values, ()
    ticks = numbers(column(taken.ticks), "volume", label)
    return {**values, "volume": ticks}, ("volume is the number of ticks, the only volume in the file",)


def _numbers(
    table: Table, taken: Roles, column: Callable[[int], Column], label: str, time_ms: NDArray[np.int64]
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    columns = {field: column(at) for field, at in taken.position.items() if field != "time"}
    try:
        return {field: numbers(one, field, label, time_ms) for field, one in columns.items()}, ()
    except Refused:
        if not any(is_text(one) for one in columns.values()):
            raise
    plain, notes = foreign.as_plain(columns, label, table.separator)
    return {field: numbers(one, field, label, time_ms) for field, one in plain.items()}, notes


def _with_time(taken: Roles, table: Table, label: str) -> Roles:
    """Use the only column that holds moments as the time, if no column is named as a time."""
    assert table.names is not None
    free = [at for at in range(table.width) if at not in taken.position.values() and table.names[at] != "·"]
    typed = [
        at for at in free if pa.types.is_timestamp(table.column(at).type) or pa.types.is_date(table.column(at).type)
    ]
    written = [at for at in free if is_text(table.column(at)) and len(table.column(at)) and _is_date(table.column(at))]
    found = typed or written
    closes = [at for at in found if roles.is_close_time(table.names[at])]
    if len(found) != 1 or closes:
        raise roles.refuse_timeless(table.names, label)
    note = f"time is read from column {shown(table.names[found[0]])!r}, the only one that holds times"
    return Roles(
        {**taken.position, "time": found[0]}, (*taken.notes, note), None, taken.symbol, taken.frame, taken.ticks
    )


def _is_date(column: Column) -> bool:
    first = str(column[0].as_py() or "")
    return looks_like_moment(first) and any(sign in first for sign in "-/.:")


def _selection(table: Table, taken: Roles, symbol: str, label: str) -> tuple[Column | None, tuple[str, ...]]:
    """Select the rows of one market and one timeframe, if a column tells them apart; None means all rows.

    Rows are selected only if moments repeat, because contracts that follow on each other are one market.
    """
    mask, notes = None, []
    if (taken.symbol is None and taken.frame is None) or not _has_repeated_moments(table, taken):
        return None, ()
    if taken.symbol is not None and len(held := _held(table, taken.symbol)) > 1:
        where = f"column {_name(table, taken.symbol)!r}"
        one = markets.choose(list(held), symbol, label, where)
        mask = pc.equal(held[one], _words(table, taken.symbol))
        notes.append(f"rows of {shown(one)} are read ({where}); skipped: {listing(x for x in held if x != one)}")
    if taken.frame is not None and len(held := _held(table, taken.frame)) > 1:
        fitting = [word for word in held if word.lower().replace(" ", "") in _FIVE_MINUTES]
        if len(fitting) == 1:
            of_frame = pc.equal(held[fitting[0]], _words(table, taken.frame))
            mask = of_frame if mask is None else pc.and_(mask, of_frame)
            notes.append(f"rows of timeframe {shown(fitting[0])} are read (column {_name(table, taken.frame)!r})")
    return mask, tuple(notes)


def _has_repeated_moments(table: Table, taken: Roles) -> bool:
    places = [taken.position["time"], *([] if taken.clock is None else [taken.clock])]
    moments_of = pa.table({str(at): table.column(at) for at in places})
    return len(moments_of.group_by(moments_of.column_names).aggregate([])) < len(moments_of)


def _held(table: Table, at: int) -> dict[str, pa.Scalar]:
    return {str(word): pa.scalar(word) for word in pc.unique(_words(table, at)).to_pylist() if word}


def _words(table: Table, at: int) -> Column:
    return pc.fill_null(pc.utf8_trim_whitespace(table.column(at).cast(pa.string())), "")


def _name(table: Table, at: int) -> str:
    return shown(table.names[at].strip()) if table.names is not None else str(at + 1)


# doubts ---------------------------------------------------------------------------------------------------------------


def _name_doubts(name: str, symbol: str) -> tuple[str, ...]:
    is_in_doubt = looks_like_another(name, symbol)
    return (f"{shown(name)} is read as {symbol}, because its name begins with that symbol",) if is_in_doubt else ()


def _doubts(column: dict[str, Column], has_volume: bool) -> tuple[str, ...]:
    doubts = []
    if not has_volume:
        doubts.append("no volume column: volumes are zero, exchange halts cannot be told from quiet bars")
    prices = (column[field].type for field in ("open", "high", "low", "close"))
    if any(pa.types.is_float32(kind) or pa.types.is_float16(kind) for kind in prices):
        doubts.append("prices are stored with less than 64 bits: the tick size and the last digits are rounding")
    return tuple(doubts)
