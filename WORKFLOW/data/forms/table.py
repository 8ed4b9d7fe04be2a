"""A table of columns as a file has them, before their meaning is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa


@dataclass(frozen=True)
class Table:
    """`names` is in file order, or None if the file has none; `how` then says in what form the table came.

    `column(at)` returns one column; `separator` is the character between two fields of text.
    """

    names: tuple[str, ...] | None
    width: int
    column: Callable[[int], pa.ChunkedArray]
    how: str = ""
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    separator: str = ","
    levels: tuple[tuple[str, ...], ...] = ()  # all header lines, if there are several

    def named(self, names: tuple[str, ...]) -> "Table":
        """Return the same columns under other names."""
        return replace(self, names=names)

    def noted(self, *notes: str) -> "Table":
        """Return the same table with more notes."""
        return replace(self, notes=(*self.notes, *notes))
