"""Each metric by hand. Undefined is None in records, NaN from kernels; never 0, never infinity."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from state.records.metrics import Metrics
from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.engines.market import Market, Window

DAY = 288  # bars
RATIOS = (
    "total_return",
    "annualized_return",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "max_drawdown_pct",
    "max_drawdown_daily_pct",
    "cvar_95",
    "win_rate",
    "profit_factor",
    "exposure",
    "turnover",
    "avg_bars_held",
)


def market(bars: int, first_open: int = 0) -> Market:
    """Flat prices; bar 0 opens `first_open` bars after midnight UTC."""
    return Market.of(bars_of(np.full((bars, 4), 100.0), 1.0, start_ms=T0 + first_open * BAR_MS))


def ledger(equity: NDArray[np.float64], pnl: tuple[float, ...] = (), **changes: Any) -> Ledger:
    trades = np.zeros(len(pnl), dtype=TRADE)
    trades["pnl"] = pnl
    trades["entry_bar"] = np.arange(len(pnl)) * 10
    trades["exit_bar"] = trades["entry_bar"] + np.arange(1, len(pnl) + 1)  # held 1, 2, 3 … bars
    values: dict[str, Any] = {
        "entries": max(len(pnl), 1),
        "held_bars": 0,
        "notional": 0.0,
        "filled_bar_fills": 0,
        "ruined": False,
    }
    return Ledger(trades=trades, equity=equity, **(values | changes))


def daily(*marks: float) -> NDArray[np.float64]:
    """Equity that stands at each of `marks` for one whole day."""
    return np.repeat(np.array(marks), DAY)


def record(equity: NDArray[np.float64], *pnl: float, first_open: int = 0, **changes: Any) -> Metrics:
    bars = len(equity)
    return metrics.full(ledger(equity, pnl, **changes), market(bars, first_open), Window(0, bars), 10_000.0)


# daily marks and returns --------------------------------------------------------------------------------------------


def test_daily_marks_are_the_last_closes_of_every_utc_day_touched() -> None:
    """From 23:50 on: 2 bars of a first day, 288 of the second, 3 of the third."""
    equity = np.arange(293.0)
    assert metrics.daily_marks(equity, market(293, first_open=286), Window(0, 293)).tolist() == [1, 289, 292]


def test_daily_marks_of_a_window_inside_the_market() -> None:
    """Bars 287 (the last of day 1) to 576 (the first of day 3) of a market that starts at midnight."""
    assert metrics.daily_marks(np.arange(290.0), market(900), Window(287, 577)).tolist() == [0, 288, 289]


def test_daily_returns_start_against_the_capital_and_are_zero_after_ruin() -> None:
    """110/100 − 1, 99/110 − 1, 0/99 − 1, and then nothing is left that could return anything."""
    returns = metrics.daily_returns(np.array([110.0, 99.0, 0.0, 0.0]), 100.0)
    assert returns == pytest.approx([0.1, -0.1, -1.0, 0.0])


# Sharpe, Sortino, CVaR ----------------------------------------------------------------------------------------------


def test_sharpe_by_hand() -> None:
    """Returns 3 %, 1 %: mean 2 %, deviation √(((1 %)² + (1 %)²)/1) = √2 %; 2/√2·√365 = √2·√365 = √730."""
    assert metrics.sharpe(np.array([0.03, 0.01])) == pytest.approx(math.sqrt(730))


@pytest.mark.parametrize("seed", range(5))
def test_sharpe_is_what_numpy_says(seed: int) -> None:
    returns = np.random.default_rng(seed).normal(0.001, 0.03, 2 + 100 * seed)
    expected = returns.mean() / returns.std(ddof=1) * math.sqrt(365)
    assert metrics.sharpe(returns) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.5, 0.5], [0.1] * 3, [-0.1] * 1_000])
def test_sharpe_is_undefined_without_two_days_or_deviation(returns: list[float]) -> None:
    assert math.isnan(metrics.sharpe(np.array(returns)))


def test_sharpe_of_a_record_is_that_of_its_daily_marks() -> None:
    """10,300 and 10,403: returns 3 % and 1 %."""
    assert record(daily(10_300, 10_403)).sharpe_ratio == pytest.approx(math.sqrt(730))


def test_sortino_takes_the_downside_over_all_days() -> None:
    """Returns 10 %, −10 %, 30 %, −10 %: mean 5 %; downside √((1 % + 1 %)/4) = √0.005; 0.05/√0.005·√365 = √182.5."""
    marks = np.cumprod([1.1, 0.9, 1.3, 0.9]) * 10_000
    assert record(daily(*marks)).sortino_ratio == pytest.approx(math.sqrt(182.5))


def test_sortino_without_a_losing_day_is_undefined() -> None:
    values = record(daily(10_100, 10_300))
    assert values.sortino_ratio is None
    assert values.sharpe_ratio is not None


def test_cvar_is_the_mean_loss_of_the_worst_twentieth() -> None:
    """40 days: the worst two, −4 % and −2 %, mean loss 3 %."""
    returns = np.full(40, 0.01)
    returns[[7, 30]] = -0.02, -0.04
    assert record(daily(*10_000 * np.cumprod(1 + returns))).cvar_95 == pytest.approx(0.03)


def test_cvar_of_few_days_is_the_worst_day() -> None:
    """Under 40 days it is one day: −2 % here; and a gain is a negative loss."""
    assert record(daily(10_100, 9_898, 9_900)).cvar_95 == pytest.approx(0.02)
    assert record(daily(10_100, 10_201)).cvar_95 == pytest.approx(-0.01)


# returns and drawdowns ----------------------------------------------------------------------------------------------


def test_total_and_annualized_return() -> None:
    """+21 % in 73 days, a fifth of a year: 1.21⁵ − 1 = 1.5937424601."""
    values = record(daily(*np.linspace(10_000, 12_100, 73)))
    assert values.total_return == pytest.approx(0.21)
    assert values.annualized_return == pytest.approx(1.5937424601)


def test_annualized_return_counts_calendar_time_not_days_touched() -> None:
    """292 bars from 23:50: 3 days touched, but 292/288 of a day has passed."""
    values = record(np.full(292, 10_010.0), first_open=286)
    assert values.days == 3
    assert values.annualized_return == pytest.approx(1.001 ** (365 * 288 / 292) - 1)


def test_a_rate_that_no_float_holds_is_undefined() -> None:
    """Tenfold in three bars over two midnights' days: 10^(365·288/3) per year."""
    values = record(np.array([10_000.0, 10_000.0, 100_000.0]), first_open=287)
    assert values.days == 2
    assert values.annualized_return is None
    assert values.calmar_ratio is None
    assert values.total_return == pytest.approx(9.0)


