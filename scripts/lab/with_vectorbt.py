"""The prescreen with vectorbt, called as its users call it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.metrics import SCREEN
from WORKFLOW.engines.planes import unpack
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos


class Vectorbt(Evaluator):
    """`Portfolio.from_signals` on signals moved to the next bar, filled at its open, stops in the bar.

    This is the popular recipe. Its stops are measured from the close of the fill bar, so its trades differ from the
    reference's. docs/reference/engine_differences.md has recipes that agree trade by trade; they need three rows for
    each bar.
    """

    def screen(self, combos: Combos, windows: Sequence[Window], threads: int) -> Floats:  # noqa: ARG002
        """Return the `metrics.SCREEN` columns over all bars, float64 (1, k, 5); `windows` and `threads` are ignored."""
        import pandas as pd
        import vectorbt as vbt

        self._signals.prepare(combos.columns)
        planes = self._signals.planes(combos.columns)
        n = len(self.market)
        side = unpack(planes.side, n).T
        turned = np.zeros_like(side)
        turned[1:] = side[1:] != side[:-1]
        turned[np.arange(n)[:, None] <= planes.first_side[None, :]] = False
        turned = np.vstack([np.zeros((1, len(combos)), dtype=np.bool_), turned[:-1]])
        side = np.vstack([side[:1], side[:-1]])
        index = pd.to_datetime(self.market.time_ms, unit="ms")

        def column(name: str) -> Any:
            return pd.Series(getattr(self.market, name) / self.market.per_unit, index=index)

        table = combos.executions().table
        portfolio = vbt.Portfolio.from_signals(
            column("close"),
            entries=pd.DataFrame(turned & side, index=index),
            short_entries=pd.DataFrame(turned & ~side, index=index),
            price=column("open"),
            open=column("open"),
            high=column("high"),
            low=column("low"),
            sl_stop=table[:, 0],
            tp_stop=table[:, 1],
            upon_opposite_entry="reverse",
            fees=self.costs.fee_rate,
            slippage=self.costs.slippage_bps / 10_000,
            init_cash=self.costs.capital,
            freq="5min",
        )
        daily = portfolio.value().resample("1D").last()
        returns = daily.pct_change().dropna()
        peaks = daily.cummax()
        out = np.full((1, len(combos), len(SCREEN)), np.nan)
        out[0, :, 0] = returns.mean() / returns.std() * np.sqrt(365)
        out[0, :, 1] = portfolio.total_return()
        out[0, :, 2] = ((peaks - daily) / peaks).max()
        out[0, :, 3] = portfolio.trades.closed.win_rate()
        out[0, :, 4] = portfolio.trades.closed.count()
        return out
