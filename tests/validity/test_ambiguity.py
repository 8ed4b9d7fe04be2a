"""The band between two orders of exits, and what 1-minute bars make of it, against a walk over those minutes."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.settings import load
from tests.data.minutes import aggregated, bars_from, minute_walk, raw_of
from tests.engines.builders import planes_of
from tests.metric_sets import metric_set
from tests.properties.worlds import random_costs, random_market, random_rules, random_signal, random_window
from tests.validity.test_verdict import GOOD, values
from WORKFLOW.data.bars import Minutes
from WORKFLOW.data.minutes import fitted
from WORKFLOW.engines import bar_loop, metrics, reference
from WORKFLOW.engines.ledger import Closed, Ledger
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes
from WORKFLOW.engines.reference import BothTouched, Signal
from WORKFLOW.engines.rules import Rules
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.validity import ambiguity
from WORKFLOW.validity.ambiguity import StrategyOnBars, first_touch

SEEDS = st.integers(0, 2**32 - 1)
COSTS = load({}).costs


@dataclass(frozen=True)
class Given:
    """A family of one signal, given bar by bar."""

    signal: Signal
    name: str = "given"
    parameters: tuple[str, ...] = ()

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        return {}

    def valid(self, columns: Any) -> NDArray[np.bool_]:
        return np.ones(1, dtype=bool)

    def on(self, market: Market) -> "Given":
        return self

    def prepare(self, columns: Any) -> None:
        pass

    def planes(self, columns: Any) -> Planes:
        return planes_of(self.signal)


def subject(market: Market, signal: Signal, minutes: Minutes | None, **execution: float | str) -> StrategyOnBars:
    plain = {"direction": "both", "stop_loss": 0.0, "take_profit": 0.0, "trailing_stop": 0.0, "max_bars": 0}
    return StrategyOnBars(Evaluator(market, Given(signal), COSTS), plain | execution, minutes)


def band_of(one: StrategyOnBars) -> ambiguity.OrderBand:
    window = one.evaluator.whole
    return ambiguity.band(one, window, one.evaluator.metrics(one.parameters, window))


# the truth ----------------------------------------------------------------------------------------------------------


def walk(minutes: np.ndarray, signal: Signal, rules: Rules) -> tuple[list[tuple[int, int, int, str]], int]:
    """Every trade (side, entry bar, exit bar, what ended it) by a walk over the minutes, long and short; and how many
    minutes touched both first, where the stop is taken. Levels in whole ticks, which `Rules` without a trail fix."""
    bars = aggregated(minutes)
    trades, same, side, entered = [], 0, 0, -1
    stop = limit = best = 0.0

    def level(price: float, fraction: float) -> float:
        exact = price * (1 + fraction)
        return float(np.ceil(exact - 1e-6) if side == 1 else np.floor(exact + 1e-6))

    for j, (bar_open, high, low, _) in enumerate(bars):
        if j > 1 and signal.side[j - 1] != signal.side[j - 2]:
            if side:
                trades.append((side, entered, j, "signal"))
            side, entered, best = (1 if signal.side[j - 1] else -1), j, bar_open
            limit = level(best, side * rules.take_profit)
        if side == 0:
            continue
        stop = level(bars[entered, 0], -side * rules.stop_loss)
        if rules.trailing_stop:
            trail = level(best, -side * rules.trailing_stop)
            stop = max(stop, trail) if side == 1 else min(stop, trail)
        for open_, top, bottom, _ in minutes[j * 5 : j * 5 + 5]:
            worst, finest = (bottom, top) if side == 1 else (top, bottom)
            stopped, taken = side * (worst - stop) <= 0, side * (finest - limit) >= 0
            if not (stopped or taken):
                continue
            gapped = side * (open_ - stop) <= 0, side * (open_ - limit) >= 0
            if stopped and taken and not any(gapped):
                same, taken = same + 1, False
            trades.append((side, entered, j, "take_profit" if taken and not gapped[0] else "stop"))
            side = 0
            break
        best = max(best, high) if side == 1 else min(best, low)
    return trades, same


def summary(ledger: Ledger) -> list[tuple[int, int, int, str]]:
    plain = {Closed.SIGNAL: "signal", Closed.TAKE_PROFIT: "take_profit"}
    return [
        (int(t["side"]), int(t["entry_bar"]), int(t["exit_bar"]), plain.get(Closed(t["reason_close"]), "stop"))
        for t in ledger.trades
    ]


def minute_world(seed: int, bars: int) -> tuple[np.ndarray, Signal, dict[str, float]]:
    random = np.random.default_rng(seed)
    minutes = minute_walk(random, bars, gaps=float(random.choice([0.0, 0.3])))
    turns = random.random(bars) < 0.2
    signal = Signal(np.cumsum(turns) % 2 == 1, np.ones(bars, dtype=bool), first_side=0)
    near = [0.002, 0.004, 0.006, 0.008]
    rules = {"stop_loss": float(random.choice(near)), "take_profit": float(random.choice(near))}
    return minutes, signal, rules | {"trailing_stop": float(random.choice([0.0, *near]))}


@settings(max_examples=60)
@given(seed=SEEDS)
def test_resolved_by_minutes_is_what_a_walk_over_the_minutes_gives(seed: int) -> None:
    minutes, signal, execution = minute_world(seed, 300)
    bars = bars_from(minutes)
    one = subject(Market.of(bars), signal, fitted(raw_of(minutes), bars), **execution)
    found: list[str] = []

    def decide(tie: BothTouched) -> Any:
        found.append(first_touch(tie, one.minutes, one.evaluator.market))
        return "tp_first" if found[-1] == "take_profit" else "sl_first"

    window = one.evaluator.whole
    ledger = one.evaluator.reference_ledger(one.parameters, window, first_touch=decide)
    expected, same = walk(minutes, signal, Rules(**execution))
    assert summary(ledger) == expected
    assert "unknown" not in found
    record = band_of(one).record
    resolved = record.resolved
    assert {answer: getattr(resolved, answer) for answer in ambiguity.ANSWERS} == {
        a: found.count(a) for a in ambiguity.ANSWERS
    }
    assert resolved.metrics == metrics.full(ledger, one.evaluator.market, window, COSTS.capital)
    assert found.count("same_minute") <= same  # the walk counts minutes of bars that gapped at their open, too
    returns = [values.total_return for values in (record.sl_first, resolved.metrics, record.tp_first)]
    assert returns == sorted(returns)


def test_the_minutes_decide_both_ways_and_leave_something_open() -> None:
    """The worlds above are not tame: every answer occurs, often."""
    answers: dict[str, int] = dict.fromkeys(ambiguity.ANSWERS, 0)
    for seed in range(10):
        minutes, signal, execution = minute_world(seed, 300)
        bars = bars_from(minutes)
        whole = fitted(raw_of(minutes), bars)
        torn = replace(whole, fits=whole.fits & (np.arange(len(bars)) % 4 > 0))
        resolved = band_of(subject(Market.of(bars), signal, torn, **execution)).record.resolved
        for answer in answers:
            answers[answer] += getattr(resolved, answer)
    assert min(answers.values()) > 20, answers


# one bar, by hand ---------------------------------------------------------------------------------------------------
# A long with its stop at 90 and its limit at 110, in a bar from 100.
MINUTES = {
    "take_profit": "100 104 96 100 | 100 110 95 105 | 105 105 91 95 | 95 95 85 90 | 90 100 90 100",
    "stop": "100 104 96 100 | 100 109 90 95 | 95 110 95 105 | 105 105 95 95 | 95 100 95 100",
    "same_minute": "100 104 96 100 | 100 110 90 95 | 95 95 95 95 | 95 95 95 95 | 95 100 95 100",
    "unknown": "100 104 96 100 | 100 109 90 95 | 95 95 95 95 | 95 95 95 95 | 95 100 95 100",  # 110 is nowhere
}
GAPS = {
    "take_profit": "100 104 96 100 | 110 110 90 95 | 95 95 95 95 | 95 95 95 95 | 95 100 95 100",
    "stop": "100 104 96 100 | 88 110 88 95 | 95 95 95 95 | 95 95 95 95 | 95 100 95 100",
}


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("answer", "tape"), [*MINUTES.items(), *GAPS.items()])
@pytest.mark.parametrize("tick", [1.0, None])
def test_first_touch_by_hand(side: int, answer: str, tape: str, tick: float | None) -> None:
    minutes = np.array([[float(x) for x in minute.split()] for minute in tape.split("|")])
    if side == -1:  # the same seen from below: 200 minus each price, high and low changing places
        minutes = (200 - minutes)[:, [0, 2, 1, 3]]
    bars = bars_from(minutes, tick)
    tie = BothTouched(0, side, 100.0 - 10 * side, 100.0 + 10 * side)
    one = replace(fitted(raw_of(minutes), bars), fits=np.array([True]))
    assert first_touch(tie, one, Market.of(bars)) == answer
    assert first_touch(tie, replace(one, fits=np.array([False])), Market.of(bars)) == "unknown"


# the count ----------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(seed=SEEDS, bars=st.integers(1, 300))
def test_ambiguous_bars_are_those_whose_order_changes_an_exit(seed: int, bars: int) -> None:
    """Found without the engine's own word for it: the trades in which the two runs of the fast engine differ."""
    random = np.random.default_rng(seed)
    market, signal = random_market(random, bars), random_signal(random, bars)
    rules = replace(random_rules(random, random_costs(random)), tie="sl_first")
    window = random_window(random, bars)
    ties: list[int] = []

    def decide(tie: BothTouched) -> Any:
        ties.append(tie.bar)
        return "sl_first"

    pessimistic = reference.simulate(market, signal, rules, window, first_touch=decide)
    optimistic = bar_loop.simulate(market, planes_of(signal), 0, replace(rules, tie="tp_first"), window)
    both = min(len(pessimistic.trades), len(optimistic.trades))
    a, b = pessimistic.trades[:both], optimistic.trades[:both]
    assert (a["entry_bar"] == b["entry_bar"]).all()
    assert (a["exit_bar"] == b["exit_bar"]).all()
    assert a["exit_bar"][a["reason_close"] != b["reason_close"]].tolist() == ties
    assert pessimistic.ruined or len(pessimistic.trades) == len(optimistic.trades)


