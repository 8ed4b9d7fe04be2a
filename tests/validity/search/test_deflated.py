"""Against the papers' numbers, against simulation, and at the edges."""

import math

import numpy as np
import pytest

from WORKFLOW.validity.search import deflated
from WORKFLOW.validity.search.superior import Resampling, Superior


def test_the_expected_maximum_is_what_simulation_finds() -> None:
    random = np.random.default_rng(1)
    for trials in (10, 100, 1000):
        best = random.normal(size=(4000, trials)).max(axis=1).mean()
        assert deflated.expected_maximum(trials) == pytest.approx(best, rel=0.03)
    assert deflated.expected_maximum(1.0) == 0.0


@pytest.mark.parametrize("trials", [1.0, 3.0, 45.0, 1_000.0, 250_000.0])
def test_effective_trials_invert_the_expected_maximum(trials: float) -> None:
    expected = deflated.expected_maximum(trials)
    assert deflated.effective_trials(expected, 10_000_000) == pytest.approx(trials, rel=1e-6)


def test_effective_trials_lie_between_one_and_all() -> None:
    assert deflated.effective_trials(-1.0, 500) == pytest.approx(1.0)
    assert deflated.effective_trials(9.0, 500) == 500.0
    assert deflated.effective_trials(0.5, 1) == 1.0


def test_ten_causes_behind_a_thousand_trials_are_about_ten_trials() -> None:
    random = np.random.default_rng(4)
    causes = random.normal(0.0, 0.01, (10, 400))
    returns = np.repeat(causes, 100, axis=0) + random.normal(0.0, 1e-5, (1000, 400))
    tested = Superior(Resampling.of(400, 400, 1, random))
    tested.add(returns)
    expected = tested.expected_maximum()
    assert expected is not None
    assert 6.0 <= deflated.effective_trials(expected, 1000) <= 16.0


def test_the_probabilistic_sharpe_ratio_of_the_paper() -> None:
    """Bailey & López de Prado 2012: 24 months, a Sharpe ratio of 0.458 a month, skewness −2.448, kurtosis 10.164
    give 0.913 against a benchmark of 0, where normal returns would give 0.982."""
    sharpe, n = 0.458, 24
    spread = 1.0 + 2.448 * sharpe + (10.164 - 1.0) / 4.0 * sharpe**2
    assert deflated._NORMAL.cdf(sharpe * math.sqrt((n - 1) / spread)) == pytest.approx(0.913, abs=1e-3)
    random = np.random.default_rng(2)
    drawn = random.normal(0.0, 1.0, 2000)
    normal = (drawn - drawn.mean()) / drawn.std(ddof=1) + 0.05
    found = deflated.probabilistic_sharpe(normal, 0.0)
    assert found == pytest.approx(deflated._NORMAL.cdf(0.05 * math.sqrt(1999)), abs=2e-3)
    skewed = -(random.exponential(1.0, 2000))
    skewed = (skewed - skewed.mean()) / skewed.std(ddof=1) + 0.05
    assert deflated.probabilistic_sharpe(skewed, 0.0) < found  # type: ignore[operator]


def test_more_trials_deflate_more() -> None:
    returns = np.random.default_rng(3).normal(0.002, 0.01, 500)
    found = [deflated.deflated_sharpe(returns, trials) for trials in (1.0, 10.0, 1e3, 1e6)]
    assert all(one is not None for one in found)
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert deflated.deflated_sharpe(returns, 1.0) == deflated.probabilistic_sharpe(returns, 0.0)


def test_the_minimum_length_of_the_paper() -> None:
    """Bailey et al. 2014: after 45 tries five years are needed before an annual Sharpe ratio of 1 says anything."""
    assert deflated.min_backtest_years(1.0, 45.0) == pytest.approx(5.0, abs=0.1)
    assert deflated.min_backtest_years(0.0, 45.0) is None
    assert deflated.min_backtest_years(-1.0, 45.0) is None


@pytest.mark.parametrize("returns", [np.zeros(0), np.array([0.1, 0.2]), np.zeros(50), np.full(50, 0.01)])
def test_what_is_undefined_is_none(returns: np.ndarray) -> None:
    assert deflated.probabilistic_sharpe(returns, 0.0) is None
    assert deflated.deflated_sharpe(returns, 10.0) is None
