"""Checked bars: the one form in which market data travels through the work plane."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.ticks import infer_tick

BASE_MINUTES = 5
BAR_MS = BASE_MINUTES * 60_000
DAY_MS = 86_400_000
BARS_PER_DAY = DAY_MS // BAR_MS

ROW = np.dtype(
    [
        ("time_ms", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
        ("filled", "?"),
    ]
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Minutes:
    """The 1-minute bars of n 5-minute bars.

    `ohlc`: float64 (n, 5, 4), the minutes of each bar in order, each with open, high, low, close in quote currency; NaN
    where a minute is missing, duplicated or impossible. `fits`: bool (n,), whether all five minutes are there and make
    that very bar: first open, highest high, lowest low and last close, each within a tick. Minutes that do not fit
    belong to another market or are shifted in time, so nothing is concluded from them.
    """

    source: str
    ohlc: Floats
    fits: NDArray[np.bool_]

    @property
    def covers(self) -> NDArray[np.bool_]:
        """Booleans (n,): whether all five minutes are there, whether or not they make the bar."""
        return np.asarray(np.isfinite(self.ohlc).all(axis=(1, 2)), dtype=np.bool_)

    @cached_property
    def sha256(self) -> str:
        """The hash of everything that results can depend on."""
        return hashlib.sha256(self.ohlc.tobytes() + self.fits.tobytes()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the record for the manifest."""
        return {"source": self.source, "sha256": self.sha256, "fitting_bars": int(self.fits.sum())}


@dataclass(frozen=True)
class Bars:
    """5-minute bars on a strictly regular grid, oldest first, without NaN, as pre-flight leaves them.

    `rows` has dtype `ROW`. `time_ms` is the bar's OPEN in epoch milliseconds UTC. Prices are in quote currency, and
    volume is in base currency. `filled` marks bars that pre-flight made to close a hole. `tick` is the smallest price
    step (a power of ten), or None if prices follow none. `synthetic` bars were generated and can never be promoted.
    `minutes` are the 1-minute bars that the bars are made of, if there are any.
    """

    symbol: str
    rows: NDArray[np.void]
    tick: float | None
    synthetic: bool
    source: str
    minutes: Minutes | None = None

    def __len__(self) -> int:
        """Number of base bars."""
        return len(self.rows)

    @property
    def days(self) -> float:
        """Calendar days from the first open to the last close."""
        return len(self.rows) / BARS_PER_DAY

    def column(self, name: str) -> Floats:
        """Return one column as a contiguous float64 array."""
        return np.ascontiguousarray(self.rows[name], dtype=np.float64)

    def before(self, end: int) -> "Bars":
        """Return the first `end` bars without minutes: what is known at the open of bar `end`, with its tick size."""
        rows = self.rows[:end]
        prices = np.concatenate([rows[name] for name in ("open", "high", "low", "close")])
        return Bars(self.symbol, rows, infer_tick(prices), self.synthetic, self.source)

    @cached_property
    def sha256(self) -> str:
        """The hash of the rows themselves, so that a CSV and a Parquet file of the same bars count as the same data."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).tobytes()).hexdigest()
