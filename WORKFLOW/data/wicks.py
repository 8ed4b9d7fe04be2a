"""Find prices that stand alone: a high or a low that no neighbouring bar carries, by one robust statistic.

A price is carried if the bodies (open to close) of the two bars before and the two bars after reach it; a real crash
leaves bodies on its way. The distance of a high or low from these bodies is measured in usual ranges: the median
high-to-low of the two hours around. It is a median, so that neighbouring faults do not hide each other. Volume is the
second evidence, because at a real price there are trades. docs/reference/data.md says what this finds and what it
misses.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, Bars, Floats, Minutes
from WORKFLOW.data.raw import RawTable, utc

CARRIERS = 2  # bars on either side whose bodies may carry a price; the bodies around a one-bar crash carry it, too
AROUND = (
    12  # bars on either side, an hour each, that say what is usual: shorter is noise, longer misses a crash's begin
)

# In usual ranges, and in logs of a price. In 853 days each of SOL and BTC, the farthest lone prices lie at 10.6 and 7.9
# usual ranges, and at 4.0 where the volume was below twice the usual. The limits are 1.5 and 2 times as far.
FAR = 16.0
FAR_UNTRADED = 8.0
UNTRADED = 2.0  # multiple of the median volume around
LEAST = 0.02  # smaller distances are never refused, because quiet markets have many
# Such wicks are rare, and real as often as not, so results say how much depends on them (42 bars of SOL, 13 of BTC).
EXTREME = 4.0
EXTREME_LEAST = 0.01

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Lone:
    """The k prices that lie at least `EXTREME` usual ranges and `EXTREME_LEAST` beyond what their neighbours carry.

    Sorted by `row` (k,), int64 from 0. `is_high` (k,): whether the price is a high, or else a low. `beyond` (k,): the
    log of the price over the nearest body, always positive. `ranges` (k,): the same in usual ranges. `volume` (k,): the
    bar's volume in usual volumes, NaN if no volume is known.
    """

    row: NDArray[np.int64]
    is_high: Bools
    beyond: Floats
    ranges: Floats
    volume: Floats

    @classmethod
    def none(cls) -> "Lone":
        """Return no lone price, for bars in which they cannot be looked for."""
        nothing = np.empty(0)
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_), nothing, nothing, nothing)

    @property
    def doubtful(self) -> Bools:
        """Booleans (k,): whether a price is so far away that hardly anybody can have traded there."""
        untraded = (self.ranges >= FAR_UNTRADED) & (self.volume < UNTRADED)  # a comparison with NaN is False
        return np.asarray((self.beyond >= LEAST) & (untraded | (self.ranges >= FAR)), dtype=np.bool_)


@dataclass(frozen=True)
class Wick:
    """One doubtful price, in the form of messages and manifests.

    `around` holds the lowest and highest body of the bars around it. `minutes` is what 1-minute bars say about it:
    `confirm`, `deny`, or None if there are none or they are undecided.
    """

    row: int
    time_ms: int
    field: str
    price: float
    around: tuple[float, float]
    ranges: float
    usual_range: float  # as a log
    volume: float | None
    minutes: str | None = None

    def __str__(self) -> str:
        """`row 8,001 (2023-06-28 18:40 UTC): low 6.72, around 16.73 to 16.81, 24 usual ranges, 0.9 usual volumes`."""
        low, high = self.around
        traded = "" if self.volume is None else f", {self.volume:.1f} usual volumes"
        denied = ", contradicted by its 1-minute bars" if self.minutes == "deny" else ""
        return (
            f"row {self.row:,} ({utc(self.time_ms)}): {self.field} {self.price:g}, around {low:g} to {high:g}, "
            f"{self.ranges:.0f} usual ranges{traded}{denied}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record for programs."""
        return {
            "time": utc(self.time_ms),
            "field": self.field,
            "price": self.price,
            "around": list(self.around),
            "usual_ranges": round(self.ranges, 2),
            "usual_volumes": None if self.volume is None else round(self.volume, 2),
            "minutes": self.minutes,
        }


def lone_prices(table: Any, time_ms: NDArray[np.int64], has_volume: bool = True) -> Lone:
    """Find the lone prices of `table`: columns `open`, `high`, `low`, `close`, `volume`, float64 (n,), prices positive.

    `time_ms` (n,) ascends. If a bar beside is missing, a bar's own body carries, too, because trading may have gone on
    elsewhere after a halt.

    Look-ahead: later bars are used, because this judges data; no strategy ever sees the result.
    """
    high, low, top, bottom = _logs(table)
    carried_up, carried_down = _carried(top, bottom, time_ms)
    spread = high - low
    some = spread[spread > 0]
    floor = 0.5 * float(np.median(some)) if len(some) else np.inf
    parts = [_beyond(away, spread, floor) for away in (high - carried_up, carried_down - low)]
    row = np.concatenate([at for at, _, _ in parts])
    order = np.argsort(row, kind="stable")
    is_high = np.repeat([True, False], [len(at) for at, _, _ in parts])[order]
    volumes = _volumes(_column(table, "volume"), row) if has_volume else np.full(len(row), np.nan)
    beyond, ranges = (np.concatenate([part[k] for part in parts])[order] for k in (1, 2))
    return Lone(row[order], is_high, beyond, ranges, volumes[order])


