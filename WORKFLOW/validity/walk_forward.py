"""Walk-forward: select on the bars known at the time, trade the bars that came next, and judge by the latter only.

In every window the selection is made again, by a prescreen on the training bars alone; the test windows lie side by
side. Anchored training starts at the first bar, and rolling training keeps its length. All windows lie inside the
in-sample part, because the holdout is looked at once, at the very end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import numpy as np

from config.errors import Refused
from config.record import asdict
from config.settings import PrescreenSettings, WalkForwardSettings
from state.records.metrics import Metrics
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import Steps

SCHEMES = ("anchored", "rolling")
_SLICE = 256  # combos of one step


@dataclass(frozen=True)
class WalkWindow:
    """One training window and the test window right after it."""

    train: Window
    test: Window


@exact.record
@dataclass(frozen=True)
class DateSpan:
    """A window as people read it: the opens of its first and its last bar in UTC, its bars, and its days."""

    first: str
    last: str
    bars: int
    days: float

    def as_json(self) -> dict[str, Any]:
        """Return this as files hold it."""
        return {"from": self.first, "to": self.last, "bars": self.bars, "days": self.days}


@exact.record
@dataclass(frozen=True)
class BriefMetrics:
    """The few metrics that a table of windows shows; units as in `Metrics`."""

    sharpe_ratio: float | None
    total_return: float | None
    max_drawdown_pct: float | None
    win_rate: float | None
    total_trades: int

    @classmethod
    def of(cls, values: Metrics) -> Self:
        """Take these metrics from all metrics of a window."""
        return cls(**{one.name: getattr(values, one.name) for one in fields(cls)})


@exact.record
@dataclass(frozen=True)
class FixedWindow:
    """One test window, traded with given parameters."""

    span: DateSpan
    metrics: BriefMetrics

    def as_json(self) -> dict[str, Any]:
        """Return this as `validation.json` holds it."""
        return self.span.as_json() | asdict(self.metrics)


@exact.record
@dataclass(frozen=True)
class WalkedWindow:
    """One window with a new selection; if `parameters` is None, no combo was eligible and nothing was traded."""

    train: DateSpan
    test: DateSpan
    parameters: Parameters | None
    in_sample: BriefMetrics | None
    out_of_sample: BriefMetrics | None

    def as_json(self) -> dict[str, Any]:
        """Return this as `validation.json` holds it."""
        return {**asdict(self), "train": self.train.as_json(), "test": self.test.as_json()}


@exact.record
@dataclass(frozen=True)
class Efficiency:
    """The share of the in-sample performance that was left on unseen bars; None if undefined."""

    annualized_return: float | None
    sharpe_ratio: float | None


@exact.record
@dataclass(frozen=True)
class WalkForward:
    """One scheme: its windows, and the metrics of all test days joined. `total_return` is a fraction."""

    windows: tuple[WalkedWindow, ...]
    sharpe_ratio: float | None
    total_return: float
    days: int
    efficiency: Efficiency
    profitable_windows: int

    def as_json(self) -> dict[str, Any]:
        """Return this as `validation.json` holds it."""
        return {**asdict(self), "windows": [window.as_json() for window in self.windows]}


def steps(whole: Window, settings: WalkForwardSettings, scheme: str) -> list[WalkWindow]:
    """Return the windows of a scheme over the bars of `whole`: equal test windows of whole days, up to the last bar.

    Raises:
        Refused: `whole` is so short that a test window would be shorter than a day.
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
) -> dict[str, WalkForward]:
    """Test the selection rule by both schemes, with a new selection in every window.

    The record shows whether the rule carries over to bars that it has not seen. A window in which no combo of the
    training bars is eligible is not traded: its days count with a return of 0.
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
) -> dict[str, WalkForward]:
    """Return, for each scheme, its windows and the metrics of all test days joined."""
    out = {}
    for scheme in SCHEMES:
        windows, returns = [], []
        for step in plan[scheme]:
            chosen = _choose(next(tables), combos, screen)
            windows.append(_window(evaluator, step, chosen))
            returns.append(_test_returns(evaluator, step, chosen))
        out[scheme] = _stitched(returns, tuple(windows))
    return out


def fixed(evaluator: Evaluator, parameters: Parameters, walk: WalkForwardSettings) -> list[FixedWindow]:
    """Trade one strategy, unchanged, over the test windows, to see whether it was good all the time or once.

    The windows are in-sample for the strategy.
    """
    return [
        FixedWindow(span(evaluator.market, step.test), BriefMetrics.of(evaluator.metrics(parameters, step.test)))
        for step in steps(evaluator.whole, walk, "rolling")
    ]


def names(combos: int) -> list[str]:
    """Return the steps of `process`: slices of the combos in every training window, then the selections."""
    return [*(f"walk-forward {number}" for number in range(-(-combos // _SLICE))), "walk-forward choices"]


def _screen(evaluator: Evaluator, combos: Combos, number: int, windows: list[Window], threads: int) -> Floats:
    first = number * _SLICE
    return evaluator.screen(combos[first : first + _SLICE], windows, threads)


def _choose(table: Floats, combos: Combos, screen: PrescreenSettings) -> Parameters | None:
    passed = np.flatnonzero(
        (table[:, metrics.TOTAL_TRADES] >= screen.min_trades) & np.isfinite(table[:, metrics.SHARPE])
    )
    return combos.row(int(passed[np.argmax(table[passed, metrics.SHARPE])])) if len(passed) else None


def _window(evaluator: Evaluator, step: WalkWindow, chosen: Parameters | None) -> WalkedWindow:
    return WalkedWindow(
        train=span(evaluator.market, step.train),
        test=span(evaluator.market, step.test),
        parameters=chosen,
        in_sample=BriefMetrics.of(evaluator.metrics(chosen, step.train)) if chosen else None,
        out_of_sample=BriefMetrics.of(evaluator.metrics(chosen, step.test)) if chosen else None,
    )


def _test_returns(evaluator: Evaluator, step: WalkWindow, chosen: Parameters | None) -> Floats:
    market, capital = evaluator.market, evaluator.costs.capital
    equity = evaluator.ledger(chosen, step.test).equity if chosen else np.full(len(step.test), capital)
    return metrics.daily_returns(metrics.daily_marks(equity, market, step.test), capital)


def _stitched(returns: list[Floats], windows: tuple[WalkedWindow, ...]) -> WalkForward:
    stitched = np.concatenate(returns)
    return WalkForward(
        windows=windows,
        sharpe_ratio=_defined(metrics.sharpe(stitched)),
        total_return=float(np.prod(1.0 + stitched) - 1.0),
        days=len(stitched),
        efficiency=_efficiency(returns, windows),
        profitable_windows=sum(
            one.out_of_sample is not None and (one.out_of_sample.total_return or 0) > 0 for one in windows
        ),
    )


def _efficiency(returns: list[Floats], windows: tuple[WalkedWindow, ...]) -> Efficiency:
    """Return the share of the in-sample performance that was left on unseen bars, over traded windows; 1 = all of it.

    The return efficiency is that of Pardo (2008), chapter 11: the annualised out-of-sample return over the annualised
    in-sample return, both compounded over all of their days. The Sharpe efficiency is the Sharpe ratio of the test days
    over the mean Sharpe ratio of the trainings. A value is None if nothing was gained in-sample, because a share of a
    loss means nothing, or if a Sharpe ratio is undefined.
    """
    traded = [(days, one.train, one.in_sample) for days, one in zip(returns, windows, strict=True) if one.in_sample]
    if not traded:
        return Efficiency(None, None)
    tested = np.concatenate([days for days, _, _ in traded])
    gains = np.array([trained.total_return for _, _, trained in traded])
    trained_days = sum(train.days for _, train, _ in traded)
    trained_sharpe = float(np.mean(np.array([trained.sharpe_ratio for _, _, trained in traded])))
    return Efficiency(
        annualized_return=_share(_annual(tested, len(tested)), _annual(gains, trained_days)),
        sharpe_ratio=_share(_defined(metrics.sharpe(tested)), trained_sharpe),
    )


def _annual(returns: Floats, days: float) -> float | None:
    """Return the yearly rate at which `returns`, compounded, grew money over `days`."""
    growth = float(np.prod(1.0 + returns))
    try:
        return _defined(max(growth, 0.0) ** (metrics.DAYS_PER_YEAR / days) - 1.0)
    except OverflowError:
        return None


def _share(tested: float | None, trained: float | None) -> float | None:
    return tested / trained if tested is not None and trained is not None and trained > 0 else None


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def span(market: Market, window: Window) -> DateSpan:
    """Describe a window for people."""
    first, last = (np.datetime64(int(market.time_ms[bar]) // 1000, "s") for bar in (window.start, window.stop - 1))
    return DateSpan(f"{first}Z", f"{last}Z", len(window), round(len(window) / BARS_PER_DAY, 2))
