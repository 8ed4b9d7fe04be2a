"""The CPU batch engine: every combo from event to event, searching for the first touch instead of walking the bars.

Same trades and same money as the reference, to the bit: between two events nothing happens until a level is touched,
and what happens then is computed in the reference's order. A combo goes through two passes: where each of its trades
ends, which does not depend on money, so that the searches overlap in the processor; then the money, trade after trade.

What it does not know it leaves to the plain bar loop, whole: markets with funding, where money moves between events,
and combos in which a short position without a near stop sees its price double, where the level of ruin decides.
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

_SIGNALS_PER_TASK, _COMBOS_PER_TASK = 128, 512  # about, and at most: 4 MB of planes, 3 MB of marks
_TASKS_PER_THREAD = 4  # at least, so that all threads end together


def screen(
    market: Market,
    signals: Callable[[slice], Planes],
    executions: Executions,
    costs: Rules,
    windows: Sequence[Window],
    threads: int = 1,
    signal_of: NDArray[np.int64] | None = None,
) -> Floats:
    """The `metrics.SCREEN` columns of k combos over w windows, float64 (w, k, 5), NaN where undefined.

    `signals` gives the planes of a slice of the distinct signals, `signal_of` (k,) which of them each combo trades
    (None: combo i signal i); combos that share one share the work on it. Threads call `signals` side by side, for a few
    signals at a time, so memory stays small whatever k is. `costs` supplies fee, slippage, capital and tie rule; its
    other fields are not read. The result does not depend on `threads`: every combo is computed on its own.
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
    """The `metrics.SCREEN` columns (k, 5) of k combos over one window as `screen` has them, and their
    `metrics.daily_returns`, float64 (k, days).

    No NaN in the returns: a day without a position returns 0, so does every day of a combo that never trades and all
    days after ruin. 8 bytes a combo and day: whoever has many combos asks for some at a time.
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
    """As `screen`; fills those of `returns`, one (k, days) for each window, that have room."""
    combos = len(executions.table)
    signal_of = np.arange(combos) if signal_of is None else signal_of
    if is_for_bar_loop(market):
        everyone = np.arange(combos)
        return bar_by_bar(market, signals, executions, costs, windows, threads, signal_of, everyone, returns)
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
    """Few enough that planes and marks of a task stay near the processor and all threads end together."""
    shared = combos * _SIGNALS_PER_TASK // max(signals, 1)  # combos on so many signals
    fair = combos // (max(threads, 1) * _TASKS_PER_THREAD)
    return max(1, min(shared, fair, _COMBOS_PER_TASK))


def is_for_bar_loop(market: Market) -> bool:
    """Whether money moves between events, or a long position could be ruined: only the bar loop knows how."""
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
    """`screen` of some of its combos by the plain bar loop; `returns` as there."""

    def planes(chunk: slice) -> Planes:
        each = [signals(slice(signal, signal + 1)) for signal in signal_of[combos[chunk]].tolist()]
        return Planes(*(np.concatenate([getattr(one, name) for one in each]) for name in Planes.__dataclass_fields__))

    return bar_loop.screen(market, planes, Executions(executions.table[combos]), costs, windows, threads, returns)
