"""Read files by their first bytes and not by their names: text in any encoding, archives, workbooks."""

import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from config.errors import Refused
from WORKFLOW.data.forms import arrow_files, bytes_in
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.report.tearsheet.sources import bounds
from WORKFLOW.report.tearsheet.sources.sheet import Sheet

_SHARED = "xl/sharedStrings.xml"
_XML = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_AGAIN = "download or export it again"
TRADES = "trades"  # what such files hold, for messages
_MOST_MEMBERS = 1_000  # files in an archive
_MOST_SQLITE = 1_000_000  # bytes of one value
Rows = list[list[str]]


def unpacked(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is compressed.

    Raises:
        Refused: the file is missing, not regular, empty, broken, or larger than trades could be.
    """
    data = bytes_in.unpacked(shown(path), bytes_in.read_bytes(path, TRADES), TRADES)
    bounds.check_bytes(path, len(data))
    return data


def text_of(path: Path, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text, with a note if its encoding had to be guessed."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), ()
    if data[1:2] == b"\0" or data[:1] == b"\0":
        kind = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        if b"\0\0" not in data[:400]:
            return data.decode(kind, errors="replace"), ()
    if b"\0" in data[:4096]:
        raise Refused(f"{path} holds bytes that are not text", "export it as CSV")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ("its text is not UTF-8: read as Windows-1252",)


def json_of(path: Path, text: str) -> Any:
    """Return the value of a JSON text."""
    bounds.check_json(path, text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # endless nested brackets raise a RecursionError
        raise Refused(f"{path} is not valid JSON: {error}", _AGAIN) from error


def of_records(path: str, found: Any) -> Sheet | None:
    """Return a list of objects, as pandas writes it, as a table; None for anything else."""
    if not isinstance(found, list) or not found or not all(isinstance(row, dict) for row in found):
        return None
    names = list(dict.fromkeys(str(name) for row in found for name in row))
    bounds.check_table(path, len(found), len(names))
    return Sheet.of(path, names, [[_word(row.get(name)) for name in names] for row in found])


def _word(value: Any) -> str | None:
    return None if value is None else repr(value) if isinstance(value, float) else str(value)


def members(path: Path, data: bytes) -> dict[str, bytes]:
    """Return the files of a zip that may hold trades, by name; {} if the zip is a workbook.

    Raises:
        Refused: the zip is broken, has a password, or holds more than `MOST_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [one for one in archive.infolist() if one.filename.lower().endswith((".json", ".csv", ".txt"))]
            _check_members(path, names)
            return {one.filename: archive.read(one) for one in names}  # reads no more than a file declares
    except (zipfile.BadZipFile, RuntimeError, OSError, zlib.error, NotImplementedError) as error:
        raise Refused(f"{path} is not a valid zip file: {error}", f"{_AGAIN}, without a password") from error


def _check_members(path: Path, names: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a decompression bomb by what its members declare together; nothing beyond that is ever read."""
    if len(names) > _MOST_MEMBERS:
        raise Refused(f"{shown(path)} holds {len(names):,} files", "unpack it and give the one with the trades")
    bounds.check_bytes(path, sum(one.file_size for one in names))
    packed, size = sum(one.compress_size for one in names), sum(one.file_size for one in names)
    if size > bytes_in.limit(packed, TRADES):
        raise bytes_in.refuse_bomb(shown(path), packed, TRADES)


def workbook(path: Path, data: bytes) -> list[Rows]:
    """Return the sheets of an Excel workbook as rows of text; dates are day numbers as spreadsheets store them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = {one.filename: one for one in archive.infolist()}
            shared: list[str] = []
            sheets = sorted(name for name in inside if name.startswith("xl/worksheets/sheet"))
            _check_members(path, [inside[name] for name in (*sheets, _SHARED) if name in inside])
            if _SHARED in inside:
                shared = _strings(path, io.BytesIO(archive.read(_SHARED)))
            return [_cells(path, io.BytesIO(archive.read(name)), shared) for name in sheets]
    except (
        zipfile.BadZipFile,
        ElementTree.ParseError,
        OSError,
        zlib.error,
        RuntimeError,
        ValueError,
        IndexError,
    ) as error:
        raise Refused(f"{path} is not an Excel workbook that can be read: {error}", "save its sheet as CSV") from error


def _strings(path: Path, file: io.BytesIO) -> list[str]:
    """Return the texts that cells refer to by number."""
    found: list[str] = []
    for _, one in ElementTree.iterparse(file):
        if one.tag == f"{_XML}si":
            found.append("".join(part.text or "" for part in one.iter(f"{_XML}t")))
            bounds.check_table(path, len(found), 1)
            one.clear()
    return found


def _cells(path: Path, sheet: io.BytesIO, shared: Sequence[str]) -> Rows:
    """Read a sheet row by row, so that it is refused once it is too long, and its XML is never whole in memory."""
    rows: Rows = []
    cells = letters = 0
    for _, line in ElementTree.iterparse(sheet):
        if line.tag != f"{_XML}row":
            continue
        row: list[str] = []
        for cell in line.iter(f"{_XML}c"):
            at = _column(cell.get("r") or "", len(row))
            row += [""] * (at - len(row))
            row.append(_value(cell, shared))
        line.clear()
        rows.append(row)
        cells, letters = cells + len(row), letters + sum(map(len, row))
        bounds.check_table(path, max(len(rows), cells * bounds.MOST_ROWS // bounds.MOST_CELLS), 1)
        bounds.check_bytes(path, letters)
    return rows


def _column(reference: str, otherwise: int) -> int:
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = 26 * number + ord(letter) - 64
    return number - 1 if 0 < number <= 16_384 else otherwise


def _value(cell: ElementTree.Element, shared: Sequence[str]) -> str:
    if cell.get("t") == "inlineStr":
        return "".join(part.text or "" for part in cell.iter(f"{_XML}t"))
    value = cell.find(f"{_XML}v")
    text = (value.text or "") if value is not None else ""
    return shared[int(text)] if cell.get("t") == "s" and text else text


class _Tables(HTMLParser):
    """Collects the rows of all tables; hidden cells, as MetaTrader writes them, are skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows = []
        self._cell: list[str] | None = None
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell, self._hidden = [], "hidden" in (dict(attrs).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            if not self._hidden and self.rows:
                self.rows[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def tables(path: Path, text: str) -> Rows:
    """Return the rows of the tables of an HTML page."""
    bounds.check_table(path, max(text.count("<tr"), text.count("<t") // 20), 1)
    found = _Tables()
    found.feed(text)
    found.close()
    return [row for row in found.rows if row]


def frame(path: Path, data: bytes) -> Sheet:
    """Read a Feather or Parquet table as text."""
    try:
        if data.startswith(b"PAR1"):
            file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
            bounds.check_table(path, file.metadata.num_rows, file.metadata.num_columns)
            table = file.read()
        else:
            bounds.check_table(path, *arrow_files.declared(data))
            table = pyarrow.feather.read_table(pa.BufferReader(data))
            table.validate(full=True)
        columns = [one.cast(pa.string()) for one in table.columns]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is not a table that can be read: {str(error).partition(chr(10))[0]}", _AGAIN) from error
    import numpy as np

    numbers = np.arange(1, len(table) + 1, dtype=np.int64)
    if not len(table):
        raise Refused(f"{path} has columns and no trade", "export it again, with closed trades")
    return Sheet(str(path), tuple(table.column_names), tuple(columns), numbers)


def database(path: Path, data: bytes) -> Sheet:
    """Read the table of trades in the SQLite database of a bot, as freqtrade keeps it."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(data)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_SQLITE)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'trades'").fetchone():
            raise sqlite3.DatabaseError("no such table: trades")  # a view could run any query, and never end
        rows = connection.execute("SELECT * FROM trades LIMIT ?", (bounds.MOST_ROWS + 1,))
        names = [one[0] for one in rows.description]
        table: list[list[str | None]] = []
        for row in rows:
            bounds.check_table(path, len(table) + 1, len(names))
            table.append([_word(value) for value in row])
    except sqlite3.Error as error:
        raise Refused(
            f"{path} is a database without a table of trades that can be read: {error}", "export it as CSV"
        ) from error
    finally:
        connection.close()
    if not table:
        raise Refused(f"{path} has no trade in it", "give the database of a bot that traded")
    return Sheet.of(str(path), names, table)
