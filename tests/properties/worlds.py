"""Random markets, signals and rules that seek out what engines disagree about: ties, ticks, gaps, jumps, ruin."""

from dataclasses import replace

import numpy as np

from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import DIRECTIONS, Rules


def walk(random: np.random.Generator, n: int) -> np.ndarray:
    """Prices (n, 4) in whole ticks, so coarse that levels often lie on prices; flat bars, gaps, threefold jumps."""
    level = float(random.integers(20, 2_000))
    scale = random.choice([1, 1, 3, 0.02 * level])
    gaps, jumps = random.choice([0.0, 0.1, 0.5]), random.choice([0.0, 0.01, 0.05])
    ohlc = np.empty((n, 4))
    for bar in range(n):
        flat = random.random() < 0.15
        open_ = level
        if random.random() < gaps:
            open_ += np.rint(random.normal(0, 3 * scale))
        if random.random() < jumps:
            open_ *= random.uniform(0.3, 3.0)
        open_ = float(np.clip(np.rint(open_), 5, 1e6))
        close = open_ if flat else float(np.clip(np.rint(open_ + random.normal(0, scale)), 5, 1e6))
        reach = 0.0 if flat else scale
        if random.random() < jumps:
            reach = 1.2 * open_
        high = max(open_, close) + np.rint(abs(random.normal(0, reach)))
        low = max(min(open_, close) - np.rint(abs(random.normal(0, reach))), 1.0)
        ohlc[bar] = open_, high, low, close
        level = close
    return ohlc


def quiet_walk(random: np.random.Generator, n: int, start: float = 100.0) -> np.ndarray:
    """Prices (n, 4) in cents; each open is the last close."""
    close = np.maximum(np.rint(start * 100 * np.exp(np.cumsum(random.normal(0, 0.004, n)))), 10) / 100
    open_ = np.concatenate([[start], close[:-1]])
    up, down = random.integers(0, 20, (2, n)) / 100
    return np.column_stack(
        [open_, np.maximum(open_, close) + up, np.maximum(np.minimum(open_, close) - down, 0.01), close]
    )


def random_market(random: np.random.Generator, n: int) -> Market:
    """With ticks of 1 or 0.01, or without; a funding series or none; some filled bars; starting at any time of day."""
    ohlc = walk(random, n)
    tick = [None, 1.0, 0.01][random.integers(3)]
    if tick == 0.01:
        ohlc = ohlc / 100
    if tick is None and random.random() < 0.7:
        ohlc = ohlc * random.uniform(0.01, 3)
    funding = None
    if random.random() < 0.4:
        funding = np.where(random.random(n) < 0.1, random.normal(0, 0.01, n), 0.0)
        funding[random.random(n) < 0.005] = random.choice([-1.5, 0.6, 1.5])
    start = T0 + int(random.integers(288)) * BAR_MS
    return Market.of(bars_of(ohlc, tick, random.random(n) < 0.05, start), funding)


def random_signal(random: np.random.Generator, n: int) -> Signal:
    """Sides that turn now and then, or all the time; armed always, mostly or at random; a side from any bar on."""
    turns = random.random(n) < random.choice([0.02, 0.1, 0.5, 1.0])
    return Signal(
        side=(np.cumsum(turns) + random.integers(2)) % 2 == 1,
        armed=random.random(n) < random.choice([1.0, 0.9, 0.5]),
        first_side=int(random.choice([0, 0, random.integers(n + 1)])),
    )


def random_costs(random: np.random.Generator) -> Rules:
    return Rules(
        fee_rate=float(random.choice([0.0, 0.0005, 0.01, 0.25])),
        slippage=float(random.choice([0.0, 0.0001, 0.05])),
        capital=float(random.choice([10_000.0, 1.0, 3e7])),
        tie=("sl_first", "tp_first")[random.integers(2)],
    )


def random_rules(random: np.random.Generator, costs: Rules) -> Rules:
    fractions = [0.0, 0.0, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.34, 0.41, float(np.round(random.uniform(0, 0.2), 4))]
    return replace(
        costs,
        direction=DIRECTIONS[random.integers(3)],
        stop_loss=float(random.choice([*fractions, 1.5])),
        take_profit=float(random.choice(fractions)),
        trailing_stop=float(random.choice([*fractions, 1.2])),
        max_bars=int(random.choice([0, 0, 1, 2, 7, 50])),
    )


def random_window(random: np.random.Generator, n: int) -> Window:
    if random.random() < 0.3:
        return Window(0, n)
    start = int(random.integers(n))
    return Window(start, int(random.integers(start + 1, n + 1)))
