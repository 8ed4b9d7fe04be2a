"""The ambiguity band: what a result could be at worst and at best, where one bar touched both exits of a position.

The four prices of a bar do not say which exit came first. Everything is judged with the stop first; here stands what
the take-profit first would have given, and, where 1-minute bars are at hand, what they say came first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from config.record import asdict
from config.settings import Settings
from state.records.metrics import Metrics
from WORKFLOW.data.bars import Minutes
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import BothTouched, FirstTouch
from WORKFLOW.engines.rules import Tie
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters
from WORKFLOW.steps import exact
from WORKFLOW.validity import verdict

# What the minutes of an ambiguous bar say. `same_minute`: one of them touched both first. `unknown`: they are not
# there, do not make that bar, or do not reach both levels. Of these two nothing is known: the stop counts as first.
First = Literal["stop", "take_profit", "same_minute", "unknown"]
ANSWERS: tuple[First, ...] = ("stop", "take_profit", "same_minute", "unknown")

FAR_SHARPE = 0.5  # annualised; a band this wide can turn a judgement, narrower ones are told in the file alone


@dataclass(frozen=True)
class StrategyOnBars:
    """One strategy, the bars it is tested on, and their minutes when they are at hand."""

    evaluator: Evaluator
    parameters: Parameters
    minutes: Minutes | None


@exact.record
@dataclass(frozen=True)
class TiedTrade:
    """The trade that an ambiguous bar ended: its net result (a fraction) both ways, and what the minutes say.

    `tp_first` is None where the run with the take-profit first has no such trade, `first` without minutes.
    """

    side: str
    entry_time: str
    exit_time: str
    sl_first: float
    tp_first: float | None
    first: First | None


@exact.record
@dataclass(frozen=True)
class Resolved:
    """How many ambiguous bars got which of the `ANSWERS`, and the metrics that follow from them."""

    stop: int
    take_profit: int
    same_minute: int
    unknown: int
    metrics: Metrics


@exact.record
@dataclass(frozen=True)
class BandRecord:
    """The metrics of one window with the stop first, with the take-profit first, and as the minutes say."""

    ambiguous_bars: int
    ambiguous_bars_tp_first: int
    sl_first: Metrics
    tp_first: Metrics
    resolved: Resolved | None
    trades: list[TiedTrade]


@dataclass(frozen=True)
class Ambiguity:
    """Every window's band, and what a reader of the verdict must know of them."""

    note: str | None
    windows: Mapping[str, BandRecord]

    def as_json(self) -> dict[str, Any]:
        """For `validation.json`."""
        return {"note": self.note, **{name: asdict(one) for name, one in self.windows.items()}}


@dataclass(frozen=True)
class OrderBand:
    """One strategy in one window. `reference`: the reference engine's ledger with the stop first; `record`: what
    `validation.json` says."""

    reference: Ledger
    record: BandRecord


def band(subject: StrategyOnBars, window: Window, sl_first: Metrics) -> OrderBand:
    """Trade `window` with the stop first, with the take-profit first, and as the minutes say.

    `sl_first` are the metrics of the first of the three, which everything else was judged by. The reference engine runs
    it once more, because it names the ambiguous bars (and judges the other engine); it runs the third only when there
    are any.
    """
    ties: list[BothTouched] = []
    pessimistic = _reference(subject, window, _noting(ties, "sl_first"))
    optimistic = subject.evaluator.ledger(subject.parameters, window, tie="tp_first")
    told = BandRecord(
        ambiguous_bars=len(ties),
        ambiguous_bars_tp_first=_ties_tp_first(subject, window, ties, pessimistic),
        sl_first=sl_first,
        tp_first=_metrics(subject, window, optimistic),
        resolved=None if subject.minutes is None else _resolved(subject, subject.minutes, window, ties, sl_first),
        trades=[_trade(subject, tie, pessimistic, optimistic) for tie in ties],
    )
    return OrderBand(pessimistic, told)


def first_touch(tie: BothTouched, minutes: Minutes, market: Market) -> First:
    """Which of the two levels was touched first, minute by minute.

    Both stand for the whole 5-minute bar (a trail follows the bars before the current one), and a position entered at
    its open lives from its first minute. A minute that opens beyond a level has touched that one before the other.
    """
    if not minutes.fits[tie.bar]:
        return "unknown"
    prices = minutes.ohlc[tie.bar] * market.per_unit  # in ticks, as the levels are: comparisons are then exact
    open_, high, low, _ = (np.rint(prices) if market.has_tick else prices).T
    worst, best = (low, high) if tie.side == 1 else (high, low)
    stopped, taken = tie.side * (worst - tie.stop) <= 0, tie.side * (best - tie.limit) >= 0
    if not (stopped.any() and taken.any()):
        return "unknown"  # they make the bar within a tick, and that tick is missing
    at = int(np.argmax(stopped | taken))
    if tie.side * (open_[at] - tie.stop) <= 0 or not taken[at]:
        return "stop"
    if tie.side * (open_[at] - tie.limit) >= 0 or not stopped[at]:
        return "take_profit"
    return "same_minute"


