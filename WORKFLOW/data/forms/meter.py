"""Limit what reading the files of one market may take: rows, bytes and seconds by the settings, and the free memory.

The limits are checked while a file is read, before memory is allocated. So a file that holds no bars ends in a message,
and never in a process that the kernel kills.
"""

import time
from collections.abc import Callable

from config.bounds import Bounds
from config.errors import Refused
from config.settings import ReadingSettings
from WORKFLOW.room import free_bytes

_SMALL = 64 << 20  # bytes that every machine has; for less, the free memory is not checked
_TEXT = 3  # memory for a text, as a multiple of its size: its bytes, its fields, its numbers
AS_OBJECTS = 8  # memory for JSON, as a multiple of its size, because every value is an object of its own
_SEPARATE = "keep the years and columns that you need in a file of its own"


def bounds_of(settings: ReadingSettings) -> Bounds:
    """Return the settings in the form that readers of files take."""
    return Bounds(settings.max_rows, settings.max_file_mb, settings.max_read_s)


class Meter:
    """Counts what the files of one market have taken so far. `free` returns the bytes of free memory; None: unknown."""

    def __init__(self, bounds: Bounds, free: Callable[[], int | None] = free_bytes) -> None:
        self._bounds, self._free = bounds, free
        self._rows = self._bytes = 0
        self._until_s = time.monotonic() + bounds.seconds

    def look(self, label: str, size: int) -> None:
        """Refuse a file if its `size` bytes so far, plain or unpacked, exceed a limit, or if time is up."""
        if size > self.bytes_left:
            most = f"{self._bounds.megabytes:,} MB are the most that is read of one market"
            raise Refused(f"{label} holds {size:,} bytes or more, and {most}", _or_set("max_file_mb"))
        self.memory(label, _TEXT * size)
        self.time(label)

    @property
    def bytes_left(self) -> int:
        """How many more bytes may be read or unpacked."""
        return self._bounds.megabytes * 1_000_000 - self._bytes

    def took(self, label: str, size: int, times: int = _TEXT) -> None:
        """Count a file that was read or unpacked whole; reading it further takes `times` its size of memory."""
        self.look(label, size)
        self.memory(label, times * size)
        self._bytes += size

    def rows(self, label: str, more: int, width: int = 0) -> None:
        """Count rows; each of their `width` columns takes 8 bytes per value. The errors are those of `look`."""
        self._rows += more
        if self._rows > self._bounds.rows:
            most = f"{self._bounds.rows:,} are the most that are read (5-minute bars have 105,120 a year)"
            raise Refused(f"{label} has {more:,} rows, and {most}", _or_set("max_rows"))
        self.look(label, 8 * more * width)

    def memory(self, label: str, needed: int) -> None:
        """Refuse what takes more memory than is free; for small files the free memory is not checked."""
        free = self._free() if needed > _SMALL else None
        if free is not None and needed > free:
            what = (
                f"reading {label} takes about {needed // 1_000_000:,} MB of memory, and {free // 1_000_000:,} are free"
            )
            raise Refused(what, f"{_SEPARATE}, or give this process more memory (ulimit -v, the container's limit)")

    def time(self, label: str) -> None:
        """Refuse a file that takes too long to read."""
        if time.monotonic() > self._until_s:
            raise Refused(f"{label} was not read within {self._bounds.seconds:,} seconds", _or_set("max_read_s"))


def _or_set(name: str) -> str:
    variable = f"BACKTEST_OPTIMIZE__READING__{name.upper()}"
    return f"{_SEPARATE}, or raise the setting reading.{name} ({variable}=N)"
