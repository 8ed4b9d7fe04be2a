"""The program that asks vectorbt: `python -m WORKFLOW.crosscheck.with_vectorbt QUESTION ANSWER`.

Importing vectorbt takes 6 to 9 s and 270 MB, so it runs in a process of its own. Only the recipe `as_traded` needs
callbacks, because vectorbt has one slippage per row and fills a gapped take-profit at the open.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import vectorbt
from numpy.typing import NDArray

from state.host import process
from WORKFLOW.crosscheck.agreement import FILL, Fills
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.market import TICK_SNAP

Bits = NDArray[np.bool_]
Signs = NDArray[np.int8]  # what each bar's close decided: 1 long, -1 short, 0 nothing
Run = Mapping[str, Any]

# A fixed quantity of one unit, with so much cash that no loss uses it up.
_MONEY = {"size": 1.0, "size_type": "amount", "init_cash": 1e12, "upon_opposite_entry": "reverse"}
_FAR = 1e300  # beyond every price

# as_traded: the purpose of each of the five rows of a bar.
_ORDERS, _GAP_LONG, _GAP_SHORT, _STOP, _LIMIT = range(5)
_ROWS = 5


def next_open(bars: Mapping[str, Floats], event: Signs, enter: Signs, run: Run) -> Fills:
    """Use three rows per bar: gaps are met on the first, orders fill on the second, the third is the bar itself."""
    o = bars["open"]
    rows = {name: np.column_stack([o, o, whole]).ravel() for name, whole in bars.items()}
    signals = [_spread(one, 3, 1) for one in _signals(_later(event), _later(enter))]
    return _plain(rows, 3, signals, rows["close"], "fillprice", run)


def same_close(bars: Mapping[str, Floats], event: Signs, enter: Signs, run: Run) -> Fills:
    """Fill at the close that gave the signal; vectorbt itself drops a signal on the row of a stop."""
    return _plain(bars, 1, _signals(event, enter), bars["close"], "fillprice", run)


def shifted_signals(bars: Mapping[str, Floats], event: Signs, enter: Signs, run: Run) -> Fills:
    """Use the popular recipe, which looks like a fill at the next open and is wrong.

    Its stops are measured from the entry bar's close and sleep during that bar, and a signal on the bar of a stop is
    lost.
    """
    return _plain(bars, 1, _signals(_later(event), _later(enter)), bars["open"], "close", run)


def _plain(
    bars: Mapping[str, Floats], rows: int, signals: Sequence[Bits], price: Floats, anchor: str, run: Run
) -> Fills:
    """Call vectorbt as its users do. All recipes pass the same types of arguments, so that Numba compiles only once."""
    long_entries, long_exits, short_entries, short_exits = signals
    portfolio = vectorbt.Portfolio.from_signals(
        **bars,
        entries=long_entries,
        exits=long_exits,
        short_entries=short_entries,
        short_exits=short_exits,
        price=price,
        stop_entry_price=anchor,
        sl_stop=run["stop_loss"] or np.nan,
        tp_stop=run["take_profit"] or np.nan,
        fees=run["fee_rate"],
        slippage=run["slippage"],
        **_MONEY,
    )
    return _fills(portfolio, rows)


def as_traded(bars: Mapping[str, Floats], event: Signs, enter: Signs, run: Run) -> Fills:
    """Trade under our own rules, with five rows per bar.

    The rows are: orders at the open; a gapped take-profit of a long position, then of a short position; the bar with
    the stop alone, with slippage; and the bar with the take-profit alone, without slippage. A gapped take-profit must
    fill at its limit. So its row reaches from nothing to the open, and vectorbt sees the level as touched and not as
    passed.
    """
    o, h, low, c = (bars[name] for name in ("open", "high", "low", "close"))
    nothing, far = np.zeros(len(o)), np.full(len(o), _FAR)
    slipped = np.full(len(o), run["slippage"])
    state = np.zeros(1, dtype=np.int64)
    stops = (run["stop_loss"], run["trailing_stop"], run["on_ticks"], state)

    def rows(*five: Floats) -> Floats:
        return np.column_stack(five).ravel()

    portfolio = vectorbt.Portfolio.from_signals(
        rows(o, o, o, c, c),
        price=rows(o, o, o, o, o),
        open=rows(o, nothing, far, o, o),
        high=rows(o, o, far, h, h),
        low=rows(o, nothing, o, low, low),
        slippage=rows(slipped, nothing, nothing, slipped, nothing),
        fees=run["fee_rate"],
        signal_func_nb=_orders,
        signal_args=(_later(event), _later(enter), run["max_bars"], state),
        sl_trail=run["trailing_stop"] > 0,
        adjust_sl_func_nb=_stop,
        adjust_sl_args=stops,
        adjust_tp_func_nb=_limit,
        adjust_tp_args=(run["take_profit"], run["on_ticks"]),
        stop_entry_price="price",
        stop_exit_price="stopmarket",
        **_MONEY,
    )
    return _fills(portfolio, _ROWS)


# callbacks of as_traded ---------------------------------------------------------------------------------------------


@kernel
def _orders(
    c: Any, event: Signs, enter: Signs, max_bars: int, state: NDArray[np.int64]
) -> tuple[bool, bool, bool, bool]:
    """Return long entry, long exit, short entry, short exit of a row; `state[0]` is the entry row of the position."""
    if c.i % _ROWS != _ORDERS:
        return False, False, False, False
    j = c.i // _ROWS
    timed_out = max_bars > 0 and c.position_now != 0.0 and j == state[0] // _ROWS + max_bars
    long_exit = c.position_now > 0.0 and enter[j] == 0 and (timed_out or event[j] < 0)
    short_exit = c.position_now < 0.0 and enter[j] == 0 and (timed_out or event[j] > 0)
    return enter[j] > 0, long_exit, enter[j] < 0, short_exit


@kernel
def _stop(c: Any, stop_loss: float, trailing: float, has_tick: bool, state: NDArray[np.int64]) -> tuple[float, bool]:
    """Return the tighter of stop and trailing stop as a fraction of the best price.

    vectorbt moves the best price after the row of the bar.
    """
    state[0] = c.init_i
    trails = trailing > 0.0
    if c.i % _ROWS != _STOP or c.position_now == 0.0 or (stop_loss <= 0.0 and not trails):
        return np.nan, trails
    side = 1.0 if c.position_now > 0.0 else -1.0
    level = -side * np.inf
    if stop_loss > 0.0:
        level = _on_tick(c.init_price * (1.0 - side * stop_loss), side, has_tick)
    if trails:
        trail = _on_tick(c.curr_price * (1.0 - side * trailing), side, has_tick)
        level = max(level, trail) if side > 0.0 else min(level, trail)
    return _fraction(c.curr_price, level), trails


@kernel
def _limit(c: Any, take_profit: float, has_tick: bool) -> float:
    """Return the take-profit as a fraction of the entry price, on the rows made for it."""
    row = c.i % _ROWS
    gap = (row == _GAP_LONG and c.position_now > 0.0) or (row == _GAP_SHORT and c.position_now < 0.0)
    if take_profit <= 0.0 or c.position_now == 0.0 or not (gap or row == _LIMIT):
        return np.nan
    side = 1.0 if c.position_now > 0.0 else -1.0
    level = _on_tick(c.init_price * (1.0 + side * take_profit), side, has_tick)
    return _fraction(c.init_price, level) if level > 0.0 else np.nan


@kernel
def _on_tick(exact: float, side: float, has_tick: bool) -> float:
    """Round as the engines do: up for a long position, and down for a short one."""
    if not has_tick:
        return exact
    return float(np.ceil(exact - TICK_SNAP) if side > 0.0 else np.floor(exact + TICK_SNAP))


@kernel
def _fraction(base: float, level: float) -> float:
    """Return the fraction for which vectorbt's `base * (1 ± fraction)` equals `level`.

    The product may miss the level by the last bit towards `base`, so that a price on the level touches it there, too.
    """
    fraction = abs(level / base - 1.0)
    if level >= base:
        while fraction > 0.0 and base * (1.0 + fraction) > level:
            fraction = max(fraction - 5e-17, 0.0)
    else:
        while fraction > 0.0 and base * (1.0 - fraction) < level:
            fraction = max(fraction - 5e-17, 0.0)
    return fraction


# helpers --------------------------------------------------------------------------------------------------------------


def _later(at_close: Signs) -> Signs:
    """Move what a bar's close decided to the bar after it."""
    return np.concatenate([np.zeros(1, dtype=np.int8), at_close[:-1]])


