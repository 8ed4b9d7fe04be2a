"""Generate demo bars: made up, labelled as such everywhere, and as unpleasant as real ones.

With demo bars, a first run needs no download, and tests meet what markets do: regimes of trend and volatility, fat
tails, gaps, ties, and an exchange halt with missing bars. An edge found on them means nothing.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from state.files import snapshot
from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, ROW, Floats

DEMO_SYMBOL = "SYNTHETIC"
DEMO_FILE = "SYNTHETIC_5m.parquet"
DEMO_DAYS = 730
DEMO_SEED = 7
GENERATOR_VERSION = "1"  # must change whenever the bytes below change, so that older files are written again
END_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC; fixed, so that the bytes do not depend on the date of the run

TICKS_PER_UNIT = 100  # tick 0.01
START_PRICE = 100.0
SIGMA = 0.0016  # standard deviation of a 5-minute log return; 2.7 % a day

# Regimes: quiet, rising, falling, wild. Each has a mean length in bars, a volatility as a multiple of SIGMA, and a
# drift per bar.
REGIME_BARS = np.array([864.0, 576.0, 576.0, 144.0])
REGIME_VOLATILITY = np.array([0.5, 1.0, 1.1, 2.5])
REGIME_DRIFT = np.array([0.0, 1e-4, -1e-4, 0.0])
QUIET = 0

# Like the halt of 2023-03-24 in real SOL and BTC files: trading stops, and then the exchange sends nothing at all.
HALT_FLAT_BARS = 14
HALT_MISSING_BARS = 16
HALT_AT = 0.3  # fraction of the bars


def demo_rows(days: int = DEMO_DAYS, seed: int = DEMO_SEED) -> NDArray[np.void]:
    """Return `ROW`s of `days` days that end at 2025-01-01; the same seed gives the same rows. No row is `filled`.

    From two days on, 16 rows are missing after a halt, so there are days × 288 − 16 rows.
    """
    bars = days * BARS_PER_DAY
    draw = np.random.Generator(np.random.PCG64(seed))
    regime = _regimes(bars, draw)
    day_shape = _day_shape(bars)
    sigma = SIGMA * REGIME_VOLATILITY[regime] * day_shape * _volatility_clusters(bars, draw)
    still = draw.random(bars) < np.where(regime == QUIET, 0.03, 0.002)
    halt = _halt(bars, days)
    still[halt] = True
    move = _moves(sigma, regime, days, draw)
    gap = np.where(draw.random(bars) < 0.25, 0.2 * sigma * draw.standard_normal(bars), 0.0)
    move[still] = gap[still] = 0.0
    rows = _prices(move, gap, *(_wicks(sigma, still, draw) for _ in "hl"))
    rows["volume"] = _volumes(move, day_shape, still, draw)
    rows["volume"][halt] = 0.0
    missing = np.arange(halt.start + HALT_FLAT_BARS, halt.stop) if halt.stop else np.arange(0)
    return np.delete(rows, missing)


def write_demo(folder: Path, days: int = DEMO_DAYS, seed: int = DEMO_SEED) -> Path:
    """Write `SYNTHETIC_5m.parquet` into `folder`, unless it is there, whole, and of the same generator, days and seed.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / DEMO_FILE
    origin = {"synthetic": "true", "generator": GENERATOR_VERSION, "days": str(days), "seed": str(seed)}
    if not _is_of(path, origin):
        rows = demo_rows(days, seed)
        names = ("time_ms", "open", "high", "low", "close", "volume")
        columns = {name.replace("time_ms", "timestamp"): np.ascontiguousarray(rows[name]) for name in names}
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.table(columns).replace_schema_metadata(origin), sink, compression="zstd")
        snapshot.write_bytes(path, sink.getvalue().to_pybytes())
    return path


def _is_of(path: Path, origin: dict[str, str]) -> bool:
    try:
        found = pyarrow.parquet.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return all(found.get(key.encode()) == value.encode() for key, value in origin.items())


