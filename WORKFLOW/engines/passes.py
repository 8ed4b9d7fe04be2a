"""The two passes of the CPU's batch engine, compiled: where each trade ends, then what the money becomes.

The first pass does not depend on money, so its searches overlap in the processor; the second goes trade after trade, in
the reference's order. `cpu.py` cuts the work into tasks and leaves to the plain bar loop what these passes do not know.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, Floats
from WORKFLOW.engines.events import changes, events
from WORKFLOW.engines.fills import SIGNAL, equity_after, limit_at, meets_stop_or_limit, stop_at
from WORKFLOW.engines.jit import kernel, leaf
from WORKFLOW.engines.lanes import write_line
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import TOTAL_TRADES, daily_marks, daily_returns, screen_row
from WORKFLOW.engines.rules import DIRECTION, LIMIT, MAX_BARS, STOP, TRAIL
from WORKFLOW.engines.touch import Touchable, first_touch, first_touch_trailing, touchable

_DAYS_AT_ONCE = 8
_TILE = 32_768  # bars: their prices take 400 KB, less than half an L2 cache
# A long position is ruined near price 0, at most 1e-15 of its entry by float noise; a market whose lowest price is
# further than this from its highest cannot get there.
NO_RUIN = 1e-9
LEFT_TO_BAR_LOOP = -1.0  # in the column of the trades: what this row holds does not count


class Tape(NamedTuple):
    """What the kernels read of a market and a window. `day_closes`: (days + 8,), in quote currency."""

    touch: Touchable
    per_unit: float
    has_tick: bool
    lead: int  # bars of the UTC day before bar 0
    start: int
    stop: int
    day_closes: Floats

    @classmethod
    def of(cls, market: Market, window: Window) -> Self:
        """The market's prices as the kernels want them, and the closes of the window's UTC days."""
        closes = daily_marks(market.close[window.start : window.stop], market, window) / market.per_unit
        room = np.append(closes, np.zeros(_DAYS_AT_ONCE))
        lead = int(market.time_ms[0]) // BAR_MS % BARS_PER_DAY
        return cls(touchable(market), market.per_unit, market.has_tick, lead, window.start, window.stop, room)


class Money(NamedTuple):
    """What trading costs, as fractions, what it starts with, and what comes first when one bar spans both levels."""

    fee: float
    slip: float
    capital: float
    tp_first: bool


class _Events(NamedTuple):
    """The events of many signals, those of signal s from offsets[s] on; see `events.events`.

    `done` (signals,): how many of the `counts` (signals,) have been played.
    """

    fills: NDArray[np.int32]
    wanted: NDArray[np.int32]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    done: NDArray[np.int64]


class _Trades(NamedTuple):
    """Trades of one combo on one tile: the event that opens each, its last bar, its levels there in ticks."""

    event: NDArray[np.int32]
    at: NDArray[np.int32]
    stop: Floats
    limit: Floats


class _Books(NamedTuple):
    """How far each combo (k,) is: money, the first day without a mark, trades opened, closed and won.

    `marks` (k, days + 8): equity at the end of each UTC day. `entries` is -1 once ruin may have come into play.
    """

    cash: Floats
    day: NDArray[np.int64]
    entries: NDArray[np.int64]
    closed: NDArray[np.int64]
    wins: NDArray[np.int64]
    marks: Floats


@kernel
def play(
    tape: Tape,
    sides: NDArray[np.uint64],
    armed: NDArray[np.uint64],
    first_sides: NDArray[np.int64],
    bounds: NDArray[np.int64],
    table: Floats,
    money: Money,
    out: Floats,
    order: NDArray[np.int64],
    returns: Floats,
) -> None:
    """Rows bounds[s] to bounds[s + 1] of `table` and `out` belong to signal s, row i to row order[i] of `returns`.

    All combos go through one tile of the bars after the other, so that its prices stay in the cache while they do.
    """
    first = bounds[0]
    combos, n_days = bounds[len(sides)] - first, len(tape.day_closes) - _DAYS_AT_ONCE
    all_events = _events_of(tape, sides, armed, first_sides)
    trades = _Trades(np.empty(_TILE, np.int32), np.empty(_TILE, np.int32), np.empty(_TILE), np.empty(_TILE))
    books = _Books(
        np.full(combos, money.capital),
        np.zeros(combos, np.int64),
        np.zeros(combos, np.int64),
        np.zeros(combos, np.int64),
        np.zeros(combos, np.int64),
        np.empty((combos, len(tape.day_closes))),
    )
    for until in range(tape.start + _TILE, tape.stop + _TILE, _TILE):
        _play_tile(tape, until, all_events, bounds, table, money, trades, books)
    for k in range(combos):
        _mark(books.marks[k], books.day[k], n_days, books.cash[k], 0.0, tape.day_closes)
        days, row = books.marks[k, :n_days], out[first + k]
        screen_row(days, money.capital, books.entries[k], books.closed[k], books.wins[k], row)
        if books.entries[k] < 0:
            row[TOTAL_TRADES] = LEFT_TO_BAR_LOOP
        if len(returns):
            returns[order[first + k], :] = daily_returns(days, money.capital)


@kernel
def _events_of(
    tape: Tape, sides: NDArray[np.uint64], armed: NDArray[np.uint64], first_sides: NDArray[np.int64]
) -> _Events:
    offsets = np.zeros(len(sides) + 1, dtype=np.int64)
    for s in range(len(sides)):
        offsets[s + 1] = offsets[s] + changes(sides[s]) + 1
    fills, wanted = np.empty(offsets[-1], dtype=np.int32), np.empty(offsets[-1], dtype=np.int32)
    counts = np.empty(len(sides), dtype=np.int64)
    for s in range(len(sides)):
        here, arms = slice(offsets[s], offsets[s + 1]), armed[s % len(armed)]
        counts[s] = events(sides[s], arms, first_sides[s], tape.start, tape.stop, fills[here], wanted[here])
    return _Events(fills, wanted, offsets, counts, np.zeros(len(sides), dtype=np.int64))


@leaf
def _play_tile(
    tape: Tape,
    until: int,
    every: _Events,
    bounds: NDArray[np.int64],
    table: Floats,
    money: Money,
    trades: _Trades,
    books: _Books,
) -> None:
    """Every combo's events that fill before bar `until` and were not played yet."""
    for s in range(len(every.counts)):
        here = slice(every.offsets[s], every.offsets[s + 1])
        fills, wanted = every.fills[here], every.wanted[here]
        begin = end = every.done[s]
        while end < every.counts[s] and fills[end] < until:
            end += 1
        every.done[s] = end
        for row in range(bounds[s], bounds[s + 1]):
            count = _search(tape, fills, wanted, begin, end, table[row], money, trades)
            _settle(tape, fills, wanted, trades, count, table[row], money, books, row - bounds[0])


