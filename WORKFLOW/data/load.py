"""Files in: reads the one that holds a symbol's bars as it is, whatever the format."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from config.errors import Refused
from WORKFLOW.data.columns import moments, numbers, pick
from WORKFLOW.data.find import FORMATS, SUFFIXES, check_symbol, looks_like_another, suffix_of
from WORKFLOW.data.raw import RawTable

KLINE_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
BROKEN_HELP = "download or export it again"
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)  # the last: column names in which a bit has flipped


@dataclass(frozen=True)
class _Found:
    """What a format's reader hands over: the named columns, in file order, and what the file says of itself."""

    names: tuple[str, ...]
    column: Callable[[int], pa.ChunkedArray]
    synthetic: bool = False
    notes: tuple[str, ...] = ()


def read(path: Path, symbol: str) -> RawTable:
    """The rows of one file, exactly as found and in their order.

    Raises:
        Refused: not readable, not of its format, no rows, a column missing, a value that is no number or no moment.
    """
    check_symbol(symbol)
    kind = suffix_of(path)
    if kind is None:
        raise Refused(f"{path} is not a {FORMATS} file by its name", f"its name must end in {', '.join(SUFFIXES)}")
    found = _READERS[kind](path, read_bytes(path))
    picked = pick(found.names, str(path))
    column = {field: found.column(at) for field, at in picked.position.items()}
    if len(column["time"]) == 0:
        raise Refused(f"{path} has a header but no rows", "give a file with bars in it")
    time_ms, notes = moments(column["time"], str(path))
    notes = (*_name_doubts(path, symbol), *found.notes, *picked.notes, *notes, *_doubts(column))
    values = {field: numbers(column[field], field, str(path), time_ms) for field in column if field != "time"}
    values.setdefault("volume", np.zeros(len(time_ms)))
    return RawTable(
        symbol=symbol,
        source=str(path),
        time_ms=time_ms,
        **values,
        has_volume="volume" in column,
        synthetic=found.synthetic or symbol.upper().startswith("SYNTHETIC"),
        notes=notes,
    )


