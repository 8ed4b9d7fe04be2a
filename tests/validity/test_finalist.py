"""A finalist that looks ahead is no candidate, and its verdict says so first; its proof has a seed of its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of
from tests.properties.worlds import quiet_walk
from tests.validity import planted
from tests.validity.planted import Planted
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.study import Trial, TrialResult
from WORKFLOW.validity import regimes
from WORKFLOW.validity.bands import Bands
from WORKFLOW.validity.cross_validation import CrossedPath, CrossValidation
from WORKFLOW.validity.finalist import Case, Finalist, Judged, judge
from WORKFLOW.validity.plateau import Plateau, PlateauSummary
from WORKFLOW.validity.search.placebo import Placebo
from WORKFLOW.validity.search.whole import SearchTrial
from WORKFLOW.validity.walk_forward import BriefMetrics, DateSpan, Efficiency, WalkedWindow, WalkForward

PARAMETERS = {
    "one": 1,
    "direction": "both",
    "stop_loss": 0.02,
    "take_profit": 0.05,
    "trailing_stop": 0.0,
    "max_bars": 0,
}
_BRIEF = BriefMetrics(1.0, 0.1, 0.2, 0.5, 30)
_SPAN = DateSpan("2024-01-01T00:00:00", "2024-01-02T00:00:00", 288, 1.0)
WALKED = WalkForward((WalkedWindow(_SPAN, _SPAN, None, _BRIEF, _BRIEF),), 1.0, 0.1, 5, Efficiency(None, 0.5), 0)


def judged(family: Planted, number: int = 3) -> Judged:
    settings = load({})
    settings = replace(settings, monte_carlo=replace(settings.monte_carlo, paths=20))
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(2), 40 * 288), 0.01))
    evaluator = Evaluator(market, family, settings.costs)
    case = Case(
        everything=evaluator,
        minutes=None,
        in_sample=evaluator,
        windows={"in_sample": Window(0, 28 * 288), "out_of_sample": Window(28 * 288, 40 * 288)},
        settings=settings,
        walk_forward={"anchored": WALKED, "rolling": WALKED},
        cross_validation=CrossValidation(folds=5, test_folds=2, days=28, paths=[CrossedPath(1.0, 0.1, 0.2)]),
        regimes=regimes.labels(market, settings.regimes),
        extreme_bars=np.zeros(len(market), dtype=bool),
        tries=10,
        synthetic=False,
        search=SearchTrial(
            tried=10,
            eligible=10,
            days=28,
            overfit=None,
            tests={},
            luck=0.01,
            expected_maximum=1.5,
            placebo=Placebo(0.025, 3.0, (1.0,) * 39, 10, 72),
        ),
        seed=lambda purpose, *more: np.random.SeedSequence([7, len(purpose), *more]),
    )
    plateau = Plateau(dict(PARAMETERS), 1.0, PlateauSummary(1, 0, 0, Bands(), None, 0.9, None), {}, (), ())
    trial = Trial(number, 0, "sampler", dict(PARAMETERS), TrialResult(1.0, 0.0, None))
    return judge(case, Finalist(trial, plateau))


@pytest.fixture(scope="module")
def leaking() -> Judged:
    return judged(Planted(planted.unshifted))


def test_a_look_ahead_is_no_candidate_however_good(leaking: Judged) -> None:
    found = leaking.validation.look_ahead.first_difference
    assert found is not None
    assert (found.what, found.engine, found.combo) == ("side", None, 0)
    assert leaking.validation.candidate is False
    said = f"looks {found.minutes_ahead} minutes ahead: side at {found.time}"
    assert leaking.verdict.startswith(f"not tradeable: {said}")
    failed = [check.name for check in leaking.validation.checks if not check.passed]
    assert failed[0] == "no_look_ahead"


def keys_agree(found: Any, wanted: Any) -> bool:
    """Whether both have the same keys in the same order, all the way down; a list stands for its first item."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return list(found) == list(wanted) and all(keys_agree(found[name], wanted[name]) for name in wanted)
    if isinstance(found, list | tuple) and isinstance(wanted, list):
        return not found or not wanted or keys_agree(found[0], wanted[0])
    return not (isinstance(wanted, dict) and found is not None)


def test_the_keys_of_its_file_and_their_order_are_those_of_the_version_before(leaking: Judged) -> None:
    """Of `validation.json` when it still was a dict from beginning to end."""
    wanted = json.loads((Path(__file__).parent / "validation_keys.json").read_text())
    record = leaking.validation.as_json()
    assert {name: keys_agree(record[name], wanted[name]) for name in wanted} == dict.fromkeys(wanted, True)
    assert list(record) == list(wanted)


def test_the_seed_is_the_finalists_own(leaking: Judged) -> None:
    assert leaking.validation.look_ahead.seed == [7, len("look-ahead"), 3]


def test_an_honest_finalist_is_proven() -> None:
    one = judged(Planted(planted.honest), number=4)
    proof = one.validation.look_ahead
    assert (proof.proven, proof.first_difference, proof.combos) == (True, None, 1)
    assert all(check.passed for check in one.validation.checks if check.name == "no_look_ahead")
    assert "looks" not in one.verdict
