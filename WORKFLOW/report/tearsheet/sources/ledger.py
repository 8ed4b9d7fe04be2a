"""The output of a source: the fields of its trades as text, and what the source knows about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from WORKFLOW.report.tearsheet.sources.sheet import Indices, Sheet, Text, listed

# docs/guides/TEARSHEET_GENERATION.md says what each field holds. A cost is a separate field beside `pnl`.
NUMBERS = ("pnl", "pct", "entry_price", "exit_price", "mae", "mfe", "cost_1", "cost_2", "cost_3", "cost_4", "cost_5")
AS_WRITTEN, AGAINST = 1, -1  # signs of costs: -0.70 is added as written, and 0.70 is subtracted


@dataclass(frozen=True)
class Column:
    """A column, with the name that the file has for it."""

    name: str
    text: Text


@dataclass(frozen=True)
class Capital:
    """The capital with which the trades began, and how it is known."""

    amount: float
    words: str


@dataclass(frozen=True)
class Hints:
    """What the user said about a file, for sources that leave something open; None means that the user said nothing.

    `called` is the name typed for the trades. `decimal` is the decimal mark. `date_format` is a pattern of `strptime`.
    `timezone` is for times without one. `columns` are the names of the columns, in their order.
    """

    called: str = ""
    decimal: str | None = None
    date_format: str | None = None
    timezone: str | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TradeTable:
    """Trades (n,) of one file as text; `rows` holds the row number of each trade, for messages."""

    path: str
    columns: Mapping[str, Column]
    rows: Indices
    costs: Mapping[str, int] = field(default_factory=dict)  # field → AS_WRITTEN or AGAINST
    is_percent: bool | None = None  # whether the pct column is percent, if the source always writes it one way
    excursions_in_percent: bool = False
    capital: Capital | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of all columns of the file, whether they are read or not

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        """Return the number of trades."""
        return len(self.rows)

    def name(self, name: str) -> str:
        """Return the file's name for a field."""
        return self.columns[name].name

    def text(self, name: str) -> Text:
        """Return a field without spaces around its values."""
        return pc.utf8_trim_whitespace(self.columns[name].text)

    def words(self, name: str) -> list[str]:
        """Return a field as plain strings; a missing value is ''."""
        return [word or "" for word in self.text(name).to_pylist()]

    def where(self, at: int) -> str:
        """Return the place of trade `at`, for messages."""
        return f"row {self.rows[at]:,} of {self.path}"

    def taken(self, chosen: Indices) -> Self:
        """Return only the chosen trades."""
        at = pa.array(chosen)
        columns = {name: Column(one.name, one.text.take(at)) for name, one in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[chosen])


def of_sheet(sheet: Sheet, position: Mapping[str, int], unused: bool = True) -> TradeTable:
    """Return the fields by their columns; with `unused`, a note says which columns are not read."""
    columns = {name: Column(sheet.names[at], sheet.columns[at]) for name, at in position.items()}
    left = [name for at, name in enumerate(sheet.names) if name and name != "-" and at not in set(position.values())]
    notes = (f"columns not used: {listed(left)}",) if left and unused else ()
    again = sheet.repeated()
    if again:
        many = "1 row repeats" if again == 1 else f"{again:,} rows repeat"
        notes = (f"{many} an earlier one in every column: each counts as a trade", *notes)
    return TradeTable(sheet.path, columns, sheet.rows, notes=(*sheet.notes, *notes), names=sheet.names)


def numbers_as_text(values: list[float]) -> Text:
    """Return numbers that a source computed as text, like all other fields."""
    return pa.chunked_array([pa.array([repr(float(value)) for value in values], pa.string())])


def moments_as_text(values: list[int]) -> Text:
    """Return epoch milliseconds as text."""
    return pa.chunked_array([pa.array([str(np.datetime64(value, "ms")) + "Z" for value in values], pa.string())])
