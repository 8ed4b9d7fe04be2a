"""Combos around what is promising: valid, near, the same for the same seed, and screened the same however held."""

import numpy as np
import pytest

from config import modes, settings
from tests.engines.builders import bars_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.engines.market import Market
from WORKFLOW.search import refine, space
from WORKFLOW.search.evaluate import Evaluator

MODES = settings.load({}).modes


def seed(number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(number)


@pytest.mark.parametrize("name", list(MODES))
def test_every_combo_is_valid_and_of_the_space(name: str) -> None:
    mode = MODES[name]
    centres = [space.draw(mode, 8, seed(1)).row(i) for i in range(8)]
    near = refine.around(mode, centres, 3000, seed(2))
    assert len(near) == 3000
    assert space.family_of(mode).valid(near.columns).all()
    for key, dimension in mode.space.items():
        values = near.columns[key]
        if isinstance(dimension, modes.Choice):
            assert set(values.tolist()) <= {space.coded(value) for value in dimension.values}
        else:
            assert dimension.low <= values.min()
            assert values.max() <= dimension.high
            steps = (values - dimension.low) / dimension.step
            assert np.abs(steps - np.rint(steps)).max() < 1e-6


def test_they_are_near_and_repeatable() -> None:
    mode = MODES["aggressive"]
    centre = space.draw(mode, 1, seed(3)).row(0)
    near, again = (refine.around(mode, [centre], 2000, seed(4)) for _ in range(2))
    assert all((near.columns[key] == again.columns[key]).all() for key in mode.space)
    uniform = space.draw(mode, 2000, seed(5))
    for key in ("fast_period", "stop_loss", "take_profit"):
        distance = np.abs(near.columns[key] - centre[key]).mean()
        assert distance < 0.5 * np.abs(uniform.columns[key] - centre[key]).mean()
    assert len({str(near.row(i)) for i in range(200)}) > 150, "most of them are not the centre itself"


def test_what_is_held_at_a_time_changes_nothing() -> None:
    mode = MODES["aggressive"]
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(3), 120 * 288), 0.01))
    evaluator = Evaluator(market, space.family_of(mode), settings.load({}).costs)
    near = refine.around(mode, [space.draw(mode, 1, seed(6)).row(0)], 900, seed(7))
    heard: list[int] = []
    whole = refine.screen(evaluator, near, 1, 5, 4, 900, heard.append)
    parts = refine.screen(evaluator, near, 1, 5, 4, 64, heard.append)
    assert whole == parts
    assert heard[0] == heard[-1] == 900
    assert whole.eligible >= len(whole.best) > 0
    sharpes = [sharpe for sharpe, _ in whole.best]
    assert sharpes == sorted(sharpes, reverse=True)
    measured = evaluator.metrics(whole.best[0][1], evaluator.whole)
    assert measured.sharpe_ratio == pytest.approx(sharpes[0], rel=1e-9)