def test_drawdowns_of_every_bar_and_of_daily_marks() -> None:
    """Up to 12,000 and down to 9,000 within day 1, which ends at 11,000; day 2 ends at 9,900, day 3 at 13,200.

    Every bar: 3,000 off 12,000 = 25 %. Daily: 1,100 off 11,000 = 10 %. Currency: 3,000.
    """
    equity = daily(11_000, 9_900, 13_200)
    equity[100], equity[200] = 12_000, 9_000
    values = record(equity)
    assert values.max_drawdown == pytest.approx(3_000)
    assert values.max_drawdown_pct == pytest.approx(0.25)
    assert values.max_drawdown_daily_pct == pytest.approx(0.1)


def test_the_first_peak_is_the_capital() -> None:
    """Never above 10,000: the fall to 8,000 counts from there."""
    values = record(daily(9_000, 8_000, 8_500))
    assert values.max_drawdown == pytest.approx(2_000)
    assert values.max_drawdown_pct == pytest.approx(0.2)
    assert values.max_drawdown_daily_pct == pytest.approx(0.2)


def test_the_largest_fall_in_currency_may_be_another_than_in_per_cent() -> None:
    """20,000 → 14,000 is 30 %; 100,000 → 80,000 is 20 % but more money."""
    values = record(daily(20_000, 14_000, 100_000, 80_000))
    assert values.max_drawdown_pct == pytest.approx(0.3)
    assert values.max_drawdown == pytest.approx(20_000)


