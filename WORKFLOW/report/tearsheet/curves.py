"""Prepare equity for a tearsheet: thinned without losing an extreme, by day, by month, by drawdown, and rolling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import DAY_MS, Floats
from WORKFLOW.engines import metrics

Indices = NDArray[np.int64]

BUCKETS = 1_200  # pixels of a wide screen; more than four points in each cannot be told apart
ROLLING_DAYS = (90, 30, 10)  # lengths of the rolling window; the longest that leaves as many days to show is used
DEEPEST = 5  # drawdowns in the table


@dataclass(frozen=True)
class Daily:
    """Equity at the end of each of consecutive UTC days, in currency; `first_day` counts from 1970-01-01.

    The first day's return is measured against `capital`.
    """

    first_day: int
    equity: Floats
    capital: float

    @property
    def returns(self) -> Floats:
        """Simple daily returns (d,), as the metrics define them."""
        return metrics.daily_returns(self.equity, self.capital)

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """The days (d,) as dates."""
        return np.datetime64(self.first_day, "D") + np.arange(len(self.equity))


def drawdown(equity: Floats, capital: float) -> Floats:
    """Return how far each mark (n,) is below the highest mark so far, as a fraction of it (0 or more).

    The highest mark starts at `capital`.
    """
    peaks = np.maximum.accumulate(np.maximum(equity, capital))
    return (peaks - equity) / peaks


def thinned(equity: Floats, below: Floats, buckets: int = BUCKETS) -> Indices:
    """Return the indices of the marks to draw: of each bucket the first, the last, and the extremes of both curves.

    All other marks lie between drawn ones, so the picture is the same (M4: Jugel, Jerzak, Hackenbroich & Markl 2014),
    and its highest, lowest and deepest marks are exact. Marks that equal both of their neighbours are left out, too.
    `below` is the drawdown (n,).
    """
    n = len(equity)
    starts = np.unique(np.linspace(0, n, min(buckets, n), endpoint=False).astype(np.int64)) if n else np.zeros(0, int)
    kept = [starts, np.append(starts[1:], n) - 1 if n else starts]
    for values in (equity, -equity, below):
        kept += [_first_of_largest(values, starts)]
    chosen = np.unique(np.concatenate(kept))
    drawn = equity[chosen]
    same = np.zeros(len(chosen), dtype=np.bool_)
    same[1:-1] = (drawn[1:-1] == drawn[:-2]) & (drawn[1:-1] == drawn[2:]) & (np.diff(below[chosen])[1:] == 0)
    return chosen[~same]


def _first_of_largest(values: Floats, starts: Indices) -> Indices:
    """Return the index of the largest value in each bucket, the first of equals."""
    if not len(starts):
        return starts
    tops = np.maximum.reduceat(values, starts)
    sizes = np.diff(np.append(starts, len(values)))
    hits = np.flatnonzero(values == np.repeat(tops, sizes))
    of_bucket = np.searchsorted(starts, hits, side="right") - 1
    first: Indices = hits[np.unique(of_bucket, return_index=True)[1]]
    return first


def curve(time_ms: NDArray[np.int64], equity: Floats, capital: float) -> dict[str, Any]:
    """Return marks (n,) in order of time, in the form in which a tearsheet draws them."""
    below = drawdown(equity, capital)
    chosen = thinned(equity, below)
    return {
        "marks": len(equity),
        "time": (time_ms[chosen] // 1000).tolist(),
        "equity": short(equity[chosen]),
        "drawdown": short(below[chosen]),
    }


def months(daily: Daily) -> list[dict[str, Any]]:
    """Return the return of every calendar month and year that the equity touches, one row per year."""
    dates = daily.dates
    of_month = dates.astype("datetime64[M]").astype(np.int64)
    of_year = dates.astype("datetime64[Y]").astype(np.int64)
    rows: dict[int, dict[str, Any]] = {}
    for year, value in _by_period(of_year, daily):
        rows[year] = {"year": 1970 + year, "months": [None] * 12, "total": value}
    for month, value in _by_period(of_month, daily):
        rows[month // 12]["months"][month % 12] = value
    return list(rows.values())


def _by_period(period: NDArray[np.int64], daily: Daily) -> list[tuple[int, float | None]]:
    last = np.flatnonzero(np.append(period[1:] != period[:-1], True))
    returns = metrics.daily_returns(np.ascontiguousarray(daily.equity[last]), daily.capital)
    return [(int(period[at]), float(value)) for at, value in zip(last, returns, strict=True)]


def rolling_sharpe(daily: Daily) -> dict[str, Any] | None:
    """Return the Sharpe ratio of the last days before each day, as the metrics define it; None for too few days."""
    returns = daily.returns
    days = next((days for days in ROLLING_DAYS if len(returns) >= 2 * days), None)
    if days is None:
        return None
    found = [float(metrics.sharpe(returns[at - days + 1 : at + 1])) for at in range(days - 1, len(returns))]
    return {"days": days, "from_day": _date(daily.first_day + days - 1), "sharpe_ratio": short(found)}


def deepest(daily: Daily) -> list[dict[str, Any]]:
    """Return the deepest drawdowns of daily marks, deepest first, each from its peak until that peak is reached."""
    below = drawdown(daily.equity, daily.capital)
    under = np.concatenate([[False], below > 0, [False]])
    starts = np.flatnonzero(under[1:] & ~under[:-1])
    ends = np.flatnonzero(~under[1:] & under[:-1])  # the day of recovery, or one day past the last
    falls: list[tuple[float, dict[str, Any]]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        trough = start + int(np.argmax(below[start:end]))
        depth = float(below[trough])
        fall = {
            "peak": _date(daily.first_day + max(start - 1, 0)),
            "trough": _date(daily.first_day + trough),
            "recovered": _date(daily.first_day + end) if end < len(below) else None,
            "depth": depth,
            "days": end - start,
        }
        falls.append((depth, fall))
    return [fall for _, fall in sorted(falls, key=lambda one: -one[0])[:DEEPEST]]


def short(values: Sequence[float] | Floats) -> list[float | None]:
    """Round numbers to seven digits, which a page needs; a number that is not finite becomes None."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def moment(time_ms: int) -> str:
    """Format a moment as `2024-03-20T00:00:00Z`."""
    return f"{np.datetime64(int(time_ms) // 1000, 's')}Z"


def day_of(time_ms: int) -> int:
    """Return the UTC days since 1970-01-01."""
    return int(time_ms) // DAY_MS


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
