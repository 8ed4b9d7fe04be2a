from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of, planes_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.engines import bar_loop
from WORKFLOW.engines.ledger import TRADE, Closed, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Rules
from WORKFLOW.validity import monte_carlo
from WORKFLOW.validity.monte_carlo import block_bootstrap, noisy_fills, skipped_trades, trade_shuffle

SETTINGS = replace(load({}).monte_carlo, paths=500, skip_probabilities=(0.1, 0.5), noise_bps=(1.0, 20.0))


def seed(n: int = 1) -> np.random.SeedSequence:
    return np.random.SeedSequence(n)


def test_shuffle_by_hand() -> None:
    # Two trades, -50 % and +100 %: the loss comes first (falls from 1 to 0.5) or last (falls from 2 to 1): always 50 %.
    result = trade_shuffle(np.array([-0.5, 1.0]), SETTINGS, seed())
    assert result is not None
    assert set(astuple(result.max_drawdown_pct)) == {0.5}
    # Three trades: two losses in a row cost 75 %, a win between them 50 %.
    result = trade_shuffle(np.array([-0.5, 1.0, -0.5]), SETTINGS, seed())
    assert result is not None
    assert (result.max_drawdown_pct.p5, result.max_drawdown_pct.p95) == (0.5, 0.75)
    assert result.observed_max_drawdown_pct == 0.5


def test_shuffle_speaks_of_drawdown_only() -> None:
    result = trade_shuffle(np.array([-0.1, 0.2, 0.05]), SETTINGS, seed())
    assert result is not None
    assert "total_return" not in vars(result)


def test_bootstrap_keeps_what_it_draws_from() -> None:
    returns = np.full(200, 0.001)
    result = block_bootstrap(returns, SETTINGS, seed())
    assert result is not None
    assert result.total_return.p5 == pytest.approx(1.001**200 - 1)
    assert result.sharpe_ratio.p50 is None, "no variation, no Sharpe ratio"
    assert result.probability_of_loss == 0.0
    assert result.max_drawdown_daily_pct.p95 == 0.0


def test_bootstrap_bands_hold_the_observed_value() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.02, 600)
    result = block_bootstrap(returns, SETTINGS, seed())
    assert result is not None
    observed = np.prod(1 + returns) - 1
    assert result.total_return.p5 < observed < result.total_return.p95
    spread = result.sharpe_ratio.p95 - result.sharpe_ratio.p5
    # The standard error of an annualised Sharpe ratio is sqrt(365 / days): 0.78 here, so 90 % lie within about 2.6.
    assert 1.8 < spread < 3.6
    fan = result.equity_fan
    assert len(fan.day) == len(fan.p50) <= 60
    assert fan.day[-1] == 599
    assert fan.p50[-1] == pytest.approx(result.total_return.p50 + 1)


def test_bootstrap_draws_blocks_and_not_days() -> None:
    # Twenty good days, twenty bad ones, again and again: drawn day by day the bursts would average out.
    returns = np.tile(np.repeat([0.02, -0.02], 20), 15)
    blocks = block_bootstrap(returns, SETTINGS, seed())
    days = block_bootstrap(returns, replace(SETTINGS, block_days=1), seed())
    assert blocks is not None and days is not None
    assert blocks.max_drawdown_daily_pct.p50 > 1.3 * days.max_drawdown_daily_pct.p50


def test_one_seed_one_result_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.02, 300)
    whole = block_bootstrap(returns, SETTINGS, seed()), trade_shuffle(returns, SETTINGS, seed())
    monkeypatch.setattr(monte_carlo, "_CHUNK_BYTES", 300 * 8 * 64)
    assert (block_bootstrap(returns, SETTINGS, seed()), trade_shuffle(returns, SETTINGS, seed())) == whole
    assert block_bootstrap(returns, SETTINGS, seed(2)) != whole[0]


# skipped trades and noisy fills ---------------------------------------------------------------------------------------


def test_skipped_trades_by_hand() -> None:
    # +100 % and -50 %: both 0 %, one of them +100 % or -50 %, none 0 %. A loss is left alone with (1 - p)·p.
    result = skipped_trades(np.array([1.0, -0.5]), replace(SETTINGS, paths=20_000), seed())
    assert result is not None
    assert (result.trades, result.observed_total_return, result.observed_max_drawdown_pct) == (2, 0.0, 0.5)
    for level, probability in zip(result.levels, (0.1, 0.5), strict=True):
        assert (level.name, level.value) == ("probability", probability)
        assert level.probability_of_loss == pytest.approx(probability * (1 - probability), abs=0.01)
    assert [getattr(result.levels[1].total_return, band) for band in ("p5", "p50", "p95")] == [-0.5, 0.0, 1.0]


