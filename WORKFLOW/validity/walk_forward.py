"""Walk-forward: choose on what was known then, trade what came next, and look only at the latter.

In every window the choice is made anew, by a prescreen on the training bars alone; the test windows lie side by side.
Anchored training starts at the first bar, rolling training keeps its length. All of it lies inside the in-sample part:
the holdout is looked at once, at the very end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from config.errors import Refused
from config.settings import PrescreenSettings, WalkForwardSettings
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.steps.keep import Steps

SCHEMES = ("anchored", "rolling")
_SLICE = 256  # combos of one step


@dataclass(frozen=True)
class WalkWindow:
    """One training window and the test window right after it."""

    train: Window
    test: Window


def steps(whole: Window, settings: WalkForwardSettings, scheme: str) -> list[WalkWindow]:
    """The windows of a scheme over the bars of `whole`; equal test windows of whole days that end with the last bar.

    Raises:
        Refused: `whole` is so short that a test window would have less than a day.
    """
    parts = settings.train_to_test + settings.windows
    test = len(whole) // parts // BARS_PER_DAY * BARS_PER_DAY
    if test == 0:
        days = f"{len(whole) / BARS_PER_DAY:.0f} in-sample days"
        wanted = f"{settings.windows} walk-forward windows after {settings.train_to_test} of training"
        way_out = f"give more bars, or lower walk_forward.windows + walk_forward.train_to_test from {parts}"
        raise Refused(f"{days} are too few for {wanted}", way_out)
    train = test * settings.train_to_test
    first_test = whole.stop - test * settings.windows
    out = []
    for i in range(settings.windows):
        start = first_test + i * test
        train_start = whole.start if scheme == "anchored" else start - train
        out.append(WalkWindow(Window(train_start, start), Window(start, start + test)))
    return out


def process(
    evaluator: Evaluator,
    combos: Combos,
    walk: WalkForwardSettings,
    screen: PrescreenSettings,
    threads: int,
    kept: Steps,
) -> dict[str, Any]:
    """Both schemes with a new choice in every window: does the way of choosing carry over to bars it has not seen?

    A window in which no combo of the training bars passes is not traded: its days count with a return of 0.
    """
    plan = {scheme: steps(evaluator.whole, walk, scheme) for scheme in SCHEMES}
    trainings = [step.train for scheme in SCHEMES for step in plan[scheme]]
    *slices, last = names(len(combos))
    parts = [
        kept.do(name, partial(_screen, evaluator, combos, number, trainings, threads))
        for number, name in enumerate(slices)
    ]
    return kept.do(last, lambda: _stitched_of(evaluator, combos, plan, iter(np.concatenate(parts, axis=1)), screen))


def _stitched_of(
    evaluator: Evaluator,
    combos: Combos,
    plan: dict[str, list[WalkWindow]],
    tables: Iterator[Floats],
    screen: PrescreenSettings,
) -> dict[str, Any]:
    """Of each scheme: its windows, and their test days put together."""
    out = {}
    for scheme in SCHEMES:
        windows, returns = [], []
        for step in plan[scheme]:
            chosen = _choose(next(tables), combos, screen)
            windows.append(_window(evaluator, step, chosen))
            returns.append(_test_returns(evaluator, step, chosen))
        out[scheme] = {"windows": windows, **_stitched(returns, windows)}
    return out


def fixed(evaluator: Evaluator, parameters: Parameters, walk: WalkForwardSettings) -> list[dict[str, Any]]:
    """One strategy, unchanged, over the test windows: good all the time, or once? (In-sample for the strategy.)"""
    return [
        span(evaluator.market, step.test) | _brief(evaluator.metrics(parameters, step.test))
        for step in steps(evaluator.whole, walk, "rolling")
    ]


def names(combos: int) -> list[str]:
    """The steps of `process` for so many combos: slices of them in every training window, and what was chosen."""
    return [*(f"walk-forward {number}" for number in range(-(-combos // _SLICE))), "walk-forward choices"]


def _screen(evaluator: Evaluator, combos: Combos, number: int, windows: list[Window], threads: int) -> Floats:
    first = number * _SLICE
    return evaluator.screen(combos[first : first + _SLICE], windows, threads)


def _choose(table: Floats, combos: Combos, screen: PrescreenSettings) -> Parameters | None:
    passed = np.flatnonzero(
        (table[:, metrics.TOTAL_TRADES] >= screen.min_trades) & np.isfinite(table[:, metrics.SHARPE])
    )
    return combos.row(int(passed[np.argmax(table[passed, metrics.SHARPE])])) if len(passed) else None


def _window(evaluator: Evaluator, step: WalkWindow, chosen: Parameters | None) -> dict[str, Any]:
    return {
        "train": span(evaluator.market, step.train),
        "test": span(evaluator.market, step.test),
        "parameters": chosen,
        "in_sample": _brief(evaluator.metrics(chosen, step.train)) if chosen else None,
        "out_of_sample": _brief(evaluator.metrics(chosen, step.test)) if chosen else None,
    }


def _test_returns(evaluator: Evaluator, step: WalkWindow, chosen: Parameters | None) -> Floats:
    market, capital = evaluator.market, evaluator.costs.capital
    equity = evaluator.ledger(chosen, step.test).equity if chosen else np.full(len(step.test), capital)
    return metrics.daily_returns(metrics.daily_marks(equity, market, step.test), capital)


def _stitched(returns: list[Floats], windows: list[dict[str, Any]]) -> dict[str, Any]:
    stitched = np.concatenate(returns)
    return {
        "sharpe_ratio": _defined(metrics.sharpe(stitched)),
        "total_return": float(np.prod(1.0 + stitched) - 1.0),
        "days": len(stitched),
        "efficiency": _efficiency(returns, windows),
        "profitable_windows": sum(
            w["out_of_sample"] is not None and (w["out_of_sample"]["total_return"] or 0) > 0 for w in windows
        ),
    }


def _efficiency(returns: list[Floats], windows: list[dict[str, Any]]) -> dict[str, float | None]:
    """How much of the in-sample performance was left on unseen bars, over the windows that were traded; 1 = all of it.

    Pardo (2008), chapter 11: the annualised out-of-sample return over the annualised in-sample one, both compounded
    over all of their days. Beside it the Sharpe ratio of the test days over the mean one of the trainings. None where
    nothing was gained in-sample (a share of a loss means nothing), or a Sharpe ratio is undefined.
    """
    traded = [(days, window) for days, window in zip(returns, windows, strict=True) if window["in_sample"]]
    if not traded:
        return {"annualized_return": None, "sharpe_ratio": None}
    tested = np.concatenate([days for days, _ in traded])
    gains = np.array([window["in_sample"]["total_return"] for _, window in traded])
    trained_days = sum(window["train"]["days"] for _, window in traded)
    trained_sharpe = float(np.mean([window["in_sample"]["sharpe_ratio"] for _, window in traded]))
    return {
        "annualized_return": _share(_annual(tested, len(tested)), _annual(gains, trained_days)),
        "sharpe_ratio": _share(_defined(metrics.sharpe(tested)), trained_sharpe),
    }


def _annual(returns: Floats, days: float) -> float | None:
    """The yearly rate at which `returns` one after the other grew money over `days`."""
    growth = float(np.prod(1.0 + returns))
    try:
        return _defined(max(growth, 0.0) ** (metrics.DAYS_PER_YEAR / days) - 1.0)
    except OverflowError:
        return None


def _share(tested: float | None, trained: float | None) -> float | None:
    return tested / trained if tested is not None and trained is not None and trained > 0 else None


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _brief(values: dict[str, Any]) -> dict[str, Any]:
    keys = ("sharpe_ratio", "total_return", "max_drawdown_pct", "win_rate", "total_trades")
    return {key: values[key] for key in keys}


def span(market: Market, window: Window) -> dict[str, Any]:
    """A window as people read it: first and last bar's open in UTC, bars, days."""
    first, last = (np.datetime64(int(market.time_ms[bar]) // 1000, "s") for bar in (window.start, window.stop - 1))
    return {"from": f"{first}Z", "to": f"{last}Z", "bars": len(window), "days": round(len(window) / BARS_PER_DAY, 2)}
