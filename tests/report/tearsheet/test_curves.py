import numpy as np
import pytest

from WORKFLOW.engines import metrics
from WORKFLOW.report.tearsheet import curves
from WORKFLOW.report.tearsheet.curves import Daily

BARS = 210_000


@pytest.fixture(scope="module")
def equity() -> np.ndarray:
    random = np.random.default_rng(3)
    return 10_000 * np.cumprod(1 + random.normal(0, 0.002, BARS) * (random.random(BARS) < 0.2))


def test_thinned_equity_keeps_every_extreme_and_is_small(equity: np.ndarray) -> None:
    below = curves.drawdown(equity, 10_000.0)
    chosen = curves.thinned(equity, below)
    assert len(chosen) <= 5 * curves.BUCKETS
    assert (np.diff(chosen) > 0).all()
    assert (chosen[0], chosen[-1]) == (0, BARS - 1)
    drawn = equity[chosen]
    assert (drawn.min(), drawn.max(), below[chosen].max()) == (equity.min(), equity.max(), below.max())
    for part in range(0, BARS, BARS // 100):  # and so does every stretch that is a whole number of buckets long
        inside = (chosen >= part) & (chosen < part + BARS // 100)
        whole = equity[part : part + BARS // 100]
        assert (drawn[inside].min(), drawn[inside].max()) == (whole.min(), whole.max())


def test_of_flat_stretches_only_the_ends_are_drawn() -> None:
    equity = np.concatenate([np.full(1_000, 100.0), np.full(1_000, 90.0), np.full(1_000, 110.0)])
    chosen = curves.thinned(equity, curves.drawdown(equity, 100.0))
    assert len(chosen) <= 12
    assert np.interp(np.arange(3_000), chosen, equity[chosen]) == pytest.approx(equity, abs=20.0 / 2)
    assert {0, 2_999} <= set(chosen.tolist())
    assert set(equity[chosen].tolist()) == {100.0, 90.0, 110.0}


@pytest.mark.parametrize("n", [1, 2, 5, 1_199, 1_200, 1_201])
def test_few_marks_are_all_there(n: int) -> None:
    equity = 100.0 + np.arange(n) % 7
    assert curves.thinned(equity, curves.drawdown(equity, 100.0)).tolist() == list(range(n))


def test_months_compound_to_the_whole_and_begin_with_the_capital() -> None:
    marks = 100.0 * np.cumprod(1 + np.random.default_rng(1).normal(0, 0.01, 500))
    daily = Daily(19_720, marks, 90.0)  # 2023-12-29
    rows = curves.months(daily)
    assert [row["year"] for row in rows] == [2023, 2024, 2025]
    assert rows[0]["months"][:11] == [None] * 11
    assert rows[0]["months"][11] == pytest.approx(marks[2] / 90.0 - 1)
    assert rows[1]["months"][0] == pytest.approx(marks[33] / marks[2] - 1)
    compounded = np.prod([1 + v for row in rows for v in row["months"] if v is not None])
    assert compounded == pytest.approx(marks[-1] / 90.0)
    assert np.prod([1 + row["total"] for row in rows]) == pytest.approx(marks[-1] / 90.0)


def test_a_rolling_sharpe_ratio_is_the_metric_of_those_days() -> None:
    marks = 100.0 * np.cumprod(1 + np.random.default_rng(2).normal(0, 0.01, 200))
    daily = Daily(19_720, marks, 100.0)
    rolling = curves.rolling_sharpe(daily)
    assert rolling is not None
    assert (rolling["days"], rolling["from_day"], len(rolling["sharpe_ratio"])) == (90, "2024-03-27", 111)
    returns = np.diff(marks) / marks[:-1]
    last = returns[-90:]
    assert rolling["sharpe_ratio"][-1] == pytest.approx(last.mean() / last.std(ddof=1) * 365**0.5, rel=1e-6)
    assert curves.rolling_sharpe(Daily(0, marks[:19], 100.0)) is None
    flat = curves.rolling_sharpe(Daily(0, np.full(40, 100.0), 100.0))
    assert flat is not None
    assert flat["sharpe_ratio"] == [None] * 31


def test_the_deepest_drawdowns_by_hand() -> None:
    marks = np.array([100.0, 90.0, 95.0, 100.0, 120.0, 60.0, 90.0])
    falls = curves.deepest(Daily(0, marks, 100.0))
    assert falls == [
        {"peak": "1970-01-05", "trough": "1970-01-06", "recovered": None, "depth": 0.5, "days": 2},
        {"peak": "1970-01-01", "trough": "1970-01-02", "recovered": "1970-01-04", "depth": 0.1, "days": 2},
    ]
    deepest = float(metrics.max_drawdown_fraction(marks, 100.0))
    assert falls[0]["depth"] == deepest
