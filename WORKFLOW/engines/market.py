"""Bars in the form that engines need: prices in ticks, numbered days, and the funding rate of each bar."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, DAY_MS, Bars, Floats

# A level counts as lying on a tick if it misses the tick by at most this much. `price * (1 - stop)` in float64 errs by
# less than 1e-7 of a tick for prices under 1e9 ticks. Rounding without this tolerance missed 1,479 touches in 10,000.
TICK_SNAP = 1e-6


@dataclass(frozen=True, eq=False)
class Market:
    """Price arrays of shape (n,) in ticks: whole numbers held in float64, so every comparison is exact.

    `per_unit` is the number of ticks per unit of currency. Without a tick size, the arrays hold the prices themselves,
    and `per_unit` is 1. `day` numbers UTC days from 1970-01-01. `funding` is the rate due at each bar (0: none), or
    empty if there is no series. `filled` marks bars that pre-flight made. No array holds a NaN.
    """

    time_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    per_unit: float
    has_tick: bool
    day: NDArray[np.int64]
    funding: Floats
    filled: NDArray[np.bool_]

    @classmethod
    def of(cls, bars: Bars, funding: Floats | None = None) -> Self:
        """Return the market that `bars` describe.

        Raises:
            ValueError: there are no bars, a price is NaN, or the bars do not stand on a regular grid. Engines count
                days by bars, so a hole would shift them.
        """
        if len(bars) == 0:
            raise ValueError("no bars: there is nothing to trade on")
        per_unit = 1.0 if bars.tick is None else float(round(1 / bars.tick)) if bars.tick < 1 else 1 / bars.tick

        def ticks(name: str) -> Floats:
            scaled = bars.column(name) * per_unit
            return scaled if bars.tick is None else np.rint(scaled)

        time_ms = np.ascontiguousarray(bars.rows["time_ms"], dtype=np.int64)
        if (np.diff(time_ms) != BAR_MS).any():
            raise ValueError("bars with holes: pre-flight has not seen them")
        for name in ("open", "high", "low", "close"):
            bad = ~np.isfinite(bars.rows[name])
            if bad.any():
                raise ValueError(f"{name} is {bars.rows[name][bad][0]} at bar {np.argmax(bad)}: not from pre-flight")
        return cls(
            time_ms,
            open=ticks("open"),
            high=ticks("high"),
            low=ticks("low"),
            close=ticks("close"),
            per_unit=per_unit,
            has_tick=bars.tick is not None,
            day=time_ms // DAY_MS,
            funding=np.zeros(0) if funding is None else funding,
            filled=np.ascontiguousarray(bars.rows["filled"], dtype=np.bool_),
        )

    def __len__(self) -> int:
        """Number of base bars."""
        return len(self.time_ms)


@dataclass(frozen=True)
class Window:
    """Bars `start` (inclusive) to `stop` (exclusive).

    A window starts without a position; its metrics cover all of it.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        """Raise ValueError for a window without a bar, or a window that begins before the first bar."""
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a window from bar {self.start} to before bar {self.stop} holds no bars")

    def __len__(self) -> int:
        """Number of base bars."""
        return self.stop - self.start
