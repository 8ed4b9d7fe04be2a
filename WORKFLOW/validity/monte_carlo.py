"""The same trades and the same days in other orders: how much of a result was the order they came in.

Trade shuffle reorders the closed trades: it cannot change the terminal return, so it reports drawdown only. The
stationary bootstrap (Politis & Romano 1994, via `arch`) draws blocks of days with a random length, so that bursts of
volatility stay whole, and reports everything.
"""

from typing import Any

import numpy as np

from config.settings import MonteCarloSettings
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics

BANDS = (5, 25, 50, 75, 95)
_FAN_POINTS = 60
_CHUNK_BYTES = 64 * 2**20


def trade_shuffle(
    net_pnl_pct: Floats, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> dict[str, Any] | None:
    """Bands of the maximum drawdown (fraction, trade by trade) over random orders of the closed trades.

    `net_pnl_pct`: (t,) fractions of equity at entry. None with fewer than 2 trades.
    """
    if len(net_pnl_pct) < 2:
        return None
    random = np.random.default_rng(seed)
    drawdowns = np.concatenate(
        [
            _max_drawdowns(random.permuted(np.tile(net_pnl_pct, (n, 1)), axis=1))
            for n in _chunks(settings.paths, len(net_pnl_pct))
        ]
    )
    return {
        "paths": settings.paths,
        "trades": len(net_pnl_pct),
        "max_drawdown_pct": _bands(drawdowns),
        "observed_max_drawdown_pct": float(_max_drawdowns(net_pnl_pct[None, :])[0]),
    }


def block_bootstrap(
    returns: Floats, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> dict[str, Any] | None:
    """Bands of return, Sharpe ratio and daily drawdown over stationary-bootstrap paths of (d,) daily returns.

    `equity_fan` gives the bands of equity (1 = start) at up to 60 days. None with fewer than 2 days.
    """
    if len(returns) < 2:
        return None
    from arch.bootstrap import StationaryBootstrap  # 1.7 s to import

    random = np.random.default_rng(seed)
    source = StationaryBootstrap(min(settings.block_days, len(returns)), returns, seed=random)
    points = np.unique(np.linspace(0, len(returns) - 1, min(_FAN_POINTS, len(returns))).astype(np.int64))
    totals, sharpes, drawdowns, fans = [], [], [], []
    for n in _chunks(settings.paths, len(returns)):
        paths = np.stack([drawn[0][0] for drawn in source.bootstrap(n)])
        equity = np.cumprod(1.0 + paths, axis=1)
        totals.append(equity[:, -1] - 1.0)
        sharpes.append(np.array([metrics.sharpe(path) for path in paths]))
        drawdowns.append(_max_drawdowns(paths))
        fans.append(equity[:, points])
    total = np.concatenate(totals)
    return {
        "paths": settings.paths,
        "block_days": min(settings.block_days, len(returns)),
        "days": len(returns),
        "total_return": _bands(total),
        "sharpe_ratio": _bands(np.concatenate(sharpes)),
        "max_drawdown_daily_pct": _bands(np.concatenate(drawdowns)),
        "probability_of_loss": float(np.mean(total < 0)),
        "equity_fan": {"day": points.tolist()} | _bands_along(np.concatenate(fans)),
    }


def _max_drawdowns(paths: Floats) -> Floats:
    """Maximum drawdown of each row of simple returns (p, d), against a peak that starts at 1."""
    return np.array([metrics.max_drawdown_fraction(equity, 1.0) for equity in np.cumprod(1.0 + paths, axis=1)])


def _bands(values: Floats) -> dict[str, float | None]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {f"p{band}": None for band in BANDS}
    return {f"p{band}": float(x) for band, x in zip(BANDS, np.percentile(finite, BANDS), strict=True)}


def _bands_along(paths: Floats) -> dict[str, list[float]]:
    return {f"p{band}": row.tolist() for band, row in zip(BANDS, np.percentile(paths, BANDS, axis=0), strict=True)}


def _chunks(paths: int, length: int) -> list[int]:
    size = max(1, _CHUNK_BYTES // (8 * length))
    return [min(size, paths - done) for done in range(0, paths, size)]