def _regimes(bars: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the shape of volatility and volume over the UTC day, busiest at 15:00: Europe and America both trade."""
    changes = bars // 100 + 20
    regime = np.cumsum(draw.integers(1, len(REGIME_BARS), changes)) % len(REGIME_BARS)
    return np.resize(np.repeat(regime, draw.geometric(1 / REGIME_BARS[regime])), bars)


def _day_shape(bars: int) -> Floats:
    """Return the shape of volatility and volume over a UTC day; the peak at 15:00 is when Europe and America trade."""
    hour = np.arange(bars) % BARS_PER_DAY / 12
    return 1 + 0.4 * np.cos(2 * np.pi * (hour - 15) / 24)


def _volatility_clusters(bars: int, draw: np.random.Generator) -> Floats:
    """Return exp of a sum of random shocks that fade exponentially over about eight hours.

    The logarithm of the result has a standard deviation of 0.3.
    """
    kernel = np.exp(-np.arange(400) / 100)
    shocks = draw.standard_normal(bars + len(kernel) - 1)
    return np.asarray(np.exp(0.3 * np.convolve(shocks, kernel / np.linalg.norm(kernel), mode="valid")))


def _halt(bars: int, days: int) -> slice:
    start = int(bars * HALT_AT)
    return slice(start, start + HALT_FLAT_BARS + HALT_MISSING_BARS) if days >= 2 else slice(0, 0)


def _moves(sigma: Floats, regime: NDArray[np.int64], days: int, draw: np.random.Generator) -> Floats:
    """Return log returns from open to close: Student's t with 4 degrees of freedom (variance 2), a drift, and jumps."""
    drift = REGIME_DRIFT[regime]
    move: Floats = sigma * draw.standard_t(4, len(sigma)) / np.sqrt(2) + drift - drift.mean()
    jumps = draw.integers(0, len(sigma), max(1, days // 100))
    move[jumps] += draw.uniform(0.04, 0.12, len(jumps)) * draw.choice([-1.0, 1.0], len(jumps))
    return move


def _wicks(sigma: Floats, still: NDArray[np.bool_], draw: np.random.Generator) -> Floats:
    wick = 0.4 * sigma * np.abs(draw.standard_normal(len(sigma)))
    wick[(draw.random(len(sigma)) < 0.3) | still] = 0.0
    return wick


def _prices(move: Floats, gap: Floats, up: Floats, down: Floats) -> NDArray[np.void]:
    """Return prices in whole ticks; a bar without a gap opens exactly at the previous close."""
    log_close = np.log(START_PRICE) + np.cumsum(move + gap)
    log_open = np.concatenate([[np.log(START_PRICE)], log_close[:-1]]) + gap
    open_, close = (np.maximum(np.rint(np.exp(x) * TICKS_PER_UNIT), 1) for x in (log_open, log_close))
    rows = np.zeros(len(move), dtype=ROW)
    rows["time_ms"] = END_MS + np.arange(-len(move), 0) * BAR_MS
    rows["open"], rows["close"] = open_ / TICKS_PER_UNIT, close / TICKS_PER_UNIT
    rows["high"] = np.rint(np.maximum(open_, close) * (1 + up)) / TICKS_PER_UNIT
    rows["low"] = np.maximum(np.rint(np.minimum(open_, close) * (1 - down)), 1) / TICKS_PER_UNIT
    return rows


def _volumes(move: Floats, day_shape: Floats, still: NDArray[np.bool_], draw: np.random.Generator) -> Floats:
    """Return volumes: large moves come with large volume, and half of the flat bars have no volume."""
    volume = 1_000 * day_shape * (0.3 + np.abs(move) / SIGMA) * np.exp(0.5 * draw.standard_normal(len(move)))
    volume[still] *= 0.1 * (draw.random(int(still.sum())) < 0.5)
    return np.asarray(np.round(volume, 2))
