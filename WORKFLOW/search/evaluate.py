"""One market, one family, one set of costs: parameters in, metrics or a ledger out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from config.settings import Costs
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import bar_loop, cpu, metrics, reference
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
        """What computes: `auto` takes the compiled CPU engine; so does `vectorbt`, which only repeats finalists."""
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
        if self.engine_name == "reference":
            rows = [combos.row(i) for i in range(len(combos))]
            table = [[self._screen_row(self.metrics(row, window)) for row in rows] for window in windows]
            return np.array(table).reshape(len(windows), len(rows), len(metrics.SCREEN))
        distinct, signal_of = combos.distinct(self.family.parameters)
        self._signals.prepare(distinct)
        return cpu.screen(
            self.market,
            lambda chunk: self._signals.planes({name: column[chunk] for name, column in distinct.items()}),
            combos.executions(),
            Rules.of(self.costs, {}),
            windows,
            threads,
            signal_of,
        )

    def ledger(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> Ledger:
        """Everything one combo does in `window`."""
        if self.engine_name == "reference":
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

    def metrics(self, parameters: Parameters, window: Window, tie: Tie = "sl_first") -> dict[str, Any]:
        """All metrics of one combo over `window`."""
        return metrics.full(self.ledger(parameters, window, tie), self.market, window, self.costs.capital)

    def has_side(self, combos: Combos) -> bool:
        """Whether any of the combos is ever long or short: none is while its indicators warm up."""
        self._signals.prepare(combos.columns)
        return bool((self._signals.planes(combos.columns).first_side < len(self.market)).any())

    def rules(self, parameters: Parameters, tie: Tie) -> Rules:
        """The execution rules of one combo under these costs."""
        return replace(Rules.of(self.costs, {name: parameters[name] for name in EXECUTION}), tie=tie)

    @staticmethod
    def _screen_row(values: dict[str, Any]) -> list[float]:
        return [math.nan if values[key] is None else float(values[key]) for key in metrics.SCREEN]
