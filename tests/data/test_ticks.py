import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from WORKFLOW.data.ticks import infer_tick


@pytest.mark.parametrize("power", range(-10, 4))
@given(counts=st.lists(st.integers(1, 9_999), min_size=5, max_size=50))
def test_decimal_prices_give_their_power_of_ten(power: int, counts: list[int]) -> None:
    prices = np.array([float(f"{count}e{power}") for count in [*counts, 10_001]])  # 10,001 ends in a 1
    assert infer_tick(prices) == float(f"1e{power}")


@given(st.integers(0, 2**32 - 1))
def test_numbers_that_follow_no_tick_have_none(seed: int) -> None:
    assert infer_tick(np.random.default_rng(seed).uniform(10, 60_000, 1_000)) is None


def test_large_numbers_without_tick_are_not_saved_by_their_own_grain() -> None:
    assert infer_tick(np.random.default_rng(1).uniform(1e6, 2e6, 1_000)) is None


def test_the_noise_of_a_sum_is_forgiven() -> None:
    prices = np.cumsum(np.full(50, 0.1))
    assert 0.30000000000000004 in prices
    assert infer_tick(prices) == 0.1


def test_a_tick_of_five_is_reported_as_the_power_of_ten_below() -> None:
    assert infer_tick(np.array([100.05, 100.10, 100.25])) == 0.01


def test_one_odd_price_far_beyond_the_sample_counts() -> None:
    prices = np.full(100_001, 12.5)
    prices[77_777] = 12.501
    assert infer_tick(prices) == 0.001


def test_no_prices_no_tick() -> None:
    assert infer_tick(np.array([])) is None
