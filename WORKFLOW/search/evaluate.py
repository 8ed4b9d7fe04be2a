"""One market, one family, one set of costs: parameters in, metrics or a ledger out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import cpu, metrics, reference
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import unpack
from WORKFLOW.engines.rules import EXECUTION, Rules, Tie
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.signals.family import Family, Signals


@dataclass(frozen=True)
class Evaluator:
    """Signals see every bar of `market` up to the bar they decide on; a window only bounds the trading."""

    market: Market
    family: Family
    costs: Costs
    engine: str = "auto"

    @property
    def engine_name(self) -> str:
        """What computes: `auto` takes the compiled CPU engine."""
        return "reference" if self.engine == "reference" else "native"

    @cached_property
    def _signals(self) -> Signals:
        return self.family.on(self.market)

    @property
    def whole(self) -> Window:
        """All bars of the market."""
        return Window(0, len(self.market))

    def screen(self, combos: Combos, windows: Sequence[Window], threads: int) -> Floats:
        """The `metrics.SCREEN` columns of many combos over some windows, float64 (w, k, 5)."""
        self._signals.prepare(combos.columns)
        if self.engine_name == "reference":
            rows = [combos.row(i) for i in range(len(combos))]
            return np.array([[self._screen_row(self.metrics(row, window)) for row in rows] for window in windows])
        return cpu.screen(
            self.market,
            lambda chunk: self._signals.planes(combos[chunk].columns),
            combos.executions(),
            Rules.of(self.costs, {}),
            windows,
            threads,
        )

    def ledger(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> Ledger:
        """Everything one combo does in `window`."""
        if self.engine_name == "reference":
            return self.reference_ledger(parameters, window, tie)
        combo = Combos.of([parameters])
        self._signals.prepare(combo.columns)
        planes = self._signals.planes(combo.columns)
        return cpu.simulate(self.market, planes, 0, self.rules(parameters, tie), window)

    def reference_ledger(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> Ledger:
        """The same by the reference engine, in readable Python and about a thousand times slower."""
        combo = Combos.of([parameters])
        self._signals.prepare(combo.columns)
        planes = self._signals.planes(combo.columns)
        n = len(self.market)
        side, armed = unpack(planes.side, n)[0], unpack(planes.armed, n)[0]
        signal = reference.Signal(side, armed, int(planes.first_side[0]))
        return reference.simulate(self.market, signal, self.rules(parameters, tie), window)

    def metrics(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> dict[str, Any]:
        """All metrics of one combo over `window`."""
        return metrics.full(self.ledger(parameters, window, tie), self.market, window, self.costs.capital)

    def rules(self, parameters: Parameters, tie: Tie) -> Rules:
        """The execution rules of one combo under these costs."""
        return replace(Rules.of(self.costs, {name: parameters[name] for name in EXECUTION}), tie=tie)

    @staticmethod
    def _screen_row(values: dict[str, Any]) -> list[float]:
        return [math.nan if values[key] is None else float(values[key]) for key in metrics.SCREEN]
