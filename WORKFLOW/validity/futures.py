"""Other futures: markets that are equal up to a bar and then continue differently, as a real market might have.

A strategy that decides on the past alone cannot tell them apart. The tick size and the calendar are rules of the
exchange and known in advance, so they stay. Prices, filled bars and funding after the cut all change.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.market import Market

Future = Callable[[Market, int, np.random.Generator], Market]
_Prices = tuple[Floats, Floats, Floats, Floats]  # open, high, low, close

# A jump this large changes the value of almost any indicator; a real market has jumped so (SOL lost 40 % in a day of
# 2022).
_JUMP = (1.4, 4.0)
_SPAN = (1.02, 1.5)  # how far the next bar may reach beyond its open in futures that keep this open


def truncated(market: Market, cut: int, random: np.random.Generator) -> Market:  # noqa: ARG001
    """End at `cut`, as the data of a trader did on that day.

    This finds results that depend on the length of the data.
    """
    arrays: dict[str, Any] = {name: array[: cut + 1] for name, array in vars(market).items() if np.ndim(array)}
    return replace(market, **arrays)


def elsewhere(market: Market, cut: int, random: np.random.Generator) -> Market:
    """Continue from the price at `cut` with the price moves that followed another bar of the market."""
    return _joined(market, cut, _moved(market, cut, random))


def mirrored(market: Market, cut: int, random: np.random.Generator) -> Market:  # noqa: ARG001
    """Fall where the market rose and rise where it fell, mirrored around the close at `cut`."""
    m, later, at = market, slice(cut + 1, None), market.close[cut] ** 2
    return _joined(m, cut, (at / m.open[later], at / m.low[later], at / m.high[later], at / m.close[later]))


def risen(market: Market, cut: int, random: np.random.Generator) -> Market:
    """Open far higher, and then go on as the market did."""
    return _joined(market, cut, _scaled(market, cut, random.uniform(*_JUMP)))


def fallen(market: Market, cut: int, random: np.random.Generator) -> Market:
    """Open far lower, and then go on as the market did."""
    return _joined(market, cut, _scaled(market, cut, 1 / random.uniform(*_JUMP)))


def both_ways(market: Market, cut: int, random: np.random.Generator) -> Market:
    """Open as the market did, then go far to both sides in one bar.

    This finds orders that know more of a bar than its open.
    """
    return _from_open(market, cut, random, up=random.uniform(*_SPAN), down=random.uniform(*_SPAN))


def one_way(market: Market, cut: int, random: np.random.Generator) -> Market:
    """Open as the market did, then go far to one side in one bar: up or down, depending on the cut."""
    far = random.uniform(*_SPAN)
    return _from_open(market, cut, random, *((far, 1.0) if cut % 2 else (1.0, far)))


# One way is in the list twice: two such bars differ in one extreme alone, so a fill that follows that extreme shows.
SAME_OPEN = ("same open, both ways", "same open, one way", "same open, one way again")
FUTURES: Mapping[str, Future] = {
    "truncated": truncated,
    "elsewhere": elsewhere,
    "mirrored": mirrored,
    "risen": risen,
    "fallen": fallen,
    **dict(zip(SAME_OPEN, (both_ways, one_way, one_way), strict=True)),
}


def _from_open(market: Market, cut: int, random: np.random.Generator, up: float, down: float) -> Market:
    open_ = market.open[cut + 1]
    moved = _moved(market, cut, random)
    close = open_ * random.uniform(1 / down, up)
    o, h, l, c = (column * (close / moved[3][0]) for column in moved)
    o[0], h[0], l[0], c[0] = open_, open_ * up, open_ / down, close
    changed = _joined(market, cut, (o, h, l, c))
    changed.funding[cut + 1 : cut + 2] = market.funding[cut + 1 : cut + 2]  # due at the open, and so known there
    return changed


def _scaled(market: Market, cut: int, factor: float) -> _Prices:
    m, later = market, slice(cut + 1, None)
    return m.open[later] * factor, m.high[later] * factor, m.low[later] * factor, m.close[later] * factor


def _moved(market: Market, cut: int, random: np.random.Generator) -> _Prices:
    """Return as many bars as there are after `cut`, with the relative moves of the market from a random place on.

    After the last bar the moves continue with the first ones.
    """
    n, length = len(market), len(market) - cut - 1
    source = (int(random.integers(n - 1)) + np.arange(length)) % (n - 1) + 1  # bar 0 has no close before it
    before = market.close[source - 1]
    moves = market.close[source] / before
    moves[0] *= random.uniform(0.98, 1.02)  # makes the future different even where the market stood still
    closes = market.close[cut] * np.cumprod(moves)
    base = closes / market.close[source]
    return market.open[source] * base, market.high[source] * base, market.low[source] * base, closes


def _joined(market: Market, cut: int, later: _Prices) -> Market:
    """Return `market` up to `cut`, then `later` on the market's price grid.

    After the cut, the marks of filled bars and the sign of funding are inverted.
    """
    o, h, l, c = (_on_grid(market, column) for column in later)
    prices = {"open": o, "high": np.maximum(h, np.maximum(o, c)), "low": np.minimum(l, np.minimum(o, c)), "close": c}
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(market, name)[: cut + 1], column]) for name, column in prices.items()
    }
    filled = np.concatenate([market.filled[: cut + 1], ~market.filled[cut + 1 :]])
    funding = np.concatenate([market.funding[: cut + 1], -market.funding[cut + 1 :]])
    return replace(market, **arrays, filled=filled, funding=funding)


def _on_grid(market: Market, prices: Floats) -> Floats:
    return np.maximum(np.rint(prices), 1.0) if market.has_tick else prices