def record(bands: Mapping[str, BandRecord], evidence: verdict.FinalistEvidence, settings: Settings) -> Ambiguity:
    """`ambiguity` of `validation.json`."""
    return Ambiguity(_note(bands, evidence, settings), bands)


# helpers --------------------------------------------------------------------------------------------------------------


def _note(bands: Mapping[str, BandRecord], evidence: verdict.FinalistEvidence, settings: Settings) -> str | None:
    bars = sum(one.ambiguous_bars for one in bands.values())
    if bars == 0:
        return None
    where = f"{bars:,} {'bar touches' if bars == 1 else 'bars touch'} both stop and take-profit"
    at_best: dict[str, Any] = {name: verdict.WindowFigures.of(one.tp_first) for name, one in bands.items()}
    if not _passes(evidence, settings) and _passes(replace(evidence, **at_best), settings):
        return f"{where}; with the take-profit first in all of them every check would pass"
    for name, one in bands.items():
        worst, best = one.sl_first.sharpe_ratio, one.tp_first.sharpe_ratio
        if worst is not None and best is not None and best - worst >= FAR_SHARPE:
            return f"{where}; {name.replace('_', '-')} Sharpe is {worst:.1f} to {best:.1f} as either comes first"
    return None


def _passes(evidence: verdict.FinalistEvidence, settings: Settings) -> bool:
    return all(check.passed for check in verdict.checks(evidence, settings))


def _reference(subject: StrategyOnBars, window: Window, decide: FirstTouch) -> Ledger:
    return subject.evaluator.reference_ledger(subject.parameters, window, first_touch=decide)


def _metrics(subject: StrategyOnBars, window: Window, ledger: Ledger) -> Metrics:
    return metrics.full(ledger, subject.evaluator.market, window, subject.evaluator.costs.capital)


def _noting(ties: list[BothTouched], rule: Tie) -> FirstTouch:
    def decide(tie: BothTouched) -> Tie:
        ties.append(tie)
        return rule

    return decide


def _ties_tp_first(subject: StrategyOnBars, window: Window, ties: list[BothTouched], pessimistic: Ledger) -> int:
    """Either way the position ends on that bar, and events do not depend on it: both runs meet the same ambiguous bars,
    unless ruin has ended the one with the stop first."""
    if not (ties and pessimistic.ruined):
        return len(ties)
    others: list[BothTouched] = []
    _reference(subject, window, _noting(others, "tp_first"))
    return len(others)


def _resolved(
    subject: StrategyOnBars, minutes: Minutes, window: Window, ties: list[BothTouched], sl_first: Metrics
) -> Resolved:
    first_touches: list[First] = []

    def decide(tie: BothTouched) -> Tie:
        first_touches.append(first_touch(tie, minutes, subject.evaluator.market))
        return "tp_first" if first_touches[-1] == "take_profit" else "sl_first"

    values = _metrics(subject, window, _reference(subject, window, decide)) if ties else sl_first
    return Resolved(**{answer: first_touches.count(answer) for answer in ANSWERS}, metrics=values)


def _trade(subject: StrategyOnBars, tie: BothTouched, pessimistic: Ledger, optimistic: Ledger) -> TiedTrade:
    market, minutes = subject.evaluator.market, subject.minutes
    [*_, worst] = _ended(pessimistic, tie)
    [*_, best] = _ended(optimistic, tie) or [None]
    return TiedTrade(
        side="long" if tie.side == 1 else "short",
        entry_time=_utc(market, worst["entry_bar"]),
        exit_time=_utc(market, tie.bar),
        sl_first=float(worst["net_pnl_pct"]),
        tp_first=None if best is None else float(best["net_pnl_pct"]),
        first=None if minutes is None else first_touch(tie, minutes, market),
    )


def _ended(ledger: Ledger, tie: BothTouched) -> list[Any]:
    """The trades that ended on that bar; the last is the tie's, one before it may have left at the open."""
    return list(ledger.trades[ledger.trades["exit_bar"] == tie.bar])


def _utc(market: Market, bar: int) -> str:
    return f"{np.datetime64(int(market.time_ms[bar]) // 1000, 's')}Z"