def test_without_minutes_the_band_stands_alone() -> None:
    minutes, signal, execution = minute_world(3, 300)
    record = band_of(subject(Market.of(bars_from(minutes)), signal, None, **execution)).record
    assert record.resolved is None
    assert record.ambiguous_bars == record.ambiguous_bars_tp_first == len(record.trades) > 10
    assert {trade.first for trade in record.trades} == {None}
    assert all(trade.sl_first < trade.tp_first for trade in record.trades)
    worst, best = (np.prod([1 + getattr(trade, tie) for trade in record.trades]) for tie in ("sl_first", "tp_first"))
    returns = [1 + getattr(record, tie).total_return for tie in ("sl_first", "tp_first")]
    assert returns[1] / returns[0] == pytest.approx(best / worst), "the listed trades are all the difference"


def test_after_a_ruin_the_runs_may_differ_in_their_number_of_ambiguous_bars() -> None:
    """Short at 100: bar 2 touches 200 (ruin) and the limit of 50. The take-profit first lives on to bar 4, which does
    it again; the stop first has nothing left."""
    ohlc = np.array(
        [[100, 100, 100, 100], [100, 100, 100, 100], [100, 200, 50, 100], [100, 100, 100, 100], [100, 200, 50, 100.0]]
    )
    minutes = np.repeat(ohlc, 5, axis=0)
    signal = Signal(np.array([True, False, True, False, False]), np.ones(5, dtype=bool), first_side=0)
    bars = bars_from(minutes)
    one = subject(Market.of(bars), signal, None, direction="short_only", take_profit=0.5)
    one = replace(one, evaluator=replace(one.evaluator, costs=replace(COSTS, fee_rate=0.0, slippage_bps=0.0)))
    record = band_of(one).record
    assert (record.ambiguous_bars, record.ambiguous_bars_tp_first) == (1, 2)
    assert [trade.tp_first for trade in record.trades] == [0.5]
    assert record.sl_first.ruined
    assert not record.tp_first.ruined


