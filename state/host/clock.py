"""Time as a value that is passed in, so that nothing has to wait for it."""

import time
from datetime import UTC, datetime
from typing import Protocol

from config.record import dataclass


class Clock(Protocol):
    """Wall time for people, monotonic time for ages."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""

    def monotonic_s(self) -> float:
        """Seconds that only ever grow; comparable within one boot."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC to the millisecond: `2026-01-31T23:59:59.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
