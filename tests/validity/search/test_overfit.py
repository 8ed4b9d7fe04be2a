"""Every half of the blocks, by hand and by the kernels."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from WORKFLOW.validity.search.overfit import BlockSums, edges_of, probability

Floats = np.ndarray


def by_hand(returns: Floats, blocks: int) -> tuple[float, int]:
    """Bailey et al. 2016, from the days themselves."""
    edges = edges_of(returns.shape[1], blocks)
    parts = [returns[:, a:b] for a, b in pairwise(edges)]
    ranks = []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in half], axis=1)
        outside = np.concatenate([parts[b] for b in range(blocks) if b not in half], axis=1)
        best = int(np.argmax(inside.mean(axis=1) / inside.std(axis=1, ddof=1)))
        other = outside.mean(axis=1) / outside.std(axis=1, ddof=1)
        ranks.append(((other < other[best]).sum() + 1.0) / (len(returns) + 1.0))
    return float(np.mean(np.array(ranks) <= 0.5)), len(ranks)


@pytest.mark.parametrize(("combos", "days", "blocks"), [(7, 40, 4), (40, 61, 6), (300, 97, 8), (2, 30, 10)])
def test_it_is_what_the_paper_says(combos: int, days: int, blocks: int) -> None:
    returns = np.random.default_rng(combos).normal(0.0, 0.01, (combos, days))
    found = probability(BlockSums.of(returns, blocks), threads=2)
    assert found is not None
    assert (found.pbo, found.splits) == pytest.approx(by_hand(returns, blocks))


@pytest.mark.parametrize(("blocks", "theirs"), [(8, 0.7), (10, 0.7579365079365079), (16, 0.757031857031857)])
def test_it_is_what_ffn_makes_of_500_columns(blocks: int, theirs: float) -> None:
    """`theirs`: calc_prob_backtest_overfitting of ffn 1.4.1, which needs more packages than it is worth here."""
    random = np.random.default_rng(11)
    causes = random.normal(0.0, 0.01, (5, 320))
    returns = random.normal(0.0, 1.0, (500, 5)) @ causes + random.normal(0.0002, 0.01, (500, 320))
    found = probability(BlockSums.of(returns, blocks), threads=2)
    assert found is not None
    assert found.pbo == pytest.approx(theirs, abs=1e-15)


def test_chunks_and_threads_do_not_matter() -> None:
    returns = np.random.default_rng(1).normal(0.0, 0.01, (333, 80))
    whole = BlockSums.of(returns, 8)
    parts = BlockSums.joined([BlockSums.of(returns[:100], 8), BlockSums.of(returns[100:], 8)])
    assert probability(whole, 1) == probability(parts, 2)


def test_noise_is_overfitted_half_of_the_time_and_skill_never() -> None:
    random = np.random.default_rng(5)
    found = [probability(BlockSums.of(random.normal(0.0, 0.01, (200, 160)), 8)) for _ in range(20)]
    assert np.mean([one.pbo for one in found if one]) == pytest.approx(0.5, abs=0.1)
    skilled = random.normal(0.0, 0.01, (200, 160))
    skilled[17] += 0.01
    one = probability(BlockSums.of(skilled, 8))
    assert one is not None
    assert (one.pbo, one.loss) == (0.0, 0.0)


def test_who_does_not_move_is_never_chosen_and_neither_wins_nor_loses() -> None:
    returns = np.random.default_rng(2).normal(-0.002, 0.01, (3, 80))
    returns[1] = 0.0
    one = probability(BlockSums.of(returns, 8))
    assert one is not None
    assert one.combos == 3
    assert math.isfinite(one.median_out_of_sample)
    assert one.pbo == 1.0  # whoever is chosen loses, and the one that stood still is above him


@pytest.mark.parametrize("shape", [(1, 80), (0, 80), (5, 15)])
def test_nothing_to_choose_between_is_no_number(shape: tuple[int, int]) -> None:
    assert probability(BlockSums.of(np.full(shape, 0.01), 8)) is None


def test_a_market_in_which_nobody_moved_is_no_number() -> None:
    assert probability(BlockSums.of(np.zeros((4, 80)), 8)) is None
