"""The GPU's batch engine: `cpu.screen` on a device, in batches that fit, with only what is asked for coming back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, Floats
from WORKFLOW.engines import cpu
from WORKFLOW.engines.best import Best, Integers, joined, passed
from WORKFLOW.engines.gpu.device import Device
from WORKFLOW.engines.gpu.events import count_events, write_events
from WORKFLOW.engines.gpu.execute import search, settle
from WORKFLOW.engines.gpu.measure import (
    BINS,
    ELIGIBLE,
    LEFT,
    MOST_TRADES,
    collect,
    daily_returns,
    gather,
    measure,
    tally,
)
from WORKFLOW.engines.gpu.planes import DeviceSignals
from WORKFLOW.engines.gpu.toolkit import cuda, threads, warps
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SCREEN, TOTAL_TRADES, daily_marks
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.rules import TRAIL, Executions, Rules
from WORKFLOW.engines.touch import touchable

# Bars for each event, when memory is planned: three times as many as the benchmark space has.
_BARS_PER_EVENT = 200


@dataclass(frozen=True)
class Work:
    """What is to be screened. `signals` makes planes on the CPU, for combos that only the bar loop knows."""

    signals: Callable[[slice], Planes]
    on_device: DeviceSignals
    executions: Executions
    costs: Rules
    signal_of: Integers


class _Tape(NamedTuple):
    """A market and a window in device memory; see `passes.Tape`."""

    prices: tuple[Any, Any, Any]
    blocks: tuple[Any, Any, Any, Any]
    has_tick: bool
    per_unit: float
    lead: int
    start: int
    stop: int
    day_closes: Any

    @classmethod
    def of(cls, market: Market, window: Window) -> Self:
        touch = touchable(market)
        closes = daily_marks(market.close[window.start : window.stop], market, window) / market.per_unit
        send = cuda.to_device
        return cls(
            (send(touch.open), send(touch.low), send(touch.high)),
            (send(touch.block_low), send(touch.block_high), send(touch.fall), send(touch.rise)),
            market.has_tick,
            market.per_unit,
            int(market.time_ms[0]) // BAR_MS % BARS_PER_DAY,
            window.start,
            window.stop,
            send(closes),
        )


class _Part(NamedTuple):
    """What the device holds of some combos once they were played."""

    rows: Any  # (combos, 5)
    marks: Any  # (days, combos)


class Screener:
    """One market on one device. Not thread-safe: a device does one thing at a time."""

    def __init__(self, device: Device, market: Market) -> None:
        self.device = device
        self._market = market
        self._tapes: dict[tuple[int, int], _Tape] = {}

    def table(self, work: Work, windows: Sequence[Window], cores: int = 1) -> Floats:
        """The `metrics.SCREEN` columns of k combos over w windows, float64 (w, k, 5): `cpu.screen` on the device."""
        combos = len(work.signal_of)
        out = np.empty((len(windows), combos, len(SCREEN)))
        if cpu.is_for_bar_loop(self._market):
            return self._by_bar_loop(work, windows, cores, np.arange(combos))
        for window, rows in zip(windows, out, strict=True):

            def keep(some: Integers, part: _Part, rows: Floats = rows) -> None:
                rows[some] = part.rows.copy_to_host()

            self._play(work, window, keep)
        left = np.flatnonzero((out[..., TOTAL_TRADES] < 0).any(axis=0))
        if len(left):
            out[:, left] = self._by_bar_loop(work, windows, cores, left)
        return out

    def best(self, work: Work, window: Window, min_trades: int, keep: int, cores: int = 1) -> Best:
        """The `keep` best by Sharpe ratio; ranked on the device, the rest never leaves it."""
        if cpu.is_for_bar_loop(self._market):
            every = np.arange(len(work.signal_of))
            return passed(every, self._by_bar_loop(work, [window], cores, every)[0], min_trades)
        found: list[Best] = []

        def rank(some: Integers, part: _Part) -> None:
            found.append(self._best_of(work, window, some, part.rows, min_trades, keep, cores))

        self._play(work, window, rank)
        return joined(found)

    def daily_returns(self, work: Work, window: Window, kind: Any = np.float32) -> NDArray[Any]:
        """The daily returns of every combo, (k, days), float32 or float64.

        Raises:
            ValueError: for a market or a combo that only the bar loop knows: it keeps no daily returns of many.
        """
        if cpu.is_for_bar_loop(self._market):
            raise ValueError("daily returns of a market with funding, or with prices near zero")
        days = daily_marks(self._market.close[window.start : window.stop], self._market, window)
        out = np.empty((len(work.signal_of), len(days)), dtype=kind)

        def keep(some: Integers, part: _Part) -> None:
            if (part.rows.copy_to_host()[:, TOTAL_TRADES] < 0).any():
                raise ValueError("daily returns of a short position whose price doubled")
            returns = cuda.device_array((len(some), len(days)), kind)
            daily_returns[threads(len(some))](part.marks, work.costs.capital, returns)
            out[some] = returns.copy_to_host()

        self._play(work, window, keep)
        return out

    def _play(self, work: Work, window: Window, hear: Callable[[Integers, _Part], None]) -> None:
        """`hear` each part of the combos, (numbers, results), as large as memory allows."""
        order = np.argsort(work.signal_of, kind="stable")
        first = 0
        while first < len(order):
            count = min(self.device.combos_at_once(_bytes_per_combo(window)), len(order) - first)
            some = order[first : first + count]
            try:
                hear(some, self._part(work, self._tape(window), some))
            except Exception as error:
                self.device.give_way(error, count)
                continue
            first += count

    def _part(self, work: Work, tape: _Tape, some: Integers) -> _Part:
        begin, end = int(work.signal_of[some[0]]), int(work.signal_of[some[-1]]) + 1
        planes = work.on_device(slice(begin, end))
        signals, combos = end - begin, len(some)
        counted = cuda.device_array(signals, np.int32)
        count_events[warps(signals)](planes.words, planes.grid, tape.start, tape.stop, counted)
        counts = counted.copy_to_host().astype(np.int64)
        offsets = _offsets(counts + 1)
        all_events = cuda.device_array(int(offsets[-1]), np.int32)
        on_device = cuda.to_device(offsets)
        write_events[warps(signals)](
            planes.words, planes.grid, planes.armed, tape.start, tape.stop, on_device, all_events
        )
        signal_of = work.signal_of[some] - begin
        table = np.ascontiguousarray(work.executions.table[some])
        slots = _offsets(counts[signal_of])
        room = max(int(slots[-1]), 1)
        ends = cuda.device_array(room, np.int32)
        stops = cuda.device_array(room if (table[:, TRAIL] > 0.0).any() else 1, np.float64)
        of, rules = cuda.to_device(signal_of.astype(np.int32)), cuda.to_device(table)
        trades = (all_events, on_device, of, rules, cuda.to_device(slots[:-1]), ends, stops)
        search[warps(combos)](*tape.prices, *tape.blocks, tape.has_tick, work.costs.slippage, *trades)
        marks = cuda.device_array((len(tape.day_closes), combos), np.float64)
        money = cuda.device_array((combos, 3), np.int32)
        costs = work.costs
        settle[threads(combos)](
            *tape.prices,
            tape.day_closes,
            tape.has_tick,
            tape.per_unit,
            tape.lead,
            tape.start,
            tape.stop,
            costs.fee_rate,
            costs.slippage,
            costs.capital,
            costs.tie == "tp_first",
            *trades,
            marks,
            money,
        )
        rows = cuda.device_array((combos, len(SCREEN)), np.float64)
        measure[threads(combos)](marks, money, costs.capital, rows)
        return _Part(rows, marks)

    def _best_of(
        self, work: Work, window: Window, some: Integers, rows: Any, min_trades: int, keep: int, cores: int
    ) -> Best:
        bins, seen = cuda.to_device(np.zeros(BINS, dtype=np.int32)), cuda.to_device(np.zeros(3, dtype=np.int32))
        tally[threads(len(some))](rows, float(min_trades), bins, seen)
        counted = seen.copy_to_host()
        at_least = np.cumsum(bins.copy_to_host()[::-1])[::-1]  # combos in each bin or a better one
        enough = np.flatnonzero(at_least >= keep)
        least = int(enough[-1]) if len(enough) else 0
        wanted = int(at_least[least] + counted[LEFT])
        if not wanted:
            return Best(len(some), 0, int(counted[MOST_TRADES]), np.zeros(0, np.int64), np.zeros((0, len(SCREEN))))
        chosen, filled = cuda.device_array(wanted, np.int32), cuda.to_device(np.zeros(1, dtype=np.int32))
        collect[threads(len(some))](rows, float(min_trades), least, chosen, filled)
        best = cuda.device_array((wanted, len(SCREEN)), np.float64)
        gather[threads(wanted)](rows, chosen, best)
        numbers, table = some[chosen.copy_to_host()], best.copy_to_host()
        is_left = table[:, TOTAL_TRADES] < 0
        sure = Best(len(some), int(counted[ELIGIBLE]), int(counted[MOST_TRADES]), numbers[~is_left], table[~is_left])
        if not is_left.any():
            return sure
        left = np.sort(numbers[is_left])
        other = passed(left, self._by_bar_loop(work, [window], cores, left)[0], min_trades)
        return joined([sure, other._replace(tried=0)])

    def _tape(self, window: Window) -> _Tape:
        key = window.start, window.stop
        if key not in self._tapes:
            self._tapes[key] = _Tape.of(self._market, window)
        return self._tapes[key]

    def _by_bar_loop(self, work: Work, windows: Sequence[Window], cores: int, combos: Integers) -> Floats:
        return cpu.bar_by_bar(
            self._market, work.signals, work.executions, work.costs, windows, cores, work.signal_of, combos
        )


def _offsets(counts: Integers) -> Integers:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def _bytes_per_combo(window: Window) -> int:
    """Were no signal shared: its bits on the base grid, events, trades with stops, marks and row."""
    events = len(window) // _BARS_PER_EVENT
    return len(window) // 8 + 4 * events + 12 * events + 8 * (len(window) // BARS_PER_DAY + 2) + 128
