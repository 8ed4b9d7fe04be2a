"""Against arch on 500 columns, and against what must come out."""

import numpy as np
import pytest
from arch.bootstrap import SPA

from WORKFLOW.validity.search.superior import KINDS, Resampling, Superior

DAYS, DRAWS, BLOCK = 300, 400, 10


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    """500 strategies that share five causes."""
    random = np.random.default_rng(0)
    causes = random.normal(0.0, 0.01, (5, DAYS))
    return random.normal(0.0, 1.0, (500, 5)) @ causes + random.normal(0.0002, 0.01, (500, DAYS))


def searched(returns: np.ndarray, chunk: int = 130, seed: int = 5) -> Superior:
    one = Superior(Resampling.of(returns.shape[1], DRAWS, BLOCK, np.random.default_rng(seed)))
    for first in range(0, len(returns), chunk):
        one.add(returns[first : first + chunk])
    return one


def test_the_reality_check_is_archs(returns: np.ndarray) -> None:
    theirs = SPA(np.zeros(DAYS), -returns.T, block_size=BLOCK, reps=DRAWS, seed=np.random.default_rng(5))
    theirs.compute()
    ours = searched(returns)
    above = (ours.simulated["mean"] > ours.best["mean"]).mean(axis=1)
    assert dict(zip(KINDS, above, strict=True)) == pytest.approx(theirs.pvalues.to_dict())
    np.testing.assert_allclose(
        np.sort(theirs._simulated_vals.max(axis=0).T, axis=1), np.sort(ours.simulated["mean"], axis=1), atol=1e-15
    )


def test_the_sharpe_statistic_is_the_definition(returns: np.ndarray) -> None:
    few = returns[:20]
    source = Resampling.of(DAYS, DRAWS, BLOCK, np.random.default_rng(5))
    observed = few.mean(axis=1) / few.std(axis=1)
    slowly = []
    for counts in source.counts.astype(int):
        drawn = np.repeat(few, counts, axis=1)
        slowly.append(float((drawn.mean(axis=1) / drawn.std(axis=1) - observed).max()))
    ours = searched(few)
    np.testing.assert_allclose(ours.simulated["sharpe"][2], slowly, atol=1e-12)
    assert ours.best["sharpe"] == pytest.approx(float(observed.max()))


def test_chunks_do_not_matter(returns: np.ndarray) -> None:
    one, other = searched(returns, 500), searched(returns, 7)
    for name in ("mean", "sharpe"):
        np.testing.assert_allclose(one.simulated[name], other.simulated[name], atol=1e-12)
        assert one.p_values(name) == other.p_values(name)


def test_skill_is_seen_and_bad_company_does_not_hide_it(returns: np.ndarray) -> None:
    skilled = np.vstack([returns - returns.mean(axis=1, keepdims=True) - 0.003, returns[:1] * 0.3 + 0.004])
    found = searched(skilled).p_values("sharpe")
    assert found is not None
    assert found["consistent"] <= 0.01
    assert found["lower"] <= found["consistent"] <= found["upper"]


def test_luck_is_not_seen_as_skill() -> None:
    """Of 60 searches without merit about 5 % may have p <= 0.05: more than 8 would happen once in 200 times."""
    random = np.random.default_rng(3)
    low = 0
    for seed in range(60):
        found = searched(random.standard_t(4, (60, 120)) * 0.01, 60, seed).p_values("sharpe")
        low += found is not None and found["consistent"] <= 0.05
    assert low <= 8


def test_who_never_moves_is_left_out() -> None:
    one = searched(np.zeros((3, 50)))
    assert (one.combos, one.excluded) == (0, 3)
    assert one.p_values("mean") is None
    assert one.expected_maximum() is None
    assert one.as_json()["superior_ability"] is None
