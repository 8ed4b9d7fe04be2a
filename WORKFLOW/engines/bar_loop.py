"""The plain compiled engine: the rules of the reference as one loop over every bar.

`simulate` keeps the whole ledger of one combo. `screen` is the baseline for the event-compressed engine of `cpu.py`. It
also screens markets with funding, where the balance changes between events.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines.events import bit
from WORKFLOW.engines.fills import MAX_BARS_REACHED, RUIN, SIGNAL, TAKE_PROFIT, equity_after, limit_at, meets, stop_at
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SCREEN, daily_returns, days_of, screen_row
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.rules import DIRECTION, LIMIT, MAX_BARS, STOP, TRAIL, Executions, Rules

# Indices into `counts`, the integers that the kernel reports.
_CLOSED, _ENTRIES, _WINS, _HELD_BARS, _FILLED_BAR_FILLS, _RUINED = range(6)
_COUNTS = 6


# So many combos outweigh the start of a thread, and are few enough that all threads end at about the same time.
_COMBOS_PER_TASK = 32


def screen(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    windows: Sequence[Window],
    threads: int = 1,
    returns: Sequence[Floats] = (),
) -> Floats:
    """Screen combos bar by bar, with the arguments and the result (windows, combos, 5) of `cpu.screen`.

    `signals` returns the planes for a slice of the combos. `returns` holds one array (k, days) for each window; an
    array with k > 0 is filled with daily returns.
    """
    combos = len(executions.table)
    returns = returns or [np.empty((0, 0)) for _ in windows]
    out = np.empty((len(windows), combos, len(SCREEN)))

    def task(first: int) -> None:
        chunk = slice(first, min(first + _COMBOS_PER_TASK, combos))
        planes = signals(chunk)
        for window, table, daily in zip(windows, out, returns, strict=True):
            _screen(
                *_arrays(market),
                planes.side,
                planes.armed,
                planes.first_side,
                executions.table[chunk],
                *_money(costs),
                window.start,
                window.stop,
                days_of(market, window),
                table[chunk],
                daily[chunk],
            )

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for _ in pool.map(task, range(0, combos, _COMBOS_PER_TASK)):
            pass
    return out


def simulate(market: Market, planes: Planes, combo: int, rules: Rules, window: Window) -> Ledger:
    """Trade combo number `combo` of `planes` under `rules` over `window`; keep all trades and every bar's equity."""
    equity, marks = np.empty(len(window)), np.empty(days_of(market, window))
    armed = planes.armed[combo if len(planes.armed) > 1 else 0]
    capacity = 1024  # trades; the kernel counts all trades, so a second pass has room for exactly as many
    while True:
        trades = np.zeros(capacity, dtype=TRADE)
        counts = np.zeros(_COUNTS, dtype=np.int64)
        notional = _trade(
            *_arrays(market),
            planes.side[combo],
            armed,
            planes.first_side[combo],
            Executions.one(rules).table[0],
            *_money(rules),
            window.start,
            window.stop,
            marks,
            equity,
            trades,
            counts,
        )
        closed = int(counts[_CLOSED])
        if closed <= capacity:
            return Ledger(
                trades=trades[:closed],
                equity=equity,
                entries=int(counts[_ENTRIES]),
                held_bars=int(counts[_HELD_BARS]),
                notional=float(notional),
                filled_bar_fills=int(counts[_FILLED_BAR_FILLS]),
                ruined=bool(counts[_RUINED]),
            )
        capacity = closed


def _arrays(
    market: Market,
) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.int64], Floats, NDArray[np.bool_], float, bool]:
    m = market
    return m.open, m.high, m.low, m.close, m.day, m.funding, m.filled, m.per_unit, m.has_tick


def _money(rules: Rules) -> tuple[float, float, float, bool]:
    return rules.fee_rate, rules.slippage, rules.capital, rules.tie == "tp_first"


