"""Read text as a table: find its encoding, its separator, its header lines, and the lines to skip."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from config.errors import Refused
from WORKFLOW.data.forms import roles
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.forms.table import Table
from WORKFLOW.data.forms.times import looks_like_moment

HEADLESS = "no header line"
_LEAST_FIELDS = 5  # fields that a row needs: a time and four prices
_LOOKED_AT = 60  # lines within which the first row must come
_HEAD_BYTES = 2_000
_SHOWN = 60  # letters that are shown of a skipped line
_BLANK = "blank"  # stands for any run of spaces and tabs as the separator
_SEPARATORS = (",", ";", "\t", "|", _BLANK)
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NUMBER = re.compile(r"[-+\u2212]?[$€£¥]?\s*\d[\d.,'\u2019\u00a0\u202f ]*([eE][-+]?\d+)?\s*[KMBTkmbt%]?")
_MISSING = {"", "nan", "null", "none", "na", "n/a", "-", "#n/a"}


def read(label: str, data: bytes) -> Table:
    """Return the rows of a text file with every column as text, so that a value that is no number can be named.

    Raises:
        Refused: the file is not text, or a row has more or fewer fields than the others.
    """
    data = decoded(label, data)
    body, fields, separator = lines_of(label, data)
    shape = None if _is_plain(body, fields, separator) else _shape(body)
    if shape is None:
        headless = all(_is_float(field) for field in fields)
        shape = _Shape(separator, (), None if headless else tuple(fields), len(fields), 0)
    return _table(label, body, shape)


def decoded(label: str, data: bytes) -> bytes:
    """Return the data as UTF-8; a byte order mark shows UTF-16 or UTF-32."""
    for mark, name in (*_BOMS, *_without_mark(data)):
        if data.startswith(mark):
            try:
                return data.decode(name).encode()
            except UnicodeDecodeError as error:
                raise Refused(f"{label} is not valid {name.upper()} text", "export it as a plain UTF-8 CSV") from error
    head, line_end, rows = data.partition(b"\n") if not data[:_HEAD_BYTES].isascii() else (b"", b"", b"")
    if head and _is_text(head, "cp1252") and not _is_text(head, "utf-8") and rows.isascii():
        return head.decode("cp1252").encode() + line_end + rows  # column names as Windows writes them in Europe
    return data


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(data: bytes) -> tuple[tuple[bytes, str], ...]:
    """Recognise UTF-16 without a byte order mark: every second byte of plain letters and digits is zero."""
    head = data[:200]
    if head.count(0) <= len(head) // 3:
        return ()
    return ((b"", "utf-16-le"),) if head[1::2].count(0) > head[::2].count(0) else ((b"", "utf-16-be"),)


def lines_of(path: Path | str, data: bytes) -> tuple[bytes, list[str], str]:
    """Return the lines of a CSV, the fields of its first line, and the separator."""
    data = data.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n") + b"\n"
    try:
        data.decode("utf-8")
        first = data[: data.index(b"\n")].decode("utf-8").rstrip("\r")
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


def parse_csv(path: Path | str, data: bytes, delimiter: str, columns: int, skip: int) -> pa.Table:
    """Return all columns as text, so that a value that is no number can be named."""
    names = [str(at) for at in range(columns)]
    ragged: list[str] = []

    def refuse_row(row: pyarrow.csv.InvalidRow) -> str:
        fields = f"{row.actual_columns} fields instead of {row.expected_columns}"
        ragged.append(f"row {row.number - skip:,} has {fields}: {row.text[:80]!r}")
        return "error"

    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(
                use_threads=False, column_names=names, skip_rows=skip
            ),  # with threads, rows lose their number
            pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=refuse_row),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        what = ragged[0] if ragged else str(error)
        raise Refused(f"{path} is not a proper CSV: {what}", "repair that line, or export the file again") from error


# shapes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """The layout of a text: `above` are skipped lines, `names` those of columns (None: no header).

    `skip` is the number of lines above the first row.
    """

    separator: str
    above: tuple[str, ...]
    names: tuple[str, ...] | None
    width: int
    skip: int
    levels: tuple[tuple[str, ...], ...] = ()


def _is_plain(body: bytes, fields: Sequence[str], separator: str) -> bool:
    """Return whether the first line alone gives the layout and the second is a row of it, as in nearly every file."""
    numeric = len(fields) > _LEAST_FIELDS and all(_is_float(field) for field in fields)
    if not numeric and not roles.is_complete(fields):
        return False
    lines = [line for line in _head(body, 40) if line.strip()]
    if len(lines) < 2:
        return True
    second = _split(lines[1], separator)
    if len(second) != len(fields):
        return False
    at = range(1, _LEAST_FIELDS) if numeric else roles.prices_of(fields)
    return all(_is_number_or_missing(second[one]) for one in at)


def _shape(body: bytes) -> _Shape | None:
    """Find the layout from the first row: lines above it with as many fields are its header, and earlier lines are not.

    Returns None if no line looks like a row.
    """
    lines = _head(body, _LOOKED_AT)
    for at, line in enumerate(lines):
        separator = next((one for one in _SEPARATORS if _is_row(_split(line, one))), None)
        if separator is not None and _confirmed(lines[at + 1 :], separator, len(_split(line, separator))):
            return _around(lines, at, separator)
    return None


def _confirmed(below: Sequence[str], separator: str, width: int) -> bool:
    """Return whether the row below is of the same kind; other text may contain a single line of numbers, too."""
    nearest = next((line for line in below if line.strip()), None)
    return nearest is None or len(_split(nearest, separator)) == width or roles.is_complete(_split(nearest, separator))


def _around(lines: Sequence[str], at: int, separator: str) -> _Shape:
    row = _split(lines[at], separator)
    width = len(row)
    head: list[list[str]] = []
    top = at
    while top > 0:
        above = _split(lines[top - 1], separator)
        if not lines[top - 1].strip() and not head:
            top -= 1
            continue
        fitted = _fitted(above, row)
        if fitted is None or _is_comment(lines[top - 1]):
            break
        head.insert(0, fitted)
        top -= 1
    passed = tuple(line for line in lines[:top] if line.strip())
    if not head:
        return _Shape(separator, passed, None, width, at)
    levels = tuple(tuple(one) for one in head) if len(head) > 1 else ()
    return _Shape(separator, passed, tuple(head[-1]), width, at, levels)


def _fitted(above: list[str], row: list[str]) -> list[str] | None:
    """Return a header line with a name for every field of the row, or None if the line is no header."""
    missing = len(row) - len(above)
    if missing == 0:
        return above
    if missing == -1 and not above[-1].strip():
        return above[:-1]
    if missing != 1 or len(above) < _LEAST_FIELDS - 1:
        return None
    if not row[-1].strip():
        return [*above, ""]  # every row ends with a separator
    if roles.names_a_time(above[0]) and looks_like_moment(row[0]) and ":" in row[1]:
        return ["date", "time", *above[1:]]  # if blanks separate fields, a moment takes two of them
    return ["", *above] if looks_like_moment(row[0]) else None  # the index has no name


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", "//")) or line.lower().startswith("sep=")


def _is_row(fields: Sequence[str]) -> bool:
    """Return whether a line is a row: at least four numbers, and one field that tells the time."""
    if len(fields) < _LEAST_FIELDS:
        return False
    numbers = sum(bool(_NUMBER.fullmatch(field.strip())) for field in fields)
    return numbers >= _LEAST_FIELDS - 1 and any(map(looks_like_moment, (*fields[:4], *fields[-2:])))


def _split(line: str, separator: str) -> list[str]:
    if separator == _BLANK:
        return line.split()
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _head(body: bytes, lines: int) -> list[str]:
    """Return the first lines, as far as they are whole."""
    found = body[:65_536].decode("utf-8", "replace").split("\n")
    return [line.rstrip("\r") for line in (found[:-1] or found)[:lines]]


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_number_or_missing(text: str) -> bool:
    return text.strip().lower() in _MISSING or _is_float(text) or bool(_NUMBER.fullmatch(text.strip()))


# the table ------------------------------------------------------------------------------------------------------------


def _table(label: str, body: bytes, shape: _Shape) -> Table:
    separator = shape.separator
    if separator == _BLANK:
        body, separator = _single_blanks(body), " "
    skip = shape.skip or (0 if shape.names is None else 1)
    repeated = 0
    if shape.names is not None:
        body, repeated = _without_repeated(body, skip)
    table = parse_csv(label, body, separator, shape.width, skip)
    notes = [*_passed_over(shape.above)]
    if repeated:
        notes.append(f"the header is repeated in {_lines(repeated)} inside the file, which are skipped")
    how = HEADLESS if shape.names is None else ""
    return Table(shape.names, shape.width, table.column, how, False, tuple(notes), shape.separator, shape.levels)


def _without_repeated(body: bytes, skip: int) -> tuple[bytes, int]:
    """Remove lines that repeat the header (the last of `skip` lines), as joined files have them; return their count."""
    start = 0
    for _ in range(skip - 1):
        start = body.index(b"\n", start) + 1
    end = body.index(b"\n", start)
    line = b"\n" + body[start:end] + b"\n"
    # The header's first letter occurs in no row of numbers, so a search for that letter is a quick test.
    if len(line) < _LEAST_FIELDS or body.find(line[1:2], end) < 0 or body.find(line, end) < 0:
        return body, 0
    head, rows = body[:end], body[end:]
    count = rows.count(line)
    while line in rows:
        rows = rows.replace(line, b"\n")
    return head + rows, count


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"


def _single_blanks(body: bytes) -> bytes:
    return re.sub(rb"[ \t]+", b" ", re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", body))


def _passed_over(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    said = ", ".join(repr(shown(line.strip()[:_SHOWN])) for line in lines[:3]) + (", …" if len(lines) > 3 else "")
    return [f"{_lines(len(lines))} above the table skipped: {said}"]


def filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text without blanks around it, with empty text for missing values."""
    return pc.fill_null(pc.utf8_trim_whitespace(column.cast(pa.string())), "")
