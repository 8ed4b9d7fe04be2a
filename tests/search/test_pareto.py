"""The Pareto front against its definition, and what a run with two objectives leaves."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.files.layout import CHECKOUT
from tests.metric_sets import metric_set
from tests.WORKFLOW.pipeline import SMALL, artifacts, run
from WORKFLOW.data.generate import write_demo
from WORKFLOW.report.front import svg
from WORKFLOW.search.objective import UNDEFINED_SHARPE
from WORKFLOW.search.pareto import front, values
from WORKFLOW.search.study import Trial, TrialResult

BOTH = ("sharpe_ratio", "max_drawdown_pct")
few = st.integers(-3, 3).map(float)
BOTH_IN_ENVIRONMENT = {"BACKTEST_OPTIMIZE__SEARCH__OBJECTIVES": '["sharpe_ratio", "max_drawdown_pct"]'}


def trial(number: int, value: float, other: float, violation: float = 0.0) -> Trial:
    return Trial(number, 0, "sampler", {}, TrialResult(value, violation, None, others=(other,)))


def beats(one: Trial, other: Trial) -> bool:
    (a, b), (c, d) = values(one), values(other)
    return (a >= c and b <= d) and (a > c or b < d)


@given(st.lists(st.tuples(few, few, st.booleans()), max_size=30))
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(points: list[tuple[float, float, bool]]) -> None:
    trials = [trial(i, a, b, 0.0 if good else 1.0) for i, (a, b, good) in enumerate(points)]
    found = front(trials, BOTH)
    feasible = [one for one in trials if one.feasible]
    assert not any(beats(one, other) for other in found for one in feasible)
    for one in feasible:
        assert one in found or any(beats(other, one) or values(other) == values(one) for other in found)
    assert all(one.feasible for one in found)
    assert all(values(a) > values(b) for a, b in itertools.pairwise(found))


def test_an_undefined_sharpe_ratio_is_on_no_front() -> None:
    hopeless = trial(0, UNDEFINED_SHARPE, 0.0)
    pruned = trial(1, 9.0, 0.0)
    pruned = replace(pruned, result=replace(pruned.result, pruned=True))
    assert front([hopeless, pruned], BOTH) == []
    assert front([hopeless, trial(2, -5.0, 0.9)], BOTH) == [trial(2, -5.0, 0.9)]


def test_the_picture_of_one_search_is_the_same_to_the_bit() -> None:
    trials = [trial(0, 1.0, 0.2), trial(1, 2.0, 0.4), trial(2, 0.5, 0.3)]
    trials = [replace(one, result=replace(one.result, metrics=metric_set(sharpe_ratio=1.0))) for one in trials]
    drawn = {svg(trials, front(trials, BOTH), {2}, BOTH, "title") for _ in range(2)}
    assert len(drawn) == 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=150, seed=11)


def test_a_run_with_two_objectives_leaves_its_front_and_a_later_one_takes_it_away(tmp_path: Path, data: Path) -> None:
    small = [*SMALL, "--data-path", str(data)]
    done = run(tmp_path / "one", *small, environment=BOTH_IN_ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    files = artifacts(tmp_path / "one")
    record = json.loads(files["pareto_front.json"])
    schema = CHECKOUT / "docs" / "reference" / "schemas" / "pareto_front.schema.json"
    jsonschema.validate(record, json.loads(schema.read_text(encoding="utf-8")))
    trials = {one["number"]: one for one in json.loads(files["all_trials.json"])["trials"]}
    assert record["front"]
    for one in record["front"]:
        known = trials[one["number"]]
        assert one["values"]["sharpe_ratio"] == known["value"]
        assert one["values"]["max_drawdown_pct"] == known["metrics"]["max_drawdown_pct"]
    drawn = "".join(ElementTree.fromstring(files["pareto_front.svg"]).itertext())
    assert "Pareto front · SYNTHETIC DATA" in drawn
    assert f"the front: {len(record['front'])} trials" in drawn

    assert run(tmp_path / "one", *small).returncode == 0
    assert not {"pareto_front.json", "pareto_front.svg"} & set(artifacts(tmp_path / "one"))
