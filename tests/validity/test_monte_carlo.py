import numpy as np
import pytest

from config.settings import MonteCarloSettings
from WORKFLOW.validity import monte_carlo
from WORKFLOW.validity.monte_carlo import block_bootstrap, trade_shuffle

SETTINGS = MonteCarloSettings(paths=500, block_days=10)


def seed(n: int = 1) -> np.random.SeedSequence:
    return np.random.SeedSequence(n)


def test_shuffle_by_hand() -> None:
    # Two trades, -50 % and +100 %: the loss comes first (falls from 1 to 0.5) or last (falls from 2 to 1): always 50 %.
    result = trade_shuffle(np.array([-0.5, 1.0]), SETTINGS, seed())
    assert result is not None
    assert set(result["max_drawdown_pct"].values()) == {0.5}
    # Three trades: two losses in a row cost 75 %, a win between them 50 %.
    result = trade_shuffle(np.array([-0.5, 1.0, -0.5]), SETTINGS, seed())
    assert result is not None
    assert (result["max_drawdown_pct"]["p5"], result["max_drawdown_pct"]["p95"]) == (0.5, 0.75)
    assert result["observed_max_drawdown_pct"] == 0.5


def test_shuffle_speaks_of_drawdown_only() -> None:
    result = trade_shuffle(np.array([-0.1, 0.2, 0.05]), SETTINGS, seed())
    assert result is not None
    assert "total_return" not in result


def test_bootstrap_keeps_what_it_draws_from() -> None:
    returns = np.full(200, 0.001)
    result = block_bootstrap(returns, SETTINGS, seed())
    assert result is not None
    assert result["total_return"]["p5"] == pytest.approx(1.001**200 - 1)
    assert result["sharpe_ratio"]["p50"] is None, "no variation, no Sharpe ratio"
    assert result["probability_of_loss"] == 0.0
    assert result["max_drawdown_daily_pct"]["p95"] == 0.0


def test_bootstrap_bands_hold_the_observed_value() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.02, 600)
    result = block_bootstrap(returns, SETTINGS, seed())
    assert result is not None
    observed = np.prod(1 + returns) - 1
    assert result["total_return"]["p5"] < observed < result["total_return"]["p95"]
    spread = result["sharpe_ratio"]["p95"] - result["sharpe_ratio"]["p5"]
    # The standard error of an annualised Sharpe ratio is sqrt(365 / days): 0.78 here, so 90 % lie within about 2.6.
    assert 1.8 < spread < 3.6
    fan = result["equity_fan"]
    assert len(fan["day"]) == len(fan["p50"]) <= 60
    assert fan["day"][-1] == 599
    assert fan["p50"][-1] == pytest.approx(result["total_return"]["p50"] + 1)


def test_bootstrap_draws_blocks_and_not_days() -> None:
    # Twenty good days, twenty bad ones, again and again: drawn day by day the bursts would average out.
    returns = np.tile(np.repeat([0.02, -0.02], 20), 15)
    blocks = block_bootstrap(returns, SETTINGS, seed())
    days = block_bootstrap(returns, MonteCarloSettings(500, 1), seed())
    assert blocks is not None and days is not None
    assert blocks["max_drawdown_daily_pct"]["p50"] > 1.3 * days["max_drawdown_daily_pct"]["p50"]


def test_one_seed_one_result_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.02, 300)
    whole = block_bootstrap(returns, SETTINGS, seed()), trade_shuffle(returns, SETTINGS, seed())
    monkeypatch.setattr(monte_carlo, "_CHUNK_BYTES", 300 * 8 * 64)
    assert (block_bootstrap(returns, SETTINGS, seed()), trade_shuffle(returns, SETTINGS, seed())) == whole
    assert block_bootstrap(returns, SETTINGS, seed(2)) != whole[0]


def test_too_little_is_none() -> None:
    assert trade_shuffle(np.array([0.1]), SETTINGS, seed()) is None
    assert block_bootstrap(np.array([0.1]), SETTINGS, seed()) is None