def test_no_trade_or_every_trade_may_be_skipped() -> None:
    net = np.array([0.1, -0.05, 0.2])
    result = skipped_trades(net, replace(SETTINGS, skip_probabilities=(0.0, 1.0)), seed())
    assert result is not None
    none, every = result.levels
    assert [*astuple(none.total_return)] == pytest.approx([np.prod(1 + net) - 1] * 5)
    assert [*astuple(none.max_drawdown_pct)] == pytest.approx([0.05] * 5)
    assert set(astuple(every.total_return)) == {0.0}


def ledger(**rules: float | str) -> tuple[Ledger, Rules]:
    """A random walk traded with stops, limits and reversals."""
    random = np.random.default_rng(8)
    market = Market.of(bars_of(quiet_walk(random, 20_000), 0.01))
    signal = Signal(np.cumsum(random.random(20_000) < 0.01) % 2 == 1, np.ones(20_000, dtype=bool), 0)
    fixed = Rules(fee_rate=0.0005, stop_loss=0.02, take_profit=0.03, **rules)
    return bar_loop.simulate(market, planes_of(signal), 0, fixed, Window(0, 20_000)), fixed


@pytest.mark.parametrize("direction", ["long_only", "short_only"])
def test_growth_is_what_a_trade_does_to_equity(direction: str) -> None:
    one, rules = ledger(direction=direction, slippage=0.0001)
    t = one.trades
    assert len(t) > 50
    growth = monte_carlo._growth(t["side"], t["entry_price"], t["exit_price"], rules.fee_rate)
    np.testing.assert_allclose(growth - 1, t["net_pnl_pct"], rtol=1e-9, atol=1e-12)


def test_noise_without_chance_is_a_run_with_more_slippage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draw its mean of 20 bp: the trades of an engine that slips by 20 bp more."""

    class Even:
        def exponential(self, scale: float, size: tuple[int, ...]) -> np.ndarray:
            return np.full(size, scale)

    plain, rules = ledger()
    slipped, _ = ledger(slippage=0.002)
    assert {int(reason) for reason in plain.trades["reason_close"]} == {
        Closed.SIGNAL,
        Closed.STOP_LOSS,
        Closed.TAKE_PROFIT,
    }
    found = monte_carlo._with_noise(Even(), 20.0, plain.trades, rules.fee_rate, 1)[0]  # type: ignore[arg-type]
    assert plain.trades["exit_bar"].tolist() == slipped.trades["exit_bar"].tolist()
    np.testing.assert_allclose(found, slipped.trades["net_pnl_pct"], rtol=1e-9, atol=1e-12)


def test_noise_only_ever_costs_and_more_of_it_costs_more() -> None:
    one, rules = ledger(slippage=0.0001)
    result = noisy_fills(one.trades, rules.fee_rate, SETTINGS, seed())
    assert result is not None
    little, much = result.levels
    assert [little.value, much.value] == [1.0, 20.0]
    assert much.total_return.p95 < little.total_return.p5
    assert little.total_return.p95 < result.observed_total_return
    assert much.max_drawdown_pct.p50 > result.observed_max_drawdown_pct
    fills = 2 - (one.trades["reason_close"] == Closed.TAKE_PROFIT).mean()
    lost = 1 - (1 + little.total_return.p50) / (1 + result.observed_total_return)
    assert lost == pytest.approx(1 - np.exp(-1e-4 * fills * len(one.trades)), rel=0.1)


def test_ruin_stays_ruin_and_nothing_is_lost_twice() -> None:
    trades = np.zeros(3, dtype=TRADE)
    trades["side"], trades["entry_price"], trades["exit_price"] = (1, -1, -1), 100.0, (100.0, 199.9, 200.0)
    trades["net_pnl_pct"], trades["reason_close"] = (0.0, -0.999, -1.0), (0, 0, int(Closed.RUIN))
    rows = monte_carlo._with_noise(np.random.default_rng(1), 1_000.0, trades, 0.0, 50)
    assert (rows[:, 2] == -1.0).all()
    assert rows.min() == -1.0
    assert (rows[:, 0] < 0).all()


def test_chunks_and_seeds_of_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    one, rules = ledger()
    net = np.ascontiguousarray(one.trades["net_pnl_pct"])

    def both(n: int) -> Any:
        return skipped_trades(net, SETTINGS, seed(n)), noisy_fills(one.trades, rules.fee_rate, SETTINGS, seed(n))

    whole = both(1)
    monkeypatch.setattr(monte_carlo, "_CHUNK_BYTES", len(net) * 8 * 33)
    assert both(1) == whole
    assert all(a != b for a, b in zip(both(2), whole, strict=True))


def test_too_little_is_none() -> None:
    assert skipped_trades(np.array([0.1]), SETTINGS, seed()) is None
    assert noisy_fills(np.zeros(1, dtype=TRADE), 0.0, SETTINGS, seed()) is None
    assert noisy_fills(np.zeros(0, dtype=TRADE), 0.0, SETTINGS, seed()) is None
    assert trade_shuffle(np.array([0.1]), SETTINGS, seed()) is None
    assert block_bootstrap(np.array([0.1]), SETTINGS, seed()) is None
