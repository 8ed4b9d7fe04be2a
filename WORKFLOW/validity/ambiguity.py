"""The ambiguity band: the worst and the best result, where one bar touched both exits of a position.

The four prices of a bar do not say which exit came first. Every judgment assumes the stop first. This module computes
what the take-profit first would have given and, where 1-minute bars exist, which exit they show to have come first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from config.settings import Settings
from WORKFLOW.data.bars import Minutes
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import BothTouched, FirstTouch
from WORKFLOW.engines.rules import Tie
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters
from WORKFLOW.validity import verdict

# What the minutes of an ambiguous bar say. `same_minute`: one minute touched both levels before any other did.
# `unknown`: the minutes are missing, do not add up to that bar, or do not reach both levels. In these two cases nothing
# is known, and the stop counts as first.
First = Literal["stop", "take_profit", "same_minute", "unknown"]
ANSWERS: tuple[First, ...] = ("stop", "take_profit", "same_minute", "unknown")

FAR_SHARPE = 0.5  # annualized; a band this wide can change a judgment, and narrower bands are told in the file only

Values = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """One strategy, the bars that test it, and their 1-minute bars if there are any."""

    evaluator: Evaluator
    parameters: Parameters
    minutes: Minutes | None


@dataclass(frozen=True)
class Band:
    """The ambiguity of one strategy in one window.

    `reference` is the reference engine's ledger with the stop first. `values` is the record for `validation.json`.
    """

    reference: Ledger
    values: Values


def band(subject: Subject, window: Window, sl_first: Values) -> Band:
    """Trade `window` with the stop first, with the take-profit first, and as the minutes say.

    `sl_first` holds the metrics with the stop first, on which every other judgment rests. The reference engine runs
    that case once more, because it names the ambiguous bars, and because its trades are compared with the other
    engine's. It runs the third case only if there are ambiguous bars.
    """
    ties: list[BothTouched] = []
    pessimistic = _reference(subject, window, _noting(ties, "sl_first"))
    optimistic = subject.evaluator.ledger(subject.parameters, window, tie="tp_first")
    values = {
        "ambiguous_bars": len(ties),
        "ambiguous_bars_tp_first": _ties_tp_first(subject, window, ties, pessimistic),
        "sl_first": sl_first,
        "tp_first": _metrics(subject, window, optimistic),
        "resolved": None if subject.minutes is None else _resolved(subject, subject.minutes, window, ties, sl_first),
        "trades": [_trade(subject, tie, pessimistic, optimistic) for tie in ties],
    }
    return Band(pessimistic, values)


def first_touch(tie: BothTouched, minutes: Minutes, market: Market) -> First:
    """Return which of the two levels was touched first, minute by minute.

    Both levels stand for the whole 5-minute bar, because a trailing stop follows earlier bars only. A position entered
    at the open of the bar lives from its first minute. A minute that opens beyond a level touched that level before the
    other.
    """
    if not minutes.fits[tie.bar]:
        return "unknown"
    prices = minutes.ohlc[tie.bar] * market.per_unit  # in ticks as the levels are, so that comparisons are exact
    open_, high, low, _ = (np.rint(prices) if market.has_tick else prices).T
    worst, best = (low, high) if tie.side == 1 else (high, low)
    stopped, taken = tie.side * (worst - tie.stop) <= 0, tie.side * (best - tie.limit) >= 0
    if not (stopped.any() and taken.any()):
        return "unknown"  # the minutes match the bar to within a tick, and just that tick is missing
    at = int(np.argmax(stopped | taken))
    if tie.side * (open_[at] - tie.stop) <= 0 or not taken[at]:
        return "stop"
    if tie.side * (open_[at] - tie.limit) >= 0 or not stopped[at]:
        return "take_profit"
    return "same_minute"


def record(bands: Mapping[str, Values], evidence: verdict.FinalistEvidence, settings: Settings) -> Values:
    """Return the record `ambiguity` of `validation.json`.

    It holds every band and a `note` that a reader of the verdict must know, or None.
    """
    return {"note": _note(bands, evidence, settings), **bands}


# helpers --------------------------------------------------------------------------------------------------------------


def _note(bands: Mapping[str, Values], evidence: verdict.FinalistEvidence, settings: Settings) -> str | None:
    bars = sum(values["ambiguous_bars"] for values in bands.values())
    if bars == 0:
        return None
    where = f"{bars:,} {'bar touches' if bars == 1 else 'bars touch'} both stop and take-profit"
    at_best = {name: values["tp_first"] for name, values in bands.items()}
    if not _passes(evidence, settings) and _passes(replace(evidence, **at_best), settings):
        return f"{where}; with the take-profit first in all of them every check would pass"
    for name, values in bands.items():
        worst, best = (values[tie]["sharpe_ratio"] for tie in ("sl_first", "tp_first"))
        if worst is not None and best is not None and best - worst >= FAR_SHARPE:
            return f"{where}; {name.replace('_', '-')} Sharpe is {worst:.1f} to {best:.1f} as either comes first"
    return None


def _passes(evidence: verdict.FinalistEvidence, settings: Settings) -> bool:
    return all(check.passed for check in verdict.checks(evidence, settings))


def _reference(subject: Subject, window: Window, decide: FirstTouch) -> Ledger:
    return subject.evaluator.reference_ledger(subject.parameters, window, first_touch=decide)


def _metrics(subject: Subject, window: Window, ledger: Ledger) -> Values:
    return metrics.full(ledger, subject.evaluator.market, window, subject.evaluator.costs.capital)


def _noting(ties: list[BothTouched], rule: Tie) -> FirstTouch:
    def decide(tie: BothTouched) -> Tie:
        ties.append(tie)
        return rule

    return decide


def _ties_tp_first(subject: Subject, window: Window, ties: list[BothTouched], pessimistic: Ledger) -> int:
    """Return how many ambiguous bars the run with the take-profit first meets.

    Either way the position ends on that bar, and events do not depend on how. So both runs meet the same ambiguous
    bars, unless ruin has ended the run with the stop first.
    """
    if not (ties and pessimistic.ruined):
        return len(ties)
    others: list[BothTouched] = []
    _reference(subject, window, _noting(others, "tp_first"))
    return len(others)


def _resolved(subject: Subject, minutes: Minutes, window: Window, ties: list[BothTouched], sl_first: Values) -> Values:
    first_touches: list[First] = []

    def decide(tie: BothTouched) -> Tie:
        first_touches.append(first_touch(tie, minutes, subject.evaluator.market))
        return "tp_first" if first_touches[-1] == "take_profit" else "sl_first"

    values = _metrics(subject, window, _reference(subject, window, decide)) if ties else sl_first
    return {**{answer: first_touches.count(answer) for answer in ANSWERS}, "metrics": values}


def _trade(subject: Subject, tie: BothTouched, pessimistic: Ledger, optimistic: Ledger) -> Values:
    """Describe the trade that an ambiguous bar ended in both runs; `tp_first` is None if that run has no such trade."""
    market, minutes = subject.evaluator.market, subject.minutes
    [*_, worst] = _ended(pessimistic, tie)
    [*_, best] = _ended(optimistic, tie) or [None]
    return {
        "side": "long" if tie.side == 1 else "short",
        "entry_time": _utc(market, worst["entry_bar"]),
        "exit_time": _utc(market, tie.bar),
        "sl_first": float(worst["net_pnl_pct"]),
        "tp_first": None if best is None else float(best["net_pnl_pct"]),
        "first": None if minutes is None else first_touch(tie, minutes, market),
    }


def _ended(ledger: Ledger, tie: BothTouched) -> list[Any]:
    """Return the trades that ended on the tie's bar.

    The last of them is the tie's; an earlier one may have left at the open.
    """
    return list(ledger.trades[ledger.trades["exit_bar"] == tie.bar])


def _utc(market: Market, bar: int) -> str:
    return f"{np.datetime64(int(market.time_ms[bar]) // 1000, 's')}Z"
