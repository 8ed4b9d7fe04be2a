"""Pre-flight: decide whether rows may be called bars, and report everything found (strategy semantics, "Bars").

All reasons are collected before anything is refused, so that a user who has to repair a file learns all of its faults
at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import DataSettings
from WORKFLOW.data import levels, stale, wicks
from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, BASE_MINUTES, DAY_MS, Bars, Minutes
from WORKFLOW.data.raw import RawTable, row_name, utc
from WORKFLOW.data.repair import later_copies, on_full_grid, under_way
from WORKFLOW.data.report import BarSpan, Reason, Report, UnfitBars, count, first_few
from WORKFLOW.data.ticks import infer_tick
from WORKFLOW.data.wicks import Lone, Wick

# Half an hour without a trade is an outage on any major exchange; shorter pauses happen in quiet markets.
HALT_BARS = 6
# A larger change from bar to bar is more often a wrong print, a split or a mixed-up market than a real price.
JUMP = 0.5

FIX_ROWS = "correct these rows or delete them (a deleted row becomes a hole, and short holes are filled)"


# A clock may be wrong by a bar; a larger difference means that the clock or the rows are wrong.
CLOCK_MS = BAR_MS
WIDEST_ZONE_MS = 14 * 3_600_000  # no time zone is further ahead of UTC


@dataclass(frozen=True)
class Context:
    """What is known besides the rows.

    `written_ms` is when their file was last written, and `now_ms` is this machine's clock, both in epoch milliseconds
    UTC; None means unknown. `allow_wicks` accepts prices that stand alone. `minutes` returns the 1-minute bars beside
    given bars, which decide about such prices.
    """

    written_ms: int | None = None
    now_ms: int | None = None
    allow_wicks: bool = False
    minutes: Callable[[Bars], Minutes | None] | None = None


def preflight(
    raw: RawTable, settings: DataSettings, repair: bool = False, context: Context | None = None
) -> tuple[Bars, Report]:
    """Return checked bars on the full 5-minute grid, and the report of what was seen and done.

    Args:
        raw: rows as found; they are not changed.
        settings: the longest hole to fill (bars) and the least history (days).
        repair: drop rows that repeat an earlier row in every value. Nothing else is ever repaired.
        context: what is known besides the rows. By default nothing is known, and then neither an unfinished last bar
        nor bars from the future can be found.

    Look-ahead: a hole is filled with the close BEFORE it, so no later price leaks into an earlier bar.

    Raises:
        UnfitBars: (a `Refused`) with all reasons, each with its count, its first rows and a way out.
    """
    context = context or Context()
    unfinished, copies = under_way(raw, context.written_ms), later_copies(raw)
    kept, numbers = raw.only(~(copies | unfinished)), raw.numbers[~(copies | unfinished)]
    moments = np.unique(kept.time_ms)
    step = _usual_step(moments)
    holes = _holes(moments) if step == BAR_MS else []
    too_long = [hole for hole in holes if hole.bars > settings.max_fill_bars]
    unsound = [
        *_disagreements(kept, numbers),
        *_order(kept, numbers),
        *_grid(kept, numbers, step),
        *_values(kept, numbers),
    ]
    is_sound = not unsound and len(kept) > 0
    dead = [run for run in stale.dead(kept) if run.bars > settings.max_fill_bars] if is_sound else []
    days = _days(moments, step, [*too_long, *dead])
    tick = infer_tick(np.concatenate([kept.open, kept.high, kept.low, kept.close])) if is_sound else None
    lone = wicks.lone_prices(kept, kept.time_ms, stale.knows_volume(kept)) if is_sound else Lone.none()
    reasons = [
        *([] if repair else _copies(raw, copies)),
        *unsound,
        *_future(kept, numbers, context.now_ms),
        *_long_holes(too_long, settings.max_fill_bars),
        *(_untraded(kept, numbers, tick, lone, dead, settings.max_fill_bars) if is_sound else []),
        *_history(days, settings.min_days),
    ]
    bars = None if reasons else Bars(raw.symbol, on_full_grid(kept), tick, raw.synthetic, raw.source)
    doubtful = wicks.asked(wicks.named(lone, kept, numbers), bars, context.minutes)
    if not context.allow_wicks:
        reasons += _wicks(doubtful)
    rows = None if bars is None or reasons else bars.rows
    report = Report(
        symbol=raw.symbol,
        source=raw.source,
        synthetic=raw.synthetic,
        rows=len(raw),
        bars=len(moments) if rows is None else len(rows),
        days=days,
        first_ms=int(moments[0]) if len(moments) else 0,
        last_ms=int(moments[-1]) if len(moments) else 0,
        tick=None if rows is None else tick,
        copies_dropped=int(copies.sum()) if repair else 0,
        filled=() if rows is None else tuple(holes),
        halts=_halts(kept),
        notes=(*raw.notes, *_left_out(raw, unfinished, context.written_ms), *_jumps(kept, numbers)),
        wicks=doubtful,
        wicks_allowed=context.allow_wicks and any(wick.minutes != "confirm" for wick in doubtful),
        extreme_wicks=len(np.unique(lone.row)),
        reasons=tuple(reasons),
    )
    if bars is None or reasons:
        raise UnfitBars(report)
    return bars, report


def _untraded(
    kept: RawTable, numbers: NDArray[np.int64], tick: float | None, lone: Lone, dead: list[BarSpan], limit: int
) -> list[Reason]:
    """Find rows that no market has traded, although each row alone is possible."""
    return [
        *stale.still_stretches(dead, limit),
        *stale.stuck(kept, limit),
        *stale.straight_lines(kept, tick),
        *stale.pasted(kept),
        *levels.broken_levels(kept, numbers, np.unique(lone.row[lone.doubtful])),
    ]


def _wicks(doubtful: tuple[Wick, ...]) -> list[Reason]:
    """Refuse the wicks that no 1-minute bars confirm."""
    refused = [wick for wick in doubtful if wick.minutes != "confirm"]
    if not refused:
        return []
    what = (
        f"{count(len(refused), 'price')} that no neighbouring bar reaches, and at which hardly anybody can have traded"
    )
    text = f"{what} (a usual range is the median range of the two hours around): {first_few(map(str, refused))}"
    way_out = (
        f"compare them with another source, then {FIX_ROWS}; 1-minute bars beside the file decide; "
        "or add --allow-wicks to trade on these prices as they are"
    )
    return [Reason(text, way_out)]


def _left_out(raw: RawTable, unfinished: NDArray[np.bool_], written_ms: int | None) -> list[str]:
    if written_ms is None or not unfinished.any():
        return []
    opened, written = utc(int(raw.time_ms[unfinished][0])), utc(written_ms // 1000 * 1000)
    return [f"the bar of {opened} is left out: it was still under way when the file was written, {written}"]


def _future(kept: RawTable, numbers: NDArray[np.int64], now_ms: int | None) -> list[Reason]:
    if now_ms is None or kept.synthetic:
        return []
    ahead = kept.time_ms > now_ms + CLOCK_MS
    if not ahead.any():
        return []
    last, now = int(kept.time_ms.max()), utc(now_ms // 60_000 * 60_000)
    text = (
        f"{count(int(ahead.sum()), 'bar')} from the future, opening up to {utc(last)}; this machine's clock says {now}"
    )
    local = "if these times are local, name their zone (--timezone Europe/Berlin; epoch numbers are UTC); "
    zone = local if last - now_ms <= WIDEST_ZONE_MS else ""
    rows = "correct the times" if ahead.all() else f"delete these rows, {_rows(kept, numbers, ahead)}"
    return [Reason(text, f"{zone}{rows}; or, if the clock is wrong, set it")]


def _usual_step(moments: NDArray[np.int64]) -> int | None:
    if len(moments) < 2:
        return None
    steps, counts = np.unique(np.diff(moments), return_counts=True)
    return int(steps[np.argmax(counts)])


def _holes(moments: NDArray[np.int64]) -> list[BarSpan]:
    on_grid = moments[moments % BAR_MS == 0]
    gaps = np.diff(on_grid) // BAR_MS - 1
    at = np.flatnonzero(gaps)
    return [BarSpan(int(on_grid[i]) + BAR_MS, int(on_grid[i + 1]) - BAR_MS, int(gaps[i])) for i in at]


def _days(moments: NDArray[np.int64], step: int | None, too_long: list[BarSpan]) -> float:
    """Return the calendar days that the rows cover; a hole that cannot be filled covers none."""
    if step is None:
        return len(moments) / BARS_PER_DAY
    return float(moments[-1] - moments[0] + step) / DAY_MS - sum(hole.bars for hole in too_long) / BARS_PER_DAY


def _rows(raw: RawTable, numbers: NDArray[np.int64], bad: NDArray[np.bool_], value: str = "") -> str:
    """Name the first rows of a mask, with the offending value."""
    at = np.flatnonzero(bad)
    values = getattr(raw, value)[at[:11]] if value else ()
    said = (f": {number:g}" for number in values) if value else iter(lambda: "", None)
    names = (row_name(int(numbers[i]), int(raw.time_ms[i])) for i in at[:11])
    return first_few((name + text for name, text in zip(names, said, strict=False)), total=len(at))


def _copies(raw: RawTable, copies: NDArray[np.bool_]) -> list[Reason]:
    if not copies.any():
        return []
    first = int(np.argmax(copies))
    text = f"rows that repeat an earlier row in every value: {copies.sum():,}, the first is "
    way_out = "add --repair: it drops the later copies and reports how many"
    return [Reason(text + row_name(int(raw.numbers[first]), int(raw.time_ms[first])), way_out)]


def _disagreements(kept: RawTable, numbers: NDArray[np.int64]) -> list[Reason]:
    order = np.argsort(kept.time_ms, kind="stable")
    repeated = np.zeros(len(kept), dtype=bool)
    repeated[order[1:]] = np.diff(kept.time_ms[order]) == 0
    if not repeated.any():
        return []
    text = f"rows that give other values for a moment already given: {repeated.sum():,}: "
    return [Reason(text + _rows(kept, numbers, repeated), "find out which source is right and delete the other's rows")]


def _order(kept: RawTable, numbers: NDArray[np.int64]) -> list[Reason]:
    back = np.zeros(len(kept), dtype=bool)
    back[1:] = np.diff(kept.time_ms) < 0
    if not back.any():
        return []
    way_out = "sort the rows by time, oldest first"
    if back[1:].all():
        return [Reason("the rows run from the newest to the oldest", way_out)]
    text = f"rows that are earlier than the row above them: {back.sum():,}: "
    return [Reason(text + _rows(kept, numbers, back), way_out)]


def _grid(kept: RawTable, numbers: NDArray[np.int64], step: int | None) -> list[Reason]:
    if step is not None and step != BAR_MS:
        text = f"your bars are {step / 60_000:g}-minute bars (the usual step between rows)"
        way_out = f"give {BASE_MINUTES}-minute bars; all higher timeframes are made from them"
        return [Reason(f"{text}, not {BASE_MINUTES}-minute bars", way_out)]
    off = kept.time_ms % BAR_MS != 0
    if not off.any():
        return []
    text = f"rows beside the {BASE_MINUTES}-minute grid: {off.sum():,}"
    away = np.unique(kept.time_ms[off] % BAR_MS)
    if not off.all() or len(away) > 1:
        return [Reason(f"{text}: {_rows(kept, numbers, off)}", "stamp every bar with the moment it OPENS, in UTC")]
    return [
        Reason(
            f"{text}, all by the same {away[0] / 1000:g} s: {row_name(int(numbers[0]), int(kept.time_ms[0]))} and on",
            _back(int(away[0])),
        )
    ]


def _back(away_ms: int) -> str:
    """Say what to do with rows that all lie equally far behind the grid; within a second before it, they are closes."""
    if BAR_MS - away_ms <= 1_000:
        return f"these are the moments at which the bars close: subtract {away_ms / 1000:g} s from each time"
    return (
        f"if your source stamps each bar that late, subtract {away_ms / 1000:g} s from each time; if the bars really "
        f"open then, make {BASE_MINUTES}-minute bars that open at full {BASE_MINUTES} minutes from finer ones"
    )


def _values(kept: RawTable, numbers: NDArray[np.int64]) -> list[Reason]:
    crossed = int((kept.high < kept.low).sum())
    if crossed > len(kept) / 2:
        text = f"high is below low in {crossed:,} of {len(kept):,} rows: the two columns are swapped"
        return [Reason(text, "swap the names of the two columns")]
    return [Reason(f"{text}: {rows}", FIX_ROWS) for text, rows in _bad_values(kept, numbers)]


def _bad_values(kept: RawTable, numbers: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
    def named(bad: NDArray[np.bool_], what: str, value: str = "") -> Iterator[tuple[str, str]]:
        if bad.any():
            yield f"{what} in {count(int(bad.sum()), 'row')}", _rows(kept, numbers, bad, value)

    for names, empty in _not_finite(kept):
        verb = "is no finite number" if len(names) == 1 else "are no finite numbers"
        yield from named(empty, f"{', '.join(names)} {verb}", names[0])
    for name in ("open", "high", "low", "close"):
        column = getattr(kept, name)
        yield from named(np.isfinite(column) & (column <= 0), f"{name} is not above zero", name)
    yield from named(np.isfinite(kept.volume) & (kept.volume < 0), "volume is negative", "volume")
    crossed = kept.high < kept.low  # comparisons with NaN are False: such rows are named above
    yield from named(crossed, "high is below low", "high")
    for name in ("open", "close"):
        column = getattr(kept, name)
        outside = ~crossed & ((column > kept.high) | (column < kept.low))
        yield from named(outside, f"{name} lies outside [low, high]", name)


def _not_finite(kept: RawTable) -> Iterator[tuple[list[str], NDArray[np.bool_]]]:
    """Yield columns that hold no finite number in some rows, with these rows; columns with equal rows come together."""
    found: dict[bytes, tuple[list[str], NDArray[np.bool_]]] = {}
    for name in ("open", "high", "low", "close", "volume"):
        bad = ~np.isfinite(getattr(kept, name))
        if bad.any():
            found.setdefault(bad.tobytes(), ([], bad))[0].append(name)
    yield from found.values()


def _long_holes(holes: list[BarSpan], limit: int) -> list[Reason]:
    if not holes:
        return []
    text = f"{count(len(holes), 'hole')} of more than {limit} bars: {first_few(map(str, holes))}"
    accept = f"set BACKTEST_OPTIMIZE__DATA__MAX_FILL_BARS={max(hole.bars for hole in holes)} to trade flat bars there"
    return [Reason(text, f"download the missing bars, or {accept}")]


def _history(days: float, least: int) -> list[Reason]:
    if days >= least:
        return []
    return [Reason(f"{days:,.1f} days of bars are fewer than {least}", f"give at least {least} days")]


def _halts(kept: RawTable) -> tuple[BarSpan, ...]:
    """Find runs of at least `HALT_BARS` rows in which nothing was traded."""
    if not kept.has_volume:
        return ()
    still = (kept.volume == 0) & (kept.high == kept.low)
    edges = np.diff(np.concatenate([[0], still.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    runs = zip(starts, ends, strict=True)
    return tuple(
        BarSpan(int(kept.time_ms[a]), int(kept.time_ms[b - 1]), int(b - a)) for a, b in runs if b - a >= HALT_BARS
    )


def _jumps(kept: RawTable, numbers: NDArray[np.int64]) -> list[str]:
    if len(kept) < 2:
        return []
    before = kept.close[:-1]
    far = np.zeros(len(kept), dtype=bool)
    with np.errstate(all="ignore"):  # rows may still hold zeros and NaN, which other checks refuse
        for name in ("open", "close"):
            far[1:] |= np.abs(getattr(kept, name)[1:] / before - 1) > JUMP
    if not far.any():
        return []
    where = _rows(kept, numbers, far, "close")
    return [f"{count(int(far.sum()), 'jump')} of more than {JUMP:.0%} from bar to bar, look at them: {where}"]
