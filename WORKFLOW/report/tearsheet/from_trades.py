"""The document of trades that somebody else's program made: what they say, and what they cannot say."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from config.errors import Refused
from config.settings import Settings
from state.records.metrics import StatedMetrics
from WORKFLOW.data.bars import DAY_MS, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.report.tearsheet import document
from WORKFLOW.report.tearsheet.curves import Daily, day_of, drawdown, moment
from WORKFLOW.report.tearsheet.trading import Trades
from WORKFLOW.validity import monte_carlo, trade_list
from WORKFLOW.validity.chance import Chance

_HOW = (
    "Made from a list of closed trades: equity moves at their exits only. Open profit is unknown, so bar by bar the"
    " drawdown is deeper and the Sharpe ratio another."
)

METRICS = (
    *("total_return", "annualized_return", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "max_drawdown"),
    *("max_drawdown_pct", "max_drawdown_daily_pct", "cvar_95", "win_rate", "profit_factor", "exposure"),
)
MOST_GROWTH = 1e12  # of equity over the capital: beyond it a unit or the capital is another
MOST_YEARS = 100  # every day has its mark: one time in another unit would make a page of millions


@dataclass(frozen=True)
class Asked:
    """What the user said of the trades; None is unknown."""

    name: str
    capital: float
    split_ms: int | None
    tries: int | None
    notes: tuple[str, ...]


def of_trades(trades: Trades, asked: Asked, settings: Settings) -> document.Document:
    """The document of closed trades; equity is known at their exits only.

    Raises:
        Refused: the capital does not survive the trades, or grows beyond all measure; they go on for more than
        `MOST_YEARS`; the split leaves one side without a trade.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # refused on the next line
        equity = asked.capital + np.cumsum(trades.pnl)
    _survives(equity, trades, asked.capital)
    first_ms = int(trades.exit_ms[0] if trades.entry_ms is None else trades.entry_ms.min())
    fits_a_page(first_ms, int(trades.exit_ms[-1]))
    daily = _daily(trades.exit_ms, equity, first_ms, asked.capital)
    windows = _windows(daily, trades, asked.split_ms)
    values = {name: _metrics(daily, trades, equity, *window) for name, window in windows.items()}
    full = _metrics(daily, trades, equity, 0, len(daily.equity))
    inside = windows.get("in_sample", (0, len(daily.equity)))
    known = trade_list.Known(
        inside=values.get("in_sample", full),
        inside_returns=daily.returns[slice(*inside)],
        outside=values.get("out_of_sample"),
        tries=asked.tries,
    )
    marks = np.concatenate([[first_ms], trades.exit_ms]), np.concatenate([[asked.capital], equity])
    return made(
        asked,
        "trades",
        _HOW,
        period=(moment(first_ms), moment(trades.exit_ms[-1]), len(daily.equity)),
        known=known,
        metrics={"full": full, "in_sample": None, "out_of_sample": None, **values},
        drawn=document.drawn(daily, marks, trades),
        monte_carlo={
            name: _played_again(daily, trades, window, settings, number)
            for number, (name, window) in enumerate((windows or {"full": (0, len(daily.equity))}).items())
        },
        settings=settings,
        capital=asked.capital,
    )


def made(
    asked: Asked,
    source: str,
    how: str,
    *,
    period: tuple[str, str, int],
    known: trade_list.Known,
    metrics: dict[str, StatedMetrics | None],
    drawn: document.Document,
    monte_carlo: dict[str, Any],
    settings: Settings,
    capital: float,
) -> document.Document:
    """The document of what somebody else's program made; `source` is trades or curve, `how` says what it cannot say."""
    checks = trade_list.checks(known, settings)
    line = trade_list.line(known, checks)
    first, last, days = period
    return {
        "kind": document.KIND,
        "strategy": {
            "name": asked.name,
            "symbol": None,
            "mode": None,
            "family": None,
            "synthetic": False,
            "source": source,
            "parameters": {},
            "costs": None,
        },
        "period": {
            "from": first,
            "to": last,
            "days": days,
            "out_of_sample_from": None if asked.split_ms is None else moment(asked.split_ms),
        },
        "verdict": {
            "state": document.REJECTED if line.startswith("not tradeable") else document.UNJUDGED,
            "line": line,
            "checks": [
                {key: getattr(check, key) for key in ("name", "passed", "value", "threshold", "needed")}
                for check in checks
            ],
        },
        "notes": [how, *asked.notes],
        "capital": capital,
        "metrics": {name: None if values is None else values.as_json() for name, values in metrics.items()},
        "buy_and_hold": None,
        "chance": _chance(known),
        **drawn,
        "held": None,
        "monte_carlo": monte_carlo,
        "evidence": None,
    }


def _survives(equity: Floats, trades: Trades, capital: float) -> None:
    sound = (equity > 0) & (equity <= MOST_GROWTH * capital)
    if sound.all():
        return
    at = int(np.argmin(sound))
    where = f"after trade {at + 1:,}, closed {moment(trades.exit_ms[at])}"
    if equity[at] > 0:
        raise Refused(
            f"a capital of {capital:,.6g} has become {equity[at] / capital:.3g} times as much {where}",
            "if a pct column holds percent (1.2 is 1.2 %), type --unit percent; else look at that trade's result,"
            " or give the --capital that these trades were made with",
        )
    raise Refused(
        f"a capital of {capital:,.2f} is gone {where} (equity {equity[at]:,.2f})",
        f"type --capital C, the capital these trades were made with: more than {_needed(equity, capital):,.6g}",
    )


def _needed(equity: Floats, capital: float) -> float:
    """The smallest capital that survives the same results."""
    return float(capital - equity.min())


