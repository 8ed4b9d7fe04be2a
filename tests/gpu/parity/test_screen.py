"""GPU = CPU = reference, to the bit: random rules on random markets, every rule of the execution, real bars."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import T0, bars_of, planes_of
from tests.properties.test_engines_agree import executions_of, real_market, rows_of, screened
from tests.properties.worlds import quiet_walk, random_costs, random_market, random_rules, random_signal, random_window
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import cpu, reference
from WORKFLOW.engines.gpu.device import Device
from WORKFLOW.engines.gpu.planes import DevicePlanes, uploaded
from WORKFLOW.engines.gpu.screen import Screener, Work
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import TOTAL_TRADES
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Executions, Rules
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import draw
from WORKFLOW.signals import FAMILIES
from WORKFLOW.signals.mtf_ema import MTF_EMA
from WORKFLOW.signals.mtf_ema_gpu import MtfEmaOnDevice


def work_of(market: Market, planes: Planes, executions: Executions, costs: Rules, signal_of: Any = None) -> Work:
    """Planes made on the CPU, as those of a family without kernels."""
    rows = rows_of(planes)
    which = np.arange(len(executions.table)) if signal_of is None else signal_of

    def sent(chunk: slice) -> DevicePlanes:
        return uploaded(rows(chunk), len(market))

    return Work(rows, sent, executions, costs, which)


def agree(device: Device, market: Market, work: Work, windows: Sequence[Window]) -> np.ndarray:
    """The screen of both engines, equal in every bit."""
    expected = cpu.screen(market, work.signals, work.executions, work.costs, windows, 1, work.signal_of)
    found = Screener(device, market).table(work, windows)
    np.testing.assert_array_equal(found, expected)
    return expected


def test_random_worlds(device: Device) -> None:
    """Markets with and without ticks and funding, unarmed events, trails, time stops, directions, windows, ties."""
    trades = 0
    for seed in range(14):
        random = np.random.default_rng(seed)
        bars, combos = int(random.integers(1, 320)), int(random.integers(1, 4))
        market, costs = random_market(random, bars), random_costs(random)
        signals = [random_signal(random, bars) for _ in range(combos)]
        rules = [random_rules(random, costs) for _ in range(combos)]
        window = random_window(random, bars)
        table = agree(device, market, work_of(market, planes_of(*signals), executions_of(rules), costs), [window])
        trades += int(np.nansum(table[..., TOTAL_TRADES]))
    assert trades > 150


def test_the_reference_itself(device: Device) -> None:
    """Not by way of another fast engine."""
    random = np.random.default_rng(2)
    market, costs = random_market(random, 200), Rules(fee_rate=0.0005, slippage=0.0001)
    market = replace(market, funding=np.zeros(0))
    signals = [random_signal(random, 200) for _ in range(3)]
    rules = [random_rules(random, costs) for _ in range(3)]
    window = Window(20, 190)
    found = Screener(device, market).table(work_of(market, planes_of(*signals), executions_of(rules), costs), [window])
    expected = [
        screened(reference.simulate(market, signal, rule, window), market, window, costs.capital)
        for signal, rule in zip(signals, rules, strict=True)
    ]
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("tick", [0.01, None, 1e-8], ids=["ticks", "no tick", "ticks beyond int32"])
def test_far_touches(device: Device, tick: float | None) -> None:
    """A market so quiet that stops lie thousands of bars away: blocks, and blocks of blocks, are passed over."""
    random = np.random.default_rng(5)
    bars = 5_000
    drift = np.cumsum(random.normal(0, 0.02, bars))
    close = np.round(100 + drift, 2)
    open_ = np.concatenate([close[:1], close[:-1]])
    ohlc = np.column_stack([open_, np.maximum(open_, close) + 0.01, np.minimum(open_, close) - 0.01, close])
    market = Market.of(bars_of(ohlc, tick))
    side = np.cumsum(np.isin(np.arange(bars), [40, 77, 2_300, 2_310, 4_997, 4_998, 4_999])) % 2 == 0
    signal = Signal(side, np.ones(bars, dtype=bool), 0)
    costs = Rules(fee_rate=0.0005, slippage=0.0001)
    rules = [
        replace(costs, stop_loss=0.012, take_profit=0.02),
        replace(costs, stop_loss=0.4, take_profit=0.005),
        replace(costs, trailing_stop=0.008),
        replace(costs, trailing_stop=0.01, take_profit=0.013, max_bars=1_900),
    ]
    executions = executions_of(rules)
    work = work_of(market, planes_of(signal), executions, costs, np.zeros(len(rules), dtype=np.int64))
    table = agree(device, market, work, [Window(0, bars)])
    assert (table[..., TOTAL_TRADES] > 2).all()


def test_ema_signs_on_every_pair_of_timeframes(device: Device) -> None:
    """Equal EMAs (a market with plateaus), warm-ups longer than the bars, a first bar at any time of day."""
    silent = 0
    for seed in range(3):
        random = np.random.default_rng(seed)
        bars, pairs = int(random.integers(200, 1_200)), 12
        ohlc = quiet_walk(random, bars)
        if seed % 2:
            ohlc = np.round(ohlc / 20) * 20 + 20
        market = Market.of(bars_of(ohlc, 0.01, start_ms=T0 + int(random.integers(288)) * BAR_MS))
        fast, slow = random.choice([5, 15, 30, 45, 60, 240], pairs), random.choice([15, 45, 60, 120, 240, 360], pairs)
        columns = {
            "fast_timeframe": np.minimum(fast, slow),
            "fast_period": random.integers(1, 9, pairs),
            "slow_timeframe": np.maximum(fast, slow),
            "slow_period": random.integers(9, 25, pairs),
        }
        on_cpu, on_device = MTF_EMA.on(market), MtfEmaOnDevice(market)
        on_cpu.prepare(columns)
        planes = on_cpu.planes(columns)
        silent += int((planes.first_side == bars).sum())
        costs = Rules(fee_rate=0.0005, slippage=0.0001)
        executions = Executions(np.tile(Executions.one(replace(costs, max_bars=9)).table, (pairs, 1)))

        def signs(chunk: slice, on: MtfEmaOnDevice = on_device, all_: Any = columns) -> DevicePlanes:
            return on.planes({name: column[chunk] for name, column in all_.items()})

        work = Work(rows_of(planes), signs, executions, costs, np.arange(pairs))
        agree(device, market, work, [Window(0, bars)])
    assert 0 < silent < 30


@pytest.mark.parametrize("family", ["mtf_ema", "donchian"])
def test_real_bars_through_the_evaluator(device: Device, real_data: Path, family: str) -> None:
    """Five days of SOL, combos of the settings' own modes with short periods, best and table."""
    market = real_market(real_data, "SOL", days=5)
    settings = load(environment={})
    mode = settings.mode("aggressive" if family == "mtf_ema" else "breakout")
    combos = draw(mode, 8, np.random.SeedSequence(11))
    names = ("fast_period", "slow_period") if family == "mtf_ema" else ("channel_period", "atr_lookback")
    for name, highest in zip(names, (6, 12), strict=True):
        combos.columns[name][:] = np.minimum(combos.columns[name], highest)
    gpu = Evaluator(market, FAMILIES[mode.family], settings.costs, "gpu")
    native = Evaluator(market, FAMILIES[mode.family], settings.costs, "native")
    assert gpu.engine_name == "gpu"
    windows = [gpu.whole, Window(300, 900)]
    expected = native.screen(combos, windows, 1)
    np.testing.assert_array_equal(gpu.screen(combos, windows, 1), expected)
    assert np.nansum(expected[..., TOTAL_TRADES]) >= 15
