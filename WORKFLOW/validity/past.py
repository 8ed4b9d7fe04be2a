"""What two runs have in common when their markets are the same up to a bar: bits, trades, entries, equity, orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.ledger import Closed, Ledger
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.planes import Planes, Words, unpack, words_for

_AT_MARKET = (int(Closed.SIGNAL), int(Closed.MAX_BARS))
_ENTRY = ["side", "entry_bar", "entry_price", "reason_open"]

Orders = dict[tuple[bool, int], float]


@dataclass(frozen=True)
class ChangedPast:
    """What differs, of which combo, on which bar."""

    what: str
    combo: int
    bar: int


def signals(known: Planes, other: Planes, cut: int) -> ChangedPast | None:
    """The earliest bit up to and including bar `cut` in which the planes of the same combos differ."""
    changes = (
        _bit("side", known.side, other.side, cut),
        _bit("armed", known.armed, other.armed, cut),
        _first(np.minimum(known.first_side, cut + 1), np.minimum(other.first_side, cut + 1)),
    )
    return min((change for change in changes if change), key=lambda change: change.bar, default=None)


def bits(planes: Planes, cut: int) -> int:
    """How many bits `signals` compares."""
    return (len(planes.side) + len(planes.armed)) * (cut + 1)


def fills(known: Ledger, other: Ledger, window: Window, cut: int, combo: int) -> ChangedPast | None:
    """The earliest bar up to `cut` on which two ledgers of windows with one start differ: equity, trades, entries."""
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
    """Differences on `bar` between ledgers of markets that are the same up to and including the open of `bar`.

    Market orders at that open are the same. Stops and limits may be hit in one and not in the other, for the bars reach
    differently far; but where the same kind is hit in both, its price is the same: it was set before the bar.
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
        return ChangedPast(what, 0, 0)  # one row for all combos in one future, one for each in another
    changed = known[:, :words] ^ other[:, :words]
    if not changed.any():
        return None
    at: NDArray[np.bool_] = unpack(changed, cut + 1)
    if not at.any():  # only beyond the cut, in its last word
        return None
    bar = int(np.argmax(at.any(axis=0)))
    return ChangedPast(what, int(np.argmax(at[:, bar])), bar)


def _trade(known: NDArray[np.void], other: NDArray[np.void]) -> int | None:
    """The exit bar of the first trade that is not the same to the bit; None where all are."""
    if known.tobytes() == other.tobytes():
        return None
    pairs = list(zip(known, other, strict=False))
    first = next((i for i, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes()), len(pairs))
    return min(int(rows["exit_bar"][first]) for rows in (known, other) if first < len(rows))


def _entry(known: Ledger, other: Ledger, last: int) -> int | None:
    """The first bar up to `last` with different entries, as far as trades tell.

    Only the position that is open at its ledger's end is in no trade, so one of them may know of one entry less.
    """
    ours, theirs = (ledger.trades[ledger.trades["entry_bar"] <= last][_ENTRY].tolist() for ledger in (known, other))
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            return int(min(a[1], b[1]))
    more, less, short = (ours, theirs, other) if len(ours) > len(theirs) else (theirs, ours, known)
    still_open = short.entries - len(short.trades)
    return None if len(more) - len(less) <= still_open else int(more[len(less)][1])


def _exits(ledger: Ledger, bar: int) -> Orders:
    """(entered on this very bar, reason) → fill price of what ended on `bar`."""
    trades = ledger.trades[ledger.trades["exit_bar"] == bar]
    return {(bool(t["entry_bar"] == bar), int(t["reason_close"])): float(t["exit_price"]) for t in trades}
