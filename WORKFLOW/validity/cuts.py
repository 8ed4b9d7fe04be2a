"""Choose bars at which a market is cut in two: anywhere, and where a small look ahead would show."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, DAY_MS
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes, unpack

HOUR_MS = 3_600_000
_ROWS = 64  # combos whose events are looked at; their bits take 8 MB for two years of bars


def choose(
    market: Market, planes: Planes, ledgers: Sequence[Ledger], wanted: int, random: np.random.Generator
) -> list[int]:
    """Return up to `wanted` last known bars in rising order; equal cuts count once.

    Every other cut lies anywhere. The others lie where the smallest look ahead changes something: on the bar of an
    event, right before a fill, right before an hour closes, and at the end of a UTC day.
    """
    last = len(market) - 2  # a cut needs a future, so the last bar cannot be a cut
    anywhere = random.integers(0, last + 1, wanted)
    events, hours, days = _events(market, planes), _closing(market, HOUR_MS), _closing(market, DAY_MS)
    pools = [pool for pool in (events, _fills(ledgers) - 1, events, hours - 1, days) if len(pool)]
    for i in range(1, wanted if pools else 0, 2):
        anywhere[i] = random.choice(pools[i // 2 % len(pools)])
    return [int(cut) for cut in np.unique(np.clip(anywhere, 0, last))]


def _events(market: Market, planes: Planes) -> NDArray[np.int64]:
    sides = unpack(planes.side[:_ROWS], len(market))
    return np.flatnonzero((sides[:, 1:] != sides[:, :-1]).any(axis=0)) + 1


def _fills(ledgers: Sequence[Ledger]) -> NDArray[np.int64]:
    bars = [ledger.trades[name] for ledger in ledgers for name in ("entry_bar", "exit_bar")]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *bars]))


def _closing(market: Market, unit_ms: int) -> NDArray[np.int64]:
    return np.flatnonzero((market.time_ms + BAR_MS) % unit_ms == 0)
