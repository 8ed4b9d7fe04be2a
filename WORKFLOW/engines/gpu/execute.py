"""Kernels that trade: where each trade ends, a warp a combo; then the money and the daily marks, a thread a combo.

Where a trade ends does not depend on money, so all searches of a combo stand side by side, and what waits for the trade
before it is a few additions. Both give `engines/cpu.py`'s numbers to the bit.

An event is one word: the bar it fills at, times four, and the side it opens (1 long, 3 short, 0 only exits).
"""

import math
from typing import Any

import numpy as np

from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.engines.gpu.levels import equity_after, limit_at, meets_stop_or_limit, short_ruin, stop_at
from WORKFLOW.engines.gpu.toolkit import WARP, cuda, device, kernel
from WORKFLOW.engines.gpu.touch import first_touch, first_touch_trailing
from WORKFLOW.engines.gpu.warp import ballot, lowest_bit, shuffle, times
from WORKFLOW.engines.passes import NO_RUIN
from WORKFLOW.engines.rules import DIRECTION, LIMIT, MAX_BARS, STOP, TRAIL
from WORKFLOW.engines.touch import INT32

Array = Any  # on the device

SKIPPED = -1  # in place of a trade's last bar: the event opens none
# Columns of the counts that `settle` leaves for each combo.
ENTRIES, CLOSED, WINS = range(3)
MAY_BE_RUINED = -1  # entries of a combo that only the bar loop knows


@device
def _bar(event: Any) -> Any:
    return np.int32(event >> 2)


@device
def _side(event: Any) -> Any:
    code = event & 3
    return np.int32(-1 if code == 3 else code)


@device
def _until(following: Any, bar: Any, max_bars: Any) -> Any:
    end = _bar(following)
    return np.int32(min(end, bar + max_bars)) if max_bars > 0 else end


@kernel
def search(
    opens: Array,
    low: Array,
    high: Array,
    block_low: Array,
    block_high: Array,
    fall: Array,
    rise: Array,
    has_tick: bool,
    slip: float,
    all_events: Array,
    event_offsets: Array,
    signal_of: Array,
    table: Array,
    trade_offsets: Array,
    ends: Array,
    stops: Array,
) -> None:
    """The last bar of every event's trade into `ends`, and the stop level there into `stops` where one trails.

    32 events at once: each lane places the levels of one; then the warp searches for one after the other.
    """
    warp = cuda.grid(1) // WARP
    lane = np.int32(cuda.grid(1) % WARP)
    if warp >= len(signal_of):
        return
    signal = signal_of[warp]
    first_event, out = event_offsets[signal], trade_offsets[warp]
    count = np.int32(event_offsets[signal + 1] - first_event - 1)  # the last word only ends
    stop_loss, take_profit, trailing = table[warp, STOP], table[warp, LIMIT], table[warp, TRAIL]
    max_bars, direction = np.int32(table[warp, MAX_BARS]), np.int32(table[warp, DIRECTION])
    shut = np.int32(0 if direction == 0 else (-1 if direction == 1 else 1))  # the side that is not traded
    top = float(high.dtype.type(low[len(low) - 1])) - 1.0
    for begin in range(0, count, WARP):
        e = np.int32(begin + lane)
        side = bar = until = end = np.int32(0)
        anchor = stop = limit = tightest = 0.0
        if e < count:
            event = all_events[first_event + e]
            side, bar = _side(event), _bar(event)
            until = _until(all_events[first_event + e + 1], bar, max_bars)
            anchor = float(opens[bar])
            stop = stop_at(anchor, side, stop_loss, has_tick)
            limit = limit_at(anchor, side, take_profit, has_tick)
            tightest = stop if side == 1 else min(stop, short_ruin(anchor, slip, NO_RUIN))
            end = np.int32(SKIPPED)
        under, over = (tightest, limit) if side == 1 else (limit, tightest)
        if low.itemsize == INT32:
            under, over = math.floor(max(min(under, top), -top)), math.ceil(max(min(over, top), -top))
        floor, ceiling = low.dtype.type(under), low.dtype.type(over)
        left = ballot((side != 0) & (side != shut))
        while left != 0 and trailing <= 0.0:
            j = lowest_bit(left)
            left = np.uint32(left & (left - 1))
            at = first_touch(
                low,
                high,
                block_low,
                block_high,
                shuffle(bar, j),
                shuffle(until, j),
                shuffle(floor, j),
                shuffle(ceiling, j),
                lane,
            )
            end = at if lane == j else end
        while left != 0:
            j = lowest_bit(left)
            left = np.uint32(left & (left - 1))
            at, trail = first_touch_trailing(
                low,
                high,
                block_low,
                block_high,
                fall,
                rise,
                shuffle(bar, j),
                shuffle(until, j),
                shuffle(side, j),
                shuffle(tightest, j),
                shuffle(limit, j),
                shuffle(anchor, j),
                trailing,
                has_tick,
                lane,
            )
            if lane == j:
                end = at
                stop = max(stop, trail) if side == 1 else min(stop, trail)
        if e < count:
            ends[out + e] = end
            if trailing > 0.0:
                stops[out + e] = stop


