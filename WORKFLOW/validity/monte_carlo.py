"""The same trades and the same days again, in another order or not quite as they were: how much of a result was luck.

Trade shuffle reorders the closed trades: it cannot change the terminal return, so it reports drawdown only. The
stationary bootstrap draws blocks of days with a random length, so that bursts of
volatility stay whole, and reports everything. Skipped trades leave some out, as an exchange that is down does. Noisy
fills worsen each price, as a thin book does.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.settings import MonteCarloSettings
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Closed
from WORKFLOW.steps import exact
from WORKFLOW.validity.bands import BANDS, Bands
from WORKFLOW.validity.bootstrap import stationary

_FAN_POINTS = 60
_CHUNK_BYTES = 64 * 2**20


@exact.record
@dataclass(frozen=True)
class TradeShuffle:
    """Trades in random orders. Drawdowns are fractions, trade by trade, like those of all records below."""

    paths: int
    trades: int
    max_drawdown_pct: Bands
    observed_max_drawdown_pct: float


@exact.record
@dataclass(frozen=True)
class EquityFan:
    """Bands of equity (1 = start), each (d,), at the days `day` (d,)."""

    day: list[int]
    p5: list[float]
    p25: list[float]
    p50: list[float]
    p75: list[float]
    p95: list[float]


@exact.record
@dataclass(frozen=True)
class BlockBootstrap:
    """Days drawn again in blocks; returns and drawdowns are fractions."""

    paths: int
    block_days: int
    days: int
    total_return: Bands
    sharpe_ratio: Bands
    max_drawdown_daily_pct: Bands
    probability_of_loss: float
    equity_fan: EquityFan


@exact.record
@dataclass(frozen=True)
class Level:
    """What trades came to at one `value` of what makes them harder: `name` is `probability` or `noise_bps`."""

    name: str
    value: float
    total_return: Bands
    max_drawdown_pct: Bands
    probability_of_loss: float

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        record = asdict(self)
        return {record.pop("name"): record.pop("value"), **record}


@exact.record
@dataclass(frozen=True)
class HarderTrades:
    """Trades left out, or filled worse, level by level, beside what was observed."""

    paths: int
    trades: int
    observed_total_return: float
    observed_max_drawdown_pct: float
    levels: list[Level]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {**vars(self), "levels": [level.as_json() for level in self.levels]}


@exact.record
@dataclass(frozen=True)
class MonteCarlo:
    """All that is played again of one window; None where there are too few trades or days, or none are known."""

    trade_shuffle: TradeShuffle | None
    block_bootstrap: BlockBootstrap | None
    skipped_trades: HarderTrades | None
    noisy_fills: HarderTrades | None

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        harder = {"skipped_trades": self.skipped_trades, "noisy_fills": self.noisy_fills}
        return asdict(self) | {name: None if one is None else one.as_json() for name, one in harder.items()}


def trade_shuffle(
    net_pnl_pct: Floats, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> TradeShuffle | None:
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
    return TradeShuffle(
        paths=settings.paths,
        trades=len(net_pnl_pct),
        max_drawdown_pct=Bands.of(drawdowns),
        observed_max_drawdown_pct=float(_max_drawdowns(net_pnl_pct[None, :])[0]),
    )


def block_bootstrap(
    returns: Floats, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> BlockBootstrap | None:
    """Bands of return, Sharpe ratio and daily drawdown over stationary-bootstrap paths of (d,) daily returns.

    `equity_fan` gives the bands of equity (1 = start) at up to 60 days. None with fewer than 2 days.
    """
    if len(returns) < 2:
        return None
    random = np.random.default_rng(seed)
    block_days = min(settings.block_days, len(returns))
    points = np.unique(np.linspace(0, len(returns) - 1, min(_FAN_POINTS, len(returns))).astype(np.int64))
    totals, sharpes, drawdowns, fans = [], [], [], []
    for n in _chunks(settings.paths, len(returns)):
        paths = np.stack([returns[drawn] for drawn in stationary(len(returns), block_days, n, random)])
        equity = np.cumprod(1.0 + paths, axis=1)
        totals.append(equity[:, -1] - 1.0)
        sharpes.append(np.array([metrics.sharpe(path) for path in paths]))
        drawdowns.append(_max_drawdowns(paths))
        fans.append(equity[:, points])
    total = np.concatenate(totals)
    return BlockBootstrap(
        paths=settings.paths,
        block_days=block_days,
        days=len(returns),
        total_return=Bands.of(total),
        sharpe_ratio=Bands.of(np.concatenate(sharpes)),
        max_drawdown_daily_pct=Bands.of(np.concatenate(drawdowns)),
        probability_of_loss=float(np.mean(total < 0)),
        equity_fan=EquityFan(points.tolist(), *np.percentile(np.concatenate(fans), BANDS, axis=0).tolist()),
    )


def skipped_trades(
    net_pnl_pct: Floats, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> HarderTrades | None:
    """Bands of return and drawdown (trade by trade) when each closed trade is missed with a probability.

    One level for each of `skip_probabilities`. A missed trade returns 0; the others return what they did, since
    `net_pnl_pct` (t,) is a fraction of the equity at entry, whatever that is. None with fewer than 2 trades.
    """
    if len(net_pnl_pct) < 2:
        return None
    levels = []
    children = seed.spawn(len(settings.skip_probabilities))
    for child, probability in zip(children, settings.skip_probabilities, strict=True):
        rows = partial(_with_skips, np.random.default_rng(child), probability, net_pnl_pct)
        levels.append(Level("probability", probability, *_trade_by_trade(rows, settings.paths, len(net_pnl_pct))))
    return _with_levels(net_pnl_pct, settings.paths, levels)


def noisy_fills(
    trades: NDArray[np.void], fee_rate: float, settings: MonteCarloSettings, seed: np.random.SeedSequence
) -> HarderTrades | None:
    """Bands of return and drawdown (trade by trade) when every market and stop fill is worse by a random slippage.

    One level for each of `noise_bps`: a fill at price p by a buyer (seller) becomes p·(1 ± e), with e exponentially
    distributed around that mean, of the fill's own and never negative. Take-profits are limits and fill where they are.
    `trades`: closed ones, dtype `TRADE`; their bars stay, as exits are measured from the open before slippage. The
    trade's return changes by g(entry', exit') - g(entry, exit), where g is what equity is multiplied by at 1x:
    exit·(1 - f) / (entry·(1 + f)) for a long, 1 + (1 - f)/(1 + f) - exit/entry for a short, f the fee rate; funding
    stays what it was, and -1 is the worst. None with fewer than 2 trades.
    """
    if len(trades) < 2:
        return None
    levels = []
    for child, bps in zip(seed.spawn(len(settings.noise_bps)), settings.noise_bps, strict=True):
        rows = partial(_with_noise, np.random.default_rng(child), bps, trades, fee_rate)
        levels.append(Level("noise_bps", bps, *_trade_by_trade(rows, settings.paths, 2 * len(trades))))
    return _with_levels(np.ascontiguousarray(trades["net_pnl_pct"]), settings.paths, levels)


def _with_skips(random: np.random.Generator, probability: float, net_pnl_pct: Floats, n: int) -> Floats:
    return np.where(random.random((n, len(net_pnl_pct))) < probability, 0.0, net_pnl_pct)


def _with_noise(random: np.random.Generator, bps: float, trades: NDArray[np.void], fee: float, n: int) -> Floats:
    side, entry, exit_ = (trades[name].astype(np.float64) for name in ("side", "entry_price", "exit_price"))
    reason, net = trades["reason_close"], trades["net_pnl_pct"]
    noise = random.exponential(bps * 1e-4, (n, len(trades), 2))
    noise[..., 1] *= reason != Closed.TAKE_PROFIT
    worse_entry, worse_exit = entry * (1 + side * noise[..., 0]), exit_ * (1 - side * noise[..., 1])
    change = _growth(side, worse_entry, worse_exit, fee) - _growth(side, entry, exit_, fee)
    return np.where(reason == Closed.RUIN, net, np.maximum(net + change, -1.0))


def _growth(side: Floats, entry: Floats, exit_: Floats, fee: float) -> Floats:
    """What equity is multiplied by in a trade, all of it at 1x; shapes (…, t)."""
    kept = (1 - fee) / (1 + fee)
    grown: Floats = np.where(side > 0, kept * exit_ / entry, 1 + kept - exit_ / entry)
    return grown


def _trade_by_trade(paths: Callable[[int], Floats], wanted: int, length: int) -> tuple[Bands, Bands, float]:
    """Return and drawdown over `wanted` rows of trade returns, and the share of rows that lose.

    `paths` makes them (n → (n, t)); `length`: numbers a row takes.
    """
    totals, drawdowns = [], []
    for n in _chunks(wanted, length):
        rows = paths(n)
        totals.append(np.prod(1.0 + rows, axis=1) - 1.0)
        drawdowns.append(_max_drawdowns(rows))
    total = np.concatenate(totals)
    return Bands.of(total), Bands.of(np.concatenate(drawdowns)), float(np.mean(total < 0))


def _with_levels(net_pnl_pct: Floats, paths: int, levels: list[Level]) -> HarderTrades:
    return HarderTrades(
        paths=paths,
        trades=len(net_pnl_pct),
        observed_total_return=float(np.prod(1.0 + net_pnl_pct) - 1.0),
        observed_max_drawdown_pct=float(_max_drawdowns(net_pnl_pct[None, :])[0]),
        levels=levels,
    )


def _max_drawdowns(paths: Floats) -> Floats:
    """Maximum drawdown of each row of simple returns (p, d), against a peak that starts at 1."""
    return np.array([metrics.max_drawdown_fraction(equity, 1.0) for equity in np.cumprod(1.0 + paths, axis=1)])


def _chunks(paths: int, length: int) -> list[int]:
    size = max(1, _CHUNK_BYTES // (8 * length))
    return [min(size, paths - done) for done in range(0, paths, size)]
