"""Where levels lie and which price fills a trade: the kernels that both compiled engines share."""

import math

import numpy as np

from WORKFLOW.engines.jit import leaf
from WORKFLOW.engines.ledger import Closed
from WORKFLOW.engines.market import TICK_SNAP
from WORKFLOW.engines.rules import DUST

# The members of `Closed` as plain integers, which Numba can compile.
SIGNAL, STOP_LOSS, TRAILING_STOP, TAKE_PROFIT, MAX_BARS_REACHED, RUIN = (int(reason) for reason in Closed)


@leaf
def stop_at(anchor: float, side: int, fraction: float, has_tick: bool) -> float:
    """Return the level that lies `fraction` against the position, in ticks; infinite, so out of reach, when it is 0.

    With a tick size, the level is rounded to the tick nearer to `anchor` (ticks).
    """
    if fraction <= 0.0:
        return -side * math.inf
    exact = anchor * (1 - side * fraction)
    if not has_tick:
        return exact
    return float(np.ceil(exact - TICK_SNAP) if side == 1 else np.floor(exact + TICK_SNAP))


@leaf
def limit_at(anchor: float, side: int, fraction: float, has_tick: bool) -> float:
    """Return the level that lies `fraction` in the position's favour, in ticks; infinite when it is 0.

    With a tick size, the level is rounded to the tick further from `anchor` (ticks).
    """
    if fraction <= 0.0:
        return side * math.inf
    exact = anchor * (1 + side * fraction)
    if not has_tick:
        return exact
    return float(np.ceil(exact - TICK_SNAP) if side == 1 else np.floor(exact + TICK_SNAP))


@leaf
def meets(
    price: float,
    high: float,
    low: float,
    side: int,
    stop_level: float,
    limit_level: float,
    trail_level: float,
    ruin_level: float,
    tp_first: bool,
) -> tuple[int, float]:
    """Return why a position ends on a bar that touches one of its levels, and at what price, in ticks.

    The rules are those of the reference's `gaps_at_open` and `inside`; the first three cases are gaps at the open.
    """
    tightest = max(stop_level, trail_level) if side == 1 else min(stop_level, trail_level)
    stop_reason = TRAILING_STOP if side * (trail_level - stop_level) > 0 else STOP_LOSS
    if side * (price - tightest) <= 0:
        return stop_reason, price
    if side * (price - ruin_level) <= 0:
        return RUIN, price
    if side * (price - limit_level) >= 0:
        return TAKE_PROFIT, limit_level
    worst, finest = (low, high) if side == 1 else (high, low)
    if tp_first and side * (finest - limit_level) >= 0:
        return TAKE_PROFIT, limit_level
    is_reachable = side * (tightest - ruin_level) > 0  # a stop beyond the level of ruin is never reached
    if is_reachable and side * (worst - tightest) <= 0:
        return stop_reason, tightest
    if side * (worst - ruin_level) <= 0:
        return RUIN, ruin_level
    return TAKE_PROFIT, limit_level


@leaf
def meets_stop_or_limit(
    price: float, high: float, low: float, side: int, stop: float, limit: float, tp_first: bool
) -> tuple[bool, float]:
    """Return whether the stop ended a trade, and at what level in ticks; `meets` for trades that ruin cannot reach.

    `stop` is the tightest stop. The code has no branch, because a processor cannot predict which of the two levels was
    hit.
    """
    worst, finest = (low, high) if side == 1 else (high, low)
    gapped = side * (price - stop) <= 0
    limit_first = (side * (price - limit) >= 0) | (tp_first & (side * (finest - limit) >= 0))
    is_stop = gapped | ((not limit_first) & (side * (worst - stop) <= 0))
    return is_stop, (price if gapped else stop) if is_stop else limit


@leaf
def equity_after(base: float, side: int, units: float, fill: float, fee: float, reason: int, capital: float) -> float:
    """Return the equity after `units` were closed at `fill`.

    Ruin gives 0, and so does a rest below `DUST` of `capital`.
    """
    equity = base + side * units * fill - fee * units * fill
    return 0.0 if reason == RUIN or equity <= DUST * capital else equity
