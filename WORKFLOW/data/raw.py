"""A table as it was found in a file, before any check, and the form in which messages write its moments."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats

VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class RawTable:
    """Rows in the order of the file. A missing number is NaN, and nothing else was changed.

    `time_ms` (int64) is in epoch milliseconds UTC; the other columns are float64 of the same length. `has_volume` is
    False if the file has no volume column, and `volume` then holds zeros. `notes` say what the loader had to assume.
    `in_file` (int64) holds the 1-based numbers of the rows among their file's data rows; None means 1, 2, 3, …
    """

    symbol: str
    source: str
    time_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    has_volume: bool = True
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    in_file: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.time_ms)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each row (int64[rows]) in messages: its number in its file, from 1 on."""
        return np.arange(1, len(self) + 1, dtype=np.int64) if self.in_file is None else self.in_file

    @classmethod
    def of(cls, symbol: str, source: str, rows: NDArray[np.void]) -> "RawTable":
        """Build a table from `ROW`s, of which some bars may be missing, as if a file had held them.

        Columns are copied.
        """
        o, h, l, c, v = (np.array(rows[name], dtype=np.float64) for name in VALUES)
        return cls(symbol, source, np.array(rows["time_ms"], dtype=np.int64), o, h, l, c, v)

    def only(self, chosen: NDArray[np.bool_]) -> "RawTable":
        """Return the rows where the mask `chosen` (bool[rows]) is True, in the same order."""
        columns = {name: getattr(self, name)[chosen] for name in ("time_ms", *VALUES)}
        return replace(self, **columns, in_file=None if self.in_file is None else self.in_file[chosen])


def utc(time_ms: int) -> str:
    """Format a moment as `2023-03-24 12:40 UTC`, with seconds and milliseconds only if there are any."""
    text = str(np.datetime64(int(time_ms), "ms")).replace("T", " ")
    return f"{text.removesuffix('.000').removesuffix(':00')} UTC"


def row_name(number: int, time_ms: int) -> str:
    """Return the name of a row in every message: its 1-based number among the data rows, and its moment."""
    return f"row {number:,} ({utc(time_ms)})"
