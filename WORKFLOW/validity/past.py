"""Compare two runs on markets that are equal up to a bar: bits, trades, entries, equity and orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.ledger import Closed, Ledger
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.planes import Planes, Words, unpack, words_for

# Market orders fill at the open. The other reasons to close are resting orders, which fill inside a bar.
_AT_MARKET = (int(Closed.SIGNAL), int(Closed.MAX_BARS))
_ENTRY = ["side", "entry_bar", "entry_price", "reason_open"]

Orders = dict[tuple[bool, int], float]


@dataclass(frozen=True)
class ChangedPast:
    """What differs, for which combo, and on which bar."""

    what: str
    combo: int
    bar: int


def signals(known: Planes, other: Planes, cut: int) -> ChangedPast | None:
    """Return the earliest bit up to and including bar `cut` in which the planes of the same combos differ."""
    changes = (
        _bit("side", known.side, other.side, cut),
        _bit("armed", known.armed, other.armed, cut),
        _first(np.minimum(known.first_side, cut + 1), np.minimum(other.first_side, cut + 1)),
    )
    return min((change for change in changes if change), key=lambda change: change.bar, default=None)


def bits(planes: Planes, cut: int) -> int:
    """Return how many bits `signals` compares."""
    return (len(planes.side) + len(planes.armed)) * (cut + 1)


def fills(known: Ledger, other: Ledger, window: Window, cut: int, combo: int) -> ChangedPast | None:
    """Return the earliest difference up to bar `cut` in equity, trades or entries; both windows have the same start."""
    n = cut + 1 - window.start
    marks = np.flatnonzero(known.equity[:n].view(np.uint64) != other.equity[:n].view(np.uint64))
    if len(marks):
        return ChangedPast("equity", combo, window.start + int(marks[0]))
    closed = known.trades[known.trades["exit_bar"] <= cut], other.trades[other.trades["exit_bar"] <= cut]
    bar = _trade(*closed)
    if bar is not None:
        return ChangedPast("trade", combo, bar)
    bar = _entry(known, other, cut)
    return None if bar is None else ChangedPast("entry", combo, bar)


def orders(known: Ledger, other: Ledger, bar: int, combo: int) -> ChangedPast | None:
    """Return a difference on `bar` between ledgers of markets that are equal up to and including the open of `bar`.

    Market orders at that open must be equal. A stop or a limit may be hit in one market only, because the bars have
    different extremes. But where the same kind of order is hit in both markets, its price must be equal, because it was
    set before the bar.
    """
    ours, theirs = _exits(known, bar), _exits(other, bar)
    missed = {key for key in ours.keys() ^ theirs.keys() if key[1] in _AT_MARKET}
    if missed or any(ours[key] != theirs[key] for key in ours.keys() & theirs.keys()):
        return ChangedPast("order", combo, bar)
    at = _entry(known, other, bar)
    return None if at is None else ChangedPast("order", combo, at)


def _first(known: NDArray[np.int64], other: NDArray[np.int64]) -> ChangedPast | None:
    earlier = np.where(known != other, np.minimum(known, other), np.iinfo(np.int64).max)
    combo = int(np.argmin(earlier))
    return ChangedPast("first_side", combo, int(earlier[combo])) if known[combo] != other[combo] else None


def _bit(what: str, known: Words, other: Words, cut: int) -> ChangedPast | None:
    words = words_for(cut + 1)
    if known.shape[0] != other.shape[0]:
        return ChangedPast(what, 0, 0)  # one future gave one row for all combos, and another gave one row for each
    changed = known[:, :words] ^ other[:, :words]
    if not changed.any():
        return None
    at: NDArray[np.bool_] = unpack(changed, cut + 1)
    if not at.any():  # the planes differ only after the cut, in the same word
        return None
    bar = int(np.argmax(at.any(axis=0)))
    return ChangedPast(what, int(np.argmax(at[:, bar])), bar)


def _trade(known: NDArray[np.void], other: NDArray[np.void]) -> int | None:
    """Return the exit bar of the first trade that differs in a bit, or None if none does."""
    if known.tobytes() == other.tobytes():
        return None
    pairs = list(zip(known, other, strict=False))
    first = next((i for i, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes()), len(pairs))
    return min(int(rows["exit_bar"][first]) for rows in (known, other) if first < len(rows))


def _entry(known: Ledger, other: Ledger, last: int) -> int | None:
    """Return the first bar up to `last` at which entries differ, as far as closed trades show them.

    A position that is open at the end of its ledger is in no trade, so one ledger may show one entry fewer.
    """
    ours, theirs = (ledger.trades[ledger.trades["entry_bar"] <= last][_ENTRY].tolist() for ledger in (known, other))
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            return int(min(a[1], b[1]))
    more, less, short = (ours, theirs, other) if len(ours) > len(theirs) else (theirs, ours, known)
    still_open = short.entries - len(short.trades)
    return None if len(more) - len(less) <= still_open else int(more[len(less)][1])


def _exits(ledger: Ledger, bar: int) -> Orders:
    """Map (entered on this very bar, reason to close) to the fill price, for the trades that ended on `bar`."""
    trades = ledger.trades[ledger.trades["exit_bar"] == bar]
    return {(bool(t["entry_bar"] == bar), int(t["reason_close"])): float(t["exit_price"]) for t in trades}