def test_calmar_is_annualized_return_over_the_drawdown_of_every_bar() -> None:
    """365 days, 10,000 → 11,000 with one bar 20 % down: 0.1/0.2."""
    equity = daily(*[10_000.0] * 364, 11_000.0)
    equity[50] = 8_000
    assert record(equity).calmar_ratio == pytest.approx(0.5)


def test_calmar_without_a_drawdown_is_undefined() -> None:
    values = record(daily(10_100, 10_200))
    assert values.max_drawdown_pct == 0.0
    assert values.calmar_ratio is None


def test_total_loss() -> None:
    values = record(daily(5_000, 0, 0), -5_000, -5_000, ruined=True)
    assert values.total_return == -1.0
    assert values.annualized_return == -1.0
    assert values.max_drawdown_pct == 1.0
    assert values.ruined is True


# trades -------------------------------------------------------------------------------------------------------------


def test_trade_statistics_by_hand() -> None:
    """Won 300 and 100, lost 50 and 150, one broke even: 2 of 5; 400/200; held 1 + 2 + 3 + 4 + 5 bars."""
    values = record(daily(10_100, 10_200), 300, -50, 100, 0, -150)
    assert values.total_trades == 5
    assert values.win_rate == pytest.approx(0.4)
    assert values.profit_factor == pytest.approx(2.0)
    assert values.avg_bars_held == pytest.approx(3.0)


def test_profit_factor_without_a_loss_is_undefined_and_without_a_win_is_zero() -> None:
    assert record(daily(10_100, 10_200), 300, 100).profit_factor is None
    assert record(daily(10_100, 10_200), -300, -100).profit_factor == 0.0


def test_exposure_and_turnover() -> None:
    """Open at 144 of 576 closes. 50,000 traded in 2 days on a mean equity of 10,000: 5/(2/365) = 912.5 a year."""
    values = record(daily(10_500, 9_500), 10, held_bars=144, notional=50_000.0, filled_bar_fills=3)
    assert values.exposure == pytest.approx(0.25)
    assert values.turnover == pytest.approx(912.5)
    assert values.filled_bar_fills == 3


# undefined ----------------------------------------------------------------------------------------------------------


def test_without_an_entry_everything_is_undefined() -> None:
    values = record(daily(10_000, 10_000, 10_000), entries=0)
    assert {name: getattr(values, name) for name in RATIOS} == dict.fromkeys(RATIOS)
    assert values.total_trades == 0


def test_with_an_open_trade_only_returns_are_defined_and_trade_statistics_are_not() -> None:
    values = record(daily(10_100, 9_900))
    assert values.total_return == pytest.approx(-0.01)
    assert values.sharpe_ratio is not None
    assert [getattr(values, name) for name in ("win_rate", "profit_factor", "avg_bars_held")] == [None] * 3
    assert values.total_trades == 0


def test_one_day_gives_no_daily_statistics_and_no_yearly_rate() -> None:
    values = record(np.full(100, 10_100.0), 100)
    undefined = ("sharpe_ratio", "sortino_ratio", "cvar_95", "annualized_return", "calmar_ratio")
    assert [getattr(values, name) for name in undefined] == [None] * 5
    assert values.days == 1
    assert values.total_return == pytest.approx(0.01)


def test_two_days_touched_are_two_days() -> None:
    """Two bars around midnight."""
    values = record(np.array([10_100.0, 10_000.0]), 100, first_open=287)
    assert values.days == 2
    assert values.sharpe_ratio is not None


@pytest.mark.parametrize("equity", [daily(10_000, 10_000), daily(10_100, 10_300), daily(0, 0), np.full(3, 20_000.0)])
def test_a_record_never_holds_nan_or_infinity(equity: NDArray[np.float64]) -> None:
    for pnl in ((), (1.0,), (-1.0,), (0.0,)):
        values = record(equity, *pnl)
        assert {*RATIOS, "total_trades"} <= set(values.as_json())
        assert all(value is None or math.isfinite(value) for value in values.as_json().values())
