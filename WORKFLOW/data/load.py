"""Files in: finds the one that holds a symbol's 5-minute bars and reads it as it is, whatever the format."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from config.errors import Refused
from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.data.columns import moments, numbers, pick
from WORKFLOW.data.raw import RawTable

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".feather")
FORMATS = "CSV, CSV.gz, Parquet or Feather"
KLINE_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
LISTED = 10
BROKEN_HELP = "download or export it again"
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)  # the last: column names in which a bit has flipped

# A symbol becomes a folder name in the results.
SYMBOL = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,40}")
TIMEFRAME = re.compile(r"[-_. ](\d+)(s|m|min|h|d|w|mo)(?=[-_. ]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class _Found:
    """What a format's reader hands over: the named columns, in file order, and what the file says of itself."""

    names: tuple[str, ...]
    column: Callable[[int], pa.ChunkedArray]
    synthetic: bool = False
    notes: tuple[str, ...] = ()


def check_symbol(symbol: str) -> str:
    """The symbol as typed.

    Raises:
        Refused: it cannot be a folder name on every system.
    """
    if not SYMBOL.fullmatch(symbol):
        raise Refused(
            f"symbol {symbol!r} cannot name a results folder",
            "use 1 to 40 of the letters A-Z a-z 0-9 . _ - (not starting with a dot), for example SOL",
        )
    return symbol


def find(data_path: Path, symbol: str) -> Path:
    """The file that holds `symbol`: `data_path` itself, or the one file in that folder whose name starts with it.

    Case is ignored; names that carry another timeframe (`SOL_USDT-1h.feather`) are passed over.

    Raises:
        Refused: an unfit symbol, nothing there, no candidate or more than one.
    """
    check_symbol(symbol)
    try:
        if data_path.is_dir():
            return _find_in(data_path, symbol)
        if not data_path.exists():
            raise Refused(f"there is nothing at {data_path}", "name a folder or a file that exists in --data-path")
        if not data_path.is_file():
            raise Refused(f"{data_path} is neither a folder nor a plain file", f"name a {FORMATS} file, or its folder")
    except OSError as error:
        raise Refused(
            f"cannot look at {data_path}: {error.strerror}", "check its permissions and its spelling"
        ) from error
    return data_path


def find_minutes(data_path: Path, symbol: str) -> Path | None:
    """The file of 1-minute bars that lies in the folder `data_path` beside the one `find` finds, or None.

    A file belongs to `symbol` as in `find`, and holds 1-minute bars when its name says so (`SOL_USDT-1m.feather`).
    Where several do, the one that is called as the 5-minute file but for the timeframe is meant.

    Raises:
        Refused: several, and none or more than one of them is called so.
    """
    if not data_path.is_dir():
        return None
    names = [name for name in _named(data_path, symbol) if _is_minutes(name)]
    if len(names) > 1:
        beside = _before_timeframe(find(data_path, symbol).name)
        alike = [name for name in names if _before_timeframe(name) == beside]
        if len(alike) != 1:
            raise Refused(f"{len(names)} files in {data_path} hold those of {symbol!r}: {_listing(names)}", "keep one")
        names = alike
    return data_path / names[0] if names else None


def read(path: Path, symbol: str) -> RawTable:
    """The rows of one file, exactly as found and in their order.

    Raises:
        Refused: not readable, not of its format, no rows, a column missing, a value that is no number or no moment.
    """
    check_symbol(symbol)
    kind = _suffix(path)
    if kind is None:
        raise Refused(f"{path} is not a {FORMATS} file by its name", f"its name must end in {', '.join(SUFFIXES)}")
    found = _READERS[kind](path, _bytes(path))
    picked = pick(found.names, str(path))
    column = {field: found.column(at) for field, at in picked.position.items()}
    if len(column["time"]) == 0:
        raise Refused(f"{path} has a header but no rows", "give a file with bars in it")
    time_ms, notes = moments(column["time"], str(path))
    notes = (*found.notes, *picked.notes, *notes, *_doubts(column))
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