def fits_a_page(first_ms: int, last_ms: int) -> None:
    """Every day has its mark: refused where there are too many of them."""
    if last_ms - first_ms > MOST_YEARS * 365.25 * DAY_MS:
        raise Refused(
            f"the times go from {moment(first_ms)} to {moment(last_ms)}, which is more than {MOST_YEARS} years",
            "repair the time that is wrong (of epoch numbers s, ms and µs are told by their size)",
        )


def _daily(exit_ms: Any, equity: Floats, first_ms: int, capital: float) -> Daily:
    """The last equity of every UTC day from the first entry to the last exit."""
    first, last = day_of(first_ms), day_of(exit_ms[-1])
    closed = np.searchsorted(exit_ms // DAY_MS, np.arange(first, last + 1), side="right")
    return Daily(first, np.concatenate([[capital], equity])[closed], capital)


def _windows(daily: Daily, trades: Trades, split_ms: int | None) -> dict[str, tuple[int, int]]:
    """Days of each window (first, one past the last); none without a split."""
    if split_ms is None:
        return {}
    border = day_of(split_ms) - daily.first_day
    inside = int(np.count_nonzero(trades.exit_ms < split_ms))
    if not 0 < inside < len(trades):
        span = f"{moment(trades.exit_ms[0])} to {moment(trades.exit_ms[-1])}"
        raise Refused(
            f"--split {moment(split_ms)} leaves no trade on one side: they were closed from {span}",
            "name the first day that was not used to choose the strategy",
        )
    return {"in_sample": (0, border), "out_of_sample": (border, len(daily.equity))}


def _metrics(daily: Daily, trades: Trades, equity: Floats, first: int, last: int) -> StatedMetrics:
    """The metrics of days `first` to `last` (exclusive), as far as closed trades give them."""
    days = trades.exit_ms // DAY_MS - daily.first_day
    chosen = (days >= first) & (days < last)
    start = daily.capital if first == 0 else float(daily.equity[first - 1])
    returns, pnl, curve = daily.returns[first:last], trades.pnl[chosen], equity[chosen]
    marks = np.ascontiguousarray(daily.equity[first:last])
    deepest = float(metrics.max_drawdown_fraction(curve, start))
    gained, lost = float(pnl[pnl > 0].sum()), float(-pnl[pnl < 0].sum())
    peaks = np.maximum.accumulate(np.maximum(curve, start))
    values = {
        "max_drawdown": float((peaks - curve).max()),
        "max_drawdown_daily_pct": float(drawdown(marks, start).max()),
        "win_rate": metrics.ratio(float(np.count_nonzero(pnl > 0)), len(pnl)),
        "profit_factor": metrics.ratio(gained, lost),
        "exposure": _exposure(trades, daily.first_day + first, daily.first_day + last),
    }
    found = of_days(returns, float(marks[-1] / start - 1.0), deepest) | {
        key: metrics.or_none(value) for key, value in values.items()
    }
    stated = {key: found[key] for key in METRICS}
    return StatedMetrics.of_json(stated | {"total_trades": len(pnl), "days": last - first})


def of_days(returns: Floats, total: float, deepest: float) -> dict[str, Any]:
    """What daily returns (d,) say, beside the return of all of them and the deepest fall, as fractions."""
    annualized = (
        metrics.annualized_return(total, len(returns) / metrics.DAYS_PER_YEAR) if len(returns) > 1 else float("nan")
    )
    values = {
        "total_return": total,
        "annualized_return": annualized,
        "sharpe_ratio": float(metrics.sharpe(returns)),
        "sortino_ratio": metrics.sortino(returns),
        "calmar_ratio": metrics.ratio(annualized, deepest),
        "max_drawdown_pct": deepest,
        "cvar_95": metrics.cvar(returns),
    }
    return {key: metrics.or_none(value) for key, value in values.items()}


def _exposure(trades: Trades, first_day: int, last_day: int) -> float:
    """Share of the time in which at least one trade was open; NaN without entries."""
    if trades.entry_ms is None:
        return float("nan")
    low, high = first_day * DAY_MS, last_day * DAY_MS
    order = np.argsort(trades.entry_ms, kind="stable")
    entry, exit_ = np.clip(trades.entry_ms[order], low, high), np.clip(trades.exit_ms[order], low, high)
    until = np.maximum.accumulate(np.concatenate([[low], exit_[:-1]]))
    held = np.maximum(exit_ - np.maximum(entry, until), 0).sum()
    return float(held / (high - low))


def _chance(known: trade_list.Known) -> dict[str, Any] | None:
    if known.tries is None:
        return None
    return asdict(Chance.of(known.tries, known.inside.days or 0))


def _played_again(
    daily: Daily, trades: Trades, window: tuple[int, int], settings: Settings, number: int
) -> dict[str, Any]:
    """Trades in another order, days drawn again: as for a finalist."""
    days = trades.exit_ms // DAY_MS - daily.first_day
    net = np.ascontiguousarray(trades.net[(days >= window[0]) & (days < window[1])])
    returns = np.ascontiguousarray(daily.returns[slice(*window)])
    seeds = np.random.SeedSequence((settings.run.seed, number)).spawn(3)
    found = monte_carlo.MonteCarlo(
        trade_shuffle=monte_carlo.trade_shuffle(net, settings.monte_carlo, seeds[0]),
        block_bootstrap=monte_carlo.block_bootstrap(returns, settings.monte_carlo, seeds[1]),
        skipped_trades=monte_carlo.skipped_trades(net, settings.monte_carlo, seeds[2]),
        noisy_fills=None,
    )
    return document.played_again(found, returns)