@kernel
def _screen(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    days: NDArray[np.int64],
    funding: Floats,
    filled: NDArray[np.bool_],
    per_unit: float,
    has_tick: bool,
    sides: NDArray[np.uint64],
    armed: NDArray[np.uint64],
    first_sides: NDArray[np.int64],
    table: Floats,
    fee: float,
    slip: float,
    capital: float,
    tp_first: bool,
    start: int,
    stop: int,
    n_days: int,
    out: Floats,
    returns: Floats,
) -> None:
    marks = np.empty(n_days)
    no_equity = np.empty(0)
    no_trades = np.zeros(0, dtype=TRADE)
    counts = np.zeros(_COUNTS, dtype=np.int64)
    for k in range(len(table)):
        _trade(
            opens,
            highs,
            lows,
            closes,
            days,
            funding,
            filled,
            per_unit,
            has_tick,
            sides[k],
            armed[k % len(armed)],
            first_sides[k],
            table[k],
            fee,
            slip,
            capital,
            tp_first,
            start,
            stop,
            marks,
            no_equity,
            no_trades,
            counts,
        )
        screen_row(marks, capital, counts[_ENTRIES], counts[_CLOSED], counts[_WINS], out[k])
        if len(returns):
            returns[k, :] = daily_returns(marks, capital)


@kernel
def _trade(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    days: NDArray[np.int64],
    funding: Floats,
    filled: NDArray[np.bool_],
    per_unit: float,
    has_tick: bool,
    sides: NDArray[np.uint64],
    armed: NDArray[np.uint64],
    first_side: int,
    execution: Floats,
    fee: float,
    slip: float,
    capital: float,
    tp_first: bool,
    start: int,
    stop: int,
    marks: Floats,
    equity: Floats,
    trades: NDArray[np.void],
    counts: NDArray[np.int64],
) -> float:
    """Trade one combo over bars [start, stop), rule by rule as the reference's `_Account.bar` does.

    Fills `marks` (equity at the last close of each UTC day) and `counts`. Also fills `equity` (at every close) and
    `trades` if they have room; trades beyond that room are only counted. Returns the notional traded, in quote
    currency.
    """
    stop_loss, take_profit, trailing = execution[STOP], execution[LIMIT], execution[TRAIL]
    max_bars, direction = int(execution[MAX_BARS]), int(execution[DIRECTION])
    has_funding = len(funding) > 0
    keeps = len(equity) > 0
    counts[:] = 0
    notional = 0.0

    # `base` is the cash while a position is open: equity = base + side * units * price. Levels are prices in ticks.
    cash = capital
    side = 0
    units = base = entry_price = equity_at_entry = 0.0
    stop_level = limit_level = trail_level = ruin_level = best = lowest = highest = 0.0
    entry_bar = reason_open = held_bars = day = 0
    time_out = -1
    was_long = bit(sides, max(start - 1, 0))
    day_end = start
    while day_end + 1 < stop and days[day_end + 1] == days[start]:
        day_end += 1

    for j in range(start, stop):
        # The signal of bar j - 1 acts at the open of bar j, so a fill never uses a price that its signal has seen.
        event = False
        if j > start:
            is_long = bit(sides, j - 1)
            event = is_long != was_long and j - 1 > first_side
            was_long = is_long
        # (1) market orders at the open.
        if event or j == time_out:
            price = opens[j]
            reversing = side != 0
            if side != 0:
                reason = SIGNAL if event else MAX_BARS_REACHED
                fill = price / per_unit * (1 - side * slip)
                cash = equity_after(base, side, units, fill, fee, reason, capital)
                if counts[_CLOSED] < len(trades):
                    _keep(
                        trades[counts[_CLOSED]],
                        side,
                        entry_bar,
                        j,
                        entry_price,
                        fill,
                        cash,
                        equity_at_entry,
                        min(lowest, price) / per_unit,
                        max(highest, price) / per_unit,
                        reason_open,
                        reason,
                    )
                notional += _count(counts, cash, equity_at_entry, units * fill, filled[j])
                side, time_out = 0, -1
            wanted = 1 if was_long else -1
            may_open = direction == 0 or (direction == 1) == (wanted == 1)
            if event and may_open and cash > 0.0 and bit(armed, j - 1):
                side, entry_bar, equity_at_entry = wanted, j, cash
                entry_price = price / per_unit * (1 + side * slip)
                units = cash / (entry_price * (1 + fee))
                base = cash - side * units * entry_price - fee * units * entry_price
                stop_level = stop_at(price, side, stop_loss, has_tick)
                limit_level = limit_at(price, side, take_profit, has_tick)
                trail_level = stop_at(price, side, trailing, has_tick)
                ruin_level = -base / (side * units) * per_unit
                best = lowest = highest = price
                reason_open = 1 if reversing else 0
                time_out = j + max_bars if max_bars > 0 else -1
                counts[_ENTRIES] += 1
                counts[_FILLED_BAR_FILLS] += int(filled[j])
                notional += units * entry_price
        if side != 0:
            if has_funding and funding[j] != 0.0:
                base -= side * units * (opens[j] / per_unit) * funding[j]
                ruin_level = -base / (side * units) * per_unit
            # (2) gaps at the open and (3) levels inside the bar. Most bars touch no level and skip both.
            if side == 1:
                touched = lows[j] <= max(stop_level, trail_level, ruin_level) or highs[j] >= limit_level
            else:
                touched = highs[j] >= min(stop_level, trail_level, ruin_level) or lows[j] <= limit_level
            if touched:
                reason, at = meets(
                    opens[j], highs[j], lows[j], side, stop_level, limit_level, trail_level, ruin_level, tp_first
                )
                is_slipped = reason not in (TAKE_PROFIT, RUIN)
                fill = at / per_unit * (1 - side * slip if is_slipped else 1.0)
                cash = equity_after(base, side, units, fill, fee, reason, capital)
                if counts[_CLOSED] < len(trades):
                    _keep(
                        trades[counts[_CLOSED]],
                        side,
                        entry_bar,
                        j,
                        entry_price,
                        fill,
                        cash,
                        equity_at_entry,
                        min(lowest, at, opens[j]) / per_unit,
                        max(highest, at, opens[j]) / per_unit,
                        reason_open,
                        reason,
                    )
                notional += _count(counts, cash, equity_at_entry, units * fill, filled[j])
                side, time_out = 0, -1
        # (4) the close.
        if side != 0:
            held_bars += 1
            if keeps:
                lowest, highest = min(lowest, lows[j]), max(highest, highs[j])
            # A new high (or low) moves the trailing stop only after this bar has been executed: inside a bar, nobody
            # knows whether the high came before the low.
            if trailing > 0.0:
                reached = highs[j] if side == 1 else lows[j]
                if side * (reached - best) > 0:
                    best = reached
                    trail_level = stop_at(best, side, trailing, has_tick)
        if keeps or j == day_end:
            worth = cash if side == 0 else base + side * units * (closes[j] / per_unit)
            if keeps:
                equity[j - start] = worth
            if j == day_end:
                marks[day] = worth
                day += 1
                day_end = min(j + BARS_PER_DAY, stop - 1)
    counts[_HELD_BARS] = held_bars
    return notional