def _find_in(folder: Path, symbol: str) -> Path:
    names = _files(folder)
    readable = [name for name in names if _suffix(Path(name))]
    named = _named(folder, symbol)
    candidates = [name for name in named if not _other_timeframe(name)]
    if len(candidates) == 1:
        return folder / candidates[0]
    if candidates:
        raise Refused(
            f"{len(candidates)} files in {folder} start with {symbol!r}: {_listing(candidates)}",
            "type more of the name as the symbol, or name the file itself in --data-path",
        )
    if named:
        raise Refused(
            f"the files of {symbol!r} in {folder} are of another timeframe: {_listing(named)}",
            f"add its {BASE_MINUTES}-minute bars; all other timeframes are made from them",
        )
    holds = f"it holds {_listing(readable or names)}" if names else "it holds no files"
    raise Refused(
        f"no {FORMATS} file in {folder} starts with {symbol!r}; {holds}",
        "check the symbol, or name the file itself in --data-path",
    )


def _files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())


def _named(folder: Path, symbol: str) -> list[str]:
    return [name for name in _files(folder) if _suffix(Path(name)) and name.lower().startswith(symbol.lower())]


def _listing(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def _other_timeframe(name: str) -> bool:
    tokens = _timeframes(name)
    return bool(tokens) and not any(count == BASE_MINUTES and unit.lower() in {"m", "min"} for count, unit in tokens)


def _is_minutes(name: str) -> bool:
    """`1M` is a month: exchanges write it so."""
    return any(count == 1 and (unit == "m" or unit.lower() == "min") for count, unit in _timeframes(name))


def _timeframes(name: str) -> list[tuple[int, str]]:
    return [(int(count), unit) for count, unit in TIMEFRAME.findall(_stem(name))]


def _stem(name: str) -> str:
    return name[: -len(_suffix(Path(name)) or "")]


def _before_timeframe(name: str) -> str:
    return TIMEFRAME.split(_stem(name), maxsplit=1)[0].lower()


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    if not data:
        raise Refused(f"{path} is empty (0 bytes)", "download or export it again")
    return data


def _read_gzip(path: Path, data: bytes) -> _Found:
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(
            f"{path} is not a whole gzip file: {error}", "download it again (gzip -t FILE tests it)"
        ) from error
    return _read_csv(path, plain)


def _read_csv(path: Path, data: bytes) -> _Found:
    data = data.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n") + b"\n"
    try:
        first = data.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(f"line {line:,} of {path} is not UTF-8 text", "export it as a plain UTF-8 CSV") from error
    if not first.strip():
        raise Refused(f"{path} holds no text", "give a CSV with a header line and bars")
    delimiter = max(",;\t", key=first.count)
    try:
        fields = next(csv.reader([first], delimiter=delimiter))
    except csv.Error as error:
        raise Refused(f"the first line of {path} is not CSV: {error}", "end every line with a newline") from error
    headless = all(_is_number(field) for field in fields)
    table = _parse_csv(path, data, delimiter, len(fields), skip=0 if headless else 1)
    if not headless:
        return _Found(tuple(fields), table.column)
    if len(fields) < len(KLINE_COLUMNS):
        raise Refused(
            f"{path} has no header line and only {len(fields)} columns",
            f"give it a header line, or the exchange's kline columns {', '.join(KLINE_COLUMNS)}, …",
        )
    names = (*KLINE_COLUMNS, *(f"column {at + 1}" for at in range(len(KLINE_COLUMNS), len(fields))))
    return _Found(names, table.column, notes=(f"no header line: columns taken as {', '.join(KLINE_COLUMNS)}",))


def _parse_csv(path: Path, data: bytes, delimiter: str, columns: int, skip: int) -> pa.Table:
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
    ".csv.gz": _read_gzip,
    ".parquet": _read_parquet,
    ".feather": _read_feather,
}