def _signals(event: Signs, enter: Signs) -> tuple[Bits, Bits, Bits, Bits]:
    """Return long entries, long exits, short entries and short exits; an entry against a position reverses it."""
    return enter > 0, (event < 0) & (enter == 0), enter < 0, (event > 0) & (enter == 0)


def _spread(bits: Bits, rows: int, row: int) -> Bits:
    """Put the bit of every bar on one of its rows."""
    wide = np.zeros(len(bits) * rows, dtype=np.bool_)
    wide[row::rows] = bits
    return wide


def _fills(portfolio: Any, rows: int) -> Fills:
    trades = portfolio.exit_trades.values
    trades = trades[trades["status"] == 1]  # closed
    fills = np.zeros(len(trades), dtype=FILL)
    fills["side"] = np.where(trades["direction"] == 0, 1, -1)
    fills["entry_bar"], fills["exit_bar"] = trades["entry_idx"] // rows, trades["exit_idx"] // rows
    fills["entry_price"], fills["exit_price"] = trades["entry_price"], trades["exit_price"]
    fills["pnl_per_unit"] = trades["pnl"] / trades["size"]
    return fills


_RECIPES = {f.__name__: f for f in (next_open, same_close, shifted_signals, as_traded)}


def main(asked: str, answered: str) -> None:
    """Answer every question of the file `asked`; print 0 once the tool is loaded, then the number of answers so far."""
    with np.load(asked) as question:
        bars = {name: question[name] for name in ("open", "high", "low", "close")}
        fills: dict[str, Any] = {}
        print(0, flush=True)
        for k, run in enumerate(json.loads(str(question["runs"]))):
            recipe = _RECIPES[run["recipe"]]
            fills[f"fills_{k}"] = recipe(bars, question[f"event_{k}"], question[f"enter_{k}"], run)
            print(k + 1, flush=True)
    np.savez(answered, version=np.array(vectorbt.__version__), **fills)


if __name__ == "__main__":
    process.begin()
    main(*sys.argv[1:])