def read_bytes(path: Path) -> bytes:
    """All of a file that is not empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    if not data:
        raise Refused(f"{path} is empty (0 bytes)", "download or export it again")
    return data


def _unzipped(path: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(
            f"{path} is not a whole gzip file: {error}", "download it again (gzip -t FILE tests it)"
        ) from error


def _read_json(path: Path, data: bytes) -> _Found:
    """An array of rows, as freqtrade and exchanges have it."""
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:  # the latter: brackets within brackets without end
        raise Refused(f"{path} is not whole JSON: {error}", BROKEN_HELP) from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise Refused(f"{path} is no JSON array of rows", f"give it as [[{', '.join(KLINE_COLUMNS)}], …]")
    width = len(rows[0]) if rows else len(KLINE_COLUMNS)
    uneven = next((at for at, row in enumerate(rows, 1) if len(row) != width), None)
    if uneven is not None or width < len(KLINE_COLUMNS):
        has = f"row {uneven or 1:,} of {path} has {len(rows[(uneven or 1) - 1])} values"
        raise Refused(has, f"give every row {', '.join(KLINE_COLUMNS)}, …")
    names, note = _kline_names(width)
    return _Found(names, lambda at: _json_column(path, names[at], [row[at] for row in rows]), notes=(f"JSON: {note}",))


def _json_column(path: Path, name: str, values: list[Any]) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.array(values)])
    except (pa.ArrowException, OverflowError) as error:  # the latter: a whole number beyond 64 bits
        raise Refused(f"{name} of {path} holds more than numbers: {_first_line(error)}", BROKEN_HELP) from error


def _kline_names(width: int) -> tuple[tuple[str, ...], str]:
    more = (f"column {at + 1}" for at in range(len(KLINE_COLUMNS), width))
    return (*KLINE_COLUMNS, *more), f"columns taken as {', '.join(KLINE_COLUMNS)}"


def _read_csv(path: Path, data: bytes) -> _Found:
    data, fields, delimiter = lines_of(path, data)
    headless = all(_is_number(field) for field in fields)
    table = parse_csv(path, data, delimiter, len(fields), skip=0 if headless else 1)
    if not headless:
        return _Found(tuple(fields), table.column)
    if len(fields) < len(KLINE_COLUMNS):
        raise Refused(
            f"{path} has no header line and only {len(fields)} columns",
            f"give it a header line, or the exchange's kline columns {', '.join(KLINE_COLUMNS)}, …",
        )
    names, note = _kline_names(len(fields))
    return _Found(names, table.column, notes=(f"no header line: {note}",))


def lines_of(path: Path, data: bytes) -> tuple[bytes, list[str], str]:
    """The lines of a CSV, the fields of the first of them, and what stands between two fields."""
    data = data.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n") + b"\n"
    try:
        first = data.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(f"line {line:,} of {path} is not UTF-8 text", "export it as a plain UTF-8 CSV") from error
    if not first.strip():
        raise Refused(f"{path} holds no text", "give a CSV with a header line and rows")
    delimiter = max(",;\t", key=first.count)
    try:
        return data, next(csv.reader([first], delimiter=delimiter)), delimiter
    except csv.Error as error:
        raise Refused(f"the first line of {path} is not CSV: {error}", "end every line with a newline") from error


def parse_csv(path: Path, data: bytes, delimiter: str, columns: int, skip: int) -> pa.Table:
    """All columns as text, so that a value that is no number can be named."""
    names = [str(at) for at in range(columns)]
    ragged: list[str] = []

    def refuse_row(row: pyarrow.csv.InvalidRow) -> str:
        fields = f"{row.actual_columns} fields instead of {row.expected_columns}"
        ragged.append(f"row {row.number - skip:,} has {fields}: {row.text[:80]!r}")
        return "error"

    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=skip),  # threads lose row numbers
            pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=refuse_row),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        what = ragged[0] if ragged else str(error)
        raise Refused(f"{path} is not a proper CSV: {what}", "repair that line, or export the file again") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, data: bytes) -> _Found:
    try:
        return _from_table(pyarrow.parquet.ParquetFile(pa.BufferReader(data)).read())
    except BROKEN as error:
        raise Refused(f"{path} is not a whole Parquet file: {_first_line(error)}", BROKEN_HELP) from error


def _read_feather(path: Path, data: bytes) -> _Found:
    try:
        table = pyarrow.feather.read_table(pa.BufferReader(data))
        table.validate(full=True)
        return _from_table(table)
    except BROKEN as error:
        raise Refused(f"{path} is not a whole Feather file: {_first_line(error)}", BROKEN_HELP) from error


def _from_table(table: pa.Table) -> _Found:
    synthetic = (table.schema.metadata or {}).get(b"synthetic") == b"true"
    return _Found(tuple(table.column_names), table.column, synthetic=synthetic)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _name_doubts(path: Path, symbol: str) -> tuple[str, ...]:
    is_in_doubt = looks_like_another(path, symbol)
    return (f"{path.name} is taken as {symbol}, with which its name begins",) if is_in_doubt else ()


def _doubts(column: dict[str, pa.ChunkedArray]) -> tuple[str, ...]:
    doubts = []
    if "volume" not in column:
        doubts.append("no volume column: volumes are zero, exchange halts cannot be told from quiet bars")
    prices = (column[field].type for field in ("open", "high", "low", "close"))
    if any(pa.types.is_float32(kind) or pa.types.is_float16(kind) for kind in prices):
        doubts.append("prices are stored with less than 64 bits: the tick size and the last digits are rounding")
    return tuple(doubts)


_READERS: dict[str, Callable[[Path, bytes], _Found]] = {
    ".csv": _read_csv,
    ".csv.gz": lambda path, data: _read_csv(path, _unzipped(path, data)),
    ".parquet": _read_parquet,
    ".feather": _read_feather,
    ".json": _read_json,
    ".json.gz": lambda path, data: _read_json(path, _unzipped(path, data)),
}
