"""The file of one market and interval: feather, named and laid out as freqtrade's, whole at every moment.

Its metadata say which spans of time the exchange was asked about, so that a bar that the exchange does not have is a
hole that is known, and not one to ask for at every start.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray

from config.errors import Refused
from state.files import private, snapshot
from WORKFLOW.data.load import read
from WORKFLOW.data.raw import VALUES, utc

STEPS_MS = {"5m": 300_000, "1m": 60_000}
CANDLE = np.dtype([("time_ms", "<i8"), *((name, "<f8") for name in VALUES)])
_KEY = b"backtest-optimize"
_MOVE = "move that file away, or name another --data-path"

Candles = NDArray[np.void]


@dataclass(frozen=True)
class CandleSpan:
    """Moments from `first_ms` on and before `end_ms`."""

    first_ms: int
    end_ms: int


@dataclass(frozen=True)
class HeldCandles:
    """What is on file: `candles` with dtype `CANDLE`, strictly rising in time; `asked` spans, in order, apart."""

    candles: Candles
    asked: tuple[CandleSpan, ...]

    def adding(self, candles: Sequence[Candles], asked: CandleSpan) -> "HeldCandles":
        """With the answers to `asked`: of two candles of one moment the one on file stays."""
        both = np.concatenate([self.candles, *candles])
        _, first = np.unique(both["time_ms"], return_index=True)
        return HeldCandles(both[first], merged((*self.asked, asked)))

    def missing(self, wanted: CandleSpan) -> list[CandleSpan]:
        """The parts of `wanted` that nobody has asked about, in order."""
        found, at = [], wanted.first_ms
        for span in self.asked:
            if span.first_ms > at:
                found.append(CandleSpan(at, min(span.first_ms, wanted.end_ms)))
            at = max(at, span.end_ms)
        found.append(CandleSpan(at, wanted.end_ms))
        return [span for span in found if span.first_ms < span.end_ms]

    def as_of(self, finished_ms: int) -> "HeldCandles":
        """Ready to be gone on with when the newest finished candle ended at `finished_ms`.

        If more than that was asked for, a clock was ahead then: the last candle was under way and has a wrong close,
        and what came later counts as asked for. Or it is behind now: so all other candles stay.
        """
        if not self.asked or self.asked[-1].end_ms <= finished_ms:
            return self
        kept, end_ms = self.candles[:-1], int(self.candles["time_ms"][-1])
        spans = (CandleSpan(span.first_ms, min(span.end_ms, end_ms)) for span in self.asked)
        return HeldCandles(kept, tuple(span for span in spans if span.first_ms < span.end_ms))

    def forgetting_holes(self, step_ms: int) -> "HeldCandles":
        """As if only what is there had been asked for, so that everything else is asked for again."""
        times = self.candles["time_ms"]
        cuts = np.flatnonzero(np.diff(times) != step_ms) + 1
        runs = [run for run in np.split(times, cuts) if len(run)]
        return replace(self, asked=tuple(CandleSpan(int(run[0]), int(run[-1]) + step_ms) for run in runs))

    def holes(self, step_ms: int) -> tuple[int, int]:
        """How many holes there are between the first and the last candle, and how many candles they lack."""
        gaps = np.diff(self.candles["time_ms"]) // step_ms - 1
        return int((gaps > 0).sum()), int(gaps[gaps > 0].sum())


NOTHING = HeldCandles(np.empty(0, dtype=CANDLE), ())


@dataclass(frozen=True)
class Store:
    """One file, and what may stand in it."""

    path: Path
    exchange: str
    market: str
    timeframe: str

    @classmethod
    def of(cls, folder: Path, exchange: str, market: str, timeframe: str) -> "Store":
        """`SOL_USDT-5m.feather`; a contract's candles lie in `futures`, as freqtrade has it."""
        name = "".join("_" if letter in "/ .@$+:" else letter for letter in market)
        if ":" in market:
            return cls(folder / "futures" / f"{name}-{timeframe}-futures.feather", exchange, market, timeframe)
        return cls(folder / f"{name}-{timeframe}.feather", exchange, market, timeframe)

    @property
    def step_ms(self) -> int:
        """From one candle to the next."""
        return STEPS_MS[self.timeframe]

    def held(self) -> HeldCandles:
        """What is on file; nothing when there is no file.

        Raises:
            Refused: it is broken, another market's, or no candles of this interval in order of time.
        """
        if not self.path.exists():
            return NOTHING
        try:
            raw = read(self.path, self.path.name.split("-")[0][:40])
        except Refused as refused:
            raise Refused(refused.reason, _MOVE) from refused
        candles = np.empty(len(raw), dtype=CANDLE)
        candles["time_ms"] = raw.time_ms
        for name in VALUES:
            candles[name] = getattr(raw, name)
        wrong = raw.in_file is not None or (np.diff(raw.time_ms) <= 0).any() or (raw.time_ms % self.step_ms != 0).any()
        if wrong:
            raise Refused(f"{self.path} does not hold {self.timeframe} candles in order of time", _MOVE)
        ours = _label(self.path)
        if ours is None:  # freqtrade's, or somebody's own: what lies between its ends was asked for
            return HeldCandles(candles, (CandleSpan(int(raw.time_ms[0]), int(raw.time_ms[-1]) + self.step_ms),))
        exchange, market, asked = ours
        if (exchange, market) != (self.exchange, self.market):
            raise Refused(
                f"{self.path} holds {market} of {exchange}, not {self.market} of {self.exchange}",
                _MOVE,
            )
        return HeldCandles(candles, asked)

    def write(self, held: HeldCandles) -> None:
        """Put it on file, whole or not at all.

        Raises:
            OSError: the disk is full, the folder is not writable; what was there stays.
        """
        stamps = pa.array(held.candles["time_ms"]).cast(pa.timestamp("ms", "UTC"))
        columns = {"date": stamps} | {name: np.ascontiguousarray(held.candles[name]) for name in VALUES}
        spans = [[span.first_ms, span.end_ms] for span in held.asked]
        label = {"exchange": self.exchange, "market": self.market, "timeframe": self.timeframe, "asked": spans}
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(label)})
        sink = pa.BufferOutputStream()
        pyarrow.feather.write_feather(table, sink, compression="lz4")
        with private.shared():
            snapshot.write_bytes(self.path, sink.getvalue().to_pybytes())


