"""Where levels lie and what ends a trade: `engines/fills.py` for kernels, the same operations in the same order."""

import math
from typing import Any

from WORKFLOW.engines import fills
from WORKFLOW.engines.gpu.toolkit import device
from WORKFLOW.engines.gpu.warp import times
from WORKFLOW.engines.market import TICK_SNAP
from WORKFLOW.engines.rules import DUST

# No rounding of its own inside: compiled from the very source of the CPU engines.
_meets: Any = fills.meets_stop_or_limit
meets_stop_or_limit = device(_meets.py_func)


@device
def _whole(exact: float, side: int, has_tick: bool) -> Any:
    if not has_tick:
        return exact
    return float(math.ceil(exact - TICK_SNAP)) if side == 1 else float(math.floor(exact + TICK_SNAP))


@device
def stop_at(anchor: float, side: int, fraction: float, has_tick: bool) -> Any:
    """As `fills.stop_at`."""
    if fraction <= 0.0:
        return -math.inf if side == 1 else math.inf
    signed = fraction if side == 1 else -fraction
    return _whole(times(anchor, 1.0 - signed), side, has_tick)


@device
def limit_at(anchor: float, side: int, fraction: float, has_tick: bool) -> Any:
    """As `fills.limit_at`."""
    if fraction <= 0.0:
        return math.inf if side == 1 else -math.inf
    signed = fraction if side == 1 else -fraction
    return _whole(times(anchor, 1.0 + signed), side, has_tick)


@device
def short_ruin(anchor: float, slip: float, no_ruin: float) -> Any:
    """As `passes._short_ruin`."""
    return times(times(times(2.0, anchor), 1.0 - slip), 1.0 - no_ruin)


@device
def equity_after(base: float, side: float, units: float, fill: float, fee: float, capital: float) -> Any:
    """As `fills.equity_after` where ruin is out of reach; `side` is 1.0 or -1.0."""
    equity = base + times(times(side, units), fill) - times(times(fee, units), fill)
    return 0.0 if equity <= times(DUST, capital) else equity
