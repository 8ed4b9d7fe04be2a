"""A table as it was found in a file, before anybody has judged it, and how its moments are written for people."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats

VALUES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class RawTable:
    """Rows in the order of the file; a missing number is NaN, nothing else was touched.

    `time_ms` (int64) is epoch milliseconds UTC; the other columns are float64 of the same length. `has_volume` is False
    when the file has no volume column (then `volume` holds zeros). `notes` are what the loader had to assume.
    `in_file` (int64) are the 1-based numbers of the rows among their file's data rows, None where those are 1, 2, 3, …
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
        """What each row (int64[rows]) is called in messages: its number in its file, from 1 on."""
        return np.arange(1, len(self) + 1, dtype=np.int64) if self.in_file is None else self.in_file

    @classmethod
    def of(cls, symbol: str, source: str, rows: NDArray[np.void]) -> "RawTable":
        """Copies of the columns of `ROW`s (which may lack bars), as if a file had held them."""
        o, h, l, c, v = (np.array(rows[name], dtype=np.float64) for name in VALUES)
        return cls(symbol, source, np.array(rows["time_ms"], dtype=np.int64), o, h, l, c, v)

    def only(self, chosen: NDArray[np.bool_]) -> "RawTable":
        """The rows where the mask `chosen` (bool[rows]) is True, in the same order."""
        columns = {name: getattr(self, name)[chosen] for name in ("time_ms", *VALUES)}
        return replace(self, **columns, in_file=None if self.in_file is None else self.in_file[chosen])


def utc(time_ms: int) -> str:
    """`2023-03-24 12:40 UTC`; seconds and milliseconds only where there are any."""
    text = str(np.datetime64(int(time_ms), "ms")).replace("T", " ")
    return f"{text.removesuffix('.000').removesuffix(':00')} UTC"


def row_name(number: int, time_ms: int) -> str:
    """How a row is called in every message: its 1-based number among the data rows, and its moment."""
    return f"row {number:,} ({utc(time_ms)})"
