"""The CPU batch engine: it jumps from event to event, and compares many bars at once to find a touched level.

Trades and money equal those of the reference to the bit: between two events nothing happens until a level is touched,
and what happens then is computed in the reference's order of operations. Each combo goes through two passes. The first
finds where each trade ends; that does not depend on money, so the processor can overlap the searches. The second
computes the money, trade after trade.

The engine leaves two cases to the plain bar loop: markets with funding, where money changes between events, and combos
with a short position that has no near stop and sees the price double, because there the level of ruin decides.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import bar_loop, passes
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SCREEN, TOTAL_TRADES, days_of
from WORKFLOW.engines.passes import NO_RUIN
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.rules import Executions, Rules

# Targets per task: about 4 MB of planes and at most 3 MB of marks, so that both stay in the processor's caches.
_SIGNALS_PER_TASK, _COMBOS_PER_TASK = 128, 512
_TASKS_PER_THREAD = 4  # at least; with fewer, some threads would end long before the others


def screen(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    windows: Sequence[Window],
    threads: int = 1,
    signal_of: NDArray[np.int64] | None = None,
) -> Floats:
    """Return the `metrics.SCREEN` columns of k combos over w windows, float64 (w, k, 5), NaN where undefined.

    `signals` returns the planes for a slice of the distinct signals. `signal_of` (k,) says which signal each combo
    trades; None means that combo i trades signal i. Combos with the same signal share the work on it. Threads call
    `signals` at the same time, for a few signals each, so the memory does not grow with k. `costs` supplies fee,
    slippage, capital and tie rule; its other fields are not read. The result does not depend on `threads`, because
    every combo is computed on its own.

    Look-ahead: only the planes could cause it; see `Planes`.
    """
    nowhere = [np.empty((0, 0)) for _ in windows]
    return _play(market, signals, executions, costs, windows, threads, signal_of, nowhere)


def screen_returns(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    window: Window,
    threads: int = 1,
    signal_of: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:
    """Return the columns (k, 5) that `screen` returns, for one window, and the daily returns, float64 (k, days).

    The returns contain no NaN: a day without a position returns 0, and so does every day of a combo that never trades,
    and every day after ruin. They take 8 bytes per combo and day, so a caller with many combos should ask for some at a
    time. See `screen` for the arguments.
    """
    returns = np.empty((len(executions.table), days_of(market, window)))
    table = _play(market, signals, executions, costs, [window], threads, signal_of, [returns])[0]
    return table, returns


def _play(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    windows: Sequence[Window],
    threads: int,
    signal_of: NDArray[np.int64] | None,
    returns: Sequence[Floats],
) -> Floats:
    """Screen as `screen` does. `returns` holds one array (k, days) for each window; arrays with k > 0 are filled."""
    combos = len(executions.table)
    signal_of = np.arange(combos) if signal_of is None else signal_of
    if is_for_bar_loop(market):
        everyone = np.arange(combos)
        return bar_by_bar(market, signals, executions, costs, windows, threads, signal_of, everyone, returns)
    # Combos are sorted by signal, so that a task can compute the planes and events of a signal once for all its combos.
    order = np.argsort(signal_of, kind="stable")
    table, signal_at = np.ascontiguousarray(executions.table[order]), signal_of[order]
    starts = np.searchsorted(signal_at, np.arange(signal_of.max(initial=-1) + 2))  # each signal's first combo
    found = np.empty((len(windows), combos, len(SCREEN)))
    tapes = [passes.Tape.of(market, window) for window in windows]
    money = passes.Money(costs.fee_rate, costs.slippage, costs.capital, costs.tie == "tp_first")
    per_task = _combos_per_task(combos, len(starts) - 1, threads)

    def task(first: int) -> None:
        last = min(first + per_task, combos) - 1
        chunk = slice(int(signal_at[first]), int(signal_at[last]) + 1)
        bounds = np.clip(starts[chunk.start : chunk.stop + 1], first, last + 1)
        planes = signals(chunk)
        for tape, rows, daily in zip(tapes, found, returns, strict=True):
            passes.play(tape, planes.side, planes.armed, planes.first_side, bounds, table, money, rows, order, daily)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for _ in pool.map(task, range(0, combos, per_task)):
            pass
    out = np.empty_like(found)
    out[:, order] = found
    left = np.flatnonzero((out[..., TOTAL_TRADES] == passes.LEFT_TO_BAR_LOOP).any(axis=0))
    if len(left):
        again = [np.empty((len(left) if len(daily) else 0, daily.shape[1])) for daily in returns]
        out[:, left] = bar_by_bar(market, signals, executions, costs, windows, threads, signal_of, left, again)
        for daily, known in zip(returns, again, strict=True):
            if len(daily):
                daily[left] = known
    return out


def _combos_per_task(combos: int, signals: int, threads: int) -> int:
    """Return a size so small that a task's planes and marks stay in the caches, and that all threads end together."""
    shared = combos * _SIGNALS_PER_TASK // max(signals, 1)  # combos that use that many signals, on average
    fair = combos // (max(threads, 1) * _TASKS_PER_THREAD)
    return max(1, min(shared, fair, _COMBOS_PER_TASK))


def is_for_bar_loop(market: Market) -> bool:
    """Return whether money changes between events or a long position could be ruined: cases for the bar loop."""
    return len(market.funding) > 0 or bool(market.low.min() < NO_RUIN * market.high.max())


def bar_by_bar(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    windows: Sequence[Window],
    threads: int,
    signal_of: NDArray[np.int64],
    combos: NDArray[np.int64],
    returns: Sequence[Floats] = (),
) -> Floats:
    """Screen the combos numbered `combos` with the plain bar loop. The other arguments are those of `_play`."""

    def planes(chunk: slice) -> Planes:
        each = [signals(slice(signal, signal + 1)) for signal in signal_of[combos[chunk]].tolist()]
        return Planes(*(np.concatenate([getattr(one, name) for one in each]) for name in Planes.__dataclass_fields__))

    return bar_loop.screen(market, planes, Executions(executions.table[combos]), costs, windows, threads, returns)