@leaf
def _search(
    tape: Tape,
    fills: NDArray[np.int32],
    wanted: NDArray[np.int32],
    begin: int,
    end: int,
    execution: Floats,
    money: Money,
    trades: _Trades,
) -> int:
    """Where each trade that events [begin, end) open ends, whatever the money; returns how many there are.

    Nothing here branches on where a trade ended: such branches cannot be foreseen, and each waits for the whole search
    before it.
    """
    stop_loss, take_profit, trailing = execution[STOP], execution[LIMIT], execution[TRAIL]
    max_bars, direction = int(execution[MAX_BARS]), int(execution[DIRECTION])
    shut = 0 if direction == 0 else (-1 if direction == 1 else 1)  # the side that is not traded
    n = 0
    for e in range(begin, end):
        side = int(wanted[e])
        if side in (0, shut):
            continue
        bar, until = int(fills[e]), int(fills[e + 1])
        if max_bars > 0:
            until = min(until, bar + max_bars)
        anchor = float(tape.touch.open[bar])
        stop = stop_at(anchor, side, stop_loss, tape.has_tick)
        limit = limit_at(anchor, side, take_profit, tape.has_tick)
        tightest = stop if side == 1 else min(stop, _short_ruin(anchor, money.slip))
        if trailing > 0.0:
            at, trail = first_touch_trailing(
                tape.touch, bar, until, side, tightest, limit, anchor, trailing, tape.has_tick
            )
            stop = max(stop, trail) if side == 1 else min(stop, trail)
        else:
            floor, ceiling = (tightest, limit) if side == 1 else (limit, tightest)
            at = first_touch(tape.touch, bar, until, floor, ceiling)
        trades.event[n] = e
        trades.at[n] = at
        trades.stop[n] = stop
        trades.limit[n] = limit
        n += 1
    return n


