"""What a result owes to extreme wicks, against ledgers counted by hand and against a run without them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of
from tests.metric_sets import metric_set
from tests.properties.worlds import quiet_walk
from tests.validity.test_verdict import GOOD
from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import daily_marks, daily_returns, sharpe
from WORKFLOW.validity import verdict, wicks
from WORKFLOW.validity.verdict import FinalistEvidence

DAY = 288
CAPITAL = 1_000.0
MARKET = Market.of(bars_of(quiet_walk(np.random.default_rng(2), 4 * DAY), 0.01))
WINDOW = Window(DAY, 4 * DAY)


def ledger() -> Ledger:
    """Three trades in a window from bar 288 on: +10 %, -20 % and +50 %, marked at half their result while open."""
    trades = np.zeros(3, dtype=TRADE)
    trades["entry_bar"], trades["exit_bar"] = (300, 700, 900), (400, 900, 1_000)
    trades["net_pnl_pct"] = (0.1, -0.2, 0.5)
    equity, worth = np.full(len(WINDOW), CAPITAL), CAPITAL
    for trade in trades:
        first, end = int(trade["entry_bar"]) - DAY, int(trade["exit_bar"]) - DAY
        equity[first:end] = worth * (1 + trade["net_pnl_pct"] / 2)
        worth *= 1 + trade["net_pnl_pct"]
        equity[end:] = worth
    return Ledger(trades, equity, 3, 400, 0.0, 0, ruined=False)


def extreme(*bars: int) -> np.ndarray:
    found = np.zeros(len(MARKET), dtype=bool)
    found[list(bars)] = True
    return found


def share(*bars: int) -> wicks.WickShare:
    values = metric_set(sharpe_ratio=1.25, total_return=0.32)
    return wicks.share(ledger(), MARKET, WINDOW, extreme(*bars), values, CAPITAL)


@pytest.mark.parametrize(
    ("dropped", "ends"),
    [([0], 0.8 * 1.5), ([1], 1.1 * 1.5), ([2], 1.1 * 0.8), ([0, 2], 0.8), ([0, 1, 2], 1.0), ([], 1.1 * 0.8 * 1.5)],
)
def test_trades_left_out_scale_what_follows(dropped: list[int], ends: float) -> None:
    mask = np.isin(np.arange(3), dropped)
    equity = wicks.equity_without(ledger(), DAY, mask, CAPITAL)
    assert equity[-1] == pytest.approx(CAPITAL * ends)
    assert equity[0] == CAPITAL
    if 1 in dropped:
        assert equity[750 - DAY] == pytest.approx(equity[699 - DAY])  # nothing was open then
    else:
        assert equity[750 - DAY] == pytest.approx(equity[699 - DAY] * 0.9)
    if 2 not in dropped:
        assert equity[950 - DAY] == pytest.approx(equity[-1] / 1.5 * 1.25)


def test_a_trade_counts_by_the_bar_it_began_or_ended_on() -> None:
    assert share(300).trades == share(400).trades == 1
    assert share(350).trades == 0  # it lived through that bar and was filled elsewhere
    assert share(900).trades == 2  # one ended, one began
    assert share(10, 300, 350).extreme_bars == 2  # bar 10 is before the window


def test_without_a_touched_trade_the_figures_are_the_same_to_the_last_digit() -> None:
    found = share(350)
    assert (found.sharpe_ratio, found.total_return) == (1.25, 0.32)


def test_sharpe_and_return_are_those_of_the_days_without_them() -> None:
    found = share(300)
    equity = wicks.equity_without(ledger(), DAY, np.array([True, False, False]), CAPITAL)
    expected = sharpe(daily_returns(daily_marks(equity, MARKET, WINDOW), CAPITAL))
    assert found.sharpe_ratio == pytest.approx(expected)
    assert found.total_return == pytest.approx(0.2)


def test_nothing_is_said_of_what_comes_after_ruin() -> None:
    ruined = replace(ledger(), ruined=True)
    found = wicks.share(ruined, MARKET, WINDOW, extreme(300), metric_set(sharpe_ratio=1.0, total_return=-1.0), CAPITAL)
    assert (found.trades, found.sharpe_ratio, found.total_return) == (1, None, None)


def test_the_note_says_how_much_hangs_on_them() -> None:
    values = metric_set(total_trades=3, sharpe_ratio=3.4, total_return=0.32)
    touched = wicks.WickShare(extreme_bars=2, trades=1, sharpe_ratio=2.05, total_return=0.2)
    untouched = wicks.WickShare(extreme_bars=0, trades=0, sharpe_ratio=3.4, total_return=0.32)
    record = wicks.record(
        {"in_sample": touched, "out_of_sample": untouched}, dict.fromkeys(("in_sample", "out_of_sample"), values), 0
    )
    assert record.note == (
        "1 of 6 trades began or ended on a bar with an extreme wick: "
        "in-sample Sharpe 2.0 without them and 3.4 with, return +20.0% and +32.0%"
    )
    both = {"in_sample": untouched, "out_of_sample": untouched}
    assert wicks.record(both, dict.fromkeys(both, values), 0).note is None


def test_extreme_bars_are_found_whether_volume_is_known_or_not() -> None:
    ohlc = quiet_walk(np.random.default_rng(2), 4 * DAY)
    ohlc[500, 1] *= 1.3
    assert np.flatnonzero(wicks.extreme_bars(bars_of(ohlc, 0.01))).tolist() == [500]


def evidence(**changes: Any) -> FinalistEvidence:
    return replace(GOOD, **changes)


def line(found: FinalistEvidence) -> str:
    return verdict.line(found, verdict.checks(found, load({})))


def test_allowed_wicks_are_said_in_the_verdict_and_their_profits_make_no_candidate() -> None:
    assert line(evidence()).startswith("candidate")
    assert "allowed" not in line(evidence(sharpe_without_wicks=-1.0))
    kept = line(evidence(allowed_wicks=50, sharpe_without_wicks=2.9))
    assert kept.startswith("candidate")
    assert kept.endswith("; allowed: 50 prices that no neighbouring bar reaches")
    gone = line(evidence(allowed_wicks=1, sharpe_without_wicks=0.3))
    assert gone.startswith("not tradeable: without trades on extreme wicks the out-of-sample Sharpe is 0.3;")
    assert gone.endswith("; allowed: 1 price that no neighbouring bar reaches")
    assert line(evidence(allowed_wicks=1)).startswith("not tradeable")  # unknown fails


def test_a_flat_market_is_the_reason_and_not_the_warm_up() -> None:
    said = verdict.nothing_line(100, 0, 30, 63.0, moves=False)
    assert said.endswith("no trial had a signal, the price never changes in 63 in-sample days")
