"""Finalists to export, and the exported file run with a tiny stand-in where freqtrade is not installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from config.settings import load
from scripts.swarm.export.bars import candles
from scripts.swarm.export.finalist import ExportedFinalist
from scripts.swarm.export.freqtrade import strategy
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.check import preflight
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.data.raw import RawTable
from WORKFLOW.engines.market import Market
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.signals.mtf_ema import MTF_EMA

_NAMES = (
    *("fast_timeframe", "fast_period", "slow_timeframe", "slow_period", "direction"),
    *("stop_loss", "take_profit", "trailing_stop", "max_bars"),
)
_ROWS = (
    (15, 12, 60, 40, "both", 0.02, 0.05, 0.0, 0),
    (45, 5, 120, 20, "long_only", 0.03, 0.0, 0.02, 200),
    (30, 4, 240, 9, "short_only", 0.0, 0.02, 0.0, 0),
    (60, 3, 360, 11, "both", 0.01, 0.03, 0.02, 100),
    (60, 7, 60, 30, "both", 0.0, 0.0, 0.0, 50),
    (5, 9, 45, 14, "both", 0.004, 0.006, 0.005, 0),
)
PARAMETERS: tuple[dict[str, Any], ...] = tuple(dict(zip(_NAMES, row, strict=True)) for row in _ROWS)


def demo(days: int = 120, skip: int = 7, seed: int = 5) -> Bars:
    """Generated bars that begin inside a bucket of every timeframe."""
    raw = RawTable.of("DEMO", "a test", demo_rows(days, seed)[skip:])
    return preflight(raw, replace(load({}).data, min_days=1))[0]


def evaluator(bars: Bars) -> Evaluator:
    return Evaluator(Market.of(bars), MTF_EMA, load().costs)


def finalist(parameters: dict[str, Any], family: str = "mtf_ema") -> ExportedFinalist:
    """As a run leaves one."""
    costs = {"fee_rate": 0.0005, "slippage_bps": 1.0, "capital": 10_000.0}
    labels = {"symbol": "SOL", "mode": "aggressive", "synthetic": False, "strategy": "best_sharpe"}
    return ExportedFinalist(
        folder=Path("Backtests/optimizations/SOL/aggressive/best_sharpe"),
        config={**labels, "family": family, "parameters": parameters, "costs": costs},
        metrics={**labels, "verdict": "not tradeable: a test"},
        manifest={
            "execution": {"run_id": "bt-1", "round": 0},
            "data": {"sha256": "ab" * 32, "source": "nowhere"},
            "code": {"source_hash": "cd" * 8},
        },
    )


def frame_of(bars: Bars, minutes: int = 5) -> pd.DataFrame:
    """Candles as freqtrade hands them to a strategy."""
    columns = candles(bars, minutes)
    return pd.DataFrame({**columns, "date": pd.to_datetime(columns["date"], unit="ms", utc=True)})


class Provider:
    """freqtrade's DataProvider, as far as the strategy asks it."""

    def __init__(self, frames: dict[str, pd.DataFrame]) -> None:
        self.frames = frames

    def current_whitelist(self) -> list[str]:
        return ["SOL/USDT"]

    def get_pair_dataframe(self, pair: str, timeframe: str) -> pd.DataFrame:
        return self.frames.get(timeframe, pd.DataFrame())

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[pd.DataFrame, None]:
        return self.frames["analysed"], None


@contextmanager
def stand_in() -> Iterator[None]:
    """Two names of freqtrade's, for `import` statements."""
    package, module = ModuleType("freqtrade"), ModuleType("freqtrade.strategy")
    vars(module).update(IStrategy=type("IStrategy", (), {"dp": None}), stoploss_from_absolute=from_absolute)
    before = {name: sys.modules.get(name) for name in ("freqtrade", "freqtrade.strategy")}
    sys.modules |= {"freqtrade": package, "freqtrade.strategy": module}
    try:
        yield
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old


def from_absolute(stop_rate: float, current_rate: float, is_short: bool = False, leverage: float = 1.0) -> float:
    """As a distance from the current price, against the position; 0 where the stop is on its wrong side."""
    distance = (stop_rate / current_rate - 1) * (1 if is_short else -1)
    return max(distance, 0.0) * leverage


def loaded(parameters: dict[str, Any]) -> Any:
    """An instance of the exported strategy."""
    text = strategy(finalist(parameters), "Exported")
    space: dict[str, Any] = {}
    with stand_in():
        exec(compile(text, "Exported.py", "exec"), space)
    return space["Exported"]()


def signals(instance: Any, bars: Bars, with_candles: bool) -> pd.DataFrame:
    """What the strategy says of every candle; `with_candles` of its timeframes, or the base candles alone."""
    lengths = {instance.name_of(m): frame_of(bars, m) for m in (15, 30, 60, 120, 240, 360)} if with_candles else {}
    instance.dp = Provider(lengths)
    frame, metadata = frame_of(bars), {"pair": "SOL/USDT"}
    for step in (instance.populate_indicators, instance.populate_entry_trend, instance.populate_exit_trend):
        frame = step(frame, metadata)
    return frame


def expected(bars: Bars, parameters: dict[str, Any]) -> dict[str, np.ndarray]:
    """The same from our engines' signal."""
    signal = evaluator(bars).signal(parameters)
    side = np.where(signal.side, 1, -1)
    turned = np.zeros(len(bars), dtype=int)
    at = np.flatnonzero(side[1:] != side[:-1]) + 1
    at = at[at > signal.first_side]
    turned[at] = side[at]
    may = {"both": (True, True), "long_only": (True, False), "short_only": (False, True)}[parameters["direction"]]
    return {
        "enter_long": ((turned > 0) & may[0]).astype(int),
        "enter_short": ((turned < 0) & may[1]).astype(int),
        "exit_long": (turned < 0).astype(int),
        "exit_short": (turned > 0).astype(int),
    }
