"""The p-value of a holdout: exact where the answer is known, and never too small, whatever the trades are like."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.settings import load
from tests.engines.builders import bars_of
from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.validity import evidence

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


@pytest.mark.parametrize("trades", [1, 2, 8, 30, 200, 900])
def test_equal_wins_prove_exactly_as_much_as_the_loss_allows_that_never_came(trades: int) -> None:
    """A bet that wins 0.5 % and loses 10 % is fair where it wins 20 times in 21: the p-value is (20/21)^n."""
    assert evidence.luck(np.full(trades, 0.005), -0.1) == pytest.approx((0.1 / 0.105) ** trades, rel=1e-9)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12), st.floats(-1.0, -0.01))
def test_it_is_the_probability_that_the_weighted_mean_is_not_positive(trades: list[float], worst: float) -> None:
    excess = np.array(trades)
    values = np.append(excess, min(worst, excess.min()))
    draws = np.random.default_rng(1).exponential(size=(10_000, len(values))) @ values <= 0.0
    found = evidence.luck(excess, worst)
    assert abs(found - draws.mean()) <= 5.0 * max(found * (1.0 - found) / len(draws), 1e-5) ** 0.5


def test_with_many_trades_it_is_the_p_value_of_the_mean() -> None:
    from scipy import stats

    excess = np.random.default_rng(2).normal(0.001, 0.01, 2_000)
    by_t = stats.ttest_1samp(excess, 0.0, alternative="greater").pvalue
    assert evidence.luck(excess, -0.03) == pytest.approx(by_t, rel=0.2)


def skewed(random: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return np.where(random.random(size) < 20 / 21, 0.005, -0.1)


def lottery(random: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return np.where(random.random(size) < 0.05, 0.19, -0.01)


def normal(random: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return np.clip(random.normal(0.0, 0.03, size), -0.1, 0.1)


def trend(random: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return random.exponential(0.1, size) - 0.1


@pytest.mark.parametrize("draw", [skewed, lottery, normal, trend])
@pytest.mark.parametrize("trades", [5, 40])
def test_a_fair_bet_passes_no_more_often_than_the_level_says(draw: Draw, trades: int) -> None:
    """Eight hundred holdouts without an edge; at 2.5 % a t-test lets the first bet pass in a fifth of them."""
    found = np.array([evidence.luck(one, -0.1) for one in draw(np.random.default_rng(3), (800, trades))])
    for level in (0.01, 0.025, 0.05, 0.2):
        assert np.mean(found <= level) <= level + 3.0 * (level / len(found)) ** 0.5


def test_it_falls_with_every_gain_and_rises_with_a_worse_worst_trade() -> None:
    excess = np.array([0.02, -0.01, 0.03, 0.01, -0.02, 0.04])
    assert evidence.luck(excess + 0.001, -0.05) < evidence.luck(excess, -0.05) < evidence.luck(excess, -0.06)


def test_no_trade_proves_nothing_and_a_trade_that_cannot_lose_is_refused() -> None:
    assert evidence.luck(np.zeros(0), -0.1) == 1.0
    assert evidence.luck(np.array([-0.01, -0.02]), -0.1) == 1.0
    with pytest.raises(ValueError, match="cannot lose"):
        evidence.luck(np.array([0.01]), 0.0)


def adjusted(p_values: list[float], days: Floats) -> Floats:
    return evidence.family(p_values, days, 2_000, 10, np.random.SeedSequence(5))


def test_copies_cost_nothing_and_strangers_what_holm_asks() -> None:
    random = np.random.default_rng(4)
    one = random.normal(0.0, 0.01, (1, 219))
    assert adjusted([0.02, 0.02, 0.02], np.repeat(one, 3, axis=0)) == pytest.approx([0.02] * 3, abs=2e-3)
    strangers = random.normal(0.0, 0.01, (3, 219))
    assert adjusted([0.02, 0.3, 0.01], strangers) == pytest.approx([0.04, 0.3, 0.03], abs=6e-3)
    assert adjusted([0.02], one).tolist() == [0.02]


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=4))
def test_an_adjusted_p_value_is_never_smaller_and_never_beyond_holms(p_values: list[float]) -> None:
    days = np.random.default_rng(6).normal(0.0, 0.01, (len(p_values), 60))
    found = evidence.family(p_values, days, 200, 5, np.random.SeedSequence(1))
    assert np.all(found >= np.array(p_values))
    holm, before = np.empty(len(p_values)), 0.0
    for place, one in enumerate(np.argsort(p_values, kind="stable")):
        before = holm[one] = max(before, min(1.0, p_values[one] * (len(p_values) - place)))
    assert np.all(found <= holm + 1e-12)


def test_of_many_families_without_an_edge_few_show_one() -> None:
    """Four correlated strategies whose trades last a day: the smallest adjusted p-value is rarely below 5 %."""
    random, shown, worlds = np.random.default_rng(7), 0, 200
    for _ in range(worlds):
        days = random.normal(0.0, 0.01, (1, 120)) + random.normal(0.0, 0.01, (4, 120))
        p_values = [evidence.luck(one, -0.04) for one in days]
        shown += bool(evidence.family(p_values, days, 200, 5, np.random.SeedSequence(2)).min() <= 0.05)
    assert shown / worlds <= 0.05 + 3.0 * (0.05 / worlds) ** 0.5
    assert shown / worlds >= 0.01, "the adjustment takes everything"


# from trades ----------------------------------------------------------------------------------------------------------

COSTS = load({}).costs


def walk(bars: int, seed: int) -> Market:
    random = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(random.normal(0.0002, 0.01, bars)))
    opens = np.concatenate([[100.0], closes[:-1] * np.exp(random.normal(0.0, 0.001, bars - 1))])
    highs, lows = (
        np.maximum(opens, closes) * (1.0 + random.uniform(0.0, 0.01, bars)),
        np.minimum(opens, closes) * (1.0 - random.uniform(0.0, 0.01, bars)),
    )
    return Market.of(bars_of(np.column_stack([opens, highs, lows, closes]), None))


def ledger(trades: list[tuple[int, int, int, float]], last: float, held: int, more: int = 0) -> Ledger:
    """Trades as (side, entry bar, exit bar, net return); `more` positions are open at the end."""
    rows = np.zeros(len(trades), dtype=TRADE)
    for row, (side, entry, exit_, net) in zip(rows, trades, strict=True):
        row["side"], row["entry_bar"], row["exit_bar"], row["net_pnl_pct"] = side, entry, exit_, net
    return Ledger(rows, np.array([COSTS.capital, last]), len(trades) + more, held, 0.0, 0, ruined=False)


def test_holding_the_market_is_no_edge_and_what_is_open_counts() -> None:
    """By hand: 10 bars at 1 % a bar are 10.517 % in log terms; the second position is 5 % up at the end."""
    closed = ledger([(1, 0, 10, 0.12), (-1, 10, 15, 0.02)], COSTS.capital * 1.12 * 1.02 * 1.05, held=17, more=1)
    found = evidence.excess_of_trades(closed, 0.01, COSTS.capital)
    assert found == pytest.approx([0.12 - np.expm1(0.1), 0.02 + np.expm1(0.05), 0.05 - np.expm1(0.02)])
    falling = evidence.excess_of_trades(closed, -0.01, COSTS.capital)
    assert falling == pytest.approx([0.12 - np.expm1(-0.1), 0.02 + np.expm1(-0.05), 0.05 - np.expm1(0.02)])
    assert len(evidence.excess_of_trades(replace(closed, entries=2), 0.0, COSTS.capital)) == 2


def test_one_that_is_always_long_has_no_edge_however_far_prices_rise() -> None:
    market = walk(400, 1)
    drift = np.log(market.close[-1] / market.open[0]) / 400
    trades = [(1, at, at + 8, float(np.exp(8 * drift) - 1.0 - 0.001)) for at in range(0, 400, 8)]
    found = evidence.of_ledger(ledger(trades, 1.0, 400), market, Window(0, 400), STOPPED, COSTS)
    assert (found.trades, found.drift) == (50, pytest.approx(drift))
    assert found.mean_excess == pytest.approx(-0.001)
    assert found.p_value == 1.0


STOPPED = {"stop_loss": 0.03, "trailing_stop": 0.0, "max_bars": 20}


def test_the_worst_trade_is_the_stop_and_the_worst_gap_or_the_worst_move() -> None:
    market = walk(300, 2)
    gap = float(np.max(np.abs(market.open[1:] / market.close[:-1] - 1.0)))
    assert evidence.worst_trade(STOPPED, market, 0.001) == pytest.approx(-(0.03 + gap + 0.001))
    trailing = STOPPED | {"trailing_stop": 0.02}
    assert evidence.worst_trade(trailing, market, 0.0) == pytest.approx(-(0.02 + gap))
    for bars in (1, 7, 20, 0):
        without = STOPPED | {"stop_loss": 0.0, "max_bars": bars}
        reach = bars or 300
        moves = [
            max(1.0 - market.low[at : at + reach].min() / start, market.high[at : at + reach].max() / start - 1.0)
            for at, start in enumerate(market.open)
        ]
        assert evidence.worst_trade(without, market, 0.0) == pytest.approx(-min(max(moves), 1.0))