@kernel
def _count(counts: NDArray[np.int64], cash: float, equity_at_entry: float, notional: float, is_filled: bool) -> float:
    counts[_CLOSED] += 1
    counts[_WINS] += int(cash - equity_at_entry > 0.0)
    counts[_FILLED_BAR_FILLS] += int(is_filled)
    if cash <= 0.0:
        counts[_RUINED] = 1
    return notional


@kernel
def _keep(
    trade: np.void,
    side: int,
    entry_bar: int,
    exit_bar: int,
    entry_price: float,
    exit_price: float,
    cash: float,
    equity_at_entry: float,
    lowest: float,
    highest: float,
    reason_open: int,
    reason_close: int,
) -> None:
    """Write one closed trade. `lowest` and `highest` are the extreme prices of its lifetime, in quote currency."""
    against, favour = (lowest, highest) if side == 1 else (highest, lowest)
    trade["side"] = side
    trade["entry_bar"] = entry_bar
    trade["exit_bar"] = exit_bar
    trade["entry_price"] = entry_price
    trade["exit_price"] = exit_price
    trade["pnl"] = cash - equity_at_entry
    trade["gross_pnl_pct"] = side * (exit_price / entry_price - 1)
    trade["net_pnl_pct"] = cash / equity_at_entry - 1
    trade["mae_pct"] = min(0.0, side * (against / entry_price - 1))
    trade["mfe_pct"] = max(0.0, side * (favour / entry_price - 1))
    trade["reason_open"] = reason_open
    trade["reason_close"] = reason_close
