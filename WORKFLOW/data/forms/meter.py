"""What reading the files of one market may take: rows, bytes and seconds by the settings, and the memory that is free.

Checked while a file is read, before the memory is taken: what is no file of bars ends in a sentence, and never in a
process that the kernel ends.
"""

import time
from collections.abc import Callable

from config.bounds import Bounds
from config.errors import Refused
from config.settings import ReadingSettings
from WORKFLOW.room import free_bytes

_SMALL = 64 << 20  # bytes that any machine has: nobody is asked for so few
_TEXT = 3  # times the size of a text: its bytes, its fields, its numbers
AS_OBJECTS = 8  # times the size of JSON: every value is an object of its own
_SEPARATE = "keep the years and columns that you need in a file of its own"


def bounds_of(settings: ReadingSettings) -> Bounds:
    """The settings as whoever reads a file takes them."""
    return Bounds(settings.max_rows, settings.max_file_mb, settings.max_read_s)


class Meter:
    """Counts what the files of one market took so far. `free` says how many bytes of memory are left; None: unknown."""

    def __init__(self, bounds: Bounds, free: Callable[[], int | None] = free_bytes) -> None:
        self._bounds, self._free = bounds, free
        self._rows = self._bytes = 0
        self._until_s = time.monotonic() + bounds.seconds

    def look(self, label: str, size: int) -> None:
        """Refuse a file of `size` bytes so far, plain or unpacked: too many, too large for the memory, or too late."""
        if size > self.bytes_left:
            most = f"{self._bounds.megabytes:,} MB are the most that is read of one market"
            raise Refused(f"{label} holds {size:,} bytes or more, and {most}", _or_set("max_file_mb"))
        self.memory(label, _TEXT * size)
        self.time(label)

    @property
    def bytes_left(self) -> int:
        """How many more may be unpacked."""
        return self._bounds.megabytes * 1_000_000 - self._bytes

    def took(self, label: str, size: int, times: int = _TEXT) -> None:
        """Count a file that was read or unpacked whole; reading on takes so many `times` its size of memory."""
        self.look(label, size)
        self.memory(label, times * size)
        self._bytes += size

    def rows(self, label: str, more: int, width: int = 0) -> None:
        """Count rows, of `width` columns where 8 bytes are taken for each value; errors as for `look`."""
        self._rows += more
        if self._rows > self._bounds.rows:
            most = f"{self._bounds.rows:,} are the most that are read (5-minute bars have 105,120 a year)"
            raise Refused(f"{label} has {more:,} rows, and {most}", _or_set("max_rows"))
        self.look(label, 8 * more * width)

    def memory(self, label: str, needed: int) -> None:
        """Refuse what takes more memory than is free; small files are never asked for it."""
        free = self._free() if needed > _SMALL else None
        if free is not None and needed > free:
            what = (
                f"reading {label} takes about {needed // 1_000_000:,} MB of memory, and {free // 1_000_000:,} are free"
            )
            raise Refused(what, f"{_SEPARATE}, or give this process more memory (ulimit -v, the container's limit)")

    def time(self, label: str) -> None:
        """Refuse what takes too long."""
        if time.monotonic() > self._until_s:
            raise Refused(f"{label} was not read within {self._bounds.seconds:,} seconds", _or_set("max_read_s"))


def _or_set(name: str) -> str:
    variable = f"BACKTEST_OPTIMIZE__READING__{name.upper()}"
    return f"{_SEPARATE}, or raise the setting reading.{name} ({variable}=N)"
