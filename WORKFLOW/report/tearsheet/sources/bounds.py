"""Limits for a file of trades: a file that is too large is refused before the memory is full, whatever it declares."""

from collections.abc import Sequence

from config.errors import Refused
from WORKFLOW.data.forms.shown import shown

MOST_BYTES = 1 << 30  # of a file, plain or unpacked; a list of trades takes a thousandth of it
MOST_ROWS = 2_000_000  # one trade every five minutes for 19 years
MOST_CELLS = 40_000_000  # so many trades with 20 columns
_ALONE = "give a list of trades alone"


def check_bytes(path: object, size: int) -> None:
    """Refuse more bytes than trades could take."""
    if size > MOST_BYTES:
        raise Refused(f"{shown(path)} holds more than {MOST_BYTES >> 30} GiB", _ALONE)


def check_table(path: object, rows: int, width: int) -> None:
    """Refuse a table with more rows or cells than trades could have."""
    if rows > MOST_ROWS:
        raise Refused(f"{shown(path)} has more than {MOST_ROWS:,} rows", f"{_ALONE}, or fewer of them")
    if rows * width > MOST_CELLS:
        raise Refused(f"{shown(path)} has {rows:,} rows of {width:,} columns", "export their own columns alone")


def check_text(path: object, text: str, marks: Sequence[str] = ("\n",)) -> None:
    """Refuse a text with more rows than trades could have, counted by marks that every row must contain."""
    check_table(path, sum(text.count(mark) for mark in marks), 1)


def check_json(path: object, text: str) -> None:
    """Refuse JSON with more values than trades could have; each value becomes an object many times its text's size."""
    check_table(path, (text.count("{") + text.count("[")) // 2, 1)
    if text.count(",") > MOST_CELLS:
        raise Refused(f"{shown(path)} holds more than {MOST_CELLS:,} values", _ALONE)
