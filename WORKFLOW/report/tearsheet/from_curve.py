"""The document of daily returns or an equity curve: what an account did, without trades."""

from typing import Any

import numpy as np

from config.errors import Refused
from config.settings import Settings
from state.records.metrics import StatedMetrics
from WORKFLOW.data.bars import DAY_MS, Floats
from WORKFLOW.report.tearsheet import document, from_trades
from WORKFLOW.report.tearsheet.curves import Daily, day_of, drawdown, moment
from WORKFLOW.report.tearsheet.from_trades import Asked
from WORKFLOW.report.tearsheet.sources import curve as curves_of
from WORKFLOW.report.tearsheet.sources.curve import Curve
from WORKFLOW.validity import monte_carlo, trade_list

_HOW = (
    "Made from {kind}: no trade is known, so figures that need trades (results of trades, winning trades, profit "
    "factor, time in the market, shuffled and skipped trades) are not shown."
)


def of_curve(found: Curve, asked: Asked, settings: Settings) -> document.Document:
    """The document of a curve; every day has its mark, and there is no trade.

    Raises:
        Refused: the equity does not stay above 0; the curve lasts longer than `from_trades.MOST_YEARS`; the split
        leaves one side without a day.
    """
    from_trades.fits_a_page(int(found.ms[0]), int(found.ms[-1]))
    first_day, equity, capital = curves_of.daily(found, asked.capital)
    _survives(found.kind, first_day, equity, capital)
    daily = Daily(first_day, equity, capital)
    windows = _windows(daily, asked.split_ms)
    full = _metrics(daily, 0, len(equity))
    values = {name: _metrics(daily, *window) for name, window in windows.items()}
    inside = windows.get("in_sample", (0, len(equity)))
    known = trade_list.Known(
        inside=values.get("in_sample", full),
        inside_returns=daily.returns[slice(*inside)],
        outside=values.get("out_of_sample"),
        tries=asked.tries,
    )
    ends = (np.arange(first_day, first_day + len(equity) + 1) * DAY_MS).astype(np.int64)
    return from_trades.made(
        asked,
        "curve",
        _HOW.format(kind=f"a curve of {found.kind}" if found.kind != "returns" else "daily returns"),
        period=(moment(first_day * DAY_MS), moment(int(ends[-1]) - 1_000), len(equity)),
        known=known,
        metrics={"full": full, "in_sample": None, "out_of_sample": None, **values},
        drawn=document.drawn(daily, (ends, np.concatenate([[capital], equity])), None),
        monte_carlo={
            name: _played_again(daily, window, settings, number)
            for number, (name, window) in enumerate((windows or {"full": (0, len(equity))}).items())
        },
        settings=settings,
        capital=capital,
    )


def _survives(kind: str, first_day: int, equity: Floats, capital: float) -> None:
    sound = (equity > 0) & (equity <= from_trades.MOST_GROWTH * capital)
    if sound.all():
        return
    at = int(np.argmin(sound))
    when = moment((first_day + at) * DAY_MS)[:10]
    if equity[at] > 0:
        raise Refused(
            f"a capital of {capital:,.6g} has become {equity[at] / capital:.3g} times as much on {when}",
            "type --unit percent if the returns are percent (1.2 is 1.2 %); else look at that day's value",
        )
    raise Refused(
        f"a capital of {capital:,.2f} is gone on {when} (equity {equity[at]:,.2f})",
        "type --unit percent if the returns are percent (1.2 is 1.2 %)"
        if kind == curves_of.RETURNS
        else f"type --capital C, the capital at the start: more than {capital - float(equity.min()):,.6g}",
    )


def _windows(daily: Daily, split_ms: int | None) -> dict[str, tuple[int, int]]:
    """Days of each window (first, one past the last); none without a split."""
    if split_ms is None:
        return {}
    border, days = day_of(split_ms) - daily.first_day, len(daily.equity)
    if not 0 < border < days:
        raise Refused(
            f"--split {moment(split_ms)[:10]} leaves no day on one side: the curve goes from {daily.dates[0]} to"
            f" {daily.dates[-1]}",
            "name the first day that was not used to choose the strategy, between those two",
        )
    return {"in_sample": (0, border), "out_of_sample": (border, days)}


def _metrics(daily: Daily, first: int, last: int) -> StatedMetrics:
    """The metrics of days `first` to `last` (exclusive); those of trades are unknown."""
    start = daily.capital if first == 0 else float(daily.equity[first - 1])
    marks = np.ascontiguousarray(daily.equity[first:last])
    deepest = float(drawdown(marks, start).max())
    peaks = np.maximum.accumulate(np.maximum(marks, start))
    found = from_trades.of_days(daily.returns[first:last], float(marks[-1] / start - 1.0), deepest) | {
        "max_drawdown": float((peaks - marks).max()),
        "max_drawdown_daily_pct": deepest,
    }
    stated = {key: found.get(key) for key in from_trades.METRICS}
    return StatedMetrics.of_json(stated | {"total_trades": None, "days": last - first})


def _played_again(daily: Daily, window: tuple[int, int], settings: Settings, number: int) -> dict[str, Any]:
    """Days drawn again: there are no trades to put into another order."""
    returns = np.ascontiguousarray(daily.returns[slice(*window)])
    seeds = np.random.SeedSequence((settings.run.seed, number)).spawn(3)
    found = monte_carlo.MonteCarlo(
        trade_shuffle=None,
        block_bootstrap=monte_carlo.block_bootstrap(returns, settings.monte_carlo, seeds[1]),
        skipped_trades=None,
        noisy_fills=None,
    )
    return document.played_again(found, returns)
