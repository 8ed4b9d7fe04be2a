"""Find bars that nobody traded: prices that stand still, rows repeated at another time, straight lines.

All functions expect rows in the order of time on the 5-minute grid, with finite and positive prices.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.data.raw import VALUES, RawTable, utc
from WORKFLOW.data.report import BarSpan, Reason, count, first_few

PRICES = ("open", "high", "low", "close")

# A candle with a high above its low that repeats again and again comes from a feed that hangs. In 853 days of SOL and
# BTC, no candle comes more than twice in a row.
FROZEN_BARS = 6
# One of the four prices alone may rest on a round number; the low of SOL rested for 28 bars.
STUCK_BARS = 72
# Coarse or pegged prices repeat often. The file itself then tells what is unusual: three times its tenth longest run.
USUAL_RUN, LONGER = 10, 3

# Nobody trades twelve closes in a row within a tick of a straight line that rises or falls by three ticks or more per
# bar. SOL, BTC and the demo bars have no such line; their nearest cases miss the line by most of a bar's step.
LINE_BARS = 12
LINE_TICKS = 3
ROUNDING = 1e-9  # fraction of a price

# Number of rows that must equal as many other rows in every value. Half of them must have moved, because quiet bars are
# alike anywhere.
REPEAT_BARS = 32

DOWNLOAD = "download these bars again"
TRADE_FLAT = "if the market did stand still, set BACKTEST_OPTIMIZE__DATA__MAX_FILL_BARS={} to trade flat bars there"
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64
)


def dead(kept: RawTable) -> list[BarSpan]:
    """Return runs of rows in which the price stood still and, if volumes are known, nothing was traded."""
    still = _repeats_close(kept)
    if knows_volume(kept):
        still &= kept.volume == 0
    return [_span(kept, a, b) for a, b in _runs(still)]


def knows_volume(kept: RawTable) -> bool:
    """Return whether volumes carry information; a column with a single value, zero or another, does not."""
    return kept.has_volume and bool((kept.volume != kept.volume[:1]).any())


def still_stretches(spans: list[BarSpan], limit: int) -> list[Reason]:
    """Refuse `spans` of dead bars, which are too long to be traded as flat bars."""
    if not spans:
        return []
    closed = " (all of them over a weekend: a market that closes then)" if _are_weekends(spans) else ""
    text = f"{count(len(spans), 'stretch', 'stretches')} of more than {limit} bars without a trade or a change of price"
    way_out = f"download the missing bars, or {TRADE_FLAT.format(max(span.bars for span in spans))}"
    return [Reason(f"{text}{closed}: {first_few(map(str, spans))}", way_out)]


def stuck(kept: RawTable, limit: int) -> list[Reason]:
    """Find prices that stand still while volumes go on, as from a feed that hangs."""
    if (kept.close == kept.close[:1]).all():
        return _flat(kept, limit)
    again = {name: _again(getattr(kept, name)) for name in PRICES}
    every = np.logical_and.reduce(list(again.values()))
    moved = kept.high > kept.low
    repeated = _long(kept, every & moved, FROZEN_BARS)
    traded = kept.volume != 0 if knows_volume(kept) else ~_repeats_close(kept)  # another check names dead rows
    resting = [("all four prices", span) for span in _unusual(kept, every & ~moved & traded, limit)]
    told = _within(kept, [*repeated, *(span for _, span in resting)])
    for name in ("close", "high", "low", "open"):
        spans = _unusual(kept, again[name] & traded & ~told, max(STUCK_BARS, limit))
        resting += [(f"the {name}", span) for span in spans]
        told |= _within(kept, spans)
    return [*_repeated(repeated), *_resting(kept, resting)]


def straight_lines(kept: RawTable, tick: float | None) -> list[Reason]:
    """Find closes that somebody has interpolated."""
    close, bars = kept.close, LINE_BARS
    if len(close) <= bars:
        return []
    step = (close[bars:] - close[:-bars]) / bars
    near = ROUNDING * close[:-bars] if tick is None else tick * (1 + 1e-6)
    line = np.abs(step) >= (1e-6 * close[:-bars] if tick is None else LINE_TICKS * tick * (1 - 1e-6))
    for k in range(1, bars):
        line &= np.abs(close[k : len(close) - bars + k] - close[:-bars] - k * step) <= near
    at, change = np.flatnonzero(line), np.zeros(len(close) + 1, dtype=np.int64)
    np.add.at(change, at, 1)
    np.add.at(change, at + bars + 1, -1)
    spans = [_span(kept, a + 1, b - 1) for a, b in _runs(np.cumsum(change[:-1]) > 0)]
    if not spans:
        return []
    text = f"closes on a straight line, interpolated and not traded, in {count(len(spans), 'stretch', 'stretches')}"
    way_out = f"{DOWNLOAD}, or delete these rows (they become a hole, and short holes are filled)"
    return [Reason(f"{text}: {first_few(map(str, spans))}", way_out)]


def pasted(kept: RawTable) -> list[Reason]:
    """Find stretches that equal an earlier stretch in every value, at another time."""
    found = list(_repeated_blocks(kept))
    if not found:
        return []
    listed = [f"{span} as from {utc(int(kept.time_ms[source]))}" for span, source in found]
    text = f"rows that repeat earlier ones in every value at another time in {count(len(found), 'place')}: "
    return [Reason(text + first_few(listed), f"{DOWNLOAD}, or delete one of the two stretches")]


# helpers --------------------------------------------------------------------------------------------------------------


def _flat(kept: RawTable, limit: int) -> list[Reason]:
    if len(kept) <= limit or not len(kept) or (kept.high > kept.low).any():
        return []
    text = f"the price is {kept.close[0]:g} in all {len(kept):,} rows: a price that never moves cannot be traded"
    return [Reason(text, "download the bars again, or give those of a market that moves")]


def _again(values: Floats) -> NDArray[np.bool_]:
    """Return booleans (n,): whether a value equals that of the row above."""
    return np.append(False, values[1:] == values[:-1])


def _repeats_close(kept: RawTable) -> NDArray[np.bool_]:
    flat = kept.high == kept.low
    flat[1:] &= kept.close[1:] == kept.close[:-1]
    return np.asarray(flat, dtype=np.bool_)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first row, and the row after the last, of every run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _long(kept: RawTable, mask: NDArray[np.bool_], limit: int) -> list[BarSpan]:
    """Return runs of more than `limit` rows; the row above belongs to a run, because the run repeats it."""
    return [_span(kept, a - 1, b) for a, b in _runs(mask) if b - a + 1 > limit]


def _unusual(kept: RawTable, mask: NDArray[np.bool_], limit: int) -> list[BarSpan]:
    """Return runs of more than `limit` rows that are also long for this file."""
    lengths = sorted((b - a + 1 for a, b in _runs(mask)), reverse=True)
    usual = LONGER * lengths[USUAL_RUN - 1] if len(lengths) >= USUAL_RUN else 0
    return _long(kept, mask, max(limit, usual))


def _within(kept: RawTable, spans: list[BarSpan]) -> NDArray[np.bool_]:
    inside = np.zeros(len(kept), dtype=bool)
    for span in spans:
        inside |= (kept.time_ms >= span.first_ms) & (kept.time_ms <= span.last_ms)
    return inside


def _repeated(spans: list[BarSpan]) -> list[Reason]:
    if not spans:
        return []
    text = f"the same candle again and again in {count(len(spans), 'stretch', 'stretches')}, a feed that hung"
    return [Reason(f"{text}: {first_few(map(str, spans))}", f"{DOWNLOAD}, or delete all but the first of each stretch")]


def _resting(kept: RawTable, found: list[tuple[str, BarSpan]]) -> list[Reason]:
    if not found:
        return []
    listed = [f"{what} at {_value(kept, span, what):g} from {span}" for what, span in found]
    text = f"prices that stand still while volumes go on, {count(len(found), 'stretch', 'stretches')}: "
    way_out = f"{DOWNLOAD}; {TRADE_FLAT.format(max(span.bars for _, span in found))}"
    return [Reason(text + first_few(listed), way_out)]


def _span(kept: RawTable, first: int, stop: int) -> BarSpan:
    return BarSpan(int(kept.time_ms[first]), int(kept.time_ms[stop - 1]), stop - first)


def _value(kept: RawTable, span: BarSpan, what: str) -> float:
    name = what.removeprefix("the ") if what.startswith("the ") else "close"
    return float(getattr(kept, name)[np.searchsorted(kept.time_ms, span.first_ms)])


def _are_weekends(spans: list[BarSpan]) -> bool:
    """Return whether all begin on a Friday or Saturday and end on a Sunday or Monday, within three days."""

    def weekday(time_ms: int) -> int:
        return (time_ms // 86_400_000 + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0

    def is_one(span: BarSpan) -> bool:
        return weekday(span.first_ms) in (4, 5) and weekday(span.last_ms) in (6, 0) and span.bars <= 3 * 288

    return len(spans) > 1 and all(is_one(span) for span in spans)


def _repeated_blocks(kept: RawTable) -> Iterator[tuple[BarSpan, int]]:
    """Yield later copies of blocks of at least `REPEAT_BARS` rows, each with the first row of its source."""
    if len(kept) < 2 * REPEAT_BARS:
        return
    sums = _windows(kept)
    order = np.argsort(sums, kind="stable")
    same = np.flatnonzero(sums[order[1:]] == sums[order[:-1]])
    if len(same) == 0:
        return
    source = np.full(len(sums), -1, dtype=np.int64)
    source[order[same + 1]] = order[same]
    source[~_lively(kept)] = -1
    later = np.flatnonzero(source >= 0)
    if len(later) == 0:
        return
    for block in np.split(later, np.flatnonzero(np.diff(later) != 1) + 1):
        first, rows = int(block[0]), len(block) + REPEAT_BARS - 1
        if _equal(kept, first, int(source[first]), REPEAT_BARS):  # hashes may agree by chance
            yield _span(kept, first, first + rows), int(source[first])


def _windows(kept: RawTable) -> NDArray[np.uint64]:
    """Return a hash of the values of every window and of their order, (n - `REPEAT_BARS` + 1,), by doubling windows."""
    columns = (getattr(kept, name).view(np.uint64) for name in VALUES)
    with np.errstate(over="ignore"):
        rows = np.zeros(len(kept), dtype=np.uint64)
        for column, factor in zip(columns, _ODD, strict=True):
            rows = (rows ^ (rows >> np.uint64(29))) + (column ^ (column >> np.uint64(32))) * factor
        sums, factor, width = rows, _ODD[0], 1
        while width < REPEAT_BARS:
            sums = sums[:-width] + factor * sums[width:]
            factor, width = factor * factor, 2 * width
    return sums


def _lively(kept: RawTable) -> NDArray[np.bool_]:
    """Return the windows in which at least half of the rows moved, and moved unlike the row above."""
    moves = kept.high > kept.low
    moves &= ~(_again(kept.high) & _again(kept.low) & _again(kept.close))
    total = np.append(0, np.cumsum(moves))
    return np.asarray(total[REPEAT_BARS:] - total[:-REPEAT_BARS] >= REPEAT_BARS // 2, dtype=np.bool_)


def _equal(kept: RawTable, one: int, other: int, rows: int) -> bool:
    columns = (getattr(kept, name) for name in VALUES)
    return all((column[one : one + rows] == column[other : other + rows]).all() for column in columns)
