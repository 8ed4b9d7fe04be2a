"""One market, one family, one set of costs: parameters in, metrics or a ledger out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from config.settings import Costs
from state.records.metrics import Metrics
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import bar_loop, cpu, metrics, reference
from WORKFLOW.engines.best import Best, passed
from WORKFLOW.engines.choice import EngineChoice, choose
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, unpack
from WORKFLOW.engines.rules import EXECUTION, Rules, Tie
from WORKFLOW.search.space import BLOCK, Combos, Parameters
from WORKFLOW.signals.family import BoundFamily, DeviceFamily, Family, HasDevice

if TYPE_CHECKING:
    from WORKFLOW.engines.gpu.planes import DevicePlanes
    from WORKFLOW.engines.gpu.screen import Screener, Work


@dataclass(frozen=True)
class Evaluator:
    """Signals see every bar of `market` up to the bar they decide on; a window only bounds the trading."""

    market: Market
    family: Family
    costs: Costs
    engine: str = "auto"
    gpu: int | None = None  # which; None: the first, -1: none

    @cached_property
    def choice(self) -> EngineChoice:
        """What screens, and why. Ledgers never leave the CPU: asking for one opens no GPU."""
        return choose(self.engine, self.gpu)

    @property
    def engine_name(self) -> str:
        """What screens: reference, native or gpu."""
        return self.choice.engine

    @property
    def is_reference(self) -> bool:
        """Whether the readable engine does everything."""
        return self.engine == "reference"

    @cached_property
    def _signals(self) -> BoundFamily:
        return self.family.on(self.market)

    @property
    def whole(self) -> Window:
        """All bars of the market."""
        return Window(0, len(self.market))

    def screen(self, combos: Combos, windows: Sequence[Window], threads: int) -> Floats:
        """The `metrics.SCREEN` columns of many combos over some windows, float64 (w, k, 5)."""
        if self.is_reference:
            rows = [combos.row(i) for i in range(len(combos))]
            table = [[self._screen_row(self.metrics(row, window)) for row in rows] for window in windows]
            return np.array(table).reshape(len(windows), len(rows), len(metrics.SCREEN))
        if self.engine_name == "gpu":
            return self._on_gpu.table(self._work(combos), windows, threads)
        signals, signal_of = self._shared(combos)
        rules = Rules.of(self.costs, {})
        return cpu.screen(self.market, signals, combos.executions(), rules, windows, threads, signal_of)

    def screen_returns(self, combos: Combos, window: Window, threads: int) -> Floats:
        """Simple daily returns of many combos over one window, float64 (k, days).

        Each row is `metrics.daily_returns` of the combo's ledger, within 1e-12. No NaN: a day without a position
        returns 0, so does every day of a combo that never trades and all days after ruin. 8 bytes a combo and day:
        whoever has many combos asks for some at a time.
        """
        return self.screen_with_returns(combos, window, threads)[1]

    def screen_with_returns(self, combos: Combos, window: Window, threads: int) -> tuple[Floats, Floats]:
        """The `metrics.SCREEN` columns (k, 5) and the daily returns (k, days) of many combos over one window."""
        if self.is_reference:
            rows = [self._daily_returns(combos.row(i), window) for i in range(len(combos))]
            returns = np.array(rows).reshape(len(combos), metrics.days_of(self.market, window))
            return self.screen(combos, [window], threads)[0], returns
        signals, signal_of = self._shared(combos)
        rules = Rules.of(self.costs, {})
        return cpu.screen_returns(self.market, signals, combos.executions(), rules, window, threads, signal_of)

    def _shared(self, combos: Combos) -> tuple[Callable[[slice], Planes], NDArray[np.int64]]:
        """The planes of a slice of the distinct signals, and (k,) which of them each combo trades."""
        distinct, signal_of = combos.distinct(self.family.parameters)
        self._signals.prepare(distinct)
        return lambda chunk: self._signals.planes({n: c[chunk] for n, c in distinct.items()}), signal_of

    def _daily_returns(self, parameters: Parameters, window: Window) -> Floats:
        marks = metrics.daily_marks(self.ledger(parameters, window).equity, self.market, window)
        return metrics.daily_returns(marks, self.costs.capital)

    def best(self, combos: Combos, min_trades: int, keep: int, threads: int) -> Best:
        """At least the `keep` best by Sharpe ratio over the whole market, of the combos with enough trades."""
        if not self.is_reference and self.engine_name == "gpu":
            return self._on_gpu.best(self._work(combos), self.whole, min_trades, keep, threads)
        return passed(np.arange(len(combos)), self.screen(combos, [self.whole], threads)[0], min_trades)

    def batches_together(self, batch_combos: int) -> int:
        """How many batches are worth doing at once: a GPU is hardly filled by one.

        Of a family without kernels no more than one: this machine makes its planes and holds all of them.
        """
        is_on_gpu = not self.is_reference and self.engine_name == "gpu" and isinstance(self.family, HasDevice)
        return max(1, BLOCK // batch_combos) if is_on_gpu else 1

    @cached_property
    def _on_gpu(self) -> "Screener":
        from WORKFLOW.engines.gpu.screen import Screener

        assert self.choice.device is not None
        return Screener(self.choice.device, self.market)

    @cached_property
    def _device_signals(self) -> DeviceFamily | None:
        return self.family.on_device(self.market) if isinstance(self.family, HasDevice) else None

    def _work(self, combos: Combos) -> "Work":
        from WORKFLOW.engines.gpu.planes import uploaded
        from WORKFLOW.engines.gpu.screen import Work

        distinct, signal_of = combos.distinct(self.family.parameters)

        def on_cpu(chunk: slice) -> Planes:
            some = {name: column[chunk] for name, column in distinct.items()}
            self._signals.prepare(some)
            return self._signals.planes(some)

        def signals(chunk: slice) -> "DevicePlanes":
            on_device = self._device_signals  # made here, where what the device says is understood
            if on_device is None:
                return uploaded(on_cpu(chunk), len(self.market))
            return on_device.planes({name: column[chunk] for name, column in distinct.items()})

        return Work(on_cpu, signals, combos.executions(), Rules.of(self.costs, {}), signal_of)

    def ledger(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> Ledger:
        """Everything one combo does in `window`."""
        if self.is_reference:
            return self.reference_ledger(parameters, window, tie)
        combo = Combos.of([parameters])
        self._signals.prepare(combo.columns)
        planes = self._signals.planes(combo.columns)
        return bar_loop.simulate(self.market, planes, 0, self.rules(parameters, tie), window)

    def reference_ledger(
        self,
        parameters: Parameters,
        window: Window,
        tie: Tie = "sl_first",
        first_touch: reference.FirstTouch | None = None,
    ) -> Ledger:
        """The same by the reference engine, in readable Python and about a thousand times slower.

        `first_touch` decides the ambiguous bars in place of `tie`.
        """
        rules = self.rules(parameters, tie)
        return reference.simulate(self.market, self.signal(parameters), rules, window, first_touch=first_touch)

    def signal(self, parameters: Parameters) -> reference.Signal:
        """One combo's signal over every bar, unpacked."""
        combo = Combos.of([parameters])
        self._signals.prepare(combo.columns)
        planes = self._signals.planes(combo.columns)
        n = len(self.market)
        return reference.Signal(unpack(planes.side, n)[0], unpack(planes.armed, n)[0], int(planes.first_side[0]))

    def metrics(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> Metrics:
        """All metrics of one combo over `window`."""
        return metrics.full(self.ledger(parameters, window, tie), self.market, window, self.costs.capital)

    def has_side(self, combos: Combos) -> bool:
        """Whether any of the combos is ever long or short: none is while its indicators warm up."""
        return bool((self.warm_up_bars(combos) < len(self.market)).any())

    def warm_up_bars(self, combos: Combos) -> NDArray[np.int64]:
        """Bars (k,) before each combo's first side: so much its indicators remember. All bars where it has none."""
        self._signals.prepare(combos.columns)
        return self._signals.planes(combos.columns).first_side

    def rules(self, parameters: Parameters, tie: Tie) -> Rules:
        """The execution rules of one combo under these costs."""
        return replace(Rules.of(self.costs, {name: parameters[name] for name in EXECUTION}), tie=tie)

    @staticmethod
    def _screen_row(values: Metrics) -> list[float]:
        row = [getattr(values, name) for name in metrics.SCREEN]
        return [math.nan if value is None else float(value) for value in row]
