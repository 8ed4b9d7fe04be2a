import math

import numpy as np
import pytest

from WORKFLOW.validity.chance import chance_quantile, expected_max_sharpe


@pytest.mark.parametrize("tries", [10, 100, 1_000])
def test_it_is_what_noise_gives(tries: int) -> None:
    days = 365
    random = np.random.default_rng(5)
    best = []
    for _ in range(200):
        returns = random.normal(0, 0.01, (tries, days))
        best.append((returns.mean(axis=1) / returns.std(axis=1, ddof=1) * math.sqrt(365)).max())
    expected = expected_max_sharpe(tries, days)
    assert expected is not None
    assert np.mean(best) == pytest.approx(expected, rel=0.05)


def test_a_quarter_million_tries_over_two_years_give_about_three() -> None:
    expected = expected_max_sharpe(250_000, 730)
    assert expected is not None
    assert 2.9 < expected < 3.4


def test_more_tries_give_more_and_more_days_give_less() -> None:
    values = [expected_max_sharpe(n, 500) for n in (1, 2, 10, 1_000, 1_000_000)]
    assert values == sorted(values)
    assert values[0] == 0.0
    longer, shorter = expected_max_sharpe(100, 1_000), expected_max_sharpe(100, 500)
    assert longer is not None and shorter is not None and longer < shorter


def test_undefined_is_none() -> None:
    assert expected_max_sharpe(100, 1) is None
    assert expected_max_sharpe(0, 100) is None


@pytest.mark.parametrize("probability", [0.1, 0.01])
def test_the_best_of_noise_exceeds_the_quantile_as_often_as_said(probability: float) -> None:
    tries, days, markets = 200, 365, 4_000
    random = np.random.default_rng(6)
    # A Sharpe ratio of n Gaussian days is close to Gaussian itself: draw it directly, 4,000 searches of 200 tries.
    best = random.normal(0, 1, (markets, tries)).max(axis=1) * math.sqrt(365 / days)
    bar = chance_quantile(tries, days, probability)
    assert bar is not None
    share = float(np.mean(best > bar))
    assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / markets)


def test_the_quantile_lies_above_the_expectation_and_holds_for_many_tries() -> None:
    for tries in (1, 10, 1_000_000, 10_000_000_000):
        expected, bar = expected_max_sharpe(tries, 700), chance_quantile(tries, 700, 0.01)
        assert expected is not None and bar is not None and math.isfinite(bar)
        assert bar > expected
    assert chance_quantile(10, 1, 0.01) is None