# what a reader is told ----------------------------------------------------------------------------------------------


def noted(sharpe: float, at_best: float, bars: int = 3, **evidence: Any) -> str | None:
    ends = {
        "in_sample": [metric_set(**asdict(values(sharpe_ratio=5.0, days=600)))] * 2,
        "out_of_sample": [metric_set(**asdict(values(sharpe_ratio=end))) for end in (sharpe, at_best)],
    }
    bands = {name: ambiguity.BandRecord(bars, bars, *of_window, None, []) for name, of_window in ends.items()}
    found = replace(GOOD, out_of_sample=values(sharpe_ratio=sharpe), **evidence)
    return ambiguity.record(bands, found, load({})).note


def test_the_note_says_when_the_order_would_turn_the_verdict() -> None:
    said = noted(0.4, 0.6)
    assert said == (
        "6 bars touch both stop and take-profit; with the take-profit first in all of them every check would pass"
    )


@pytest.mark.parametrize(("sharpe", "at_best"), [(1.0, 1.6), (-3.0, 0.4)])
def test_the_note_says_when_the_best_is_far_off(sharpe: float, at_best: float) -> None:
    said = noted(sharpe, at_best)
    assert said is not None
    assert f"out-of-sample Sharpe is {sharpe:.1f} to {at_best:.1f}" in said


def test_no_note_where_the_order_changes_nothing() -> None:
    assert noted(0.4, 0.6, bars=0) is None
    assert noted(0.1, 0.3) is None
    assert noted(1.0, 1.4) is None
    assert noted(0.4, 0.6, synthetic=True) is None