def named(lone: Lone, raw: RawTable, numbers: NDArray[np.int64]) -> tuple[Wick, ...]:
    """Return the doubtful prices with their values; `numbers` (n,) are the numbers of the rows in the file."""
    return tuple(_wick(lone, int(k), raw, numbers) for k in np.flatnonzero(lone.doubtful))


def asked(
    found: tuple[Wick, ...], bars: Bars | None, minutes_of: Callable[[Bars], Minutes | None] | None
) -> tuple[Wick, ...]:
    """Return `found` with what the 1-minute bars say; unchanged without them, and if the bars are refused anyway."""
    minutes = minutes_of(bars) if found and bars is not None and minutes_of is not None else None
    if bars is None or minutes is None:
        return found
    return tuple(replace(wick, minutes=_said_by(minutes, bars, wick)) for wick in found)


def _said_by(minutes: Minutes, bars: Bars, wick: Wick) -> str | None:
    """Return what the 1-minute bars of a bar say about its high or low: `confirm`, `deny`, or None.

    They deny a price that none of them reached. They confirm a price that they carry: the bodies of the minutes around
    must come nearer to it than a doubtful distance. A single minute that reached it alone leaves the doubt, because
    bars are often made of the very minutes beside them.
    """
    bar = int((wick.time_ms - bars.rows["time_ms"][0]) // BAR_MS)
    if not minutes.covers[bar]:
        return None
    is_high = wick.field.startswith("high")
    sign = 1.0 if is_high else -1.0
    reached = sign * minutes.ohlc[bar, :, 1 if is_high else 2]
    if reached.max() < sign * wick.price - (bars.tick or 0.0) - 1e-9 * wick.price:
        return "deny"
    near = minutes.ohlc[max(0, bar - 1) : bar + 2].reshape(-1, 4)
    at = 5 * min(bar, 1) + int(np.argmax(reached))
    around = [k for k in range(at - CARRIERS, at + CARRIERS + 1) if k != at and 0 <= k < len(near)]
    carried = np.nanmax(sign * np.log(near[around][:, [0, 3]]))
    return "confirm" if sign * np.log(wick.price) - carried < FAR_UNTRADED * wick.usual_range else None


# helpers --------------------------------------------------------------------------------------------------------------


def _column(table: Any, name: str) -> Floats:
    return np.asarray(table[name] if isinstance(table, np.ndarray) else getattr(table, name), dtype=np.float64)


def _logs(table: Any) -> tuple[Floats, Floats, Floats, Floats]:
    opened, high, low, closed = (np.log(_column(table, name)) for name in ("open", "high", "low", "close"))
    return high, low, np.maximum(opened, closed), np.minimum(opened, closed)


def _carried(top: Floats, bottom: Floats, time_ms: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the highest and the lowest log (n,) that the bodies around each bar reach."""
    broken = np.diff(time_ms) != BAR_MS
    alone = np.append(True, broken) | np.append(broken, True)
    up, down = np.where(alone, top, -np.inf), np.where(alone, bottom, np.inf)
    for k in range(1, CARRIERS + 1):
        for mine, theirs in ((slice(k, None), slice(None, -k)), (slice(None, -k), slice(k, None))):
            np.maximum(up[mine], top[theirs], out=up[mine])
            np.minimum(down[mine], bottom[theirs], out=down[mine])
    return up, down


def _beyond(away: Floats, spread: Floats, floor: float) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return rows with an extreme excess, the excess, and the excess in usual ranges.

    A median is computed only for candidates.
    """
    at = np.flatnonzero((away >= EXTREME_LEAST) & (away >= EXTREME * floor))
    ranges = away[at] / np.maximum(_median_around(spread, at), floor)
    far = ranges >= EXTREME
    return at[far], away[at][far], ranges[far]


def _volumes(volume: Floats, at: NDArray[np.int64]) -> Floats:
    usual = _median_around(volume, at)
    known: Floats = np.full(len(at), np.nan)
    np.divide(volume[at], usual, out=known, where=usual > 0)
    return known


def _median_around(values: Floats, at: NDArray[np.int64]) -> Floats:
    """Return the median (k,) of the `AROUND` values on either side of each row, without the row itself."""
    steps = np.delete(np.arange(-AROUND, AROUND + 1), AROUND)
    window = np.clip(at[:, None] + steps, 0, len(values) - 1)
    return np.asarray(np.median(values[window], axis=1), dtype=np.float64)


def _wick(lone: Lone, k: int, raw: RawTable, numbers: NDArray[np.int64]) -> Wick:
    row = int(lone.row[k])
    near = np.delete(np.arange(max(0, row - CARRIERS), min(len(raw), row + CARRIERS + 1)), min(row, CARRIERS))
    bodies = np.concatenate([raw.open[near], raw.close[near]])
    field = "high" if lone.is_high[k] else "low"
    price = float(getattr(raw, field)[row])
    volume = float(lone.volume[k])
    return Wick(
        row=int(numbers[row]),
        time_ms=int(raw.time_ms[row]),
        field=_blamed(raw, row, field, price),
        price=price,
        around=(float(bodies.min()), float(bodies.max())),
        ranges=float(lone.ranges[k]),
        usual_range=float(lone.beyond[k] / lone.ranges[k]),
        volume=None if np.isnan(volume) else volume,
    )


def _blamed(raw: RawTable, row: int, field: str, price: float) -> str:
    """Return `low`, or `low and close` if the body is out there, too."""
    also = [name for name in ("open", "close") if float(getattr(raw, name)[row]) == price]
    return " and ".join([field, *also])
