"""1-minute bars and the 5-minute bars they make, so that what happened inside a bar is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather

from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.minutes import MINUTE_MS
from WORKFLOW.data.raw import RawTable


def minute_walk(random: np.random.Generator, bars: int, start: int = 1_000, gaps: float = 0.1) -> np.ndarray:
    """Minutes (bars · 5, 4) in whole ticks; coarse, so that levels lie on prices; some open with a gap."""
    n = bars * 5
    close = np.maximum(start + np.cumsum(np.rint(random.normal(0, 2, n))), 50)
    open_ = np.concatenate([[start], close[:-1]])
    open_ = np.maximum(open_ + np.where(random.random(n) < gaps, np.rint(random.normal(0, 6, n)), 0), 50)
    up, down = random.integers(0, 6, (2, n))
    return np.column_stack([open_, np.maximum(open_, close) + up, np.minimum(open_, close) - down, close])


def aggregated(minutes: np.ndarray) -> np.ndarray:
    """The 5-minute bars (n, 4) of minutes (n · 5, 4)."""
    m = minutes.reshape(-1, 5, 4)
    return np.column_stack([m[:, 0, 0], m[:, :, 1].max(axis=1), m[:, :, 2].min(axis=1), m[:, -1, 3]])


def raw_of(minutes: np.ndarray, start_ms: int = T0) -> RawTable:
    time_ms = start_ms + np.arange(len(minutes), dtype=np.int64) * MINUTE_MS
    return RawTable("TEST", "a test", time_ms, *minutes.T.copy(), np.ones(len(minutes)))


def bars_from(minutes: np.ndarray, tick: float | None = 1.0) -> Bars:
    return bars_of(aggregated(minutes), tick)


def write_feather(path: Path, prices: np.ndarray, step_minutes: int, start_ms: int = T0) -> Path:
    stamps = start_ms + np.arange(len(prices), dtype=np.int64) * step_minutes * MINUTE_MS
    names = ("open", "high", "low", "close")
    table = {"date": stamps, **dict(zip(names, prices.T, strict=True)), "volume": np.ones(len(prices))}
    pyarrow.feather.write_feather(pa.table(table), str(path))
    return path
