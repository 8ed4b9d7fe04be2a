"""Time as a value that is passed in, so that tests need not wait."""

import time
from datetime import UTC, datetime
from typing import Protocol

from config.record import dataclass


class Clock(Protocol):
    """Wall time for people, monotonic time for ages."""

    def now(self) -> datetime:
        """Return the wall time as an aware datetime in UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back and can be compared within one boot."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the system's wall time in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the system's monotonic time in seconds; it stands still while the machine sleeps."""
        return time.monotonic()


def stamp(moment: datetime) -> str:
    """Return the time as ISO 8601 in UTC with milliseconds: `2026-01-31T23:59:59.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
