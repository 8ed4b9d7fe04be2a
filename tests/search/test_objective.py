"""The objective over folds: by hand, and against the metrics of the same windows."""

import math
from dataclasses import replace

import numpy as np
import pytest

from config import settings
from config.errors import Refused
from tests.engines.builders import bars_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.engines.market import Market
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.job import SearchJob
from WORKFLOW.search.objective import UNDEFINED_SHARPE, folds_of, stable
from WORKFLOW.search.study import StudyPlan

SETTINGS = settings.load({})
MODE = SETTINGS.mode("aggressive")


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(3), 122 * 288), 0.01))
    return Evaluator(market, space.family_of(MODE), SETTINGS.costs)


def job(**changes: object) -> SearchJob:
    plan = StudyPlan(MODE, 10, 4, 1, ())
    return replace(SearchJob(SETTINGS.costs, 3, "native", plan, folds=4, instability_penalty=0.5), **changes)


def test_by_hand() -> None:
    assert stable([1.0, 3.0], 0.5) == 2.0 - 0.5 * 1.0
    assert stable([1.7], 9.0) == 1.7
    assert stable([1.0, math.nan], 1.0) == 0.5 - 0.5  # no trade: money that lies still
    assert stable([math.nan, math.nan], 1.0) == UNDEFINED_SHARPE


def test_folds_are_whole_days_side_by_side(evaluator: Evaluator) -> None:
    market = evaluator.market
    folds = folds_of(market, 4)
    assert [fold.start for fold in folds] == [0, 30 * 288, 60 * 288, 90 * 288]
    assert folds[-1].stop == len(market)
    assert [fold.stop for fold in folds[:-1]] == [fold.start for fold in folds[1:]]
    [whole] = folds_of(market, 62)
    assert (whole.start, whole.stop) == (0, len(market))


def test_the_value_is_what_the_metrics_of_each_fold_say(evaluator: Evaluator) -> None:
    combos = space.draw(MODE, 12, np.random.SeedSequence(5))
    defined = 0
    for i in range(len(combos)):
        parameters = combos.row(i)
        result = job().evaluate(evaluator, parameters, lambda steps: True)  # nothing is pruned where it is off
        each = [evaluator.metrics(parameters, fold).sharpe_ratio for fold in folds_of(evaluator.market, 4)]
        assert [sharpe is None for sharpe in result.folds] == [sharpe is None for sharpe in each]
        assert [one or 0.0 for one in result.folds] == pytest.approx([one or 0.0 for one in each], rel=1e-9)
        assert result.metrics == evaluator.metrics(parameters, evaluator.whole)
        known = [0.0 if sharpe is None else sharpe for sharpe in each]
        if result.metrics.sharpe_ratio is not None:
            defined += 1
            assert result.value == pytest.approx(np.mean(known) - 0.5 * np.std(known))
        else:
            assert result.value == UNDEFINED_SHARPE
        assert result.violation == 3 - result.metrics.total_trades
    assert defined > 3


def test_one_fold_is_the_whole(evaluator: Evaluator) -> None:
    parameters = space.draw(MODE, 1, np.random.SeedSequence(5)).row(0)
    result = job(folds=1).evaluate(evaluator, parameters, lambda steps: False)
    assert result.value == pytest.approx(result.metrics.sharpe_ratio, rel=1e-9)


def test_a_hopeless_trial_ends_with_what_is_known_of_it(evaluator: Evaluator) -> None:
    parameters = space.draw(MODE, 1, np.random.SeedSequence(5)).row(0)
    heard = []

    def after_two(steps: tuple[float, ...]) -> bool:
        heard.append(steps)
        return len(steps) == 2

    whole = job(prune=True).evaluate(evaluator, parameters, lambda steps: False)
    pruned = job(prune=True).evaluate(evaluator, parameters, after_two)
    assert pruned.pruned
    assert pruned.folds == whole.folds[:2]
    assert pruned.steps == whole.steps[:2]
    assert heard == [whole.steps[:1], whole.steps[:2]]
    assert (pruned.value, pruned.metrics) == (whole.steps[1], None)
    assert whole == job().evaluate(evaluator, parameters, lambda steps: False)


def test_further_objectives_are_metrics_of_the_whole(evaluator: Evaluator) -> None:
    plan = StudyPlan(MODE, 10, 4, 1, (), objectives=("sharpe_ratio", "max_drawdown_pct"))
    parameters = space.draw(MODE, 1, np.random.SeedSequence(5)).row(0)
    result = job(plan=plan).evaluate(evaluator, parameters, lambda steps: False)
    assert result.others == (result.metrics.max_drawdown_pct,)
    assert plan.directions == ["maximize", "minimize"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sampler": "grid"}, "'grid'"),
        ({"objectives": ["sharpe"]}, "'sharpe'"),
        ({"objectives": ["max_drawdown_pct", "sharpe_ratio"]}, "sharpe_ratio first"),
        ({"objectives": ["sharpe_ratio", "max_drawdown_pct"], "prune": True}, "several objectives"),
        ({"folds": 1, "prune": True}, "no first fold"),
        ({"storage": "mysql://host/db"}, "'mysql'"),
        ({"storage": "somewhere"}, "'somewhere'"),
    ],
)
def test_settings_that_do_not_work_are_refused(changes: dict, says: str) -> None:
    with pytest.raises(Refused, match=says):
        settings.with_values(SETTINGS, search=changes)


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@host/db", "postgresql://host/db?password=hunter2"])
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Refused) as refused:
        settings.load({"BACKTEST_OPTIMIZE__SEARCH__STORAGE": url})
    assert "hunter2" not in str(refused.value)
    assert "pgpass" in str(refused.value)