def candles_of(rows: Iterable[Sequence[float]]) -> Candles:
    """Rows (time, open, high, low, close, volume) as they were sent, oldest first."""
    made = np.array([(int(row[0]), *row[1:]) for row in rows], dtype=CANDLE)
    return made[np.argsort(made["time_ms"], kind="stable")]


def merged(spans: Iterable[CandleSpan]) -> tuple[CandleSpan, ...]:
    """In order, those that touch made one."""
    out: list[CandleSpan] = []
    for span in sorted(spans, key=lambda one: one.first_ms):
        if out and span.first_ms <= out[-1].end_ms:
            out[-1] = CandleSpan(out[-1].first_ms, max(out[-1].end_ms, span.end_ms))
        else:
            out.append(span)
    return tuple(out)


def between(candles: Candles) -> str:
    """`2023-01-01 00:00 UTC to 2024-11-30 23:55 UTC`."""
    return f"{utc(int(candles['time_ms'][0]))} to {utc(int(candles['time_ms'][-1]))}"


def _label(path: Path) -> tuple[str, str, tuple[CandleSpan, ...]] | None:
    """Exchange, market and what was asked for, as `write` has put it into the file; None in a file of others.

    Raises:
        Refused: it says something else.
    """
    metadata = pyarrow.feather.read_table(str(path), columns=[], memory_map=False).schema.metadata or {}
    text = metadata.get(_KEY)
    if text is None:
        return None
    try:
        label = json.loads(text)
        spans = tuple(CandleSpan(int(first), int(end)) for first, end in label["asked"])
        return label["exchange"], label["market"], spans
    except (ValueError, KeyError, TypeError) as error:
        said = f"{path} was written by another version, or its label is damaged: {text[:80]!r}"
        raise Refused(said, _MOVE) from error
