"""Markets that might have been: a market's own bars in another order, without anything that a rule could know.

Blocks of at most a day are drawn from random days at the same time of day. So volatility, wicks, gaps and the shape of
the day stay real, while every pattern longer than a block is gone. The drift is removed: the price is a martingale, and
neither side earns anything before costs.
"""

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BARS_PER_DAY, Bars, Floats

_ROUND_FROM = 1_000.0  # ticks; from this price on, rounding to ticks is finer than the noise of the bars


def fair_market(bars: Bars, block_bars: int, random: np.random.Generator) -> Bars:
    """Return as many bars as `bars`, in shuffled blocks and without drift; they are always `synthetic`.

    Blocks have geometric lengths, `block_bars` on average and a day at most. The tick is kept if prices are far above
    it; otherwise there is none.

    Raises:
        ValueError: there are fewer than two days, or `block_bars` is not between 1 bar and a day.
    """
    if len(bars) < 2 * BARS_PER_DAY or not 1 <= block_bars <= BARS_PER_DAY:
        raise ValueError(f"{len(bars)} bars in blocks of {block_bars}: two days and blocks of up to a day are needed")
    gap, high, low, move = shapes(bars)
    at = _drawn(len(bars), block_bars, random)
    gap, high, low, move = gap[at], high[at], low[at], move[at]
    gap[0] = 0.0
    step = gap + move
    return priced(bars, gap - np.log(np.mean(np.exp(step))), high, low, move)


def priced(bars: Bars, gap: Floats, high: Floats, low: Floats, move: Floats) -> Bars:
    """Return the market of these log changes (n,), which begins at the open of `bars`.

    `gap` leads from the close before to the open; `high`, `low` and `move` lead from the open to high, low and close.
    """
    close = np.log(bars.rows["open"][0]) + np.cumsum(gap + move)
    opening = close - move
    rows = bars.rows.copy()
    prices = {"open": opening, "high": opening + high, "low": opening + low, "close": close}
    lowest = float(np.exp(prices["low"].min()))
    tick = bars.tick if bars.tick is not None and lowest >= _ROUND_FROM * bars.tick else None
    for name, logarithm in prices.items():
        price = np.exp(logarithm)
        rows[name] = price if tick is None else np.round(np.rint(price / tick) * tick, 10)
    rows["high"] = np.maximum(rows["high"], np.maximum(rows["open"], rows["close"]))
    rows["low"] = np.minimum(rows["low"], np.minimum(rows["open"], rows["close"]))
    rows["filled"] = False
    return Bars(bars.symbol, rows, tick, True, "resampled")


def shapes(bars: Bars) -> tuple[Floats, Floats, Floats, Floats]:
    """Return log changes of every bar (n,): from the last close to the open, and from the open to high, low, close."""
    opening, high, low, close = (np.log(bars.column(name)) for name in ("open", "high", "low", "close"))
    gap = np.append(0.0, opening[1:] - close[:-1])
    return gap, high - opening, low - opening, close - opening


def _drawn(n: int, block_bars: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which bar stands at each of n places: runs of neighbours from random days at the same time of day."""
    lengths = np.minimum(random.geometric(1.0 / block_bars, 4 * n // block_bars + 64), BARS_PER_DAY)
    while lengths.sum() < n:
        lengths = np.append(lengths, np.minimum(random.geometric(1.0 / block_bars, 64), BARS_PER_DAY))
    starts = np.append(0, np.cumsum(lengths))
    starts = starts[starts < n]
    days = n // BARS_PER_DAY
    shift = random.integers(0, days, len(starts)) * BARS_PER_DAY
    block = np.searchsorted(starts, np.arange(n), side="right") - 1
    return (np.arange(n) + shift[block]) % (days * BARS_PER_DAY)