@device
def _mark(marks: Array, combo: Any, day: Any, until: Any, offset: float, slope: float, closes: Array) -> None:
    """Equity at the closes of days [day, until)."""
    for d in range(day, until):
        marks[d, combo] = offset + times(slope, closes[d])


@kernel
def settle(
    opens: Array,
    low: Array,
    high: Array,
    day_closes: Array,
    has_tick: bool,
    per_unit: float,
    lead: Any,
    start: Any,
    stop_bar: Any,
    fee: float,
    slip: float,
    capital: float,
    tp_first: bool,
    all_events: Array,
    event_offsets: Array,
    signal_of: Array,
    table: Array,
    trade_offsets: Array,
    ends: Array,
    stops: Array,
    marks: Array,
    counts: Array,
) -> None:
    """Every combo's money from trade to trade: `passes._settle`, operation by operation.

    `marks` (days, combos): equity at each day's last close. `counts` (combos, 3): entries (`MAY_BE_RUINED` where the
    bar loop has to decide), closed, won.
    """
    k = cuda.grid(1)
    if k >= len(signal_of):
        return
    signal = signal_of[k]
    first_event, out = event_offsets[signal], trade_offsets[k]
    events = np.int32(event_offsets[signal + 1] - first_event - 1)
    stop_loss, take_profit, trailing = table[k, STOP], table[k, LIMIT], table[k, TRAIL]
    max_bars = np.int32(table[k, MAX_BARS])
    n_days = np.int32(len(day_closes))
    first_day = np.int32((start + lead) // BARS_PER_DAY)
    cash, day = capital, np.int32(0)
    entries = closed = wins = np.int32(0)
    for e in range(events):
        at = ends[out + e]
        if at == SKIPPED:
            continue
        if not cash > 0.0:  # NaN is no money either
            break
        event = all_events[first_event + e]
        side, bar = _side(event), _bar(event)
        until = _until(all_events[first_event + e + 1], bar, max_bars)
        sign = float(side)
        anchor = float(opens[bar])
        entry_price = times(anchor / per_unit, 1.0 + times(sign, slip))
        units = cash / times(entry_price, 1.0 + fee)
        slope = times(sign, units)
        base = cash - times(slope, entry_price) - times(times(fee, units), entry_price)
        is_open = at >= stop_bar
        entry_day = np.int32((bar + lead) // BARS_PER_DAY - first_day)
        exit_day = n_days if is_open else np.int32((at + lead) // BARS_PER_DAY - first_day)
        _mark(marks, k, day, entry_day, cash, 0.0, day_closes)
        _mark(marks, k, entry_day, exit_day, base, slope, day_closes)
        day = exit_day
        entries = np.int32(entries + 1)
        if is_open:
            break
        stop = stops[out + e] if trailing > 0.0 else stop_at(anchor, side, stop_loss, has_tick)
        limit = limit_at(anchor, side, take_profit, has_tick)
        price, lowest, highest = float(opens[at]), float(low[at]), float(high[at])
        is_touched = at < until
        ruin = short_ruin(anchor, slip, NO_RUIN)
        if is_touched and side == -1 and highest >= ruin and stop >= ruin:
            entries = np.int32(MAY_BE_RUINED)
            break
        is_stop, level = meets_stop_or_limit(price, highest, lowest, side, stop, limit, tp_first)
        if not is_touched:
            is_stop, level = True, price
        fill = times(level / per_unit, 1.0 - times(sign, slip) if is_stop else 1.0)
        after = equity_after(base, sign, units, fill, fee, capital)
        closed = np.int32(closed + 1)
        if after - cash > 0.0:
            wins = np.int32(wins + 1)
        cash = after
    _mark(marks, k, day, n_days, cash, 0.0, day_closes)
    counts[k, ENTRIES], counts[k, CLOSED], counts[k, WINS] = entries, closed, wins
