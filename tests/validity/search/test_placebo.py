"""The placebo searches a part of the space that is as random as the draw, on the real bars as on shuffled ones."""

from dataclasses import replace

import numpy as np
import pytest

from config.settings import load
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.engines.market import Market
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Draw, family_of
from WORKFLOW.steps.keep import Steps
from WORKFLOW.validity.search import whole

SETTINGS = load()
MODE = SETTINGS.mode("aggressive")


@pytest.fixture(scope="module")
def bars() -> Bars:
    rows = demo_rows(days=80)[-50 * 288 :]  # after the halt: no hole
    return Bars("SYNTHETIC", rows, 0.01, synthetic=True, source="a test")


def test_a_sample_of_a_draw_is_its_first_combos_from_everywhere_in_the_space() -> None:
    draw = Draw(MODE, 5_000, np.random.SeedSequence(5))
    some = draw.sample(400)
    numbered = draw.rows(range(400))
    assert sorted(map(str, map(some.row, range(len(some))))) == sorted(map(str, numbered))
    for name in ("fast_timeframe", "slow_timeframe", "direction"):
        assert set(some.columns[name]) == set(draw.sample(5_000).columns[name]), name
    periods = some.columns["fast_period"]
    spread = draw.sample(5_000).columns["fast_period"]
    assert (periods.min() - spread.min(), spread.max() - periods.max()) <= (3, 3)
    assert len(draw.sample(9_999)) == 5_000


def test_the_trial_of_a_search_tries_the_first_combos_by_number(bars: Bars) -> None:
    settings = replace(
        SETTINGS, validity=replace(SETTINGS.validity, placebo_combos=150, placebo_markets=2, blocks=4, draws=19)
    )
    draw = Draw(MODE, 2_000, np.random.SeedSequence(5))
    evaluator = Evaluator(Market.of(bars), family_of(MODE), SETTINGS.costs)
    found = whole.of_draw(evaluator, bars, draw, settings, 1, lambda name: np.random.SeedSequence(len(name)), Steps())
    metrics = [evaluator.metrics(one, evaluator.whole) for one in draw.rows(range(150))]
    enough = [one.sharpe_ratio for one in metrics if one.total_trades >= settings.prescreen.min_trades]
    assert found.placebo.combos == 150
    assert found.placebo.best == pytest.approx(max(enough))