@leaf
def _short_ruin(anchor: float, slip: float) -> float:
    """No price below it ruins a short position: twice the entry price, less what float noise can do."""
    return 2.0 * anchor * (1.0 - slip) * (1.0 - NO_RUIN)


@leaf
def _settle(
    tape: Tape,
    fills: NDArray[np.int32],
    wanted: NDArray[np.int32],
    trades: _Trades,
    count: int,
    execution: Floats,
    money: Money,
    books: _Books,
    k: int,
) -> None:
    """Equity of combo k through some of its trades."""
    n_days = len(tape.day_closes) - _DAYS_AT_ONCE
    first_day = (tape.start + tape.lead) // BARS_PER_DAY
    max_bars = int(execution[MAX_BARS])
    fee, slip = money.fee, money.slip
    cash, day, marks = books.cash[k], books.day[k], books.marks[k]
    closed = wins = 0
    for n in range(count):
        if not cash > 0.0 or books.entries[k] < 0:  # NaN is no money either
            count = n
            break
        event = int(trades.event[n])
        bar, side, at = int(fills[event]), int(wanted[event]), int(trades.at[n])
        until = int(fills[event + 1])
        if max_bars > 0:
            until = min(until, bar + max_bars)
        anchor = float(tape.touch.open[bar])
        entry_price = anchor / tape.per_unit * (1 + side * slip)
        units = cash / (entry_price * (1 + fee))
        base = cash - side * units * entry_price - fee * units * entry_price
        is_open = at >= tape.stop
        entry_day = (bar + tape.lead) // BARS_PER_DAY - first_day
        exit_day = n_days if is_open else (at + tape.lead) // BARS_PER_DAY - first_day
        _mark(marks, day, entry_day, cash, 0.0, tape.day_closes)
        _mark(marks, entry_day, exit_day, base, side * units, tape.day_closes)
        day = exit_day
        if is_open:
            break
        stop, limit = trades.stop[n], trades.limit[n]
        price, low, high = float(tape.touch.open[at]), float(tape.touch.low[at]), float(tape.touch.high[at])
        is_touched = at < until
        if is_touched & (side == -1) & (high >= _short_ruin(anchor, slip)) & (stop >= _short_ruin(anchor, slip)):
            books.entries[k] = -1
            return
        is_stop, level = meets_stop_or_limit(price, high, low, side, stop, limit, money.tp_first)
        level = level if is_touched else price
        slips = 1 if is_stop | (not is_touched) else 0
        fill = level / tape.per_unit * (1 - side * slip * slips)
        after = equity_after(base, side, units, fill, fee, SIGNAL, money.capital)
        closed += 1
        wins += int(after - cash > 0.0)
        cash = after
    books.cash[k], books.day[k] = cash, day
    books.entries[k] += count
    books.closed[k] += closed
    books.wins[k] += wins


@leaf
def _mark(marks: Floats, day: int, until: int, offset: float, slope: float, closes: Floats) -> None:
    """Equity at the closes of days [day, until); what is written behind them is overwritten later, in order.

    The first eight without asking: how many days a trade lasts is nothing a processor can foresee.
    """
    write_line(marks, day, offset, slope, closes)
    day += _DAYS_AT_ONCE
    while day < until:
        write_line(marks, day, offset, slope, closes)
        day += _DAYS_AT_ONCE
