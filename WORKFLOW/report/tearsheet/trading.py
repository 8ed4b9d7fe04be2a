"""Summarise closed trades: the distribution of results, results by side and exit, and excursions."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Closed, Ledger
from WORKFLOW.engines.market import Market
from WORKFLOW.report.tearsheet.curves import moment, short

BINS = 41
EXTREMES = 5  # best and worst trades in the table
MOST_POINTS = 3_000  # of a scatter plot; with more, points hide each other
MOST_REASONS = 30  # rows of the table; bots that write prices into their reasons have a reason for every trade
_HOUR_MS = 3_600_000
_SIDES = {1: "long", -1: "short"}


@dataclass(frozen=True)
class Trades:
    """Closed trades (t,) in order of their exits; None stands for what a source does not know.

    Times are epoch milliseconds UTC. `pnl` is currency after costs. `net` is a fraction of the equity at entry. `mae`
    and `mfe` are fractions of the entry price (worst <= 0, best >= 0). `side` is 1 for long and -1 for short.
    """

    exit_ms: NDArray[np.int64]
    pnl: Floats
    net: Floats
    entry_ms: NDArray[np.int64] | None = None
    side: NDArray[np.int8] | None = None
    mae: Floats | None = None
    mfe: Floats | None = None
    reasons: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return the number of trades."""
        return len(self.exit_ms)

    @classmethod
    def of(cls, ledger: Ledger, market: Market) -> Self:
        """Return the trades of a simulation."""
        rows = ledger.trades
        names = [reason.name.lower() for reason in Closed]
        return cls(
            exit_ms=market.time_ms[rows["exit_bar"]],
            pnl=np.ascontiguousarray(rows["pnl"]),
            net=np.ascontiguousarray(rows["net_pnl_pct"]),
            entry_ms=market.time_ms[rows["entry_bar"]],
            side=np.ascontiguousarray(rows["side"]),
            mae=np.ascontiguousarray(rows["mae_pct"]),
            mfe=np.ascontiguousarray(rows["mfe_pct"]),
            reasons=tuple(names[reason] for reason in rows["reason_close"].tolist()),
        )


def summary(trades: Trades) -> dict[str, Any]:
    """Return the whole summary as plain JSON."""
    everything = np.ones(len(trades), dtype=np.bool_)
    return {
        "all": _group(trades, everything),
        "by_side": _by_side(trades),
        "by_exit": _by_exit(trades),
        "histogram": _histogram(trades.net),
        "excursions": _excursions(trades),
        "best": _rows(trades, np.argsort(-trades.net, kind="stable")[:EXTREMES]),
        "worst": _rows(trades, np.argsort(trades.net, kind="stable")[:EXTREMES]),
    }


def streak(pnl: Floats) -> int:
    """Return the largest number of losses in a row."""
    breaks = np.flatnonzero(np.concatenate([[True], pnl >= 0, [True]]))
    return int(np.diff(breaks).max()) - 1


def _group(trades: Trades, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    pnl, net = trades.pnl[chosen], trades.net[chosen]
    count = len(pnl)
    gained, lost = float(pnl[pnl > 0].sum()), float(-pnl[pnl < 0].sum())
    held = None if trades.entry_ms is None else (trades.exit_ms - trades.entry_ms)[chosen] / _HOUR_MS
    return {
        "trades": count,
        "win_rate": metrics.or_none(metrics.ratio(float(np.count_nonzero(pnl > 0)), count)),
        "profit_factor": metrics.or_none(metrics.ratio(gained, lost)),
        "pnl": float(pnl.sum()),
        "mean_pct": float(net.mean()) if count else None,
        "median_pct": float(np.median(net)) if count else None,
        "hours_held": float(held.mean()) if held is not None and count else None,
        "losses_in_a_row": streak(pnl),
    }


def _by_side(trades: Trades) -> dict[str, Any] | None:
    if trades.side is None:
        return None
    return {name: _group(trades, trades.side == side) for side, name in _SIDES.items()}


def _by_exit(trades: Trades) -> dict[str, Any] | None:
    if trades.reasons is None:
        return None
    names, number = np.unique(np.array(trades.reasons), return_inverse=True)
    counts = np.bincount(number)
    order = np.argsort(-counts, kind="stable")
    shown = order if len(order) <= MOST_REASONS else order[: MOST_REASONS - 1]
    groups = {str(names[at]): _group(trades, number == at) for at in shown.tolist()}
    if len(shown) < len(order):
        groups[f"{len(order) - len(shown):,} other reasons"] = _group(trades, ~np.isin(number, shown))
    return groups


def _histogram(net: Floats) -> dict[str, Any] | None:
    """Count net results in bins of equal width with an edge at 0; the outermost 1 % go into the end bins."""
    if len(net) < 2:
        return None
    low, high = np.percentile(net, [0.5, 99.5])
    width = max(float(high - low) / BINS, 1e-6)
    first, last = int(np.floor(low / width)), int(np.ceil(high / width))
    edges: Floats = np.arange(first, max(last, first + 1) + 1).astype(np.float64) * width
    counts, _ = np.histogram(np.clip(net, edges[0], edges[-1]), edges)
    return {"bin_width": width, "edges": short(edges), "trades": counts.tolist(), "clipped": _beyond(net, edges)}


def _beyond(net: Floats, edges: Floats) -> int:
    return int(np.count_nonzero((net < edges[0]) | (net > edges[-1])))


def _excursions(trades: Trades) -> dict[str, Any] | None:
    """Return how far trades went against their entry (MAE) and in its favour (MFE), beside their results."""
    if trades.mae is None and trades.mfe is None:
        return None
    chosen = np.unique(np.linspace(0, len(trades) - 1, min(len(trades), MOST_POINTS)).astype(np.int64))
    return {
        "shown": len(chosen),
        "net_pct": short(trades.net[chosen]),
        "mae_pct": None if trades.mae is None else short(trades.mae[chosen]),
        "mfe_pct": None if trades.mfe is None else short(trades.mfe[chosen]),
    }


def _rows(trades: Trades, chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {
            "entry_time": None if trades.entry_ms is None else moment(trades.entry_ms[at]),
            "exit_time": moment(trades.exit_ms[at]),
            "side": None if trades.side is None else _SIDES[int(trades.side[at])],
            "net_pct": float(trades.net[at]),
            "pnl": float(trades.pnl[at]),
            "exit": None if trades.reasons is None else trades.reasons[at],
        }
        for at in chosen.tolist()
    ]
