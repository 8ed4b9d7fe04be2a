"""A table of text as a file holds it, before the meaning of its columns is known."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.errors import Refused
from WORKFLOW.data.load import parse_csv
from WORKFLOW.report.tearsheet.sources import bounds

Text: TypeAlias = pa.ChunkedArray  # an array of strings
Indices = NDArray[np.int64]

HEADER_WITHIN = 200  # lines; reports of MetaTrader begin with their settings
_VALUE = re.compile(r"^[(\[$€£+−-]*\s*\d[\d\s.,:/TZ+%)-]*$")  # a number or a moment, which is no name of a column
_NAME_SHOWN = 40  # letters of a column's name; in a file that is no CSV, a name may have thousands


@dataclass(frozen=True)
class Sheet:
    """Rows of text (n,) below a header; `rows` holds the number of each row in the file, from 1 below the header."""

    path: str
    names: tuple[str, ...]
    columns: tuple[Text, ...]
    rows: Indices
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @classmethod
    def of(cls, path: str, names: Sequence[str], rows: Sequence[Sequence[str | None]], *notes: str) -> Self:
        """Build a sheet from rows that are lists; missing values at the end of a row become None."""
        columns = ([row[at] if at < len(row) else None for row in rows] for at in range(len(names)))
        numbers = np.arange(1, len(rows) + 1, dtype=np.int64)
        return cls(path, tuple(names), tuple(as_text(column) for column in columns), numbers, notes)

    @property
    def plain(self) -> tuple[str, ...]:
        """The names in lower case, with _ between words."""
        return tuple(plain_name(name) for name in self.names)

    def position(self, *aliases: str) -> int | None:
        """Return the position of the first alias that the sheet has, in the order of preference.

        Raises:
            Refused: two columns have that name.
        """
        plain = self.plain
        found = next((alias for alias in aliases if alias in plain), None)
        if found is None:
            return None
        if plain.count(found) > 1:
            raise Refused(
                f"{self.path} has {plain.count(found)} columns called {found!r}",
                "give them names that differ, or keep one of them",
            )
        return plain.index(found)

    def words(self, at: int) -> list[str]:
        """Return a column as plain strings without spaces around them; a missing value is ''."""
        return [word or "" for word in pc.utf8_trim_whitespace(self.columns[at]).to_pylist()]

    def taken(self, chosen: Sequence[int] | Indices) -> Self:
        """Return only the chosen rows, in the chosen order."""
        at = np.asarray(chosen, dtype=np.int64)
        return replace(self, columns=tuple(one.take(pa.array(at)) for one in self.columns), rows=self.rows[at])

    def repeated(self) -> int:
        """Return how many rows equal an earlier row in every column."""
        table = pa.table({str(at): one for at, one in enumerate(self.columns)})
        return len(self) - len(table.group_by(table.column_names, use_threads=False).aggregate([]))


def as_text(values: Iterable[str | None]) -> Text:
    """Return a column of strings."""
    return pa.chunked_array([pa.array(list(values), pa.string())])


def plain_name(name: str) -> str:
    """Return a plain form of a name: `Avg. Entry-Price` gives `avg_entry_price`, and `<DATE>` gives `date`."""
    bare = name.strip().strip("<>").lower()
    return "_".join(bare.replace(".", " ").replace("-", " ").replace("_", " ").split())


def listed(names: Sequence[str]) -> str:
    """List names for a message."""
    shown = ", ".join(repr(name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…") for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "none"


def shown(word: str) -> str:
    """Return a word of the file for a message; control characters, which a terminal would obey, are spelled out."""
    return word if word.isprintable() else repr(word)


def of_csv(path: Path, text: str, known: Callable[[Sequence[str]], bool], columns: Sequence[str] | None) -> Sheet:
    """Return the table of a CSV; a header that is `known` may stand below other lines, as in reports.

    `columns` are the names that the user gave, in the order of the columns.

    Raises:
        Refused: there is no text, no header or no row; rows have different lengths; or the number of `columns` is
            wrong.
    """
    bounds.check_text(path, text)
    text = text.strip("\r\n") + "\n"
    first = text.split("\n", 1)[0].rstrip("\r")
    if not text.strip():
        raise Refused(f"{path} holds no text", "give a CSV with a header line and rows")
    delimiter = max(",;\t|", key=first.count)
    fields = _fields(path, first, delimiter)
    bounds.check_table(path, text.count("\n"), len(fields))
    if columns is None and not known(fields) and (below := _report(path, text, known)) is not None:
        return below
    headless = any(_VALUE.match(field.strip()) for field in fields)
    if headless and columns is None:
        raise Refused(
            f"{path} has no header line: its first line is {listed(fields)}",
            f"say what its {len(fields)} columns hold, such as --columns {_example(len(fields))}",
        )
    if columns is not None and len(columns) != len(fields):
        raise Refused(
            f"--columns names {len(columns)} columns and {path} has {len(fields)}: {listed(fields)}",
            f"give {len(fields)} names, with - for a column that is not to be read",
        )
    skip = 0 if headless else 1
    table = parse_csv(path, text.encode(), delimiter, len(fields), skip=skip)
    names = tuple(field.strip() for field in fields) if columns is None else tuple(columns)
    if not len(table):
        raise Refused(f"{path} has a header line and no trade", "export it again, with closed trades")
    return Sheet(str(path), names, tuple(table.columns), np.arange(1, len(table) + 1, dtype=np.int64))


def _fields(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise Refused(f"the first line of {path} is not CSV: {error}", "end every line with a newline") from error


def _example(count: int) -> str:
    return ",".join(["exit_time", "pnl", *(["-"] * (count - 2))][:count])


def _report(path: Path, text: str, known: Callable[[Sequence[str]], bool]) -> Sheet | None:
    """Return the first table in a report whose header is known; it ends at a line that is no row of it."""
    for delimiter in ",;\t":
        try:
            lines = list(islice(csv.reader(io.StringIO(text), delimiter=delimiter), HEADER_WITHIN))
            at = next((at for at, row in enumerate(lines) if len(row) > 1 and known(row)), None)
            if at is not None:
                rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
                return of_rows(str(path), rows, at)
        except csv.Error:
            continue
    return None


def of_rows(path: str, rows: Sequence[Sequence[str]], header: int) -> Sheet:
    """Return the table below the header in row `header` (from 0), up to an empty line or the next table's title."""
    names = [name.strip() for name in rows[header]]
    while names and not names[-1]:
        names.pop()
    body = []
    for row in rows[header + 1 :]:
        if sum(bool(cell.strip()) for cell in row) < 2:
            break
        body.append([cell.strip() or None for cell in row[: len(names)]])
    if not body:
        raise Refused(f"{path} has a header line and no trade", "export it again, with closed trades")
    note = f"{header:,} lines above the header are skipped" if header else ""
    return Sheet.of(path, names, body, *([note] if note else []))
